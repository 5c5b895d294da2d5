//! Consent, read again right before it is needed.

use std::collections::BTreeSet;

use crate::event::PullNumber;
use crate::name::{CommitSha, Owner, PipelineName};
use crate::plan::Plan;
use crate::plan::approval::{Memberships, Reviewed};
use crate::plan::approve::Mandate;
use crate::plan::commanded::Commanded;

use super::Edges;
use super::reconcile::Run;

/// How many of the last merged pull requests are asked about a pipeline that waits.
const LOOK_BACK: usize = 50;

/// Reads the reviews that may speak for what the plan would write: those of the merged pull
/// requests (and of the run's own, which may have been merged long ago), until each waiting
/// pipeline was shown by one. Where nothing waits, nothing is read.
///
/// # Errors
/// If GitHub can not be read.
pub(super) async fn read(
    edges: &Edges,
    plan: &Plan,
    commit: &CommitSha,
    run: &Run,
) -> anyhow::Result<Mandate> {
    let mut waiting: BTreeSet<&PipelineName> = plan
        .pipelines
        .keys()
        .filter(|name| plan.awaits_review(name))
        .collect();
    let mut reviewed: Vec<Reviewed> = Vec::new();
    for number in candidates(edges, &waiting, &run.pulls).await? {
        if waiting.is_empty() {
            break;
        }
        let pull = edges.forge.reviewed(number).await?;
        waiting.retain(|name| !pull.digests.contains_key(*name));
        reviewed.push(pull);
    }
    let memberships = memberships(edges, plan, &reviewed, &run.commanded).await?;
    Ok(Mandate::Apply {
        contended: run.contended.clone(),
        commit: commit.clone(),
        reviewed,
        commanded: run.commanded.iter().cloned().collect(),
        memberships,
    })
}

/// The merged pull requests to ask, the one that was merged last first: whichever showed a
/// pipeline last speaks for it, and nobody can put an older one in its place.
async fn candidates(
    edges: &Edges,
    waiting: &BTreeSet<&PipelineName>,
    pulls: &BTreeSet<PullNumber>,
) -> anyhow::Result<Vec<PullNumber>> {
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let mut candidates = edges.forge.merged_pull_requests(LOOK_BACK).await?;
    let listed: BTreeSet<PullNumber> = candidates.iter().map(|pull| pull.number).collect();
    for number in pulls.difference(&listed) {
        candidates.push(edges.forge.pull_request(*number).await?);
    }
    candidates.sort_by_key(|pull| std::cmp::Reverse((pull.merged_at, pull.number)));
    Ok(candidates.into_iter().map(|pull| pull.number).collect())
}

/// Asks only about the teams that own what waits, and the people who agreed to it.
async fn memberships(
    edges: &Edges,
    plan: &Plan,
    reviewed: &[Reviewed],
    commanded: &BTreeSet<Commanded>,
) -> anyhow::Result<Memberships> {
    let teams: BTreeSet<Owner> = plan
        .pipelines
        .iter()
        .filter(|(name, _)| plan.awaits_review(name))
        .flat_map(|(_, pipeline)| &pipeline.consenting)
        .flat_map(|project| plan.policies.estate.consenting_owners(project))
        // They speak for all where only the house changed something.
        .chain(
            plan.policies
                .estate
                .owners
                .iter()
                .filter(|_| !commanded.is_empty())
                .cloned(),
        )
        .filter(|owner| owner.team().is_some())
        .collect();
    let logins: BTreeSet<String> = reviewed
        .iter()
        .flat_map(|pull| {
            pull.approvals
                .iter()
                .map(|review| review.login.as_str())
                .chain(pull.speaking_author())
                .map(str::to_owned)
        })
        .chain(commanded.iter().map(|one| one.actor.clone()))
        .collect();
    if teams.is_empty() || logins.is_empty() {
        return Ok(Memberships::default());
    }
    Ok(edges.forge.memberships(&teams, &logins).await?)
}
