//! The answer to `/status`: how the pipelines are, against the default branch.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::PullNumber;
use crate::name::{CommitSha, PipelineName};
use crate::plan::approve::{ApprovedPlan, Held, Refusal};
use crate::plan::{Intent, Plan};

use super::budget::{LIMIT, fit};
use super::markdown::{code, count, prose, table};
use super::runs::{Run, rows};
use super::{held, words};

/// Bytes that the table of pipelines may take, and as many for the folds: with the runs and
/// the denies they fit into a comment.
const ROOM: usize = 14_000;

/// What is known of a pull request's pipelines.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    pub pull: PullNumber,
    /// The default branch's commit that was planned.
    pub commit: &'a CommitSha,
    /// The plan of the whole default branch.
    pub plan: &'a Plan,
    /// What would be applied now.
    pub approved: Result<&'a ApprovedPlan, &'a Refusal>,
    /// What the last apply could not do, in its words.
    pub failed: &'a BTreeMap<PipelineName, String>,
    /// The pipelines that the pull request is about.
    pub pipelines: &'a BTreeSet<PipelineName>,
    /// Their last runs, the newest first.
    pub runs: &'a [Run],
}

enum State<'a> {
    InOrder,
    /// The next apply takes it up.
    Approved,
    Failed(&'a str),
    Held(&'a Held),
    /// Nothing at all is applied now.
    Refused,
    NotThere,
}

/// How each pipeline is, what it waits for, and how it ran last.
pub fn status_reply(status: &Status<'_>) -> String {
    if status.pipelines.is_empty() {
        return format!(
            "### Status\n\nThis pull request is about no pipeline.\n\n{}",
            footer(status)
        );
    }
    let states: BTreeMap<&PipelineName, State<'_>> = status
        .pipelines
        .iter()
        .map(|name| (name, state(status, name)))
        .collect();
    let held: BTreeMap<&PipelineName, &Held> = states
        .iter()
        .filter_map(|(name, state)| match state {
            State::Held(why) => Some((*name, *why)),
            _ => None,
        })
        .collect();
    fit(LIMIT, |_, page| {
        page.push(&heading(&states));
        if let Err(refusal) = status.approved {
            page.push(&held::refusal(status.plan, refusal));
        }
        page.push(&pipelines(status, &states));
        let over_budget = status.approved.ok().and_then(ApprovedPlan::over_budget);
        page.push(&held::commands(status.plan, over_budget, &held));
        page.push(&held::denies(status.plan, &held));
        if !status.runs.is_empty() {
            page.push("**Last runs**");
            page.push(&rows(status.runs));
        }
        page.push(&footer(status));
    })
}

fn state<'a>(status: &Status<'a>, name: &PipelineName) -> State<'a> {
    let Some(pipeline) = status.plan.pipelines.get(name) else {
        return State::NotThere;
    };
    let decided = status.approved.map(|approved| {
        let held = approved.held().get(name);
        (held, approved.approved().contains_key(name))
    });
    match decided {
        Ok((Some(why), _)) => State::Held(why),
        _ if let Some(error) = status.failed.get(name) => State::Failed(error),
        Ok((None, true)) => State::Approved,
        Err(_) if status.plan.is_pending(name) || pipeline.intent == Intent::Blocked => {
            State::Refused
        }
        Ok((None, false)) | Err(_) => State::InOrder,
    }
}

fn heading(states: &BTreeMap<&PipelineName, State<'_>>) -> String {
    let number = |wanted: fn(&State<'_>) -> bool| {
        let of_these = states.values().filter(|state| wanted(state));
        of_these.count()
    };
    let parts: Vec<String> = [
        (number(|it| matches!(it, State::InOrder)), "in order"),
        (
            number(|it| matches!(it, State::Approved)),
            "about to be applied",
        ),
        (
            number(|it| matches!(it, State::Held(_) | State::Refused)),
            "waiting",
        ),
        (number(|it| matches!(it, State::Failed(_))), "failed"),
        (
            number(|it| matches!(it, State::NotThere)),
            "not on the default branch",
        ),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let all = count(states.len(), "pipeline", "pipelines");
    format!("### Status: {all}, {}", parts.join(", "))
}

fn pipelines(status: &Status<'_>, states: &BTreeMap<&PipelineName, State<'_>>) -> String {
    // Those that need somebody first: the others may be left out.
    let (calm, urgent): (Vec<_>, Vec<_>) = states
        .iter()
        .partition(|(_, state)| matches!(state, State::InOrder | State::NotThere));
    let rows = urgent.into_iter().chain(calm).map(|(name, state)| {
        let [what, next_step] = row(status, name, state);
        [code(name.as_str()), what, next_step]
    });
    let (rows, left_out) = table(["Pipeline", "State", "Next step"], rows, ROOM);
    words::with_more(rows, left_out)
}

fn row(status: &Status<'_>, name: &PipelineName, state: &State<'_>) -> [String; 2] {
    match state {
        State::InOrder => ["in order".to_owned(), String::new()],
        State::Approved => [
            "approved, and not yet applied whole".to_owned(),
            "none: the next apply takes it up by itself".to_owned(),
        ],
        State::Failed(error) => [
            format!("**failed:** {}", prose(error)),
            "the next apply tries it again; if the error stays, it has to be mended where it \
             comes from"
                .to_owned(),
        ],
        State::Held(why) => {
            let reason = held::reason(status.plan, name, why, status.pull);
            [format!("**waiting:** {}", reason.why), reason.next_step]
        }
        State::Refused => [
            "**waiting:** nothing at all is applied now".to_owned(),
            String::new(),
        ],
        State::NotThere => ["not on the default branch".to_owned(), String::new()],
    }
}

fn footer(status: &Status<'_>) -> String {
    format!("As of commit {}.", code(status.commit.short()))
}
