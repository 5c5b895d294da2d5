//! One query, carried to its end under ids that a later attempt of the same run finds again.
//!
//! A job's id is used up by its first insert, so whoever meets an id that is taken asks what
//! became of that job: it may be this run's own, begun by an attempt that was killed or whose
//! answer was lost.

use std::time::Duration;

use crate::edges::google::{
    GoogleError, Job, JobReference, JobState, Poll, Purpose, QueryJob, ResultPage,
};
use crate::retry::Backoff;
use crate::sync::{Failure, Found, JobId, Next, next};

use super::calls::{again, failure, first_failure, fresh, passes, transient};
use super::{JOB_TIMEOUT, Runner};

/// Jobs that one process begins for the same query; the next attempt of the run goes on.
const BEGUN: u32 = 3;
/// A poll that comes back sooner without a result is not repeated at once.
const PACE: Duration = Duration::from_secs(1);
/// Polls in a row that fail before the job is left to itself.
const POLLS: u32 = 6;

/// A query of this run.
pub(super) struct Work<'a> {
    /// What it is about, unlike any other work of the run: the ids are made of it.
    pub(super) about: &'a [&'a str],
    pub(super) query: &'a str,
    pub(super) purpose: Purpose,
    pub(super) refusal: Refusal,
}

/// What it means that the work is refused for lack of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It needs grants that nothing of the run has shown to be there: they may be on their way.
    MayPass,
    Lasts,
}

/// BigQuery's word for it in a job.
const REFUSED: &str = "accessDenied";

/// A query that succeeded.
pub(super) struct Settled {
    pub(super) reference: JobReference,
    pub(super) job: Job,
    /// Of its result, wherever it went.
    pub(super) rows: u64,
}

/// Who began a job.
#[derive(Clone, Copy)]
enum Began {
    Here,
    Before,
}

impl Runner {
    /// Runs a query to its success, once: what an earlier attempt of this run did counts.
    pub(super) async fn settle(&self, work: &Work<'_>) -> Result<Settled, Failure> {
        let mut id = JobId::first(&self.settings.uid, work.about);
        let mut begun = 0;
        loop {
            let reference = self.reference(&id);
            self.running().insert(reference.clone());
            let began = self.begin(&reference, work).await?;
            let (job, rows) = self.wait(&reference).await?;
            self.running().remove(&reference);
            let found = found(&job.state);
            let said = match &job.state {
                JobState::Failed(error) => format!("{} ({})", error.message, error.reason),
                _ => format!("job {id} did not end"),
            };
            let refused = matches!(&found, Found::Failed { reason, .. } if reason == REFUSED);
            let decided = match (next(&id, &found), work.refusal) {
                (Next::Report(_), Refusal::MayPass) if refused => match (began, id.another()) {
                    (Began::Before, Some(another)) => Next::Start(another),
                    _ => return Err(fresh(&said)),
                },
                (decided, _) => decided,
            };
            let another = match decided {
                Next::Use => {
                    return Ok(Settled {
                        reference,
                        job,
                        rows,
                    });
                }
                Next::Wait => continue,
                Next::Report(persistence) => {
                    return Err(Failure {
                        persistence,
                        error: said,
                    });
                }
                Next::Start(another) => another,
            };
            // A spent id of an earlier attempt is walked past at once.
            if matches!(began, Began::Here) {
                begun += 1;
                let backoff = Backoff::new(&reference.id);
                let Some(delay) = backoff.delay(begun).filter(|_| begun < BEGUN) else {
                    return Err(transient(said));
                };
                tracing::info!(job = %id, reason = said, ?delay, "a job is begun again");
                self.clock.sleep(delay).await;
            }
            id = another;
        }
    }

    /// Whether a job for this was begun, and is not known to have to be begun again.
    pub(super) async fn is_begun(&self, about: &[&str]) -> Result<bool, Failure> {
        let mut id = JobId::first(&self.settings.uid, about);
        loop {
            let reference = self.reference(&id);
            let read = async || self.google.job(&reference).await;
            let job = again(&self.clock, &reference.id, read).await;
            let Some(job) = job.map_err(failure)? else {
                return Ok(false);
            };
            match next(&id, &found(&job.state)) {
                Next::Start(another) => id = another,
                Next::Use | Next::Wait | Next::Report(_) => return Ok(true),
            }
        }
    }

