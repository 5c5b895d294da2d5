//! How long to wait before the same write is tried again within one apply.
//!
//! Only that: what still fails after it is said on the pull request, and tried again with
//! its whole lane.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// How often a write is tried again: after one second, two, and four.
const RETRIES: u32 = 3;

/// The waits of one write. A value: whoever waits holds the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    seed: String,
}

impl Backoff {
    /// `seed` tells this write from others, so that what failed together does not come
    /// again together.
    pub fn new(seed: impl Into<String>) -> Self {
        Self { seed: seed.into() }
    }

    /// How long to wait after the attempt of this number, the first one being 1, has failed
    /// for a transient reason. `None`: give up.
    pub fn delay(&self, attempt: u32) -> Option<Duration> {
        let doublings = attempt
            .checked_sub(1)
            .filter(|doublings| *doublings < RETRIES)?;
        let base = 1000_u64 << doublings;
        Some(Duration::from_millis(
            base + base * self.spread(attempt) / 1024,
        ))
    }

    /// Up to 255: a quarter of 1024.
    fn spread(&self, attempt: u32) -> u64 {
        let hash = Sha256::digest(format!("{attempt} {}", self.seed));
        hash.first().copied().map_or(0, u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_waits_each_twice_as_long_then_none() {
        let backoff = Backoff::new("grant acme-orders");
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4)] {
            let delay = backoff.delay(attempt).unwrap();
            let base = Duration::from_secs(seconds);
            assert!(delay >= base && delay < base * 5 / 4, "{delay:?}");
        }
        for attempt in [0, 4, u32::MAX] {
            assert_eq!(backoff.delay(attempt), None, "{attempt}");
        }
    }

    #[test]
    fn the_spread_comes_from_the_seed_alone() {
        let waits = |seed: &str| Backoff::new(seed).delay(1);
        assert_eq!(waits("a"), waits("a"));
        let all: std::collections::BTreeSet<_> = (0..100).map(|n| waits(&n.to_string())).collect();
        assert!(all.len() > 50, "only {} different waits", all.len());
    }
}
