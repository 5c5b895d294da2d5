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
    pub violations: Vec<String>,
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

/// Every identity reaches the connections of one instance only, and every dataset is
/// written by one identity only. Taken from the grants alone, the recorded ones included,
/// so that a mistake in rendering can not vouch for itself.
fn isolation(proposal: &Proposal, records: &BTreeMap<PipelineName, Record>) -> Isolation {
    let desired = proposal
        .desired
        .pipelines
        .values()
        .flat_map(|rendered| rendered.objects.keys());
    let recorded = records
        .values()
        .flat_map(|record| record.keys.iter().map(|given| &given.key));
    let mut reached: BTreeMap<&ServiceAccount, BTreeSet<&ConnectionName>> = BTreeMap::new();
    let mut writers: BTreeMap<&Resource, BTreeSet<&ServiceAccount>> = BTreeMap::new();
    for key in desired.chain(recorded) {
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
            .filter_map(|connection| instance_of(connection, &proposal.policies.estate))
            .collect();
        if instances.len() > 1 {
            let instances: Vec<String> = instances.into_iter().collect();
            violations.push(format!(
                "{} would reach the instances {}",
                account.email(),
                instances.join(" and ")
            ));
        }
    }
    for (dataset, accounts) in &writers {
        if accounts.len() > 1 {
            let accounts: Vec<String> = accounts.iter().map(|account| account.email()).collect();
            violations.push(format!(
                "{dataset} would be written by {}",
                accounts.join(" and ")
            ));
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

/// A violation denies every pipeline in scope that wants the grant.
pub(super) fn isolation_findings(
    proposal: &Proposal,
    records: &BTreeMap<PipelineName, Record>,
) -> Vec<Finding> {
    let isolation = isolation(proposal, records);
    if isolation.violations.is_empty() {
        return Vec::new();
    }
    proposal
        .desired
        .pipelines
        .iter()
        .filter(|(name, rendered)| {
            let email = rendered.identity.google.email();
            proposal.scope.contains(name)
                && isolation
                    .violations
                    .iter()
                    .any(|violation| violation.contains(&email))
        })
        .map(|(name, rendered)| {
            let pipeline = &rendered.bound.pipeline;
            let span = pipeline.origin.span("/bq_connection_id");
            Finding::deny(
                rule::ISOLATION,
                &pipeline.origin.path,
                span,
                isolation.violations.join("; "),
            )
            .about(name)
        })
        .collect()
}
