//! Whole runs: the program as its pod starts it, the simulated BigQuery, and PostgreSQL behind
//! its connection.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use axum::http::StatusCode;
use pipewright::sandbox::google::{Google, Options, Stored};
use pipewright::sandbox::server::Fault;
use pipewright::sync::{CopyMode, Outcome, RunReport, TableReport};
use serde_json::json;

use crate::server::{FIXTURE, SCHEMA, Server, server};

const TOKEN: &str = "ya29.a-token";
pub const PROJECT: &str = "acme-orders";
/// Among what is changed of a spec: no key of it, but a variable of the runner's.
pub const CHUNK_BYTES: &str = "PIPEWRIGHT_CHUNK_BYTES";
const INSTANCE: &str = "acme-orders:europe-west1:main";

/// A database of its own, and a BigQuery that is connected to it.
pub struct House {
    pub server: Arc<Server>,
    pub google: Google,
    database: String,
    schema: &'static str,
}

/// What one run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub report: RunReport,
    pub said: String,
}

const SHOP: &str = r#"
CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO reader; SET search_path TO shop;
CREATE TABLE items (
  id bigint PRIMARY KEY, name text, price numeric(10, 2), exact numeric(50, 20), any_number numeric,
  data jsonb, code uuid, tags text[], at timestamptz, local timestamp, day date, ok boolean,
  raw bytea, ratio double precision);
INSERT INTO items VALUES
  (1, E'it''s "a" \\ {{x}}\n', 12.50, 123456789012345678.5, 1.10, '{"a": 1}',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,NULL,"b c"}', '2024-01-02 03:04:05.5+02',
   '2024-01-02 03:04:05', '2024-02-29', true, '\x00ff', 'NaN'),
  (2, NULL, 'NaN', 'NaN', 'NaN', NULL, NULL, NULL, 'infinity', '-infinity', '0044-03-15 BC', false, '', -0.1);
CREATE TABLE "we""ird `t`" ("a""b" int, "`" text);
INSERT INTO "we""ird `t`" VALUES (7, 'x');
CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO events VALUES (1, '2024-05-05'), (2, '2024-06-06');
CREATE TABLE nothing (id int);
CREATE VIEW seen AS SELECT 1 AS one;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader;
"#;

impl House {
    async fn of(database: &str, schema: &'static str) -> Self {
        let server = server();
        let google = Google::start(Options {
            token: TOKEN.to_owned(),
            projects: vec![PROJECT.to_owned()],
            postgres: [(INSTANCE.to_owned(), server.address())].into(),
            ..Options::default()
        })
        .await
        .unwrap();
        google.add_connection(PROJECT, "eu", "main", INSTANCE, database);
        let dataset = json!({
            "datasetReference": {"projectId": PROJECT, "datasetId": "copies"}, "location": "EU",
        });
        let made = reqwest::Client::new()
            .post(format!(
                "{}/bigquery/v2/projects/{PROJECT}/datasets",
                google.url()
            ))
            .bearer_auth(TOKEN)
            .body(dataset.to_string())
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success(), "{made:?}");
        Self {
            server,
            google,
            database: database.to_owned(),
            schema,
        }
    }

    /// A shop of its own.
    pub async fn shop(database: &str) -> Self {
        // Whoever comes first decides; all would decide the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = server();
        server.database(database);
        server.run(database, SHOP);
        Self::of(database, "shop").await
    }

    pub fn sql(&self, sql: &str) {
        let sql = format!("SET search_path TO shop; {sql}");
        self.server.run(&self.database, &sql);
    }

    /// One attempt of the run `uid`.
    pub async fn run(&self, uid: &str, changed: &[(&str, serde_json::Value)]) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        let mut command = self.command(uid, changed, &report);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = std::fs::read_to_string(&report).unwrap_or_else(|_| panic!("no report\n{said}"));
        Ran {
            code: output.status.code(),
            report: RunReport::from_json(&text).unwrap(),
            said,
        }
    }

    fn command(&self, uid: &str, changed: &[(&str, serde_json::Value)], report: &Path) -> Command {
        let mut spec = json!({
            "version": 1, "pipeline": "orders", "service": "orders", "project": PROJECT,
            "connection": format!("projects/{PROJECT}/locations/eu/connections/main"),
            "instance": INSTANCE, "location": "eu", "dataset": "copies",
            "database": self.database, "schema": self.schema, "tables": "all",
        });
        let chunk_bytes = changed.iter().find(|(key, _)| *key == CHUNK_BYTES);
        for (key, value) in changed.iter().filter(|(key, _)| *key != CHUNK_BYTES) {
            spec[key] = value.clone();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
        command
            .arg("sync")
            .env_clear()
            .env("PIPEWRIGHT_GOOGLE_TOKEN", TOKEN)
            .env("PIPEWRIGHT_RUN_SPEC", spec.to_string())
            .env("PIPEWRIGHT_RUN_UID", uid)
            .env("PIPEWRIGHT_BIGQUERY_URL", self.google.url())
            .env("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", self.google.url())
            .env("PIPEWRIGHT_REPORT", report);
        if let Some((_, bytes)) = chunk_bytes {
            command.env(CHUNK_BYTES, bytes.to_string());
        }
        command
    }

    pub fn table(&self, name: &str) -> Stored {
        let found = self.google.table(PROJECT, "copies", name);
        found.unwrap_or_else(|| panic!("no table {name}"))
    }

    fn writes(&self) -> u64 {
        ["items", "we_ird _t_", "events", "nothing"]
            .iter()
            .filter_map(|name| self.google.table(PROJECT, "copies", name))
            .map(|table| table.writes)
            .sum()
    }
}

