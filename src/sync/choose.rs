//! Which tables a run copies, and why it leaves out the others.

use std::collections::BTreeSet;

use crate::name::PgName;
use crate::pipeline::{Arrival, TableSelection};

use super::catalog::{Catalog, Kind, SchemaState, Table};
use super::columns::table_id;
use super::run_spec::RunSpec;

/// What a run is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The largest first, so that the longest job does not start last.
    pub tables: Vec<Table>,
    pub left_out: Vec<(String, Skipped)>,
    pub warnings: Vec<String>,
}

/// Why a table is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Asked for by name, and not there.
    Absent,
    /// Asked for by a rerun, and not among this schedule's tables.
    NotOfThisSchedule,
    /// Asked for by name, and the role may read no column of it.
    UnreadableTarget,
    /// Nobody asked for it by name, and the role may read no column of it.
    Unreadable,
    /// A view, a materialized view or a foreign table, which are copied if named.
    NotNamed(Kind),
    /// Its name holds control characters or is too long.
    Unnameable,
    /// Another selected table would have its name in BigQuery.
    SameName,
    /// It came after the first copy, and waits until the pipeline's file names it.
    Held,
    /// The same, and a rerun asks for it.
    HeldTarget,
}

/// Why a run has nothing to do. Never a success: a renamed schema would go unnoticed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingToCopy {
    #[error("the database has no schema `{0}`")]
    SchemaMissing(PgName),
    #[error("the connection's role may not use the schema `{0}`: GRANT USAGE ON SCHEMA to it")]
    SchemaUnusable(PgName),
    #[error("the schema `{schema}` has no table to copy{}", hint(*.left_out))]
    NoTables { schema: PgName, left_out: usize },
}

fn hint(left_out: usize) -> String {
    match left_out {
        0 => String::new(),
        some => format!(" ({some} left out)"),
    }
}

/// Chooses by what the file selects, and for a rerun by the tables it names (none: all).
pub fn choose(
    catalog: &Catalog,
    schema: &PgName,
    selection: &TableSelection,
    rerun: &BTreeSet<PgName>,
) -> Result<Choice, NothingToCopy> {
    match catalog.schema {
        SchemaState::Missing => return Err(NothingToCopy::SchemaMissing(schema.clone())),
        SchemaState::Unusable => return Err(NothingToCopy::SchemaUnusable(schema.clone())),
        SchemaState::Usable => {}
    }
    let shared = shared_ids(catalog, selection);
    let mut choice = Choice::default();
    for table in &catalog.tables {
        let name = &table.name;
        if !selection.contains(name) || !(rerun.is_empty() || rerun.contains(name)) {
            continue;
        }
        let named = rerun.contains(name)
            || matches!(selection, TableSelection::Only(names) if names.contains(name));
        match skip(table, named) {
            None if shared.contains(&table_id(name)) => {
                choice.left_out.push((name.to_string(), Skipped::SameName));
            }
            None => choice.tables.push(table.clone()),
            Some(skipped) => choice.left_out.push((name.to_string(), skipped)),
        }
    }
    if rerun.is_empty() && !matches!(selection, TableSelection::Only(_)) {
        let unnameable = catalog.unnameable.iter().cloned();
        choice
            .left_out
            .extend(unnameable.map(|name| (name, Skipped::Unnameable)));
    }
    missing(catalog, selection, rerun, &mut choice);
    choice
        .tables
        .sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    if choice.tables.is_empty() && !choice.left_out.iter().any(|(_, why)| why.fails()) {
        return Err(NothingToCopy::NoTables {
            schema: schema.clone(),
            left_out: choice.left_out.len(),
        });
    }
    Ok(choice)
}

/// The tables that `new_tables: hold` leaves out: no file names them, and the dataset did not
/// have them (`there`, by their names in BigQuery) when the run began. As long as it has none
/// of the selected tables, nothing has been copied yet, and none of them is new.
pub fn held(catalog: &Catalog, spec: &RunSpec, there: &BTreeSet<String>) -> BTreeSet<PgName> {
    let selects_by_name = matches!(spec.tables, TableSelection::Only(_));
    if spec.new_tables == Arrival::Copy || selects_by_name {
        return BTreeSet::new();
    }
    let tables = catalog.tables.iter();
    let (known, new): (Vec<&PgName>, Vec<&PgName>) = tables
        .filter(|table| spec.tables.contains(&table.name) && skip(table, false).is_none())
        .map(|table| &table.name)
        .partition(|name| there.contains(&table_id(name)));
    if known.is_empty() {
        return BTreeSet::new();
    }
    let unnamed = new
        .into_iter()
        .filter(|name| !spec.options.contains_key(*name));
    unnamed.cloned().collect()
}

