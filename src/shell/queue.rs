//! The queue: which lanes wait, in what order, and not before when.
//!
//! One entry for each lane, however many events speak of it: a burst costs one run.
//! It lives in memory only. Every event is a hint, and a sweep finds what was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::event::{Event, Lane, PullNumber};

/// The longest wait before a failed lane is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Deliveries whose repetition is noticed.
const REMEMBERED: usize = 10_000;

/// What waits in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Merged pull requests to ask for consent.
    pub pulls: BTreeSet<PullNumber>,
    /// Full name of a merge group's branch.
    pub branch: Option<String>,
    /// Runs of this lane that failed in a row.
    pub failures: u32,
    /// Not before this.
    pub due: Option<Timestamp>,
}

/// Shared by the server, which adds, and the worker, which takes.
#[derive(Clone, Default)]
pub struct Queue {
    inner: Arc<Mutex<Inner>>,
    added: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    order: VecDeque<Lane>,
    lanes: BTreeMap<Lane, Waiting>,
    sweep: bool,
    delivered: VecDeque<String>,
    known: BTreeSet<String>,
}

/// What the worker does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look at everything.
    Sweep,
    Lane(Lane, Waiting),
    /// Nothing before this moment.
    Later(Timestamp),
    Nothing,
}

impl Queue {
    /// Notes that a delivery arrived. False if it was here before.
    pub fn is_new(&self, delivery: &str) -> bool {
        let mut inner = self.lock();
        if !inner.known.insert(delivery.to_owned()) {
            return false;
        }
        inner.delivered.push_back(delivery.to_owned());
        if inner.delivered.len() > REMEMBERED
            && let Some(oldest) = inner.delivered.pop_front()
        {
            inner.known.remove(&oldest);
        }
        true
    }

    /// Adds what an event asks for.
    pub fn add(&self, event: &Event) {
        match event {
            Event::PullRequestChanged { number }
            | Event::PullRequestMerged { number }
            | Event::Reviewed { number } => {
                self.put(Lane::PullRequest(*number), Waiting::default())
            }
            Event::Commented { number, .. } => {
                self.put(Lane::Commands(*number), Waiting::default());
            }
            // Nothing of ours depends on a pull request that is closed unmerged.
            Event::PullRequestClosed { .. } => {}
            Event::DefaultBranchPushed { .. } => self.put(Lane::Default, Waiting::default()),
            Event::MergeGroup { head, name } => self.put(
                Lane::MergeGroup(head.clone()),
                Waiting {
                    branch: Some(name.clone()),
                    ..Waiting::default()
                },
            ),
            Event::CheckRerequested { pulls, .. } => {
                for number in pulls {
                    self.put(Lane::PullRequest(*number), Waiting::default());
                }
            }
            Event::Sweep => {
                self.lock().sweep = true;
                self.added.notify_one();
            }
        }
    }

    /// Adds to what waits in a lane. New work is due at once, whatever failed before.
    pub fn put(&self, lane: Lane, more: Waiting) {
        let mut inner = self.lock();
        if !inner.lanes.contains_key(&lane) {
            inner.order.push_back(lane.clone());
        }
        let waiting = inner.lanes.entry(lane).or_default();
        waiting.pulls.extend(more.pulls);
        waiting.branch = more.branch.or(waiting.branch.take());
        waiting.failures = waiting.failures.max(more.failures);
        waiting.due = more.due;
        drop(inner);
        self.added.notify_one();
    }

    /// Puts a failed run back, to be tried later and later.
    pub fn put_back(&self, lane: Lane, mut waiting: Waiting, now: Timestamp) {
        waiting.failures += 1;
        let wait = Duration::from_secs(1 << waiting.failures.min(9)).min(LONGEST_WAIT);
        waiting.due = Some(now + wait);
        self.put(lane, waiting);
    }

    /// Takes what is due.
    pub fn take(&self, now: Timestamp) -> Next {
        let mut inner = self.lock();
        if inner.sweep {
            inner.sweep = false;
            return Next::Sweep;
        }
        let is_due = |lane: &Lane, inner: &Inner| {
            inner
                .lanes
                .get(lane)
                .is_none_or(|waiting| waiting.due.is_none_or(|due| due <= now))
        };
        if let Some(index) = inner.order.iter().position(|lane| is_due(lane, &inner))
            && let Some(lane) = inner.order.remove(index)
        {
            let waiting = inner.lanes.remove(&lane).unwrap_or_default();
            return Next::Lane(lane, waiting);
        }
        match inner.lanes.values().filter_map(|waiting| waiting.due).min() {
            Some(due) => Next::Later(due),
            None => Next::Nothing,
        }
    }

    /// Waits until something is added.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the queue whole: every change is one call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_burst_is_one_run_and_lanes_take_turns() {
        let queue = Queue::default();
        for _ in 0..5 {
            queue.add(&Event::PullRequestChanged { number: 7 });
            queue.add(&Event::Reviewed { number: 7 });
        }
        queue.add(&Event::DefaultBranchPushed {
            commit: "a".repeat(40).parse().unwrap(),
        });
        let taken: Vec<Next> = (0..3).map(|_| queue.take(at(0))).collect();
        assert_eq!(
            taken,
            [
                Next::Lane(Lane::PullRequest(7), Waiting::default()),
                Next::Lane(Lane::Default, Waiting::default()),
                Next::Nothing,
            ]
        );
    }

    #[test]
    fn a_failed_lane_waits_and_holds_nobody() {
        let queue = Queue::default();
        queue.put_back(Lane::Default, Waiting::default(), at(0));
        queue.add(&Event::PullRequestChanged { number: 1 });
        assert!(matches!(
            queue.take(at(1)),
            Next::Lane(Lane::PullRequest(1), _)
        ));
        assert_eq!(queue.take(at(1)), Next::Later(at(2)));
        let Next::Lane(Lane::Default, waiting) = queue.take(at(2)) else {
            panic!()
        };
        queue.put_back(Lane::Default, waiting, at(2));
        assert_eq!(queue.take(at(2)), Next::Later(at(6)));
        // News does not wait for the backoff.
        queue.add(&Event::DefaultBranchPushed {
            commit: "a".repeat(40).parse().unwrap(),
        });
        assert!(matches!(
            queue.take(at(2)),
            Next::Lane(Lane::Default, Waiting { failures: 2, .. })
        ));
    }

    #[test]
    fn a_delivery_counts_once() {
        let queue = Queue::default();
        assert!(queue.is_new("a"));
        assert!(!queue.is_new("a"));
        for index in 0..REMEMBERED {
            queue.is_new(&index.to_string());
        }
        assert!(
            queue.is_new("a"),
            "the oldest is forgotten, so memory stays bounded"
        );
    }
}
