//! The Steps of an apply, each with its end.

use std::collections::BTreeSet;

use crate::name::PipelineName;
use crate::plan::outcome::{Outcome, Outcomes};
use crate::plan::steps::{Step, Write};

use super::markdown::{code, count, details, prose, table};
use super::words;

/// Bytes that the table may take.
const ROOM: usize = 40_000;

/// The folded list of the Steps of these pipelines; empty if there are none.
pub(super) fn section(outcomes: &Outcomes, pipelines: &BTreeSet<PipelineName>) -> String {
    let (ours, others): (Vec<_>, Vec<_>) = outcomes
        .steps
        .iter()
        .partition(|(step, _)| !step.pipelines.is_disjoint(pipelines));
    if ours.is_empty() {
        return String::new();
    }
    let rows = ours
        .iter()
        .enumerate()
        .map(|(index, (step, outcome))| [(index + 1).to_string(), write(step), end(outcome)]);
    let (table, left_out) = table(["", "Step", "Outcome"], rows, ROOM);
    let mut body = words::with_more(table, left_out);
    if !others.is_empty() {
        body.push_str(&format!(
            "\n\nThe same apply had {} of other pipelines.",
            count(others.len(), "Step", "Steps")
        ));
    }
    details(&count(ours.len(), "Step", "Steps"), &body)
}

/// How a Step ended, in words.
pub(super) fn end(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Waiting(why) => format!("waits: {}", prose(why)),
        Outcome::Failed(error) => format!("**failed:** {}", prose(error)),
        Outcome::NotAttempted => "not attempted".to_owned(),
    }
}

/// What a Step writes, in words.
pub(super) fn write(step: &Step) -> String {
    match &step.write {
        Write::BeginRecord(record) => {
            format!("begin the Record of {}", code(record.pipeline.as_str()))
        }
        Write::CreateServiceAccount { account, .. } => {
            format!("create service account {}", code(&account.email()))
        }
        Write::CreateDataset { dataset, .. } => format!("create {}", words::resource(dataset)),
        Write::AddGrants { resource, grants } => format!(
            "add {} on {}",
            count(grants.len(), "grant", "grants"),
            words::resource(resource)
        ),
        Write::Apply { kind, name, .. } => format!("apply {} {}", kind.as_str(), code(name)),
        Write::Replace { kind, name, .. } => format!("replace {} {}", kind.as_str(), code(name)),
        Write::Delete { kind, name } => format!("prune {} {}", kind.as_str(), code(name)),
        Write::RemoveGrants { resource, grants } => format!(
            "remove {} on {}",
            count(grants.len(), "grant", "grants"),
            words::resource(resource)
        ),
        Write::DeleteServiceAccount { account } => {
            format!("prune service account {}", code(&account.email()))
        }
        Write::EndRecord(record) => {
            format!("end the Record of {}", code(record.pipeline.as_str()))
        }
        Write::RemoveRecord { pipeline } => {
            format!("remove the Record of {}", code(pipeline.as_str()))
        }
    }
}
