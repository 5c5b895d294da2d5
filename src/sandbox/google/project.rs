//! Resource Manager: the policies of projects.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use super::Shared;
use super::policy::{self, GetRequest, Guard, SetRequest};
use super::reply::{Answer, Kind, Refusal, parse};

/// `projects/{project}:getIamPolicy` and `:setIamPolicy`.
pub(super) async fn verb(
    State(world): State<Shared>,
    Path(target): Path<String>,
    body: Bytes,
) -> Answer {
    // The last colon: a domain-scoped project has one in its name.
    let (project, verb) = target.rsplit_once(':').unwrap_or((&target, ""));
    let mut world = world.lock();
    let Some(project) = world.project(project) else {
        return Err(Refusal::new(
            Kind::Denied,
            "The caller does not have permission",
        ));
    };
    let resource = format!("projects/{project}");
    match verb {
        "getIamPolicy" => {
            let request: GetRequest = parse(&body)?;
            policy::read(&world, &resource, &request).map(Json)
        }
        "setIamPolicy" => {
            let request: SetRequest = parse(&body)?;
            policy::write(&mut world, &resource, request, Guard::JobUserOnly).map(Json)
        }
        _ => Err(Refusal::new(Kind::NotFound, "Method not found.")),
    }
}
