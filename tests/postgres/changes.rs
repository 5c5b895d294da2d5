//! Whole runs of a table that is copied by what changed.

use std::collections::BTreeSet;

use pipewright::sandbox::server::Fault;
use pipewright::sync::CopyMode;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::house::{House, PROJECT, TOKEN, of, row};

const SALES: &str = "
CREATE TABLE sales (id bigint PRIMARY KEY, at timestamptz NOT NULL, amount int, note text);
INSERT INTO sales SELECT n, timestamptz '2024-01-01 00:00+00' + n * interval '1 day', n, 'first'
  FROM generate_series(1, 10) n;
GRANT SELECT ON sales TO reader;
";

fn options(cursor: &str, more: Value) -> [(&'static str, Value); 2] {
    let mut mode = json!({
        "key": ["id"], "cursor": cursor, "lookback_seconds": 86_400, "full_every_seconds": 604_800,
    });
    for (key, value) in more.as_object().unwrap() {
        mode[key] = value.clone();
    }
    [
        ("tables", json!({"only": ["sales"]})),
        ("options", json!({"sales": {"mode": {"incremental": mode}}})),
    ]
}

impl House {
    async fn sales(database: &str) -> Self {
        let house = Self::shop(database).await;
        house.sql(SALES);
        house
    }

    /// As if this had been said of the table before.
    async fn label(&self, labels: Value) {
        let url = format!(
            "{}/bigquery/v2/projects/{PROJECT}/datasets/copies/tables/sales",
            self.google.url()
        );
        let client = reqwest::Client::new();
        let body = json!({ "labels": labels }).to_string();
        let answer = client.patch(url).bearer_auth(TOKEN).body(body).send().await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }

    fn notes(&self) -> Vec<(String, String)> {
        let table = self.table("sales");
        let mut rows: Vec<(String, String)> = table
            .rows
            .iter()
            .map(|row| (row[0].clone().unwrap(), row[3].clone().unwrap()))
            .collect();
        rows.sort_by_key(|(id, _)| id.parse::<u64>().unwrap());
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_merged_and_a_full_copy_finds_what_was_deleted() {
    let house = House::sales("merged").await;
    let spec = options("at", json!({}));
    let ran = house.run("run-1", &spec).await;
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    assert_eq!(of(&ran, "sales").mode, CopyMode::Full);
    assert_eq!(of(&ran, "sales").rows, Some(10));

    // One is changed, one is new, one is changed without its cursor moving but within the
    // lookback, one the same before it, and one is deleted.
    house.sql(
        "UPDATE sales SET note = 'changed', at = '2024-01-11 12:00+00' WHERE id = 3;
         INSERT INTO sales VALUES (11, '2024-01-12 00:00+00', NULL, 'new');
         UPDATE sales SET note = 'seen' WHERE id = 10;
         UPDATE sales SET note = 'missed' WHERE id = 5;
         DELETE FROM sales WHERE id = 7",
    );
    let ran = house.run("run-2", &spec).await;
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    assert_eq!(of(&ran, "sales").mode, CopyMode::Incremental);
    // From the eleventh day less one, to the second: 9, 10, and the two that moved or came.
    assert_eq!(of(&ran, "sales").rows, Some(4));
    let notes = house.notes();
    let of_note = |note: &str| -> BTreeSet<&str> {
        let such = notes.iter().filter(|(_, one)| one == note);
        such.map(|(id, _)| id.as_str()).collect()
    };
    assert_eq!(notes.len(), 11, "{notes:?}");
    assert_eq!(of_note("changed"), ["3"].into());
    assert_eq!(of_note("new"), ["11"].into());
    assert_eq!(of_note("seen"), ["10"].into());
    assert_eq!(of_note("missed"), BTreeSet::new());
    assert!(of_note("first").contains("7"), "a deleted row stays");
    let table = house.table("sales");
    assert_eq!(
        row(&table, "3"),
        [
            Some("3"),
            Some("2024-01-11T12:00:00Z"),
            Some("3"),
            Some("changed")
        ]
    );
    assert_eq!(row(&table, "11")[2], None);

    // A week later.
    house.label(json!({"pipewright_full": "1700000000"})).await;
    let ran = house.run("run-3", &spec).await;
    assert_eq!(of(&ran, "sales").mode, CopyMode::Full);
    let notes = house.notes();
    assert_eq!(notes.len(), 10, "{notes:?}");
    assert!(notes.iter().all(|(id, _)| id != "7"));
    assert!(notes.contains(&("5".to_owned(), "missed".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_have_something_else_in_common_are_not_added_to() {
    let house = House::sales("in_common").await;
    let spec = options("at", json!({}));
    assert_eq!(house.run("run-1", &spec).await.code, Some(0));
    let mode = async |uid: &str, spec: &[(&str, Value)]| {
        let ran = house.run(uid, spec).await;
        assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
        of(&ran, "sales").mode
    };
    assert_eq!(mode("run-2", &spec).await, CopyMode::Incremental);
    // Another condition, another cursor, a new column: a whole copy, once.
    let mut filtered = spec.clone();
    filtered[1].1["sales"]["where"] = json!("amount > 3");
    assert_eq!(mode("run-3", &filtered).await, CopyMode::Full);
    assert_eq!(house.notes().len(), 7);
    assert_eq!(mode("run-4", &filtered).await, CopyMode::Incremental);
    let by_number = options("id", json!({"lookback_seconds": 0}));
    assert_eq!(mode("run-5", &by_number).await, CopyMode::Full);
    assert_eq!(mode("run-6", &by_number).await, CopyMode::Incremental);
    house.sql("ALTER TABLE sales ADD COLUMN more text DEFAULT 'm'");
    assert_eq!(mode("run-7", &by_number).await, CopyMode::Full);
    assert_eq!(row(&house.table("sales"), "1")[4], Some("m"));

    // A whole copy under another condition that dies before it says so is not added to by
    // the old one either.
    let mut whole = spec.clone();
    whole[1].1 = json!({"sales": {"where": "amount > 8"}});
    let mut labels = 0;
    house.google.wire().fail_with(move |method, _| {
        labels += usize::from(method == "PATCH");
        (method == "PATCH" && labels > 1).then(|| {
            let body =
                r#"{"error":{"code":403,"message":"no","errors":[{"reason":"accessDenied"}]}}"#;
            Fault::Refuse(StatusCode::FORBIDDEN, body.to_owned())
        })
    });
    assert_eq!(mode("run-8", &whole).await, CopyMode::Full);
    house.google.wire().heal();
    house.google.wire().take_traffic();
    assert_eq!(house.notes().len(), 2);
    assert_eq!(mode("run-9", &by_number).await, CopyMode::Full);
    assert_eq!(house.notes().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_cursor_that_can_not_carry_it_is_refused() {
    let house = House::sales("refused").await;
    let refusal = async |uid: &str, cursor: &str, more: Value| {
        let ran = house.run(uid, &options(cursor, more)).await;
        assert_eq!(ran.code, Some(2), "{:?}", ran.report);
        crate::house::error(of(&ran, "sales")).to_owned()
    };
    let said = refusal("run-1", "at", json!({"key": ["amount"]})).await;
    assert!(said.contains("unique index"), "{said}");
    let said = refusal("run-2", "amount", json!({"lookback_seconds": 0})).await;
    assert!(said.contains("may be NULL"), "{said}");
    let said = refusal("run-3", "id", json!({})).await;
    assert!(said.contains("is a number"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_of_a_run_goes_the_same_way_and_writes_once() {
    let house = House::sales("same_way").await;
    let spec = options("at", json!({}));
    let writes = || house.table("sales").writes;
    for (uid, expected) in [("run-1", CopyMode::Full), ("run-2", CopyMode::Incremental)] {
        let before = house.google.table(PROJECT, "copies", "sales");
        let before = before.map_or(0, |table| table.writes);
        for attempt in 1..=3 {
            let ran = house.run(uid, &spec).await;
            assert_eq!(ran.code, Some(0), "{}", ran.said);
            assert_eq!(of(&ran, "sales").mode, expected, "{uid}, attempt {attempt}");
            assert_eq!(writes(), before + 1, "{uid}, attempt {attempt}");
        }
    }
    // In between the last full copy came of age: what was begun goes on.
    house.label(json!({"pipewright_full": "1700000000"})).await;
    let before = writes();
    let ran = house.run("run-2", &spec).await;
    assert_eq!(of(&ran, "sales").mode, CopyMode::Incremental);
    assert_eq!(writes(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_next_attempt_merges_once() {
    let house = House::sales("merge_killed").await;
    let spec = options("at", json!({}));
    assert_eq!(house.run("first", &spec).await.code, Some(0));
    house.google.wire().take_traffic();
    assert_eq!(house.run("clean", &spec).await.code, Some(0));
    let requests = house.google.wire().take_traffic().len();
    for at in 1..=requests {
        let (uid, before) = (format!("killed-{at}"), house.table("sales").writes);
        house.sql(&format!(
            "INSERT INTO sales VALUES ({id}, '2024-02-01 00:00+00', 1, 'late'); \
             UPDATE sales SET note = 'round {at}', at = '2024-02-01 00:00+00' WHERE id = 1",
            id = 100 + at
        ));
        assert!(house.killed_at(at, &uid, &spec).await, "at request {at}");
        let ran = house.run(&uid, &spec).await;
        assert_eq!(ran.code, Some(0), "killed at {at}\n{}", ran.said);
        assert_eq!(of(&ran, "sales").mode, CopyMode::Incremental);
        assert_eq!(house.table("sales").writes, before + 1, "killed at {at}");
        let notes = house.notes();
        assert_eq!(notes.len(), 10 + at, "killed at {at}");
        assert_eq!(notes[0].1, format!("round {at}"));
    }
    // What was cut off is no request of ours.
    house.google.wire().take_traffic();
}
