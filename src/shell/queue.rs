//! The queue: which lanes wait, in what order, and not before when.
//!
//! One entry for each lane, however many events speak of it: a burst costs one run.
//! A lane that runs is not handed out again before its turn ends; what is added meanwhile
//! waits for the next.
//! It lives in memory only. Every event is a hint, and a sweep finds what was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::command::{CommandKey, CommentId};
use crate::event::{Event, Lane, PullNumber};
use crate::object::Kind;
use crate::plan::commanded::Commanded;
use crate::plan::record::Record;

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
    /// Comments to read for commands.
    pub comments: BTreeSet<CommentId>,
    /// What was asked for by `/apply`.
    pub commanded: BTreeSet<Commanded>,
    /// Commands that wait for this lane's run.
    pub commands: BTreeSet<(PullNumber, CommandKey)>,
    /// If it is about these objects alone, because somebody changed them.
    pub drifted: Option<BTreeSet<(Kind, String)>>,
    /// Commands that another lane has run for.
    pub effected: BTreeSet<CommandKey>,
    /// Runs in a row that were given up for a newer one.
    pub superseded: u32,
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
    /// Lanes whose turn it is.
    running: BTreeSet<Lane>,
    sweep: bool,
    events: u64,
    delivered: VecDeque<String>,
    known: BTreeSet<String>,
}

/// What the worker does next.
#[derive(Debug)]
pub enum Next {
    /// Look at everything.
    Sweep,
    Lane(Turn, Box<Waiting>),
    /// Nothing before this moment.
    Later(Timestamp),
    /// Nothing, but for what is added to lanes whose turn it is.
    Nothing,
}

/// A lane's turn; nobody else gets the lane before it is dropped.
pub struct Turn {
    lane: Lane,
    queue: Queue,
}

