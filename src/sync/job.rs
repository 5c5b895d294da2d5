//! The ids of query jobs: a retry, another pod or a lost answer finds the job that was started.
//!
//! `pw_<run>_<hash of what it is about>_<attempt>`. Without the run in it, tonight would find
//! yesterday's success; without the attempt, a retry would find its own failure for ever.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::failure::{Persistence, classify};

/// How often a run tries a job that fails in passing.
pub const ATTEMPTS: u32 = 8;

/// One attempt at one job of one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// `pw_<run>_<hash>`
    stem: String,
    attempt: u32,
}

impl JobId {
    /// The first attempt of the run (a workflow's uid) at what `purpose` says: table, chunk…
    pub fn first(run: &str, purpose: &[&str]) -> Self {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        // Whatever a run is called, BigQuery takes the id.
        let run = if !run.is_empty() && run.len() <= 64 && run.bytes().all(legal) {
            run.to_owned()
        } else {
            short_hash(&[run])
        };
        Self {
            stem: format!("pw_{run}_{}", short_hash(purpose)),
            attempt: 0,
        }
    }

    /// The next attempt; nothing after the last one.
    pub fn another(&self) -> Option<Self> {
        let attempt = self
            .attempt
            .checked_add(1)
            .filter(|next| *next < ATTEMPTS)?;
        Some(Self {
            stem: self.stem.clone(),
            attempt,
        })
    }

    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.stem, self.attempt)
    }
}

/// Sixteen hexadecimal digits. Lengths go in, so that no two lists have one text.
pub(super) fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(16);
    digits
}

/// A job as `jobs.get` answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// `PENDING` or `RUNNING`.
    Running,
    Succeeded,
    /// `DONE` with an `errorResult`.
    Failed {
        reason: String,
        message: String,
    },
}

/// What to do about a job that was found under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It did the work.
    Use,
    /// Ask again later; a job that was told to stop is not done yet.
    Wait,
    /// Its id is spent: start this one.
    Start(JobId),
    /// Another attempt would only repeat it, or there were enough.
    Report(Persistence),
}

/// Decides; the same for a job that this process started and for one that it met (409).
pub fn next(id: &JobId, found: &Found) -> Next {
    let (reason, message) = match found {
        Found::Running => return Next::Wait,
        Found::Succeeded => return Next::Use,
        Found::Failed { reason, message } => (reason, message),
    };
    // Somebody cancelled it: our own pod when it was told to end, most of the time.
    let cancelled = reason == "stopped";
    match (cancelled, classify(reason, message), id.another()) {
        (false, Persistence::Permanent, _) => Next::Report(Persistence::Permanent),
        (_, _, Some(another)) => Next::Start(another),
        (_, _, None) => Next::Report(Persistence::Transient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "0b7ad3f0-0000-4000-8000-000000000001";

    fn failed(reason: &str) -> Found {
        Found::Failed {
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn ids_are_legal_and_never_the_same_for_two_things() {
        let id = JobId::first(RUN, &["orders", "items"]);
        assert!(
            id.to_string().starts_with(&format!("pw_{RUN}_")) && id.to_string().ends_with("_0")
        );
        assert_ne!(id, JobId::first(RUN, &["ordersitems"]));
        assert_ne!(id, JobId::first(RUN, &["orders", "", "items"]));
        assert_ne!(id, JobId::first("another-run", &["orders", "items"]));
        assert_eq!(id, JobId::first(RUN, &["orders", "items"]));
        for run in ["", "a b", "ü", &"x".repeat(2_000)] {
            let id = JobId::first(run, &["x"]).to_string();
            assert!(
                id.len() < 128
                    && id
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
            );
        }
    }

    #[test]
    fn a_found_job_is_used_waited_for_or_followed_by_another() {
        let id = JobId::first(RUN, &["t"]);
        let second = id.another().unwrap();
        assert_eq!(next(&id, &Found::Succeeded), Next::Use);
        assert_eq!(next(&id, &Found::Running), Next::Wait);
        assert_eq!(
            next(&id, &failed("backendError")),
            Next::Start(second.clone())
        );
        assert_eq!(next(&id, &failed("stopped")), Next::Start(second));
        assert_eq!(
            next(&id, &failed("invalidQuery")),
            Next::Report(Persistence::Permanent)
        );
        let last = (1..ATTEMPTS).fold(id, |id, _| id.another().unwrap());
        assert_eq!(
            next(&last, &failed("backendError")),
            Next::Report(Persistence::Transient)
        );
    }
}
