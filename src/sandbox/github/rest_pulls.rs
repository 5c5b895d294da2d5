//! Routes about pull requests: lists, one, its reviews and files, and those of a commit.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::answer::{Answer, Number, Page, Query, Refusal, ok};
use super::objects;
use super::repository::MAIN;
use super::world::{PullRequest, PullState, Review, Shared, World, instant};

pub(super) fn routes(world: &World) -> Router<Shared> {
    let base = format!("/repos/{}", world.full_name());
    Router::new()
        .route(&format!("{base}/pulls"), get(list))
        .route(&format!("{base}/pulls/{{number}}"), get(one))
        .route(&format!("{base}/pulls/{{number}}/reviews"), get(reviews))
        .route(&format!("{base}/pulls/{{number}}/files"), get(files))
        .route(&format!("{base}/commits/{{sha}}/pulls"), get(of_commit))
}

async fn list(State(shared): State<Shared>, query: Query) -> Answer {
    let world = shared.lock();
    let asked = |name: &str| query.get(name).map(String::as_str);
    let state = asked("state").unwrap_or("open");
    let sort = asked("sort").unwrap_or("created");
    let ascending = match asked("direction") {
        Some(direction) => direction == "asc",
        None => sort != "created",
    };
    let mut pulls: Vec<&PullRequest> = world
        .pulls
        .values()
        .filter(|pull| state == "all" || (state == "open") == (pull.state == PullState::Open))
        .filter(|pull| asked("base").is_none_or(|base| pull.base_ref == base))
        .filter(|pull| {
            asked("head")
                .is_none_or(|head| format!("{}:{}", pull.head_owner, pull.head_ref) == head)
        })
        .collect();
    pulls.sort_by_key(|pull| match sort {
        "updated" => (pull.updated_at, pull.number),
        _ => (pull.created_at, pull.number),
    });
    if !ascending {
        pulls.reverse();
    }
    let items = pulls.into_iter().map(|pull| simple(&world, pull)).collect();
    Page::cut(&world, "pulls", &query, items).answer()
}

async fn one(State(shared): State<Shared>, Number(number): Number) -> Answer {
    let world = shared.lock();
    let pull = world.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    ok(full(&world, pull)?)
}

async fn reviews(State(shared): State<Shared>, Number(number): Number, query: Query) -> Answer {
    let world = shared.lock();
    let pull = world.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    let items = pull
        .reviews
        .iter()
        .map(|one| review(&world, pull, one))
        .collect();
    Page::cut(&world, &format!("pulls/{number}/reviews"), &query, items).answer()
}

async fn files(State(shared): State<Shared>, Number(number): Number, query: Query) -> Answer {
    let world = shared.lock();
    let pull = world.pulls.get(&number).ok_or_else(Refusal::not_found)?;
    let (api, html, sha) = (world.api(), world.html(), &pull.head_sha);
    let changed = world.git.changed_files(&pull.base_sha, sha)?;
    let items = changed
        .into_iter()
        .take(3000)
        .map(|file| {
            let path = &file.path;
            let mut item = json!({
                "sha": file.blob,
                "filename": path,
                "status": file.status,
                "additions": file.additions,
                "deletions": file.deletions,
                "changes": file.additions + file.deletions,
                "blob_url": format!("{html}/blob/{sha}/{path}"),
                "raw_url": format!("{html}/raw/{sha}/{path}"),
                "contents_url": format!("{api}/contents/{path}?ref={sha}"),
            });
            if let Some(patch) = file.patch {
                objects::extend(&mut item, json!({ "patch": patch }));
            }
            if let Some(previous) = file.previous {
                objects::extend(&mut item, json!({ "previous_filename": previous }));
            }
            item
        })
        .collect();
    Page::cut(&world, &format!("pulls/{number}/files"), &query, items).answer()
}

/// On the default branch: the merged pull request that brought the commit. Elsewhere: all that carry it.
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
    let main = world.git.branch(MAIN).unwrap_or_default();
    let landed = world.git.contains(&main, &sha);
    let carries = |pull: &PullRequest| match &pull.state {
        PullState::Merged { sha: merge, .. } => {
            let own = |parent: &String| !world.git.contains(parent, &sha);
            *merge == sha
                || world.git.contains(merge, &sha)
                    && world
                        .git
                        .info(merge)
                        .is_ok_and(|merge| merge.parents.first().is_some_and(own))
        }
        _ => !landed && world.git.contains(&pull.head_sha, &sha),
    };
    let items = world
        .pulls
        .values()
        .filter(|pull| carries(pull))
        .map(|pull| simple(&world, pull))
        .collect();
    Page::cut(&world, &format!("commits/{reference}/pulls"), &query, items).answer()
}

