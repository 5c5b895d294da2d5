//! What a visitor of the page can do: as people on GitHub, and behind the bot's back.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::Event;
use crate::sandbox::github::{Change, ReviewState};
use crate::sandbox::kubernetes::{Ending, Tick};
use crate::sandbox::stage::{NAMESPACE, Stage};

use super::reach::{Grant, Reach};

/// GitHub's limit for a comment, which is enough for a pipeline's file, too.
const LONGEST: usize = 65_536;

/// One thing done. `login` is who does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Act {
    /// Opens a pull request that writes one file, or removes it if there is no text.
    Open {
        login: String,
        title: String,
        path: String,
        text: Option<String>,
    },
    /// Pushes an edit of one file to an open pull request.
    Edit {
        login: String,
        number: u64,
        path: String,
        text: String,
    },
    Comment {
        login: String,
        number: u64,
        text: String,
    },
    Review {
        login: String,
        number: u64,
        verdict: Verdict,
    },
    Merge {
        login: String,
        number: u64,
    },
    Close {
        login: String,
        number: u64,
    },
    Reopen {
        login: String,
        number: u64,
    },
    /// One of the buttons on a check.
    Press {
        login: String,
        check: u64,
        button: String,
    },
    /// Takes a right away behind the bot's back; `edge` is its id in the picture.
    Revoke {
        edge: String,
    },
    /// Edits the schedule in the cluster by hand.
    Schedule {
        cron: String,
        schedule: String,
    },
    /// The time of a schedule has come.
    Tick {
        cron: String,
    },
    /// Stops a run that has not ended, as `argo terminate` does.
    Stop {
        run: String,
    },
    /// The bot's timer goes off: it looks at everything.
    Sweep {},
    /// The bot dies, and another takes its place.
    Crash {},
    /// Everything from the beginning.
    Restart {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Approve,
    RequestChanges,
    Comment,
}

/// Does it, and says in a few words what was done.
///
/// # Errors
/// With a sentence for the visitor, if it can not be done.
pub(super) async fn perform(stage: &mut Stage, act: &Act) -> anyhow::Result<String> {
    let github = stage.github.clone();
    Ok(match act {
        Act::Open {
            login,
            title,
            path,
            text,
        } => {
            known(stage, login)?;
            ensure!(!title.trim().is_empty(), "A pull request needs a title.");
            let change = change(path, text.as_deref())?;
            let current = github.file("main", path);
            ensure!(
                current.as_ref() != text.as_ref(),
                "{path} is like that already: change something first."
            );
            let branch = format!("change-{}", github.pull_requests().len() + 1);
            let number = github.open_pull_request(login, &branch, title.trim(), &[change])?;
            format!("{login} opens #{number}")
        }
        Act::Edit {
            login,
            number,
            path,
            text,
        } => {
            known(stage, login)?;
            let files = github.changed(*number)?;
            let now = files.into_iter().find(|file| file.path == *path);
            ensure!(
                now.and_then(|file| file.after).as_ref() != Some(text),
                "Nothing is changed yet."
            );
            github.push(*number, login, &[change(path, Some(text))?])?;
            format!("{login} edits {path}")
        }
        Act::Comment {
            login,
            number,
            text,
        } => {
            known(stage, login)?;
            ensure!(!text.trim().is_empty(), "A comment needs some text.");
            ensure!(text.len() <= LONGEST, "A comment has 65,536 bytes at most.");
            github.comment(*number, login, text)?;
            format!("{login} comments")
        }
        Act::Review {
            login,
            number,
            verdict,
        } => {
            known(stage, login)?;
            let (state, word) = match verdict {
                Verdict::Approve => (ReviewState::Approved, "approves"),
                Verdict::RequestChanges => (ReviewState::ChangesRequested, "asks for changes to"),
                Verdict::Comment => (ReviewState::Commented, "looks at"),
            };
            github.review(*number, login, state)?;
            format!("{login} {word} #{number}")
        }
        Act::Merge { login, number } => {
            known(stage, login)?;
            github.merge(*number, login)?;
            format!("{login} merges #{number}")
        }
        Act::Close { login, number } => {
            known(stage, login)?;
            github.close(*number, login)?;
            format!("{login} closes #{number}")
        }
        Act::Reopen { login, number } => {
            known(stage, login)?;
            github.reopen(*number, login)?;
            format!("{login} reopens #{number}")
        }
        Act::Press {
            login,
            check,
            button,
        } => {
            known(stage, login)?;
            github.press(*check, login, button)?;
            format!("{login} presses a button of the check")
        }
        Act::Revoke { edge } => revoke(stage, edge)?,
        Act::Schedule { cron, schedule } => edit_schedule(stage, cron, schedule)?,
        Act::Tick { cron } => match stage.kubernetes.argo_tick(NAMESPACE, cron)? {
            Tick::Began(run) => format!("it is time: Argo begins {run}"),
            Tick::Skipped(why) => bail!("Argo leaves this time out: {why}."),
        },
        Act::Stop { run } => stop(stage, run)?,
        Act::Sweep {} => {
            stage.worker.queue.add(&Event::Sweep);
            "the bot's timer goes off".to_owned()
        }
        Act::Crash {} => {
            stage.restart().await?;
            "the bot dies; another starts, and knows nothing but what stands in the world".into()
        }
        Act::Restart {} => bail!("Only the whole sandbox can start over."),
    })
}

