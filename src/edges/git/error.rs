//! Why Git could not answer.
//!
//! Each variant says what was attempted. `Display` leaves the source out (it is in the
//! chain), and nothing here holds a token or a whole URL.

use std::path::PathBuf;

use crate::name::CommitSha;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why Git could not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("could not reach {host} while {attempt}")]
    Unreachable {
        host: String,
        attempt: String,
        source: Cause,
    },
    /// A server's fault, or too many requests: worth another try.
    #[error("{host} answered {status} while {attempt}")]
    Transient {
        host: String,
        attempt: String,
        status: u16,
    },
    /// 401, 403, and 404: what a token does not open looks missing.
    #[error("{host} refused with {status} while {attempt}: no such repository for this token")]
    Denied {
        host: String,
        attempt: String,
        status: u16,
    },
    /// An answer that another try will not change, a redirect included: it could lead
    /// a token anywhere.
    #[error("{host} answered {status} while {attempt}, which is not expected of a Git server")]
    Unexpected {
        host: String,
        attempt: String,
        status: u16,
    },
    #[error("{host} broke the Git protocol while {attempt}: {problem}")]
    Protocol {
        host: String,
        attempt: String,
        problem: &'static str,
    },
    /// The transfer began and did not end: the ref may have moved meanwhile.
    #[error("{host} broke off while {attempt}")]
    Interrupted {
        host: String,
        attempt: String,
        source: Cause,
    },
    #[error("refusing to send a token to {host} over plain http")]
    InsecureToken { host: String },
    #[error("not a usable remote: {0}")]
    BadRemote(&'static str),
    #[error("`{0}` is not the full name of a ref")]
    BadRefName(String),
    #[error("the remote has no ref `{0}`")]
    MissingRef(String),
    #[error("`{name}` does not point at a commit")]
    NotACommit { name: String },
    #[error("commit {0} is not in the repository")]
    MissingCommit(CommitSha),
    #[error("{base} and {head} have no common ancestor")]
    Unrelated { base: CommitSha, head: CommitSha },
    #[error(
        "this clone is shallow, so the common ancestor of {base} and {head} can not be found: run `git fetch --unshallow`"
    )]
    Shallow { base: CommitSha, head: CommitSha },
    #[error(
        "`{rev}` is not a revision of this repository: run `git fetch origin {branch}` and use `origin/{branch}`"
    )]
    UnknownRevision { rev: String, branch: String },
    #[error("{0} is not in a Git repository")]
    NoRepository(PathBuf),
    #[error("the repository is bare: there is no working folder to plan from")]
    Bare,
    #[error("pipelines/ and policies/ together hold more than {limit} {what}")]
    TooMuch { what: &'static str, limit: u64 },
    #[error("a path under {folder} is longer than {limit} bytes")]
    PathTooLong { folder: &'static str, limit: usize },
    #[error("could not read {path} while {attempt}")]
    Folder {
        path: PathBuf,
        attempt: &'static str,
        source: std::io::Error,
    },
    /// The object store did not give what it should hold, or could not take more.
    /// A mirror that says so twice is best removed and made again.
    #[error("the object store failed while {attempt}")]
    Corrupt { attempt: String, source: Cause },
    #[error("libgit2 could not be set up: {0}")]
    Setup(String),
    #[error("the work was abandoned while {attempt}")]
    Abandoned {
        attempt: &'static str,
        source: Cause,
    },
}

impl GitError {
    /// Whether the same call may succeed a little later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Transient { .. } | Self::Interrupted { .. }
        )
    }

    pub(super) fn corrupt(attempt: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Corrupt {
            attempt,
            source: source.into(),
        }
    }
}
