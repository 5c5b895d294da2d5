//! Tables that hold rows only until they are written to another one: the only ones that are
//! ever deleted. BigQuery deletes them as well, should nobody come back to them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::json;

use super::GoogleClient;
use super::error::GoogleError;
use super::http::Call;
use super::table::TableReference;

/// No other table is named so, and none is deleted that is not.
const PREFIX: &str = "pipewright_staging_";

/// A table of our own, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingTable(TableReference);

impl StagingTable {
    /// The staging table that `id` tells from all others.
    pub fn new(project: &str, dataset: &str, id: &str) -> Self {
        Self(TableReference {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: format!("{PREFIX}{id}"),
        })
    }

    pub fn reference(&self) -> &TableReference {
        &self.0
    }
}

impl GoogleClient {
    /// Makes an empty table without columns, which ends at `expires`. One that is there stays.
    ///
    /// # Errors
    /// If it could not be made.
    pub async fn make_staging(
        &self,
        table: &StagingTable,
        expires: Timestamp,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), GoogleError> {
        let TableReference {
            project, dataset, ..
        } = &table.0;
        let url = self.tables_url(project, dataset, None)?;
        let body = json!({
            "tableReference": table.0.json(),
            "expirationTime": expires.as_millisecond().to_string(),
            "labels": labels,
        });
        let attempt = format!("make table {}", table.0);
        let call = Call::new(attempt, Method::POST, url).json(body);
        match self.http.call::<IgnoredAny>(call).await {
            Ok(_) | Err(GoogleError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes it, if it is there.
    ///
    /// # Errors
    /// If it may be there still.
    pub async fn drop_staging(&self, table: &StagingTable) -> Result<(), GoogleError> {
        let TableReference {
            project,
            dataset,
            table: name,
        } = &table.0;
        let url = self.tables_url(project, dataset, Some(name))?;
        let call = Call::new(format!("delete table {}", table.0), Method::DELETE, url);
        match self.http.call::<IgnoredAny>(call).await {
            Ok(_) | Err(GoogleError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
