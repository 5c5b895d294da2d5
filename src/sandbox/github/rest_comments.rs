//! Routes about comments and the reactions to them.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Fields, Number, Page, Query, Refusal, created, ok, since, text};
use super::objects;
use super::webhook;
use super::world::{Comment, Reaction, Shared, World, instant};

/// More characters than this do not fit a comment or the body of an issue.
pub(super) const BODY_LIMIT: usize = 65_536;

const REACTIONS: &[&str] = &[
    "+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes",
];

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/repos/{}/issues", world.full_name());
    Router::new()
        .route(&format!("{base}/comments"), get(everywhere))
        .route(
            &format!("{base}/{{number}}/comments"),
            get(list).post(create),
        )
        .route(
            &format!("{base}/comments/{{id}}"),
            get(one).patch(edit).delete(remove),
        )
        .route(
            &format!("{base}/comments/{{id}}/reactions"),
            post(react).get(reactions),
        )
}

async fn list(State(shared): State<Shared>, Number(number): Number, query: Query) -> Answer {
    let world = shared.lock();
    if !world.has_thread(number) {
        return Err(Refusal::not_found());
    }
    let items = recent(&world, &query)
        .filter(|comment| comment.number == number)
        .map(|comment| object(&world, comment))
        .collect();
    Page::cut(&world, &format!("issues/{number}/comments"), &query, items).answer()
}

async fn everywhere(State(shared): State<Shared>, query: Query) -> Answer {
    let world = shared.lock();
    let mut comments: Vec<&Comment> = recent(&world, &query).collect();
    if query.get("sort").is_some_and(|sort| sort == "updated") {
        comments.sort_by_key(|comment| (comment.updated_at, comment.id));
    }
    // Without a sort, a direction counts for nothing.
    if query.contains_key("sort") && query.get("direction").is_none_or(|way| way == "desc") {
        comments.reverse();
    }
    let items = comments
        .into_iter()
        .map(|comment| object(&world, comment))
        .collect();
    Page::cut(&world, "issues/comments", &query, items).answer()
}

/// Comments in the order they were written, those not updated since the asked instant left out.
fn recent<'w>(world: &'w World, query: &Query) -> impl Iterator<Item = &'w Comment> + use<'w> {
    let since = since(query);
    let comments = world.comments.values();
    comments.filter(move |comment| comment.updated_at >= since)
}

async fn create(
    State(shared): State<Shared>,
    Number(number): Number,
    Fields(fields): Fields,
) -> Answer {
    let mut world = shared.lock();
    if !world.has_thread(number) {
        return Err(Refusal::not_found());
    }
    let body = body(&fields)?;
    let author = world.bot();
    let id = add(&mut world, number, author, body)?;
    let comment = world.comments.get(&id).ok_or_else(Refusal::not_found)?;
    created(object(&world, comment))
}

async fn one(State(shared): State<Shared>, Number(id): Number) -> Answer {
    let world = shared.lock();
    let comment = world.comments.get(&id).ok_or_else(Refusal::not_found)?;
    ok(object(&world, comment))
}

async fn edit(State(shared): State<Shared>, Number(id): Number, Fields(fields): Fields) -> Answer {
    let mut world = shared.lock();
    if !world.comments.contains_key(&id) {
        return Err(Refusal::not_found());
    }
    let body = body(&fields)?;
    let editor = world.bot();
    change(&mut world, id, &editor, body)?;
    let comment = world.comments.get(&id).ok_or_else(Refusal::not_found)?;
    ok(object(&world, comment))
}

