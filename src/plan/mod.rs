//! Planning: from what shall be and what is, to what would be done.
//!
//! Sync, total, deterministic. A Plan is an immutable value: it says for every object what
//! would happen and why, and for every pipeline its digest. Nothing here decides whether
//! it may happen; `approve` does.

pub mod access;
pub mod approval;
pub mod approve;
pub mod compare;
mod digest;
pub mod observed;
pub mod outcome;
pub mod record;
pub mod steps;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, sorted};
use crate::name::{Digest, PipelineName, ProjectId};
use crate::object::{Grant, Object, ObjectKey, Resource};
use crate::policy::Policies;
use crate::proposal::Proposal;
use crate::render::{APPLY_SET_LABEL, MANAGER, Rendered};
use crate::snapshot::RepoPath;

use access::Access;
use compare::FieldChange;
use observed::{Observed, Questions, Seen};
use record::{How, Record};

/// What would be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The pipelines in scope that are desired, recorded or blocked.
    pub pipelines: BTreeMap<PipelineName, PipelinePlan>,
    /// Every object of theirs, in the order in which it would be applied.
    pub changes: BTreeMap<ObjectKey, Change>,
    pub findings: Vec<Finding>,
    pub access: Access,
    pub policies: Policies,
    /// Whether the tree has no pipeline at all: then nothing is pruned.
    pub empty_tree: bool,
    /// The Records of all pipelines, in scope or not: they hold what they hold.
    pub records: BTreeMap<PipelineName, Record>,
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
    pub record: Option<Record>,
    /// The old name, if its Record is to be taken over.
    pub renamed_from: Option<PipelineName>,
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

impl Action {
    /// Whether carrying it out writes to a plane.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Unchanged | Self::Release(_))
    }
}

/// What a plan of this proposal has to read at Google.
pub fn questions(proposal: &Proposal, records: &BTreeMap<PipelineName, Record>) -> Questions {
    let mut questions = Questions::default();
    for (_, rendered, record) in in_scope(proposal, records) {
        if let Some(rendered) = rendered {
            questions
                .connections
                .insert(rendered.bound.connection.clone());
        }
        let desired = rendered
            .into_iter()
            .flat_map(|rendered| rendered.objects.keys());
        let recorded = record
            .into_iter()
            .flat_map(|record| record.keys.iter().map(|given| &given.key));
        for key in desired.chain(recorded) {
            match key {
                ObjectKey::ServiceAccount(account) => {
                    questions.accounts.insert(account.clone());
                }
                ObjectKey::Dataset { project, dataset } => {
                    questions
                        .datasets
                        .insert((project.clone(), dataset.clone()));
                }
                ObjectKey::Grant(grant) => {
                    questions.policies.insert(grant.resource.clone());
                }
                ObjectKey::Kubernetes { .. } => {}
            }
        }
    }
    questions
}

/// Makes the plan.
pub fn plan(proposal: &Proposal, observed: &Observed) -> Plan {
    let records = &observed.kubernetes.records;
    let mut findings = proposal.findings.clone();
    findings.extend(verify::findings(proposal, observed));
    findings.extend(access::isolation_findings(proposal, records));
    let held = held(records);
    let adopts = |key: &ObjectKey| !held.contains_key(key) && is_foreign(key, observed);

    let mut pipelines = BTreeMap::new();
    let mut changes: BTreeMap<ObjectKey, Change> = BTreeMap::new();
    for (name, rendered, record) in in_scope(proposal, records) {
        let renamed_from = rendered.and_then(|rendered| takes_over(proposal, rendered, records));
        let recorded = recorded_keys(record, renamed_from.as_ref(), records);
        let blocked = proposal.desired.blocked.get(name);
        let (pipeline, claims) = plan_one(&One {
            name,
            rendered,
            record,
            renamed_from,
            recorded,
            blocked,
            findings: &findings,
            held: &held,
            adopts: &adopts,
        });
        for (key, object) in claims {
            let change = changes.entry(key.clone()).or_insert_with(|| Change {
                action: match object {
                    Some(object) => action(&key, object, observed, adopts(&key)),
                    None => release(&key, held.get(&key)),
                },
                pipelines: BTreeSet::new(),
                object: object.cloned(),
            });
            // One pipeline lets go of what another one wants: it stays wanted.
            if change.object.is_none()
                && let Some(object) = object
            {
                change.action = action(&key, object, observed, adopts(&key));
                change.object = Some(object.clone());
            }
            change.pipelines.insert(name.clone());
        }
        pipelines.insert(name.clone(), pipeline);
    }
    Plan {
        access: Access::of(&pipelines, &changes, proposal, records),
        pipelines,
        changes,
        findings: sorted(findings),
        policies: proposal.policies.clone(),
        empty_tree: proposal.desired.pipelines.is_empty() && proposal.desired.blocked.is_empty(),
        records: records.clone(),
    }
}

