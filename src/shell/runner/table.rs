//! One table: from what the catalog says of it to rows that stand in BigQuery.

use crate::edges::google::{Purpose, TableReference};
use crate::pipeline::Mode;
use crate::sync::{CopyMode, EMPTY_SOURCE, Failure, LabelChanges, Outcome, Table, TableReport};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::discover::Discovered;
use super::plan::{Planned, Write};
use super::watch::{Refusal, Work};

impl Runner {
    /// Plans a table, writes it, and says what became of it.
    pub(super) async fn copy(&self, table: &Table, discovered: &Discovered) -> TableReport {
        let mut report = TableReport {
            table: table.name.to_string(),
            mode: match self.spec.options(&table.name).mode {
                Mode::Full => CopyMode::Full,
                Mode::Incremental { .. } => CopyMode::Incremental,
            },
            result: Outcome::Copied,
            rows: None,
            bytes: None,
            slot_ms: None,
            duration_ms: None,
            notes: Vec::new(),
        };
        if let Err(failure) = self.write(table, discovered, &mut report).await {
            report.result = Outcome::Failed(failure);
        }
        report
    }

    async fn write(
        &self,
        table: &Table,
        discovered: &Discovered,
        report: &mut TableReport,
    ) -> Result<(), Failure> {
        let Planned {
            statement,
            table: written,
            write,
            notes,
        } = self.plan(table, discovered).await?;
        report.notes = notes;
        report.mode = write.mode();
        if let Write::Full {
            before: Some(changes),
            ..
        } = &write
        {
            self.label(&written, changes).await?;
        }
        let (part, purpose) = match &write {
            Write::Full { destination, .. } => ("table", Purpose::Write(destination.clone())),
            Write::Merge => ("merge", Purpose::Merge),
        };
        let settled = self
            .settle(&Work {
                about: &[part, table.name.as_str()],
                query: &statement,
                purpose,
                refusal: Refusal::Lasts,
            })
            .await
            .map_err(|failure| match &write {
                Write::Full { rows_before, .. } if failure.error.contains(EMPTY_SOURCE) => {
                    permanent(emptied(&written, *rows_before))
                }
                _ => failure,
            })?;
        let statistics = &settled.job.statistics;
        report.rows = Some(match &write {
            Write::Full { .. } => settled.rows,
            Write::Merge => statistics.dml_rows.unwrap_or_default(),
        });
        report.bytes = statistics.bytes_processed;
        report.slot_ms = statistics.slot_ms;
        report.duration_ms = statistics
            .started
            .zip(statistics.ended)
            .and_then(|(from, to)| u64::try_from(to.duration_since(from).as_millis()).ok());
        let Some(snapshot) = statistics.started else {
            return Ok(());
        };
        let labels = write.labels(snapshot, &self.settings.uid);
        if let Err(failure) = self.label(&written, &labels).await {
            let note = format!("The table's labels are old: {}", failure.error);
            report.notes.push(note);
        }
        Ok(())
    }

    async fn label(&self, table: &TableReference, changes: &LabelChanges) -> Result<(), Failure> {
        let write = async || self.google.label_table(table, changes).await;
        again(&self.clock, &table.table, write)
            .await
            .map_err(failure)
    }
}

fn emptied(destination: &TableReference, rows: u64) -> String {
    let TableReference {
        project,
        dataset,
        table,
    } = destination;
    format!(
        "the source has no rows, and BigQuery holds {rows}, which are kept: if they are to go, run TRUNCATE TABLE `{project}.{dataset}.{table}` in BigQuery, and the next run goes through"
    )
}
