//! A database, a simulated BigQuery that is connected to it, and the program as its pod starts it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pipewright::clock::Clock;
use pipewright::sandbox::google::{Google, Options, Stored};
use pipewright::sandbox::server::Fault;
use pipewright::sync::{Outcome, RunReport, TableReport};
use serde_json::json;

use crate::server::{Server, server};

pub const TOKEN: &str = "ya29.a-token";
pub const PROJECT: &str = "acme-orders";
pub const INSTANCE: &str = "acme-orders:europe-west1:main";

/// A database of its own, and a BigQuery that is connected to it.
pub struct House {
    pub server: Arc<Server>,
    pub google: Google,
    pub database: String,
    pub schema: &'static str,
}

/// What one run came to.
pub struct Ran {
    pub code: Option<i32>,
    pub report: RunReport,
    pub said: String,
}

pub const SHOP: &str = r#"
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
    pub async fn of(database: &str, schema: &'static str) -> Self {
        let server = server();
        let google = Google::start(Options {
            token: TOKEN.to_owned(),
            projects: vec![PROJECT.to_owned()],
            postgres: [(INSTANCE.to_owned(), server.address())].into(),
            clock: Some(Clock::system()),
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

    /// One attempt of the run `uid` that is killed when its request of this number arrives, the
    /// first being 1; whether it was. Every other request has its effect.
    pub async fn killed_at(
        &self,
        at: usize,
        uid: &str,
        changed: &[(&str, serde_json::Value)],
    ) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let pid = Arc::new(AtomicU32::new(0));
        let seen = AtomicUsize::new(0);
        let victim = pid.clone();
        self.google.wire().fail_with(move |_, _| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 != at {
                return None;
            }
            while victim.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let pid = victim.load(Ordering::SeqCst).to_string();
            let killed = Command::new("kill").args(["-9", &pid]).status();
            assert!(killed.unwrap().success());
            at.is_multiple_of(2).then_some(Fault::Reset)
        });
        let mut command = self.command(uid, changed, &folder.path().join("report.json"));
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        pid.store(child.id(), Ordering::SeqCst);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
        self.google.wire().heal();
        ended.code().is_none()
    }

    pub fn command(
        &self,
        uid: &str,
        changed: &[(&str, serde_json::Value)],
        report: &Path,
    ) -> Command {
        let mut spec = json!({
            "version": 1, "pipeline": "orders", "service": "orders", "project": PROJECT,
            "connection": format!("projects/{PROJECT}/locations/eu/connections/main"),
            "instance": INSTANCE, "location": "eu", "dataset": "copies",
            "database": self.database, "schema": self.schema, "tables": "all",
        });
        for (key, value) in changed {
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
        command
    }

    pub fn table(&self, name: &str) -> Stored {
        let found = self.google.table(PROJECT, "copies", name);
        found.unwrap_or_else(|| panic!("no table {name}"))
    }

    pub fn writes(&self) -> u64 {
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

pub fn kinds(table: &Stored) -> Vec<(&str, &str)> {
    let columns = table.columns.iter();
    columns
        .map(|column| (column.name.as_str(), column.kind.as_str()))
        .collect()
}

pub fn of<'r>(ran: &'r Ran, table: &str) -> &'r TableReport {
    let mut tables = ran.report.tables.iter();
    tables.find(|one| one.table == table).unwrap()
}

pub fn error(table: &TableReport) -> &str {
    match &table.result {
        Outcome::Failed(failure) => &failure.error,
        other => panic!("{other:?}"),
    }
}