/// Adds what went over the wire to the file that is named, if one is.
impl Drop for House {
    fn drop(&mut self) {
        let Some(file) = std::env::var_os("PIPEWRIGHT_TRAFFIC") else {
            return;
        };
        let lines: String = self
            .google
            .wire()
            .traffic()
            .iter()
            .map(|exchange| format!("{}\n", exchange.to_json("google")))
            .collect();
        let file = OpenOptions::new().create(true).append(true).open(file);
        file.unwrap().write_all(lines.as_bytes()).unwrap();
    }
}

/// A row by its first cell.
pub fn row<'t>(table: &'t Stored, first: &str) -> Vec<Option<&'t str>> {
    let row = table
        .rows
        .iter()
        .find(|row| row[0].as_deref() == Some(first));
    let row = row.unwrap_or_else(|| panic!("no row {first}: {:?}", table.rows));
    row.iter().map(Option::as_deref).collect()
}

fn kinds(table: &Stored) -> Vec<(&str, &str)> {
    let columns = table.columns.iter();
    columns
        .map(|column| (column.name.as_str(), column.kind.as_str()))
        .collect()
}

pub fn of<'r>(ran: &'r Ran, table: &str) -> &'r TableReport {
    let mut tables = ran.report.tables.iter();
    tables.find(|one| one.table == table).unwrap()
}

fn error(table: &TableReport) -> &str {
    match &table.result {
        Outcome::Failed(failure) => &failure.error,
        other => panic!("{other:?}"),
    }
}

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

/// What a spec says beyond the usual.
pub type Changed = [(&'static str, serde_json::Value)];

/// Every table is there, and each of these runs writes `items` by what changed.
fn incremental() -> [(&'static str, serde_json::Value); 1] {
    let mode =
        json!({"incremental": {"key": ["id"], "cursor": "id", "full_every_seconds": 604_800}});
    [("options", json!({"items": {"mode": mode}}))]
}

/// The requests that one clean run takes over tables that are there, and its writes.
async fn requests(house: &House, changed: &Changed) -> (usize, u64) {
    assert_eq!(house.run("first", changed).await.code, Some(0));
    house.google.wire().take_traffic();
    let before = house.writes();
    assert_eq!(house.run("clean", changed).await.code, Some(0));
    let requests = house.google.wire().take_traffic().len();
    (requests, house.writes() - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_the_next_attempt_finishes_and_nothing_is_written_twice() {
    let house = House::shop("killed").await;
    killed_at_any_request(&house, &[], CopyMode::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_what_changed_is_merged_once() {
    let house = House::shop("killed_merging").await;
    killed_at_any_request(&house, &incremental(), CopyMode::Incremental).await;
}

pub async fn killed_at_any_request(house: &House, changed: &Changed, mode: CopyMode) {
    let (requests, each) = requests(house, changed).await;
    let before = house.writes();
    let mut killed = 0;
    for at in 1..=requests {
        let uid = format!("killed-{at}");
        let folder = tempfile::tempdir().unwrap();
        let pid = Arc::new(AtomicU32::new(0));
        let seen = AtomicUsize::new(0);
        let victim = pid.clone();
        house.google.wire().fail_with(move |_, _| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 != at {
                return None;
            }
            while victim.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let pid = victim.load(Ordering::SeqCst).to_string();
            assert!(
                Command::new("kill")
                    .args(["-9", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            // Every other one has its effect.
            (at % 2 == 0).then_some(Fault::Reset)
        });
        let mut command = house.command(&uid, changed, &folder.path().join("report.json"));
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        pid.store(child.id(), Ordering::SeqCst);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        house.google.wire().heal();
        killed += usize::from(ended.code().is_none());
        let ran = house.run(&uid, changed).await;
        assert_eq!(ran.code, Some(0), "killed at request {at}\n{}", ran.said);
        assert_eq!(of(&ran, "items").mode, mode, "killed at request {at}");
        assert_eq!(
            house.writes(),
            before + each * at as u64,
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
    faults_at_any_request(&house, &[]).await;
    // And a job that fails in passing is begun again under another id.
    house.google.fail_next_job("backendError", "try again");
    let ran = house.run("job-fault", &[]).await;
    assert_eq!(ran.code, Some(0), "{:?}", ran.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_refusals_merge_nothing_twice() {
    let house = House::shop("faults_merging").await;
    faults_at_any_request(&house, &incremental()).await;
}

pub async fn faults_at_any_request(house: &House, changed: &Changed) {
    let (requests, each) = requests(house, changed).await;
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
        let ran = house.run(&format!("fault-{at}"), changed).await;
        house.google.wire().heal();
        assert_eq!(
            ran.code,
            Some(0),
            "fault at request {at}\n{:?}\n{}",
            ran.report,
            ran.said
        );
        played += 1;
        assert_eq!(
            house.writes(),
            before + each * played,
            "fault at request {at}"
        );
    }
    // The answers of the faults are made up.
    house.google.wire().take_traffic();
}
