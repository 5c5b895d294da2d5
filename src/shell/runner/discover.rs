//! What a run starts from: where the connection leads, what the schema holds, and what is in
//! the dataset already.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::edges::google::{DatabaseKind, GoogleError, Purpose};
use crate::name::PgName;
use crate::sync::{Catalog, Cells, Choice, Failure, catalog_statement, choose, table_id};

use super::Runner;
use super::calls::{again, permanent, transient};
use super::watch::Work;

/// Rows of the catalog in one answer; each is small.
const PAGE: u32 = 10_000;

/// What there is to do.
pub(super) struct Discovered {
    pub(super) choice: Choice,
    /// Everything in the dataset, with its labels.
    pub(super) present: BTreeMap<String, BTreeMap<String, String>>,
    /// Tables that would be written to one and the same table of BigQuery.
    pub(super) together: BTreeMap<String, Vec<PgName>>,
}

impl Runner {
    /// Reads all that the run depends on. Nothing of the schema is read before it is sure that
    /// the connection leads where it did when the pipeline was approved.
    pub(super) async fn discover(&self) -> Result<Discovered, Failure> {
        let mut choice = self.choose().await?;
        let present = self.present().await?;
        self.is_let_in.store(true, Ordering::Relaxed);
        self.hold(&mut choice, &present);
        let mut together: BTreeMap<String, Vec<PgName>> = BTreeMap::new();
        for table in &choice.tables {
            let id = table_id(&table.name);
            together.entry(id).or_default().push(table.name.clone());
        }
        together.retain(|_, names| names.len() > 1);
        Ok(Discovered {
            choice,
            present,
            together,
        })
    }

    /// The tables of the run, and what is to be said about it.
    pub(super) async fn choose(&self) -> Result<Choice, Failure> {
        self.guard().await?;
        let spec = &self.spec;
        let statement = catalog_statement(&spec.connection, &spec.schema);
        let rows = self.read(&["catalog"], statement.as_str()).await?;
        let catalog = Catalog::from_rows(&rows).map_err(permanent)?;
        choose(&catalog, &spec.schema, &spec.tables, &self.settings.tables).map_err(permanent)
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
        let Some(found) = found.map_err(|error| self.refusal(error))? else {
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

    async fn present(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Failure> {
        let (project, dataset) = (self.spec.project.as_str(), self.spec.dataset.as_str());
        let read = async || self.google.list_tables(project, dataset).await;
        match again(&self.clock, "tables", read).await {
            Ok(tables) => Ok(tables),
            Err(GoogleError::NotFound { .. }) => Err(permanent(format!(
                "there is no dataset {project}.{dataset}: applying the pipeline makes it"
            ))),
            Err(error) => Err(self.refusal(error)),
        }
    }

    /// The rows of a query, by the names of its columns. For answers about tables: theirs never
    /// come here.
    pub(super) async fn read(&self, about: &[&str], query: &str) -> Result<Vec<Cells>, Failure> {
        let purpose = Purpose::Read;
        // What another statement answered is no answer to this one.
        let about = &[about, &[query]].concat();
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
        if rows.len() as u64 != settled.rows {
            return Err(transient(format!(
                "BigQuery sent {} of the {} rows that describe the schema",
                rows.len(),
                settled.rows
            )));
        }
        Ok(rows)
    }
}
