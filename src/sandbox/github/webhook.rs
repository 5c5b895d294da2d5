//! Webhooks: queued at each change, signed and sent when the test says so, never sent twice by themselves.

use axum::body::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::objects;
use super::repository::Person;
use super::world::{CheckRun, Comment, PullRequest, Review, World, instant};
use super::{rest_checks, rest_comments, rest_issues, rest_pulls};

/// The object id of nothing.
pub(super) const NOWHERE: &str = "0000000000000000000000000000000000000000";

/// Where deliveries go and what signs them.
#[derive(Clone)]
pub(super) struct Hook {
    pub(super) url: String,
    pub(super) secret: String,
}

/// One webhook request, signed when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `X-GitHub-Delivery`; the same however often this delivery is sent.
    pub guid: String,
    /// `X-GitHub-Event`.
    pub event: String,
    pub body: Bytes,
}

/// `sha256=` and the HMAC of the raw body.
pub(super) fn sign(secret: &str, body: &[u8]) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body);
    Ok(format!(
        "sha256={}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// Queues a delivery; without a webhook there is nobody to tell, then or later.
fn queue(world: &mut World, event: &str, sender: &str, payload: Value) -> anyhow::Result<()> {
    if world.hook.is_none() {
        return Ok(());
    }
    let id = world.options.installation_id;
    let mut body = payload;
    objects::extend(
        &mut body,
        json!({
            "repository": objects::repository(world),
            "organization": objects::organization(world),
            "sender": objects::account(world, sender),
            "installation": { "id": id, "node_id": objects::node_id("IN", id) },
        }),
    );
    world.deliveries += 1;
    world.queue.push_back(Delivery {
        guid: format!("7b0c5a00-0000-4000-8000-{:012x}", world.deliveries),
        event: event.to_owned(),
        body: serde_json::to_vec(&body)?.into(),
    });
    Ok(())
}

/// `more` carries what only this action has, as `before` and `after`.
pub(super) fn pull_request(
    world: &mut World,
    action: &str,
    pull: &PullRequest,
    sender: &str,
    more: Value,
) -> anyhow::Result<()> {
    let mut payload = json!({
        "action": action,
        "number": pull.number,
        "pull_request": rest_pulls::full(world, pull)?,
    });
    objects::extend(&mut payload, more);
    queue(world, "pull_request", sender, payload)
}

/// A branch moved from `before` to `after`; [`NOWHERE`] for one that was made or removed.
pub(super) fn push(
    world: &mut World,
    reference: &str,
    before: &str,
    after: &str,
    by: &Person,
) -> anyhow::Result<()> {
    let main = world
        .git
        .branch(super::repository::MAIN)
        .unwrap_or_default();
    let known = if before == NOWHERE {
        main.as_str()
    } else {
        before
    };
    let commits = match after {
        NOWHERE => Vec::new(),
        after => world.git.commits(known, after)?,
    };
    let head = match after {
        NOWHERE => None,
        after => Some(objects::pushed_commit(world, &world.git.info(after)?)?),
    };
    let forced = before != NOWHERE && after != NOWHERE && !world.git.contains(after, before);
    let listed = commits
        .iter()
        .map(|commit| objects::pushed_commit(world, commit))
        .collect::<anyhow::Result<Vec<Value>>>()?;
    let payload = json!({
        "ref": reference,
        "before": before,
        "after": after,
        "created": before == NOWHERE,
        "deleted": after == NOWHERE,
        "forced": forced,
        "base_ref": null,
        "compare": format!("{}/compare/{before}...{after}", world.html()),
        "commits": listed,
        "head_commit": head,
        "pusher": { "name": by.login, "email": by.email() },
    });
    queue(world, "push", &by.login, payload)
}

pub(super) fn issue_comment(
    world: &mut World,
    action: &str,
    comment: &Comment,
    sender: &str,
    more: Value,
) -> anyhow::Result<()> {
    let number = comment.number;
    let issue = match (world.pulls.get(&number), world.issues.get(&number)) {
        (Some(pull), _) => rest_issues::of_pull(world, pull),
        (None, Some(issue)) => rest_issues::object(world, issue),
        (None, None) => return Ok(()),
    };
    let mut payload = json!({
        "action": action,
        "issue": issue,
        "comment": rest_comments::object(world, comment),
    });
    objects::extend(&mut payload, more);
    queue(world, "issue_comment", sender, payload)
}

pub(super) fn review(world: &mut World, pull: &PullRequest, review: &Review) -> anyhow::Result<()> {
    let mut object = rest_pulls::review(world, pull, review);
    // The API shouts the state, webhooks do not.
    let state = review.state.word().to_ascii_lowercase();
    objects::extend(&mut object, json!({ "state": state }));
    let payload = json!({
        "action": "submitted",
        "review": object,
        "pull_request": rest_pulls::simple(world, pull),
    });
    queue(world, "pull_request_review", &review.login, payload)
}

/// `more` carries `requested_action` when a button was pressed.
pub(super) fn check_run(
    world: &mut World,
    action: &str,
    run: &CheckRun,
    sender: &str,
    more: Value,
) -> anyhow::Result<()> {
    let mut object = rest_checks::object(world, run);
    let suite = rest_checks::suite(world, run);
    objects::extend(&mut object, json!({ "check_suite": suite }));
    let mut payload = json!({ "action": action, "check_run": object });
    objects::extend(&mut payload, more);
    queue(world, "check_run", sender, payload)
}

/// What a merge group is: the commit to check, on a branch of its own.
pub(super) struct MergeGroup<'g> {
    pub(super) head_sha: &'g str,
    pub(super) head_ref: &'g str,
    pub(super) base_sha: &'g str,
    pub(super) base_ref: &'g str,
}

pub(super) fn merge_group(
    world: &mut World,
    action: &str,
    group: &MergeGroup<'_>,
    sender: &str,
    more: Value,
) -> anyhow::Result<()> {
    let head = world.git.info(group.head_sha)?;
    let mut payload = json!({
        "action": action,
        "merge_group": {
            "head_sha": group.head_sha,
            "head_ref": group.head_ref,
            "base_sha": group.base_sha,
            "base_ref": group.base_ref,
            "head_commit": {
                "id": head.sha,
                "tree_id": head.tree,
                "message": head.message,
                "timestamp": instant(head.at),
                "author": { "name": head.author, "email": head.email },
                "committer": { "name": head.author, "email": head.email },
            },
        },
    });
    objects::extend(&mut payload, more);
    queue(world, "merge_group", sender, payload)
}
