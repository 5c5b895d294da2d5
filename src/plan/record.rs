//! The Record: what the bot must remember of one pipeline, kept in the cluster.
//!
//! It is written before the first Google write and removed after the last revocation was
//! read back. The union of the Records is Google's inventory: IAM bindings carry no label,
//! and once a file is gone nobody else knows which policy to read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::PullNumber;
use crate::name::{CommitSha, Digest, PipelineName};
use crate::object::ObjectKey;
use crate::snapshot::RepoPath;

/// Format of the stored text.
pub const VERSION: u32 = 1;

/// One pipeline's Record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub version: u32,
    pub pipeline: PipelineName,
    pub path: RepoPath,
    /// What was allowed last; it may be half-way applied.
    pub approved: Approved,
    /// What was applied whole last.
    pub applied: Option<Applied>,
    /// Everything the pipeline was given, or is about to be given.
    pub keys: Vec<Given>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    pub digest: Digest,
    /// The default branch's commit that was applied.
    pub commit: CommitSha,
    /// What allowed it.
    pub by: By,
    /// The pull request whose review allowed it, or under which it was commanded.
    pub pull: Option<PullNumber>,
    /// When that was merged, or commanded: nothing from before may speak again.
    pub since: Option<Timestamp>,
    /// SHA-256 of the pipeline's file; absent if that was removed.
    pub source: Option<Digest>,
    /// What it adopts, until that is done. The digest counts it; once the keys are held
    /// nobody could tell any more that they were foreign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopts: Vec<ObjectKey>,
}

/// How a digest was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Review,
    Command,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Digest of the pipeline as it is when nothing is left to prune or adopt.
    pub digest: Digest,
    /// The first commit at which it was applied like this.
    pub commit: CommitSha,
}

/// One object or grant that the pipeline holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub key: ObjectKey,
    pub how: How,
}

/// Whose it was first. Only what we made is ever removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    Adopted,
    Made,
}

impl Record {
    /// The keys with how each was come by.
    pub fn given(&self) -> BTreeMap<ObjectKey, How> {
        self.keys
            .iter()
            .map(|given| (given.key.clone(), given.how))
            .collect()
    }

    /// Name of the ConfigMap.
    pub fn name(pipeline: &PipelineName) -> String {
        format!("record-{pipeline}")
    }

    /// Whether a ConfigMap of this name may be one.
    pub fn is_name(name: &str) -> bool {
        name.starts_with("record-")
    }
}

/// A list in the keys' order, so that equal Records are equal bytes.
pub fn list(keys: &BTreeMap<ObjectKey, How>) -> Vec<Given> {
    keys.iter()
        .map(|(key, how)| Given {
            key: key.clone(),
            how: *how,
        })
        .collect()
}
