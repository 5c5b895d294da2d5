//! A run that writes nothing: what it would do, and what the tables would look like.

use std::fmt;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::edges::google::{GoogleError, Purpose, WriteDisposition};
use crate::sync::{Choice, Failure, JobId, Persistence, Table, TableCopy, copy_of};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::discover::Discovered;
use super::plan::{Planned, Write};
use super::watch::{Refusal, Work};

/// What a run would do.
pub struct Rehearsal {
    choice: Choice,
    tables: Vec<(String, Result<Planned, Failure>)>,
}

/// What each table of a run is in BigQuery.
pub struct Schemas(Vec<(String, Result<TableCopy, Failure>)>);

impl Runner {
    /// Reads all that a run would read, decides all that it would decide, and has BigQuery check
    /// every statement.
    ///
    /// # Errors
    /// If no table could be looked at.
    pub async fn rehearse(&self) -> Result<Rehearsal, Failure> {
        let discovered = self.discover().await?;
        let planned = |table: &Table| {
            let (table, discovered) = (table.clone(), &discovered);
            async move {
                let planned = self.checked(&table, discovered).await;
                (table.name.to_string(), planned)
            }
        };
        let tables = stream::iter(discovered.choice.tables.iter().map(planned))
            .buffered(self.settings.parallel.get())
            .collect()
            .await;
        Ok(Rehearsal {
            tables,
            choice: discovered.choice,
        })
    }

    async fn checked(&self, table: &Table, discovered: &Discovered) -> Result<Planned, Failure> {
        let planned = self.plan(table, discovered).await?;
        let reference = self.reference(&JobId::first(&self.settings.uid, &["check"]));
        let job = self.query_job(
            &reference,
            &Work {
                about: &[],
                query: &planned.statement,
                purpose: Purpose::Check(match &planned.write {
                    Write::Full(full) => Some(full.destination.clone()),
                    Write::Merge => None,
                }),
                refusal: Refusal::Lasts,
            },
        );
        let check = async || self.google.insert_job(&job).await;
        match again(&self.clock, table.name.as_str(), check).await {
            Ok(_) => Ok(planned),
            Err(GoogleError::Invalid { message, .. }) => Err(permanent(message)),
            Err(error) => Err(failure(error)),
        }
    }

    /// Reads the catalog, and says what each table becomes.
    ///
    /// # Errors
    /// If no table could be looked at.
    pub async fn schemas(&self) -> Result<Schemas, Failure> {
        let choice = self.choose().await?;
        let copy = |table: &Table| {
            let options = self.spec.options(&table.name);
            let copy = copy_of(table, &options.columns).map_err(permanent);
            (table.name.to_string(), copy)
        };
        let mut schemas: Vec<_> = choice.tables.iter().map(copy).collect();
        schemas.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Schemas(schemas))
    }
}

impl Rehearsal {
    /// How the run would fail, as far as it is known now.
    pub fn persistence(&self) -> Option<Persistence> {
        let tables = self.tables.iter();
        let tables = tables.filter_map(|(_, planned)| Some(planned.as_ref().err()?.persistence));
        let left_out = self.choice.left_out.iter();
        let left_out = left_out.filter(|(_, why)| why.fails());
        tables.chain(left_out.map(|_| Persistence::Permanent)).min()
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.choice.warnings {
            writeln!(f, "-- warning: {warning}")?;
        }
        for (name, why) in &self.choice.left_out {
            let word = if why.fails() { "fails" } else { "left out" };
            writeln!(f, "-- {name}: {word}: {}", why.sentence())?;
        }
        for (name, planned) in &self.tables {
            match planned {
                Err(failure) => writeln!(f, "\n-- {name}: fails: {}", failure.error)?,
                Ok(planned) => {
                    let how = match &planned.write {
                        Write::Merge => "merges what changed into",
                        Write::Full(full) if full.destination.write == WriteDisposition::Empty => {
                            "makes"
                        }
                        Write::Full(_) => "replaces the rows of",
                    };
                    writeln!(f, "\n-- {name}: {how} {}", planned.table)?;
                    for note in &planned.notes {
                        writeln!(f, "-- {note}")?;
                    }
                    writeln!(f, "{};", planned.statement)?;
                }
            }
        }
        let failed = self.tables.iter().filter(|(_, one)| one.is_err()).count();
        writeln!(
            f,
            "\n-- {} of {} tables can be copied; nothing was written",
            self.tables.len() - failed,
            self.tables.len()
        )
    }
}

impl Schemas {
    /// How a table could not be described.
    pub fn persistence(&self) -> Option<Persistence> {
        let mut tables = self.0.iter();
        tables.find_map(|(_, copy)| Some(copy.as_ref().err()?.persistence))
    }

    /// `version`, and `tables` by name.
    pub fn to_json(&self) -> Value {
        let table = |(name, copy): &(String, Result<TableCopy, Failure>)| {
            let described = match copy {
                Err(failure) => json!({ "error": failure.error }),
                Ok(copy) => {
                    let columns = copy.columns.iter().map(|copied| {
                        json!({
                            "name": copied.name,
                            "type": copied.treatment.bigquery.sql(),
                            "source": { "name": copied.column.name, "type": copied.column.type_sql },
                            "loss": copied.treatment.loss.map(|loss| loss.sentence()),
                        })
                    });
                    json!({ "table": copy.table_id, "columns": columns.collect::<Vec<_>>() })
                }
            };
            (name.clone(), described)
        };
        let tables: serde_json::Map<String, Value> = self.0.iter().map(table).collect();
        json!({ "version": 1, "tables": tables })
    }
}

impl fmt::Display for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, copy)) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            match copy {
                Err(failure) => writeln!(f, "{name}: can not be copied: {}", failure.error)?,
                Ok(copy) => {
                    writeln!(f, "{}", copy.table_id)?;
                    let names = copy
                        .columns
                        .iter()
                        .map(|copied| copied.name.chars().count());
                    let wide = names.max().unwrap_or_default();
                    for copied in &copy.columns {
                        let kind = copied.treatment.bigquery.sql();
                        let source = &copied.column.type_sql;
                        let loss = copied.treatment.loss.map(|loss| loss.sentence());
                        let loss = loss.map(|loss| format!(": {loss}")).unwrap_or_default();
                        writeln!(f, "  {:wide$}  {kind:10}  {source}{loss}", copied.name)?;
                    }
                }
            }
        }
        Ok(())
    }
}
