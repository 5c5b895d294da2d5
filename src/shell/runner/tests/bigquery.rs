//! A BigQuery of a few lines: jobs under their ids, tables as a count of rows, and a catalog
//! that is told. It runs no SQL; what it answers to each request is what the API documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::sandbox::server::Server;
use crate::sync::EMPTY_SOURCE;

#[derive(Default)]
pub(super) struct World {
    /// Tables of the source, with their rows.
    pub(super) source: BTreeMap<String, u64>,
    /// Tables of the dataset, with their rows.
    pub(super) dataset: BTreeMap<String, u64>,
    /// Columns of the tables of the dataset; `id INTEGER` if nothing is said.
    pub(super) columns: BTreeMap<String, Value>,
    /// Labels of the tables of the dataset.
    pub(super) labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What `MAX` of a table's cursor is.
    pub(super) highest: BTreeMap<String, String>,
    pub(super) database: String,
    /// Why the next job that reads fails.
    pub(super) refused: Option<(&'static str, &'static str)>,
    /// For the next jobs that write: a reason to fail for each.
    pub(super) failures: Vec<(&'static str, &'static str)>,
    /// Whether jobs that write stay running.
    pub(super) slow: bool,
    /// Every job that was begun, by its id.
    pub(super) jobs: BTreeMap<String, Job>,
    /// Successful writes of each table.
    pub(super) written: BTreeMap<String, u64>,
    pub(super) cancelled: BTreeSet<String>,
    /// Rows of the catalog that are counted and not sent.
    pub(super) lost: u64,
}