/// A pull request as lists show it: without `merged`, `mergeable` and the counts.
pub(super) fn simple(world: &World, pull: &PullRequest) -> Value {
    let (api, html, number) = (world.api(), world.html(), pull.number);
    let own = format!("{api}/pulls/{number}");
    let page = format!("{html}/pull/{number}");
    let issue = format!("{api}/issues/{number}");
    let statuses = format!("{api}/statuses/{}", pull.head_sha);
    let (closed_at, merged_at, merge_commit) = match &pull.state {
        PullState::Open => (None, None, pull.test_merge.clone()),
        PullState::Closed { at } => (Some(*at), None, pull.test_merge.clone()),
        PullState::Merged { at, sha, .. } => (Some(*at), Some(*at), Some(sha.clone())),
    };
    let end = |owner: &str, reference: &str, sha: &str| {
        json!({
            "label": format!("{owner}:{reference}"),
            "ref": reference,
            "sha": sha,
            "user": objects::account(world, owner),
            "repo": objects::repository_of(world, owner),
        })
    };
    let link = |href: String| json!({ "href": href });
    json!({
        "id": pull.id,
        "node_id": objects::node_id("PR", pull.id),
        "number": number,
        "url": own,
        "html_url": page,
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "issue_url": issue,
        "commits_url": format!("{own}/commits"),
        "review_comments_url": format!("{own}/comments"),
        "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
        "comments_url": format!("{issue}/comments"),
        "statuses_url": statuses,
        "state": if closed_at.is_some() { "closed" } else { "open" },
        "locked": false,
        "active_lock_reason": null,
        "title": pull.title,
        "user": objects::account(world, &pull.author),
        "body": pull.body,
        "labels": [],
        "milestone": null,
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "created_at": instant(pull.created_at),
        "updated_at": instant(pull.updated_at),
        "closed_at": closed_at.map(instant),
        "merged_at": merged_at.map(instant),
        "merge_commit_sha": merge_commit,
        "head": end(&pull.head_owner, &pull.head_ref, &pull.head_sha),
        "base": end(&world.options.owner, &pull.base_ref, &pull.base_sha),
        "_links": {
            "self": link(own.clone()),
            "html": link(page.clone()),
            "issue": link(issue.clone()),
            "comments": link(format!("{issue}/comments")),
            "review_comments": link(format!("{own}/comments")),
            "review_comment": link(format!("{api}/pulls/comments{{/number}}")),
            "commits": link(format!("{own}/commits")),
            "statuses": link(statuses),
        },
        "author_association": objects::association(world, &pull.author),
        "auto_merge": null,
        "draft": false,
    })
}

/// A pull request on its own, as the API and webhooks show it.
pub(super) fn full(world: &World, pull: &PullRequest) -> anyhow::Result<Value> {
    let mut object = simple(world, pull);
    let files = world.git.changed_files(&pull.base_sha, &pull.head_sha)?;
    let commits = world.git.commits(&pull.base_sha, &pull.head_sha)?;
    let open = pull.state == PullState::Open;
    let mergeable = open.then_some(pull.test_merge.is_some());
    let mergeable_state = match mergeable {
        Some(true) => "clean",
        Some(false) => "dirty",
        None => "unknown",
    };
    let merged_by = match &pull.state {
        PullState::Merged { by, .. } => Some(objects::account(world, by)),
        _ => None,
    };
    let comments = world
        .comments
        .values()
        .filter(|one| one.number == pull.number);
    objects::extend(
        &mut object,
        json!({
            "merged": merged_by.is_some(),
            "merged_by": merged_by,
            "mergeable": mergeable,
            "rebaseable": mergeable,
            "mergeable_state": mergeable_state,
            "comments": comments.count(),
            "review_comments": 0,
            "maintainer_can_modify": false,
            "commits": commits.len(),
            "additions": files.iter().map(|file| file.additions).sum::<usize>(),
            "deletions": files.iter().map(|file| file.deletions).sum::<usize>(),
            "changed_files": files.len(),
        }),
    );
    Ok(object)
}

pub(super) fn review(world: &World, pull: &PullRequest, review: &Review) -> Value {
    let own = format!("{}/pulls/{}", world.api(), pull.number);
    let page = format!(
        "{}/pull/{}#pullrequestreview-{}",
        world.html(),
        pull.number,
        review.id
    );
    json!({
        "id": review.id,
        "node_id": objects::node_id("PRR", review.id),
        "user": objects::account(world, &review.login),
        "body": "",
        "state": review.state.word(),
        "html_url": page,
        "pull_request_url": own,
        "author_association": objects::association(world, &review.login),
        "_links": { "html": { "href": page }, "pull_request": { "href": own } },
        "submitted_at": instant(review.submitted_at),
        "updated_at": instant(review.submitted_at),
        "commit_id": review.commit,
    })
}
