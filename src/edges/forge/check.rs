//! Our check run: the verdict beside the merge button and the notes on the lines.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::digest::split_block;
use super::wire::encoded;
use super::{AppIdWire, Forge, ForgeError};
use crate::name::CommitSha;

/// The check run that can be required and that holds the reviewed digests.
pub const NAME: &str = "pipewright";

/// GitHub's limits. It counts some in characters and some in bytes; in bytes all hold.
const LONGEST_TITLE: usize = 255;
const LONGEST_TEXT: usize = 65_535;
const MOST_ANNOTATIONS: usize = 50;

/// What a check run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    pub name: String,
    pub head: CommitSha,
    pub state: CheckState,
    pub title: String,
    pub summary: String,
    /// Ends in [`digest_block`](super::digest::digest_block) where there is a plan.
    pub text: String,
    pub annotations: Vec<Annotation>,
    /// Differs whenever annotations or digests do: then there is a new run.
    pub external_id: String,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    InProgress,
    Completed(Conclusion),
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    Success,
    Failure,
    Neutral,
    ActionRequired,
}

/// A note on lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    /// Columns are shown only when both lines are the same: GitHub refuses others.
    pub start_column: Option<u32>,
    pub end_column: Option<u32>,
    pub level: AnnotationLevel,
    pub title: String,
    pub message: String,
}

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationLevel {
    Notice,
    Warning,
    Failure,
}

impl Forge {
    /// Makes our check run of that name at that head show this, and returns its id.
    ///
    /// Annotations can be added but never taken away, nor can a finished run start again;
    /// where that would be needed a new run takes the old one's place.
    ///
    /// # Errors
    /// If GitHub refuses it or does not answer. Put again, it goes on where it stopped.
    pub async fn put_check_run(&self, wanted: &CheckRun) -> Result<u64, ForgeError> {
        let head = &wanted.head;
        let shown = BodyWire::of(wanted);
        let notes: Vec<AnnotationWire<'_>> =
            wanted.annotations.iter().map(AnnotationWire::of).collect();
        let newest = self.our_runs(head, &wanted.name).await?.pop();
        let (id, sent) = match next(newest.as_ref(), &shown, notes.len()) {
            Next::Keep(id) => return Ok(id),
            Next::Patch { id, sent } => (Some(id), sent),
            Next::Create => (None, 0),
        };

        let attempt = format!("write check run `{}` at {}", wanted.name, head.short());
        let mut rest = notes.get(sent..).unwrap_or_default();
        let mut id = id;
        loop {
            let (batch, later) = rest
                .split_at_checked(MOST_ANNOTATIONS)
                .unwrap_or((rest, &[]));
            let body = shown.with(batch);
            let run: IdWire = match id {
                None => {
                    self.post(&attempt, &self.path("/check-runs"), &body)
                        .await?
                }
                Some(id) => {
                    let path = self.path(&format!("/check-runs/{id}"));
                    self.patch(&attempt, &path, &body).await?
                }
            };
            if later.is_empty() {
                return Ok(run.id);
            }
            (rest, id) = (later, Some(run.id));
        }
    }

    /// Our App's check runs of this name at `head`, the newest last. Other Apps and
    /// workflows can make runs of the same name.
    pub(super) async fn our_runs(
        &self,
        head: &CommitSha,
        name: &str,
    ) -> Result<Vec<RunWire>, ForgeError> {
        let path = self.path(&format!(
            "/commits/{head}/check-runs?check_name={}&app_id={}&filter=all",
            encoded(name),
            self.inner.app_id
        ));
        let attempt = format!("list check runs at {}", head.short());
        let mut runs: Vec<RunWire> = Vec::new();
        let keep = |run: RunWire| {
            if run.name == name && self.is_our_app(run.app.as_ref()) {
                runs.push(run);
            }
            ControlFlow::Continue(())
        };
        self.pages(&attempt, &path, |page: RunsWire| page.check_runs, keep)
            .await?;
        runs.sort_by_key(|run| run.id);
        Ok(runs)
    }
}

/// What has to be sent.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Keep(u64),
    /// `sent` annotations are there already.
    Patch {
        id: u64,
        sent: usize,
    },
    Create,
}

