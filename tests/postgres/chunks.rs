//! Whole runs that read large tables in chunks, with every row compared.

use pipewright::sync::{CopyMode, Outcome};
use serde_json::{Value, json};

use crate::runner::{
    CHUNK_BYTES, House, PROJECT, faults_at_any_request, killed_at_any_request, of,
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
