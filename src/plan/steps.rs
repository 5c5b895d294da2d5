//! Steps: the writes of an approved plan, in order, each one request's worth.
//!
//! Record first, then identity, dataset, grants, RBAC and semaphore, CronWorkflow; what
//! goes, goes in reverse and last. The Record's end follows when the outcome was reported:
//! a report that was lost is made up for like a write that was. Applied again after any
//! crash, the same Steps end in the same state.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{CommitSha, Location, PipelineName};
use crate::object::{
    Grant, Kind, Manifest, Member, Object, ObjectKey, Resource, Role, ServiceAccount,
};

use super::action::is_labelled;
use super::approve::Approval;
use super::compare::FieldChange;
use super::prunes::pruned;
use super::record::Record;
use super::record_steps::beginning;
use super::{Action, Change, Intent, PipelinePlan, Plan};

/// One write, and the pipelines that want it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub write: Write,
    /// The approved pipelines behind it. If all of them have failed, it is not attempted.
    pub pipelines: BTreeSet<PipelineName>,
}

/// A request to one plane.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Before anything else of the pipeline: what it may be given from here on.
    BeginRecord(Record),
    CreateServiceAccount {
        account: ServiceAccount,
        display_name: String,
    },
    /// With its whole access list, because the default one would make the bot its owner.
    CreateDataset {
        dataset: Resource,
        location: Location,
        access: BTreeSet<(Role, Member)>,
    },
    AddGrants {
        resource: Resource,
        grants: BTreeSet<(Role, Member)>,
    },
    Apply {
        kind: Kind,
        name: String,
        manifest: Manifest,
        force: Force,
    },
    /// What can not be changed in place: it goes as [`Write::Delete`] does, and is made again.
    Replace {
        kind: Kind,
        name: String,
        manifest: Manifest,
    },
    Delete {
        kind: Kind,
        name: String,
    },
    RemoveGrants {
        resource: Resource,
        grants: BTreeSet<(Role, Member)>,
    },
    DeleteServiceAccount {
        account: ServiceAccount,
    },
    /// Everything was done and read back: what the pipeline holds now.
    EndRecord(Record),
    /// Nothing is left that the pipeline holds.
    RemoveRecord {
        pipeline: PipelineName,
    },
}

/// Whether a field that somebody else owns is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Force {
    /// A conflict is reported.
    No,
    /// To adopt or to mend, on the version of the object that was seen.
    OnVersion(String),
}

/// The Steps for the approved pipelines.
pub(super) fn steps(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
    commit: &CommitSha,
) -> Vec<Step> {
    let going = pruned(plan, approved);
    beginning(plan, approved, commit)
        .into_iter()
        .chain(coming(plan, approved))
        .chain(leaving(plan, approved, &going))
        .collect()
}

pub(super) fn pipelines<'a>(
    plan: &'a Plan,
    approved: &'a BTreeMap<PipelineName, Approval>,
) -> impl Iterator<Item = (&'a PipelineName, &'a PipelinePlan, &'a Approval)> {
    approved
        .iter()
        .filter_map(|(name, approval)| Some((name, plan.pipelines.get(name)?, approval)))
}

/// The grants on one resource that go into one write, and the pipelines behind them.
#[derive(Default)]
struct Gathered {
    grants: BTreeSet<(Role, Member)>,
    pipelines: BTreeSet<PipelineName>,
}

/// What is created, configured or adopted, in the keys' order.
fn coming(plan: &Plan, approved: &BTreeMap<PipelineName, Approval>) -> Vec<Step> {
    let access = access_by_dataset(plan, approved);
    let mut steps: Vec<Step> = Vec::new();
    let mut grants: BTreeMap<Resource, Gathered> = BTreeMap::new();
    for (key, change) in &plan.changes {
        let pipelines = wanting(plan, approved, key, change);
        let (Some(object), false) = (&change.object, pipelines.is_empty()) else {
            continue;
        };
        match (key, object, &change.action) {
            (
                ObjectKey::ServiceAccount(account),
                Object::ServiceAccount { display_name },
                Action::Create,
            ) => {
                steps.push(Step {
                    write: Write::CreateServiceAccount {
                        account: account.clone(),
                        display_name: display_name.clone(),
                    },
                    pipelines,
                });
            }
            (
                ObjectKey::Dataset { project, dataset },
                Object::Dataset { location },
                Action::Create,
            ) => {
                let dataset = Resource::Dataset {
                    project: project.clone(),
                    dataset: dataset.clone(),
                };
                steps.push(Step {
                    write: Write::CreateDataset {
                        access: access.get(&dataset).cloned().unwrap_or_default(),
                        dataset,
                        location: location.clone(),
                    },
                    pipelines,
                });
            }
            (
                ObjectKey::Grant(Grant {
                    resource,
                    role,
                    member,
                }),
                _,
                Action::Create,
            ) => {
                let gathered = grants.entry(resource.clone()).or_default();
                gathered.grants.insert((*role, member.clone()));
                gathered.pipelines.extend(pipelines);
            }
            (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(manifest), action) => {
                let (kind, name, manifest) = (*kind, name.clone(), manifest.clone());
                let write = match action {
                    Action::Replace { fields, .. } if is_ours(plan, &pipelines, key, fields) => {
                        Some(Write::Replace {
                            kind,
                            name,
                            manifest,
                        })
                    }
                    action => force(plan, &pipelines, key, action).map(|force| Write::Apply {
                        kind,
                        name,
                        manifest,
                        force,
                    }),
                };
                steps.extend(write.map(|write| Step { write, pipelines }));
            }
            _ => {}
        }
    }
    let google = steps
        .partition_point(|step| !matches!(step.write, Write::Apply { .. } | Write::Replace { .. }));
    let grants = grants.into_iter().map(|(resource, gathered)| Step {
        write: Write::AddGrants {
            resource,
            grants: gathered.grants,
        },
        pipelines: gathered.pipelines,
    });
    steps.splice(google..google, grants);
    steps
}