impl Choice {
    /// Leaves out tables that wait to be named. A rerun names tables, but nobody reviews it.
    pub fn hold(&mut self, held: &BTreeSet<PgName>, rerun: &BTreeSet<PgName>) {
        let waits = |table: &Table| held.contains(&table.name);
        let out = self.tables.extract_if(.., |table| waits(table));
        let left_out = out.map(|table| {
            let why = if rerun.contains(&table.name) {
                Skipped::HeldTarget
            } else {
                Skipped::Held
            };
            (table.name.to_string(), why)
        });
        self.left_out.extend(left_out);
    }
}

fn skip(table: &Table, named: bool) -> Option<Skipped> {
    let no_column = !table.readable && !table.columns.iter().any(|column| column.readable);
    match table.kind {
        Kind::View | Kind::MaterializedView | Kind::Foreign if !named => {
            Some(Skipped::NotNamed(table.kind))
        }
        _ if no_column && named => Some(Skipped::UnreadableTarget),
        _ if no_column => Some(Skipped::Unreadable),
        _ => None,
    }
}

/// The ids that more than one table would have. Of the whole selection: a rerun of one of the
/// two is no way around it.
fn shared_ids(catalog: &Catalog, selection: &TableSelection) -> BTreeSet<String> {
    let named = matches!(selection, TableSelection::Only(_));
    let mut seen = BTreeSet::new();
    let tables = catalog.tables.iter();
    tables
        .filter(|table| selection.contains(&table.name) && skip(table, named).is_none())
        .map(|table| table_id(&table.name))
        .filter(|id| !seen.insert(id.clone()))
        .collect()
}

/// What is named and is not there.
fn missing(
    catalog: &Catalog,
    selection: &TableSelection,
    rerun: &BTreeSet<PgName>,
    choice: &mut Choice,
) {
    let absent = |name: &&PgName| catalog.table(name).is_none();
    match selection {
        TableSelection::Only(names) => {
            let asked = |name: &&PgName| rerun.is_empty() || rerun.contains(*name);
            for name in names.iter().filter(absent).filter(asked) {
                choice.left_out.push((name.to_string(), Skipped::Absent));
            }
        }
        TableSelection::Except(names) if rerun.is_empty() => {
            for name in names.iter().filter(absent) {
                choice.warnings.push(format!(
                    "The excluded table `{name}` does not exist in the schema."
                ));
            }
        }
        TableSelection::All | TableSelection::Except(_) => {}
    }
    for name in rerun {
        if !selection.contains(name) {
            choice
                .left_out
                .push((name.to_string(), Skipped::NotOfThisSchedule));
        } else if absent(&name) && !matches!(selection, TableSelection::Only(_)) {
            choice.left_out.push((name.to_string(), Skipped::Absent));
        }
    }
}

impl Skipped {
    /// Whether the run fails over it: what somebody named must be there.
    pub fn fails(self) -> bool {
        match self {
            Self::Absent
            | Self::NotOfThisSchedule
            | Self::UnreadableTarget
            | Self::SameName
            | Self::HeldTarget => true,
            Self::Unreadable | Self::NotNamed(_) | Self::Unnameable | Self::Held => false,
        }
    }

    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Absent => "The schema has no such table; what was copied before stays.",
            Self::NotOfThisSchedule => "This schedule does not copy it.",
            Self::UnreadableTarget | Self::Unreadable => {
                "The connection's role may not read it: GRANT SELECT on it."
            }
            Self::NotNamed(Kind::View) => "Views are copied if `target_tables` names them.",
            Self::NotNamed(Kind::MaterializedView) => {
                "Materialized views are copied if `target_tables` names them."
            }
            Self::NotNamed(_) => "Foreign tables are copied if `target_tables` names them.",
            Self::SameName => {
                "Another table would have its name in BigQuery: leave one out with `excluded_tables`."
            }
            Self::Held | Self::HeldTarget => {
                "It is new, and `new_tables: hold` leaves it out until the pipeline's file names it in `tables` or `target_tables`."
            }
            Self::Unnameable => "Its name holds control characters or is longer than 63 bytes.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{column, table};
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<PgName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn catalog() -> Catalog {
        let mut view = table("view", vec![column("id", 20)]);
        view.kind = Kind::View;
        let mut secret = column("id", 20);
        secret.readable = false;
        let mut big = table("big", vec![column("id", 20)]);
        big.bytes = 1 << 40;
        Catalog {
            schema: SchemaState::Usable,
            tables: vec![
                table("a", vec![column("id", 20)]),
                big,
                table("secret", vec![secret]),
                view,
            ],
            unnameable: BTreeSet::new(),
        }
    }

