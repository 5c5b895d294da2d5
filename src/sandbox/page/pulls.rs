//! The pull requests as the page shows them: conversation, files, checks.

use serde::Serialize;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::sandbox::github::{Changed, CheckRun, Github, PullRequest, PullState, ReviewState};

use super::markdown;

/// One pull request, whole.
#[derive(Debug, Serialize)]
pub(super) struct Pull {
    pub number: u64,
    pub title: String,
    pub author: String,
    pub branch: String,
    pub head: String,
    /// `open`, `merged` or `closed`.
    pub state: &'static str,
    pub conflicts: bool,
    pub at: i64,
    pub conversation: Vec<Said>,
    pub files: Vec<File>,
    pub check: Option<Check>,
    /// The logins of those whose last word is an approval, and whether it was for this head.
    pub approvals: Vec<Approval>,
}

#[derive(Debug, Serialize)]
pub(super) struct Approval {
    pub login: String,
    pub current: bool,
}

/// Something in the conversation.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    /// Never the same twice in a pull request.
    pub id: String,
    /// `comment`, `review`, `push`, `merge` or `close`.
    pub kind: &'static str,
    pub login: String,
    pub bot: bool,
    pub at: i64,
    pub edited: bool,
    pub text: String,
    /// Of a comment: safe to be shown as it is.
    pub html: String,
    pub reactions: Vec<String>,
}

/// A changed file, line by line.
#[derive(Debug, Serialize)]
pub(super) struct File {
    pub path: String,
    /// `added`, `removed` or `modified`.
    pub status: &'static str,
    pub lines: Vec<Line>,
    /// Its text at the head; none if it is removed.
    pub text: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// `+`, `-` or a blank.
    pub sign: char,
    pub old: Option<usize>,
    pub new: Option<usize>,
    pub text: String,
    pub notes: Vec<Note>,
}

/// An annotation.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Note {
    pub path: String,
    pub line: usize,
    pub level: String,
    pub title: String,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub id: u64,
    pub name: String,
    pub conclusion: String,
    pub title: String,
    pub summary: String,
    pub text: String,
    pub notes: Vec<Note>,
    pub buttons: Vec<Value>,
}

/// All of them, newest first.
///
/// # Errors
/// If their commits can not be read.
pub(super) fn pulls(github: &Github) -> anyhow::Result<Vec<Pull>> {
    let mut pulls = github
        .pull_requests()
        .into_iter()
        .map(|pull| shown(github, pull))
        .collect::<anyhow::Result<Vec<_>>>()?;
    pulls.reverse();
    Ok(pulls)
}

fn shown(github: &Github, pull: PullRequest) -> anyhow::Result<Pull> {
    let newest = github.check_runs(&pull.head_sha).into_iter();
    let check = newest.max_by_key(|run| run.id).map(check);
    let notes = check.as_ref().map_or(&[][..], |check| &check.notes);
    let changed = github.changed(pull.number)?;
    let files = changed.into_iter().map(|file| lined(file, notes)).collect();
    let mut approvals: Vec<Approval> = Vec::new();
    for review in &pull.reviews {
        if review.state == ReviewState::Commented {
            continue;
        }
        approvals.retain(|one| one.login != review.login);
        if review.state == ReviewState::Approved {
            approvals.push(Approval {
                login: review.login.clone(),
                current: review.commit == pull.head_sha,
            });
        }
    }
    Ok(Pull {
        conversation: conversation(github, &pull)?,
        number: pull.number,
        state: match pull.state {
            PullState::Open => "open",
            PullState::Merged { .. } => "merged",
            PullState::Closed { .. } => "closed",
        },
        conflicts: pull.state == PullState::Open && pull.test_merge.is_none(),
        title: pull.title,
        author: pull.author,
        branch: pull.head_ref,
        head: short(&pull.head_sha),
        at: pull.created_at,
        files,
        check,
        approvals,
    })
}

