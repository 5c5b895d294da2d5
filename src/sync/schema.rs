//! What the source's columns mean for a destination that is there already.

use serde::Serialize;

use super::columns::TableCopy;
use super::statement::NullColumn;
use super::types::BigQueryType;
use crate::pipeline::{Arrival, SchemaChanges};

/// A column of the destination, as `tables.get` answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationColumn {
    pub name: String,
    /// `INTEGER`, `STRING`, `RECORD`…
    pub type_name: String,
    pub mode: ColumnMode,
}

/// A column's `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnMode {
    Nullable,
    Required,
    Repeated,
}

/// Whether a table can be written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaDecision {
    Write(SchemaWrite),
    /// Each reason is a sentence with the way out.
    Refused(Vec<String>),
}

/// How a table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaWrite {
    pub disposition: WriteDisposition,
    pub options: Vec<UpdateOption>,
    /// Columns (in BigQuery's names) that come.
    pub added: Vec<String>,
    /// That wait until a pull request names them: left out of the copy.
    pub held: Vec<String>,
    /// That the source does not have, and that become NULL.
    pub dropped: Vec<String>,
    /// Those of them that the statement can name.
    pub nulls: Vec<NullColumn>,
    /// That were REQUIRED, and can not be after a copy.
    pub relaxed: Vec<String>,
}

/// The query job's `writeDisposition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WriteDisposition {
    /// For a table that is not there: should it appear meanwhile, it is not overwritten.
    WriteEmpty,
    /// Keeps what people added to the table.
    WriteTruncateData,
}

/// One of the query job's `schemaUpdateOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateOption {
    AllowFieldAddition,
    AllowFieldRelaxation,
}

/// Compares `copy` with the destination (`None`: not there).
pub fn compare(
    destination: Option<&[DestinationColumn]>,
    copy: &TableCopy,
    changes: SchemaChanges,
    new_columns: Arrival,
) -> SchemaDecision {
    let mut write = SchemaWrite {
        disposition: WriteDisposition::WriteTruncateData,
        options: Vec::new(),
        added: Vec::new(),
        held: Vec::new(),
        dropped: Vec::new(),
        nulls: Vec::new(),
        relaxed: Vec::new(),
    };
    let Some(destination) = destination else {
        write.disposition = WriteDisposition::WriteEmpty;
        return SchemaDecision::Write(write);
    };
    let mut refused = Vec::new();
    for copied in &copy.columns {
        match destination.iter().find(|c| same(&c.name, &copied.name)) {
            None if new_columns == Arrival::Hold => write.held.push(copied.name.clone()),
            None => write.added.push(copied.name.clone()),
            Some(column) => {
                refused.extend(retyped(column, copied.treatment.bigquery));
                if column.mode == ColumnMode::Required {
                    write.relaxed.push(column.name.clone());
                }
            }
        }
    }
    for column in destination {
        if copy.columns.iter().any(|c| same(&c.name, &column.name)) {
            continue;
        }
        write.dropped.push(column.name.clone());
        if column.mode == ColumnMode::Required {
            write.relaxed.push(column.name.clone());
        }
        if let Some(kind) = BigQueryType::from_api(&column.type_name)
            && column.mode != ColumnMode::Repeated
        {
            write.nulls.push((column.name.clone(), kind));
        }
    }
    if changes == SchemaChanges::Freeze {
        refused.extend(frozen(&write));
    }
    if write.held.len() == copy.columns.len() {
        refused.push(
            "No column of the source is in the destination, and new ones are held: is it the right table?"
                .to_owned(),
        );
    }
    if !refused.is_empty() {
        return SchemaDecision::Refused(refused);
    }
    if !write.added.is_empty() {
        write.options.push(UpdateOption::AllowFieldAddition);
    }
    if !write.relaxed.is_empty() {
        write.options.push(UpdateOption::AllowFieldRelaxation);
    }
    SchemaDecision::Write(write)
}

/// BigQuery's column names ignore case.
fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn retyped(column: &DestinationColumn, now: BigQueryType) -> Option<String> {
    let same = BigQueryType::from_api(&column.type_name) == Some(now)
        && column.mode != ColumnMode::Repeated;
    let before = match column.mode {
        ColumnMode::Repeated => format!("ARRAY of {}", column.type_name),
        _ => column.type_name.clone(),
    };
    (!same).then(|| {
        format!(
            "Column `{}` is {before} in BigQuery and would become {}: drop that column in BigQuery, and the next run adds it anew.",
            column.name,
            now.sql()
        )
    })
}

