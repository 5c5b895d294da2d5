//! Routes about check runs, and what a check run looks like.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use serde_json::{Value, json};

use super::answer::{Answer, Fields, Number, Page, Query, Refusal, created, ok, text};
use super::check_fields::set;
use super::objects;
use super::world::{CheckRun, PullState, Shared, World, instant};

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/repos/{}", world.full_name());
    Router::new()
        .route(&format!("{base}/check-runs"), post(create))
        .route(&format!("{base}/check-runs/{{id}}"), patch(update).get(one))
        .route(
            &format!("{base}/check-runs/{{id}}/annotations"),
            get(annotations),
        )
        .route(
            &format!("{base}/commits/{{sha}}/check-runs"),
            get(of_commit),
        )
}

async fn create(State(shared): State<Shared>, Fields(fields): Fields) -> Answer {
    let mut world = shared.lock();
    let need = |name: &str| {
        text(&fields, name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::invalid_request(format!("\"{name}\" wasn't supplied.")))
    };
    let (name, head_sha) = (need("name")?, need("head_sha")?);
    if !is_commit(&world, &head_sha) {
        let message = format!("No commit found for SHA: {head_sha}");
        return Err(Refusal::unprocessable(message));
    }
    let mut run = CheckRun {
        id: 0,
        name,
        head_sha,
        external_id: None,
        details_url: Some(format!("{}/apps/{}", world.url, world.options.app_slug)),
        status: "queued".to_owned(),
        conclusion: None,
        started_at: None,
        completed_at: None,
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
        actions: Vec::new(),
    };
    set(&mut run, &fields, &["title", "summary"])?;
    let at = world.tick();
    run.id = world.next_id();
    finish(&mut run, at);
    let answer = object(&world, &run);
    world.check_runs.insert(run.id, run);
    created(answer)
}

async fn update(
    State(shared): State<Shared>,
    Number(id): Number,
    Fields(fields): Fields,
) -> Answer {
    let mut world = shared.lock();
    let mut run = world
        .check_runs
        .get(&id)
        .cloned()
        .ok_or_else(Refusal::not_found)?;
    if let Some(name) = text(&fields, "name")? {
        run.name = name;
    }
    // Sent as a copy, so that a refused request leaves nothing half set.
    set(&mut run, &fields, &["summary"])?;
    let at = world.tick();
    finish(&mut run, at);
    let answer = object(&world, &run);
    world.check_runs.insert(id, run);
    ok(answer)
}

async fn one(State(shared): State<Shared>, Number(id): Number) -> Answer {
    let world = shared.lock();
    let run = world.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
    ok(object(&world, run))
}

async fn annotations(State(shared): State<Shared>, Number(id): Number, query: Query) -> Answer {
    let world = shared.lock();
    let run = world.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
    let items = run
        .annotations
        .iter()
        .map(|sent| {
            let path = sent.get("path").and_then(Value::as_str).unwrap_or_default();
            let mut full = json!({
                "start_column": null,
                "end_column": null,
                "title": null,
                "raw_details": null,
                "blob_href": format!("{}/blob/{}/{path}", world.html(), run.head_sha),
            });
            objects::extend(&mut full, Value::Object(sent.clone()));
            full
        })
        .collect();
    Page::cut(
        &world,
        &format!("check-runs/{id}/annotations"),
        &query,
        items,
    )
    .answer()
}

