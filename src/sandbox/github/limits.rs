//! GitHub's rate limits: off until they are set, then counted on a clock that is given.
//!
//! Each counts what was taken within the last minute or hour, which is stricter than any
//! window that starts anew. Left out: the limit on concurrent requests, and the seconds of
//! processor time that GitHub counts as well.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

use super::Github;
use super::answer::Refusal;
use super::world::Shared;

/// What is allowed, and how a refusal speaks.
#[derive(Debug, Clone)]
pub struct Limits {
    pub clock: Clock,
    pub creations_a_minute: usize,
    pub creations_an_hour: usize,
    pub points_a_minute: usize,
    pub requests_an_hour: usize,
    pub retry_after: RetryAfter,
}

/// Whether a refusal by a secondary limit says when to come back. GitHub's do not always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    Said,
    Silent,
}

impl Limits {
    /// Those that GitHub documents for an installation.
    pub fn documented(clock: Clock) -> Self {
        Self {
            clock,
            creations_a_minute: 80,
            creations_an_hour: 500,
            points_a_minute: 900,
            requests_an_hour: 5000,
            retry_after: RetryAfter::Said,
        }
    }
}

/// The limits, and what counts towards them.
pub(super) struct Counted {
    limits: Limits,
    taken: Vec<Taken>,
    /// When the hour of the primary limit began, and what it has seen.
    hour: (Timestamp, usize),
}

#[derive(Clone, Copy)]
struct Taken {
    at: Timestamp,
    points: usize,
    creations: usize,
}

type Weigh = fn(&Taken) -> usize;

/// How a request is refused.
enum Over {
    Primary,
    /// After so many seconds there is room again.
    Secondary(i64),
}

impl Github {
    /// Limits what the installation may do from now on.
    pub fn limit(&self, limits: Limits) {
        let now = limits.clock.now();
        self.world.lock().limits = Some(Counted {
            limits,
            taken: Vec::new(),
            hour: (now, 0),
        });
    }

    /// Allows everything again.
    pub fn unlimit(&self) {
        self.world.lock().limits = None;
    }
}

impl Counted {
    fn count(&mut self, method: &Method, path: &str) -> Result<(), Over> {
        let now = self.limits.clock.now();
        if now.duration_since(self.hour.0) >= SignedDuration::from_hours(1) {
            self.hour = (now, 0);
        }
        if self.hour.1 >= self.limits.requests_an_hour {
            return Err(Over::Primary);
        }
        let reads = *method == Method::GET || *method == Method::HEAD;
        let creates = *method == Method::POST
            && ["/comments", "/check-runs", "/reactions", "/issues"]
                .iter()
                .any(|end| path.ends_with(end));
        let more = Taken {
            at: now,
            points: if reads { 1 } else { 5 },
            creations: usize::from(creates),
        };
        let limits: [(Weigh, usize, i64); 3] = [
            (|one| one.points, self.limits.points_a_minute, 60),
            (|one| one.creations, self.limits.creations_a_minute, 60),
            (|one| one.creations, self.limits.creations_an_hour, 3600),
        ];
        for (weigh, most, seconds) in limits {
            let since = now - SignedDuration::from_secs(seconds);
            let within = self.taken.iter().filter(|one| one.at > since);
            let total: usize = within.clone().map(weigh).sum();
            if weigh(&more) > 0 && total + weigh(&more) > most {
                let oldest = within.filter(|one| weigh(one) > 0).map(|one| one.at).min();
                let age = oldest.map_or(0, |oldest| now.duration_since(oldest).as_secs());
                return Err(Over::Secondary((seconds - age).max(1)));
            }
        }
        self.taken.push(more);
        self.hour.1 += 1;
        Ok(())
    }

    /// What every answer says about the primary limit, and the time it was given.
    fn headers(&self, response: &mut Response) {
        let (most, used) = (self.limits.requests_an_hour, self.hour.1);
        let now = self.limits.clock.now();
        let reset = self.hour.0.as_second().saturating_add(3600);
        let mut put = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        };
        let name = HeaderName::from_static;
        put(name("x-ratelimit-limit"), most.to_string());
        put(name("x-ratelimit-used"), used.to_string());
        put(
            name("x-ratelimit-remaining"),
            (most - used.min(most)).to_string(),
        );
        put(name("x-ratelimit-reset"), reset.to_string());
        put(name("x-ratelimit-resource"), "core".to_owned());
        put(
            header::DATE,
            now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        );
    }

    fn refuse(&self, over: &Over, installation: u64) -> Response {
        let message = match over {
            Over::Primary => format!("API rate limit exceeded for installation ID {installation}."),
            Over::Secondary(_) => "You have exceeded a secondary rate limit. Please wait a few \
                                   minutes before you try again."
                .to_owned(),
        };
        let mut response = Refusal::new(StatusCode::FORBIDDEN, message).into_response();
        if let (Over::Secondary(seconds), RetryAfter::Said) = (over, self.limits.retry_after) {
            let seconds = HeaderValue::from(*seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// Lets a request through that is within the limits, if there are any.
pub(super) async fn keep(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let counted = {
        let mut world = shared.lock();
        let installation = world.options.installation_id;
        world.limits.as_mut().and_then(|counted| {
            let over = counted
                .count(request.method(), request.uri().path())
                .err()?;
            let mut refusal = counted.refuse(&over, installation);
            counted.headers(&mut refusal);
            Some(refusal)
        })
    };
    if let Some(refusal) = counted {
        return refusal;
    }
    let mut response = next.run(request).await;
    if let Some(counted) = &shared.lock().limits {
        counted.headers(&mut response);
    }
    response
}
