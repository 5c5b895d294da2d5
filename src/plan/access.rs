//! Who reaches what: the access matrix before and after, and the proof of isolation.

use std::collections::{BTreeMap, BTreeSet};

use crate::estate::Estate;
use crate::finding::{Finding, rule};
use crate::name::{ConnectionName, PipelineName};
use crate::object::{Grant, Member, ObjectKey, Resource, Role, ServiceAccount};
use crate::proposal::Proposal;

use super::PipelinePlan;
use super::record::Record;

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
        proposal: &Proposal,
        records: &BTreeMap<PipelineName, Record>,
    ) -> Self {
        let grants = |keys: &mut dyn Iterator<Item = &ObjectKey>| -> BTreeSet<Grant> {
            keys.filter_map(|key| match key {
                ObjectKey::Grant(grant) => Some(grant.clone()),
                _ => None,
            })
            .collect()
        };
        let before = grants(&mut pipelines.values().flat_map(|one| one.recorded.keys()));
        let after = grants(&mut pipelines.values().flat_map(|one| one.desired.keys()));
        let mut rows: Vec<AccessRow> = before
            .union(&after)
            .map(|grant| AccessRow {
                movement: match (before.contains(grant), after.contains(grant)) {
                    (false, _) => Movement::Gained,
                    (true, false) => Movement::Lost,
                    (true, true) => Movement::Kept,
                },
                grant: grant.clone(),
            })
            .collect();
        rows.sort();
        Self {
            rows,
            isolation: isolation(proposal, records),
        }
    }
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
