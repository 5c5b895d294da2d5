//! Which columns of a table are copied, and what tables and columns are called in BigQuery.
//!
//! A name that BigQuery takes stays as it is, in its case. In any other one, each character
//! that BigQuery does not take becomes `_`, and a prefix that BigQuery keeps for itself gets
//! `pg` before it. Two columns that would have one name fail the table: choosing for people
//! would move data from one column to another when a third one appears.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{PgName, excerpt};

use super::catalog::{Column, Table};
use super::run_spec::ColumnSelection;
use super::types::{Loss, Treatment, treat};

/// BigQuery's limit for the columns of a table.
const COLUMNS: usize = 10_000;

/// Prefixes of column names that BigQuery keeps for itself, in any case
/// (<https://docs.cloud.google.com/bigquery/docs/schemas>).
const RESERVED: &[&str] = &[
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_SEQUENCE_NUMBER",
    "_CHANGE_TYPE",
    "_CHANGE_TIMESTAMP",
];

/// One table, ready to be put into statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCopy {
    pub table: PgName,
    /// The destination's id.
    pub table_id: String,
    /// In the order of the table; never empty.
    pub columns: Vec<Copied>,
    /// Names that `columns: exclude` has and the table has not.
    pub unknown_excluded: BTreeSet<PgName>,
}

/// One column, from and to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub column: Column,
    /// Its name in BigQuery.
    pub name: String,
    pub treatment: Treatment,
}

/// Why a table can not be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    #[error("no column is left to copy")]
    None,
    #[error(
        "{0} columns are more than BigQuery takes in a table (10,000): leave some out with `columns`"
    )]
    TooMany(usize),
    #[error("there is no column {}, that `columns: include` names", listed(.0))]
    Unknown(Vec<String>),
    #[error(
        "the connection's role may not read {}: grant it, or leave it out with `columns: exclude`",
        listed(.0)
    )]
    Unreadable(Vec<String>),
    #[error(
        "columns `{}` and `{}` would both be `{name}` in BigQuery, which ignores case: leave one out with `columns: exclude`",
        excerpt(first, 63),
        excerpt(second, 63)
    )]
    Collision {
        first: String,
        second: String,
        name: String,
    },
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(5)
        .map(|name| format!("`{}`", excerpt(name, 63)))
        .collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Decides which columns of `table` are copied, and how.
pub fn copy_of(table: &Table, selection: &ColumnSelection) -> Result<TableCopy, ColumnsError> {
    let present: BTreeSet<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let absent = |names: &BTreeSet<PgName>| -> BTreeSet<PgName> {
        let absent = names.iter().filter(|name| !present.contains(name.as_str()));
        absent.cloned().collect()
    };
    let mut unknown_excluded = BTreeSet::new();
    match selection {
        ColumnSelection::All => {}
        ColumnSelection::Include(names) => {
            let unknown = absent(names);
            if !unknown.is_empty() {
                return Err(ColumnsError::Unknown(
                    unknown.into_iter().map(String::from).collect(),
                ));
            }
        }
        ColumnSelection::Exclude(names) => unknown_excluded = absent(names),
    }
    let chosen: Vec<&Column> = table
        .columns
        .iter()
        .filter(|column| selection.contains(&column.name))
        .collect();
    if chosen.is_empty() {
        return Err(ColumnsError::None);
    }
    if chosen.len() > COLUMNS {
        return Err(ColumnsError::TooMany(chosen.len()));
    }
    let unreadable: Vec<String> = chosen
        .iter()
        .filter(|column| !column.readable)
        .map(|column| column.name.clone())
        .collect();
    if !unreadable.is_empty() {
        return Err(ColumnsError::Unreadable(unreadable));
    }
    Ok(TableCopy {
        table: table.name.clone(),
        table_id: table_id(&table.name),
        columns: named(chosen)?,
        unknown_excluded,
    })
}

fn named(chosen: Vec<&Column>) -> Result<Vec<Copied>, ColumnsError> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut columns = Vec::new();
    for column in chosen {
        let name = column_name(&column.name);
        if let Some(first) = taken.insert(name.to_lowercase(), &column.name) {
            return Err(ColumnsError::Collision {
                first: first.to_owned(),
                second: column.name.clone(),
                name,
            });
        }
        columns.push(Copied {
            column: column.clone(),
            name,
            treatment: treat(column),
        });
    }
    Ok(columns)
}

impl ColumnSelection {
    /// Whether a column of this name leaves PostgreSQL.
    pub fn contains(&self, column: &str) -> bool {
        let named = |names: &BTreeSet<PgName>| names.iter().any(|name| name.as_str() == column);
        match self {
            Self::All => true,
            Self::Include(names) => named(names),
            Self::Exclude(names) => !named(names),
        }
    }
}

