//! How many writes are under way at once: as many as the server takes without slowing down.
//!
//! Twice as many after each round that went well, until the server says that it is busy or is
//! slow; half as many then, and one more for every round that goes well from there on. What TCP
//! does, and for the same reason: others use the same server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where it begins.
const FIRST: f64 = 4.0;
/// How many times slower than its quickest answer a server may be before fewer are sent. Below
/// what it begins with: a server that is busy with those queues the next.
const SLOWER: u32 = 3;
/// Answers that come sooner than this say nothing about a server that is loaded: a fifth of
/// what Kubernetes' own objective allows a write of one object (99 of 100 within a second).
/// What a server does side by side makes each answer slower and all of them sooner: a lower
/// bound keeps it idle.
///
/// Source: <https://github.com/kubernetes/community/blob/main/sig-scalability/slos/api_call_latency.md>
const NOTHING: Duration = Duration::from_millis(200);

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
    /// Until it falls first, nothing is known but that there is more room.
    has_fallen: bool,
}

impl Limit {
    fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self {
            most,
            now: FIRST.min(most),
            quickest: None,
            spared: 0,
            has_fallen: false,
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
            Heard::Done if !is_slow => {
                let more = if self.has_fallen { 1.0 / self.now } else { 1.0 };
                self.now = (self.now + more).min(self.most);
            }
            _ if self.spared == 0 => {
                self.has_fallen = true;
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
    const SLOW: Duration = Duration::from_secs(2);

    fn after(most: u32, answers: impl IntoIterator<Item = (Duration, Heard)>) -> Limit {
        let mut limit = Limit::new(most);
        for (took, heard) in answers {
            limit.note(took, heard);
        }
        limit
    }

    #[test]
    fn it_doubles_each_round_until_it_falls_and_goes_no_further_than_allowed() {
        let well = |count| std::iter::repeat_n((QUICK, Heard::Done), count);
        assert_eq!(after(64, well(0)).limit(), 4);
        assert_eq!(after(64, well(4)).limit(), 8);
        assert_eq!(after(64, well(4 + 8)).limit(), 16);
        assert_eq!(after(64, well(10_000)).limit(), 64);
        assert_eq!(after(6, well(10_000)).limit(), 6);
        assert_eq!(after(1, well(100)).limit(), 1);
        assert_eq!(after(0, well(100)).limit(), 1);
    }

    #[test]
    fn once_it_fell_it_grows_by_one_a_round() {
        let fell = after(64, [(QUICK, Heard::Busy)]);
        assert_eq!(fell.limit(), 2);
        let round = [
            (QUICK, Heard::Busy),
            (QUICK, Heard::Done),
            (QUICK, Heard::Done),
        ];
        assert_eq!(after(64, round).limit(), 2);
        let two = round.into_iter().chain([(QUICK, Heard::Done); 4]);
        assert_eq!(after(64, two).limit(), 4);
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
        let ordinary = 2 * NOTHING;
        let well = std::iter::repeat_n((ordinary, Heard::Done), 2_000);
        let mut limit = after(32, well);
        limit.note(Duration::from_millis(1), Heard::Refused);
        for _ in 0..100 {
            limit.note(ordinary, Heard::Done);
        }
        assert_eq!(limit.limit(), 32);
    }

    #[test]
    fn what_queues_at_a_slow_server_is_not_sent() {
        // Two at a time; the others wait there.
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
    fn what_a_quick_server_queues_is_no_reason_to_send_less() {
        // Each takes as long as there are others, and still less than anybody would notice.
        let mut limit = Limit::new(32);
        for _ in 0..1_000 {
            let waits = u32::try_from(limit.limit()).unwrap();
            limit.note(QUICK * waits, Heard::Done);
        }
        assert_eq!(limit.limit(), 32);
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
