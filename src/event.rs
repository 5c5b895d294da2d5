//! The closed set of facts that may start a run.
//!
//! Webhooks, timers and start-up all speak in these. Each is only a hint to look again:
//! losing one costs time, never correctness.

use crate::command::CommentId;
use crate::name::CommitSha;
use crate::object::Kind;

/// A pull request's number.
pub type PullNumber = u64;

/// Something may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pull request was opened, pushed to, reopened, marked ready or moved to another base.
    PullRequestChanged { number: PullNumber },
    /// A pull request was merged.
    PullRequestMerged { number: PullNumber },
    /// A pull request was closed unmerged.
    PullRequestClosed { number: PullNumber },
    /// Somebody reviewed (or a review was dismissed): consent may have come or gone.
    Reviewed { number: PullNumber },
    /// Somebody commented on a pull request; it may hold a command.
    Commented {
        number: PullNumber,
        comment: CommentId,
    },
    /// The default branch moved.
    DefaultBranchPushed { commit: CommitSha },
    /// The merge queue asks for a check on the commit that its branch `name` leads to.
    MergeGroup { head: CommitSha, name: String },
    /// Somebody asked GitHub to run our check again.
    CheckRerequested {
        head: CommitSha,
        pulls: Vec<PullNumber>,
    },
    /// Somebody else changed, deleted or relabelled an object of ours.
    ObjectChanged { kind: Kind, name: String },
    /// Look at everything: start-up and timer.
    Sweep,
}

/// What runs one after the other: a lane for each pull request and one for its commands,
/// one for each merge group, one for the default branch. Only the default branch's lane
/// writes to a plane; only commands start a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    Default,
    PullRequest(PullNumber),
    Commands(PullNumber),
    MergeGroup(CommitSha),
}
