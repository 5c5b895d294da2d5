//! Runs: how the ones that were asked for ended, and how the last ones went.

use jiff::Timestamp;

use crate::name::PipelineName;

use super::markdown::{code, count, prose, table};
use super::words;

/// Bytes that a table of runs may take.
const ROOM: usize = 14_000;

/// One run of a pipeline, as Argo tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub pipeline: PipelineName,
    /// Name of the Workflow.
    pub workflow: String,
    pub phase: Phase,
    /// The run's own words.
    pub message: Option<String>,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Error,
    /// It was begun once, and is no longer there to tell.
    Gone,
    /// The pipeline was never applied, so there is nothing to run.
    NotApplied,
}

/// What became of a `/rerun`. `line` is its text.
pub fn rerun_reply(line: &str, runs: &[Run]) -> String {
    let number = |phases: &[Phase]| {
        let of_these = runs.iter().filter(|run| phases.contains(&run.phase));
        of_these.count()
    };
    let parts: Vec<String> = [
        (number(&[Phase::Succeeded]), "succeeded"),
        (number(&[Phase::Failed, Phase::Error]), "failed"),
        (number(&[Phase::Pending, Phase::Running]), "not ended"),
        (number(&[Phase::Gone]), "unknown"),
        (number(&[Phase::NotApplied]), "not begun"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let all = count(runs.len(), "run", "runs");
    if runs.is_empty() {
        return format!("{}: nothing was run.", code(line));
    }
    format!(
        "{}: {all}, {}\n\n{}",
        code(line),
        parts.join(", "),
        rows(runs)
    )
}

/// A row for each run, in the given order.
pub(super) fn rows<'r>(runs: impl IntoIterator<Item = &'r Run>) -> String {
    let rows = runs.into_iter().map(|run| {
        [
            code(run.pipeline.as_str()),
            code(&run.workflow),
            phase(run.phase).to_owned(),
            run.message.as_deref().map(prose).unwrap_or_default(),
            time(run.started),
            time(run.finished),
        ]
    });
    let header = [
        "Pipeline",
        "Run",
        "Phase",
        "What it says",
        "Started",
        "Ended",
    ];
    let (rows, left_out) = table(header, rows, ROOM);
    words::with_more(rows, left_out)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "**Failed**",
        Phase::Error => "**Error**",
        Phase::Gone => "**unknown**, its run is gone",
        Phase::NotApplied => "**not begun:** the pipeline is not applied yet",
    }
}

fn time(time: Option<Timestamp>) -> String {
    match time {
        Some(time) => code(&time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        None => String::new(),
    }
}
