//! One run of `pipewright sync`: what is read, decided and written, in order.
//!
//! ```text
//!  connection -guard-> catalog -choose-> tables -plan-> statements -settle-> jobs -> report
//! ```
//!
//! No row passes through here: BigQuery reads from PostgreSQL and writes to its own tables,
//! and is only told to. Every job has an id that another attempt of the same run finds again,
//! so a run that died anywhere is continued, and nothing is done twice.

mod calls;
mod discover;
mod chunks;
mod plan;
mod rehearse;
mod table;
#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use futures::{StreamExt as _, stream};
use tokio::sync::watch::{Receiver, Sender};

use crate::clock::Clock;
use crate::edges::google::{GoogleClient, JobReference};
use crate::name::PgName;
use crate::sync::{Choice, CopyMode, Outcome, RunReport, RunResult, RunSpec, TableReport};

pub use rehearse::{Rehearsal, Schemas};

use calls::{again, permanent, transient};

/// BigQuery ends a query after six hours. A job's own limit is said all the same, because a
/// job without one outlives whoever watches it.
const JOB_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Jobs that are cancelled at a time.
const CANCELS: usize = 8;

/// The longest value of a label, in characters.
const LABEL: usize = 63;

/// How a run is made, beyond what it is about.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The same for every attempt of one run, and for no other run.
    pub uid: String,
    /// Tables at a time.
    pub parallel: NonZeroUsize,
    /// Tables that are larger at the source are read in chunks of about so many bytes; 0 for none.
    pub chunk_bytes: u64,
    /// Only these tables; empty for all of the run's.
    pub tables: BTreeSet<PgName>,
}

/// How far an attempt is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tables that are settled, one way or the other.
    pub done: usize,
    /// Zero until they are known.
    pub all: usize,
    /// Tables that are being copied, by name.
    pub running: BTreeSet<String>,
}

/// One attempt of one run.
pub struct Runner {
    google: GoogleClient,
    clock: Clock,
    spec: RunSpec,
    settings: Settings,
    /// Jobs that may be running.
    running: Arc<Mutex<BTreeSet<JobReference>>>,
    progress: Sender<Progress>,
}

impl Runner {
    /// Prepares an attempt; asks nothing yet.
    pub fn new(google: GoogleClient, clock: Clock, spec: RunSpec, settings: Settings) -> Self {
        Self {
            google,
            clock,
            spec,
            settings,
            running: Arc::default(),
            progress: Sender::default(),
        }
    }

    /// Tells how far the attempt is, until the runner is dropped.
    pub fn progress(&self) -> Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Copies every table, and says of each what became of it. When `stopped` returns, what
    /// runs is cancelled, and what was not done is said to have failed for now.
    pub async fn run(&self, stopped: impl Future<Output = ()>) -> RunReport {
        let began = self.clock.now();
        let mut done = Done::default();
        let was_stopped = {
            let work = pin!(self.copy_all(&mut done));
            matches!(select(pin!(stopped), work).await, Either::Left(_))
        };
        if was_stopped {
            self.cancel_all().await;
            let told = || transient("the run was told to stop; its next attempt goes on");
            for name in std::mem::take(&mut done.pending) {
                let report = without_job(name, Outcome::Failed(told()));
                self.log(&report, &done);
                done.result.tables.push(report);
            }
            done.result.failure.get_or_insert_with(told);
        }
        let took = self.clock.now().duration_since(began).as_millis();
        let mut result = done.result;
        result.duration_ms = u64::try_from(took).unwrap_or_default();
        let (pipeline, service) = (self.spec.pipeline.clone(), self.spec.service.clone());
        let report = RunReport::new(pipeline, service, result);
        match report.persistence() {
            None => tracing::info!(
                service = %self.spec.service, pipeline = %self.spec.pipeline, "{}", report.message
            ),
            Some(_) => tracing::error!(
                service = %self.spec.service, pipeline = %self.spec.pipeline, "{}", report.message
            ),
        }
        report
    }

