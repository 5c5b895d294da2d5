//! Who reaches what: the access matrix before and after, and the proof of isolation.

use std::collections::{BTreeMap, BTreeSet};

use crate::estate::Estate;
use crate::finding::{Finding, rule};
use crate::name::{ConnectionName, PipelineName};
use crate::object::{Grant, Member, ObjectKey, Resource, Role, ServiceAccount};
use crate::proposal::Proposal;

use super::record::Record;
use super::{Action, Change, Intent, PipelinePlan};

/// The grants of the pipelines in scope, and the proof over all pipelines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub rows: Vec<AccessRow>,
    pub isolation: Isolation,
}

/// One grant, and on which side of the plan it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessRow {
    pub movement: Movement,
    pub grant: Grant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Movement {
    Gained,
    Lost,
    Kept,
}

/// What was looked at, and what contradicts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Identities that may use a connection.
    pub identities: usize,
    /// Connections they may use.
    pub connections: usize,
    pub violations: Vec<Violation>,
}

/// Two things that must not meet, and the identities through which they would.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub text: String,
    pub accounts: BTreeSet<ServiceAccount>,
}

impl Access {
    pub(super) fn of(
        pipelines: &BTreeMap<PipelineName, PipelinePlan>,
        changes: &BTreeMap<ObjectKey, Change>,
        proposal: &Proposal,
        records: &BTreeMap<PipelineName, Record>,
    ) -> Self {
        let holders = holders(pipelines, records);
        let keys: BTreeSet<&ObjectKey> = pipelines
            .values()
            .flat_map(|one| one.recorded.keys().chain(one.desired.keys()))
            .collect();
        let mut rows: Vec<AccessRow> = keys
            .into_iter()
            .filter_map(|key| match key {
                ObjectKey::Grant(grant) => Some(AccessRow {
                    movement: match changes.get(key).map(|change| &change.action) {
                        Some(Action::Create) => Movement::Gained,
                        Some(Action::Prune) if !holders.contains_key(key) => Movement::Lost,
                        // A neighbour holds it, it was never ours, or its pipeline is blocked.
                        _ => Movement::Kept,
                    },
                    grant: grant.clone(),
                }),
                _ => None,
            })
            .collect();
        rows.sort();
        Self {
            rows,
            isolation: isolation(proposal, records),
        }
    }
}

/// Who would hold each key if everything in `pipelines` were approved: those hold what they
/// shall hold, a blocked one and all others what their Record holds.
pub fn holders<'a>(
    pipelines: &'a BTreeMap<PipelineName, PipelinePlan>,
    records: &'a BTreeMap<PipelineName, Record>,
) -> BTreeMap<&'a ObjectKey, BTreeSet<&'a PipelineName>> {
    let mut holders: BTreeMap<&ObjectKey, BTreeSet<&PipelineName>> = BTreeMap::new();
    let taken_over: BTreeSet<&PipelineName> = pipelines
        .values()
        .filter_map(|one| one.renamed_from.as_ref())
        .collect();
    for (name, one) in pipelines {
        let held = match one.intent {
            Intent::Blocked => &one.recorded,
            Intent::Create | Intent::Change | Intent::Keep | Intent::Remove => &one.desired,
        };
        for key in held.keys() {
            holders.entry(key).or_default().insert(name);
        }
    }
    for (name, record) in records {
        if !pipelines.contains_key(name) && !taken_over.contains(name) {
            for given in &record.keys {
                holders.entry(&given.key).or_default().insert(name);
            }
        }
    }
    holders
}

/// What everybody would hold if all of the plan were carried out: what is desired, and
/// what the Records of blocked pipelines hold on to. Taken from the grants alone, so that
/// a mistake in rendering can not vouch for itself.
fn isolation(proposal: &Proposal, records: &BTreeMap<PipelineName, Record>) -> Isolation {
    let desired = &proposal.desired;
    let wanted = desired
        .pipelines
        .values()
        .flat_map(|rendered| rendered.objects.keys());
    let kept = records
        .iter()
        .filter(|(name, _)| desired.blocked.contains_key(*name))
        .flat_map(|(_, record)| record.keys.iter().map(|given| &given.key));
    isolation_of(wanted.chain(kept), &proposal.policies.estate)
}

/// Every identity reaches the connections of one instance only, and every dataset is
/// written by one identity only.
pub(super) fn isolation_of<'a>(
    keys: impl Iterator<Item = &'a ObjectKey>,
    estate: &Estate,
) -> Isolation {
    let mut reached: BTreeMap<&ServiceAccount, BTreeSet<&ConnectionName>> = BTreeMap::new();
    let mut writers: BTreeMap<&Resource, BTreeSet<&ServiceAccount>> = BTreeMap::new();
    for key in keys {
        if let ObjectKey::Grant(Grant {
            resource,
            role,
            member: Member::ServiceAccount(account),
        }) = key
        {
            match (role, resource) {
                (Role::ConnectionUser, Resource::Connection(connection)) => {
                    reached.entry(account).or_default().insert(connection);
                }
                (Role::Writer, resource) => {
                    writers.entry(resource).or_default().insert(account);
                }
                _ => {}
            }
        }
    }
    let mut violations = Vec::new();
    for (account, connections) in &reached {
        let instances: BTreeSet<String> = connections
            .iter()
            .filter_map(|connection| instance_of(connection, estate))
            .collect();
        if instances.len() > 1 {
            let instances: Vec<String> = instances.into_iter().collect();
            violations.push(Violation {
                text: format!(
                    "{} would reach the instances {}",
                    account.email(),
                    instances.join(" and ")
                ),
                accounts: [(*account).clone()].into(),
            });
        }
    }
    for (dataset, accounts) in &writers {
        if accounts.len() > 1 {
            let emails: Vec<String> = accounts.iter().map(|account| account.email()).collect();
            violations.push(Violation {
                text: format!("{dataset} would be written by {}", emails.join(" and ")),
                accounts: accounts.iter().map(|account| (*account).clone()).collect(),
            });
        }
    }
    let connections: BTreeSet<_> = reached.values().flatten().collect();
    Isolation {
        identities: reached.len(),
        connections: connections.len(),
        violations,
    }
}

/// The instance behind a connection. One that left the estate has none to name: its grants
/// are on their way out.
fn instance_of(connection: &ConnectionName, estate: &Estate) -> Option<String> {
    let declared = estate
        .projects
        .get(&connection.project)?
        .connections
        .get(&connection.id)?;
    Some(declared.instance.to_string())
}

/// A violation denies every pipeline in scope that runs as one of its identities.
pub(super) fn isolation_findings(
    proposal: &Proposal,
    records: &BTreeMap<PipelineName, Record>,
) -> Vec<Finding> {
    let violations = isolation(proposal, records).violations;
    let mut findings = Vec::new();
    for (name, rendered) in &proposal.desired.pipelines {
        let pipeline = &rendered.bound.pipeline;
        let involved = violations.iter().filter(|violation| {
            proposal.scope.contains(name) && violation.accounts.contains(&rendered.identity.google)
        });
        findings.extend(involved.map(|violation| {
            let span = pipeline.origin.span("/bq_connection_id");
            Finding::deny(
                rule::ISOLATION,
                &pipeline.origin.path,
                span,
                violation.text.clone(),
            )
            .about(name)
        }));
    }
    findings
}
