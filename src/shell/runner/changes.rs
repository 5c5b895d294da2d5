//! Which way a table is copied: whole, or by what changed since the last copy.
//!
//! The destination's labels say what it holds, so a run needs no memory of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::edges::google;
use crate::sync::{Destination, Failure, Incremental, JobId, Since, watermark_statement};

use super::Runner;
use super::calls::{again, failure};

/// Which condition, key, cursor and columns the rows of a table have in common.
const COPY_LABEL: &str = "pipewright_copy";
/// When all rows were last copied, in seconds since 1970.
const FULL_LABEL: &str = "pipewright_full";
/// In place of a fingerprint, while another copy is on its way.
const NOTHING: &str = "none";

/// Which rows are copied.
pub(super) enum Extent {
    Whole,
    /// What changed since then.
    Changes(Since),
}

/// What a job is about that copies a whole table, and one that copies its changes. Two names:
/// an attempt finds the job of an earlier one whichever way that went.
pub(super) const WHOLE: &str = "table";
pub(super) const CHANGES: &str = "changes";

impl Runner {
    /// Decides from what the destination holds. What this run has begun in an earlier attempt
    /// goes on, whatever the clock or the labels say by now.
    pub(super) async fn extent(
        &self,
        table: &str,
        incremental: &Incremental,
        fingerprint: &str,
        existing: Option<&google::Table>,
        destination: &Destination,
    ) -> Result<Extent, Failure> {
        let Some(existing) = existing.filter(|existing| existing.rows > 0) else {
            return Ok(Extent::Whole);
        };
        if existing.labels.get(COPY_LABEL).map(String::as_str) != Some(fingerprint) {
            return Ok(Extent::Whole);
        }
        let last = existing.labels.get(FULL_LABEL);
        let last = last.and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok());
        let is_whole = if incremental.full_is_due(last, self.clock.now()) {
            !self.has_begun(&[CHANGES, table]).await?
        } else {
            self.has_begun(&[WHOLE, table]).await?
        };
        if is_whole {
            return Ok(Extent::Whole);
        }
        let statement = watermark_statement(destination, &incremental.cursor);
        let rows = self.read(&["watermark", table], statement.as_str()).await?;
        let highest = rows.first().and_then(|row| row.get("highest")).cloned();
        let since = highest
            .flatten()
            .and_then(|highest| incremental.since(&highest));
        Ok(since.map_or(Extent::Whole, Extent::Changes))
    }

    async fn has_begun(&self, about: &[&str]) -> Result<bool, Failure> {
        let reference = self.reference(&JobId::first(&self.settings.uid, about));
        let read = async || self.google.job(&reference).await;
        let job = again(&self.clock, &reference.id, read).await;
        job.map(|job| job.is_some()).map_err(failure)
    }
}

/// What a whole copy says of the rows that it wrote, so that the next run may add to them.
pub(super) fn labels(fingerprint: &str, snapshot: Timestamp) -> BTreeMap<String, String> {
    [
        (COPY_LABEL, fingerprint.to_owned()),
        (FULL_LABEL, snapshot.as_second().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// What has to be said before a whole copy, if the table's labels promise other rows than
/// it writes: should the run die between the rows and their labels, nobody may add to them.
pub(super) fn before(
    existing: Option<&google::Table>,
    fingerprint: Option<&str>,
) -> Option<BTreeMap<String, String>> {
    let promised = existing?.labels.get(COPY_LABEL)?;
    let is_true = promised == NOTHING || Some(promised.as_str()) == fingerprint;
    (!is_true).then(|| BTreeMap::from([(COPY_LABEL.to_owned(), NOTHING.to_owned())]))
}
