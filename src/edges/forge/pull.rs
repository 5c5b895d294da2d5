//! Pull requests, as far as a run needs them.

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::Deserialize;

use super::wire::encoded;
use super::{Forge, ForgeError, UserWire};
use crate::event::PullNumber;
use crate::name::CommitSha;

/// Who wrote what an account that is gone left behind; GitHub shows the same.
pub(super) const GHOST: &str = "ghost";

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    pub number: PullNumber,
    pub title: String,
    pub author: String,
    pub head: CommitSha,
    /// In the repository that the head lies in.
    pub head_branch: String,
    pub base_branch: String,
    pub state: PullState,
    /// Absent unless it was merged.
    pub merged_at: Option<jiff::Timestamp>,
    pub draft: bool,
    /// The head lies in another repository, or in one that is gone.
    pub from_fork: bool,
    pub updated_at: Timestamp,
}

/// Where a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    Open,
    /// Merged by this commit; GitHub does not know it for some very old ones.
    Merged {
        commit: Option<CommitSha>,
    },
    /// Closed without a merge.
    Closed,
}

impl Forge {
    /// Reads one pull request.
    ///
    /// # Errors
    /// If there is none of this number, or GitHub does not answer.
    pub async fn pull_request(&self, number: PullNumber) -> Result<PullRequest, ForgeError> {
        let path = self.path(&format!("/pulls/{number}"));
        let wire: PullWire = self
            .get(&format!("read pull request #{number}"), &path)
            .await?;
        Ok(wire.into())
    }

    /// Every open pull request into the default branch, oldest first: new ones then come
    /// at the end, and move no other from one page to the next.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let branch = self.default_branch().await?;
        let path = self.path(&format!(
            "/pulls?state=open&sort=created&direction=asc&base={}",
            encoded(&branch)
        ));
        let wires: Vec<PullWire> = self.list("list open pull requests", &path).await?;
        let pulls = wires.into_iter().map(PullRequest::from);
        Ok(pulls
            .filter(|pull| pull.base_branch == branch && pull.state == PullState::Open)
            .collect())
    }

    /// The `limit` pull requests merged into the default branch that changed last.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn merged_pull_requests(&self, limit: usize) -> Result<Vec<PullRequest>, ForgeError> {
        let mut merged = Vec::new();
        if limit == 0 {
            return Ok(merged);
        }
        let branch = self.default_branch().await?;
        let path = self.path(&format!(
            "/pulls?state=closed&sort=updated&direction=desc&base={}",
            encoded(&branch)
        ));
        let keep = |wire: PullWire| {
            let pull = PullRequest::from(wire);
            if pull.base_branch == branch && matches!(pull.state, PullState::Merged { .. }) {
                merged.push(pull);
            }
            if merged.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let attempt = "list merged pull requests";
        self.pages(attempt, &path, |page: Vec<PullWire>| page, keep)
            .await?;
        Ok(merged)
    }

    /// The branch whose tree is the wish.
    ///
    /// # Errors
    /// If GitHub does not answer.
    pub async fn default_branch(&self) -> Result<String, ForgeError> {
        #[derive(Deserialize)]
        struct RepositoryWire {
            default_branch: String,
        }
        let wire: RepositoryWire = self.get("read the repository", &self.path("")).await?;
        Ok(wire.default_branch)
    }

    /// Pull requests that brought `commit`, or whose head it is, into whatever branch.
    ///
    /// # Errors
    /// If the commit is unknown to GitHub, or it does not answer.
    pub async fn pulls_of_commit(
        &self,
        commit: &CommitSha,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        let path = self.path(&format!("/commits/{commit}/pulls"));
        let attempt = format!("list pull requests of {}", commit.short());
        let wires: Vec<PullWire> = self.list(&attempt, &path).await?;
        Ok(wires.into_iter().map(PullRequest::from).collect())
    }
}

/// What the list and the single answer have in common: the list has no `merged`.
#[derive(Deserialize)]
struct PullWire {
    number: PullNumber,
    title: String,
    user: Option<UserWire>,
    state: String,
    #[serde(default)]
    draft: bool,
    merged_at: Option<Timestamp>,
    merge_commit_sha: Option<CommitSha>,
    updated_at: Timestamp,
    head: SideWire,
    base: SideWire,
}

#[derive(Deserialize)]
struct SideWire {
    r#ref: String,
    sha: CommitSha,
    repo: Option<SideRepositoryWire>,
}

