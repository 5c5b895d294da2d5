//! Routes about the repository itself: its branches, their rules, and who may do what.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::activity;
use super::answer::{Answer, Page, Query, Refusal, ok};
use super::objects;
use super::world::{Permission, Shared, World};

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/repos/{}", world.full_name());
    Router::new()
        .route(&base, get(repository))
        .route(&format!("{base}/activity"), get(activity::list))
        .route(&format!("{base}/branches/{{*branch}}"), get(branch))
        .route(&format!("{base}/rules/branches/{{*branch}}"), get(rules))
        .route(
            &format!("{base}/collaborators/{{login}}/permission"),
            get(permission),
        )
        .route(
            "/orgs/{org}/teams/{slug}/memberships/{login}",
            get(membership),
        )
}

async fn repository(State(shared): State<Shared>) -> Answer {
    ok(objects::repository(&shared.lock()))
}

async fn branch(State(shared): State<Shared>, Path(name): Path<String>) -> Answer {
    let world = shared.lock();
    let head = world
        .git
        .branch(&name)
        .ok_or_else(|| Refusal::new(http::StatusCode::NOT_FOUND, "Branch not found"))?;
    let commit = world.git.info(&head)?;
    let api = format!("{}/branches/{name}", world.api());
    ok(json!({
        "name": name,
        "commit": objects::commit(&world, &commit),
        "_links": { "self": api, "html": format!("{}/tree/{name}", world.html()) },
        "protected": !world.rules.is_empty(),
        "protection": {
            "enabled": false,
            "required_status_checks": { "enforcement_level": "off", "contexts": [], "checks": [] },
        },
        "protection_url": format!("{api}/protection"),
    }))
}

/// The same rules for the default branch and every other one; a branch need not exist to have rules.
async fn rules(State(shared): State<Shared>, Path(name): Path<String>, query: Query) -> Answer {
    let world = shared.lock();
    let path = format!("rules/branches/{name}");
    Page::cut(&world, &path, &query, world.rules.clone()).answer()
}

async fn permission(State(shared): State<Shared>, Path(login): Path<String>) -> Answer {
    let world = shared.lock();
    let Some(user) = world.user(&login) else {
        let message = format!("{login} is not a user");
        return Err(Refusal::new(http::StatusCode::NOT_FOUND, message));
    };
    let role = user.permission;
    let mut account = objects::account(&world, &user.login);
    objects::extend(
        &mut account,
        json!({
            "role_name": role.role(),
            "permissions": {
                "admin": role >= Permission::Admin,
                "maintain": role >= Permission::Maintain,
                "push": role >= Permission::Write,
                "triage": role >= Permission::Triage,
                "pull": role >= Permission::Read,
            },
        }),
    );
    ok(json!({ "permission": role.legacy(), "role_name": role.role(), "user": account }))
}

async fn membership(
    State(shared): State<Shared>,
    Path((org, slug, login)): Path<(String, String, String)>,
) -> Answer {
    let world = shared.lock();
    let team = (org.to_ascii_lowercase(), slug.to_ascii_lowercase());
    let member = world
        .teams
        .get(&team)
        .is_some_and(|members| members.contains(&login.to_ascii_lowercase()));
    if !member {
        return Err(Refusal::not_found());
    }
    let url = format!("{}/orgs/{org}/teams/{slug}/memberships/{login}", world.url);
    let answer: Value = json!({ "url": url, "role": "member", "state": "active" });
    ok(answer)
}
