//! Approving: which of a plan's pipelines may be written, and the Steps that do it.
//!
//! The only maker of an [`ApprovedPlan`]. The unit is the pipeline: it moves to what it
//! shall be if it is approved at its digest, and otherwise keeps everything that its
//! Record holds. So a merge never carries an unreviewed neighbour along, and a held
//! neighbour holds nobody.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::event::PullNumber;
use crate::finding::Finding;
use crate::name::{CommitSha, Digest, Owner, PipelineName, ProjectId};
use crate::object::Kind;
use crate::snapshot::RepoPath;

use super::access::isolation_of;
use super::approval::{Memberships, Reviewed};
use super::commanded::{Commanded, by_command, is_confirmed};
use super::drift::{Left, left};
use super::outcome::Outcomes;
use super::prunes::{OverBudget, hold_over_budget};
use super::record::Record;
use super::record_steps::closing;
use super::steps::{Step, steps};
use super::voices::{missing_consent, voices};
use super::{Intent, Plan};

/// What a run may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mandate {
    /// Look only: a pull request's own run.
    ReadOnly,
    /// Apply what is approved on the default branch at `commit`.
    Apply {
        commit: CommitSha,
        /// The merged pull requests that may speak for a pipeline.
        reviewed: Vec<Reviewed>,
        /// What was asked for by `/apply`.
        commanded: Vec<Commanded>,
        memberships: Memberships,
        /// What was mended so often lately that somebody else must want it otherwise.
        contended: BTreeSet<(Kind, String)>,
    },
}

/// Why one pipeline may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// A merged pull request was reviewed at this digest, with every consent.
    Reviewed {
        pull: PullNumber,
        merged_at: Option<Timestamp>,
    },
    /// Owners named this digest in a comment, with every consent.
    Commanded { pull: PullNumber, at: Timestamp },
    /// It was approved before at this very digest: resumed, or mended.
    Recorded,
}

/// Why one pipeline is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It has deny findings.
    Denied { findings: usize },
    /// A file that can not be read may claim it.
    Blocked { path: RepoPath },
    /// No merged pull request shows this pipeline.
    Unreviewed,
    /// It was reviewed as something else.
    OtherDigest { pull: PullNumber, reviewed: Digest },
    /// Owners have not agreed.
    NoConsent {
        pull: PullNumber,
        missing: BTreeMap<ProjectId, BTreeSet<Owner>>,
    },
    /// It would remove more than the house allows at once.
    PruneBudget { prunes: usize, limit: u32 },
    /// Together with what held pipelines hold on to, it would break isolation.
    Isolation { why: String },
    /// The tree has no pipeline at all: more likely a mistake than a wish.
    EmptyTree,
    /// It has drifted, and is not mended.
    Drifted(Left),
}

/// Why nothing at all may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    ReadOnly,
    /// The policies themselves are broken.
    BrokenPolicies {
        findings: usize,
    },
}

/// Steps that may be carried out, in order. Nothing else can make one.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovedPlan {
    steps: Vec<Step>,
    closing: Vec<Step>,
    approved: BTreeMap<PipelineName, Approval>,
    held: BTreeMap<PipelineName, Held>,
    over_budget: Option<OverBudget>,
}