async fn of_commit(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    query: Query,
) -> Answer {
    let world = shared.lock();
    let Some(sha) = world.git.resolve(&reference) else {
        let message = format!("No commit found for SHA: {reference}");
        return Err(Refusal::unprocessable(message));
    };
    let asked = |name: &str, own: &str| query.get(name).is_none_or(|asked| asked == own);
    let own_app = world.options.app_id.to_string();
    let mut runs: Vec<&CheckRun> = world
        .check_runs
        .values()
        .filter(|run| run.head_sha == sha)
        .filter(|run| asked("check_name", &run.name) && asked("status", &run.status))
        .filter(|_| asked("app_id", &own_app))
        .collect();
    if query.get("filter").is_none_or(|filter| filter == "latest") {
        // One App only, so the newest of a name is the newest of name and App.
        let newest: BTreeMap<&str, &CheckRun> =
            runs.iter().map(|run| (run.name.as_str(), *run)).collect();
        runs.retain(|run| {
            newest
                .get(run.name.as_str())
                .is_some_and(|one| one.id == run.id)
        });
    }
    runs.reverse();
    let items = runs.into_iter().map(|run| object(&world, run)).collect();
    let path = format!("commits/{reference}/check-runs");
    Page::cut(&world, &path, &query, items).answer_counted("check_runs")
}

fn is_commit(world: &World, sha: &str) -> bool {
    world.git.resolve(sha).is_some_and(|found| found == sha)
}

/// A run that began or ended without saying when did so at `at`.
fn finish(run: &mut CheckRun, at: i64) {
    if run.started_at.is_none() {
        run.started_at = Some(instant(at));
    }
    if run.conclusion.is_some() && run.completed_at.is_none() {
        run.completed_at = Some(instant(at));
    }
}

/// Open pull requests with the commit at their head; those from forks are left out, as GitHub does.
fn pulls(world: &World, sha: &str) -> Vec<Value> {
    let repo = json!({
        "id": objects::REPOSITORY_ID,
        "url": world.api(),
        "name": world.options.name,
    });
    world
        .pulls
        .values()
        .filter(|pull| pull.state == PullState::Open && pull.head_sha == sha)
        .filter(|pull| pull.head_owner == world.options.owner)
        .map(|pull| {
            json!({
                "id": pull.id,
                "number": pull.number,
                "url": format!("{}/pulls/{}", world.api(), pull.number),
                "head": { "ref": pull.head_ref, "sha": pull.head_sha, "repo": repo },
                "base": { "ref": pull.base_ref, "sha": pull.base_sha, "repo": repo },
            })
        })
        .collect()
}

/// One suite per commit, known by the first run on it.
fn suite_id(world: &World, run: &CheckRun) -> u64 {
    let mut runs = world.check_runs.values();
    let first = runs.find(|one| one.head_sha == run.head_sha);
    first.map_or(run.id, |first| first.id) + 1_000_000
}

/// The suite as webhooks carry it; the API gives its id only.
pub(super) fn suite(world: &World, run: &CheckRun) -> Value {
    let id = suite_id(world, run);
    let pulls = pulls(world, &run.head_sha);
    let branch = pulls.first().and_then(|pull| pull.pointer("/head/ref"));
    json!({
        "id": id,
        "node_id": objects::node_id("CS", id),
        "head_branch": branch,
        "head_sha": run.head_sha,
        "status": run.status,
        "conclusion": run.conclusion,
        "url": format!("{}/check-suites/{id}", world.api()),
        "before": null,
        "after": run.head_sha,
        "pull_requests": pulls,
        "app": objects::app(world),
        "created_at": run.started_at,
        "updated_at": run.started_at,
    })
}

pub(super) fn object(world: &World, run: &CheckRun) -> Value {
    let own = format!("{}/check-runs/{}", world.api(), run.id);
    json!({
        "id": run.id,
        "node_id": objects::node_id("CR", run.id),
        "name": run.name,
        "head_sha": run.head_sha,
        "external_id": run.external_id.as_deref().unwrap_or_default(),
        "url": own,
        "html_url": format!("{}/runs/{}", world.html(), run.id),
        "details_url": run.details_url,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": run.annotations.len(),
            "annotations_url": format!("{own}/annotations"),
        },
        "check_suite": { "id": suite_id(world, run) },
        "app": objects::app(world),
        "pull_requests": pulls(world, &run.head_sha),
    })
}
