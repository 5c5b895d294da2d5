//! A pipeline's Record: begun before the first of its Steps, ended after the last.

use std::collections::BTreeMap;

use crate::name::{CommitSha, PipelineName};

use super::approve::Approval;
use super::record::{Applied, Approved, By, Record, VERSION, list};
use super::steps::{Step, Write, pipelines};
use super::{Intent, PipelinePlan, Plan};

/// What begins the approved pipelines. A Record that says it already need not say it again:
/// what is only mended was given before.
pub(super) fn beginning(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
    commit: &CommitSha,
) -> Vec<Step> {
    pipelines(plan, approved)
        .filter_map(|(name, pipeline, approval)| {
            let record = begin(name, pipeline, approval, commit);
            (pipeline.record.as_ref() != Some(&record)).then(|| Step {
                write: Write::BeginRecord(record),
                pipelines: [name.clone()].into(),
            })
        })
        .collect()
}

/// What ends the approved pipelines, each once all of its Steps are done and reported.
pub(super) fn closing(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
    commit: &CommitSha,
) -> Vec<Step> {
    pipelines(plan, approved)
        .flat_map(|(name, pipeline, approval)| end(name, pipeline, approval, commit))
        .collect()
}

fn begin(
    name: &PipelineName,
    pipeline: &PipelinePlan,
    approval: &Approval,
    commit: &CommitSha,
) -> Record {
    let mut keys = pipeline.recorded.clone();
    keys.extend(pipeline.desired.clone());
    let before = pipeline.record.as_ref();
    let allowed = |by, pull, since| Approved {
        digest: pipeline.digest.clone(),
        commit: commit.clone(),
        by,
        pull,
        since,
        source: pipeline.source.clone(),
        adopts: pipeline.adopts.iter().cloned().collect(),
    };
    Record {
        version: VERSION,
        pipeline: name.clone(),
        path: pipeline.path.clone(),
        approved: match (approval, before) {
            // What is resumed keeps the name of what allowed it.
            (Approval::Recorded, Some(record)) => record.approved.clone(),
            (Approval::Recorded, None) => allowed(By::Review, None, None),
            (Approval::Reviewed { pull, merged_at }, _) => {
                allowed(By::Review, Some(*pull), *merged_at)
            }
            (Approval::Commanded { pull, at }, _) => allowed(By::Command, Some(*pull), Some(*at)),
        },
        applied: before.and_then(|record| record.applied.clone()),
        keys: list(&keys),
    }
}

fn end(
    name: &PipelineName,
    pipeline: &PipelinePlan,
    approval: &Approval,
    commit: &CommitSha,
) -> Vec<Step> {
    let step = |write| Step {
        write,
        pipelines: [name.clone()].into(),
    };
    let mut steps = Vec::new();
    if pipeline.intent == Intent::Remove {
        steps.push(step(Write::RemoveRecord {
            pipeline: name.clone(),
        }));
    } else {
        let begun = begin(name, pipeline, approval, commit);
        let mut record = begun.clone();
        record.keys = list(&pipeline.desired);
        record.approved.adopts = Vec::new();
        // What is only mended is what it was: another commit alone is no reason to write.
        let is_it = |applied: &Applied| applied.digest == pipeline.settled;
        if !record.applied.as_ref().is_some_and(is_it) {
            record.applied = Some(Applied {
                digest: pipeline.settled.clone(),
                commit: commit.clone(),
            });
        }
        let known = pipeline.record.as_ref();
        if known != Some(&begun) || known != Some(&record) {
            steps.push(step(Write::EndRecord(record)));
        }
    }
    if let Some(old) = &pipeline.renamed_from {
        steps.push(step(Write::RemoveRecord {
            pipeline: old.clone(),
        }));
    }
    steps
}
