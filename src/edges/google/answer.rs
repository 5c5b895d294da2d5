//! What BigQuery answers about jobs: 64-bit numbers stand in strings, and what has not happened
//! yet is left out.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::error::GoogleError;
use super::job::{Job, JobError, JobState, JobStatistics, Poll, ResultPage};
use super::table::Field;

#[derive(Deserialize)]
pub(super) struct Answer {
    status: StatusAnswer,
    #[serde(default)]
    statistics: StatisticsAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusAnswer {
    state: String,
    error_result: Option<JobError>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StatisticsAnswer {
    creation_time: Value,
    start_time: Value,
    end_time: Value,
    total_slot_ms: Value,
    query: QueryAnswer,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct QueryAnswer {
    total_bytes_processed: Value,
    num_dml_affected_rows: Value,
    schema: Option<SchemaAnswer>,
}

#[derive(Deserialize)]
pub(super) struct SchemaAnswer {
    #[serde(default)]
    pub(super) fields: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageAnswer {
    job_complete: bool,
    schema: Option<SchemaAnswer>,
    #[serde(default)]
    rows: Vec<RowAnswer>,
    #[serde(default)]
    total_rows: Value,
    page_token: Option<String>,
}

#[derive(Deserialize)]
struct RowAnswer {
    #[serde(default)]
    f: Vec<CellAnswer>,
}

#[derive(Deserialize)]
struct CellAnswer {
    #[serde(default)]
    v: Value,
}

impl Answer {
    /// The job, if its state is one that is documented.
    pub(super) fn job(self, attempt: &str) -> Result<Job, GoogleError> {
        let Self { status, statistics } = self;
        let state = match (status.state.as_str(), status.error_result) {
            ("PENDING", _) => JobState::Pending,
            ("RUNNING", _) => JobState::Running,
            ("DONE", None) => JobState::Succeeded,
            ("DONE", Some(error)) => JobState::Failed(error),
            _ => {
                return Err(GoogleError::Decode {
                    attempt: attempt.to_owned(),
                    message: "the state of the job".into(),
                });
            }
        };
        Ok(Job {
            state,
            statistics: JobStatistics {
                created: moment(&statistics.creation_time),
                started: moment(&statistics.start_time),
                ended: moment(&statistics.end_time),
                slot_ms: number(&statistics.total_slot_ms),
                bytes_processed: number(&statistics.query.total_bytes_processed),
                dml_rows: number(&statistics.query.num_dml_affected_rows),
            },
            schema: statistics
                .query
                .schema
                .map(|schema| Field::all(Some(schema.fields))),
        })
    }
}

impl PageAnswer {
    pub(super) fn poll(self) -> Poll {
        if !self.job_complete {
            return Poll::Running;
        }
        let row = |row: RowAnswer| row.f.into_iter().map(|cell| text(cell.v)).collect();
        Poll::Complete(ResultPage {
            schema: Field::all(self.schema.map(|schema| schema.fields)),
            rows: self.rows.into_iter().map(row).collect(),
            total_rows: number(&self.total_rows).unwrap_or_default(),
            next: self.page_token.filter(|token| !token.is_empty()),
        })
    }
}

/// A 64-bit number, which the API writes as a string.
pub(super) fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Milliseconds since 1970, written as [`number`] reads them.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let milliseconds = i64::try_from(number(value)?).ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

/// A cell as the text that it is; what is nested stays JSON.
fn text(cell: Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}
