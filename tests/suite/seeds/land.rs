//! The land: which projects, connections and pipelines there are, and where to look for
//! what the bot has done.

use std::collections::BTreeMap;

use pipewright::sandbox::google::Google;
use serde_json::Value;

use crate::common::repository;

/// Whoever speaks for a team of the estate.
pub const LEADS: [&str; 3] = ["lead-of-orders", "lead-of-billing", "lead-of-data-platform"];

/// Project, connection, database. Two of one project lead to two instances.
pub const CONNECTIONS: [(&str, &str, &str); 3] = [
    ("acme-orders", "orders-db", "orders"),
    ("acme-orders", "archive-db", "archive"),
    ("acme-billing", "billing-db", "billing"),
];

pub const PIPELINES: [&str; 4] = ["ants", "bees", "cats", "dogs"];

pub const DATASETS: [&str; 4] = [
    "dataplatform_ants",
    "dataplatform_bees",
    "dataplatform_cats",
    "dataplatform_dogs",
];

/// The instance behind a connection.
pub fn instance(connection: &str) -> &'static str {
    match connection.rsplit('/').next() {
        Some("orders-db") => "acme-orders:asia-northeast1:orders",
        Some("archive-db") => "acme-orders:asia-northeast1:archive",
        Some("billing-db") => "acme-billing:asia-northeast1:billing",
        _ => "nowhere",
    }
}

/// The example, with one more connection and one pipeline instead of three: the fewer there
/// are, the more seeds there is time for.
pub fn tree() -> BTreeMap<String, String> {
    let mut files = repository();
    files.remove("pipelines/orders/returns.yaml");
    files.remove("pipelines/billing/invoices.yaml");
    let estate = files.get_mut("policies/estate.yaml").unwrap();
    let anchor = "      orders-db:\n";
    assert!(estate.contains(anchor));
    *estate = estate.replace(
        anchor,
        "      archive-db:\n        location: asia-northeast1\n        \
         instance: acme-orders:asia-northeast1:archive\n      orders-db:\n",
    );
    files
}

/// The house's defaults with another deadline for runs: every CronWorkflow changes.
pub fn defaults(hours: usize) -> String {
    let text = &repository()["policies/defaults.yaml"];
    assert!(text.contains("run_hours: 6"));
    text.replace("run_hours: 6", &format!("run_hours: {hours}"))
}

/// The resources whose policies the bot may write.
pub fn policies(google: &Google) -> Vec<String> {
    let projects = ["acme-orders", "acme-billing"].map(|one| format!("projects/{one}"));
    let connections = google.connections().into_iter().map(|(name, _)| name);
    let accounts = google.service_accounts().into_iter();
    projects
        .into_iter()
        .chain(connections)
        .chain(accounts.map(|email| format!("projects/acme-identities/serviceAccounts/{email}")))
        .collect()
}

/// Whether an object carries our label.
pub fn labelled(object: &Value) -> bool {
    object["metadata"]["labels"]
        .as_object()
        .is_some_and(|labels| labels.contains_key(pipewright::render::APPLY_SET_LABEL))
}
