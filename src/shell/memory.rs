//! What one process remembers to save itself work. Nothing depends on it: it is lost with
//! the process, and the next one looks a week back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::command::CommentId;
use crate::object::{Kind, ObjectKey};
use crate::plan::drift::Mended;
use crate::plan::outcome::Outcome;
use crate::plan::steps::Write;

use super::reconcile::Planned;

/// How far a first sweep looks back for commands. Older ones are nobody's wish any more.
const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 3600);
/// GitHub's clock and ours differ, and its lists lag.
const OVERLAP: Duration = Duration::from_secs(600);
/// Comments that are remembered as settled.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    swept: Option<Timestamp>,
    settled: BTreeSet<CommentId>,
    mended: Mended,
}

impl Memory {
    /// From when on comments are to be read.
    pub(super) fn since(&self, now: Timestamp) -> Timestamp {
        match self.lock().swept {
            Some(swept) => swept.checked_sub(OVERLAP),
            None => now.checked_sub(LOOK_BACK),
        }
        .unwrap_or(Timestamp::MIN)
    }

    /// Every comment from before `began` was looked at.
    pub(super) fn swept(&self, began: Timestamp) {
        self.lock().swept = Some(began);
    }

    /// Every command of the comment has ended.
    pub(super) fn settle(&self, comment: CommentId) {
        let mut inner = self.lock();
        inner.settled.insert(comment);
        // Ids grow: the smallest is the oldest.
        if inner.settled.len() > REMEMBERED {
            inner.settled.pop_first();
        }
    }

    pub(super) fn is_settled(&self, comment: CommentId) -> bool {
        self.lock().settled.contains(&comment)
    }

    /// Notes what an apply has mended, and tells of it.
    pub(super) fn mended(&self, planned: &Planned, now: Timestamp) {
        for (step, outcome) in &planned.outcomes.steps {
            let (Write::Apply { kind, name, .. } | Write::Replace { kind, name, .. }) = &step.write
            else {
                continue;
            };
            let key = ObjectKey::Kubernetes {
                kind: *kind,
                name: name.clone(),
            };
            if *outcome == Outcome::Applied && planned.plan.drift.contains_key(&key) {
                tracing::info!(kind = kind.as_str(), name, "drift was mended");
                self.lock().mended.note(*kind, name, now);
            }
        }
    }

    /// What was mended so often lately that it is left as it is.
    pub(super) fn contended(&self, now: Timestamp) -> BTreeSet<(Kind, String)> {
        self.lock().mended.contended(now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves it whole: every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
