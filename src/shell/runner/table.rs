//! One table: from what the catalog says of it to rows that stand in BigQuery.

use jiff::Timestamp;

use crate::edges::google::{Purpose, TableReference};
use crate::pipeline::Mode;
use crate::sync::{CopyMode, EMPTY_SOURCE, Failure, LabelChanges, Outcome, Table, TableReport};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::chunks::ChunksFailure;
use super::discover::Discovered;
use super::plan::{Full, Planned, Write};
use super::watch::{Refusal, Settled, Work};

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
        self.progress.send_modify(|progress| {
            progress.running.insert(report.table.clone());
        });
        if let Err(failure) = self.write(table, discovered, &mut report).await {
            report.result = Outcome::Failed(failure);
        }
        self.progress.send_modify(|progress| {
            progress.running.remove(&report.table);
        });
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
        if let Write::Full(full) = &write
            && let Some(changes) = &full.before
        {
            self.label(&written, changes).await?;
        }
        let cost = self.carry_out(table, &written, &statement, &write, report);
        let cost = cost.await?;
        report.rows = Some(cost.rows);
        report.bytes = cost.bytes;
        report.slot_ms = cost.slot_ms;
        report.duration_ms = cost.duration_ms;
        let Some(snapshot) = cost.snapshot else {
            return Ok(());
        };
        let labels = write.labels(snapshot, &self.settings.uid);
        if let Err(failure) = self.label(&written, &labels).await {
            let note = format!("The table's labels are old: {}", failure.error);
            report.notes.push(note);
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        table: &Table,
        written: &TableReference,
        statement: &str,
        write: &Write,
        report: &mut TableReport,
    ) -> Result<Cost, Failure> {
        if let Write::Full(full) = write
            && let Some(cut) = &full.cut
        {
            let Full {
                destination,
                rows_before,
                ..
            } = full.as_ref();
            let copied = self.copy_in_chunks(table, cut, destination, *rows_before);
            match copied.await {
                Ok(Some(cost)) => {
                    report.mode = CopyMode::Chunked;
                    return Ok(cost);
                }
                Ok(None) => {}
                Err(ChunksFailure::Emptied) => {
                    return Err(permanent(emptied(written, *rows_before)));
                }
                Err(ChunksFailure::Other(failure)) => return Err(failure),
            }
        }
        let (what, purpose) = match write {
            Write::Full(full) => ("table", Purpose::Write(full.destination.clone())),
            Write::Merge => ("merge", Purpose::Merge),
        };
        let work = Work {
            about: &[what, table.name.as_str()],
            query: statement,
            purpose,
            refusal: Refusal::Lasts,
        };
        let settled = self.settle(&work).await.map_err(|failure| match write {
            Write::Full(full) if failure.error.contains(EMPTY_SOURCE) => {
                permanent(emptied(written, full.rows_before))
            }
            _ => failure,
        })?;
        let mut cost = Cost::of(&settled);
        if let Write::Merge = write {
            cost.rows = settled.job.statistics.dml_rows.unwrap_or_default();
        }
        Ok(cost)
    }

    async fn label(&self, table: &TableReference, changes: &LabelChanges) -> Result<(), Failure> {
        let write = async || self.google.label_table(table, changes).await;
        again(&self.clock, &table.table, write)
            .await
            .map_err(failure)
    }
}

/// What was copied, and what that cost.
#[derive(Debug, Clone, Default)]
pub(super) struct Cost {
    pub(super) rows: u64,
    bytes: Option<u64>,
    slot_ms: Option<u64>,
    duration_ms: Option<u64>,
    /// As of when the rows are.
    pub(super) snapshot: Option<Timestamp>,
}

impl Cost {
    pub(super) fn of(settled: &Settled) -> Self {
        let statistics = &settled.job.statistics;
        let took = statistics.started.zip(statistics.ended);
        Self {
            rows: settled.rows,
            bytes: statistics.bytes_processed,
            slot_ms: statistics.slot_ms,
            duration_ms: took
                .and_then(|(from, to)| u64::try_from(to.duration_since(from).as_millis()).ok()),
            snapshot: statistics.started,
        }
    }

    /// Both, one after the other. As of when the rows are stays what it was.
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |ours: Option<u64>, theirs: Option<u64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some(ours.saturating_add(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = sum(self.bytes, other.bytes);
        self.slot_ms = sum(self.slot_ms, other.slot_ms);
        self.duration_ms = sum(self.duration_ms, other.duration_ms);
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
