//! Making the plan: each pipeline's part, and what would happen to each key.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::finding::{Finding, sorted};
use crate::name::{PipelineName, ProjectId};
use crate::object::{Grant, Kind, Object, ObjectKey, Resource};
use crate::proposal::Proposal;
use crate::render::{MANAGER, Rendered};
use crate::snapshot::RepoPath;

use super::access::{Access, holders};
use super::action::{action, is_foreign, release};
use super::drift::Drift;
use super::observed::{Live, Observed, Questions};
use super::record::{How, Record};
use super::{
    Action, Change, Intent, NEEDED_ELSEWHERE, PipelinePlan, Plan, access, digest, inventory, verify,
};

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
    let is_new = |key: &ObjectKey| !held.contains_key(key) && is_foreign(key, observed);
    let adopting = records.values().flat_map(|record| &record.approved.adopts);
    let adopting: BTreeSet<&ObjectKey> = adopting.collect();
    let adopts = |key: &ObjectKey| adopting.contains(key) || is_new(key);

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
            is_new: &is_new,
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
    keep_what_neighbours_hold(&pipelines, &mut changes, records);
    let drift = drifted(&pipelines, &changes, observed);
    Plan {
        drift,
        access: Access::of(&pipelines, &changes, proposal, records),
        pipelines,
        changes,
        findings: sorted(findings),
        policies: proposal.policies.clone(),
        empty_tree: proposal.desired.pipelines.is_empty() && proposal.desired.blocked.is_empty(),
        records: records.clone(),
        parent: parent(observed),
    }
}

/// What is not as it was applied, for no other reason than that somebody changed it.
fn drifted(
    pipelines: &BTreeMap<PipelineName, PipelinePlan>,
    changes: &BTreeMap<ObjectKey, Change>,
    observed: &Observed,
) -> BTreeMap<ObjectKey, Drift> {
    let is_settled = |key: &ObjectKey, change: &Change| {
        let mut behind = change
            .pipelines
            .iter()
            .filter_map(|name| pipelines.get(name));
        behind.any(|one| one.settles(key))
    };
    changes
        .iter()
        .filter(|(key, change)| is_settled(key, change))
        .filter_map(|(key, change)| {
            let live = match key {
                ObjectKey::Kubernetes { kind, name } => {
                    observed.kubernetes.objects.get(&(*kind, name.clone()))
                }
                _ => None,
            };
            let drift = match &change.action {
                Action::Create => Drift::Gone,
                Action::Configure { fields, .. } | Action::Replace { fields, .. } => {
                    let fields = fields.iter().map(|change| &change.field);
                    let live = live.map(Live::value).unwrap_or_default();
                    Drift::of(fields, &live, MANAGER)
                }
                _ => return None,
            };
            Some((key.clone(), drift))
        })
        .collect()
}

fn parent(observed: &Observed) -> Option<Value> {
    let key = (Kind::ConfigMap, inventory::PARENT.to_owned());
    let live = observed.kubernetes.objects.get(&key);
    live.map(|live| live.value().into_owned())
}

/// What one pipeline lets go and another one holds stays.
fn keep_what_neighbours_hold(
    pipelines: &BTreeMap<PipelineName, PipelinePlan>,
    changes: &mut BTreeMap<ObjectKey, Change>,
    records: &BTreeMap<PipelineName, Record>,
) {
    let holders = holders(pipelines, records);
    for (key, change) in changes {
        if change.action == Action::Prune && holders.contains_key(key) {
            change.action = Action::Release(NEEDED_ELSEWHERE);
        }
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
    /// Whether it is foreign, and no Record holds it.
    is_new: &'a dyn Fn(&ObjectKey) -> bool,
}

/// One pipeline's part, and each key that it wants (with the object) or lets go (without).
fn plan_one<'a>(one: &One<'a>) -> (PipelinePlan, Vec<(ObjectKey, Option<&'a Object>)>) {
    static NONE: BTreeMap<ObjectKey, Object> = BTreeMap::new();
    let objects: &'a _ = one.rendered.map_or(&NONE, |rendered| &rendered.objects);
    let is_blocked = one.rendered.is_none() && one.blocked.is_some();
    let begun = one.record.map(|record| &record.approved.adopts);
    let adopt: BTreeSet<ObjectKey> = objects
        .keys()
        .filter(|key| (one.is_new)(key) || begun.is_some_and(|begun| begun.contains(key)))
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
        source: one
            .rendered
            .map(|rendered| rendered.bound.pipeline.origin.source.clone()),
        intent,
        digest,
        settled,
        desired,
        recorded: one.recorded.clone(),
        adopts: adopt,
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
