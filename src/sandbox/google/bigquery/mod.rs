//! BigQuery's jobs and tables.
//!
//! A federated query runs on a real PostgreSQL, which [`super::Options::postgres`] names for
//! an instance, inside the wrapper that public logs show, in a read-only session. Without one
//! it fails, and says why; with [`super::Options::fixed`] a small database answers instead
//! that says what it is.
//!
//! From documentation: the request and answer shapes, the states, 409 for a used id, locations,
//! the write dispositions and what they keep, the types that are refused and in which words,
//! the daily limit of writes to a table.
//! Left out: views, partitions, policy tags, time travel, statements other than those in `statement`, and BigQuery's own
//! three attempts at a federated query. A job's cost is counted from its rows.

mod evaluate;
mod fixed;
mod jobs;
mod lifecycle;
mod merge;
mod run;
mod source;
mod statement;
mod tables;
mod tokens;
mod values;

use axum::Router;
use axum::routing::{get, post};

use super::{Google, Shared};
pub(super) use jobs::Jobs;
pub(super) use statement::TableName;
pub use tables::Column;
pub(super) use tables::Table;

/// A stored table, as tests look at it.
#[derive(Debug, Clone)]
pub struct Stored {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that it has besides, and that were not kept.
    pub forgotten: usize,
    /// How often it was written to.
    pub writes: u64,
}

impl Google {
    /// The names of the tables of a dataset.
    pub fn table_names(&self, project: &str, dataset: &str) -> Vec<String> {
        let world = self.lock();
        let names = world.tables.keys();
        names
            .filter(|name| name.project == project && name.dataset == dataset)
            .map(|name| name.table.clone())
            .collect()
    }

    /// A table as it is stored.
    pub fn table(&self, project: &str, dataset: &str, table: &str) -> Option<Stored> {
        let name = TableName {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        };
        let world = self.lock();
        let table = world.tables.get(&name)?;
        Some(Stored {
            columns: table.columns.clone(),
            rows: table.rows.clone(),
            forgotten: table.forgotten,
            writes: table.writes,
        })
    }

    /// Deletes a table, as a person does.
    pub fn delete_table(&self, project: &str, dataset: &str, table: &str) {
        let mut world = self.lock();
        world.tables.retain(|name, _| {
            (
                name.project.as_str(),
                name.dataset.as_str(),
                name.table.as_str(),
            ) != (project, dataset, table)
        });
    }

    /// Describes a column, as a person does; what does not exist stays undescribed.
    pub fn describe_column(
        &self,
        (project, dataset, table): (&str, &str, &str),
        column: &str,
        text: &str,
    ) {
        let name = TableName {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        };
        let mut world = self.lock();
        let columns = world.tables.get_mut(&name).map(|table| &mut table.columns);
        let found = columns.into_iter().flatten().find(|one| one.name == column);
        if let Some(found) = found {
            found.description = Some(text.to_owned());
        }
    }

    /// When each job that has ended began and ended: milliseconds since 1970, by the clock.
    pub fn job_times(&self) -> Vec<(i64, i64)> {
        self.lock().jobs.times()
    }

    /// The next job that is started fails with this reason instead of running.
    pub fn fail_next_job(&self, reason: &str, message: &str) {
        let mut world = self.lock();
        world
            .jobs
            .failures
            .push_back((reason.to_owned(), message.to_owned()));
    }
}

pub(super) fn routes() -> Router<Shared> {
    let tables = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables";
    Router::new()
        .route("/bigquery/v2/projects/{project}/jobs", post(jobs::insert))
        .route("/bigquery/v2/projects/{project}/jobs/{job}", get(jobs::get))
        .route(
            "/bigquery/v2/projects/{project}/jobs/{job}/cancel",
            post(jobs::cancel),
        )
        .route(
            "/bigquery/v2/projects/{project}/queries/{job}",
            get(jobs::results),
        )
        .route(tables, get(tables::list).post(lifecycle::insert))
        .route(
            &format!("{tables}/{{table}}"),
            get(tables::get)
                .patch(tables::patch)
                .delete(lifecycle::delete),
        )
}
