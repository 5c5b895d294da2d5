//! Commands: what people write to the bot under a pull request.
//!
//! A comment is data until `authorize` made an authorized command of one of its lines;
//! nothing else has an effect. Who may is decided from the base branch only.

mod authorize;
mod base;
pub mod codeowners;
mod nearest;
mod paragraphs;
mod parse;
#[cfg(test)]
pub(crate) mod testing;
mod verb;

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use authorize::{
    AuthorizedCommand, Circumstances, Denied, Missing, PullState, Refused, Target, asked_owners,
    authorize,
};
pub use base::{Base, OwnedBy};
pub use codeowners::CodeOwners;
pub use parse::{CommandLine, MOST, Misread, parse};
pub use verb::Verb;

use crate::event::PullNumber;
use crate::name::{Digest, PgName, PipelineName};

/// GitHub's number of a comment.
pub type CommentId = u64;

/// A comment as GitHub holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub id: CommentId,
    /// The pull request it stands under.
    pub pull: PullNumber,
    /// The author's login.
    pub author: String,
    pub by: AuthorKind,
    pub body: String,
    pub created_at: Timestamp,
    pub edits: Edits,
}

/// What kind of account wrote a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorKind {
    Person,
    /// An App (this one included) or another machine account.
    Bot,
}

/// Whether a comment still says what its author first wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    Never,
    /// By anyone: maintainers can edit everybody's comments.
    Edited,
}

/// Names one command for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandKey {
    pub comment: CommentId,
    /// The line in the comment, counted from 1.
    pub line: u32,
}

impl fmt::Display for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.comment, self.line)
    }
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Plan the pull request's head again.
    Plan,
    /// Approve every pipeline that would now be applied at this digest.
    Apply { digest: Digest },
    /// Prune more than the house allows at once: exactly what has this digest.
    Confirm { digest: Digest },
    /// Run now: the named pipelines, or those the pull request is about if none is named;
    /// only these tables, or all of them if none is named.
    Rerun {
        pipelines: BTreeSet<PipelineName>,
        tables: BTreeSet<PgName>,
    },
    /// Say how the pull request's pipelines are.
    Status,
    /// Say what can be asked.
    Help,
}

/// A command whose effect has begun, or is about to. Kept in the cluster beside the Record,
/// because a run is forgotten one day and its comment is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    pub key: CommandKey,
    pub claimed_at: Timestamp,
    /// When its effect was seen to be there. From then on it is not brought about again,
    /// even if somebody takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
}

/// What a person may do in the repository. Higher includes lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    Write,
    Admin,
}
