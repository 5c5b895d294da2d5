//! BigQuery query jobs: inserted under an id of the caller's choice, watched, read and cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::GoogleClient;
use super::answer::{Answer, PageAnswer};
use super::error::GoogleError;
use super::http::{Call, below};
use super::table::{Schema, TableReference};

/// How long one poll may stay open. Below the client's own patience, which counts from byte to byte.
const POLL: Duration = Duration::from_secs(20);

/// Where a job is found again. The location belongs to it: outside the multi-regions BigQuery does not
/// look elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobReference {
    pub project: String,
    pub location: String,
    /// Letters, digits, `_` and `-`; used up by the first insert, whatever becomes of it.
    pub id: String,
}

/// A query to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryJob {
    pub reference: JobReference,
    /// GoogleSQL.
    pub query: String,
    pub labels: BTreeMap<String, String>,
    /// After which BigQuery tries to stop it.
    pub timeout: Duration,
    pub purpose: Purpose,
}

/// What a query is run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Its rows are read with [`GoogleClient::query_page`].
    Read,
    /// A MERGE: the statement itself says what it writes to.
    Merge,
    /// Its rows go into a table, all of them or none.
    Write(Destination),
    /// Checked and described, not run; nothing is written and no job is kept.
    Check(Option<Destination>),
}

/// Where the rows go, and what becomes of those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub table: TableReference,
    pub write: WriteDisposition,
    pub create: CreateDisposition,
    /// What the write may change of the table's schema.
    pub schema_update: Vec<SchemaUpdate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteDisposition {
    /// Replaces the rows and keeps the schema with all that people added to it.
    TruncateData,
    /// Replaces rows and schema.
    Truncate,
    Append,
    /// Fails as a duplicate if there are rows.
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateDisposition {
    IfNeeded,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaUpdate {
    FieldAddition,
    FieldRelaxation,
}

/// A job as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub state: JobState,
    pub statistics: JobStatistics,
    /// Of the result; only a checked query says it here.
    pub schema: Option<Schema>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    Pending,
    Running,
    Succeeded,
    Failed(JobError),
}

impl JobState {
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed(_))
    }
}

/// Why a job failed, in BigQuery's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobError {
    /// Such as `invalidQuery`, `backendError` or `stopped`.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
}

/// What a job cost. Nothing is known of one that has not begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobStatistics {
    pub created: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub slot_ms: Option<u64>,
    pub bytes_processed: Option<u64>,
    /// Rows that a statement such as MERGE changed.
    pub dml_rows: Option<u64>,
}

/// Some rows of a result, each cell as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPage {
    pub schema: Schema,
    pub rows: Vec<Vec<Option<String>>>,
    /// Of the whole result.
    pub total_rows: u64,
    pub next: Option<String>,
}

/// What one poll brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// Call again.
    Running,
    Complete(ResultPage),
}

impl GoogleClient {
    /// Starts a job, or checks one. Success means that it was accepted, not that it will succeed.
    ///
    /// # Errors
    /// [`GoogleError::AlreadyExists`] if a job had this id: what became of that one, [`Self::job`] says.
    pub async fn insert_job(&self, job: &QueryJob) -> Result<Job, GoogleError> {
        let attempt = format!("start job {}", job.reference.id);
        let path = ["bigquery", "v2", "projects", &job.reference.project, "jobs"];
        let url = below(&self.bases.bigquery, &path, &attempt)?;
        let call = Call::new(attempt.clone(), Method::POST, url).json(body(job));
        self.http.call::<Answer>(call).await?.job(&attempt)
    }