fn next(newest: Option<&RunWire>, wanted: &BodyWire<'_>, notes: usize) -> Next {
    let Some(run) = newest else {
        return Next::Create;
    };
    let id = run.id;
    let there = run.output.annotations_count.unwrap_or(0);
    let same_source = run.external_id.as_deref().unwrap_or_default() == wanted.external_id;
    // What a finished run showed stays readable: an approval counts for what was shown
    // when it was given.
    if run.is_completed() && (wanted.conclusion.is_none() || !same_source) {
        return Next::Create;
    }
    if there > 0 && (!same_source || there > notes) {
        return Next::Create;
    }
    let conclusion = wanted.conclusion.map(Conclusion::as_str);
    let same = there == notes
        && same_source
        && run.status == wanted.status
        && run.conclusion.as_deref() == conclusion
        && same_text(run.title(), wanted.output.title)
        && same_text(run.summary(), wanted.output.summary)
        && same_text(run.text(), &wanted.output.text);
    if same {
        Next::Keep(id)
    } else {
        Next::Patch { id, sent: there }
    }
}

/// GitHub may hand a text back with other line ends, and without blanks at its end.
pub(super) fn same_text(left: &str, right: &str) -> bool {
    let lines = |text: &str| text.trim_end().replace("\r\n", "\n");
    lines(left) == lines(right)
}

/// At most `limit` bytes of `text`, whole characters.
fn clipped(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// Fits `text` by cutting before its digests: losing them would void the review.
fn clipped_text(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let (before, block) = split_block(text);
    match LONGEST_TEXT.checked_sub(block.len() + 1) {
        Some(room) if !block.is_empty() => format!("{}\n{block}", clipped(before, room)),
        _ => clipped(text, LONGEST_TEXT).to_owned(),
    }
}

impl Conclusion {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::ActionRequired => "action_required",
        }
    }
}

#[derive(Serialize, Clone)]
struct BodyWire<'a> {
    name: &'a str,
    head_sha: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Conclusion>,
    external_id: &'a str,
    output: OutputBody<'a>,
}

#[derive(Serialize, Clone)]
struct OutputBody<'a> {
    title: &'a str,
    summary: &'a str,
    text: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    annotations: &'a [AnnotationWire<'a>],
}

impl<'a> BodyWire<'a> {
    fn of(wanted: &'a CheckRun) -> Self {
        let (status, conclusion) = match wanted.state {
            CheckState::InProgress => ("in_progress", None),
            CheckState::Completed(conclusion) => ("completed", Some(conclusion)),
        };
        Self {
            name: &wanted.name,
            head_sha: wanted.head.as_str(),
            status,
            conclusion,
            external_id: &wanted.external_id,
            output: OutputBody {
                title: clipped(&wanted.title, LONGEST_TITLE),
                summary: clipped(&wanted.summary, LONGEST_TEXT),
                text: clipped_text(&wanted.text),
                annotations: &[],
            },
        }
    }

    fn with(&self, annotations: &'a [AnnotationWire<'a>]) -> Self {
        let mut body = self.clone();
        body.output.annotations = annotations;
        body
    }
}

#[derive(Serialize)]
struct AnnotationWire<'a> {
    path: &'a str,
    start_line: u32,
    end_line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<u32>,
    annotation_level: AnnotationLevel,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    message: &'a str,
}

impl<'a> AnnotationWire<'a> {
    fn of(note: &'a Annotation) -> Self {
        let one_line = note.start_line == note.end_line;
        Self {
            path: &note.path,
            start_line: note.start_line,
            end_line: note.end_line,
            start_column: note.start_column.filter(|_| one_line),
            end_column: note.end_column.filter(|_| one_line),
            annotation_level: note.level,
            title: clipped(&note.title, LONGEST_TITLE),
            message: clipped(&note.message, LONGEST_TEXT),
        }
    }
}

#[derive(Deserialize)]
struct IdWire {
    id: u64,
}

#[derive(Deserialize)]
struct RunsWire {
    check_runs: Vec<RunWire>,
}

/// A check run as GitHub shows it.
#[derive(Deserialize)]
pub(super) struct RunWire {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    external_id: Option<String>,
    app: Option<AppIdWire>,
    pub(super) completed_at: Option<jiff::Timestamp>,
    #[serde(default)]
    output: OutputWire,
}

#[derive(Deserialize, Default)]
struct OutputWire {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    annotations_count: Option<usize>,
}

impl RunWire {
    pub(super) fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    pub(super) fn text(&self) -> &str {
        self.output.text.as_deref().unwrap_or_default()
    }

    fn title(&self) -> &str {
        self.output.title.as_deref().unwrap_or_default()
    }

    fn summary(&self) -> &str {
        self.output.summary.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
