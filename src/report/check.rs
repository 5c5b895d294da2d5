//! The check run: the verdict beside the merge button, and the notes on the lines.

use crate::finding::{Finding, Severity, Span};
use crate::plan::Plan;

use super::budget::{LIMIT, fit};
use super::facts::Facts;
use super::markdown::{count, plain};
use super::{review, words};

/// What the check run shows of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub conclusion: Conclusion,
    /// One line of plain text.
    pub title: String,
    /// Markdown.
    pub summary: String,
    pub annotations: Vec<Note>,
}

/// How the check ended. A missing review is no failure: GitHub shows that by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failure,
}

/// A note on a place in a file, in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub path: String,
    /// Absent where it is about the whole file.
    pub span: Option<Span>,
    pub severity: Severity,
    pub title: String,
    pub message: String,
}

/// The verdict on a plan: a deny fails it.
pub fn check_summary(plan: &Plan) -> Check {
    let facts = Facts::of(plan);
    let denies = words::all_denies(plan).count();
    let title = match (denies, plan.pipelines.is_empty()) {
        (0, true) => "Nothing to do".to_owned(),
        (0, false) => words::pipelines(facts.intents()),
        (n, _) => format!("{} to mend", count(n, "finding", "findings")),
    };
    let summary = if plan.pipelines.is_empty() && plan.findings.is_empty() {
        "No pipeline changes.".to_owned()
    } else {
        fit(LIMIT, |detail, page| review::plan(&facts, detail, page))
    };
    Check {
        conclusion: if denies == 0 {
            Conclusion::Success
        } else {
            Conclusion::Failure
        },
        title,
        summary,
        annotations: plan.findings.iter().map(note).collect(),
    }
}

fn note(finding: &Finding) -> Note {
    let message = plain(&finding.message);
    Note {
        path: finding.path.clone(),
        span: finding.span,
        severity: finding.severity,
        title: plain(&finding.rule),
        message: match &finding.help {
            Some(help) => format!("{message}\nNext step: {}", plain(help)),
            None => message,
        },
    }
}