pub(super) struct Job {
    pub(super) sent: Value,
    error: Option<(&'static str, &'static str)>,
    running: bool,
    rows: u64,
    /// What a query for the highest cursor answers.
    highest: Option<String>,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

pub(super) async fn start() -> (Server, Shared) {
    let world = Shared::new(Mutex::new(World {
        source: [("items", 7), ("orders", 3)]
            .map(|(name, rows)| (name.to_owned(), rows))
            .into(),
        database: "shop".to_owned(),
        ..World::default()
    }));
    let project = "/bigquery/v2/projects/acme-orders";
    let tables = format!("{project}/datasets/orders/tables");
    let router = Router::new()
        .route(
            "/v1/projects/acme-orders/locations/eu/connections/main",
            get(connection),
        )
        .route(&tables, get(list))
        .route(&format!("{tables}/{{table}}"), get(table).patch(label))
        .route(&format!("{project}/jobs"), post(insert))
        .route(&format!("{project}/jobs/{{id}}"), get(job))
        .route(&format!("{project}/jobs/{{id}}/cancel"), post(cancel))
        .route(&format!("{project}/queries/{{id}}"), get(result))
        .with_state(world.clone());
    (Server::start(router).await.unwrap(), world)
}

fn refused(code: u16, reason: &str) -> Response {
    let error = json!({"error": {"message": reason, "errors": [{"reason": reason}]}});
    (StatusCode::from_u16(code).unwrap(), Json(error)).into_response()
}

async fn connection(State(world): State<Shared>) -> Json<Value> {
    Json(json!({"cloudSql": {
        "instanceId": "acme-orders:europe-west1:main",
        "database": lock(&world).database,
        "type": "POSTGRES",
    }}))
}

async fn list(State(world): State<Shared>) -> Json<Value> {
    let world = lock(&world);
    // A day before the run began, or after.
    let created = |name: &str| match world.written.contains_key(name) {
        true => "1767225600001",
        false => "1767139200000",
    };
    let tables = world.dataset.keys();
    let tables: Vec<Value> = tables
        .map(|name| json!({"tableReference": {"tableId": name}, "creationTime": created(name)}))
        .collect();
    Json(json!({"tables": tables}))
}

async fn table(State(world): State<Shared>, Path(name): Path<String>) -> Response {
    let world = lock(&world);
    let Some(rows) = world.dataset.get(&name) else {
        return refused(404, "notFound");
    };
    let columns = world.columns.get(&name).cloned();
    let columns = columns.unwrap_or(json!([{"name": "id", "type": "INTEGER"}]));
    let labels = world.labels.get(&name).cloned().unwrap_or_default();
    Json(json!({
        "type": "TABLE", "numRows": rows.to_string(), "schema": {"fields": columns},
        "labels": labels,
    }))
    .into_response()
}

async fn label(
    State(world): State<Shared>,
    Path(name): Path<String>,
    Json(sent): Json<Value>,
) -> Json<Value> {
    let mut world = lock(&world);
    let labels = world.labels.entry(name).or_default();
    for (key, value) in sent["labels"].as_object().unwrap() {
        match value.as_str() {
            Some(value) => labels.insert(key.clone(), value.to_owned()),
            None => labels.remove(key),
        };
    }
    Json(json!({}))
}

async fn insert(State(world): State<Shared>, Json(sent): Json<Value>) -> Response {
    let mut world = lock(&world);
    if sent["configuration"]["dryRun"] == true {
        return Json(json!({"status": {"state": "DONE"}})).into_response();
    }
    let id = sent["jobReference"]["jobId"].as_str().unwrap().to_owned();
    if world.jobs.contains_key(&id) {
        return refused(409, "duplicate");
    }
    let query = &sent["configuration"]["query"];
    let mut job = Job {
        sent: sent.clone(),
        error: None,
        running: false,
        rows: 0,
        highest: None,
    };
    let text = query["query"].as_str().unwrap();
    let named = |before: &str| {
        let rest = text.split(before).nth(1)?;
        Some(rest.split('`').next().unwrap().to_owned())
    };
    if text.starts_with("MERGE") {
        let table = named("INTO `acme-orders`.`orders`.`").unwrap();
        if !world.failures.is_empty() {
            job.error = Some(world.failures.remove(0));
        } else {
            job.rows = 2;
            world.highest.insert(table.clone(), "9".to_owned());
            *world.written.entry(table).or_default() += 1;
        }
    } else if text.contains("MAX(") {
        let table = named("FROM `acme-orders`.`orders`.`").unwrap();
        job.highest = world.highest.get(&table).cloned();
    } else if let Some(table) = query["destinationTable"]["tableId"].as_str() {
        job.running = world.slow;
        job.rows = world.source[table];
        if !world.failures.is_empty() {
            job.error = Some(world.failures.remove(0));
        } else if job.rows == 0 && asks_for_rows(query) {
            job.error = Some(("invalidQuery", EMPTY_SOURCE));
        } else if query["writeDisposition"] == "WRITE_EMPTY" && world.dataset.contains_key(table) {
            job.error = Some(("duplicate", "Already Exists: Table"));
        } else if !world.slow {
            world.dataset.insert(table.to_owned(), job.rows);
            *world.written.entry(table.to_owned()).or_default() += 1;
        }
    }
    if job.sent["configuration"]["query"]["destinationTable"].is_null() && job.error.is_none() {
        job.error = world.refused.take();
    }
    let answer = job.answer();
    world.jobs.insert(id, job);
    Json(answer).into_response()
}

/// Whether the statement fails over a source without rows.
fn asks_for_rows(query: &Value) -> bool {
    query["query"].as_str().unwrap().contains(EMPTY_SOURCE)
}

impl Job {
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    fn answer(&self) -> Value {
        let mut status = json!({"state": if self.running { "RUNNING" } else { "DONE" }});
        if let Some((reason, message)) = self.error {
            status["errorResult"] = json!({"reason": reason, "message": message});
        }
        json!({"status": status, "statistics": {
            "creationTime": "1767225600000", "startTime": "1767225600000",
            "endTime": "1767225601500", "totalSlotMs": "77",
            "query": {"totalBytesProcessed": "1024", "numDmlAffectedRows": self.rows.to_string()},
        }})
    }
}

async fn job(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let world = lock(&world);
    match world.jobs.get(&id) {
        Some(job) => Json(job.answer()).into_response(),
        None => refused(404, "notFound"),
    }
}

async fn cancel(State(world): State<Shared>, Path(id): Path<String>) -> Json<Value> {
    let mut world = lock(&world);
    if let Some(job) = world.jobs.get_mut(&id)
        && job.running
    {
        job.running = false;
        job.error = Some(("stopped", "Job execution was cancelled"));
        world.cancelled.insert(id);
    }
    Json(json!({}))
}

async fn result(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let world = lock(&world);
    let Some(job) = world.jobs.get(&id) else {
        return refused(404, "notFound");
    };
    if job.running {
        return Json(json!({"jobComplete": false})).into_response();
    }
    if let Some((reason, _)) = job.error {
        return refused(400, reason);
    }
    let query = job.sent["configuration"]["query"]["query"]
        .as_str()
        .unwrap();
    let (names, rows) = if query.starts_with("SELECT `row_kind`") {
        catalog(&world)
    } else if query.contains("MAX(") {
        (vec!["highest"], vec![json!([job.highest])])
    } else {
        (Vec::new(), Vec::new())
    };
    let total = if rows.is_empty() {
        job.rows
    } else {
        rows.len() as u64 + world.lost
    };
    let fields: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "type": "STRING"}))
        .collect();
    let row = |cells: &Value| {
        let cells = cells.as_array().unwrap().iter();
        json!({"f": cells.map(|cell| json!({"v": cell})).collect::<Vec<_>>()})
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    Json(json!({
        "jobComplete": true, "schema": {"fields": fields}, "rows": rows,
        "totalRows": total.to_string(),
    }))
    .into_response()
}

fn catalog(world: &World) -> (Vec<&'static str>, Vec<Value>) {
    let names = vec![
        "row_kind",
        "schema_exists",
        "readable",
        "table_name",
        "relkind",
        "bytes",
        "row_security",
        "column_name",
        "ordinal",
        "type_oid",
        "typmod",
        "category",
        "type_sql",
        "not_null",
        "unique_keys",
    ];
    let mut rows = vec![json!([
        "schema", "true", "true", null, null, null, null, null, null, null, null, null, null, null,
        null
    ])];
    for (table, count) in &world.source {
        let bytes = (count * 100).to_string();
        rows.push(json!([
            "table",
            null,
            "true",
            table,
            "r",
            bytes,
            "false",
            null,
            null,
            null,
            null,
            null,
            null,
            null,
            "[[\"id\"]]"
        ]));
        rows.push(json!([
            "column", null, "true", table, null, null, null, "id", "1", "20", "-1", "other",
            "bigint", "true", null
        ]));
    }
    (names, rows)
}
