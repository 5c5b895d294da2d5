//! What a run did: for people in one line, for the bot as JSON in the Workflow's output.

use serde::{Deserialize, Serialize};

use crate::name::{PipelineName, ServiceName, excerpt};

use super::failure::Persistence;

/// The longest report in bytes; a Workflow's outputs live in an object of the cluster.
pub const LONGEST_REPORT: usize = 64 * 1024;
/// The longest sentence in it, in characters.
const LONGEST_SENTENCE: usize = 600;
/// The most notes about one table, or warnings about the run.
const NOTES: usize = 20;
const VERSION: u32 = 1;

/// One attempt of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    pub version: u32,
    pub pipeline: PipelineName,
    pub service: ServiceName,
    /// What people read first.
    pub message: String,
    pub totals: Totals,
    /// Why nothing could be copied at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Failures first, then by name.
    pub tables: Vec<TableReport>,
    /// How many tables did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

/// Sums over all tables, those that did not fit included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub copied: usize,
    pub skipped: usize,
    pub failed: usize,
    pub rows: u64,
    pub bytes: u64,
    pub slot_ms: u64,
    /// Of the run, not of its jobs.
    pub duration_ms: u64,
}

/// What became of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    pub table: String,
    pub mode: CopyMode,
    pub result: Outcome,
    /// Rows of the table after a full copy, rows read by an incremental one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What BigQuery bills for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a table was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyMode {
    Full,
    Chunked,
    Incremental,
}

/// How a table ended. In the order of the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Failed(Failure),
    Skipped(String),
    Copied,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub persistence: Persistence,
    pub error: String,
}

/// What a run did, before it is put together.
#[derive(Debug, Clone, Default)]
pub struct RunResult {
    pub tables: Vec<TableReport>,
    pub warnings: Vec<String>,
    pub failure: Option<Failure>,
    pub duration_ms: u64,
}

impl RunReport {
    /// Puts a report together: sorted, counted, and with sentences of bearable length.
    pub fn new(pipeline: PipelineName, service: ServiceName, result: RunResult) -> Self {
        let RunResult {
            mut tables,
            mut warnings,
            failure,
            duration_ms,
        } = result;
        let failure = failure.map(Failure::shortened);
        for table in &mut tables {
            shorten(&mut table.notes);
            table.table = excerpt(&table.table, 63);
            table.result = match table.result.clone() {
                Outcome::Failed(failure) => Outcome::Failed(failure.shortened()),
                Outcome::Skipped(why) => Outcome::Skipped(excerpt(&why, LONGEST_SENTENCE)),
                Outcome::Copied => Outcome::Copied,
            };
        }
        shorten(&mut warnings);
        tables.sort_by(|a, b| (a.rank(), &a.table).cmp(&(b.rank(), &b.table)));
        let totals = Totals::of(&tables, duration_ms);
        Self {
            version: VERSION,
            message: message(&totals, failure.as_ref(), &tables),
            pipeline,
            service,
            totals,
            failure,
            warnings,
            tables,
            left_out: 0,
        }
    }

    /// The output's text: JSON of at most `limit` bytes (in practice [`LONGEST_REPORT`]).
    /// Tables that do not fit are left out from the end and counted. Without `{{`, which Argo
    /// expands wherever an output is used.
    pub fn to_json(&self, limit: usize) -> String {
        let mut report = self.clone();
        report.tables = Vec::new();
        // The count's own digits are in, as many as it can have.
        report.left_out = self.left_out.saturating_add(self.tables.len()).max(1);
        let mut length = text(&report).len();
        let mut kept = 0;
        for table in &self.tables {
            length += text(table).len() + 1;
            if length > limit {
                break;
            }
            kept += 1;
        }
        report.tables = self.tables.iter().take(kept).cloned().collect();
        report.left_out = self.left_out.saturating_add(self.tables.len() - kept);
        text(&report)
    }

