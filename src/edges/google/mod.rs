//! Google over REST: service accounts, IAM policies, BigQuery connections, datasets, tables and query jobs.
//!
//! Thin and typed. Nothing is retried but a lost race on an etag, which needs a fresh read; when to try again
//! anything else is the caller's to decide, by [`GoogleError::is_transient`].
//! No policy or access list is ever written without the etag of the read it was made from, and of what was read
//! only our own additions and removals differ: conditional bindings and foreign entries go back as they came.

mod access;
mod answer;
mod connection;
mod dataset;
mod error;
mod http;
mod iam;
mod job;
mod policy;
mod staging;
mod table;
#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use reqwest::Url;

pub use access::{AccessEntry, DatasetRole, Grantee};
pub use connection::{Connection, DatabaseKind};
pub use dataset::{Dataset, NewDataset};
pub use error::GoogleError;
pub use iam::ServiceAccount;
pub use job::{
    CreateDisposition, Destination, Job, JobError, JobReference, JobState, JobStatistics, Poll,
    Purpose, QueryJob, ResultPage, SchemaUpdate, WriteDisposition,
};
pub use policy::{Binding, Policy, PolicyTarget};
pub use staging::StagingTable;
pub use table::{Field, FieldMode, ListedTable, Schema, Table, TableKind, TableReference};
pub use token::TokenSource;

use http::Http;

use crate::clock::Clock;

/// Base address of each API, without its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    pub iam: String,
    pub resource_manager: String,
    pub bigquery: String,
    pub bigquery_connection: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            iam: "https://iam.googleapis.com".into(),
            resource_manager: "https://cloudresourcemanager.googleapis.com".into(),
            bigquery: "https://bigquery.googleapis.com".into(),
            bigquery_connection: "https://bigqueryconnection.googleapis.com".into(),
        }
    }
}

/// What became of a grant that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyWrite {
    Written,
    /// Nothing was written.
    AlreadyThere,
}

/// What became of a grant that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Written, and read back without it.
    Removed,
    /// Nothing was written.
    AlreadyGone,
}

/// A client of all four APIs; clones share connections and token.
#[derive(Clone)]
pub struct GoogleClient {
    http: Arc<Http>,
    bases: Arc<Bases>,
}

struct Bases {
    iam: Url,
    resource_manager: Url,
    bigquery: Url,
    bigquery_connection: Url,
}

impl GoogleClient {
    /// Makes a client; sends nothing yet.
    ///
    /// # Errors
    /// If an endpoint is not an absolute URL, or no TLS can be set up.
    pub fn new(
        endpoints: &Endpoints,
        token: TokenSource,
        clock: Clock,
    ) -> Result<Self, GoogleError> {
        let Endpoints {
            iam,
            resource_manager,
            bigquery,
            bigquery_connection,
        } = endpoints;
        Ok(Self {
            http: Arc::new(Http::new(token, clock)?),
            bases: Arc::new(Bases {
                iam: http::base(iam)?,
                resource_manager: http::base(resource_manager)?,
                bigquery: http::base(bigquery)?,
                bigquery_connection: http::base(bigquery_connection)?,
            }),
        })
    }
}

/// Whether a read-modify-write had anything to write.
enum Rewrite {
    Changed,
    Unchanged,
}

/// Reads of one rewrite before it gives up; each follows a lost race.
const REWRITES: usize = 4;
