//! The Lease: each decision, and two keepers that never both hold it.

use super::super::testing::simulated;
use super::*;
use crate::sandbox::kubernetes::{Kubernetes, refusal_body};
use crate::sandbox::server::Fault;

const SECONDS: u64 = 15;

fn keeper(identity: &str) -> Keeper {
    let address = Some(format!("http://{identity}"));
    Keeper::new(
        "pipewright",
        identity,
        address,
        Duration::from_secs(SECONDS),
    )
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn lease_of(holder: &str, renewed: i64, seconds: i32) -> Lease {
    Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(at(renewed))),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    }
}

#[test]
fn what_is_free_is_taken_and_what_is_ours_renewed() {
    let mut a = keeper("a");
    assert_eq!(a.decide(None, at(0)), Decision::Take);
    assert_eq!(a.decide(Some(&Lease::default()), at(0)), Decision::Take);
    assert_eq!(a.decide(Some(&lease_of("", 0, 15)), at(0)), Decision::Take);
    assert_eq!(
        a.decide(Some(&lease_of("a", 0, 15)), at(99)),
        Decision::Renew
    );
}

#[test]
fn only_our_own_watch_tells_that_a_holder_is_gone() {
    let mut a = keeper("a");
    // Its clock is a day behind ours, and a day ahead: neither means anything.
    for renewed in [-86_400, 86_400] {
        let stale = lease_of("b", renewed, 20);
        assert_eq!(a.decide(Some(&stale), at(0)), Decision::Wait);
        assert_eq!(a.decide(Some(&stale), at(5)), Decision::Wait);
        assert_eq!(
            a.decide(Some(&stale), at(24)),
            Decision::Wait,
            "20 s after 5"
        );
        assert_eq!(a.decide(Some(&stale), at(25)), Decision::Take);
    }
    let fresh = lease_of("b", 1, 20);
    assert_eq!(a.decide(Some(&fresh), at(26)), Decision::Wait);
    let set_back = [at(30), at(20), at(39), at(40)].map(|now| a.decide(Some(&fresh), now));
    let take_last = [
        Decision::Wait,
        Decision::Wait,
        Decision::Wait,
        Decision::Take,
    ];
    assert_eq!(
        set_back, take_last,
        "a clock that is set back only waits longer"
    );
}

#[test]
fn holding_ends_before_anybody_else_may_begin() {
    let mut a = keeper("a");
    assert!(!a.holds(at(0)));
    a.renewed_at = Some(at(0));
    assert!(a.holds(at(0)) && a.holds(at(9)) && !a.holds(at(10)));
    assert!(!a.holds(at(-1)), "a clock that was set back proves nothing");
    a.decide(Some(&lease_of("b", 0, 15)), at(1));
    assert!(!a.holds(at(1)));
}

fn stored(kubernetes: &Kubernetes) -> serde_json::Value {
    kubernetes.get("Lease", "data", "pipewright").unwrap()
}

#[tokio::test]
async fn the_lease_tells_its_holder_and_passes_on_when_released() {
    let (cluster, kubernetes) = simulated().await;
    let (mut a, mut b) = (keeper("a"), keeper("b"));
    assert_eq!(cluster.hold_lease(&mut a, at(0)).await.unwrap(), Hold::Held);
    let mut by_another = stored(&kubernetes);
    by_another["metadata"]["annotations"]["example.com/note"] = "keep".into();
    kubernetes.put(by_another).unwrap();
    assert_eq!(cluster.hold_lease(&mut a, at(5)).await.unwrap(), Hold::Held);
    let lease = stored(&kubernetes);
    assert_eq!(
        lease["spec"],
        serde_json::json!({
            "holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:05.000000Z",
        })
    );
    assert_eq!(
        cluster.hold_lease(&mut b, at(6)).await.unwrap(),
        Hold::HeldBy {
            holder: "a".to_owned(),
            address: Some("http://a".to_owned())
        }
    );
    cluster.release_lease(&mut b, at(6)).await.unwrap();
    assert_eq!(
        stored(&kubernetes),
        lease,
        "who does not hold it releases nothing"
    );

    cluster.release_lease(&mut a, at(7)).await.unwrap();
    assert!(!a.holds(at(7)));
    assert_eq!(cluster.hold_lease(&mut b, at(7)).await.unwrap(), Hold::Held);
    let lease = stored(&kubernetes);
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert_eq!(
        lease["metadata"]["annotations"]["pipewright.dev/address"],
        "http://b"
    );
    assert_eq!(lease["metadata"]["annotations"]["example.com/note"], "keep");
}

