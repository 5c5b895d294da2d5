//! How many writes are under way at once: as many as the server takes without slowing down.
//!
//! One more for every round that went well, half as many when the server says that it is busy
//! or is much slower than it has been: what TCP does, and for the same reason. Others use the
//! same server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where it begins.
const FIRST: f64 = 4.0;
/// How many times slower than its quickest answer a server may be before fewer are sent. Below
/// what it begins with: a server that is busy with those queues the next.
const SLOWER: u32 = 3;
/// Answers that come sooner than this say nothing about a server that is loaded.
const NOTHING: Duration = Duration::from_millis(10);

/// The number of writes that may be under way. Clones share it.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Mutex<Limit>>);

/// What one write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Done,
    /// The server will not do it, and said so quickly: that tells nothing about its load.
    Refused,
    /// No answer, too many requests, or a failure of the server's.
    Busy,
}

impl Pace {
    /// Never more than `most`, and never fewer than one.
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Mutex::new(Limit::new(most))))
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.lock().limit()
    }

    /// Takes note of a write that took so long.
    pub fn note(&self, took: Duration, heard: Heard) {
        self.lock().note(took, heard);
    }

    fn lock(&self) -> MutexGuard<'_, Limit> {
        // A panic elsewhere leaves a number.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Limit {
    most: f64,
    now: f64,
    /// In seconds.
    quickest: Option<f64>,
    /// Answers before the limit may fall again: those under way were sent before it fell.
    spared: usize,
}

impl Limit {
    fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self {
            most,
            now: FIRST.min(most),
            quickest: None,
            spared: 0,
        }
    }

    fn limit(&self) -> usize {
        self.now as usize
    }

    fn note(&mut self, took: Duration, heard: Heard) {
        if heard == Heard::Refused {
            return;
        }
        self.spared = self.spared.saturating_sub(1);
        let seconds = took.as_secs_f64();
        // One at a time is as quick as it gets: what was quicker was another server.
        let quickest = match self.quickest {
            Some(quickest) if self.limit() > 1 => quickest.min(seconds),
            _ => seconds,
        };
        let is_slow = took > NOTHING && seconds > quickest * f64::from(SLOWER);
        if heard == Heard::Done {
            self.quickest = Some(quickest);
        }
        match heard {
            Heard::Done if !is_slow => self.now = (self.now + 1.0 / self.now).min(self.most),
            _ if self.spared == 0 => {
                self.spared = self.limit();
                self.now = (self.now / 2.0).max(1.0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_millis(200);

    fn after(most: u32, answers: impl IntoIterator<Item = (Duration, Heard)>) -> Limit {
        let mut limit = Limit::new(most);
        for (took, heard) in answers {
            limit.note(took, heard);
        }
        limit
    }

    #[test]
    fn it_grows_by_one_a_round_and_no_further_than_allowed() {
        let well = |count| std::iter::repeat_n((QUICK, Heard::Done), count);
        assert_eq!(after(64, well(0)).limit(), 4);
        assert_eq!(after(64, well(5)).limit(), 5);
        assert_eq!(after(64, well(10_000)).limit(), 64);
        assert_eq!(after(6, well(10_000)).limit(), 6);
        assert_eq!(after(1, well(100)).limit(), 1);
        assert_eq!(after(0, well(100)).limit(), 1);
    }

    #[test]
    fn a_busy_server_and_a_slow_one_get_half_once_a_round() {
        let well = std::iter::repeat_n((QUICK, Heard::Done), 2_000);
        let mut limit = after(64, well);
        let before = limit.limit();
        for _ in 0..10 {
            limit.note(SLOW, Heard::Busy);
        }
        assert_eq!(limit.limit(), before / 2, "those under way fall with it");
        for _ in 0..before {
            limit.note(SLOW, Heard::Done);
        }
        assert_eq!(limit.limit(), before / 4);
        for _ in 0..10_000 {
            limit.note(SLOW, Heard::Busy);
        }
        assert_eq!(limit.limit(), 1);
        limit.note(QUICK, Heard::Done);
        assert_eq!(limit.limit(), 2);
    }

    #[test]
    fn a_quick_refusal_makes_no_server_slow() {
        let ordinary = Duration::from_millis(12);
        let well = std::iter::repeat_n((ordinary, Heard::Done), 2_000);
        let mut limit = after(32, well);
        limit.note(Duration::from_millis(1), Heard::Refused);
        for _ in 0..100 {
            limit.note(ordinary, Heard::Done);
        }
        assert_eq!(limit.limit(), 32);
    }

    #[test]
    fn what_queues_at_the_server_is_not_sent() {
        // Two at a time, 10 ms each; the others wait there.
        let mut limit = after(64, std::iter::repeat_n((2 * NOTHING, Heard::Done), 4));
        let mut most = 0;
        for _ in 0..20_000 {
            let waits = u32::try_from(limit.limit().max(2)).unwrap();
            limit.note(NOTHING * waits, Heard::Done);
            most = most.max(limit.limit());
        }
        assert!(most <= 8, "{most}");
    }

    #[test]
    fn a_server_that_became_slow_for_good_is_believed() {
        let quick = std::iter::repeat_n((2 * NOTHING, Heard::Done), 1_000);
        let slow = std::iter::repeat_n((20 * NOTHING, Heard::Done), 2_000);
        assert_eq!(after(16, quick.chain(slow)).limit(), 16);
    }

    #[test]
    fn a_server_that_was_always_this_slow_is_not_slow() {
        let slow = std::iter::repeat_n((SLOW, Heard::Done), 1_000);
        assert_eq!(after(16, slow).limit(), 16);
    }
}