    async fn copy_all(&self, done: &mut Done) {
        let discovered = match self.discover().await {
            Ok(discovered) => discovered,
            Err(failure) => {
                done.result.failure = Some(failure);
                return;
            }
        };
        self.leave_out(&discovered.choice, done);
        let tables = &discovered.choice.tables;
        done.pending = tables.iter().map(|table| table.name.to_string()).collect();
        done.all += tables.len();
        self.told(done);
        let copies = tables.iter().map(|table| self.copy(table, &discovered));
        let mut copies = stream::iter(copies).buffer_unordered(self.settings.parallel.get());
        while let Some(report) = copies.next().await {
            done.pending.remove(&report.table);
            self.log(&report, done);
            done.result.tables.push(report);
            self.told(done);
        }
    }

    /// Notes what is not copied, and why.
    fn leave_out(&self, choice: &Choice, done: &mut Done) {
        for warning in &choice.warnings {
            tracing::warn!(service = %self.spec.service, pipeline = %self.spec.pipeline, "{warning}");
        }
        done.result.warnings.clone_from(&choice.warnings);
        done.all += choice.left_out.len();
        for (name, why) in &choice.left_out {
            let outcome = if why.fails() {
                Outcome::Failed(permanent(why.sentence()))
            } else {
                Outcome::Skipped(why.sentence().to_owned())
            };
            let report = without_job(name.clone(), outcome);
            self.log(&report, done);
            done.result.tables.push(report);
        }
    }

    fn told(&self, done: &Done) {
        self.progress.send_modify(|progress| {
            (progress.done, progress.all) = (done.result.tables.len(), done.all);
        });
    }

    /// One line for each table, in its pod and on a terminal alike.
    fn log(&self, report: &TableReport, done: &Done) {
        let (service, pipeline) = (&self.spec.service, &self.spec.pipeline);
        let TableReport {
            table,
            mode,
            result,
            rows,
            bytes,
            slot_ms,
            duration_ms,
            notes,
        } = report;
        let at = format!("{}/{}", done.result.tables.len() + 1, done.all);
        let notes = notes.join(" ");
        match result {
            Outcome::Copied => tracing::info!(
                %service, %pipeline, table, ?mode, rows, bytes, slot_ms, duration_ms, notes, at, "copied"
            ),
            Outcome::Skipped(why) => {
                tracing::info!(%service, %pipeline, table, why, at, "left out");
            }
            Outcome::Failed(failure) => tracing::error!(
                %service, %pipeline, table, ?mode, persistence = ?failure.persistence,
                error = failure.error, notes, at, "failed"
            ),
        }
    }

    /// Cancels every job that may be running.
    async fn cancel_all(&self) {
        let running: Vec<JobReference> = self.running().iter().cloned().collect();
        stream::iter(running)
            .for_each_concurrent(CANCELS, async |job| {
                let cancel = async || self.google.cancel_job(&job).await;
                if let Err(error) = again(&self.clock, &job.id, cancel).await {
                    tracing::warn!(job = job.id, %error, "a job is not cancelled");
                }
            })
            .await;
    }

    /// What is said of every job, so that its cost is found by service, pipeline and run.
    fn labels(&self) -> BTreeMap<String, String> {
        [
            ("service", self.spec.service.as_str()),
            ("pipeline", self.spec.pipeline.as_str()),
            ("run", self.settings.uid.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), label(value)))
        .into()
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<JobReference>> {
        // A poisoned lock only means that another task failed; every change is whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt did so far.
#[derive(Default)]
struct Done {
    result: RunResult,
    /// Tables that nothing is known of yet.
    pending: BTreeSet<String>,
    /// How many there are to report on.
    all: usize,
}

fn without_job(table: String, result: Outcome) -> TableReport {
    TableReport {
        table,
        mode: CopyMode::Full,
        result,
        rows: None,
        bytes: None,
        slot_ms: None,
        duration_ms: None,
        notes: Vec::new(),
    }
}

/// As Google takes it: lowercase letters, digits, `_` and `-`.
fn label(value: &str) -> String {
    let legal = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_' | '-') => c,
        _ => '_',
    };
    value.chars().take(LABEL).map(legal).collect()
}