    /// The job of that id, if there ever was one.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn job(&self, job: &JobReference) -> Result<Option<Job>, GoogleError> {
        let attempt = format!("read job {}", job.id);
        let mut url = self.job_url(job, "jobs", &attempt)?;
        url.query_pairs_mut().append_pair("location", &job.location);
        let call = Call::new(attempt.clone(), Method::GET, url);
        match self.http.call::<Answer>(call).await {
            Ok(answer) => answer.job(&attempt).map(Some),
            Err(GoogleError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits a while for a query, and reads up to `rows` of its result from `page` on.
    ///
    /// # Errors
    /// A failed query's own error comes as one of the call: [`Self::job`] tells the two apart.
    pub async fn query_page(
        &self,
        job: &JobReference,
        rows: u32,
        page: Option<&str>,
    ) -> Result<Poll, GoogleError> {
        let attempt = format!("read the result of job {}", job.id);
        let mut url = self.job_url(job, "queries", &attempt)?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("location", &job.location)
                .append_pair("maxResults", &rows.to_string())
                .append_pair("timeoutMs", &POLL.as_millis().to_string());
            if let Some(page) = page {
                query.append_pair("pageToken", page);
            }
        }
        let call = Call::new(attempt.clone(), Method::GET, url);
        self.http
            .call::<PageAnswer>(call)
            .await
            .map(PageAnswer::poll)
    }

    /// Asks that a job stop; returns when that was heard, which is before it stops. Of a job that is done
    /// or was never there, nothing becomes different.
    ///
    /// # Errors
    /// If it was not heard.
    pub async fn cancel_job(&self, job: &JobReference) -> Result<(), GoogleError> {
        let attempt = format!("cancel job {}", job.id);
        let mut url = self.job_url(job, "jobs", &attempt)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push("cancel");
        }
        url.query_pairs_mut().append_pair("location", &job.location);
        let call = Call::new(attempt, Method::POST, url);
        match self.http.call::<IgnoredAny>(call).await {
            Ok(_) | Err(GoogleError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn job_url(
        &self,
        job: &JobReference,
        collection: &str,
        attempt: &str,
    ) -> Result<Url, GoogleError> {
        let path = [
            "bigquery",
            "v2",
            "projects",
            &job.project,
            collection,
            &job.id,
        ];
        below(&self.bases.bigquery, &path, attempt)
    }
}

/// The job as the API takes it: 64-bit numbers stand in strings.
fn body(job: &QueryJob) -> Value {
    let QueryJob {
        reference,
        query,
        labels,
        timeout,
        purpose,
    } = job;
    let mut sent = Map::from_iter([
        ("query".to_owned(), json!(query)),
        // The API's own default is the old dialect.
        ("useLegacySql".to_owned(), json!(false)),
    ]);
    let destination = match purpose {
        Purpose::Read | Purpose::Merge | Purpose::Check(None) => None,
        Purpose::Write(destination) | Purpose::Check(Some(destination)) => Some(destination),
    };
    if let Some(destination) = destination {
        sent.extend(destination.fields());
    }
    json!({
        "jobReference": {
            "projectId": reference.project,
            "jobId": reference.id,
            "location": reference.location,
        },
        "configuration": {
            "labels": labels,
            "jobTimeoutMs": timeout.as_millis().to_string(),
            "dryRun": matches!(purpose, Purpose::Check(_)),
            "query": sent,
        },
    })
}

impl Destination {
    fn fields(&self) -> Vec<(String, Value)> {
        let Self {
            table,
            write,
            create,
            schema_update,
        } = self;
        let write = match write {
            WriteDisposition::TruncateData => "WRITE_TRUNCATE_DATA",
            WriteDisposition::Truncate => "WRITE_TRUNCATE",
            WriteDisposition::Append => "WRITE_APPEND",
            WriteDisposition::Empty => "WRITE_EMPTY",
        };
        let create = match create {
            CreateDisposition::IfNeeded => "CREATE_IF_NEEDED",
            CreateDisposition::Never => "CREATE_NEVER",
        };
        let mut fields = vec![
            ("destinationTable".to_owned(), table.json()),
            ("writeDisposition".to_owned(), json!(write)),
            ("createDisposition".to_owned(), json!(create)),
        ];
        if !schema_update.is_empty() {
            let options: Vec<&str> = schema_update
                .iter()
                .map(|update| match update {
                    SchemaUpdate::FieldAddition => "ALLOW_FIELD_ADDITION",
                    SchemaUpdate::FieldRelaxation => "ALLOW_FIELD_RELAXATION",
                })
                .collect();
            fields.push(("schemaUpdateOptions".to_owned(), json!(options)));
        }
        fields
    }
}
