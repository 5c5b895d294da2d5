//! Tests of the limits: as a value, and against a GitHub that has them.

use super::*;

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// Sends as many as are let through, each answered at once.
fn burst(schedule: &mut Schedule, now: Timestamp, cost: Cost, most: usize) -> usize {
    let mut sent = 0;
    while sent < most
        && let Ok(ticket) = schedule.admit(now, cost)
    {
        schedule.done(ticket, now);
        schedule.taken(ticket);
        sent += 1;
    }
    sent
}

#[test]
fn creations_are_eighty_a_minute_and_five_hundred_an_hour() {
    let mut schedule = Schedule::default();
    let mut now = noon();
    let mut sent = Vec::new();
    while sent.iter().sum::<usize>() < 600 {
        let left = 600 - sent.iter().sum::<usize>();
        sent.push(burst(&mut schedule, now, Cost::Creation, left));
        if let Err(until) = schedule.admit(now, Cost::Creation) {
            assert!(until > now);
            assert_eq!(
                schedule.admit(until - seconds(1), Cost::Creation),
                Err(until)
            );
            now = until;
        }
    }
    assert_eq!(sent, [80, 80, 80, 80, 80, 80, 20, 80, 20]);
    assert_eq!(now, noon() + seconds(3660));
}

#[test]
fn reads_and_writes_share_the_points_and_creations_do_not_hold_up_reads() {
    let mut schedule = Schedule::default();
    assert_eq!(burst(&mut schedule, noon(), Cost::Creation, 200), 80);
    assert_eq!(burst(&mut schedule, noon(), Cost::Write, 200), 90);
    assert_eq!(burst(&mut schedule, noon(), Cost::Read, 200), 0);
    let later = noon() + seconds(60);
    assert_eq!(burst(&mut schedule, later, Cost::Read, 2000), 850);
    assert_eq!(schedule.admit(later, Cost::Read), Err(later + seconds(60)));
}

#[test]
fn a_slow_request_counts_until_a_minute_after_its_answer() {
    let mut schedule = Schedule::default();
    let slow = schedule.admit(noon(), Cost::Creation).unwrap();
    let later = noon() + seconds(50);
    assert_eq!(burst(&mut schedule, later, Cost::Creation, 200), 79);
    let later = noon() + seconds(110);
    assert_eq!(burst(&mut schedule, later, Cost::Creation, 200), 79);
    schedule.done(slow, later);
    let later = noon() + seconds(170);
    assert_eq!(burst(&mut schedule, later, Cost::Creation, 200), 80);
}

#[test]
fn without_a_word_it_waits_a_minute_and_twice_as_long_each_time() {
    let mut schedule = Schedule::default();
    let mut now = noon();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (ticket, beside) = (
            schedule.admit(now, Cost::Read).unwrap(),
            schedule.admit(now, Cost::Read).unwrap(),
        );
        let until = schedule.refused(ticket, now, None);
        // What was under way with it is refused with it, or taken: neither counts.
        assert_eq!(schedule.refused(beside, now, None), until);
        schedule.taken(beside);
        waits.push(until.duration_since(now).as_mins());
        assert_eq!(schedule.admit(until - seconds(1), Cost::Read), Err(until));
        now = until;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);

    let ticket = schedule.admit(now, Cost::Read).unwrap();
    schedule.taken(ticket);
    assert_eq!(schedule.refused(ticket, now, None), now + seconds(60));
}

