//! What a run starts from: where the connection leads, what the schema holds, and what is in
//! the dataset already.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::edges::google::{DatabaseKind, GoogleError, ListedTable, Purpose};
use crate::name::PgName;
use crate::sync::{Catalog, Cells, Choice, Failure, catalog_statement, choose, held, table_id};

use super::calls::{again, first_failure, permanent, transient};
use super::watch::{Refusal, Work};
use super::{Runner, Settings};

/// What a query answered.
pub(super) struct Answer {
    /// By the names of the columns.
    pub(super) rows: Vec<Cells>,
    /// When its job was made.
    pub(super) created: Option<Timestamp>,
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
        let (catalog, began) = self.catalog().await?;
        let mut choice = self.chosen(&catalog)?;
        let listed = self.listed().await?;
        // What an earlier attempt made is not what the run found.
        let found = listed.iter();
        let found = found.filter(|one| one.created.is_none_or(|created| created < began));
        let found: BTreeSet<String> = found.map(|one| one.name.clone()).collect();
        let held = held(&catalog, &self.spec, &found);
        choice.hold(&held, &self.settings.tables);
        let present = listed.into_iter().map(|one| one.name).collect();
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

    /// The schema as it is, and when the run began.
    async fn catalog(&self) -> Result<(Catalog, Timestamp), Failure> {
        self.guard().await?;
        let spec = &self.spec;
        let statement = catalog_statement(&spec.connection, &spec.schema);
        // Another version may ask for more in the middle of a run: its answer is another one.
        let query = statement.as_str();
        let about = ["catalog", query];
        let answer = self.read(&about, query, Refusal::MayPass).await?;
        let began = answer.created.unwrap_or_else(|| self.clock.now());
        let catalog = Catalog::from_rows(&answer.rows).map_err(permanent)?;
        Ok((catalog, began))
    }

    /// The tables of the run, whatever is in the dataset.
    pub(super) async fn choose(&self) -> Result<Choice, Failure> {
        let (catalog, _) = self.catalog().await?;
        self.chosen(&catalog)
    }

    fn chosen(&self, catalog: &Catalog) -> Result<Choice, Failure> {
        let Settings { tables, .. } = &self.settings;
        choose(catalog, &self.spec.schema, &self.spec.tables, tables).map_err(permanent)
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
        let Some(found) = found.map_err(first_failure)? else {
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

    async fn listed(&self) -> Result<Vec<ListedTable>, Failure> {
        let (project, dataset) = (self.spec.project.as_str(), self.spec.dataset.as_str());
        let read = async || self.google.tables(project, dataset).await;
        match again(&self.clock, "tables", read).await {
            Ok(tables) => Ok(tables),
            Err(GoogleError::NotFound { .. }) => Err(permanent(format!(
                "there is no dataset {project}.{dataset}: applying the pipeline makes it"
            ))),
            Err(error) => Err(first_failure(error)),
        }
    }

    /// The rows of a query. For answers about tables: theirs never come here.
    pub(super) async fn read(
        &self,
        about: &[&str],
        query: &str,
        refusal: Refusal,
    ) -> Result<Answer, Failure> {
        let purpose = Purpose::Read;
        let settled = self
            .settle(&Work {
                about,
                query,
                purpose,
                refusal,
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
                "BigQuery sent {} of the {} rows that it had found",
                rows.len(),
                settled.rows
            )));
        }
        Ok(Answer {
            rows,
            created: settled.job.statistics.created,
        })
    }
}
