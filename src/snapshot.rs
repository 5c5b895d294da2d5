//! What Git holds at the revisions a run is about: bytes, not yet read.

use std::collections::BTreeMap;

use crate::name::CommitSha;

/// A file's place in the repository, with `/` between its parts.
pub type RepoPath = String;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file's bytes.
    File(Vec<u8>),
    /// A file over the size limit, in bytes. It is not read.
    TooLarge(u64),
    /// A symlink. It is never followed: it could lead anywhere.
    Symlink,
    /// A submodule. It is never fetched.
    Submodule,
}

/// The files under `pipelines/` and `policies/` at one revision (or in one working folder),
/// and CODEOWNERS in each of its places: it says who may command, and never changes a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub entries: BTreeMap<RepoPath, Entry>,
}

/// Both sides of a run.
///
/// Policies, estate and owners are read from `base` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The tip of the default branch.
    pub base: Tree,
    /// The merge of base and head, on a pull request. Absent on the default branch, where
    /// the base is all there is.
    pub proposed: Option<Tree>,
    /// Commit of `base`; absent for a working folder.
    pub base_commit: Option<CommitSha>,
}

impl Snapshot {
    /// The tree whose pipelines the run is about.
    pub fn tree(&self) -> &Tree {
        self.proposed.as_ref().unwrap_or(&self.base)
    }
}

/// Which commits a run is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revisions {
    /// The default branch at this commit.
    Default { commit: CommitSha },
    /// The merge of `head` into `base`.
    Merge { base: CommitSha, head: CommitSha },
}
