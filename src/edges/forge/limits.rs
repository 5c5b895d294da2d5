//! GitHub's limits, kept by one scheduler that every request passes.
//!
//! It never sleeps: what may not be sent now is refused with the moment from which on it
//! may, so that the lane waits in the queue and holds nobody up. Only for a free place
//! among the concurrent requests is waited, because that takes no longer than an answer.
//!
//! Left out: what other clients of the same App send, and what was sent before a restart.
//! GitHub counts that too, and a refusal by it closes the gate as well.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::ForgeError;
use super::error::shortened;
use crate::clock::Clock;

/// Requests under way at once; GitHub allows a hundred.
const CONCURRENT: usize = 16;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    Read,
    /// Changes or removes what is there.
    Write,
    /// Makes a comment, a check run or a reaction.
    Creation,
}

impl Cost {
    fn points(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write | Self::Creation => 5,
        }
    }

    fn creations(self) -> u32 {
        u32::from(self == Self::Creation)
    }

    /// How long it counts towards some limit.
    fn counts_for(self) -> SignedDuration {
        match self {
            Self::Read | Self::Write => MINUTE,
            Self::Creation => HOUR,
        }
    }
}

/// At most `most`, measured by `weigh`, within `period`.
struct Rule {
    weigh: fn(Cost) -> u32,
    most: u32,
    period: SignedDuration,
}

/// GitHub allows 900 points a minute. The difference is left for what octocrab sends inside
/// of a request of ours: a new token each hour, and one repetition after a 401.
const RULES: [Rule; 3] = [
    Rule {
        weigh: Cost::points,
        most: 850,
        period: MINUTE,
    },
    Rule {
        weigh: Cost::creations,
        most: 80,
        period: MINUTE,
    },
    Rule {
        weigh: Cost::creations,
        most: 500,
        period: HOUR,
    },
];

/// What was sent lately, and from when on anything may be sent: a value without a clock.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    sent: Vec<Sent>,
    admitted: u64,
    closed_until: Option<Timestamp>,
    /// Grows with each closing, so that answers from before it are told apart.
    closings: u64,
    /// Refusals in a row that did not say when to come back.
    unsaid: u32,
}

/// GitHub counts a request at some moment between sending and answer, so it weighs from the
/// former on until a whole period after the latter.
#[derive(Debug)]
struct Sent {
    number: u64,
    cost: Cost,
    answered: Option<Timestamp>,
}

/// A request that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    number: u64,
    closings: u64,
}

impl Schedule {
    /// Lets a request through, or says when to ask again.
    pub(super) fn admit(&mut self, now: Timestamp, cost: Cost) -> Result<Ticket, Timestamp> {
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Err(until);
        }
        self.sent
            .retain(|sent| sent.leaves(now, sent.cost.counts_for()) > now);
        let full = RULES.iter().filter_map(|rule| self.full(now, cost, rule));
        if let Some(until) = full.max() {
            return Err(until);
        }
        self.admitted += 1;
        self.sent.push(Sent {
            number: self.admitted,
            cost,
            answered: None,
        });
        Ok(Ticket {
            number: self.admitted,
            closings: self.closings,
        })
    }

    /// When there will be room under `rule`, if there is none now.
    fn full(&self, now: Timestamp, cost: Cost, rule: &Rule) -> Option<Timestamp> {
        let more = (rule.weigh)(cost);
        let mut weighing: Vec<(Timestamp, u32)> = self
            .sent
            .iter()
            .map(|sent| (sent.leaves(now, rule.period), (rule.weigh)(sent.cost)))
            .filter(|(leaves, weight)| *leaves > now && *weight > 0)
            .collect();
        let mut total: u32 = weighing.iter().map(|(_, weight)| weight).sum();
        if more == 0 || total + more <= rule.most {
            return None;
        }
        weighing.sort_unstable();
        for (leaves, weight) in weighing {
            total -= weight;
            if total + more <= rule.most {
                return Some(leaves);
            }
        }
        None
    }

    /// The request was answered, or given up.
    pub(super) fn done(&mut self, ticket: Ticket, now: Timestamp) {
        let mut sent = self.sent.iter_mut();
        if let Some(sent) = sent.find(|sent| sent.number == ticket.number) {
            sent.answered = Some(now);
        }
    }

    /// GitHub took the request: what was refused before is forgotten.
    pub(super) fn taken(&mut self, ticket: Ticket) {
        if ticket.closings == self.closings {
            self.unsaid = 0;
        }
    }

    /// Sends nothing before `until`. GitHub never asks for more than an hour.
    pub(super) fn close(&mut self, now: Timestamp, until: Timestamp) -> Timestamp {
        let second = SignedDuration::from_secs(1);
        let until = until.clamp(later(now, second), later(now, HOUR));
        let until = self.closed_until.map_or(until, |there| there.max(until));
        self.closed_until = Some(until);
        self.closings += 1;
        until
    }

    /// GitHub refused the request because of a limit. Where it does not say until when, a
    /// minute is waited, and twice as long each time; requests that were under way together
    /// are refused together, and count once.
    pub(super) fn refused(
        &mut self,
        ticket: Ticket,
        now: Timestamp,
        said: Option<Timestamp>,
    ) -> Timestamp {
        if let Some(until) = said {
            return self.close(now, until);
        }
        if ticket.closings == self.closings {
            self.unsaid += 1;
        }
        let doubled = 1 << self.unsaid.saturating_sub(1).min(6);
        let until = later(now, MINUTE * doubled);
        match self.closed_until {
            Some(there) if ticket.closings != self.closings && there > now => there,
            _ => self.close(now, until),
        }
    }
}

