//! What the server says that it was asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use http::Method;
use pipewright::sandbox::server::Exchange;
use serde_json::Value;

use crate::api::{Api, text};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In Kubernetes' words: get, list, watch, create, update, patch, delete.
    pub verb: String,
    /// Path and query.
    pub uri: String,
    pub code: u64,
}

impl Asked {
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.uri.contains("dryRun=All")
    }
}

/// From the simulated server's memory, those with these credentials.
pub fn of_traffic(traffic: &[Exchange], credentials: &str) -> Vec<Asked> {
    let of_account = |exchange: &&Exchange| {
        let header = exchange.headers.get("authorization");
        header.is_some_and(|value| value == credentials)
    };
    let read = |exchange: &Exchange| {
        let path = exchange.uri.split('?').next().unwrap_or_default();
        // A namespace is an object at its depth.
        let depth = path.split("/namespaces/").nth(1).unwrap_or_default();
        let is_object = depth.matches('/').count() != 1;
        let verb = match exchange.method {
            Method::GET if is_object => "get",
            Method::GET if exchange.uri.contains("watch=true") => "watch",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        Asked {
            verb: verb.to_owned(),
            uri: exchange.uri.clone(),
            code: exchange.status.as_u16().into(),
        }
    };
    traffic.iter().filter(of_account).map(read).collect()
}

/// How far each account's part of the log has been read.
static READ: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// From the audit log, those of this account that came since it was asked about last.
pub async fn of_log(log: &Path, user: &str, api: &Api) -> Vec<Asked> {
    let from = READ.lock().unwrap().get(user).copied().unwrap_or(0);
    // A request is noted when it is answered, and this one after all that came before it.
    let marker = format!("/version?after={user}-{from}");
    api.ask(Method::GET, &marker, "", &Value::Null)
        .await
        .unwrap();
    let mut file = std::fs::File::open(log).unwrap();
    let mut lines = String::new();
    loop {
        lines.clear();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.read_to_string(&mut lines).unwrap();
        if lines.contains(&marker) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let whole = lines.rfind('\n').map_or(0, |end| end + 1);
    READ.lock()
        .unwrap()
        .insert(user.to_owned(), from + whole as u64);
    lines[..whole]
        .lines()
        .filter(|line| line.contains(user))
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| text(event, "/user/username") == user)
        .filter(|event| {
            // A watch is complete when it ends.
            let known = match text(event, "/verb") {
                "watch" => "ResponseStarted",
                _ => "ResponseComplete",
            };
            text(event, "/stage") == known
        })
        .map(|event| Asked {
            verb: text(&event, "/verb").to_owned(),
            uri: text(&event, "/requestURI").to_owned(),
            code: event["responseStatus"]["code"].as_u64().unwrap(),
        })
        .collect()
}