    fn said(selection: TableSelection, rerun: &[&str]) -> String {
        let schema = "s".parse().unwrap();
        match choose(&catalog(), &schema, &selection, &names(rerun)) {
            Ok(choice) => {
                let tables: Vec<_> = choice.tables.iter().map(|t| t.name.as_str()).collect();
                let out: Vec<_> = choice
                    .left_out
                    .iter()
                    .map(|(name, why)| format!("{name} {why:?}"))
                    .collect();
                let parts = [tables.join(" "), out.join(", "), choice.warnings.join(" ")];
                parts.join(" / ")
            }
            Err(nothing) => nothing.to_string(),
        }
    }

    #[test]
    fn the_largest_comes_first_and_views_only_by_name() {
        use TableSelection::{All, Except, Only};
        assert_eq!(
            said(All, &[]),
            "big a / secret Unreadable, view NotNamed(View) / "
        );
        assert_eq!(
            said(Except(names(&["a", "gone", "secret"])), &[]),
            "big / view NotNamed(View) / The excluded table `gone` does not exist in the schema."
        );
        assert_eq!(
            said(Only(names(&["view", "gone", "secret"])), &[]),
            "view / secret UnreadableTarget, gone Absent / "
        );
        assert_eq!(
            said(Except(names(&["a", "big"])), &[]),
            "the schema `s` has no table to copy (2 left out)"
        );
    }

    #[test]
    fn two_tables_of_one_name_are_both_left_out() {
        use TableSelection::{All, Except};
        let mut catalog = catalog();
        catalog.tables = ["a.b", "a_b", "c"]
            .map(|name| table(name, vec![column("id", 20)]))
            .into();
        let schema = "s".parse().unwrap();
        let left_out = |selection, rerun: &[&str]| {
            let choice = choose(&catalog, &schema, &selection, &names(rerun)).unwrap();
            let names = choice.left_out.into_iter().map(|(name, why)| {
                assert_eq!(why, Skipped::SameName);
                name
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(left_out(All, &[]), ["a.b", "a_b"]);
        assert_eq!(left_out(All, &["a_b"]), ["a_b"]);
        assert!(left_out(Except(names(&["a.b"])), &[]).is_empty());
    }

    #[test]
    fn a_rerun_is_about_what_it_names() {
        use TableSelection::{All, Only};
        assert_eq!(said(All, &["a", "gone"]), "a / gone Absent / ");
        assert_eq!(
            said(Only(names(&["a", "lost"])), &["a", "big"]),
            "a / big NotOfThisSchedule / "
        );
    }

    #[test]
    fn a_new_table_waits_until_it_is_named() {
        let mut spec = super::super::testing::spec();
        let there = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let held = |spec: &RunSpec, present: &[&str]| held(&catalog(), spec, &there(present));
        assert!(held(&spec, &["a"]).is_empty());
        spec.new_tables = Arrival::Hold;
        assert!(held(&spec, &["elsewhere"]).is_empty());
        assert_eq!(held(&spec, &["a"]), names(&["big"]));
        let named = spec.clone().options;
        let big = "big".parse().unwrap();
        spec.options
            .insert(big, crate::pipeline::TableOptions::default());
        assert!(held(&spec, &["a"]).is_empty());
        spec.options = named;
        spec.tables = TableSelection::Only(names(&["a", "big"]));
        assert!(held(&spec, &["a"]).is_empty());

        let schema = "s".parse().unwrap();
        let left = |rerun: &[&str]| {
            let all = TableSelection::All;
            let mut choice = choose(&catalog(), &schema, &all, &names(rerun)).unwrap();
            choice.hold(&names(&["big"]), &names(rerun));
            let tables: Vec<_> = choice.tables.iter().map(|t| t.name.to_string()).collect();
            (tables, choice.left_out.pop().unwrap().1)
        };
        assert_eq!(left(&[]), (vec!["a".to_owned()], Skipped::Held));
        assert_eq!(
            left(&["a", "big"]),
            (vec!["a".to_owned()], Skipped::HeldTarget)
        );
    }

    #[test]
    fn a_schema_that_is_gone_is_no_success() {
        let mut catalog = catalog();
        let all = TableSelection::All;
        let schema: PgName = "s".parse().unwrap();
        for (state, part) in [
            (SchemaState::Missing, "no schema `s`"),
            (SchemaState::Unusable, "may not use the schema `s`"),
        ] {
            catalog.schema = state;
            let error = choose(&catalog, &schema, &all, &names(&[])).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        catalog.schema = SchemaState::Usable;
        catalog.tables.clear();
        let error = choose(&catalog, &schema, &all, &names(&[])).unwrap_err();
        assert_eq!(error.to_string(), "the schema `s` has no table to copy");
    }
}