/// How a manifest is written; `None` if it is not.
fn force(
    plan: &Plan,
    pipelines: &BTreeSet<PipelineName>,
    key: &ObjectKey,
    action: &Action,
) -> Option<Force> {
    let on_version = |version: &Option<String>| version.clone().map_or(Force::No, Force::OnVersion);
    match action {
        Action::Create => Some(Force::No),
        Action::Adopt {
            resource_version, ..
        } => Some(on_version(resource_version)),
        Action::Configure {
            fields,
            resource_version,
        } => Some(match is_ours(plan, pipelines, key, fields) {
            true => on_version(resource_version),
            false => Force::No,
        }),
        // Not ours to delete: the server says why it can not be changed.
        Action::Replace { .. } => Some(Force::No),
        Action::Unchanged | Action::Prune | Action::Release(_) => None,
    }
}

/// What a Record holds and we labelled was applied before: who owns a field of it now has
/// taken it. That is mended whether or not the pipeline changes at the same time: the end must
/// not depend on whether a sweep came between.
fn is_ours(
    plan: &Plan,
    pipelines: &BTreeSet<PipelineName>,
    key: &ObjectKey,
    fields: &[FieldChange],
) -> bool {
    let ours = |one: &PipelinePlan| {
        one.recorded.contains_key(key) && (one.intent == Intent::Keep || is_labelled(fields))
    };
    let mut behind = pipelines.iter().map(|name| plan.pipelines.get(name));
    behind.all(|one| one.is_some_and(ours))
}

/// What goes, in the reverse of the keys' order.
fn leaving(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
    going: &BTreeSet<ObjectKey>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut grants: BTreeMap<Resource, Gathered> = BTreeMap::new();
    let mut accounts = Vec::new();
    for key in going.iter().rev() {
        let releases = |name: &&PipelineName| {
            let pipeline = plan.pipelines.get(*name);
            approved.contains_key(*name)
                && pipeline.is_some_and(|one| one.recorded.contains_key(key))
        };
        let claims = plan.changes.get(key).map(|change| &change.pipelines);
        let pipelines: BTreeSet<PipelineName> = claims
            .into_iter()
            .flatten()
            .filter(releases)
            .cloned()
            .collect();
        match key {
            ObjectKey::Kubernetes { kind, name } => steps.push(Step {
                write: Write::Delete {
                    kind: *kind,
                    name: name.clone(),
                },
                pipelines,
            }),
            ObjectKey::Grant(Grant {
                resource,
                role,
                member,
            }) => {
                let gathered = grants.entry(resource.clone()).or_default();
                gathered.grants.insert((*role, member.clone()));
                gathered.pipelines.extend(pipelines);
            }
            ObjectKey::ServiceAccount(account) => accounts.push(Step {
                write: Write::DeleteServiceAccount {
                    account: account.clone(),
                },
                pipelines,
            }),
            ObjectKey::Dataset { .. } => {}
        }
    }
    steps.extend(grants.into_iter().rev().map(|(resource, gathered)| Step {
        write: Write::RemoveGrants {
            resource,
            grants: gathered.grants,
        },
        pipelines: gathered.pipelines,
    }));
    steps.extend(accounts);
    steps
}

/// The approved pipelines that shall hold the key.
fn wanting(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
    key: &ObjectKey,
    change: &Change,
) -> BTreeSet<PipelineName> {
    let wants = |name: &&PipelineName| {
        let pipeline = plan.pipelines.get(*name);
        approved.contains_key(*name) && pipeline.is_some_and(|one| one.desired.contains_key(key))
    };
    change.pipelines.iter().filter(wants).cloned().collect()
}

/// Every grant on a dataset that an approved pipeline wants.
fn access_by_dataset(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
) -> BTreeMap<Resource, BTreeSet<(Role, Member)>> {
    let mut access: BTreeMap<Resource, BTreeSet<(Role, Member)>> = BTreeMap::new();
    for (key, change) in &plan.changes {
        if let ObjectKey::Grant(grant) = key
            && matches!(grant.resource, Resource::Dataset { .. })
            && !wanting(plan, approved, key, change).is_empty()
        {
            let pairs = access.entry(grant.resource.clone()).or_default();
            pairs.insert((grant.role, grant.member.clone()));
        }
    }
    access
}