    pub(super) fn reference(&self, id: &JobId) -> JobReference {
        JobReference {
            project: self.spec.project.to_string(),
            location: self.spec.location.to_string(),
            id: id.to_string(),
        }
    }

    pub(super) fn query_job(&self, reference: &JobReference, work: &Work<'_>) -> QueryJob {
        QueryJob {
            reference: reference.clone(),
            query: work.query.to_owned(),
            labels: self.labels(),
            timeout: JOB_TIMEOUT,
            purpose: work.purpose.clone(),
        }
    }

    /// Makes sure that there is a job of this id. Where it is not known whether an insert was
    /// heard, the job itself tells.
    async fn begin(&self, reference: &JobReference, work: &Work<'_>) -> Result<Began, Failure> {
        let job = self.query_job(reference, work);
        let backoff = Backoff::new(&reference.id);
        let mut attempt = 1;
        loop {
            let error = match self.google.insert_job(&job).await {
                Ok(_) => return Ok(Began::Here),
                Err(GoogleError::AlreadyExists { .. }) if attempt == 1 => return Ok(Began::Before),
                // An insert of ours was heard after all.
                Err(GoogleError::AlreadyExists { .. }) => return Ok(Began::Here),
                Err(error) if passes(&error) => error,
                Err(error) if work.refusal == Refusal::MayPass => {
                    return Err(first_failure(error));
                }
                Err(error) => return Err(failure(error)),
            };
            if let Ok(Some(_)) = self.google.job(reference).await {
                return Ok(Began::Here);
            }
            let Some(delay) = backoff.delay(attempt) else {
                return Err(failure(error));
            };
            tracing::debug!(%error, ?delay, "a job is begun again under its id");
            self.clock.sleep(delay).await;
            attempt += 1;
        }
    }

    /// Waits until a job is done, whatever it came to; with the number of rows of its result.
    async fn wait(&self, reference: &JobReference) -> Result<(Job, u64), Failure> {
        let backoff = Backoff::new(&reference.id);
        let mut failed = 0;
        loop {
            let asked = self.clock.now();
            let (rows, error) = match self.google.query_page(reference, 0, None).await {
                Ok(Poll::Complete(page)) => (page.total_rows, None),
                Ok(Poll::Running) => {
                    failed = 0;
                    self.clock.sleep_until(asked + PACE).await;
                    continue;
                }
                // Of a failed job this is its own error: only the job says which.
                Err(error) => (0, Some(error)),
            };
            let read = async || self.google.job(reference).await;
            match again(&self.clock, &reference.id, read)
                .await
                .map_err(failure)?
            {
                Some(job) if job.state == JobState::Succeeded && error.is_some() => {}
                Some(job) if job.state.is_done() => return Ok((job, rows)),
                Some(_) => {}
                None => {
                    return Err(transient(format!(
                        "BigQuery does not know its own job {}",
                        reference.id
                    )));
                }
            }
            failed += 1;
            match error {
                Some(error) if !passes(&error) || failed >= POLLS => return Err(failure(error)),
                _ => {
                    let delay = backoff.delay(failed.min(3)).unwrap_or(PACE);
                    self.clock.sleep(delay).await;
                }
            }
        }
    }

    /// Hands every page of a result to `take`, in order.
    pub(super) async fn pages(
        &self,
        reference: &JobReference,
        rows: u32,
        mut take: impl FnMut(ResultPage),
    ) -> Result<(), Failure> {
        let mut token: Option<String> = None;
        loop {
            let read = async || {
                self.google
                    .query_page(reference, rows, token.as_deref())
                    .await
            };
            let page = again(&self.clock, &reference.id, read).await;
            match page.map_err(failure)? {
                Poll::Running => self.clock.sleep(PACE).await,
                Poll::Complete(mut page) => {
                    token = page.next.take();
                    take(page);
                    if token.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn found(state: &JobState) -> Found {
    match state {
        JobState::Pending | JobState::Running => Found::Running,
        JobState::Succeeded => Found::Succeeded,
        JobState::Failed(error) => Found::Failed {
            reason: error.reason.clone(),
            message: error.message.clone(),
        },
    }
}
