//! Whole runs of tables that are copied whole.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use pipewright::sandbox::server::Fault;
use pipewright::sync::Outcome;
use serde_json::json;

use crate::house::{House, PROJECT, error, kinds, of, row};
use crate::server::{FIXTURE, SCHEMA};

#[tokio::test(flavor = "multi_thread")]
async fn every_table_arrives_as_it_is() {
    let house = House::shop("arrives").await;
    let ran = house.run("run-1", &[]).await;
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    let items = house.table("items");
    assert_eq!(
        kinds(&items),
        [
            ("id", "INT64"),
            ("name", "STRING"),
            ("price", "NUMERIC"),
            ("exact", "BIGNUMERIC"),
            ("any_number", "STRING"),
            ("data", "STRING"),
            ("code", "STRING"),
            ("tags", "STRING"),
            ("at", "TIMESTAMP"),
            ("local", "DATETIME"),
            ("day", "DATE"),
            ("ok", "BOOL"),
            ("raw", "BYTES"),
            ("ratio", "FLOAT64"),
        ]
    );
    assert_eq!(
        row(&items, "1"),
        [
            "1",
            "it's \"a\" \\ {{x}}\n",
            "12.5",
            "123456789012345678.5",
            "1.10",
            "{\"a\": 1}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "[\"a\",null,\"b c\"]",
            "2024-01-02T01:04:05.5Z",
            "2024-01-02T03:04:05",
            "2024-02-29",
            "true",
            "AP8=",
            "NaN",
        ]
        .map(Some)
    );
    // What BigQuery can not hold is NULL, and never somebody else's value.
    let mut second = [None; 14];
    second[0] = Some("2");
    second[4] = Some("NaN");
    (second[11], second[12], second[13]) = (Some("false"), Some(""), Some("-0.1"));
    assert_eq!(row(&items, "2"), second);
    let weird = house.table("we_ird _t_");
    assert_eq!(kinds(&weird), [("a_b", "INT64"), ("_", "STRING")]);
    assert_eq!(house.table("events").rows.len(), 2);
    assert_eq!(house.table("nothing").rows.len(), 0);
    assert!(
        house
            .google
            .table(PROJECT, "copies", "events_2024")
            .is_none()
    );
    assert!(house.google.table(PROJECT, "copies", "seen").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_success_writes_nothing_and_the_next_run_does() {
    let house = House::shop("attempts").await;
    for _ in 0..2 {
        let ran = house.run("run-1", &[]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        assert_eq!(house.writes(), 4);
    }
    let ran = house.run("run-2", &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(house.writes(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_changes_and_what_people_added_stays() {
    let house = House::shop("changes").await;
    assert_eq!(house.run("run-1", &[]).await.code, Some(0));
    house
        .google
        .describe_column((PROJECT, "copies", "items"), "name", "what it is called");
    house.sql(
        "ALTER TABLE items DROP COLUMN price; ALTER TABLE items ADD COLUMN later text DEFAULT 'z'",
    );
    let ran = house.run("run-2", &[]).await;
    assert_eq!(ran.code, Some(0), "{:?}", ran.report);
    let items = house.table("items");
    assert_eq!(
        items.columns[1].description.as_deref(),
        Some("what it is called")
    );
    let first = row(&items, "1");
    assert_eq!((first[2], first[14]), (None, Some("z")));
    // One that is retyped fails, alone, and keeps its rows.
    house.sql("ALTER TABLE items ALTER COLUMN name TYPE bigint USING 5; DELETE FROM events");
    let ran = house.run("run-3", &[]).await;
    assert_eq!(ran.code, Some(2));
    assert!(
        error(of(&ran, "items")).contains("name"),
        "{:?}",
        ran.report
    );
    assert!(
        error(of(&ran, "events")).contains("no rows"),
        "{:?}",
        ran.report
    );
    assert_eq!(of(&ran, "nothing").result, Outcome::Copied);
    assert_eq!(house.table("items").rows, items.rows);
    assert_eq!(house.table("events").rows.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_apart() {
    let house = House::shop("told_apart").await;
    let message = async |uid: &str, changed: &[(&str, serde_json::Value)]| {
        let ran = house.run(uid, changed).await;
        assert_eq!(ran.code, Some(2), "{:?}", ran.report);
        ran.report.message
    };
    let missing = message("run-1", &[("schema", json!("shopp"))]).await;
    assert!(missing.contains("no schema `shopp`"), "{missing}");
    let target = message("run-2", &[("tables", json!({"only": ["itemss"]}))]).await;
    assert!(target.contains("itemss"), "{target}");
    house.sql("CREATE SCHEMA bare; GRANT USAGE ON SCHEMA bare TO reader");
    let empty = message("run-3", &[("schema", json!("bare"))]).await;
    assert!(empty.contains("no table to copy"), "{empty}");
    let database = message("run-4", &[("database", json!("payroll"))]).await;
    assert!(database.contains("leads to the database"), "{database}");
    assert_eq!(house.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_fixture_is_copied_or_says_why_not() {
    // Whoever comes first decides; all would decide the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let house = House::of(FIXTURE, SCHEMA).await;
    let ran = house.run("run-1", &[]).await;
    let (mut copied, mut rows) = (0, 0);
    for table in &ran.report.tables {
        match &table.result {
            Outcome::Copied => {
                let query = format!(
                    "SELECT count(*) FROM \"{SCHEMA}\".\"{}\"",
                    table.table.replace('"', "\"\"")
                );
                let counted = house.server.rows("reader", FIXTURE, &query).unwrap();
                let counted: u64 = counted[0][0].as_deref().unwrap().parse().unwrap();
                assert_eq!(table.rows, Some(counted), "{}", table.table);
                copied += 1;
                rows += counted;
            }
            Outcome::Skipped(_) => {}
            // Its grants and names make some impossible, and each says so.
            Outcome::Failed(failure) => {
                let known = ["may not", "may read", "column", "name"];
                assert!(
                    known.iter().any(|one| failure.error.contains(one)),
                    "{table:?}"
                );
            }
        }
    }
    println!("runner: {copied} tables of the fixture copied, {rows} rows");
    assert!(copied >= 10 && rows > 0, "{:?}", ran.report);
}

/// The requests that one clean run takes.
async fn requests(house: &House) -> usize {
    house.google.wire().take_traffic();
    assert_eq!(house.run("clean", &[]).await.code, Some(0));
    house.google.wire().take_traffic().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_next_attempt_finishes_and_nothing_is_written_twice() {
    let house = House::shop("killed").await;
    let requests = requests(&house).await;
    let before = house.writes();
    let mut killed = 0;
    for at in 1..=requests {
        let uid = format!("killed-{at}");
        let died = house.killed_at(at, &uid, &[]).await;
        killed += usize::from(died);
        let ran = house.run(&uid, &[]).await;
        assert_eq!(ran.code, Some(0), "killed at request {at}\n{}", ran.said);
        assert_eq!(
            house.writes(),
            before + 4 * at as u64,
            "killed at request {at}"
        );
    }
    // What was cut off is no request of ours.
    house.google.wire().take_traffic();
    println!("runner: killed at {killed} requests");
    assert_eq!(killed, requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_refusals_that_pass_cost_time_only() {
    let house = House::shop("faults").await;
    let requests = requests(&house).await;
    let before = house.writes();
    let mut played = 0;
    for at in 1..=requests {
        let seen = AtomicUsize::new(0);
        house.google.wire().fail_with(move |_, _| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 != at {
                return None;
            }
            let body =
                r#"{"error":{"code":503,"message":"later","errors":[{"reason":"backendError"}]}}"#;
            let body = body.to_owned();
            Some(match at % 3 {
                0 => Fault::LoseAnswer(StatusCode::SERVICE_UNAVAILABLE, body),
                1 => Fault::Busy(StatusCode::TOO_MANY_REQUESTS, body, 1),
                _ => Fault::ResetAfter,
            })
        });
        let ran = house.run(&format!("fault-{at}"), &[]).await;
        house.google.wire().heal();
        assert_eq!(
            ran.code,
            Some(0),
            "fault at request {at}\n{:?}\n{}",
            ran.report,
            ran.said
        );
        played += 1;
        assert_eq!(house.writes(), before + 4 * played, "fault at request {at}");
    }
    // The answers of the faults are made up.
    house.google.wire().take_traffic();
    // And a job that fails in passing is begun again under another id.
    house.google.fail_next_job("backendError", "try again");
    let ran = house.run("job-fault", &[]).await;
    assert_eq!(ran.code, Some(0), "{:?}", ran.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_waits_until_it_is_named() {
    let house = House::shop("held").await;
    let hold = [("new_tables", json!("hold"))];
    // A first run that died half way holds nothing back from the next one.
    assert!(house.killed_at(15, "run-0", &hold).await);
    house.google.wire().take_traffic();
    assert!((1..4).contains(&house.writes()), "{}", house.writes());
    let ran = house.run("run-1", &hold).await;
    assert_eq!(ran.report.totals.copied, 4, "{:?}", ran.report);
    house.sql("CREATE TABLE fresh AS SELECT 7 AS n; GRANT SELECT ON fresh TO reader");
    let ran = house.run("run-2", &hold).await;
    assert_eq!(ran.code, Some(0), "{:?}", ran.report);
    let held = |outcome: &Outcome| matches!(outcome, Outcome::Skipped(why) if why.contains("`new_tables: hold`"));
    assert!(held(&of(&ran, "fresh").result), "{:?}", ran.report);
    assert_eq!(of(&ran, "items").result, Outcome::Copied);
    assert!(house.google.table(PROJECT, "copies", "fresh").is_none());
    // Named, or no longer held, it is copied.
    let named = [hold[0].clone(), ("options", json!({"fresh": {}}))];
    let ran = house.run("run-3", &named).await;
    assert_eq!(of(&ran, "fresh").result, Outcome::Copied);
    house.sql("CREATE TABLE second AS SELECT 8 AS n; GRANT SELECT ON second TO reader");
    let ran = house.run("run-4", &hold).await;
    assert_eq!(of(&ran, "fresh").result, Outcome::Copied);
    assert!(held(&of(&ran, "second").result), "{:?}", ran.report);
    let ran = house.run("run-5", &[]).await;
    assert_eq!(of(&ran, "second").result, Outcome::Copied);
}
