//! Tables: schema, rows and labels, and what each way of writing keeps of them.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::reply::{Answer, Kind, Refusal, page, parse};
use super::statement::TableName;
use super::values::shown;

/// BigQuery's limit of writes to one table in a day.
const WRITES_A_DAY: u32 = 1_500;

/// A table with its rows.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Rows that it has, and that are not kept: see [`super::super::Options::most_rows`].
    pub(super) forgotten: usize,
    pub(super) labels: BTreeMap<String, String>,
    /// In milliseconds since 1970.
    pub(super) created: String,
    /// The same; kept by every way of writing.
    pub(super) expires: Option<String>,
    /// How often it was written to, and on which day last.
    pub(super) written: (i64, u32),
    /// How often it was written to in all.
    pub(super) writes: u64,
}

/// A column, with what people added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// As GoogleSQL names it.
    pub kind: String,
    pub description: Option<String>,
}

/// What is to be written.
pub(super) struct Write<'w> {
    pub(super) disposition: &'w str,
    pub(super) may_create: bool,
    pub(super) may_add: bool,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) forgotten: usize,
    /// Days since 1970, for the daily limit.
    pub(super) day: i64,
}

/// Why a write failed: reason and message.
pub(super) type Failed = (&'static str, String);

impl Table {
    /// Counts one write.
    ///
    /// # Errors
    /// Above the limit of a day.
    pub(super) fn count_write(&mut self, day: i64) -> Result<(), Failed> {
        let (last, count) = self.written;
        let count = if last == day { count } else { 0 };
        if count >= WRITES_A_DAY {
            let message =
                "Quota exceeded: Your table exceeded quota for Number of partition modifications";
            return Err(("quotaExceeded", message.to_owned()));
        }
        self.written = (day, count + 1);
        self.writes += 1;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let cells = self.rows.iter().flatten().flatten();
        cells.map(String::len).sum()
    }

    pub(super) fn view(&self, name: &TableName) -> Value {
        let fields: Vec<Value> = self.columns.iter().map(Column::view).collect();
        let mut view = json!({
            "kind": "bigquery#table",
            "id": format!("{}:{}.{}", name.project, name.dataset, name.table),
            "tableReference": {
                "projectId": name.project, "datasetId": name.dataset, "tableId": name.table,
            },
            "type": "TABLE",
            "schema": { "fields": fields },
            "numRows": (self.rows.len() + self.forgotten).to_string(),
            "numBytes": self.bytes().to_string(),
            "labels": self.labels,
            "creationTime": self.created,
        });
        if let (Some(expires), Some(view)) = (&self.expires, view.as_object_mut()) {
            view.insert("expirationTime".to_owned(), json!(expires));
        }
        view
    }
}

impl Column {
    pub(super) fn view(&self) -> Value {
        let mut field = json!({ "name": self.name, "type": shown(&self.kind), "mode": "NULLABLE" });
        if let (Some(description), Some(field)) = (&self.description, field.as_object_mut()) {
            field.insert("description".to_owned(), json!(description));
        }
        field
    }
}

/// Writes into a table that may be there, all or nothing, and says what it is then.
///
/// # Errors
/// With BigQuery's reason, and the table as it was.
pub(super) fn written(table: Option<&Table>, write: Write<'_>) -> Result<Table, Failed> {
    legal(&write.columns)?;
    let Some(table) = table else {
        if !write.may_create {
            return Err(("notFound", "Not found: Table".to_owned()));
        }
        let mut table = Table {
            columns: write.columns,
            rows: write.rows,
            forgotten: write.forgotten,
            ..Table::default()
        };
        table.count_write(write.day)?;
        return Ok(table);
    };
    let mut next = table.clone();
    next.count_write(write.day)?;
    match write.disposition {
        "WRITE_TRUNCATE" => {
            // The schema is the result's: what people added to it goes.
            (next.columns, next.rows) = (write.columns, write.rows);
            next.forgotten = write.forgotten;
        }
        "WRITE_EMPTY" if !table.rows.is_empty() => {
            return Err(("duplicate", "Already Exists: Table".to_owned()));
        }
        "WRITE_EMPTY" | "WRITE_APPEND" | "WRITE_TRUNCATE_DATA" => {
            if write.disposition == "WRITE_TRUNCATE_DATA" {
                next.rows.clear();
                next.forgotten = 0;
            }
            next.add(write)?;
        }
        other => return Err(("invalid", format!("Invalid write disposition {other}"))),
    }
    Ok(next)
}

impl Table {
    /// Adds rows by the names of their columns; the schema stays but for columns that may come.
    fn add(&mut self, write: Write<'_>) -> Result<(), Failed> {
        let mut places = Vec::new();
        for column in &write.columns {
            let at = self
                .columns
                .iter()
                .position(|known| known.name.eq_ignore_ascii_case(&column.name));
            let at = match at {
                Some(at) => at,
                None if write.may_add => {
                    self.columns.push(column.clone());
                    self.columns.len() - 1
                }
                None => {
                    let message = format!(
                        "Provided Schema does not match Table. Cannot add fields (field: {})",
                        column.name
                    );
                    return Err(("invalid", message));
                }
            };
            let known = self.columns.get(at).map_or("", |known| &known.kind);
            if known != column.kind {
                let message = format!(
                    "Provided Schema does not match Table. Field {} has changed type from {} to {}",
                    column.name,
                    shown(known),
                    shown(&column.kind)
                );
                return Err(("invalid", message));
            }
            places.push(at);
        }
        let width = self.columns.len();
        for row in &mut self.rows {
            row.resize(width, None);
        }
        self.forgotten += write.forgotten;
        for row in write.rows {
            let mut placed = vec![None; width];
            for (at, cell) in places.iter().zip(row) {
                if let Some(place) = placed.get_mut(*at) {
                    *place = cell;
                }
            }
            self.rows.push(placed);
        }
        Ok(())
    }
}

/// Names that BigQuery refuses, and such that differ by case alone.
fn legal(columns: &[Column]) -> Result<(), Failed> {
    let kept = [
        "_TABLE_",
        "_FILE_",
        "_PARTITION",
        "_ROW_TIMESTAMP",
        "__ROOT__",
        "_COLIDENTIFIER",
    ];
    let mut seen = BTreeSet::new();
    for Column { name, .. } in columns {
        let upper = name.to_uppercase();
        if name.is_empty()
            || name.chars().count() > 300
            || kept.iter().any(|one| upper.starts_with(one))
        {
            return Err(("invalid", format!("Invalid field name \"{name}\"")));
        }
        if !seen.insert(upper) {
            let message = format!(
                "Duplicate column names in the result are not supported. Found duplicate(s): {name}"
            );
            return Err(("invalidQuery", message));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Paging {
    page_token: Option<String>,
    max_results: Option<usize>,
}

pub(in super::super) async fn list(
    State(world): State<Shared>,
    Path((project, dataset)): Path<(String, String)>,
    Query(paging): Query<Paging>,
) -> Answer {
    let world = world.lock();
    known(&world, &project, &dataset)?;
    let all = world.tables.iter();
    let all = all.filter(|(name, _)| name.project == project && name.dataset == dataset);
    let all = all.map(|(name, table)| {
        let reference = json!({"projectId": project, "datasetId": dataset, "tableId": name.table});
        (
            name.table.clone(),
            json!({
                "kind": "bigquery#table", "tableReference": reference, "type": "TABLE",
                "creationTime": table.created,
            }),
        )
    });
    let all: Vec<(String, Value)> = all.collect();
    let total = all.len();
    let (tables, next) = page(
        all,
        paging.page_token.as_deref(),
        paging.max_results.unwrap_or(50),
    );
    let mut body = json!({"kind": "bigquery#tableList", "totalItems": total, "tables": tables});
    if let (Some(next), Some(body)) = (next, body.as_object_mut()) {
        body.insert("nextPageToken".to_owned(), json!(next));
    }
    Ok(Json(body))
}

pub(in super::super) async fn get(
    State(world): State<Shared>,
    Path((project, dataset, table)): Path<(String, String, String)>,
) -> Answer {
    let world = world.lock();
    known(&world, &project, &dataset)?;
    let name = TableName {
        project,
        dataset,
        table,
    };
    match world.tables.get(&name) {
        Some(table) => Ok(Json(table.view(&name))),
        None => Err(missing(&name)),
    }
}

pub(in super::super) async fn patch(
    State(world): State<Shared>,
    Path((project, dataset, table)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Patch {
        /// A null takes the label away.
        labels: BTreeMap<String, Option<String>>,
    }
    let patch: Patch = parse(&body)?;
    let mut world = world.lock();
    known(&world, &project, &dataset)?;
    let name = TableName {
        project,
        dataset,
        table,
    };
    let Some(table) = world.tables.get_mut(&name) else {
        return Err(missing(&name));
    };
    for (key, value) in patch.labels {
        match value {
            Some(value) => table.labels.insert(key, value),
            None => table.labels.remove(&key),
        };
    }
    Ok(Json(table.view(&name)))
}

pub(super) fn missing(name: &TableName) -> Refusal {
    let TableName {
        project,
        dataset,
        table,
    } = name;
    Refusal::new(
        Kind::NotFound,
        format!("Not found: Table {project}:{dataset}.{table}"),
    )
}

pub(super) fn known(
    world: &super::super::world::World,
    project: &str,
    dataset: &str,
) -> Result<(), Refusal> {
    if world.dataset(project, dataset).is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::NotFound,
        format!("Not found: Dataset {project}:{dataset}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            description: None,
        }
    }

    fn write<'w>(disposition: &'w str, columns: &[(&str, &str)], cells: &[&str]) -> Write<'w> {
        Write {
            disposition,
            may_create: true,
            may_add: false,
            columns: columns
                .iter()
                .map(|(name, kind)| column(name, kind))
                .collect(),
            forgotten: 0,
            rows: vec![cells.iter().map(|cell| Some((*cell).to_owned())).collect()],
            day: 1,
        }
    }

    fn described() -> Table {
        let mut table = written(None, write("WRITE_EMPTY", &[("a", "INT64")], &["1"])).unwrap();
        table.columns[0].description = Some("people's".to_owned());
        table
    }

    #[test]
    fn each_disposition_keeps_what_it_keeps() {
        let table = described();
        let next = written(
            Some(&table),
            write("WRITE_TRUNCATE_DATA", &[("A", "INT64")], &["2"]),
        )
        .unwrap();
        assert_eq!(next.columns, table.columns);
        assert_eq!(next.rows, [[Some("2".to_owned())]]);
        let next = written(
            Some(&table),
            write("WRITE_TRUNCATE", &[("b", "STRING")], &["x"]),
        )
        .unwrap();
        assert_eq!(next.columns, [column("b", "STRING")]);
        let next = written(
            Some(&table),
            write("WRITE_APPEND", &[("a", "INT64")], &["2"]),
        )
        .unwrap();
        assert_eq!(next.rows.len(), 2);
        let reason = |write| written(Some(&table), write).unwrap_err().0;
        assert_eq!(
            reason(write("WRITE_EMPTY", &[("a", "INT64")], &["2"])),
            "duplicate"
        );
        assert_eq!(
            reason(write("WRITE_APPEND", &[("a", "STRING")], &["2"])),
            "invalid"
        );
        assert_eq!(
            reason(write("WRITE_TRUNCATE_DATA", &[("b", "INT64")], &["2"])),
            "invalid"
        );
        let twice = [("a", "INT64"), ("A", "INT64")];
        assert_eq!(
            reason(write("WRITE_TRUNCATE", &twice, &["1", "2"])),
            "invalidQuery"
        );
    }

    #[test]
    fn a_column_comes_only_if_it_may() {
        let table = described();
        let mut adding = write(
            "WRITE_TRUNCATE_DATA",
            &[("b", "STRING"), ("a", "INT64")],
            &["x", "2"],
        );
        adding.may_add = true;
        let next = written(Some(&table), adding).unwrap();
        let cell = |text: &str| Some(text.to_owned());
        assert_eq!(next.rows, [[cell("2"), cell("x")]]);
    }

    #[test]
    fn so_many_writes_in_a_day() {
        let mut table = described();
        for _ in 1..WRITES_A_DAY {
            table.count_write(1).unwrap();
        }
        assert_eq!(table.count_write(1).unwrap_err().0, "quotaExceeded");
        table.count_write(2).unwrap();
    }
}
