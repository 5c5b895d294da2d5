//! Runs as the page shows them, with what became of each table.

use serde::Serialize;
use serde_json::Value;

use crate::sync::{Outcome, RunReport, TableReport};

/// Tables of one run that are shown.
const MOST_TABLES: usize = 50;

/// A run of a pipeline.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub name: String,
    pub of: String,
    pub phase: String,
    pub message: String,
    pub tables: Vec<Table>,
    /// How many there are beyond them.
    pub more: usize,
}

/// What became of a table.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub name: String,
    /// `copied`, `skipped` or `failed`.
    pub result: &'static str,
    pub why: String,
    pub rows: Option<u64>,
}

/// The Workflows, newest last.
pub(super) fn runs(objects: &[Value]) -> Vec<Run> {
    let mut runs: Vec<&Value> = objects
        .iter()
        .filter(|object| text(object, "/kind") == "Workflow")
        .collect();
    runs.sort_by_key(|run| text(run, "/metadata/creationTimestamp"));
    runs.into_iter().map(shown).collect()
}

fn shown(run: &Value) -> Run {
    let outputs = run
        .pointer("/status/outputs/parameters")
        .and_then(Value::as_array);
    let mut outputs = outputs.into_iter().flatten();
    let report = outputs.find(|output| text(output, "/name") == "report");
    let report = report.and_then(|output| RunReport::from_json(text(output, "/value")).ok());
    // The runner's own words, else Argo's.
    let message = match &report {
        Some(report) => &report.message,
        None => text(run, "/status/message"),
    };
    let tables = report.iter().flat_map(|report| &report.tables);
    let count = tables.clone().count();
    Run {
        of: text(run, "/metadata/ownerReferences/0/name").to_owned(),
        phase: match text(run, "/status/phase") {
            "" => "Pending".to_owned(),
            phase => phase.to_owned(),
        },
        message: message.to_owned(),
        tables: tables.take(MOST_TABLES).map(table).collect(),
        more: count.saturating_sub(MOST_TABLES)
            + report.as_ref().map_or(0, |report| report.left_out),
        name: text(run, "/metadata/name").to_owned(),
    }
}

fn table(table: &TableReport) -> Table {
    let (result, why) = match &table.result {
        Outcome::Copied => ("copied", table.notes.join(" ")),
        Outcome::Skipped(why) => ("skipped", why.clone()),
        Outcome::Failed(failure) => ("failed", failure.error.clone()),
    };
    Table {
        name: table.table.clone(),
        result,
        why,
        rows: table.rows,
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}