#[test]
fn githubs_word_counts_within_reason() {
    let refused = |said| {
        let mut schedule = Schedule::default();
        let ticket = schedule.admit(noon(), Cost::Read).unwrap();
        schedule
            .refused(ticket, noon(), Some(said))
            .duration_since(noon())
    };
    assert_eq!(refused(noon() + seconds(7)), seconds(7));
    assert_eq!(refused(noon() - seconds(7)), seconds(1));
    assert_eq!(refused(Timestamp::MAX), seconds(3600));
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

#[test]
fn a_403_is_a_limit_only_when_github_says_so() {
    let is = |status: u16, headers: &[(&'static str, &str)], message: &str| {
        is_limit(
            StatusCode::from_u16(status).unwrap(),
            &map(headers),
            message,
        )
    };
    let missing = "Resource not accessible by integration";
    assert!(!is(403, &[("x-ratelimit-remaining", "17")], missing));
    assert!(!is(404, &[("x-ratelimit-remaining", "0")], "Not Found"));
    assert!(is(429, &[], ""));
    assert!(is(403, &[("retry-after", "7")], ""));
    assert!(is(
        403,
        &[("x-ratelimit-remaining", "0")],
        "API rate limit exceeded"
    ));
    assert!(is(403, &[], "You have exceeded a secondary rate limit."));
}

#[test]
fn a_reset_is_a_moment_of_githubs_clock() {
    let reset = ("x-ratelimit-reset", "784111787");
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let none = ("x-ratelimit-remaining", "0");
    let at = |headers: &[(&'static str, &str)]| said(&map(headers), noon());
    assert_eq!(at(&[none, reset, date]), Some(noon() + seconds(10)));
    assert_eq!(
        at(&[none, reset]),
        Some("1994-11-06T08:49:47Z".parse().unwrap())
    );
    // A secondary limit: the primary's reset says nothing about it.
    assert_eq!(at(&[("x-ratelimit-remaining", "4000"), reset, date]), None);
    assert_eq!(
        at(&[("retry-after", "7"), none, reset]),
        Some(noon() + seconds(7))
    );
    assert_eq!(at(&[("retry-after", "soon"), none, reset]), None);
}

#[cfg(feature = "sandbox")]
mod network {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use axum::Router;
    use axum::routing::post;
    use futures::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::edges::forge::testing::{forge, github};
    use crate::edges::forge::{Forge, Reaction};
    use crate::sandbox::github::{Github, Limits, RetryAfter};

    async fn comment(forge: &Forge, number: u64) -> Result<u64, ForgeError> {
        #[derive(serde::Deserialize)]
        struct Created {
            id: u64,
        }
        let path = forge.path(&format!("/issues/{number}/comments"));
        let made: Created = forge
            .post("comment", &path, &json!({"body": "Hello"}))
            .await?;
        Ok(made.id)
    }

    fn refusals(github: &Github) -> usize {
        let traffic = github.wire().traffic();
        traffic
            .iter()
            .filter(|one| one.status.is_client_error())
            .count()
    }

    #[tokio::test]
    async fn a_burst_is_held_back_here_and_githubs_limits_are_never_met() {
        let clock = Clock::stepped(noon());
        let (github, forge, number, _directory) = github(&clock).await;
        github.limit(Limits::documented(clock.clone()));
        let mut left = 200;
        let mut sent = Vec::new();
        while left > 0 {
            let tried = join_all((0..left).map(|_| comment(&forge, number))).await;
            let retry_at = tried
                .iter()
                .filter_map(|one| one.as_ref().err()?.retry_at());
            let retry_at = retry_at.max();
            let made = tried.iter().filter(|one| one.is_ok()).count();
            assert!(tried.iter().all(|one| match one {
                Ok(_) => true,
                Err(error) => error.retry_at() == Some(clock.now() + seconds(60)),
            }));
            sent.push(made);
            left -= made;
            if let Some(until) = retry_at {
                clock.advance(until.duration_since(clock.now()).unsigned_abs());
            }
        }
        assert_eq!(sent, [80, 80, 40]);
        assert_eq!((github.comments(number).len(), refusals(&github)), (200, 0));
    }

    #[tokio::test]
    async fn a_refusal_by_github_closes_the_gate_until_it_says() {
        let clock = Clock::stepped(noon());
        let (github, forge, number, _directory) = github(&clock).await;
        for retry_after in [RetryAfter::Said, RetryAfter::Silent] {
            let limits = Limits {
                creations_a_minute: 1,
                retry_after,
                ..Limits::documented(clock.clone())
            };
            github.limit(limits);
            let id = comment(&forge, number).await.unwrap();
            let before = github.wire().traffic().len();
            let error = comment(&forge, number).await.unwrap_err();
            assert_eq!(error.retry_at(), Some(clock.now() + seconds(60)), "{error}");
            assert!(error.to_string().contains("secondary rate limit"));
            // Nothing more is sent, reads neither.
            let error = forge.comment(id).await.unwrap_err();
            assert_eq!(error.retry_at(), Some(clock.now() + seconds(60)));
            assert_eq!(github.wire().traffic().len() - before, 1);
            clock.advance(Duration::from_secs(60));
            forge.react(id, Reaction::Eyes).await.unwrap();
            clock.advance(Duration::from_secs(60));
        }
    }

    #[tokio::test]
    async fn after_the_last_request_of_the_hour_none_is_sent() {
        let clock = Clock::stepped(noon());
        let (github, forge, number, _directory) = github(&clock).await;
        github.limit(Limits {
            requests_an_hour: 3,
            ..Limits::documented(clock.clone())
        });
        clock.advance(Duration::from_secs(600));
        for _ in 0..3 {
            forge.pull_request(number).await.unwrap();
        }
        let error = forge.pull_request(number).await.unwrap_err();
        assert_eq!(error.retry_at(), Some(noon() + seconds(3600)), "{error}");
        assert_eq!(refusals(&github), 0);
        clock.advance(Duration::from_secs(3000));
        forge.pull_request(number).await.unwrap();
        // Another client took what was left.
        github.limit(Limits {
            requests_an_hour: 0,
            ..Limits::documented(clock.clone())
        });
        let error = forge.pull_request(number).await.unwrap_err();
        assert_eq!(error.retry_at(), Some(noon() + seconds(7200)), "{error}");
        assert_eq!(refusals(&github), 1);
    }

    #[tokio::test]
    async fn what_fails_is_sent_once() {
        for status in [429, 500, 502, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let refused = move || async move { (status, "no") };
            let things = post(refused).get(refused);
            let (forge, server) = forge(Router::new().route("/things", things)).await;
            // The token is asked for before, so that it is not what is counted.
            forge.installation_token().await.unwrap();
            let before = server.wire().traffic().len();
            assert!(
                forge
                    .post::<u64>("make it", "/things", &json!({}))
                    .await
                    .is_err()
            );
            assert_eq!(server.wire().traffic().len() - before, 1, "{status}");
            let read = forge.get::<u64>("read it", "/things").await.unwrap_err();
            let limited = status == StatusCode::TOO_MANY_REQUESTS;
            assert_eq!(read.retry_at().is_some(), limited);
            let sent = if limited { 1 } else { 2 };
            assert_eq!(server.wire().traffic().len() - before, sent, "{status}");
        }
    }

    #[tokio::test]
    async fn no_more_than_sixteen_are_under_way() {
        let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inside, highest) = (under_way.clone(), most.clone());
        let things = axum::routing::get(move || async move {
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            highest.fetch_max(now, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            axum::Json(7)
        });
        let (forge, _server) = forge(Router::new().route("/things", things)).await;
        let all = (0..64).map(|_| forge.get::<u64>("read it", "/things"));
        assert!(join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), CONCURRENT);
    }
}
