//! Whole runs that copy what changed, with every value compared.

use pipewright::sandbox::google::Stored;
use pipewright::sync::{CopyMode, Outcome};
use serde_json::{Value, json};

use crate::runner::{House, Ran, of, row};

const ORDERS: &str = r#"
CREATE TABLE orders (id bigint, line int, note text, changed timestamptz NOT NULL,
  PRIMARY KEY (line, id));
INSERT INTO orders VALUES
  (1, 1, 'oldest', '2024-03-01 08:00Z'), (2, 1, 'to be deleted', '2024-03-01 09:00Z'),
  (3, 1, 'untouched', '2024-03-01 10:00Z'), (4, 1, 'newest', '2024-03-01 12:00:00.000001Z');
ALTER TABLE items ADD COLUMN changed timestamp NOT NULL DEFAULT '2024-03-01 12:00';
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader;
"#;

/// `orders` and `items` by what changed; the rest whole.
fn options(full_every_seconds: u64) -> [(&'static str, Value); 1] {
    let mode = |key: &[&str]| {
        json!({"mode": {"incremental": {
            "key": key, "cursor": "changed", "lookback_seconds": 3_600,
            "full_every_seconds": full_every_seconds,
        }}})
    };
    [(
        "options",
        json!({"orders": mode(&["id", "line"]), "items": mode(&["id"])}),
    )]
}

const WEEK: u64 = 604_800;

fn went_well(ran: &Ran, mode: CopyMode, rows: u64) {
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    let orders = of(ran, "orders");
    assert_eq!((orders.mode, orders.rows), (mode, Some(rows)), "{orders:?}");
}

/// Ids, lines, notes and times, sorted.
fn cells(table: &Stored) -> Vec<String> {
    let rows = table.rows.iter();
    let mut rows: Vec<String> = rows
        .map(|row| row.iter().flatten().cloned().collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_merged_and_what_went_is_found_by_the_next_full_copy() {
    let house = House::shop("incremental").await;
    house.sql(ORDERS);
    let ran = house.run("run-1", &options(WEEK)).await;
    went_well(&ran, CopyMode::Full, 4);
    let before = cells(&house.table("orders"));
    assert_eq!(
        before,
        [
            "1 1 oldest 2024-03-01T08:00:00Z",
            "2 1 to be deleted 2024-03-01T09:00:00Z",
            "3 1 untouched 2024-03-01T10:00:00Z",
            "4 1 newest 2024-03-01T12:00:00.000001Z",
        ]
    );

    house.sql(
        r#"UPDATE orders SET note = 'updated', changed = '2024-03-01 12:30Z' WHERE id = 4;
        INSERT INTO orders VALUES (5, 1, 'new', '2024-03-01 13:00Z'), (4, 2, NULL, '2024-03-01 13:00Z'),
          (6, 1, 'late, within the lookback', '2024-03-01 11:00:00.000001Z'),
          (7, 1, 'older than the lookback', '2024-03-01 11:00:00Z');
        UPDATE orders SET note = 'and nobody noticed' WHERE id = 1;
        DELETE FROM orders WHERE id = 2;
        UPDATE items SET name = E'a "new" \\ name', price = -0.01, exact = 'NaN', data = NULL, tags = '{{1},{2}}',
          at = '2024-06-01 00:00+02', raw = '\x01', changed = '2024-03-02' WHERE id = 1"#,
    );
    let ran = house.run("run-2", &options(WEEK)).await;
    went_well(&ran, CopyMode::Incremental, 4);
    assert_eq!(
        cells(&house.table("orders")),
        [
            "1 1 oldest 2024-03-01T08:00:00Z",
            "2 1 to be deleted 2024-03-01T09:00:00Z",
            "3 1 untouched 2024-03-01T10:00:00Z",
            "4 1 updated 2024-03-01T12:30:00Z",
            "4 2 2024-03-01T13:00:00Z",
            "5 1 new 2024-03-01T13:00:00Z",
            "6 1 late, within the lookback 2024-03-01T11:00:00.000001Z",
        ]
    );
    let items = house.table("items");
    assert_eq!(items.rows.len(), 2);
    let first = row(&items, "1");
    assert_eq!(
        [
            first[1], first[2], first[3], first[5], first[7], first[8], first[12], first[14]
        ],
        [
            Some("a \"new\" \\ name"),
            Some("-0.01"),
            None,
            None,
            Some("[[\"1\"],[\"2\"]]"),
            Some("2024-05-31T22:00:00Z"),
            Some("AQ=="),
            Some("2024-03-02T00:00:00"),
        ]
    );
    // What was merged is merged again by the next run, and changes nothing.
    let merged = cells(&house.table("orders"));
    let ran = house.run("run-3", &options(WEEK)).await;
    went_well(&ran, CopyMode::Incremental, 3);
    assert_eq!(cells(&house.table("orders")), merged);

    // The last full copy is too old.
    let ran = house.run("run-4", &options(1)).await;
    went_well(&ran, CopyMode::Full, 7);
    assert_eq!(
        cells(&house.table("orders")),
        [
            "1 1 and nobody noticed 2024-03-01T08:00:00Z",
            "3 1 untouched 2024-03-01T10:00:00Z",
            "4 1 updated 2024-03-01T12:30:00Z",
            "4 2 2024-03-01T13:00:00Z",
            "5 1 new 2024-03-01T13:00:00Z",
            "6 1 late, within the lookback 2024-03-01T11:00:00.000001Z",
            "7 1 older than the lookback 2024-03-01T11:00:00Z",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_condition_or_column_is_copied_whole_first() {
    let house = House::shop("incremental_changes").await;
    house.sql(ORDERS);
    went_well(&house.run("run-1", &options(WEEK)).await, CopyMode::Full, 4);
    let mut filtered = options(WEEK);
    filtered[0].1["orders"]["where"] = json!("id <> 3");
    went_well(&house.run("run-2", &filtered).await, CopyMode::Full, 3);
    went_well(
        &house.run("run-3", &filtered).await,
        CopyMode::Incremental,
        1,
    );
    house.sql("ALTER TABLE orders ADD COLUMN more int DEFAULT 5");
    went_well(&house.run("run-4", &filtered).await, CopyMode::Full, 3);
    assert_eq!(row(&house.table("orders"), "1")[4], Some("5"));
    went_well(
        &house.run("run-5", &filtered).await,
        CopyMode::Incremental,
        1,
    );
    // Whole for one night, by another condition: the night after must not go on from it.
    let whole = [("options", json!({"orders": {"where": "id = 1"}}))];
    went_well(&house.run("run-6", &whole).await, CopyMode::Full, 1);
    went_well(&house.run("run-7", &filtered).await, CopyMode::Full, 3);
    // A table that is not fit for it says why, and no other suffers.
    let mut unfit = options(WEEK);
    unfit[0].1["orders"]["mode"]["incremental"]["key"] = json!(["id"]);
    let ran = house.run("run-8", &unfit).await;
    assert_eq!(ran.code, Some(2));
    let Outcome::Failed(failure) = &of(&ran, "orders").result else {
        panic!("{:?}", ran.report);
    };
    assert!(failure.error.contains("unique index"), "{failure:?}");
    assert_eq!(of(&ran, "items").result, Outcome::Copied);
}
