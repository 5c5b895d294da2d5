//! BigQuery connections: read, and their policies. They are made through the control handle only.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::Shared;
use super::policy::{self, GetRequest, Guard, SetRequest};
use super::reply::{Answer, Kind, Refusal, parse};
use super::world::{World, canonical};

#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) instance: String,
    pub(super) database: String,
    created: String,
    modified: String,
}

impl World {
    pub(super) fn add_connection(
        &mut self,
        project: &str,
        location: &str,
        id: &str,
        instance: &str,
        database: &str,
    ) {
        let created = self.time();
        self.connections.insert(
            resource(project, location, id),
            Connection {
                instance: instance.to_owned(),
                database: database.to_owned(),
                modified: created.clone(),
                created,
            },
        );
    }

    pub(super) fn repoint_connection(
        &mut self,
        project: &str,
        location: &str,
        id: &str,
        database: &str,
    ) {
        let modified = self.time();
        if let Some(connection) = self.connections.get_mut(&resource(project, location, id)) {
            database.clone_into(&mut connection.database);
            connection.modified = modified;
        }
    }
}

fn resource(project: &str, location: &str, id: &str) -> String {
    canonical(&format!(
        "projects/{project}/locations/{location}/connections/{id}"
    ))
}

type Target = Path<(String, String, String)>;

pub(super) async fn get(
    State(world): State<Shared>,
    Path((project, location, id)): Target,
    RawQuery(query): RawQuery,
) -> Answer {
    let world = world.lock();
    let (project, resource) = find(&world, "get", &project, &location, &id)?;
    let Some(connection) = world.connections.get(&resource) else {
        return Err(unknown(&resource));
    };
    let number = world.project_number(&project);
    // Google's own client asks for enums as numbers, and the recorded traffic shows them so.
    let query = query.unwrap_or_default();
    let numbers = query.contains("enum-encoding=int") || query.contains("enum-encoding%3Dint");
    let kind = if numbers { json!(1) } else { json!("POSTGRES") };
    Ok(Json(json!({
        "cloudSql": {
            "database": connection.database,
            "instanceId": connection.instance,
            "serviceAccountId":
                format!("service-{number}@gcp-sa-bigqueryconnection.iam.gserviceaccount.com"),
            "type": kind,
        },
        "creationTime": connection.created,
        "hasCredential": true,
        "lastModifiedTime": connection.modified,
        // The number, not the id: as recorded.
        "name": resource.replacen(&project, &number, 1),
    })))
}

/// `connections/{connection}:getIamPolicy` and `:setIamPolicy`.
pub(super) async fn verb(
    State(world): State<Shared>,
    Path((project, location, target)): Target,
    body: Bytes,
) -> Answer {
    let (id, verb) = target.rsplit_once(':').unwrap_or((&target, ""));
    let mut world = world.lock();
    let (_, resource) = find(&world, verb, &project, &location, id)?;
    if !world.connections.contains_key(&resource) {
        return Err(unknown(&resource));
    }
    let answer: Result<Value, Refusal> = match verb {
        "getIamPolicy" => {
            let request: GetRequest = parse(&body)?;
            policy::read(&world, &resource, &request)
        }
        "setIamPolicy" => {
            let request: SetRequest = parse(&body)?;
            policy::write(&mut world, &resource, request, Guard::None)
        }
        _ => Err(Refusal::new(Kind::NotFound, "Method not found.")),
    };
    answer.map(Json)
}

fn find(
    world: &World,
    verb: &str,
    project: &str,
    location: &str,
    id: &str,
) -> Result<(String, String), Refusal> {
    match world.project(project) {
        Some(project) => {
            let resource = resource(&project, location, id);
            Ok((project, resource))
        }
        None => Err(Refusal::new(
            Kind::Denied,
            format!(
                "Permission 'bigquery.connections.{verb}' denied on resource (or it may not exist)."
            ),
        )),
    }
}

fn unknown(resource: &str) -> Refusal {
    Refusal::new(Kind::NotFound, format!("Not found: Connection {resource}"))
}
