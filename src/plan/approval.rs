//! Why writing may be allowed: what GitHub holds about a review, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::event::PullNumber;
use crate::name::{CommitSha, Digest, Owner, PipelineName};

/// The digests that our check run showed at a commit.
pub type Digests = BTreeMap<PipelineName, Digest>;

/// What is known of one merged pull request, read again right before an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    pub number: PullNumber,
    pub author: String,
    /// Who pushed to its branch.
    pub pushers: Pushers,
    /// The head that was merged.
    pub head: CommitSha,
    /// The commit that merged it.
    pub merge_commit: Option<CommitSha>,
    pub merged_at: Option<Timestamp>,
    /// The digests of our own App's newest check run at the head.
    pub digests: Digests,
    /// Approvals that stand: per person the last review that approves, requests changes
    /// or was dismissed decides, and it approved.
    pub approvals: BTreeSet<ApprovingReview>,
}

/// Who pushed what a pull request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushers {
    /// Everybody who moved its branch, from its creation to the head; lower-case logins.
    Known(BTreeSet<String>),
    /// It lies in a fork, of which nothing can be read, or not every move of it is known.
    Unknown,
}

impl Reviewed {
    /// The author, if what was merged is theirs alone: authorship is consent, and nobody
    /// else's push rides on it.
    pub fn speaking_author(&self) -> Option<&str> {
        let Pushers::Known(pushers) = &self.pushers else {
            return None;
        };
        let author = self.author.to_lowercase();
        let alone = !pushers.is_empty() && pushers.iter().all(|login| *login == author);
        alone.then_some(self.author.as_str())
    }
}

/// One approving review that stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApprovingReview {
    pub login: String,
    /// The head that the reviewer saw.
    pub commit: CommitSha,
    /// What our check run there showed when they approved. A plan can change without a
    /// push (the base moves, the world does), and an approval does not move with it.
    pub shown: Digests,
}

/// Who belongs to which team, for the teams and people that the question is about.
/// A pair that is absent is no member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memberships {
    /// Team and lower-case login of each active member.
    pub members: BTreeSet<(Owner, String)>,
}

impl Memberships {
    /// Whether `login` is `owner`, or an active member of that team.
    pub fn speaks_for(&self, login: &str, owner: &Owner) -> bool {
        owner.is_user(login)
            || self
                .members
                .contains(&(owner.clone(), login.to_lowercase()))
    }
}