fn conversation(github: &Github, pull: &PullRequest) -> anyhow::Result<Vec<Said>> {
    let said = |id: String, kind, login: &str, at, text: String| Said {
        id,
        kind,
        login: login.to_owned(),
        bot: login.ends_with("[bot]"),
        at,
        edited: false,
        text,
        html: String::new(),
        reactions: Vec::new(),
    };
    let mut all = Vec::new();
    for pushed in github.pushed(pull.number)? {
        let sha = short(&pushed.sha);
        let text = format!("pushed {sha}: {}", pushed.message.trim());
        let id = format!("push-{sha}");
        all.push(said(id, "push", &pushed.login, pushed.at, text));
    }
    for comment in github.comments(pull.number) {
        let id = format!("comment-{}", comment.id);
        let emoji = |content: &str| match content {
            "eyes" => "👀",
            "rocket" => "🚀",
            "confused" => "😕",
            "+1" => "👍",
            "-1" => "👎",
            "heart" => "❤️",
            "hooray" => "🎉",
            _ => "🙂",
        };
        all.push(Said {
            edited: comment.updated_at > comment.created_at,
            html: markdown::html(&comment.body),
            reactions: comment
                .reactions
                .iter()
                .map(|reaction| emoji(&reaction.content).to_owned())
                .collect(),
            ..said(
                id,
                "comment",
                &comment.login,
                comment.created_at,
                String::new(),
            )
        });
    }
    for review in &pull.reviews {
        let what = match review.state {
            ReviewState::Approved => "approved",
            ReviewState::ChangesRequested => "asked for changes to",
            ReviewState::Commented => "looked at",
        };
        let text = format!("{what} {}", short(&review.commit));
        let id = format!("review-{}", review.id);
        all.push(said(id, "review", &review.login, review.submitted_at, text));
    }
    match &pull.state {
        PullState::Open => {}
        PullState::Merged { at, by, .. } => {
            let text = "merged it into main".to_owned();
            all.push(said("merge".to_owned(), "merge", by, *at, text));
        }
        PullState::Closed { at } => {
            let text = "closed without merging".to_owned();
            all.push(said("close".to_owned(), "close", "", *at, text));
        }
    }
    all.sort_by_key(|one| one.at);
    Ok(all)
}

fn short(sha: &str) -> String {
    sha.chars().take(8).collect()
}

fn lined(file: Changed, notes: &[Note]) -> File {
    let before = file.before.as_deref().unwrap_or_default();
    let after = file.after.as_deref().unwrap_or_default();
    let diff = TextDiff::from_lines(before, after);
    let lines = diff.iter_all_changes().map(|change| {
        let new = change.new_index().map(|at| at + 1);
        let mine =
            |note: &&Note| note.path == file.path && Some(note.line) == new && file.after.is_some();
        Line {
            sign: match change.tag() {
                ChangeTag::Insert => '+',
                ChangeTag::Delete => '-',
                ChangeTag::Equal => ' ',
            },
            old: change.old_index().map(|at| at + 1),
            new,
            text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
            notes: notes.iter().filter(mine).cloned().collect(),
        }
    });
    File {
        status: match (&file.before, &file.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "modified",
        },
        lines: lines.collect(),
        path: file.path,
        text: file.after,
    }
}

fn check(run: CheckRun) -> Check {
    let part = |text: &Option<String>| markdown::html(text.as_deref().unwrap_or_default());
    Check {
        id: run.id,
        name: run.name,
        conclusion: run.conclusion.unwrap_or(run.status),
        title: run.title.unwrap_or_default(),
        summary: part(&run.summary),
        text: part(&run.text),
        notes: run.annotations.iter().map(note).collect(),
        buttons: run.actions,
    }
}

fn note(sent: &Map<String, Value>) -> Note {
    let text = |key: &str| {
        let found = sent.get(key).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let line = sent.get("end_line").and_then(Value::as_u64);
    Note {
        path: text("path"),
        line: usize::try_from(line.unwrap_or_default()).unwrap_or_default(),
        level: text("annotation_level"),
        title: text("title"),
        message: text("message"),
    }
}
