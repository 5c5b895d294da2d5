//! Webhooks: verified first, then read into the closed set of events.
//!
//! Only the few fields that an event needs are read, so that a change of GitHub's
//! payloads elsewhere drops nothing.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use sha2::Sha256;

use super::RepositoryName;
use crate::command::CommentId;
use crate::event::{Event, PullNumber};
use crate::name::CommitSha;

/// Why a delivery is not believed or not understood.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Anybody could sign with an empty secret.
    #[error("the webhook secret is empty")]
    EmptySecret,
    #[error("the webhook's signature is missing or wrong")]
    Signature,
    #[error("the body of a `{event}` webhook can not be read")]
    Body {
        event: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Knows which deliveries are GitHub's.
#[derive(Clone)]
pub struct WebhookVerifier {
    keyed: Hmac<Sha256>,
}

impl WebhookVerifier {
    /// # Errors
    /// If the secret is empty.
    pub fn new(secret: &SecretString) -> Result<Self, WebhookError> {
        let secret = secret.expose_secret().as_bytes();
        if secret.is_empty() {
            return Err(WebhookError::EmptySecret);
        }
        let keyed = Hmac::new_from_slice(secret).map_err(|_| WebhookError::EmptySecret)?;
        Ok(Self { keyed })
    }

    /// Compares the `X-Hub-Signature-256` header with the body's, in constant time.
    ///
    /// # Errors
    /// If they differ.
    pub fn verify(&self, signature: &str, body: &[u8]) -> Result<(), WebhookError> {
        let digits = signature.trim().strip_prefix("sha256=");
        let claimed = digits.and_then(|digits| hex::decode(digits).ok());
        let claimed = claimed.ok_or(WebhookError::Signature)?;
        let mut mac = self.keyed.clone();
        mac.update(body);
        mac.verify_slice(&claimed)
            .map_err(|_| WebhookError::Signature)
    }
}

/// What a delivery says that may have changed in `repository`.
/// Deliveries about another repository, another base branch or nothing of ours are empty.
///
/// # Errors
/// If the body is not what GitHub documents for `event_name`.
pub fn decode(
    event_name: &str,
    body: &[u8],
    repository: &RepositoryName,
    default_branch: &str,
) -> Result<Vec<Event>, WebhookError> {
    let envelope: Envelope = read(event_name, body)?;
    let Some(from) = envelope.repository else {
        return Ok(Vec::new());
    };
    if !from
        .full_name
        .parse()
        .is_ok_and(|from: RepositoryName| from == *repository)
    {
        return Ok(Vec::new());
    }
    let event = match event_name {
        "pull_request" => pull_request(read(event_name, body)?, default_branch),
        "pull_request_review" => review(&read(event_name, body)?, default_branch),
        "issue_comment" => issue_comment(read(event_name, body)?),
        "push" => push(read(event_name, body)?, default_branch),
        "merge_group" => merge_group(read(event_name, body)?, default_branch),
        "check_run" => {
            let CheckRunHook { action, check_run } = read(event_name, body)?;
            rerequested(&action, check_run, from.id, default_branch)
        }
        "check_suite" => {
            let CheckSuiteHook {
                action,
                check_suite,
            } = read(event_name, body)?;
            rerequested(&action, check_suite, from.id, default_branch)
        }
        _ => None,
    };
    Ok(event.into_iter().collect())
}

fn read<T: DeserializeOwned>(event_name: &str, body: &[u8]) -> Result<T, WebhookError> {
    serde_json::from_slice(body).map_err(|source| WebhookError::Body {
        event: event_name.chars().take(40).collect(),
        source,
    })
}

#[derive(Deserialize)]
struct Envelope {
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    id: Option<u64>,
    full_name: String,
}

#[derive(Deserialize)]
struct Base {
    r#ref: String,
    repo: Option<BaseRepository>,
}

#[derive(Deserialize)]
struct BaseRepository {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct PullRequestHook {
    action: String,
    number: PullNumber,
    pull_request: PullRequest,
    #[serde(default)]
    changes: Changes,
}

#[derive(Deserialize)]
struct PullRequest {
    base: Base,
    #[serde(default)]
    merged: bool,
}

#[derive(Deserialize, Default)]
struct Changes {
    base: Option<IgnoredAny>,
}

fn pull_request(hook: PullRequestHook, default_branch: &str) -> Option<Event> {
    let number = hook.number;
    if hook.pull_request.base.r#ref != default_branch {
        return None;
    }
    match hook.action.as_str() {
        "opened" | "synchronize" | "reopened" | "ready_for_review" => {
            Some(Event::PullRequestChanged { number })
        }
        "edited" if hook.changes.base.is_some() => Some(Event::PullRequestChanged { number }),
        "closed" if hook.pull_request.merged => Some(Event::PullRequestMerged { number }),
        "closed" => Some(Event::PullRequestClosed { number }),
        _ => None,
    }
}

#[derive(Deserialize)]
struct ReviewHook {
    action: String,
    pull_request: Numbered,
}

#[derive(Deserialize)]
struct Numbered {
    number: PullNumber,
    base: Base,
}

fn review(hook: &ReviewHook, default_branch: &str) -> Option<Event> {
    let counts = matches!(hook.action.as_str(), "submitted" | "dismissed" | "edited")
        && hook.pull_request.base.r#ref == default_branch;
    counts.then_some(Event::Reviewed {
        number: hook.pull_request.number,
    })
}

#[derive(Deserialize)]
struct IssueCommentHook {
    action: String,
    issue: Issue,
    comment: Commented,
}

#[derive(Deserialize)]
struct Issue {
    number: PullNumber,
    /// Only pull requests have it.
    pull_request: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Commented {
    id: CommentId,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    r#type: String,
}

/// Which base the pull request has is not said here. An edited comment asks for nothing:
/// somebody else may have edited it.
fn issue_comment(hook: IssueCommentHook) -> Option<Event> {
    let by_person = hook.comment.user.is_some_and(|user| user.r#type == "User");
    let counts = hook.action == "created" && hook.issue.pull_request.is_some() && by_person;
    counts.then_some(Event::Commented {
        number: hook.issue.number,
        comment: hook.comment.id,
    })
}

#[derive(Deserialize)]
struct PushHook {
    r#ref: String,
    #[serde(default)]
    deleted: bool,
    after: CommitSha,
}

fn push(hook: PushHook, default_branch: &str) -> Option<Event> {
    // A tag may have the branch's name; only the whole reference tells.
    if hook.deleted || hook.r#ref.strip_prefix("refs/heads/") != Some(default_branch) {
        return None;
    }
    Some(Event::DefaultBranchPushed { commit: hook.after })
}

#[derive(Deserialize)]
struct MergeGroupHook {
    action: String,
    merge_group: MergeGroup,
}

#[derive(Deserialize)]
struct MergeGroup {
    head_sha: CommitSha,
    head_ref: String,
    base_ref: String,
}

fn merge_group(hook: MergeGroupHook, default_branch: &str) -> Option<Event> {
    let group = hook.merge_group;
    let ours = hook.action == "checks_requested"
        && group.head_ref.starts_with("refs/heads/")
        && group.base_ref.strip_prefix("refs/heads/") == Some(default_branch);
    ours.then_some(Event::MergeGroup {
        head: group.head_sha,
        name: group.head_ref,
    })
}

#[derive(Deserialize)]
struct CheckRunHook {
    action: String,
    check_run: Checked,
}

#[derive(Deserialize)]
struct CheckSuiteHook {
    action: String,
    check_suite: Checked,
}

#[derive(Deserialize)]
struct Checked {
    head_sha: CommitSha,
    #[serde(default)]
    pull_requests: Vec<Numbered>,
}

/// GitHub tells only the App that made a check. The list of pull requests is empty for
/// forks, and holds those of other repositories that have the same commit.
fn rerequested(
    action: &str,
    checked: Checked,
    repository: Option<u64>,
    default_branch: &str,
) -> Option<Event> {
    if action != "rerequested" {
        return None;
    }
    let here = |base: &Base| match (base.repo.as_ref().and_then(|repo| repo.id), repository) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    };
    let pulls = checked.pull_requests.into_iter();
    let pulls = pulls.filter(|pull| pull.base.r#ref == default_branch && here(&pull.base));
    Some(Event::CheckRerequested {
        head: checked.head_sha,
        pulls: pulls.map(|pull| pull.number).collect(),
    })
}

#[cfg(test)]
mod tests;