/// The next number of a seeded sequence, below `below`.
fn next(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// One step of a keeper, in the two halves between which the world goes on.
struct InFlight {
    began: Timestamp,
    read: Option<(Option<Lease>, u64)>,
}

/// Reads and writes of two keepers interleave as they like, answers are late or lost, and
/// nobody who holds ever meets another.
#[test]
fn two_keepers_never_hold_at_once_however_their_steps_interleave() {
    let (mut changes, mut holding) = (0, 0);
    for seed in 0..3_000_u64 {
        let mut state = seed;
        let mut keepers = [keeper("a"), keeper("b")];
        let mut flights: [Option<InFlight>; 2] = [None, None];
        let mut server: (Option<Lease>, u64) = (None, 0);
        let mut tenths = 0_i64;
        for step in 0..120 {
            // Mostly the pace of steps, now and then a pause longer than the Lease.
            let pause = if next(&mut state, 12) == 0 { 250 } else { 40 };
            tenths += i64::try_from(next(&mut state, pause)).unwrap();
            let now = at(0) + SignedDuration::from_millis(tenths * 100);
            // Each has a time in which the other hardly comes to speak.
            let who = usize::from((next(&mut state, 10) == 0) != (step / 30 % 2 == 0));
            let (keeper, flight) = (&mut keepers[who], &mut flights[who]);
            match flight.take() {
                None => {
                    *flight = Some(InFlight {
                        began: now,
                        read: None,
                    })
                }
                Some(InFlight { began, read: None }) => {
                    let decision = keeper.decide(server.0.as_ref(), began);
                    if decision != Decision::Wait {
                        let ours = keeper.written(server.0.clone(), decision, began);
                        *flight = Some(InFlight {
                            began,
                            read: Some((Some(ours), server.1)),
                        });
                    }
                }
                Some(InFlight {
                    began,
                    read: Some((ours, version)),
                }) => {
                    if version == server.1 {
                        let before = server.0.as_ref().and_then(holder);
                        changes += u64::from(before != ours.as_ref().and_then(holder));
                        server = (ours, version + 1);
                        if next(&mut state, 5) > 0 {
                            keeper.renewed_at = Some(began);
                        }
                    }
                }
            }
            let held = keepers.iter().filter(|keeper| keeper.holds(now)).count();
            holding += u64::from(held > 0);
            assert!(held < 2, "seed {seed} at {now}");
        }
    }
    assert!(
        changes > 6_000 && holding > 50_000,
        "{changes} changes, {holding} held"
    );
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone()
}

#[tokio::test]
async fn two_keepers_on_one_server_never_hold_at_once() {
    let (cluster, kubernetes) = simulated().await;
    let mut state = 7;
    let (mut a, mut b) = (keeper("a"), keeper("b"));
    let mut holders = [0, 0];
    let mut second = 0;
    for round in 0..2_000 {
        second += i64::try_from(next(&mut state, 9)).unwrap();
        let now = at(second);
        let fault = next(&mut state, 8);
        kubernetes.wire().fail_with(move |method, _| {
            let status = http::StatusCode::SERVICE_UNAVAILABLE;
            let body = refusal_body(status, "ServiceUnavailable", "busy");
            match (fault, method.as_str()) {
                (0, _) => Some(Fault::Refuse(status, body)),
                (1, "PUT" | "POST") => Some(Fault::LoseAnswer(status, body)),
                _ => None,
            }
        });
        let results = match next(&mut state, 10) {
            0..=3 => vec![cluster.hold_lease(&mut a, now).await],
            4..=7 => vec![cluster.hold_lease(&mut b, now).await],
            8 => {
                let both = (
                    cluster.hold_lease(&mut a, now),
                    cluster.hold_lease(&mut b, now),
                );
                let (one, other) = futures::join!(both.0, both.1);
                vec![one, other]
            }
            _ => {
                // Lost or not, it no longer counts.
                let _ = cluster.release_lease(&mut a, now).await;
                assert!(!a.holds(now));
                vec![]
            }
        };
        for error in results.into_iter().filter_map(Result::err) {
            let lost = matches!(error, ClusterError::Changed { .. });
            assert!(lost || error.is_transient(), "{error}");
        }
        assert!(!(a.holds(now) && b.holds(now)), "round {round}");
        holders[0] += u32::from(a.holds(now));
        holders[1] += u32::from(b.holds(now));
    }
    assert!(holders.iter().all(|rounds| *rounds > 200), "{holders:?}");
}
