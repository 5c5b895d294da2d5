//! What only the world can tell: a connection that points elsewhere, a dataset in another
//! location, something that can not be read.

use crate::finding::{Finding, Rule, rule};
use crate::object::ObjectKey;
use crate::proposal::Proposal;
use crate::render::Rendered;

use super::observed::{Google, LiveConnection, Observed, Seen};

/// Findings about every rendered pipeline in scope.
pub(super) fn findings(proposal: &Proposal, observed: &Observed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, rendered) in &proposal.desired.pipelines {
        if !proposal.scope.contains(name) {
            continue;
        }
        findings.extend(connection(rendered, &observed.google));
        findings.extend(dataset(rendered, &observed.google));
        findings.extend(unreadable(rendered, &observed.google));
        if let Some(why) = observed
            .kubernetes
            .broken_records
            .get(&super::Record::name(name))
        {
            findings.push(
                deny(
                    rendered,
                    rule::OBSERVED,
                    "",
                    format!("its Record can not be read: {why}"),
                )
                .help("restore the ConfigMap; without it nobody knows what the pipeline was given"),
            );
        }
    }
    findings
}

fn deny(rendered: &Rendered, rule: Rule, pointer: &str, message: String) -> Finding {
    let pipeline = &rendered.bound.pipeline;
    Finding::deny(
        rule,
        &pipeline.origin.path,
        pipeline.origin.span(pointer),
        message,
    )
    .about(&pipeline.name)
}

/// The identity is the instance's, and the instance is the estate's word. The live
/// connection must say the same, or one database's identity would read another's data.
fn connection(rendered: &Rendered, google: &Google) -> Vec<Finding> {
    let bound = &rendered.bound;
    let name = &bound.connection;
    let LiveConnection { instance, database } = match google.connections.get(name) {
        Some(Seen::Found(live)) => live,
        Some(Seen::Missing) | None => {
            return vec![
                deny(
                    rendered,
                    rule::CONNECTION,
                    "/bq_connection_id",
                    format!("there is no connection {name}"),
                )
                .help("create it in BigQuery, or correct policies/estate.yaml"),
            ];
        }
        Some(Seen::Unreadable(why)) => {
            return vec![
                deny(
                    rendered,
                    rule::CONNECTION,
                    "/bq_connection_id",
                    format!("{name} can not be read: {why}"),
                )
                .help("the bot needs bigquery.connections.get on it"),
            ];
        }
    };
    let mut findings = Vec::new();
    if *instance != bound.instance {
        let message = format!(
            "the connection leads to `{instance}`, and the estate says `{}`",
            bound.instance
        );
        findings.push(deny(
            rendered,
            rule::CONNECTION,
            "/bq_connection_id",
            message,
        ));
    }
    if *database != bound.pipeline.database {
        let message = format!(
            "the connection leads to the database `{database}`, not `{}`",
            bound.pipeline.database
        );
        findings.push(
            deny(rendered, rule::CONNECTION, "/db_catalog_name", message)
                .help("one connection reaches one database: use the connection of this one"),
        );
    }
    findings
}

fn dataset(rendered: &Rendered, google: &Google) -> Option<Finding> {
    let pipeline = &rendered.bound.pipeline;
    let key = (pipeline.project.clone(), pipeline.dataset.clone());
    match google.datasets.get(&key) {
        Some(Seen::Found(live)) if live.location != rendered.bound.location => {
            let message = format!(
                "the dataset is in `{}`, and the connection in `{}`",
                live.location, rendered.bound.location
            );
            Some(
                deny(
                    rendered,
                    rule::DATASET_LOCATION,
                    "/bq_dataset_name",
                    message,
                )
                .help("a dataset can not move: choose another name, or delete it yourself"),
            )
        }
        _ => None,
    }
}

/// What can not be read can not be planned: a missing answer is never taken for absence.
fn unreadable(rendered: &Rendered, google: &Google) -> Vec<Finding> {
    let mut reasons = Vec::new();
    for key in rendered.objects.keys() {
        let why = match key {
            ObjectKey::ServiceAccount(account) => match google.accounts.get(account) {
                Some(Seen::Unreadable(why)) => Some(why),
                _ => None,
            },
            ObjectKey::Dataset { project, dataset } => {
                match google.datasets.get(&(project.clone(), dataset.clone())) {
                    Some(Seen::Unreadable(why)) => Some(why),
                    _ => None,
                }
            }
            ObjectKey::Grant(grant) => match google.policies.get(&grant.resource) {
                Some(Seen::Unreadable(why)) => Some(why),
                _ => None,
            },
            ObjectKey::Kubernetes { .. } => None,
        };
        if let Some(why) = why {
            let message = match key {
                ObjectKey::Grant(grant) => {
                    format!("the policy of {} can not be read: {why}", grant.resource)
                }
                key => format!("{key} can not be read: {why}"),
            };
            reasons.push(message);
        }
    }
    reasons.sort();
    reasons.dedup();
    reasons
        .into_iter()
        .map(|message| deny(rendered, rule::OBSERVED, "", message))
        .collect()
}