#[derive(Deserialize)]
struct SideRepositoryWire {
    full_name: String,
}

impl From<PullWire> for PullRequest {
    fn from(wire: PullWire) -> Self {
        let state = match wire.merged_at {
            // While it is open, GitHub puts the trial merge where the merge will be.
            Some(_) => PullState::Merged {
                commit: wire.merge_commit_sha,
            },
            None if wire.state == "open" => PullState::Open,
            None => PullState::Closed,
        };
        let from_fork = match (&wire.head.repo, &wire.base.repo) {
            (Some(head), Some(base)) => !head.full_name.eq_ignore_ascii_case(&base.full_name),
            _ => true,
        };
        Self {
            number: wire.number,
            title: wire.title,
            author: wire
                .user
                .map_or_else(|| GHOST.to_owned(), |user| user.login),
            head: wire.head.sha,
            head_branch: wire.head.r#ref,
            base_branch: wire.base.r#ref,
            merged_at: wire.merged_at,
            state,
            draft: wire.draft,
            from_fork,
            updated_at: wire.updated_at,
        }
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::edges::forge::testing::{REPO, forge};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn wire(number: u64, base: &str, state: &str, merged_at: Value) -> Value {
        json!({
            "number": number, "title": "Add orders", "user": {"login": "ada"},
            "state": state, "draft": false, "merged_at": merged_at, "merge_commit_sha": B,
            "updated_at": "2026-01-02T03:04:05Z",
            "head": {"ref": "f", "sha": A, "repo": {"full_name": "acme/pipelines"}},
            "base": {"ref": base, "sha": B, "repo": {"full_name": "Acme/Pipelines"}},
        })
    }

    fn pull(value: Value) -> PullRequest {
        serde_json::from_value::<PullWire>(value).unwrap().into()
    }

    #[test]
    fn a_trial_merge_is_no_merge() {
        let open = pull(wire(1, "main", "open", Value::Null));
        assert_eq!((open.state, open.from_fork), (PullState::Open, false));
        let closed = pull(wire(1, "main", "closed", Value::Null));
        assert_eq!(closed.state, PullState::Closed);
        let merged = pull(wire(1, "main", "closed", json!("2026-01-02T03:04:05Z")));
        let commit = Some(B.parse().unwrap());
        assert_eq!(merged.state, PullState::Merged { commit });
    }

    #[test]
    fn a_fork_that_is_gone_is_a_fork_and_its_author_a_ghost() {
        let mut gone = wire(1, "main", "open", Value::Null);
        gone["head"]["repo"] = Value::Null;
        gone["user"] = Value::Null;
        let gone = pull(gone);
        assert_eq!((gone.from_fork, gone.author.as_str()), (true, "ghost"));
    }

    #[tokio::test]
    async fn lists_keep_to_the_default_branch_and_stop_when_they_have_enough() {
        let at = json!("2026-01-02T03:04:05Z");
        let closed: Vec<Value> = (1..=100)
            .map(|n| match n % 3 {
                0 => wire(n, "release/1", "closed", at.clone()),
                1 => wire(n, "release/1", "closed", Value::Null),
                _ => wire(n, "release/2", "closed", at.clone()),
            })
            .collect();
        let open = vec![
            wire(7, "release/2", "open", Value::Null),
            wire(8, "release/1", "open", Value::Null),
        ];
        let (forge, server) = forge(
            Router::new()
                .route(
                    REPO,
                    get(|| async { Json(json!({"default_branch": "release/1"})) }),
                )
                .route(
                    &format!("{REPO}/pulls"),
                    get(move |uri: http::Uri| async move {
                        let query = uri.query().unwrap_or_default();
                        assert!(query.contains("base=release%2F1&"));
                        Json(if query.contains("state=open") {
                            open
                        } else {
                            closed
                        })
                    }),
                ),
        )
        .await;
        let numbers =
            |pulls: Vec<PullRequest>| pulls.iter().map(|pull| pull.number).collect::<Vec<_>>();
        let open = forge.open_pull_requests().await.unwrap();
        assert_eq!(numbers(open), [8]);
        let before = server.wire().traffic().len();
        let merged = forge.merged_pull_requests(2).await.unwrap();
        assert_eq!(numbers(merged), [3, 6]);
        assert_eq!(server.wire().traffic().len() - before, 2);
        assert_eq!(forge.merged_pull_requests(0).await.unwrap(), []);
    }
}
