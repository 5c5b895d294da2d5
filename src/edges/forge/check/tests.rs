//! Tests of check runs.

use serde_json::{Value, json};

use super::*;
use crate::edges::forge::digest::{digest_block, digests_of};
use crate::plan::approval::Digests;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn wanted(notes: u32) -> CheckRun {
    let note = |line| Annotation {
        path: "pipelines/orders.yaml".to_owned(),
        start_line: line,
        end_line: line,
        start_column: Some(1),
        end_column: Some(2),
        level: AnnotationLevel::Failure,
        title: String::new(),
        message: "wrong".to_owned(),
    };
    CheckRun {
        name: NAME.to_owned(),
        head: A.parse().unwrap(),
        state: CheckState::Completed(Conclusion::Failure),
        title: "2 pipelines".to_owned(),
        summary: "wrong\n".to_owned(),
        text: "the plan".to_owned(),
        annotations: (1..=notes).map(note).collect(),
        external_id: "e1".to_owned(),
    }
}

/// How GitHub would show `run` with `notes` annotations stored.
fn shown(run: &CheckRun, notes: usize) -> Value {
    let body = BodyWire::of(run);
    let mut value = serde_json::to_value(&body).unwrap();
    value["id"] = json!(7);
    value["output"]["annotations_count"] = json!(notes);
    value["output"]["summary"] = json!(run.summary.trim_end());
    value
}

fn decide(existing: Value, run: &CheckRun) -> Next {
    let existing: RunWire = serde_json::from_value(existing).unwrap();
    next(Some(&existing), &BodyWire::of(run), run.annotations.len())
}

#[test]
fn what_is_shown_already_is_kept() {
    assert_eq!(decide(shown(&wanted(3), 3), &wanted(3)), Next::Keep(7));
    assert_eq!(next(None, &BodyWire::of(&wanted(0)), 0), Next::Create);
}

#[test]
fn each_difference_is_written() {
    let patch = Next::Patch { id: 7, sent: 3 };
    let with = |change: fn(&mut CheckRun)| {
        let mut run = wanted(3);
        change(&mut run);
        decide(shown(&wanted(3), 3), &run)
    };
    assert_eq!(with(|run| run.title.push('!')), patch);
    assert_eq!(with(|run| run.summary.push('!')), patch);
    assert_eq!(with(|run| run.text.push('!')), patch);
    let passed = CheckState::Completed(Conclusion::Success);
    let mut run = wanted(3);
    run.state = passed;
    assert_eq!(decide(shown(&wanted(3), 3), &run), patch);
}

#[test]
fn annotations_go_on_where_they_stopped_and_are_never_mixed() {
    let sent = |sent| Next::Patch { id: 7, sent };
    assert_eq!(decide(shown(&wanted(60), 50), &wanted(60)), sent(50));
    let mut other = wanted(3);
    other.external_id = "e2".to_owned();
    assert_eq!(decide(shown(&wanted(3), 3), &other), Next::Create);
    assert_eq!(decide(shown(&wanted(3), 3), &wanted(2)), Next::Create);
}

#[test]
fn what_a_finished_run_showed_stays_readable() {
    let mut other = wanted(0);
    other.external_id = "e2".to_owned();
    assert_eq!(decide(shown(&wanted(0), 0), &other), Next::Create);
}

#[test]
fn a_finished_run_does_not_start_again() {
    let mut run = wanted(0);
    run.state = CheckState::InProgress;
    assert_eq!(decide(shown(&wanted(0), 0), &run), Next::Create);
    // The other way round is how every run ends.
    let started = shown(&run, 0);
    assert_eq!(decide(started, &wanted(0)), Next::Patch { id: 7, sent: 0 });
}

#[test]
fn a_long_text_loses_its_middle_and_keeps_its_digests() {
    let digests: Digests = [("orders".parse().unwrap(), "d".repeat(64).parse().unwrap())].into();
    let text = format!("{}\n{}", "é".repeat(70_000), digest_block(&digests));
    let clipped = clipped_text(&text);
    assert!(clipped.len() <= LONGEST_TEXT && clipped.len() > LONGEST_TEXT - 4);
    assert_eq!(digests_of(&clipped), Some(digests));
    let plain = clipped_text(&"é".repeat(70_000));
    assert_eq!(plain.len(), LONGEST_TEXT - 1);
}

#[test]
fn columns_need_one_line() {
    let mut run = wanted(1);
    let wire = |run: &CheckRun| serde_json::to_value(AnnotationWire::of(&run.annotations[0]));
    assert_eq!(wire(&run).unwrap()["start_column"], 1);
    run.annotations[0].end_line = 2;
    let wire = wire(&run).unwrap();
    assert!(wire.get("start_column").is_none() && wire.get("end_column").is_none());
}

#[cfg(feature = "sandbox")]
#[tokio::test]
async fn many_annotations_go_in_batches() {
    use axum::routing::{get, patch, post};
    use axum::{Json, Router};

    use crate::edges::forge::testing::{REPO, forge};

    let (forge, server) = forge(
        Router::new()
            .route(
                &format!("{REPO}/commits/{A}/check-runs"),
                get(|| async { Json(json!({"total_count": 0, "check_runs": []})) }),
            )
            .route(
                &format!("{REPO}/check-runs"),
                post(|| async { (http::StatusCode::CREATED, Json(json!({"id": 7}))) }),
            )
            .route(
                &format!("{REPO}/check-runs/7"),
                patch(|| async { Json(json!({"id": 7})) }),
            ),
    )
    .await;
    assert_eq!(forge.put_check_run(&wanted(101)).await.unwrap(), 7);
    let traffic = server.wire().traffic();
    let sent: Vec<(String, usize)> = traffic
        .iter()
        .filter(|exchange| exchange.is_write() && exchange.uri.contains("check-runs"))
        .map(|exchange| {
            let body: Value = serde_json::from_slice(&exchange.request).unwrap();
            let notes = body["output"]["annotations"].as_array();
            (exchange.method.to_string(), notes.map_or(0, Vec::len))
        })
        .collect();
    let expected = [("POST", 50), ("PATCH", 50), ("PATCH", 1)];
    assert_eq!(sent, expected.map(|(method, n)| (method.to_owned(), n)));
}
