//! BigQuery connections to Cloud SQL, read only.

use reqwest::Method;
use serde::Deserialize;

use super::GoogleClient;
use super::error::GoogleError;
use super::http::{Call, below};

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `project:location:instance`.
    pub instance: String,
    pub database: String,
    pub kind: DatabaseKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseKind {
    Postgres,
    MySql,
    /// As Google calls it.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    cloud_sql: Option<CloudSql>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CloudSql {
    instance_id: String,
    database: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl GoogleClient {
    /// The connection of that id, if it exists there.
    ///
    /// # Errors
    /// [`GoogleError::Invalid`] if it is no connection to Cloud SQL.
    pub async fn connection(
        &self,
        project: &str,
        location: &str,
        id: &str,
    ) -> Result<Option<Connection>, GoogleError> {
        let attempt =
            format!("read connection projects/{project}/locations/{location}/connections/{id}");
        let path = [
            "v1",
            "projects",
            project,
            "locations",
            location,
            "connections",
            id,
        ];
        let url = below(&self.bases.bigquery_connection, &path, &attempt)?;
        let call = Call::new(attempt.clone(), Method::GET, url);
        match self.http.call(call).await {
            Ok(Answer {
                cloud_sql: Some(sql),
            }) => Ok(Some(sql.into())),
            Ok(Answer { cloud_sql: None }) => Err(GoogleError::Invalid {
                attempt,
                message: "it does not lead to Cloud SQL".into(),
            }),
            Err(GoogleError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<CloudSql> for Connection {
    fn from(sql: CloudSql) -> Self {
        let CloudSql {
            instance_id,
            database,
            kind,
        } = sql;
        Self {
            instance: instance_id,
            database,
            kind: match kind.as_str() {
                "POSTGRES" => DatabaseKind::Postgres,
                "MYSQL" => DatabaseKind::MySql,
                _ => DatabaseKind::Other(kind),
            },
        }
    }
}