    /// Reads what [`RunReport::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Nothing after a success. One failure that may pass is worth another attempt: what is
    /// done already is found by its job's id.
    pub fn persistence(&self) -> Option<Persistence> {
        let tables = self.tables.iter().filter_map(|table| match &table.result {
            Outcome::Failed(failure) => Some(failure.persistence),
            Outcome::Skipped(_) | Outcome::Copied => None,
        });
        // Transient is the smaller one.
        tables
            .chain(self.failure.as_ref().map(|failure| failure.persistence))
            .min()
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> i32 {
        self.persistence().map_or(0, Persistence::exit_code)
    }
}

impl Totals {
    fn of(tables: &[TableReport], duration_ms: u64) -> Self {
        let mut totals = Self {
            duration_ms,
            ..Self::default()
        };
        for table in tables {
            match table.result {
                Outcome::Failed(_) => totals.failed += 1,
                Outcome::Skipped(_) => totals.skipped += 1,
                Outcome::Copied => totals.copied += 1,
            }
            let add = |sum: &mut u64, part: Option<u64>| {
                *sum = sum.saturating_add(part.unwrap_or_default());
            };
            add(&mut totals.rows, table.rows);
            add(&mut totals.bytes, table.bytes);
            add(&mut totals.slot_ms, table.slot_ms);
        }
        totals
    }
}

impl TableReport {
    fn rank(&self) -> u8 {
        match self.result {
            Outcome::Failed(_) => 0,
            Outcome::Skipped(_) => 1,
            Outcome::Copied => 2,
        }
    }
}

impl Failure {
    fn shortened(self) -> Self {
        Self {
            error: excerpt(&self.error, LONGEST_SENTENCE),
            ..self
        }
    }
}

fn shorten(notes: &mut Vec<String>) {
    let more = notes.len().saturating_sub(NOTES);
    notes.truncate(NOTES);
    for note in notes.iter_mut() {
        *note = excerpt(note, LONGEST_SENTENCE);
    }
    if more > 0 {
        notes.push(format!("And {more} more."));
    }
}

/// One line: what was copied, and the first thing that went wrong.
fn message(totals: &Totals, failure: Option<&Failure>, tables: &[TableReport]) -> String {
    if let Some(failure) = failure {
        return excerpt(&failure.error, 300);
    }
    let mut line = format!(
        "{} copied, {} rows, {}, in {} s",
        count(totals.copied),
        totals.rows,
        size(totals.bytes),
        totals.duration_ms / 1000
    );
    if totals.skipped > 0 {
        line.push_str(&format!("; {} skipped", totals.skipped));
    }
    if totals.failed > 0 {
        line = format!("{} failed; {line}", count(totals.failed));
    }
    let first = tables.first().and_then(|table| match &table.result {
        Outcome::Failed(failure) => Some((&table.table, &failure.error)),
        Outcome::Skipped(_) | Outcome::Copied => None,
    });
    if let Some((table, error)) = first {
        line.push_str(&format!(". `{table}`: {}", excerpt(error, 200)));
    }
    line
}

fn count(tables: usize) -> String {
    match tables {
        1 => "1 table".to_owned(),
        some => format!("{some} tables"),
    }
}

fn size(bytes: u64) -> String {
    let units = [
        (1_u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit, name) in units {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

fn text<T: Serialize>(value: &T) -> String {
    // In JSON two opening braces in a row occur inside strings only.
    serde_json::to_string(value)
        .unwrap_or_default()
        .replace("{{", "\\u007b\\u007b")
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, result: Outcome) -> TableReport {
        TableReport {
            table: name.to_owned(),
            mode: CopyMode::Full,
            result,
            rows: Some(10),
            bytes: Some(1536),
            slot_ms: None,
            duration_ms: Some(5),
            notes: Vec::new(),
        }
    }

    fn failed(persistence: Persistence, error: &str) -> Outcome {
        Outcome::Failed(Failure {
            persistence,
            error: error.to_owned(),
        })
    }

    fn report(tables: Vec<TableReport>) -> RunReport {
        let result = RunResult {
            tables,
            duration_ms: 3_400,
            ..RunResult::default()
        };
        RunReport::new("orders".parse().unwrap(), "shop".parse().unwrap(), result)
    }

    #[test]
    fn failures_come_first_and_decide() {
        let tables = vec![
            table("a", Outcome::Copied),
            table("v", Outcome::Skipped("A view.".to_owned())),
            table("z", failed(Persistence::Permanent, "permission denied")),
        ];
        let report = report(tables.clone());
        assert_eq!(
            report.message,
            "1 table failed; 1 table copied, 30 rows, 4.5 KiB, in 3 s; 1 skipped. `z`: permission denied"
        );
        assert_eq!(report.exit_code(), 2);
        let mut both = tables;
        both.push(table("y", failed(Persistence::Transient, "busy")));
        assert_eq!(self::report(both).exit_code(), 75);
        assert_eq!(
            self::report(vec![table("a", Outcome::Copied)]).exit_code(),
            0
        );
        let json = report.to_json(LONGEST_REPORT);
        assert!(json.contains(r#""tables":[{"table":"z","mode":"full","result":{"failed":{"persistence":"permanent","error":"permission denied"}}"#), "{json}");
        assert_eq!(RunReport::from_json(&json).unwrap(), report);
    }

    #[test]
    fn it_fits_and_stays_whole() {
        let nasty = "{{\"\\\u{1}ü".repeat(400);
        let many = (0..900).map(|n| {
            let mut table = table(&format!("t{n:04}"), failed(Persistence::Transient, &nasty));
            table.notes = vec![nasty.clone(); 30];
            table
        });
        let report = report(many.collect());
        for limit in [LONGEST_REPORT, 20_000, 1] {
            let json = report.to_json(limit);
            let read = RunReport::from_json(&json).unwrap();
            assert!(
                json.len() <= limit || read.tables.is_empty(),
                "{}",
                json.len()
            );
            assert_eq!(read.tables.len() + read.left_out, 900);
            assert_eq!(read.totals.failed, 900);
            assert!(!json.contains("{{"));
        }
        let small = report.to_json(LONGEST_REPORT);
        assert!(!RunReport::from_json(&small).unwrap().tables.is_empty());
    }
}