/// The pipelines of the run: desired, blocked, or only recorded. The old name of a renamed
/// one is not a pipeline of its own.
fn in_scope<'a>(
    proposal: &'a Proposal,
    records: &'a BTreeMap<PipelineName, Record>,
) -> Vec<(&'a PipelineName, Option<&'a Rendered>, Option<&'a Record>)> {
    let desired = &proposal.desired;
    let taken_over: BTreeSet<PipelineName> = desired
        .pipelines
        .values()
        .filter_map(|rendered| takes_over(proposal, rendered, records))
        .collect();
    let names: BTreeSet<&PipelineName> = desired
        .pipelines
        .keys()
        .chain(desired.blocked.keys())
        .chain(records.keys())
        .filter(|name| proposal.scope.contains(name) && !taken_over.contains(*name))
        .collect();
    names
        .into_iter()
        .map(|name| (name, desired.pipelines.get(name), records.get(name)))
        .collect()
}

/// The old name whose Record this pipeline takes over.
fn takes_over(
    proposal: &Proposal,
    rendered: &Rendered,
    records: &BTreeMap<PipelineName, Record>,
) -> Option<PipelineName> {
    let old = rendered.bound.pipeline.previously.as_ref()?;
    let desired = &proposal.desired;
    let gone = !desired.pipelines.contains_key(old) && !desired.blocked.contains_key(old);
    (gone && records.contains_key(old)).then(|| old.clone())
}

/// Everything that any Record holds. What was there before us stays that, whoever holds it.
fn held(records: &BTreeMap<PipelineName, Record>) -> BTreeMap<ObjectKey, How> {
    let mut held: BTreeMap<ObjectKey, How> = BTreeMap::new();
    for (key, how) in records.values().flat_map(Record::given) {
        let known = held.entry(key).or_insert(how);
        *known = how.min(*known);
    }
    held
}

fn recorded_keys(
    record: Option<&Record>,
    renamed_from: Option<&PipelineName>,
    records: &BTreeMap<PipelineName, Record>,
) -> BTreeMap<ObjectKey, How> {
    let old = renamed_from.and_then(|old| records.get(old));
    [old, record]
        .into_iter()
        .flatten()
        .flat_map(Record::given)
        .collect()
}

/// What is known of one pipeline.
struct One<'a> {
    name: &'a PipelineName,
    rendered: Option<&'a Rendered>,
    record: Option<&'a Record>,
    renamed_from: Option<PipelineName>,
    recorded: BTreeMap<ObjectKey, How>,
    blocked: Option<&'a RepoPath>,
    findings: &'a [Finding],
    held: &'a BTreeMap<ObjectKey, How>,
    adopts: &'a dyn Fn(&ObjectKey) -> bool,
}

