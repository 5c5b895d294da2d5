//! Routes about issues. Pull requests are listed among them, as GitHub does.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Fields, Number, Page, Query, Refusal, created, ok, since, text};
use super::objects;
use super::rest_comments::{reaction_counts, within_limit};
use super::world::{Issue, PullRequest, PullState, Shared, World, instant};

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/repos/{}/issues", world.full_name());
    Router::new()
        .route(&base, get(list).post(create))
        .route(&format!("{base}/{{number}}"), get(one).patch(edit))
}

async fn list(State(shared): State<Shared>, query: Query) -> Answer {
    let world = shared.lock();
    let asked = |name: &str| query.get(name).map(String::as_str);
    let state = asked("state").unwrap_or("open");
    let mut threads: Vec<Thread<'_>> = world.issues.values().map(Thread::Issue).collect();
    threads.extend(world.pulls.values().map(Thread::Pull));
    let since = since(&query);
    threads.retain(|thread| {
        let (_, updated) = thread.times();
        (state == "all" || (state == "open") == thread.open())
            && asked("creator").is_none_or(|login| thread.author().eq_ignore_ascii_case(login))
            && updated >= since
            && asked("labels").is_none_or(|labels| {
                labels
                    .split(',')
                    .all(|label| thread.labels().iter().any(|one| one == label))
            })
    });
    threads.sort_by_key(|thread| match (asked("sort"), thread.times()) {
        (Some("updated"), (_, updated)) => (updated, thread.number()),
        (_, (created, _)) => (created, thread.number()),
    });
    if asked("direction") != Some("asc") {
        threads.reverse();
    }
    let items = threads
        .into_iter()
        .map(|thread| match thread {
            Thread::Issue(issue) => object(&world, issue),
            Thread::Pull(pull) => of_pull(&world, pull),
        })
        .collect();
    Page::cut(&world, "issues", &query, items).answer()
}

/// What has a number and comments.
enum Thread<'w> {
    Issue(&'w Issue),
    Pull(&'w PullRequest),
}

impl Thread<'_> {
    fn number(&self) -> u64 {
        match self {
            Self::Issue(issue) => issue.number,
            Self::Pull(pull) => pull.number,
        }
    }

    fn open(&self) -> bool {
        match self {
            Self::Issue(issue) => issue.closed_at.is_none(),
            Self::Pull(pull) => pull.state == PullState::Open,
        }
    }

    fn author(&self) -> &str {
        match self {
            Self::Issue(issue) => &issue.author,
            Self::Pull(pull) => &pull.author,
        }
    }

    fn labels(&self) -> &[String] {
        match self {
            Self::Issue(issue) => &issue.labels,
            Self::Pull(_) => &[],
        }
    }

    fn times(&self) -> (i64, i64) {
        match self {
            Self::Issue(issue) => (issue.created_at, issue.updated_at),
            Self::Pull(pull) => (pull.created_at, pull.updated_at),
        }
    }
}

async fn one(State(shared): State<Shared>, Number(number): Number) -> Answer {
    let world = shared.lock();
    if let Some(issue) = world.issues.get(&number) {
        return ok(object(&world, issue));
    }
    let pull = world.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    ok(of_pull(&world, pull))
}

async fn create(State(shared): State<Shared>, Fields(fields): Fields) -> Answer {
    let mut world = shared.lock();
    let title = text(&fields, "title")?.filter(|title| !title.trim().is_empty());
    let Some(title) = title else {
        return Err(Refusal::validation(json!({
            "resource": "Issue", "code": "missing_field", "field": "title",
        })));
    };
    let body = text(&fields, "body")?;
    within_limit("Issue", body.as_deref().unwrap_or_default())?;
    let assignees = names(&fields, "assignees")?.unwrap_or_default();
    if let Some(unknown) = assignees.iter().find(|login| world.user(login).is_none()) {
        return Err(Refusal::validation(json!({
            "resource": "Issue", "code": "invalid", "field": "assignees", "value": unknown,
        })));
    }
    let at = world.tick();
    let issue = Issue {
        id: world.next_id(),
        number: world.next_number(),
        title,
        body,
        author: world.bot(),
        labels: names(&fields, "labels")?.unwrap_or_default(),
        assignees,
        closed_at: None,
        state_reason: None,
        created_at: at,
        updated_at: at,
    };
    let answer = object(&world, &issue);
    world.issues.insert(issue.number, issue);
    created(answer)
}

