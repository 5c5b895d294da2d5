//! BigQuery datasets: their metadata and access lists, no tables but a count of them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::access;
use super::reply::{Answer, Kind, Refusal, page, parse};
use super::world::World;

/// Fields that Google makes, whatever is sent.
const MADE: [&str; 9] = [
    "access",
    "creationTime",
    "datasetReference",
    "etag",
    "id",
    "kind",
    "lastModifiedTime",
    "selfLink",
    "type",
];

#[derive(Debug, Clone)]
pub(super) struct Dataset {
    project: String,
    id: String,
    pub(super) access: Vec<Value>,
    /// What the caller chose: location, labels, texts, expirations.
    chosen: Map<String, Value>,
    etag: String,
    created: String,
    modified: String,
    tables: usize,
}

impl Dataset {
    /// The whole resource, conditions of the access list as this version shows them.
    pub(super) fn view(&self, version: u64) -> Value {
        let (project, id) = (&self.project, &self.id);
        let mut body = self.chosen.clone();
        for (key, value) in [
            ("access", json!(access::view(&self.access, version))),
            ("creationTime", json!(self.created)),
            (
                "datasetReference",
                json!({"datasetId": id, "projectId": project}),
            ),
            ("etag", json!(self.etag)),
            ("id", json!(format!("{project}:{id}"))),
            ("kind", json!("bigquery#dataset")),
            ("lastModifiedTime", json!(self.modified)),
            (
                "selfLink",
                json!(format!(
                    "https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets/{id}"
                )),
            ),
            ("type", json!("DEFAULT")),
        ] {
            body.insert(key.into(), value);
        }
        Value::Object(body)
    }
}

impl World {
    pub(super) fn dataset(&self, project: &str, id: &str) -> Option<&Dataset> {
        self.datasets.get(&(project.to_owned(), id.to_owned()))
    }

    fn dataset_mut(&mut self, project: &str, id: &str) -> Option<&mut Dataset> {
        self.datasets.get_mut(&(project.to_owned(), id.to_owned()))
    }

    pub(super) fn set_dataset_access(&mut self, project: &str, id: &str, access: Vec<Value>) {
        let etag = self.etag();
        if let Some(dataset) = self.dataset_mut(project, id) {
            dataset.access = access;
            dataset.etag = etag;
        }
    }

