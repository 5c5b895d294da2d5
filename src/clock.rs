//! The only place where time comes from.
//!
//! Everything that waits or asks for the time is handed a [`Clock`]. A stepped one stands
//! still until it is told to advance, so that a test of an hour takes no time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};

/// The longest that a wait for a point in time goes without looking at the wall clock:
/// it may be set, and a machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The time, and how to wait for it. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    System,
    Stepped(Arc<Mutex<Stepped>>),
}

#[derive(Debug)]
struct Stepped {
    now: Timestamp,
    /// By when they are due, then by who came first.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    arrivals: u64,
    /// Told of every arrival.
    arrived: Arc<Notify>,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self { kind: Kind::System }
    }

    /// A clock that shows `start` until it is advanced.
    pub fn stepped(start: Timestamp) -> Self {
        Self {
            kind: Kind::Stepped(Arc::new(Mutex::new(Stepped {
                now: start,
                sleepers: BTreeMap::new(),
                arrivals: 0,
                arrived: Arc::default(),
            }))),
        }
    }

    pub fn now(&self) -> Timestamp {
        match &self.kind {
            Kind::System => Timestamp::now(),
            Kind::Stepped(stepped) => lock(stepped).now,
        }
    }

    /// Returns once the clock shows `deadline` or later; at once if it already does.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        match &self.kind {
            Kind::System => {
                // An Err is a negative duration: the deadline has passed.
                while let Ok(left) = Duration::try_from(deadline.duration_since(Timestamp::now()))
                    && !left.is_zero()
                {
                    tokio::time::sleep(left.min(LOOK_AGAIN)).await;
                }
            }
            Kind::Stepped(stepped) => {
                if let Some(sleeper) = Sleeper::enter(stepped, |_| deadline) {
                    sleeper.wait().await;
                }
            }
        }
    }

    /// Returns after `duration`. On the machine's clock it does not matter if that is set meanwhile.
    pub async fn sleep(&self, duration: Duration) {
        match &self.kind {
            Kind::System => tokio::time::sleep(duration).await,
            Kind::Stepped(stepped) => {
                if let Some(sleeper) = Sleeper::enter(stepped, |now| later(now, duration)) {
                    sleeper.wait().await;
                }
            }
        }
    }

    /// Moves a stepped clock forward and wakes who is due by then: earliest first, and of
    /// those due together, who came first. A system clock moves by itself: nothing happens.
    pub fn advance(&self, by: Duration) {
        let Kind::Stepped(stepped) = &self.kind else {
            return;
        };
        let mut stepped = lock(stepped);
        let now = later(stepped.now, by);
        stepped.now = now;
        while let Some(first) = stepped.sleepers.first_entry()
            && first.key().0 <= now
        {
            // An Err means that the sleeper gave up just now.
            let _ = first.remove().send(());
        }
    }

    /// As [`Clock::advance`], to a point in time; one that has passed changes nothing.
    pub fn advance_to(&self, at: Timestamp) {
        if let Ok(left) = Duration::try_from(at.duration_since(self.now())) {
            self.advance(left);
        }
    }

    /// Sees who begins to sleep from now on.
    pub fn newcomers(&self) -> Newcomers {
        let since = match &self.kind {
            Kind::System => 0,
            Kind::Stepped(stepped) => lock(stepped).arrivals,
        };
        Newcomers {
            clock: self.clone(),
            since,
        }
    }

    /// When the next sleeper of a stepped clock is due.
    pub fn next_wake(&self) -> Option<Timestamp> {
        match &self.kind {
            Kind::System => None,
            Kind::Stepped(stepped) => lock(stepped)
                .sleepers
                .first_key_value()
                .map(|(&(due, _), _)| due),
        }
    }
}

/// Who begins to sleep on a stepped clock after this was made.
#[derive(Debug)]
pub struct Newcomers {
    clock: Clock,
    since: u64,
}

impl Newcomers {
    /// When the first of them is due, once there is one who still sleeps. A system clock
    /// wakes its sleepers itself: then this never returns.
    pub async fn due(&self) -> Timestamp {
        let Kind::Stepped(stepped) = &self.clock.kind else {
            return std::future::pending().await;
        };
        let arrived = lock(stepped).arrived.clone();
        loop {
            // Before the look, so that no arrival falls between the two.
            let next = arrived.notified();
            let first = lock(stepped)
                .sleepers
                .keys()
                .find(|(_, arrival)| *arrival >= self.since)
                .map(|(due, _)| *due);
            match first {
                Some(due) => return due,
                None => next.await,
            }
        }
    }
}

