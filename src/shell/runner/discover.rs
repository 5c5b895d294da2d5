//! What a run starts from: where the connection leads, what the schema holds, and what is in
//! the dataset already.

use std::collections::{BTreeMap, BTreeSet};

use crate::edges::google::{DatabaseKind, GoogleError, Purpose};
use crate::name::PgName;
use crate::sync::{
    Catalog, Cells, Choice, Failure, Filter, LONGEST_STATEMENT, Persistence, catalog_statement,
    choose, empty_tables, filled_statement, filter, table_id,
};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::watch::Work;

/// Rows of the catalog in one answer; each is small.
const PAGE: u32 = 10_000;

/// What there is to do.
pub(super) struct Discovered {
    pub(super) choice: Choice,
    /// Names of everything in the dataset.
    pub(super) present: BTreeSet<String>,
    /// Tables of the choice that have no row to copy, as far as they are in the dataset.
    pub(super) empty: BTreeSet<String>,
    /// Tables that would be written to one and the same table of BigQuery.
    pub(super) together: BTreeMap<String, Vec<PgName>>,
}

impl Runner {
    /// Reads all that the run depends on. Nothing of the schema is read before it is sure that
    /// the connection leads where it did when the pipeline was approved.
    pub(super) async fn discover(&self) -> Result<Discovered, Failure> {
        let choice = self.choose().await?;
        let present = self.present().await?;
        let mut asked = Vec::new();
        let mut together: BTreeMap<String, Vec<PgName>> = BTreeMap::new();
        for table in &choice.tables {
            let id = table_id(&table.name);
            if present.contains(&id) {
                let condition = self.spec.options(&table.name).filter;
                // What is no condition is said when the table is planned.
                let condition = condition.and_then(|text| filter(&text, table).ok());
                asked.push((table.name.clone(), condition));
            }
            together.entry(id).or_default().push(table.name.clone());
        }
        together.retain(|_, names| names.len() > 1);
        Ok(Discovered {
            empty: self.empty(&asked).await?,
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

    /// Which of these have no row. One that PostgreSQL can not even look into spoils the
    /// answer of all, so what fails is asked in halves; it alone stays unknown, and its copy
    /// will say why.
    async fn empty(
        &self,
        tables: &[(PgName, Option<Filter>)],
    ) -> Result<BTreeSet<String>, Failure> {
        let mut empty = BTreeSet::new();
        let mut parts = vec![tables];
        while let Some(part) = parts.pop() {
            let asked: Vec<(&PgName, Option<&Filter>)> = part
                .iter()
                .map(|(name, condition)| (name, condition.as_ref()))
                .collect();
            if asked.is_empty() {
                continue;
            }
            let statement = filled_statement(&self.spec.connection, &self.spec.schema, &asked);
            let statement = statement.as_str();
            if statement.len() < LONGEST_STATEMENT {
                match self.read(&["filled", statement], statement).await {
                    Ok(rows) => {
                        empty.extend(empty_tables(&rows));
                        continue;
                    }
                    Err(failure) if failure.persistence == Persistence::Transient => {
                        return Err(failure);
                    }
                    Err(_) => {}
                }
            }
            if part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([first, second]);
            }
        }
        Ok(empty)
    }

    /// The rows of a query, by the names of its columns. For answers about tables: theirs never
    /// come here.
    async fn read(&self, about: &[&str], query: &str) -> Result<Vec<Cells>, Failure> {
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
        Ok(rows)
    }
}