async fn edit(
    State(shared): State<Shared>,
    Number(number): Number,
    Fields(fields): Fields,
) -> Answer {
    let mut world = shared.lock();
    if world.pulls.contains_key(&number) {
        return Err(Refusal::new(
            http::StatusCode::NOT_IMPLEMENTED,
            "The simulator edits pull requests through its control handle only",
        ));
    }
    let (title, body, state) = (
        text(&fields, "title")?,
        text(&fields, "body")?,
        text(&fields, "state")?,
    );
    within_limit("Issue", body.as_deref().unwrap_or_default())?;
    let labels = names(&fields, "labels")?;
    let reason = text(&fields, "state_reason")?;
    let at = world.tick();
    let issue = world
        .issues
        .get_mut(&number)
        .ok_or_else(Refusal::not_found)?;
    match (state.as_deref(), issue.closed_at) {
        (Some("closed"), None) => {
            issue.closed_at = Some(at);
            issue.state_reason = Some(reason.unwrap_or_else(|| "completed".to_owned()));
        }
        (Some("open"), Some(_)) => {
            issue.closed_at = None;
            issue.state_reason = Some("reopened".to_owned());
        }
        (None | Some("open" | "closed"), _) => {}
        (Some(_), _) => {
            return Err(Refusal::validation(json!({
                "resource": "Issue", "code": "invalid", "field": "state",
            })));
        }
    }
    issue.title = title.unwrap_or_else(|| issue.title.clone());
    issue.body = body.or_else(|| issue.body.clone());
    issue.labels = labels.unwrap_or_else(|| issue.labels.clone());
    issue.updated_at = at;
    let issue = issue.clone();
    ok(object(&world, &issue))
}

/// Labels and assignees: texts, or (labels only) objects with a name.
fn names(fields: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let wrong =
        || Refusal::invalid_request(format!("For '{name}', an array of strings is needed."));
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let items = value.as_array().ok_or_else(wrong)?;
    let texts = items.iter().map(|item| {
        let text = item.as_str().or_else(|| item.get("name")?.as_str());
        text.map(str::to_owned).ok_or_else(wrong)
    });
    texts.collect::<Result<_, _>>().map(Some)
}

pub(super) fn object(world: &World, issue: &Issue) -> Value {
    let labels: Vec<Value> = issue.labels.iter().map(|name| label(world, name)).collect();
    let assignees: Vec<Value> = issue
        .assignees
        .iter()
        .map(|login| objects::account(world, login))
        .collect();
    let mut object = common(world, issue.number, issue.id, "issues", &issue.author);
    objects::extend(
        &mut object,
        json!({
            "node_id": objects::node_id("I", issue.id),
            "title": issue.title,
            "body": issue.body,
            "state": if issue.closed_at.is_some() { "closed" } else { "open" },
            "state_reason": issue.state_reason,
            "labels": labels,
            "assignee": assignees.first(),
            "assignees": assignees,
            "created_at": instant(issue.created_at),
            "updated_at": instant(issue.updated_at),
            "closed_at": issue.closed_at.map(instant),
        }),
    );
    if issue.author == world.bot() {
        let app = objects::app(world);
        objects::extend(&mut object, json!({ "performed_via_github_app": app }));
    }
    object
}

/// A pull request as an issue: `pull_request` is what tells it from one.
pub(super) fn of_pull(world: &World, pull: &PullRequest) -> Value {
    let (closed_at, merged_at) = match pull.state {
        PullState::Open => (None, None),
        PullState::Closed { at } => (Some(at), None),
        PullState::Merged { at, .. } => (Some(at), Some(at)),
    };
    let page = format!("{}/pull/{}", world.html(), pull.number);
    let mut object = common(world, pull.number, pull.id, "pull", &pull.author);
    objects::extend(
        &mut object,
        json!({
            "node_id": objects::node_id("PR", pull.id),
            "title": pull.title,
            "body": pull.body,
            "state": if closed_at.is_some() { "closed" } else { "open" },
            "state_reason": null,
            "labels": [],
            "assignee": null,
            "assignees": [],
            "created_at": instant(pull.created_at),
            "updated_at": instant(pull.updated_at),
            "closed_at": closed_at.map(instant),
            "draft": false,
            "pull_request": {
                "url": format!("{}/pulls/{}", world.api(), pull.number),
                "html_url": page,
                "diff_url": format!("{page}.diff"),
                "patch_url": format!("{page}.patch"),
                "merged_at": merged_at.map(instant),
            },
        }),
    );
    object
}

fn common(world: &World, number: u64, id: u64, kind: &str, author: &str) -> Value {
    let own = format!("{}/issues/{number}", world.api());
    let comments = world.comments.values().filter(|one| one.number == number);
    json!({
        "id": id,
        "number": number,
        "url": own,
        "repository_url": world.api(),
        "labels_url": format!("{own}/labels{{/name}}"),
        "comments_url": format!("{own}/comments"),
        "events_url": format!("{own}/events"),
        "timeline_url": format!("{own}/timeline"),
        "html_url": format!("{}/{kind}/{number}", world.html()),
        "user": objects::account(world, author),
        "author_association": objects::association(world, author),
        "milestone": null,
        "locked": false,
        "active_lock_reason": null,
        "comments": comments.count(),
        "reactions": reaction_counts(&own, &[]),
        "performed_via_github_app": null,
    })
}

/// A label is made by its first use; its id is that of its name.
fn label(world: &World, name: &str) -> Value {
    let id = name
        .bytes()
        .fold(7_u64, |id, byte| (id * 31 + u64::from(byte)) % 1_000_003);
    json!({
        "id": id,
        "node_id": objects::node_id("LA", id),
        "url": format!("{}/labels/{name}", world.api()),
        "name": name,
        "color": "ededed",
        "default": false,
        "description": null,
    })
}