impl Turn {
    pub fn lane(&self) -> &Lane {
        &self.lane
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.lock().running.remove(&self.lane);
        self.queue.added.notify_one();
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.lane).finish()
    }
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
        self.lock().events += 1;
        match event {
            Event::PullRequestChanged { number }
            | Event::PullRequestMerged { number }
            | Event::Reviewed { number } => {
                self.put(Lane::PullRequest(*number), Waiting::default())
            }
            Event::Commented { number, comment } => self.put(
                Lane::Commands(*number),
                Waiting {
                    comments: [*comment].into(),
                    ..Waiting::default()
                },
            ),
            // Nothing of ours depends on a pull request that is closed unmerged.
            Event::PullRequestClosed { .. } => self.added.notify_one(),
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
            Event::ObjectChanged { kind, name } => {
                // A Record says what of all pipelines is whose.
                let all = *kind == Kind::ConfigMap && Record::is_name(name);
                let drifted = (!all).then(|| [(*kind, name.clone())].into());
                self.put(
                    Lane::Default,
                    Waiting {
                        drifted,
                        ..Waiting::default()
                    },
                );
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
        let is_news = !inner.lanes.contains_key(&lane);
        if is_news {
            inner.order.push_back(lane.clone());
        }
        let waiting = inner.lanes.entry(lane).or_default();
        waiting.pulls.extend(more.pulls);
        waiting.branch = more.branch.or(waiting.branch.take());
        waiting.comments.extend(more.comments);
        waiting.commanded.extend(more.commanded);
        waiting.commands.extend(more.commands);
        waiting.effected.extend(more.effected);
        waiting.drifted = match (waiting.drifted.take(), more.drifted) {
            (_, drifted) if is_news => drifted,
            (Some(one), Some(other)) => Some(one.into_iter().chain(other).collect()),
            // One of them is about everything.
            _ => None,
        };
        waiting.superseded = waiting.superseded.max(more.superseded);
        waiting.failures = waiting.failures.max(more.failures);
        // The earlier of the two; at once, if either is.
        waiting.due = if is_news {
            more.due
        } else {
            waiting.due.and_then(|due| Some(due.min(more.due?)))
        };
        drop(inner);
        self.added.notify_one();
    }

    /// Puts a failed run back, to be tried later and later, and not before `limited`: until
    /// then GitHub takes nothing.
    pub fn put_back(
        &self,
        lane: Lane,
        mut waiting: Waiting,
        now: Timestamp,
        limited: Option<Timestamp>,
    ) {
        waiting.failures += 1;
        let wait = Duration::from_secs(1 << waiting.failures.min(9)).min(LONGEST_WAIT);
        waiting.due = Some(now + wait).max(limited);
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
            !inner.running.contains(lane)
                && inner
                    .lanes
                    .get(lane)
                    .is_none_or(|waiting| waiting.due.is_none_or(|due| due <= now))
        };
        if let Some(index) = inner.order.iter().position(|lane| is_due(lane, &inner))
            && let Some(lane) = inner.order.remove(index)
        {
            let waiting = inner.lanes.remove(&lane).unwrap_or_default();
            inner.running.insert(lane.clone());
            drop(inner);
            let queue = self.clone();
            return Next::Lane(Turn { lane, queue }, Box::new(waiting));
        }
        let waiting = inner.lanes.iter();
        match waiting
            .filter(|(lane, _)| !inner.running.contains(*lane))
            .filter_map(|(_, waiting)| waiting.due)
            .min()
        {
            Some(due) => Next::Later(due),
            None => Next::Nothing,
        }
    }

    /// Whether something newer waits in a lane.
    pub fn has_news(&self, lane: &Lane) -> bool {
        let inner = self.lock();
        inner
            .lanes
            .get(lane)
            .is_some_and(|waiting| waiting.due.is_none())
    }

    /// How many events were ever added, if nothing runs, nothing is due and nothing has
    /// failed: what waits then waits for the world.
    pub fn at_rest(&self, now: Timestamp) -> Option<u64> {
        let inner = self.lock();
        let waits =
            |waiting: &Waiting| waiting.failures == 0 && waiting.due.is_some_and(|due| due > now);
        let rests = inner.lanes.values().all(waits) && inner.running.is_empty() && !inner.sweep;
        rests.then_some(inner.events)
    }

    /// Waits until something is added, or a turn ends.
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

    fn lane(next: Next) -> Option<(Turn, Waiting)> {
        match next {
            Next::Lane(turn, waiting) => Some((turn, *waiting)),
            _ => None,
        }
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
        let taken: Vec<Lane> = std::iter::from_fn(|| lane(queue.take(at(0))))
            .map(|(turn, _)| turn.lane().clone())
            .collect();
        assert_eq!(taken, [Lane::PullRequest(7), Lane::Default]);
        assert_eq!(queue.at_rest(at(0)), Some(11));
    }

    #[test]
    fn a_lane_runs_once_at_a_time_and_holds_no_other() {
        let queue = Queue::default();
        queue.add(&Event::PullRequestChanged { number: 7 });
        let (turn, _) = lane(queue.take(at(0))).unwrap();
        queue.add(&Event::PullRequestChanged { number: 7 });
        queue.add(&Event::PullRequestChanged { number: 8 });
        assert!(queue.has_news(turn.lane()));
        let (other, _) = lane(queue.take(at(0))).unwrap();
        assert_eq!(other.lane(), &Lane::PullRequest(8));
        assert!(matches!(queue.take(at(0)), Next::Nothing));
        assert_eq!(queue.at_rest(at(0)), None);
        drop(turn);
        let (again, _) = lane(queue.take(at(0))).unwrap();
        assert_eq!(again.lane(), &Lane::PullRequest(7));
    }

    #[test]
    fn a_failed_lane_waits_and_holds_nobody() {
        let queue = Queue::default();
        let default = || Lane::Default;
        queue.put_back(default(), Waiting::default(), at(0), None);
        queue.add(&Event::PullRequestChanged { number: 1 });
        let (turn, _) = lane(queue.take(at(1))).unwrap();
        assert_eq!(turn.lane(), &Lane::PullRequest(1));
        assert!(matches!(queue.take(at(1)), Next::Later(due) if due == at(2)));
        let (turn, waiting) = lane(queue.take(at(2))).unwrap();
        assert_eq!(turn.lane(), &default());
        drop(turn);
        queue.put_back(default(), waiting, at(2), None);
        assert!(matches!(queue.take(at(2)), Next::Later(due) if due == at(6)));
        // News does not wait for the backoff.
        queue.add(&Event::DefaultBranchPushed {
            commit: "a".repeat(40).parse().unwrap(),
        });
        let (_, waiting) = lane(queue.take(at(2))).unwrap();
        assert_eq!(waiting.failures, 2);
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
