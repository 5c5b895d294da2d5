//! What happened, in a few words each: webhooks, the bot's plans, and its writes.

use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::sandbox::github::Delivery;
use crate::sandbox::server::{Exchange, asks_for_a_change};

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    /// Rises with each.
    pub id: u64,
    /// Seconds since 1970.
    pub at: i64,
    /// `event`, `plan`, `write`, `run`, `act` or `fault`.
    pub kind: &'static str,
    pub text: String,
}

/// Entries that are kept for the page.
const KEPT: usize = 200;

/// The last things that happened.
#[derive(Debug, Default)]
pub(super) struct Log {
    last: u64,
    entries: Vec<Happened>,
    /// Up to which one they were told.
    told: u64,
}

impl Log {
    pub(super) fn add(&mut self, at: i64, kind: &'static str, text: impl Into<String>) {
        self.last += 1;
        self.entries.push(Happened {
            id: self.last,
            at,
            kind,
            text: text.into(),
        });
        if self.entries.len() > 2 * KEPT {
            self.entries.drain(..KEPT);
        }
    }

    /// How many there ever were.
    pub(super) fn count(&self) -> u64 {
        self.last
    }

    /// The newest, oldest first.
    pub(super) fn newest(&self) -> &[Happened] {
        let from = self.entries.len().saturating_sub(KEPT);
        self.entries.get(from..).unwrap_or_default()
    }

    /// What was not told yet.
    pub(super) fn untold(&mut self) -> Vec<Happened> {
        let told = std::mem::replace(&mut self.told, self.last);
        let new = self.entries.iter().filter(|one| one.id > told);
        new.cloned().collect()
    }
}

/// What a webhook tells.
pub(super) fn of_delivery(delivery: &Delivery) -> String {
    let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let action = text("/action").unwrap_or_default();
    let by = text("/sender/login").unwrap_or("somebody");
    let number = ["/pull_request/number", "/issue/number"]
        .iter()
        .find_map(|pointer| body.pointer(pointer)?.as_u64());
    let pull = number.map_or_else(String::new, |number| format!(" #{number}"));
    match (delivery.event.as_str(), action) {
        ("pull_request", "closed") => {
            let merged = body.pointer("/pull_request/merged") == Some(&Value::Bool(true));
            let how = if merged { "merged" } else { "closed" };
            format!("{by} {how}{pull}")
        }
        ("pull_request", "synchronize") => format!("{by} pushed to{pull}"),
        ("pull_request", action) => format!("{by} {action}{pull}"),
        ("pull_request_review", _) => {
            let state = text("/review/state").unwrap_or_default().replace('_', " ");
            format!("{by} reviewed{pull}: {state}")
        }
        ("issue_comment", "created") => format!("{by} commented on{pull}"),
        ("issue_comment", action) => format!("{by} {action} a comment on{pull}"),
        ("push", _) => {
            let branch = text("/ref").unwrap_or_default();
            format!("{by} moved {}", branch.trim_start_matches("refs/heads/"))
        }
        (event, action) => format!("{by}: {event} {action}"),
    }
}

/// What the bot asked one of the systems to change; nothing if it only looked.
pub(super) fn of_exchange(system: &str, exchange: &Exchange) -> Option<(&'static str, String)> {
    let uri = exchange.uri.parse().ok()?;
    if !asks_for_a_change(&exchange.method, &uri) || exchange.uri.contains("dryRun=") {
        return None;
    }
    let body: Value = serde_json::from_slice(&exchange.request).unwrap_or_default();
    let path = uri.path();
    let told = match system {
        "github" => of_github(&exchange.method, path, &body)?,
        "kubernetes" => of_kubernetes(&exchange.method, path),
        _ => of_google(&exchange.method, path, &body)?,
    };
    if exchange.status.is_success() {
        return Some(told);
    }
    let status = exchange.status.as_u16();
    Some(("fault", format!("{} (answered {status})", told.1)))
}

fn of_github(method: &Method, path: &str, body: &Value) -> Option<(&'static str, String)> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let parts: Vec<&str> = path.split('/').collect();
    Some(match parts.as_slice() {
        [.., "check-runs"] => {
            let how = text("/conclusion").unwrap_or("under way");
            let title = text("/output/title").unwrap_or_default();
            ("plan", format!("the check says {how}: {title}"))
        }
        [.., "check-runs", _] => ("plan", "the check is changed".to_owned()),
        [.., "issues", number, "comments"] => {
            let first = headline(text("/body").unwrap_or_default());
            ("plan", format!("the bot comments on #{number}: {first}"))
        }
        [.., "comments", _] if *method == Method::PATCH => {
            let first = headline(text("/body").unwrap_or_default());
            ("plan", format!("the bot edits its comment: {first}"))
        }
        [.., "reactions"] => {
            let content = text("/content").unwrap_or_default();
            ("plan", format!("the bot reacts: {content}"))
        }
        _ => return None,
    })
}

/// The first line that a person sees.
fn headline(body: &str) -> String {
    let line = body
        .lines()
        .find(|line| !line.starts_with("<!--") && !line.trim().is_empty());
    let line = line.unwrap_or_default().trim_start_matches(['#', ' ']);
    line.chars().filter(|c| *c != '`').take(90).collect()
}

fn of_kubernetes(method: &Method, path: &str) -> (&'static str, String) {
    let verb = match *method {
        Method::DELETE => "removes",
        Method::POST => "makes",
        _ => "applies",
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (kind, name) = match parts.as_slice() {
        [.., "namespaces", _, kind, name] => (*kind, *name),
        [.., "namespaces", _, kind] => (*kind, ""),
        [.., kind, name] => (*kind, *name),
        _ => ("object", ""),
    };
    let kind = match kind {
        "cronworkflows" => "CronWorkflow",
        "workflows" => "Workflow",
        "configmaps" if name.starts_with("record-") => "the Record",
        "configmaps" if name == "pipewright" => "the inventory's parent",
        "configmaps" => "ConfigMap",
        "serviceaccounts" => "ServiceAccount",
        "rolebindings" => "RoleBinding",
        "roles" => "Role",
        "leases" => "Lease",
        other => other,
    };
    ("write", format!("cluster: {verb} {kind} {name}"))
}

fn of_google(method: &Method, path: &str, body: &Value) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "jobs"] => {
            let query = |field: &str| body.pointer(&format!("/configuration/query/{field}"));
            let table = query("destinationTable/tableId").and_then(Value::as_str);
            let what = match table {
                Some(table) => format!("the runner copies {table}"),
                None => "the runner asks through the connection".to_owned(),
            };
            return Some(("run", what));
        }
        // Only labels: the rows were written by the job.
        [.., "tables", _] => return None,
        _ => {}
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let (name, verb) = last.split_once(':').unwrap_or((last, ""));
    let name = name.split('@').next().unwrap_or(name);
    let text = match (verb, method) {
        ("setIamPolicy", _) => format!("sets who may use {name}"),
        _ if name == "serviceAccounts" => "makes a service account".to_owned(),
        _ if name == "datasets" => "makes a dataset".to_owned(),
        (_, &Method::DELETE) => format!("removes {name}"),
        _ => format!("changes {name}"),
    };
    Some(("write", format!("Google: {text}")))
}
