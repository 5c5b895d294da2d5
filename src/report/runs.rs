//! Runs: how the ones that were asked for ended, and how the last ones went.

use jiff::Timestamp;

use crate::name::PipelineName;
use crate::sync::{CopyMode, Outcome, RunReport, TableReport};

use super::markdown::{code, count, details, html_code, prose, table};
use super::words;

/// Bytes that a table of runs may take.
const ROOM: usize = 14_000;
/// Bytes that all tables of tables may take together.
const TABLES_ROOM: usize = 30_000;

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
    /// What the runner says of each table, if it came to say something.
    pub report: Option<RunReport>,
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
    let told: Vec<(&Run, &RunReport)> = runs
        .iter()
        .filter_map(|run| Some((run, run.report.as_ref()?)))
        .collect();
    let room = TABLES_ROOM / told.len().max(1);
    let mut reply = format!(
        "{}: {all}, {}\n\n{}",
        code(line),
        parts.join(", "),
        rows(runs)
    );
    for (run, report) in told.iter().filter(|(_, report)| !report.tables.is_empty()) {
        reply.push_str("\n\n");
        reply.push_str(&tables(run, report, room));
    }
    reply
}

/// What became of each table, failures first, folded.
fn tables(run: &Run, report: &RunReport, room: usize) -> String {
    let shown = report.tables.iter().map(|table| {
        let number = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        [
            code(&table.table),
            result(table),
            mode(table.mode).to_owned(),
            number(table.rows),
            number(table.bytes),
            prose(&table.notes.join(" ")),
        ]
    });
    let header = ["Table", "Result", "Mode", "Rows", "Bytes", "Notes"];
    let (shown, left_out) = table(header, shown, room);
    let left_out = left_out + report.left_out;
    let totals = &report.totals;
    let summary = format!(
        "{}: {} copied, {} skipped, {} failed",
        html_code(&run.workflow),
        totals.copied,
        totals.skipped,
        totals.failed
    );
    details(&summary, &words::with_more(shown, left_out))
}

fn result(table: &TableReport) -> String {
    match &table.result {
        Outcome::Copied => "copied".to_owned(),
        Outcome::Skipped(why) => format!("skipped: {}", prose(why)),
        Outcome::Failed(failure) => format!("**failed:** {}", prose(&failure.error)),
    }
}

fn mode(mode: CopyMode) -> &'static str {
    match mode {
        CopyMode::Full => "full",
        CopyMode::Chunked => "in chunks",
        CopyMode::Incremental => "incremental",
    }
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