async fn remove(State(shared): State<Shared>, Number(id): Number) -> Answer {
    let mut world = shared.lock();
    let comment = world.comments.remove(&id).ok_or_else(Refusal::not_found)?;
    let sender = world.bot();
    world.tick();
    webhook::issue_comment(&mut world, "deleted", &comment, &sender, json!({}))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn react(State(shared): State<Shared>, Number(id): Number, Fields(fields): Fields) -> Answer {
    let mut world = shared.lock();
    let login = world.bot();
    let content = text(&fields, "content")?.unwrap_or_default();
    if !world.comments.contains_key(&id) {
        return Err(Refusal::not_found());
    }
    if !REACTIONS.contains(&content.as_str()) {
        return Err(Refusal::validation(json!({
            "resource": "Reaction", "field": "content", "code": "invalid",
        })));
    }
    let (given, status) = give(&mut world, id, login, content)?;
    let answer = reaction(&world, &given);
    Ok((status, axum::Json(answer)).into_response())
}

/// Adds a reaction to a comment; one that is there stays as it is.
pub(super) fn give(
    world: &mut World,
    id: u64,
    login: String,
    content: String,
) -> anyhow::Result<(Reaction, StatusCode)> {
    if !REACTIONS.contains(&content.as_str()) {
        anyhow::bail!("there is no reaction {content}");
    }
    let Some(comment) = world.comments.get(&id) else {
        anyhow::bail!("there is no comment {id}");
    };
    let mut there = comment.reactions.iter();
    if let Some(there) = there.find(|one| one.login == login && one.content == content) {
        return Ok((there.clone(), StatusCode::OK));
    }
    let added = Reaction {
        id: world.next_id(),
        login,
        content,
        created_at: world.tick(),
    };
    if let Some(comment) = world.comments.get_mut(&id) {
        comment.reactions.push(added.clone());
    }
    Ok((added, StatusCode::CREATED))
}

async fn reactions(State(shared): State<Shared>, Number(id): Number, query: Query) -> Answer {
    let world = shared.lock();
    let comment = world.comments.get(&id).ok_or_else(Refusal::not_found)?;
    let items = comment
        .reactions
        .iter()
        .filter(|one| {
            query
                .get("content")
                .is_none_or(|asked| one.content == *asked)
        })
        .map(|one| reaction(&world, one))
        .collect();
    let path = format!("issues/comments/{id}/reactions");
    Page::cut(&world, &path, &query, items).answer()
}

fn body(fields: &Map<String, Value>) -> Result<String, Refusal> {
    let Some(body) = text(fields, "body")? else {
        return Err(Refusal::invalid_request("\"body\" wasn't supplied."));
    };
    if body.trim().is_empty() {
        return Err(Refusal::validation(json!({
            "resource": "IssueComment", "code": "unprocessable", "field": "data",
            "message": "Body cannot be blank",
        })));
    }
    within_limit("IssueComment", &body)?;
    Ok(body)
}

/// Refuses a body that is too long for `resource`.
pub(super) fn within_limit(resource: &str, body: &str) -> Result<(), Refusal> {
    if body.chars().count() <= BODY_LIMIT {
        return Ok(());
    }
    Err(Refusal::validation(json!({
        "resource": resource, "code": "unprocessable", "field": "data",
        "message": format!("Body is too long (maximum is {BODY_LIMIT} characters)"),
    })))
}

/// Writes a comment, by the App or a person, and tells the webhook.
pub(super) fn add(
    world: &mut World,
    number: u64,
    login: String,
    body: String,
) -> anyhow::Result<u64> {
    let (id, at) = (world.next_id(), world.tick());
    let comment = Comment {
        id,
        number,
        login: login.clone(),
        body,
        created_at: at,
        updated_at: at,
        reactions: Vec::new(),
    };
    world.touch_thread(number, at);
    world.comments.insert(id, comment.clone());
    webhook::issue_comment(world, "created", &comment, &login, json!({}))?;
    Ok(id)
}

/// Edits a comment; `updated_at` is what tells that it was.
pub(super) fn change(world: &mut World, id: u64, editor: &str, body: String) -> anyhow::Result<()> {
    let at = world.tick();
    let Some(comment) = world.comments.get_mut(&id) else {
        anyhow::bail!("there is no comment {id}");
    };
    let before = std::mem::replace(&mut comment.body, body);
    comment.updated_at = at;
    let comment = comment.clone();
    world.touch_thread(comment.number, at);
    let changes = json!({ "changes": { "body": { "from": before } } });
    webhook::issue_comment(world, "edited", &comment, editor, changes)
}

pub(super) fn object(world: &World, comment: &Comment) -> Value {
    let id = comment.id;
    let own = format!("{}/issues/comments/{id}", world.api());
    let kind = if world.pulls.contains_key(&comment.number) {
        "pull"
    } else {
        "issues"
    };
    let page = format!("{}/{kind}/{}", world.html(), comment.number);
    let by_app = comment.login == world.bot();
    json!({
        "id": id,
        "node_id": objects::node_id("IC", id),
        "url": own,
        "html_url": format!("{page}#issuecomment-{id}"),
        "issue_url": format!("{}/issues/{}", world.api(), comment.number),
        "user": objects::account(world, &comment.login),
        "author_association": objects::association(world, &comment.login),
        "body": comment.body,
        "created_at": instant(comment.created_at),
        "updated_at": instant(comment.updated_at),
        "reactions": reaction_counts(&own, &comment.reactions),
        "performed_via_github_app": by_app.then(|| objects::app(world)),
    })
}

/// How often each reaction was given to what `url` names.
pub(super) fn reaction_counts(url: &str, reactions: &[Reaction]) -> Value {
    let mut counts = json!({
        "url": format!("{url}/reactions"),
        "total_count": reactions.len(),
    });
    for content in REACTIONS {
        let such = reactions.iter().filter(|one| one.content == *content);
        objects::extend(&mut counts, json!({ *content: such.count() }));
    }
    counts
}

fn reaction(world: &World, reaction: &Reaction) -> Value {
    json!({
        "id": reaction.id,
        "node_id": objects::node_id("REA", reaction.id),
        "user": objects::account(world, &reaction.login),
        "content": reaction.content,
        "created_at": instant(reaction.created_at),
    })
}
