//! The line: one passage for one lane. All reads, then all thinking, then all writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Clock;
use crate::edges::git::SnapshotRead;
use crate::event::{Lane, PullNumber};
use crate::name::{CommitSha, PipelineName};
use crate::object::Kind;
use crate::plan::approve::{ApprovedPlan, Mandate, Refusal, approve};
use crate::plan::commanded::Commanded;
use crate::plan::outcome::Outcomes;
use crate::plan::{Plan, plan};
use crate::proposal::propose;
use crate::render::House;
use crate::snapshot::Revisions;

use super::apply::apply;
use super::observe::observe;
use super::{Edges, consent, inventory};

/// What one passage is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub lane: Lane,
    pub revisions: Revisions,
    /// Merged pull requests that are known to wait for an answer.
    pub pulls: BTreeSet<PullNumber>,
    /// What was asked for by `/apply`.
    pub commanded: BTreeSet<Commanded>,
    /// What was mended so often lately that it is left as it is.
    pub contended: BTreeSet<(Kind, String)>,
    /// If it is about these objects alone, because somebody changed them.
    pub drifted: Option<BTreeSet<(Kind, String)>>,
}

/// What one passage came to.
#[derive(Debug)]
pub enum Passage {
    /// Base and head do not merge: there is nothing to plan.
    Conflict {
        files: Vec<String>,
    },
    /// Something newer waits: nothing was written.
    Superseded,
    Planned(Box<Planned>),
}

#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    pub approved: Result<ApprovedPlan, Refusal>,
    pub outcomes: Outcomes,
    /// The pull requests that were asked for consent, and the pipelines each had shown.
    pub shown: BTreeMap<PullNumber, BTreeSet<PipelineName>>,
}

/// Passes the line once. `superseded` is asked right before the first write to a plane.
///
/// # Errors
/// If the world can not be read. What can not be written is among the outcomes.
pub async fn reconcile(
    edges: &Edges,
    house: &House,
    run: &Run,
    clock: &Clock,
    superseded: &(dyn Fn() -> bool + Sync),
) -> anyhow::Result<Passage> {
    let snapshot = match edges.git.snapshot(&run.revisions).await? {
        SnapshotRead::Snapshot(snapshot) => snapshot, // edge, read only
        SnapshotRead::Conflict { files } => return Ok(Passage::Conflict { files }),
    };
    let proposal = propose(&snapshot, house).about(run.drifted.as_ref()); // pure, total
    let observed = observe(edges, &proposal).await?; // edges, read only
    let plan = plan(&proposal, &observed); // pure, total
    let mandate = match applies(run) {
        Some(commit) => consent::read(edges, &plan, commit, run).await?, // edge, read only
        None => Mandate::ReadOnly,
    };
    let approved = approve(&plan, &mandate); // pure; the only maker of an ApprovedPlan
    let outcomes = match &approved {
        Ok(_) if superseded() => return Ok(Passage::Superseded),
        Ok(approved) => {
            inventory::open(edges, house, &plan, approved, clock).await;
            apply(edges, approved, clock).await // the only place that writes to a plane
        }
        Err(_) => Outcomes::default(),
    };
    Ok(Passage::Planned(Box::new(Planned {
        plan,
        approved,
        outcomes,
        shown: shown(&mandate),
    })))
}

/// The commit to apply: only the default branch's lane applies, and only a commit of it.
fn applies(run: &Run) -> Option<&CommitSha> {
    match (&run.lane, &run.revisions) {
        (Lane::Default, Revisions::Default { commit }) => Some(commit),
        _ => None,
    }
}

fn shown(mandate: &Mandate) -> BTreeMap<PullNumber, BTreeSet<PipelineName>> {
    match mandate {
        Mandate::ReadOnly => BTreeMap::new(),
        Mandate::Apply { reviewed, .. } => reviewed
            .iter()
            .map(|pull| (pull.number, pull.digests.keys().cloned().collect()))
            .collect(),
    }
}
