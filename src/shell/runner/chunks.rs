//! A table that is too large for one statement: read chunk by chunk into staging tables,
//! and written from all of them at once.
//!
//! Until then the destination is as it was, and each chunk that was read stays read: another
//! attempt of the run goes on with the next one.

use std::time::Duration;

use crate::edges::google::{self, Purpose, StagingTable, WriteDisposition};
use crate::sync::{
    Chunk, Destination, Failure, Incremental, LONGEST_STATEMENT, NullColumn, Persistence, Rows,
    Since, Table, TableCopy, bounds_statement, chunk_id, inner_select, select_statement,
    source_watermark_statement, union_statement,
};

use super::Runner;
use super::calls::{again, failure, permanent};
use super::discover::Answer;
use super::table::Cost;
use super::watch::{Refusal, Work};

/// How long a staging table lives at most: longer than any run that could still need it.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a table is cut by, and into how many chunks.
pub(super) struct Cut {
    /// The key's name in PostgreSQL.
    pub(super) key: String,
    pub(super) count: u32,
    pub(super) copy: TableCopy,
    pub(super) rows: Rows,
    pub(super) nulls: Vec<NullColumn>,
    /// If later copies go on from this one.
    pub(super) incremental: Option<Incremental>,
}

/// A chunk, and where it is kept.
struct StagedChunk {
    chunk: Chunk,
    staging: StagingTable,
}

impl Runner {
    /// Copies a table in chunks. Nothing, if the source has too few keys to be cut by.
    ///
    /// `rows_before` is how many rows the destination has.
    pub(super) async fn copy_in_chunks(
        &self,
        table: &Table,
        by: &Cut,
        destination: &google::Destination,
        rows_before: u64,
    ) -> Result<Option<Cost>, ChunksFailure> {
        let since = match &by.incremental {
            None => None,
            Some(incremental) => match self.before_chunks(table, by, incremental).await? {
                None => return Ok(None),
                Some(since) => Some((incremental, since)),
            },
        };
        let Some((cut, bounds)) = self.cut(table, by).await? else {
            return Ok(None);
        };
        let copied = self.copy_cut(table, by, destination, rows_before, &cut);
        let copied = copied.await;
        // What passes is tried again, and goes on from what was read.
        let is_over = match &copied {
            Ok(_) | Err(ChunksFailure::Emptied) => true,
            Err(ChunksFailure::Other(failure)) => failure.persistence == Persistence::Permanent,
        };
        if is_over {
            for chunk in &cut {
                let drop = async || self.google.drop_staging(&chunk.staging).await;
                let table = chunk.staging.reference();
                if let Err(error) = again(&self.clock, &table.table, drop).await {
                    tracing::warn!(%table, %error, "a staging table is left until it expires");
                }
            }
        }
        let mut cost = copied?;
        if let Some((incremental, since)) = since {
            self.catch_up(table, by, incremental, since, &mut cost)
                .await?;
        }
        // No row is older than what was known before the first chunk was read.
        cost.snapshot = bounds.created.or(cost.snapshot);
        Ok(Some(cost))
    }

    /// How far the source goes before the first chunk of an incremental table is read. What
    /// changes in one chunk while others are read would otherwise be before the highest cursor
    /// of them all, and nobody would look for it. Nothing if it has no row with a cursor.
    async fn before_chunks(
        &self,
        table: &Table,
        by: &Cut,
        incremental: &Incremental,
    ) -> Result<Option<Since>, Failure> {
        let (connection, schema) = (&self.spec.connection, &self.spec.schema);
        let cursor = &incremental.cursor;
        let statement =
            source_watermark_statement(connection, schema, &table.name, cursor, &by.rows);
        let about = ["highest", table.name.as_str()];
        self.since(&about, &statement, incremental).await
    }

    /// Merges what changed while the chunks were read.
    async fn catch_up(
        &self,
        table: &Table,
        by: &Cut,
        incremental: &Incremental,
        since: Since,
        cost: &mut Cost,
    ) -> Result<(), Failure> {
        let rows = Rows {
            since: Some(since),
            ..by.rows.clone()
        };
        let settled = self
            .settle(&Work {
                about: &["catch-up", table.name.as_str()],
                query: self.merge(&by.copy, &rows, incremental).as_str(),
                purpose: Purpose::Merge,
                refusal: Refusal::Lasts,
            })
            .await?;
        let rows = cost.rows;
        cost.add(&Cost::of(&settled));
        cost.rows = rows;
        Ok(())
    }

