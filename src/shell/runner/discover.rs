//! What a run starts from: where the connection leads, what the schema holds, and what is in
//! the dataset already.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::edges::google::{DatabaseKind, GoogleError, Purpose};
use crate::name::PgName;
use crate::sync::{Catalog, Cells, Choice, Failure, catalog_statement, choose, table_id};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::watch::Work;

/// What a query answered.
pub(super) struct Answer {
    /// By the names of the columns.
    pub(super) rows: Vec<Cells>,
    /// When its job was made.
    created: Option<Timestamp>,
}

/// Rows of the catalog in one answer; each is small.
const PAGE: u32 = 10_000;

/// What there is to do.
pub(super) struct Discovered {
    /// When the run began: the same for each of its attempts.
    pub(super) began: Timestamp,
    pub(super) choice: Choice,
    /// Names of everything in the dataset.
    pub(super) present: BTreeSet<String>,
    /// Tables that would be written to one and the same table of BigQuery.
    pub(super) together: BTreeMap<String, Vec<PgName>>,
}

impl Runner {
    /// Reads all that the run depends on. Nothing of the schema is read before it is sure that
    /// the connection leads where it did when the pipeline was approved.
    pub(super) async fn discover(&self) -> Result<Discovered, Failure> {
        let (choice, began) = self.choose().await?;
        let present = self.present().await?;
        let mut together: BTreeMap<String, Vec<PgName>> = BTreeMap::new();
        for table in &choice.tables {
            let id = table_id(&table.name);
            together.entry(id).or_default().push(table.name.clone());
        }
        together.retain(|_, names| names.len() > 1);
        Ok(Discovered {
            began,
            choice,
            present,
            together,
        })
    }

    /// The tables of the run, and what is to be said about it; with when the run began.
    pub(super) async fn choose(&self) -> Result<(Choice, Timestamp), Failure> {
        self.guard().await?;
        let spec = &self.spec;
        let statement = catalog_statement(&spec.connection, &spec.schema);
        // Another version may ask for more in the middle of a run: its answer is another one.
        let about = ["catalog", statement.as_str()];
        let answer = self.read(&about, statement.as_str()).await?;
        let catalog = Catalog::from_rows(&answer.rows).map_err(permanent)?;
        let choice = choose(&catalog, &spec.schema, &spec.tables, &self.settings.tables);
        let began = answer.created.unwrap_or_else(|| self.clock.now());
        Ok((choice.map_err(permanent)?, began))
    }

    /// A connection can be pointed elsewhere after its pipeline was approved: then whatever it
    /// leads to now was approved by nobody.
    async fn guard(&self) -> Result<(), Failure> {
        let spec = &self.spec;
        let name = &spec.connection;
        let (project, location) = (name.project.as_str(), name.location.as_str());
        let read = async || {
            self.google
                .connection(project, location, name.id.as_str())
                .await
        };
        let found = again(&self.clock, "connection", read).await;
        let Some(found) = found.map_err(failure)? else {
            return Err(permanent(format!("there is no connection {name}")));
        };
        if found.kind != DatabaseKind::Postgres {
            return Err(permanent(format!(
                "the connection {name} does not lead to PostgreSQL"
            )));
        }
        let planned = (spec.instance.as_str(), spec.database.as_str());
        let leads = (found.instance.as_str(), found.database.as_str());
        if planned != leads {
            return Err(permanent(format!(
                "the connection {name} leads to the database `{}` of `{}`, and `{}` of `{}` was approved: nothing was read",
                leads.1, leads.0, planned.1, planned.0
            )));
        }
        Ok(())
    }

    async fn present(&self) -> Result<BTreeSet<String>, Failure> {
        let (project, dataset) = (self.spec.project.as_str(), self.spec.dataset.as_str());
        let read = async || self.google.table_names(project, dataset).await;
        match again(&self.clock, "tables", read).await {
            Ok(names) => Ok(names.into_iter().collect()),
            Err(GoogleError::NotFound { .. }) => Err(permanent(format!(
                "there is no dataset {project}.{dataset}: applying the pipeline makes it"
            ))),
            Err(error) => Err(failure(error)),
        }
    }

    /// The rows of a query. For answers about tables: theirs never come here.
    pub(super) async fn read(&self, about: &[&str], query: &str) -> Result<Answer, Failure> {
        let purpose = Purpose::Read;
        let settled = self
            .settle(&Work {
                about,
                query,
                purpose,
            })
            .await?;
        let mut rows = Vec::new();
        self.pages(&settled.reference, PAGE, |page| {
            let names = page.schema.iter().map(|field| &field.name);
            let cells = |row: Vec<_>| names.clone().cloned().zip(row).collect();
            rows.extend(page.rows.into_iter().map(cells));
        })
        .await?;
        Ok(Answer {
            rows,
            created: settled.job.statistics.created,
        })
    }
}
