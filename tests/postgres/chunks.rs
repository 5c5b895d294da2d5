//! Whole runs that read large tables in chunks, with every row compared.

use pipewright::sync::{CopyMode, Outcome};
use serde_json::{Value, json};

use crate::runner::{
    CHUNK_BYTES, House, PROJECT, faults_at_any_request, killed_at_any_request, of, row,
};

const LARGE: &str = r#"
CREATE TABLE large (id bigint PRIMARY KEY, text text, day date);
INSERT INTO large SELECT n * 7 - 3000, 'row ' || n, date '2024-01-01' + n FROM generate_series(1, 1000) n;
CREATE TABLE keyless (id bigint, text text);
INSERT INTO keyless SELECT n, 'row ' || n FROM generate_series(1, 1000) n;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader; ANALYZE;
"#;

/// A limit that every table with a page is above.
fn small() -> [(&'static str, Value); 1] {
    [(CHUNK_BYTES, json!(20_000))]
}

/// What is in the dataset beside the tables of the source.
fn staged(house: &House) -> Vec<String> {
    let names = house.google.table_names(PROJECT, "copies").into_iter();
    names
        .filter(|name| name.starts_with("pipewright_"))
        .collect()
}

fn rows(house: &House, table: &str) -> Vec<Vec<Option<String>>> {
    let mut rows = house.table(table).rows;
    rows.sort();
    rows
}

/// The rows of `large` as PostgreSQL prints them.
fn source(house: &House) -> Vec<Vec<Option<String>>> {
    let query = "SELECT id, text, day FROM shop.large";
    let mut rows = house.server.rows("reader", "chunks", query).unwrap();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_in_chunks_and_written_at_once() {
    let house = House::shop("chunks").await;
    house.sql(LARGE);
    let ran = house.run("run-1", &small()).await;
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    let large = of(&ran, "large");
    assert_eq!((large.mode, large.rows), (CopyMode::Chunked, Some(1000)));
    assert_eq!(rows(&house, "large"), source(&house));
    assert_eq!(house.table("large").writes, 1);
    assert!(staged(&house).is_empty());
    let keyless = of(&ran, "keyless");
    assert_eq!((keyless.mode, keyless.rows), (CopyMode::Full, Some(1000)));
    assert!(keyless.notes[0].contains("no unique key"), "{keyless:?}");
    let traffic = house.google.wire().take_traffic();
    let made: Vec<Value> = traffic
        .iter()
        .filter(|one| one.method == "POST" && one.uri.ends_with("/tables"))
        .map(|one| serde_json::from_slice(&one.request).unwrap())
        .collect();
    assert!(made.len() > 2, "{made:?}");
    for table in &made {
        let expires: i64 = table["expirationTime"].as_str().unwrap().parse().unwrap();
        assert!(expires > 1_700_000_000_000, "{table}");
    }

    // What people added stays, a condition holds in every chunk, and a column that went is NULL.
    house
        .google
        .describe_column((PROJECT, "copies", "large"), "text", "a text");
    house.sql("ALTER TABLE large DROP COLUMN day");
    let mut filtered = small().to_vec();
    filtered.push(("options", json!({"large": {"where": "id > 0"}})));
    let ran = house.run("run-2", &filtered).await;
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    let table = house.table("large");
    assert_eq!(table.columns[1].description.as_deref(), Some("a text"));
    assert_eq!(table.rows.len(), 572);
    assert!(table.rows.iter().all(|row| row[2].is_none()));

    // No row is left of those that are wanted: the old ones stay.
    house.sql("DELETE FROM large WHERE id > 0");
    let ran = house.run("run-3", &filtered).await;
    assert_eq!(ran.code, Some(2));
    let Outcome::Failed(failure) = &of(&ran, "large").result else {
        panic!("{:?}", ran.report);
    };
    assert!(
        failure.error.contains("the source has no rows"),
        "{failure:?}"
    );
    assert_eq!(house.table("large").rows, table.rows);
    assert!(staged(&house).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_went_missing_is_never_written_from() {
    let house = House::shop("chunks_missing").await;
    house.sql(LARGE);
    assert_eq!(house.run("run-1", &small()).await.code, Some(0));
    let before = rows(&house, "large");
    let google = house.google.clone();
    house.google.wire().fail_with(move |method, uri| {
        // Every chunk has been read.
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        if method == "GET" && name.starts_with("pipewright_staging_") {
            google.delete_table(PROJECT, "copies", name);
        }
        None
    });
    for _ in 0..2 {
        let ran = house.run("run-2", &small()).await;
        assert_eq!(ran.code, Some(2), "{:?}", ran.report);
        let Outcome::Failed(failure) = &of(&ran, "large").result else {
            panic!("{:?}", ran.report);
        };
        assert!(failure.error.contains("and it holds 0 now"), "{failure:?}");
        assert_eq!(rows(&house, "large"), before);
    }
    house.google.wire().heal();
    assert_eq!(house.run("run-3", &small()).await.code, Some(0));
}

/// `items` by what changed, with a full copy in chunks each time.
fn incremental() -> [(&'static str, Value); 2] {
    let mode = json!({"incremental": {"key": ["id"], "cursor": "id", "full_every_seconds": 0}});
    [
        (CHUNK_BYTES, json!(8_000)),
        ("options", json!({"items": {"mode": mode}})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_chunks_are_read_is_merged_after_them() {
    let house = House::shop("chunks_meanwhile").await;
    house.sql(LARGE);
    house.sql("ALTER TABLE large ADD COLUMN changed timestamp NOT NULL DEFAULT '2024-03-01'");
    let mut changed = small().to_vec();
    let mode = json!({"incremental": {
        "key": ["id"], "cursor": "changed", "full_every_seconds": 604_800,
    }});
    let options = json!({"large": {"mode": mode, "where": "id < 10000"}});
    changed.push(("options", options));
    let (server, mut made) = (house.server.clone(), 0);
    house.google.wire().fail_with(move |method, uri| {
        made += usize::from(method == "POST" && uri.path().ends_with("/tables"));
        if made == 2 {
            made += 1;
            let sql = "SET search_path TO shop;
                UPDATE large SET text = 'changed', changed = '2024-06-01' WHERE id = -2993;
                INSERT INTO large VALUES (4001, 'new', '2024-01-01', '2024-07-01')";
            server.run("chunks_meanwhile", sql);
        }
        None
    });
    let ran = house.run("run-1", &changed).await;
    house.google.wire().heal();
    assert_eq!(ran.code, Some(0), "{:?}\n{}", ran.report, ran.said);
    assert_eq!(of(&ran, "large").mode, CopyMode::Chunked);
    let table = house.table("large");
    assert_eq!(row(&table, "-2993")[1], Some("changed"));
    assert_eq!(row(&table, "4001")[1], Some("new"));
    assert_eq!(table.rows.len(), 1001);
    // The next one goes on from there.
    house.sql("UPDATE large SET text = 'later', changed = '2024-07-02' WHERE id = -2986");
    let ran = house.run("run-2", &changed).await;
    let large = of(&ran, "large");
    assert_eq!((large.mode, large.rows), (CopyMode::Incremental, Some(2)));
    assert_eq!(row(&house.table("large"), "-2986")[1], Some("later"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_chunks_of_an_incremental_table_are_written_once() {
    let house = House::shop("chunks_killed_merging").await;
    house.sql("INSERT INTO items (id) SELECT n FROM generate_series(3, 40) n; ANALYZE");
    killed_at_any_request(&house, &incremental(), CopyMode::Chunked).await;
    assert_eq!(house.table("items").rows.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_chunks_are_written_once() {
    let house = House::shop("chunks_killed").await;
    house.sql("INSERT INTO items (id) SELECT n FROM generate_series(3, 40) n; ANALYZE");
    let bytes = [(CHUNK_BYTES, json!(8_000))];
    killed_at_any_request(&house, &bytes, CopyMode::Chunked).await;
    assert_eq!(house.table("items").rows.len(), 40);
    assert!(staged(&house).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_refusals_write_the_chunks_once() {
    let house = House::shop("chunks_faults").await;
    house.sql("INSERT INTO items (id) SELECT n FROM generate_series(3, 40) n; ANALYZE");
    let bytes = [(CHUNK_BYTES, json!(8_000))];
    faults_at_any_request(&house, &bytes).await;
    assert_eq!(house.table("items").rows.len(), 40);
    assert!(staged(&house).is_empty());
}