impl Sent {
    fn leaves(&self, now: Timestamp, period: SignedDuration) -> Timestamp {
        // While it is under way, it does not leave before a period from now.
        later(self.answered.unwrap_or(now), period)
    }
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The gate of one connection.
pub(super) struct Limits {
    clock: Clock,
    schedule: Mutex<Schedule>,
    places: Semaphore,
}

impl Limits {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            schedule: Mutex::default(),
            places: Semaphore::new(CONCURRENT),
        }
    }

    /// Waits for a place among the concurrent requests, and for nothing else.
    ///
    /// # Errors
    /// [`ForgeError::Limited`] if the request may not be sent now.
    pub(super) async fn permit(&self, attempt: &str, cost: Cost) -> Result<Permit<'_>, ForgeError> {
        // An Err is a closed semaphore, and this one is never closed.
        let place = self.places.acquire().await.ok();
        match self.lock().admit(self.clock.now(), cost) {
            Ok(ticket) => Ok(Permit {
                limits: self,
                ticket,
                _place: place,
            }),
            Err(until) => Err(ForgeError::Limited {
                attempt: attempt.to_owned(),
                message: "held back, nothing was sent".to_owned(),
                until,
            }),
        }
    }

    /// A poisoned lock only means that another thread failed; every change here is whole.
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the requests under way, until it is dropped.
pub(super) struct Permit<'l> {
    limits: &'l Limits,
    ticket: Ticket,
    _place: Option<SemaphorePermit<'l>>,
}

impl Permit<'_> {
    /// GitHub took the request. Its answer may say that it was the last one for now.
    pub(super) fn taken(&self, headers: &HeaderMap) {
        let now = self.limits.clock.now();
        let mut schedule = self.limits.lock();
        schedule.taken(self.ticket);
        if let Some(until) = reset(headers, now) {
            schedule.close(now, until);
        }
    }

    /// Sorts a failure, and closes the gate if it is a limit's.
    pub(super) fn failed(&self, attempt: &str, error: octocrab::Error) -> ForgeError {
        if let octocrab::Error::GitHub { source, .. } = &error {
            let headers = source.headers.clone().unwrap_or_default();
            if is_limit(source.status_code, &headers, &source.message) {
                let now = self.limits.clock.now();
                let said = said(&headers, now);
                return ForgeError::Limited {
                    attempt: attempt.to_owned(),
                    message: shortened(&source.message),
                    until: self.limits.lock().refused(self.ticket, now, said),
                };
            }
        }
        ForgeError::classify(attempt, error)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now = self.limits.clock.now();
        self.limits.lock().done(self.ticket, now);
    }
}

/// Whether an answer refuses because of a limit. A 403 is one only when it says so: it also
/// stands for a missing permission, and that passes by no waiting.
fn is_limit(status: StatusCode, headers: &HeaderMap, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::FORBIDDEN
            && (headers.contains_key("retry-after")
                || text(headers, "x-ratelimit-remaining") == Some("0")
                || message.contains("secondary rate limit")
                // What older servers call it.
                || message.contains("abuse detection"))
}

/// When to come back, if the answer says.
fn said(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    match text(headers, "retry-after") {
        Some(seconds) => {
            let seconds = seconds.parse().ok()?;
            Some(later(now, SignedDuration::from_secs(seconds)))
        }
        None => reset(headers, now),
    }
}

/// When the hour's requests begin anew, if none is left. A moment of GitHub's clock, so it
/// is measured against the answer's own date where there is one.
fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    if text(headers, "x-ratelimit-remaining") != Some("0") {
        return None;
    }
    let reset = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    let reset = Timestamp::from_second(reset).ok()?;
    let date = text(headers, "date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let theirs = date.map_or(now, |date| date.timestamp());
    Some(later(now, reset.duration_since(theirs)))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;