    /// The chunks, the same for every attempt of the run.
    async fn cut(
        &self,
        table: &Table,
        by: &Cut,
    ) -> Result<Option<(Vec<StagedChunk>, Answer)>, Failure> {
        let (connection, schema) = (&self.spec.connection, &self.spec.schema);
        let statement = bounds_statement(connection, schema, &table.name, &by.key);
        let about = ["bounds", table.name.as_str()];
        let bounds = self
            .read(&about, statement.as_str(), Refusal::Lasts)
            .await?;
        let number = |name: &str| -> Option<i64> {
            let row = bounds.rows.first()?;
            row.get(name)?.as_deref()?.parse().ok()
        };
        let Some((low, high)) = number("low").zip(number("high")) else {
            return Ok(None);
        };
        let chunks = Chunk::split(&by.key, low, high, by.count);
        if chunks.len() < 2 {
            return Ok(None);
        }
        let (project, dataset) = (self.spec.project.as_str(), self.spec.dataset.as_str());
        let staged = |(at, chunk)| StagedChunk {
            chunk,
            staging: StagingTable::new(
                project,
                dataset,
                &chunk_id(&self.settings.uid, table.name.as_str(), at),
            ),
        };
        let cut = chunks.into_iter().enumerate().map(staged).collect();
        Ok(Some((cut, bounds)))
    }

    async fn copy_cut(
        &self,
        table: &Table,
        by: &Cut,
        destination: &google::Destination,
        rows_before: u64,
        cut: &[StagedChunk],
    ) -> Result<Cost, ChunksFailure> {
        let spec = &self.spec;
        let staged = cut.iter().map(|chunk| Destination {
            project: spec.project.clone(),
            dataset: spec.dataset.clone(),
            table: chunk.staging.reference().table.clone(),
        });
        let staged: Vec<Destination> = staged.collect();
        let statement = union_statement(&staged, &by.copy, &by.nulls).to_string();
        if statement.len() > LONGEST_STATEMENT {
            return Err(permanent(format!(
                "the statement that puts its {} chunks together has {} bytes, and BigQuery takes {LONGEST_STATEMENT}: leave columns out",
                cut.len(),
                statement.len()
            ))
            .into());
        }
        let about = ["union", table.name.as_str()];
        let mut cost = Cost::default();
        // Once that job is begun, every chunk has been read, and may be gone again.
        if !self.is_begun(&about).await? {
            let mut read = Vec::new();
            for (at, chunk) in cut.iter().enumerate() {
                let of_chunk = self.stage(table, by, chunk, at).await?;
                cost.add(&of_chunk);
                read.push(of_chunk.rows);
            }
            for (chunk, rows) in cut.iter().zip(read) {
                self.check_staged(chunk, rows).await?;
            }
            if cost.rows == 0 && rows_before > 0 {
                return Err(ChunksFailure::Emptied);
            }
        }
        let settled = self
            .settle(&Work {
                about: &about,
                query: &statement,
                purpose: Purpose::Write(destination.clone()),
                refusal: Refusal::Lasts,
            })
            .await?;
        let mut whole = Cost::of(&settled);
        let rows = whole.rows;
        whole.add(&cost);
        whole.rows = rows;
        Ok(whole)
    }

    /// Reads one chunk.
    async fn stage(
        &self,
        table: &Table,
        by: &Cut,
        staged: &StagedChunk,
        at: usize,
    ) -> Result<Cost, Failure> {
        let StagedChunk { chunk, staging } = staged;
        let name = &staging.reference().table;
        let expires = self.clock.now() + LIFETIME;
        let labels = self.labels();
        let make = async || self.google.make_staging(staging, expires, &labels).await;
        again(&self.clock, name, make).await.map_err(failure)?;
        let rows = Rows {
            chunk: Some(chunk.clone()),
            ..by.rows.clone()
        };
        let inner = inner_select(&self.spec.schema, &by.copy, &rows);
        let statement = select_statement(&self.spec.connection, &inner, &by.copy, &[]);
        let settled = self
            .settle(&Work {
                about: &["chunk", table.name.as_str(), &at.to_string()],
                query: statement.as_str(),
                purpose: Purpose::Write(google::Destination {
                    table: staging.reference().clone(),
                    // Its columns are those of the result; whatever it held is of no use.
                    write: WriteDisposition::Truncate,
                    create: google::CreateDisposition::Never,
                    schema_update: Vec::new(),
                }),
                refusal: Refusal::Lasts,
            })
            .await?;
        Ok(Cost::of(&settled))
    }

    /// A chunk that an earlier attempt read is not read again: its rows must be there still.
    async fn check_staged(&self, chunk: &StagedChunk, rows: u64) -> Result<(), Failure> {
        let reference = chunk.staging.reference();
        let read = async || self.google.table(reference).await;
        let table = again(&self.clock, &reference.table, read).await;
        let there = table.map_err(failure)?.map(|table| table.rows);
        if there == Some(rows) {
            return Ok(());
        }
        Err(permanent(format!(
            "{rows} rows were read into {reference}, and it holds {} now: somebody else writes to it",
            there.unwrap_or_default()
        )))
    }
}

/// Why a table was not copied in chunks.
pub(super) enum ChunksFailure {
    /// No chunk has a row, and the destination has some.
    Emptied,
    Other(Failure),
}

impl From<Failure> for ChunksFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}