    pub(super) fn set_dataset_tables(&mut self, project: &str, id: &str, tables: usize) {
        if let Some(dataset) = self.dataset_mut(project, id) {
            dataset.tables = tables;
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params {
    access_policy_version: Option<u64>,
    delete_contents: Option<bool>,
    max_results: Option<usize>,
    page_token: Option<String>,
}

impl Params {
    fn version(&self) -> Result<u64, Refusal> {
        match self.access_policy_version.unwrap_or(0) {
            version @ (0 | 1 | 3) => Ok(version),
            version => Err(invalid(format!("Invalid access policy version: {version}"))),
        }
    }
}

pub(super) async fn insert(
    State(world): State<Shared>,
    Path(project): Path<String>,
    Query(params): Query<Params>,
    body: Bytes,
) -> Answer {
    let mut world = world.lock();
    let project = enter(&world, "create", &project)?;
    let mut body: Map<String, Value> = parse(&body)?;
    let reference = |key: &str| {
        body.get("datasetReference")
            .and_then(|reference| reference.get(key))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (id, named) = (reference("datasetId"), reference("projectId"));
    check_id(&id)?;
    if !named.is_empty() && named != project {
        return Err(invalid(format!(
            "Value for projectId in content does not agree with value in request: {named}"
        )));
    }
    let key = (project, id);
    let full = format!("{}:{}", key.0, key.1);
    if world.datasets.contains_key(&key) {
        return Err(Refusal::new(
            Kind::BigQueryDuplicate,
            format!("Already Exists: Dataset {full}"),
        ));
    }
    let creator = world.options.bot_email.clone();
    let access = match body.get("access").and_then(Value::as_array) {
        // On this wire an empty list and no list are the same.
        None => access::default_list(&creator),
        Some(list) if list.is_empty() => access::default_list(&creator),
        Some(list) => {
            let mut list = access::accept(&mut world, &full, list, params.version()?)?;
            // A dataset never goes without an owner. Who becomes it is a guess, on the unwelcome side.
            if !access::has_owner(&list) {
                list.push(json!({"role": "OWNER", "userByEmail": creator}));
            }
            list
        }
    };
    body.retain(|field, value| !MADE.contains(&field.as_str()) && !value.is_null());
    check_labels(&body)?;
    let location = body.get("location").and_then(Value::as_str).unwrap_or("US");
    let location = canonical_location(location);
    body.insert("location".into(), json!(location));
    let created = world.time();
    let mut dataset = Dataset {
        project: key.0.clone(),
        id: key.1.clone(),
        access,
        chosen: body,
        etag: world.etag(),
        modified: created.clone(),
        created,
        tables: 0,
    };
    let answer = dataset.view(3);
    // Shown by every later read, but not in the answer to the insert: as recorded.
    dataset
        .chosen
        .entry("maxTimeTravelHours")
        .or_insert_with(|| json!("168"));
    world.datasets.insert(key, dataset);
    Ok(Json(answer))
}

pub(super) async fn get(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Answer {
    let world = world.lock();
    let project = enter(&world, "get", &project)?;
    let version = params.version()?;
    match world.dataset(&project, &id) {
        Some(dataset) => Ok(Json(dataset.view(version))),
        None => Err(unknown(&project, &id)),
    }
}

pub(super) async fn patch(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let mut world = world.lock();
    let project = enter(&world, "update", &project)?;
    let version = params.version()?;
    let Some(old) = world.dataset(&project, &id).cloned() else {
        return Err(unknown(&project, &id));
    };
    if let Some(wanted) = headers.get(IF_MATCH) {
        let wanted = wanted.to_str().unwrap_or("").trim_matches('"');
        if wanted != "*" && wanted != old.etag {
            return Err(Refusal::new(
                Kind::BigQueryStale,
                "Precondition check failed.",
            ));
        }
    }
    let mut body: Map<String, Value> = parse(&body)?;
    let mut new = old.clone();
    if let Some(list) = body.get("access").and_then(Value::as_array) {
        if version < 3 && access::is_conditional(&old.access) {
            return Err(invalid(
                "A dataset with conditional access entries needs access policy version 3.",
            ));
        }
        new.access = access::accept(&mut world, &format!("{project}:{id}"), list, version)?;
        if !access::has_owner(&new.access) {
            return Err(invalid("Cannot remove all owners"));
        }
    }
    if let Some(location) = body.get("location").and_then(Value::as_str)
        && Some(&json!(canonical_location(location))) != old.chosen.get("location")
    {
        return Err(invalid("The location of a dataset cannot be changed."));
    }
    body.retain(|field, _| !MADE.contains(&field.as_str()) && field != "location");
    merge(&mut new.chosen, body);
    check_labels(&new.chosen)?;
    new.etag = world.etag();
    new.modified = world.time();
    let answer = new.view(version);
    world.datasets.insert((project, id), new);
    Ok(Json(answer))
}

pub(super) async fn list(
    State(world): State<Shared>,
    Path(project): Path<String>,
    Query(params): Query<Params>,
) -> Answer {
    let world = world.lock();
    let project = enter(&world, "list", &project)?;
    let all = world
        .datasets
        .values()
        .filter(|dataset| dataset.project == project)
        .map(|dataset| {
            let mut short = dataset.view(0);
            if let Some(fields) = short.as_object_mut() {
                fields.retain(|field, _| {
                    matches!(
                        field.as_str(),
                        "kind" | "id" | "datasetReference" | "labels" | "friendlyName" | "location"
                    )
                });
            }
            (dataset.id.clone(), short)
        })
        .collect();
    let size = params.max_results.unwrap_or(50);
    let (datasets, next) = page(all, params.page_token.as_deref(), size);
    let mut answer = json!({"kind": "bigquery#datasetList", "datasets": datasets});
    if let (Some(next), Some(fields)) = (next, answer.as_object_mut()) {
        fields.insert("nextPageToken".into(), json!(next));
    }
    Ok(Json(answer))
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path((project, id)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Result<StatusCode, Refusal> {
    let mut world = world.lock();
    let project = enter(&world, "delete", &project)?;
    let Some(dataset) = world.dataset(&project, &id) else {
        return Err(unknown(&project, &id));
    };
    if dataset.tables > 0 && params.delete_contents != Some(true) {
        return Err(Refusal::new(
            Kind::BigQueryInUse,
            format!("Dataset {project}:{id} is still in use"),
        ));
    }
    world.datasets.remove(&(project, id));
    Ok(StatusCode::NO_CONTENT)
}

fn enter(world: &World, verb: &str, project: &str) -> Result<String, Refusal> {
    world.project(project).ok_or_else(|| {
        Refusal::new(
            Kind::BigQueryDenied,
            format!(
                "Access Denied: Project {project}: User does not have bigquery.datasets.{verb} permission in project {project}."
            ),
        )
    })
}

fn unknown(project: &str, id: &str) -> Refusal {
    Refusal::new(Kind::NotFound, format!("Not found: Dataset {project}:{id}"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Kind::BigQueryInvalid, message)
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if (1..=1024).contains(&id.len()) && id.chars().all(legal) {
        return Ok(());
    }
    Err(invalid(format!(
        "Invalid dataset ID {id:?}. Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long."
    )))
}

fn check_labels(chosen: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(labels) = chosen.get("labels").and_then(Value::as_object) else {
        return Ok(());
    };
    let legal = |text: &str| {
        text.chars().count() <= 63
            && text
                .chars()
                .all(|c| c == '_' || c == '-' || (c.is_alphanumeric() && !c.is_uppercase()))
    };
    for (key, value) in labels {
        let value = value.as_str().unwrap_or("?");
        if !key.starts_with(char::is_alphabetic) || !legal(key) || !legal(value) {
            return Err(invalid(format!("Label {key:?}: {value:?} is not legal.")));
        }
    }
    Ok(())
}

/// Multi-regions in capitals, regions in small letters, however they were written.
fn canonical_location(location: &str) -> String {
    if location.contains('-') {
        location.to_ascii_lowercase()
    } else {
        location.to_ascii_uppercase()
    }
}

/// A JSON merge patch, as `PATCH` is one: objects merge, null removes, all else replaces.
fn merge(into: &mut Map<String, Value>, change: Map<String, Value>) {
    for (key, value) in change {
        match (into.get_mut(&key), value) {
            (_, Value::Null) => {
                into.remove(&key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