fn known(stage: &Stage, login: &str) -> anyhow::Result<()> {
    let people = stage.github.people();
    let is = people.iter().any(|(known, _)| known == login);
    ensure!(is, "There is nobody called {login:?} here.");
    Ok(())
}

/// Only what the bot reads can be changed here.
fn change(path: &str, text: Option<&str>) -> anyhow::Result<Change> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let folder = path.starts_with("pipelines/") || path.starts_with("policies/");
    ensure!(
        folder
            && path.len() <= 200
            && path.chars().all(plain)
            && path
                .split('/')
                .all(|part| !part.is_empty() && !part.starts_with('.')),
        "A file here is under pipelines/ or policies/, with a plain name."
    );
    Ok(match text {
        Some(text) => {
            ensure!(text.len() <= LONGEST, "A file has 65,536 bytes at most.");
            Change::write(path, text)
        }
        None => Change::remove(path),
    })
}

fn revoke(stage: &Stage, id: &str) -> anyhow::Result<String> {
    let mut reach = Reach::of(stage);
    let edge = reach
        .edges
        .remove(id)
        .context("That right is not there any more.")?;
    match edge.grant {
        Some(Grant::Policy {
            resource,
            role,
            member,
        }) => stage.google.revoke(&resource, &role, &member),
        Some(Grant::Access {
            project,
            dataset,
            entry,
        }) => {
            let all = stage.google.datasets().into_iter();
            let access = all
                .filter(|(of, id, _)| (of, id) == (&project, &dataset))
                .flat_map(|(.., access)| access)
                .filter(|one| *one != entry);
            let access = access.collect();
            stage.google.set_dataset_access(&project, &dataset, access);
        }
        None => bail!("Nobody can take that away: it is how the connection was made."),
    }
    let label = |id: &str| {
        let node = reach.nodes.get(id);
        node.map_or_else(|| id.to_owned(), |node| node.label.clone())
    };
    let (from, to) = (label(&edge.from), label(&edge.to));
    Ok(format!(
        "somebody takes away by hand that {from} {} {to}",
        edge.can
    ))
}

fn edit_schedule(stage: &Stage, cron: &str, schedule: &str) -> anyhow::Result<String> {
    let object = stage.kubernetes.get("CronWorkflow", NAMESPACE, cron);
    let mut object =
        object.with_context(|| format!("There is no CronWorkflow called {cron:?}."))?;
    let spec = object.get_mut("spec").and_then(Value::as_object_mut);
    spec.context("It has no spec.")?
        .insert("schedules".to_owned(), json!([schedule]));
    stage.kubernetes.put(object).map_err(sentence)?;
    Ok(format!(
        "somebody edits the schedule of {cron} by hand: {schedule}"
    ))
}

/// The API server's own words, out of its answer.
fn sentence(error: anyhow::Error) -> anyhow::Error {
    let text = error.to_string();
    let body = text.strip_prefix("refused: ").unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body.get("message").and_then(Value::as_str) {
        Some(message) => anyhow::anyhow!("Kubernetes refuses: {message}"),
        None => error,
    }
}

fn stop(stage: &Stage, run: &str) -> anyhow::Result<String> {
    let why = "Stopped with strategy 'Terminate'";
    stage
        .kubernetes
        .finish_run(NAMESPACE, run, Ending::Failed, why, None)?;
    // The bot looks after its own runs by itself, a little later.
    if let Some(event) = command_behind(stage, run) {
        stage.worker.queue.add(&event);
    }
    Ok(format!("somebody stops the run {run}"))
}

/// A rerun bears the number of the comment that asked for it.
pub(super) fn command_behind(stage: &Stage, run: &str) -> Option<Event> {
    let (_, key) = run.rsplit_once("-rerun-")?;
    let comment: u64 = key.split('-').next()?.parse().ok()?;
    let mut pulls = stage.github.pull_requests().into_iter();
    let number = pulls
        .find(|pull| {
            let comments = stage.github.comments(pull.number);
            comments.iter().any(|one| one.id == comment)
        })?
        .number;
    Some(Event::Commented { number, comment })
}
