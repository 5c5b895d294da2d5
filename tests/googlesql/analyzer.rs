//! The emulator, started for one test and stopped with it.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

pub struct Analyzer {
    child: Child,
    base: String,
    dataset: String,
    client: reqwest::blocking::Client,
}

impl Drop for Analyzer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Analyzer {
    pub fn start(project: &str, dataset: &str) -> Self {
        // Whoever comes first decides; all would decide the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let program = std::env::var("GOOGLESQL_EMULATOR")
            .expect("GOOGLESQL_EMULATOR names the analyzer's program; `.ci/run` builds it");
        let (rest, grpc) = (port(), port());
        let mut child = Command::new(program)
            .args([
                "--host",
                "127.0.0.1",
                "--project",
                project,
                "--dataset",
                dataset,
            ])
            .args([
                "--port",
                &rest.to_string(),
                "--grpc-port",
                &grpc.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", rest)).is_err() {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the analyzer ended: {ended}");
            }
            std::thread::yield_now();
        }
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            child,
            base: format!("http://127.0.0.1:{rest}/bigquery/v2/projects/{project}"),
            dataset: dataset.to_owned(),
            client,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{path}", self.base));
        let request = request.header("content-type", "application/json");
        let text = request
            .body(body.to_string())
            .send()
            .unwrap()
            .text()
            .unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }

    pub fn make_table(&self, name: &str, columns: &[(String, &str)]) {
        let fields: Vec<Value> = columns
            .iter()
            .map(|(name, kind)| json!({ "name": name, "type": kind }))
            .collect();
        let table = json!({
            "tableReference": { "datasetId": self.dataset, "tableId": name },
            "schema": { "fields": fields },
        });
        let answer = self.post(&format!("datasets/{}/tables", self.dataset), &table);
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// What it says against the statement; nothing if it has nothing to say.
    pub fn refusal(&self, statement: &str) -> String {
        let body = json!({ "query": statement, "useLegacySql": false });
        let answer = self.post("queries", &body);
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        message.unwrap_or_default().to_owned()
    }

    /// Panics unless EXTERNAL_QUERY, at its place, is all that it does not know.
    pub fn knows_all_but_the_function(&self, statement: &str) {
        let before = statement.find("EXTERNAL_QUERY(").unwrap();
        let column = statement[..before].chars().count() + 1;
        let only = format!("Table-valued function not found: EXTERNAL_QUERY [at 1:{column}]");
        let said = self.refusal(statement);
        assert!(said.ends_with(&only), "{said}\nnot: {only}\n{statement}");
    }

    /// Panics if it has anything to say against the statement. That it runs no MERGE from a
    /// query is said after it has analyzed it.
    pub fn accepts(&self, statement: &str) {
        let said = self.refusal(statement);
        let can_not_run = said.contains("source must be a single-table reference");
        assert!(said.is_empty() || can_not_run, "{said}\n{statement}");
    }
}
