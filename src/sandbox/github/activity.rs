//! What happened to branches: every move of one is kept, and listed newest first.
//!
//! Left out: the filter by a period.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::answer::{Answer, Query};
use super::objects;
use super::repository::Person;
use super::webhook::{self, NOWHERE};
use super::world::{Shared, World, instant};

/// One move of a branch.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    before: String,
    after: String,
    reference: String,
    kind: &'static str,
    login: String,
    at: i64,
}

/// How a branch came to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Push,
    Merge,
    MergeQueue,
}

/// Keeps that a branch moved, which is told to the webhook as a push whatever moved it.
/// [`NOWHERE`] stands for one that was made or removed.
pub(super) fn moved(
    world: &mut World,
    way: Way,
    reference: &str,
    before: &str,
    after: &str,
    by: &Person,
) -> anyhow::Result<()> {
    let kind = match way {
        Way::Merge => "pr_merge",
        Way::MergeQueue => "merge_queue_merge",
        Way::Push if before == NOWHERE => "branch_creation",
        Way::Push if after == NOWHERE => "branch_deletion",
        Way::Push if world.git.contains(after, before) => "push",
        Way::Push => "force_push",
    };
    let at = world.now();
    world.activity.push(Activity {
        before: before.to_owned(),
        after: after.to_owned(),
        reference: reference.to_owned(),
        kind,
        login: by.login.clone(),
        at,
    });
    webhook::push(world, reference, before, after, by)
}

/// Pages are not counted here: each names the last move that it shows as a cursor.
pub(super) async fn list(State(shared): State<Shared>, query: Query) -> Answer {
    let world = shared.lock();
    let wanted =
        |name: &str, is: &dyn Fn(&str) -> bool| query.get(name).is_none_or(|asked| is(asked));
    let mut rows: Vec<(usize, &Activity)> = world
        .activity
        .iter()
        .enumerate()
        .filter(|(_, one)| {
            wanted("ref", &|asked| {
                let branch = asked.strip_prefix("refs/heads/").unwrap_or(asked);
                one.reference.strip_prefix("refs/heads/") == Some(branch)
            }) && wanted("actor", &|asked| one.login.eq_ignore_ascii_case(asked))
                && wanted("activity_type", &|asked| one.kind == asked)
        })
        .collect();
    if query.get("direction").is_none_or(|way| way == "desc") {
        rows.reverse();
    }
    let place = |name: &str| {
        let cursor = query.get(name)?.strip_prefix("cursor:")?;
        let number = cursor.parse::<usize>().ok()?;
        rows.iter().position(|(index, _)| *index == number)
    };
    let per_page = query.get("per_page").and_then(|text| text.parse().ok());
    let per_page: usize = per_page.unwrap_or(30).clamp(1, 100);
    let from = match (place("after"), place("before")) {
        (Some(after), _) => after + 1,
        (None, Some(before)) => before.saturating_sub(per_page),
        (None, None) => 0,
    };
    let page: Vec<(usize, &Activity)> = rows.iter().skip(from).take(per_page).copied().collect();
    let mut links = Vec::new();
    let mut link = |name: &str, edge: Option<&(usize, &Activity)>, relation: &str| {
        let mut pairs = query.0.clone();
        pairs.remove("after");
        pairs.remove("before");
        pairs.extend(edge.map(|(index, _)| (name.to_owned(), format!("cursor:{index}"))));
        let address = format!("{}/activity", world.api());
        if let Ok(url) = reqwest::Url::parse_with_params(&address, pairs) {
            links.push(format!("<{url}>; rel=\"{relation}\""));
        }
    };
    if from + page.len() < rows.len() {
        link("after", page.last(), "next");
    }
    if from > 0 {
        link("before", page.first(), "prev");
    }
    let items = page.iter().map(|(index, one)| object(&world, *index, one));
    let mut response = axum::Json(Value::Array(items.collect())).into_response();
    if let (false, Ok(links)) = (links.is_empty(), HeaderValue::from_str(&links.join(", "))) {
        response.headers_mut().insert(header::LINK, links);
    }
    Ok(response)
}

/// Numbered on their own: a move takes no id away from what is named by one elsewhere.
fn object(world: &World, index: usize, one: &Activity) -> Value {
    let id = 1 + u64::try_from(index).unwrap_or(u64::MAX - 1);
    json!({
        "id": id,
        "node_id": objects::node_id("PSH", id),
        "before": one.before,
        "after": one.after,
        "ref": one.reference,
        "timestamp": instant(one.at),
        "activity_type": one.kind,
        "actor": objects::account(world, &one.login),
    })
}