/// A place in the queue, given up when dropped: who was cancelled is not waited for.
struct Sleeper<'clock> {
    stepped: &'clock Mutex<Stepped>,
    key: (Timestamp, u64),
    woken: oneshot::Receiver<()>,
}

impl<'clock> Sleeper<'clock> {
    /// `None` if what `due` says has already come.
    fn enter(
        stepped: &'clock Mutex<Stepped>,
        due: impl FnOnce(Timestamp) -> Timestamp,
    ) -> Option<Self> {
        let mut inner = lock(stepped);
        let due = due(inner.now);
        if due <= inner.now {
            return None;
        }
        let (wake, woken) = oneshot::channel();
        let key = (due, inner.arrivals);
        inner.arrivals += 1;
        inner.sleepers.insert(key, wake);
        inner.arrived.notify_waiters();
        Some(Self {
            stepped,
            key,
            woken,
        })
    }

    async fn wait(mut self) {
        // The sender lives in the queue, which outlives us: it never just disappears.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        lock(self.stepped).sleepers.remove(&self.key);
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| now.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A poisoned lock only means that another thread failed; every change here is whole.
fn lock(stepped: &Mutex<Stepped>) -> MutexGuard<'_, Stepped> {
    stepped.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    fn noon() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test]
    async fn sleepers_wake_in_the_order_they_are_due() {
        let clock = Clock::stepped(noon());
        let order = Arc::new(Mutex::new(Vec::new()));
        let sleepers: Vec<_> = [("late", 30), ("first", 10), ("second", 10), ("never", 31)]
            .into_iter()
            .map(|(name, due)| {
                let (clock, order) = (clock.clone(), order.clone());
                tokio::spawn(async move {
                    clock.sleep(seconds(due)).await;
                    order.lock().unwrap().push(name);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(clock.next_wake(), Some(later(noon(), seconds(10))));

        clock.advance(seconds(30));
        assert_eq!(clock.now(), later(noon(), seconds(30)));
        assert_eq!(clock.next_wake(), Some(later(noon(), seconds(31))));
        sleepers[3].abort();
        join_all(sleepers).await;
        assert_eq!(*order.lock().unwrap(), ["first", "second", "late"]);
        assert_eq!(
            clock.next_wake(),
            None,
            "a cancelled sleeper leaves the queue"
        );
    }

    #[test]
    fn nobody_wakes_early_and_nobody_waits_for_the_past() {
        let clock = Clock::stepped(noon());
        let mut sleep = Box::pin(clock.sleep(seconds(10)));
        assert!(sleep.as_mut().now_or_never().is_none());
        clock.advance(seconds(9));
        assert!(sleep.as_mut().now_or_never().is_none());
        clock.advance(seconds(1));
        assert!(sleep.now_or_never().is_some());

        assert!(clock.sleep_until(noon()).now_or_never().is_some());
        assert!(
            Clock::system()
                .sleep_until(noon() - SignedDuration::from_hours(24 * 365))
                .now_or_never()
                .is_some()
        );
    }

    #[tokio::test]
    async fn only_who_came_since_is_seen() {
        let clock = Clock::stepped(noon());
        let mut early = Box::pin(clock.sleep(seconds(1)));
        assert!(early.as_mut().now_or_never().is_none());
        let newcomers = clock.newcomers();
        let mut seen = Box::pin(newcomers.due());
        assert!(seen.as_mut().now_or_never().is_none());
        let mut late = Box::pin(clock.sleep(seconds(30)));
        assert!(late.as_mut().now_or_never().is_none());
        let due = seen.await;
        assert_eq!(due, later(noon(), seconds(30)));
        clock.advance_to(due);
        assert!(late.now_or_never().is_some());
        assert!(newcomers.due().now_or_never().is_none(), "nobody is left");
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        let clock = Clock::stepped(noon());
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        assert!(clock.sleep(Duration::MAX).now_or_never().is_some());
    }
}