/// One pipeline's part, and each key that it wants (with the object) or lets go (without).
fn plan_one<'a>(one: &One<'a>) -> (PipelinePlan, Vec<(ObjectKey, Option<&'a Object>)>) {
    static NONE: BTreeMap<ObjectKey, Object> = BTreeMap::new();
    let objects: &'a _ = one.rendered.map_or(&NONE, |rendered| &rendered.objects);
    let is_blocked = one.rendered.is_none() && one.blocked.is_some();
    let adopt: BTreeSet<ObjectKey> = objects
        .keys()
        .filter(|key| (one.adopts)(key))
        .cloned()
        .collect();
    let desired: BTreeMap<ObjectKey, How> = objects
        .keys()
        .map(|key| {
            let fresh = if adopt.contains(key) {
                How::Adopted
            } else {
                How::Made
            };
            (key.clone(), one.held.get(key).copied().unwrap_or(fresh))
        })
        .collect();
    let released: BTreeSet<ObjectKey> = if is_blocked {
        BTreeSet::new()
    } else {
        one.recorded
            .keys()
            .filter(|key| !desired.contains_key(*key))
            .cloned()
            .collect()
    };
    let denies: BTreeSet<String> = one
        .findings
        .iter()
        .filter(|finding| finding.is_deny() && finding.pipeline.as_ref() == Some(one.name))
        .map(|finding| format!("{}: {}", finding.rule, finding.message))
        .collect();
    let nothing = BTreeSet::new();
    let digest = digest::digest(&digest::Contents {
        objects,
        prune: &released,
        adopt: &adopt,
        denies: &denies,
    });
    let settled = digest::digest(&digest::Contents {
        objects,
        prune: &nothing,
        adopt: &nothing,
        denies: &denies,
    });
    let recorded_path = one.record.map(|record| record.path.clone());
    let intent = match (one.rendered, one.record) {
        (None, _) if is_blocked => Intent::Blocked,
        (None, _) => Intent::Remove,
        (Some(_), None) if one.renamed_from.is_none() => Intent::Create,
        (Some(_), Some(record))
            if one.renamed_from.is_none()
                && record
                    .applied
                    .as_ref()
                    .is_some_and(|applied| applied.digest == settled) =>
        {
            Intent::Keep
        }
        (Some(_), _) => Intent::Change,
    };
    let consenting = desired
        .keys()
        .chain(one.recorded.keys())
        .filter_map(consenting_project)
        .chain(
            one.rendered
                .iter()
                .flat_map(|rendered| rendered.bound.consenting_projects()),
        )
        .collect();
    let pipeline = PipelinePlan {
        path: one
            .rendered
            .map(|rendered| rendered.bound.pipeline.origin.path.clone())
            .or_else(|| one.blocked.cloned())
            .or(recorded_path)
            .unwrap_or_default(),
        intent,
        digest,
        settled,
        desired,
        recorded: one.recorded.clone(),
        record: one.record.cloned(),
        renamed_from: one.renamed_from.clone(),
        consenting,
    };
    let claims = objects
        .iter()
        .map(|(key, object)| (key.clone(), Some(object)))
        .chain(released.into_iter().map(|key| (key, None)))
        .collect();
    (pipeline, claims)
}

/// The project whose owners are asked about a key: a connection's and a dataset's.
fn consenting_project(key: &ObjectKey) -> Option<ProjectId> {
    match key {
        ObjectKey::Dataset { project, .. }
        | ObjectKey::Grant(Grant {
            resource: Resource::Dataset { project, .. },
            ..
        }) => Some(project.clone()),
        ObjectKey::Grant(Grant {
            resource: Resource::Connection(connection),
            ..
        }) => Some(connection.project.clone()),
        _ => None,
    }
}

/// What happens to a key that a pipeline lets go.
fn release(key: &ObjectKey, held: Option<&How>) -> Action {
    match (key, held) {
        (ObjectKey::Dataset { .. }, _) => Action::Release("data is never deleted"),
        (_, Some(How::Adopted)) => Action::Release("it was there before Pipewright"),
        _ => Action::Prune,
    }
}

/// What happens to a key that a pipeline wants, if everything is approved.
fn action(key: &ObjectKey, object: &Object, observed: &Observed, adopts: bool) -> Action {
    let unchanged = if adopts {
        Action::Adopt {
            fields: Vec::new(),
            resource_version: None,
        }
    } else {
        Action::Unchanged
    };
    match (key, object) {
        (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(desired)) => {
            match observed.kubernetes.objects.get(&(*kind, name.clone())) {
                None => Action::Create,
                Some(live) => {
                    let fields = compare::differences(desired, live, MANAGER);
                    let resource_version = live
                        .pointer("/metadata/resourceVersion")
                        .and_then(serde_json::Value::as_str)
                        .map(ToOwned::to_owned);
                    match (adopts, fields.is_empty()) {
                        (true, _) => Action::Adopt {
                            fields,
                            resource_version,
                        },
                        (false, true) => Action::Unchanged,
                        (false, false) => Action::Configure {
                            fields,
                            resource_version,
                        },
                    }
                }
            }
        }
        _ if exists(key, observed) => unchanged,
        _ => Action::Create,
    }
}

/// Whether the key exists, as far as it could be read.
fn exists(key: &ObjectKey, observed: &Observed) -> bool {
    let google = &observed.google;
    match key {
        ObjectKey::Kubernetes { kind, name } => observed
            .kubernetes
            .objects
            .contains_key(&(*kind, name.clone())),
        ObjectKey::ServiceAccount(account) => {
            matches!(google.accounts.get(account), Some(Seen::Found(())))
        }
        ObjectKey::Dataset { project, dataset } => {
            let key = (project.clone(), dataset.clone());
            matches!(google.datasets.get(&key), Some(Seen::Found(_)))
        }
        ObjectKey::Grant(grant) => match google.policies.get(&grant.resource) {
            Some(Seen::Found(pairs)) => {
                pairs.contains(&(grant.role.as_str().to_owned(), grant.member.iam()))
            }
            _ => false,
        },
    }
}

/// Whether it exists without being ours: in Kubernetes by the label; at Google, where
/// nothing can be labelled, everything that no Record holds.
fn is_foreign(key: &ObjectKey, observed: &Observed) -> bool {
    match key {
        ObjectKey::Kubernetes { kind, name } => observed
            .kubernetes
            .objects
            .get(&(*kind, name.clone()))
            .is_some_and(|live| {
                let label = live
                    .pointer("/metadata/labels")
                    .and_then(|labels| labels.get(APPLY_SET_LABEL));
                label.is_none()
            }),
        _ => exists(key, observed),
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
}
