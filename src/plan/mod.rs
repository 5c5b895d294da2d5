//! Planning: from what shall be and what is, to what would be done.
//!
//! Sync, total, deterministic. A Plan is an immutable value: it says for every object what
//! would happen and why, and for every pipeline its digest. Nothing here decides whether
//! it may happen; `approve` does.

pub mod access;
mod action;
pub mod approval;
pub mod approve;
pub mod assumed;
pub mod commanded;
pub mod compare;
mod digest;
pub mod drift;
pub mod inventory;
mod make;
pub mod observed;
pub mod outcome;
pub mod prunes;
pub mod record;
mod record_steps;
pub mod steps;
mod verify;
mod voices;

pub use make::{plan, questions};

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::name::{Digest, PipelineName, ProjectId};
use crate::object::{Object, ObjectKey, ServiceAccount};
use crate::policy::Policies;
use crate::snapshot::RepoPath;

use access::Access;
use compare::FieldChange;
use drift::Drift;
use record::{How, Record};

/// What would be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The pipelines in scope that are desired, recorded or blocked.
    pub pipelines: BTreeMap<PipelineName, PipelinePlan>,
    /// Every object of theirs, in the order in which it would be applied.
    pub changes: BTreeMap<ObjectKey, Change>,
    /// What of it somebody has changed or deleted since it was applied.
    pub drift: BTreeMap<ObjectKey, Drift>,
    pub findings: Vec<Finding>,
    pub access: Access,
    pub policies: Policies,
    /// Whether the tree has no pipeline at all: then nothing is pruned.
    pub empty_tree: bool,
    /// The Records of all pipelines, in scope or not: they hold what they hold.
    pub records: BTreeMap<PipelineName, Record>,
    /// The live ConfigMap that has the name of the inventory's parent.
    pub parent: Option<serde_json::Value>,
}

/// One pipeline's part.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelinePlan {
    pub path: RepoPath,
    pub intent: Intent,
    /// What a reviewer approves.
    pub digest: Digest,
    /// The digest once nothing is left to prune or adopt.
    pub settled: Digest,
    /// Every key that it shall hold.
    pub desired: BTreeMap<ObjectKey, How>,
    /// Every key that its Record (and that of its old name) holds.
    pub recorded: BTreeMap<ObjectKey, How>,
    /// What of it is foreign, or was when this was approved.
    pub adopts: BTreeSet<ObjectKey>,
    pub record: Option<Record>,
    /// The old name, if its Record is to be taken over.
    pub renamed_from: Option<PipelineName>,
    /// SHA-256 of its file; absent if there is none, or it can not be used.
    pub source: Option<Digest>,
    /// Whose consent it needs.
    pub consenting: BTreeSet<ProjectId>,
}

/// What a pipeline is about to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    Create,
    Change,
    /// Desired and recorded alike: nothing to do, or drift to mend.
    Keep,
    Remove,
    /// Its file can not be read or bound: everything stays as it is.
    Blocked,
}

/// What would happen to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub action: Action,
    /// The pipelines that want it, or that let it go.
    pub pipelines: BTreeSet<PipelineName>,
    /// What it shall be; absent for what is let go.
    pub object: Option<Object>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Create,
    /// These fields differ.
    Configure {
        fields: Vec<FieldChange>,
        resource_version: Option<String>,
    },
    /// These fields differ, and the server does not let all of them be changed: it is deleted
    /// and made again. The reason is for a person.
    Replace {
        fields: Vec<FieldChange>,
        why: &'static str,
    },
    /// It exists and is nobody's: the first claim on it.
    Adopt {
        fields: Vec<FieldChange>,
        resource_version: Option<String>,
    },
    Unchanged,
    /// It goes, unless another pipeline holds it.
    Prune,
    /// It is let go, and stays: the reason is for a person.
    Release(&'static str),
}

/// Why a key stays that one pipeline lets go and another one holds.
pub const NEEDED_ELSEWHERE: &str = "another pipeline needs it";

impl Action {
    /// Whether carrying it out writes to a plane.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Unchanged | Self::Release(_))
    }
}

impl PipelinePlan {
    /// Whether it was applied as it stands, this key with it: what differs is drift.
    fn settles(&self, key: &ObjectKey) -> bool {
        self.intent == Intent::Keep
            && self.desired.contains_key(key)
            && self.recorded.contains_key(key)
    }

    /// Whether it shall run as one of these.
    pub fn runs_as(&self, accounts: &BTreeSet<ServiceAccount>) -> bool {
        self.desired.keys().any(|key| match key {
            ObjectKey::ServiceAccount(account) => accounts.contains(account),
            _ => false,
        })
    }
}

impl Plan {
    /// The denies that hold up everything: those that belong to no pipeline and stand in
    /// the policies.
    pub fn house_denies(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.is_deny() && finding.path.starts_with(crate::policy::FOLDER))
    }

    /// The denies that hold up one pipeline.
    pub fn denies_of<'a>(&'a self, name: &'a PipelineName) -> impl Iterator<Item = &'a Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.is_deny() && finding.pipeline.as_ref() == Some(name))
    }

    /// Whether anything would be written for this pipeline, or its Record is behind.
    pub fn is_pending(&self, name: &PipelineName) -> bool {
        let Some(pipeline) = self.pipelines.get(name) else {
            return false;
        };
        let keys = pipeline.desired.keys().chain(pipeline.recorded.keys());
        let writes = keys
            .filter_map(|key| self.changes.get(key))
            .any(|change| change.pipelines.contains(name) && change.action.is_write());
        let behind = match &pipeline.record {
            None => pipeline.intent != Intent::Blocked,
            Some(record) => {
                record.given() != pipeline.desired
                    || record.applied.as_ref().map(|applied| &applied.digest)
                        != Some(&pipeline.settled)
                    || record.path != pipeline.path
            }
        };
        pipeline.intent != Intent::Blocked && (writes || behind)
    }

    /// Whether this very digest was approved before, so that it may be resumed or mended.
    pub fn is_recorded(&self, name: &PipelineName) -> bool {
        self.pipelines.get(name).is_some_and(|pipeline| {
            pipeline.record.as_ref().is_some_and(|record| {
                let applied = record.applied.as_ref().map(|applied| &applied.digest);
                record.approved.digest == pipeline.digest || applied == Some(&pipeline.digest)
            })
        })
    }

    /// What of one pipeline's objects and grants has drifted.
    pub fn drift_of<'a>(
        &'a self,
        name: &'a PipelineName,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Drift)> {
        let pipeline = self.pipelines.get(name);
        let concerns = move |key: &ObjectKey| pipeline.is_some_and(|one| one.settles(key));
        self.drift.iter().filter(move |(key, _)| concerns(key))
    }

    /// Whether it can only go on with somebody's review.
    pub fn awaits_review(&self, name: &PipelineName) -> bool {
        self.is_pending(name) && !self.is_recorded(name)
    }
}