impl ApprovedPlan {
    /// What would be pruned, or is, if it is more than the house allows at once.
    pub fn over_budget(&self) -> Option<&OverBudget> {
        self.over_budget.as_ref()
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What ends each pipeline's Record, once its outcome was reported.
    pub fn closing(&self) -> &[Step] {
        &self.closing
    }

    /// Those of them that may be done: nothing of their pipelines is unfinished.
    pub fn ended(&self, outcomes: &Outcomes) -> impl Iterator<Item = &Step> {
        let unfinished: BTreeSet<PipelineName> =
            outcomes.unfinished().into_iter().cloned().collect();
        self.closing
            .iter()
            .filter(move |step| step.pipelines.is_disjoint(&unfinished))
    }

    pub fn approved(&self) -> &BTreeMap<PipelineName, Approval> {
        &self.approved
    }

    pub fn held(&self) -> &BTreeMap<PipelineName, Held> {
        &self.held
    }
}

/// Decides about every pipeline that has something to do.
///
/// # Errors
/// With the reason, if nothing at all may be written.
pub fn approve(plan: &Plan, mandate: &Mandate) -> Result<ApprovedPlan, Refusal> {
    let Mandate::Apply {
        commit,
        reviewed,
        commanded,
        memberships,
        contended,
    } = mandate
    else {
        return Err(Refusal::ReadOnly);
    };
    let denies = plan.house_denies().count();
    if denies > 0 {
        return Err(Refusal::BrokenPolicies { findings: denies });
    }
    let mut approved = BTreeMap::new();
    let mut held = BTreeMap::new();
    for name in plan.pipelines.keys() {
        match decide(plan, name, (reviewed, commanded), memberships, contended) {
            None => {}
            Some(Ok(approval)) => {
                approved.insert(name.clone(), approval);
            }
            Some(Err(why)) => {
                held.insert(name.clone(), why);
            }
        }
    }
    hold_for_isolation(plan, &mut approved, &mut held);
    let over_budget = hold_over_budget(plan, &mut approved, &mut held, |prunes| {
        is_confirmed(plan, prunes, commanded, memberships)
    });
    Ok(ApprovedPlan {
        over_budget,
        steps: steps(plan, &approved, commit),
        closing: closing(plan, &approved, commit),
        approved,
        held,
    })
}

/// `None` if there is nothing to decide.
fn decide(
    plan: &Plan,
    name: &PipelineName,
    (reviewed, commanded): (&[Reviewed], &[Commanded]),
    memberships: &Memberships,
    contended: &BTreeSet<(Kind, String)>,
) -> Option<Result<Approval, Held>> {
    let pipeline = plan.pipelines.get(name)?;
    if pipeline.intent == Intent::Blocked {
        return Some(Err(Held::Blocked {
            path: pipeline.path.clone(),
        }));
    }
    if !plan.is_pending(name) {
        return None;
    }
    let denies = plan
        .denies_of(name)
        .filter(|finding| Finding::is_deny(finding))
        .count();
    if denies > 0 {
        return Some(Err(Held::Denied { findings: denies }));
    }
    if pipeline.intent == Intent::Remove && plan.empty_tree {
        return Some(Err(Held::EmptyTree));
    }
    let newest = newest(plan, name, reviewed);
    if plan.is_recorded(name) {
        return Some(match left(plan, name, contended) {
            None => Ok(Approval::Recorded),
            Some(why) => by_command(plan, name, commanded, newest, memberships)
                .unwrap_or(Err(Held::Drifted(why))),
        });
    }
    Some(
        by_review(plan, name, &pipeline.digest, newest, memberships).or_else(|held| {
            by_command(plan, name, commanded, newest, memberships).unwrap_or(Err(held))
        }),
    )
}

/// The pull request that was merged last of those that showed the pipeline. An older one
/// never speaks again: its approval was for what has since been replaced, and a revert
/// needs a review of its own.
fn newest<'a>(plan: &Plan, name: &PipelineName, reviewed: &'a [Reviewed]) -> Option<&'a Reviewed> {
    let record = plan.pipelines.get(name).and_then(|one| one.record.as_ref());
    let since = record.and_then(|record| record.approved.since);
    reviewed
        .iter()
        .filter(|pull| pull.digests.contains_key(name) && pull.merged_at >= since)
        .max_by_key(|pull| (pull.merged_at, pull.number))
}

fn by_review(
    plan: &Plan,
    name: &PipelineName,
    digest: &Digest,
    newest: Option<&Reviewed>,
    memberships: &Memberships,
) -> Result<Approval, Held> {
    let Some((pull, shown)) = newest.and_then(|pull| Some((pull, pull.digests.get(name)?))) else {
        return Err(Held::Unreviewed);
    };
    if shown != digest {
        return Err(Held::OtherDigest {
            pull: pull.number,
            reviewed: shown.clone(),
        });
    }
    let missing = missing_consent(plan, name, &voices(name, digest, pull), memberships);
    if missing.is_empty() {
        Ok(Approval::Reviewed {
            pull: pull.number,
            merged_at: pull.merged_at,
        })
    } else {
        Err(Held::NoConsent {
            pull: pull.number,
            missing,
        })
    }
}

/// Holds pipelines that would meet, through an identity or in a dataset, what a held
/// neighbour still has. The plan alone can not tell: it knows no approvals.
fn hold_for_isolation(
    plan: &Plan,
    approved: &mut BTreeMap<PipelineName, Approval>,
    held: &mut BTreeMap<PipelineName, Held>,
) {
    let estate = &plan.policies.estate;
    let recorded = plan.records.values().flat_map(|record| record.keys.iter());
    let before = isolation_of(recorded.map(|given| &given.key), estate).violations;
    let wanted = approved
        .keys()
        .filter_map(|name| plan.pipelines.get(name))
        .flat_map(|pipeline| pipeline.desired.keys());
    let kept = held_records(plan, approved).flat_map(|record| record.keys.iter());
    let after = isolation_of(wanted.chain(kept.map(|given| &given.key)), estate).violations;
    for violation in after.iter().filter(|violation| !before.contains(violation)) {
        let involved: Vec<PipelineName> = approved
            .keys()
            .filter(|name| {
                plan.pipelines
                    .get(*name)
                    .is_some_and(|one| one.runs_as(&violation.accounts))
            })
            .cloned()
            .collect();
        for name in involved {
            approved.remove(&name);
            held.insert(
                name,
                Held::Isolation {
                    why: violation.text.clone(),
                },
            );
        }
    }
}

/// The Records that stay as they are: not approved, and not taken over by a new name.
pub(super) fn held_records<'a>(
    plan: &'a Plan,
    approved: &'a BTreeMap<PipelineName, Approval>,
) -> impl Iterator<Item = &'a Record> {
    let taken_over: BTreeSet<&PipelineName> = approved
        .keys()
        .filter_map(|name| plan.pipelines.get(name)?.renamed_from.as_ref())
        .collect();
    plan.records
        .iter()
        .filter(move |(name, _)| !approved.contains_key(*name) && !taken_over.contains(name))
        .map(|(_, record)| record)
}