fn frozen(write: &SchemaWrite) -> Vec<String> {
    let mut refused = Vec::new();
    for (names, what) in [
        (&write.added, "is new at the source"),
        (&write.dropped, "is no longer at the source"),
        (&write.relaxed, "is REQUIRED in BigQuery"),
    ] {
        refused.extend(names.iter().map(|name| {
            format!("Column `{name}` {what}, and `schema_changes: freeze` holds the schema.")
        }));
    }
    refused
}

impl SchemaWrite {
    /// What people should know: one sentence for each kind of change.
    pub fn notes(&self) -> Vec<String> {
        [
            (&self.added, "New columns"),
            (
                &self.held,
                "New columns, held until a pull request names them",
            ),
            (
                &self.dropped,
                "Columns that the source has no longer, now NULL",
            ),
            (&self.relaxed, "Columns that were REQUIRED, now NULLABLE"),
        ]
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{what}: {}.", names.join(", ")))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::copy_of;
    use super::super::testing::{column, table};
    use super::*;
    use crate::pipeline::ColumnSelection;

    fn copy() -> TableCopy {
        let table = table("t", vec![column("Id", 20), column("name", 25)]);
        copy_of(&table, &ColumnSelection::All).unwrap()
    }

    fn there(columns: &[(&str, &str, ColumnMode)]) -> Vec<DestinationColumn> {
        columns
            .iter()
            .map(|(name, type_name, mode)| DestinationColumn {
                name: (*name).to_owned(),
                type_name: (*type_name).to_owned(),
                mode: *mode,
            })
            .collect()
    }

    fn write(destination: &[DestinationColumn], arrival: Arrival) -> SchemaWrite {
        match compare(Some(destination), &copy(), SchemaChanges::Evolve, arrival) {
            SchemaDecision::Write(write) => write,
            SchemaDecision::Refused(why) => panic!("{why:?}"),
        }
    }

    use ColumnMode::{Nullable, Repeated, Required};

    #[test]
    fn evolution() {
        let old = there(&[
            ("id", "INTEGER", Required),
            ("gone", "FLOAT", Nullable),
            ("tags", "STRING", Repeated),
        ]);
        let evolved = write(&old, Arrival::Copy);
        assert_eq!(evolved.added, ["name"]);
        assert_eq!(evolved.dropped, ["gone", "tags"]);
        assert_eq!(evolved.nulls, [("gone".to_owned(), BigQueryType::Float64)]);
        assert_eq!(evolved.relaxed, ["id"]);
        assert_eq!(
            serde_json::to_string(&(evolved.disposition, &evolved.options)).unwrap(),
            r#"["WRITE_TRUNCATE_DATA",["ALLOW_FIELD_ADDITION","ALLOW_FIELD_RELAXATION"]]"#
        );
        assert_eq!(write(&old, Arrival::Hold).held, ["name"]);
        let same = write(
            &there(&[("ID", "INT64", Nullable), ("name", "STRING", Nullable)]),
            Arrival::Copy,
        );
        assert!(same.options.is_empty() && same.notes().is_empty());
    }

    #[test]
    fn what_can_not_be_written_says_the_way_out() {
        let retyped = there(&[("Id", "STRING", Nullable), ("name", "STRING", Repeated)]);
        let refused = compare(
            Some(&retyped),
            &copy(),
            SchemaChanges::Evolve,
            Arrival::Copy,
        );
        assert_eq!(
            refused,
            SchemaDecision::Refused(vec![
                "Column `Id` is STRING in BigQuery and would become INT64: drop that column in BigQuery, and the next run adds it anew.".to_owned(),
                "Column `name` is ARRAY of STRING in BigQuery and would become STRING: drop that column in BigQuery, and the next run adds it anew.".to_owned(),
            ])
        );
        let smaller = there(&[("Id", "INTEGER", Nullable), ("x", "STRING", Nullable)]);
        let frozen = compare(
            Some(&smaller),
            &copy(),
            SchemaChanges::Freeze,
            Arrival::Copy,
        );
        assert!(matches!(frozen, SchemaDecision::Refused(why) if why.len() == 2));
        let missing = compare(None, &copy(), SchemaChanges::Freeze, Arrival::Hold);
        assert!(
            matches!(missing, SchemaDecision::Write(write) if write.disposition == WriteDisposition::WriteEmpty)
        );
    }
}