impl TableCopy {
    /// The column of this name in PostgreSQL.
    pub fn column(&self, name: &str) -> Option<&Copied> {
        self.columns
            .iter()
            .find(|copied| copied.column.name == name)
    }

    /// Without the columns that have one of these names in BigQuery.
    pub fn without(mut self, names: &BTreeSet<String>) -> Self {
        self.columns.retain(|copied| !names.contains(&copied.name));
        self
    }

    /// What people should know about this copy: each lossy column and each new name.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.table_id != self.table.as_str() {
            notes.push(format!(
                "The table is called `{}` in BigQuery.",
                self.table_id
            ));
        }
        let mut losses: BTreeMap<Loss, Vec<String>> = BTreeMap::new();
        for copied in &self.columns {
            if copied.name != copied.column.name {
                notes.push(format!(
                    "Column `{}` is called `{}` in BigQuery.",
                    excerpt(&copied.column.name, 63),
                    copied.name
                ));
            }
            if let Some(loss) = copied.treatment.loss {
                losses.entry(loss).or_default().push(copied.name.clone());
            }
        }
        for (loss, columns) in losses {
            notes.push(format!("{}: {}", listed(&columns), loss.sentence()));
        }
        if !self.unknown_excluded.is_empty() {
            let names: Vec<String> = self
                .unknown_excluded
                .iter()
                .map(PgName::to_string)
                .collect();
            notes.push(format!(
                "`columns: exclude` names {}, which the table does not have.",
                listed(&names)
            ));
        }
        notes
    }
}

/// The id of a table in BigQuery: letters, marks, digits, `_`, `-` and spaces are taken, and
/// 63 bytes of PostgreSQL are never too long.
pub fn table_id(table: &PgName) -> String {
    legal(table.as_str())
}

fn column_name(name: &str) -> String {
    let name = legal(name);
    let upper = name.to_uppercase();
    if RESERVED.iter().any(|prefix| upper.starts_with(prefix)) {
        format!("pg{name}")
    } else {
        name
    }
}

/// BigQuery takes a little more than this (marks, for one), in a list that has grown with the
/// years; what is taken here was in it from the start of flexible names.
fn legal(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| match c {
            '_' | '-' | ' ' => c,
            c if c.is_alphanumeric() => c,
            _ => '_',
        })
        .collect();
    // A name of blanks alone, or with one at an end, is lost in most tools.
    let trimmed = clean.trim_matches(' ');
    if trimmed.is_empty() {
        return "_".repeat(clean.chars().count().max(1));
    }
    trimmed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{column, table};
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<PgName> {
        list.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn said(columns: &[&str], selection: &ColumnSelection) -> String {
        let columns = columns.iter().map(|name| column(name, 25)).collect();
        match copy_of(&table("t", columns), selection) {
            Ok(copy) => {
                let names: Vec<_> = copy.columns.iter().map(|c| c.name.as_str()).collect();
                format!("{} / {}", names.join(" "), copy.notes().join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_that_bigquery_refuses_get_others() {
        assert_eq!(
            said(
                &["id", "Größe", "a`b\"c", "_partitionTime", "2x"],
                &ColumnSelection::All
            ),
            "id Größe a_b_c pg_partitionTime 2x / Column `a`b\"c` is called `a_b_c` in BigQuery. Column `_partitionTime` is called `pg_partitionTime` in BigQuery."
        );
        assert_eq!(table_id(&"a.b;$".parse().unwrap()), "a_b__");
        assert_eq!(table_id(&"  ".parse().unwrap()), "__");
    }

    #[test]
    fn two_of_one_name_fail_and_say_which() {
        let both = "columns `Id` and `id` would both be `id` in BigQuery, which ignores case: leave one out with `columns: exclude`";
        assert_eq!(said(&["Id", "id"], &ColumnSelection::All), both);
        let exclude = ColumnSelection::Exclude(names(&["Id", "gone"]));
        assert_eq!(
            said(&["Id", "id"], &exclude),
            "id / `columns: exclude` names `gone`, which the table does not have."
        );
        assert!(said(&["a.b", "a_b"], &ColumnSelection::All).contains("would both be `a_b`"));
    }

    #[test]
    fn what_is_excluded_is_not_asked_for() {
        let mut secret = column("secret", 25);
        secret.readable = false;
        let table = table("t", vec![column("id", 20), secret]);
        let error = copy_of(&table, &ColumnSelection::All).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the connection's role may not read `secret`")
        );
        let copy = copy_of(&table, &ColumnSelection::Exclude(names(&["secret"]))).unwrap();
        assert!(copy.column("secret").is_none());
        let include = ColumnSelection::Include(names(&["id", "gone"]));
        let error = copy_of(&table, &include).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no column `gone`, that `columns: include` names"
        );
        let nothing = ColumnSelection::Include(names(&[]));
        assert_eq!(copy_of(&table, &nothing), Err(ColumnsError::None));
    }
}
