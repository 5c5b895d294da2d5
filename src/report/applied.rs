//! The comment after the merge: what was applied, what was not, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::PullNumber;
use crate::name::{CommitSha, PipelineName};
use crate::plan::approve::{Approval, ApprovedPlan, Held, Refusal};
use crate::plan::outcome::{Outcome, Outcomes};
use crate::plan::record::By;
use crate::plan::{Intent, Plan};

use super::budget::{Detail, LIMIT, fit};
use super::markdown::{code, count, prose, table};
use super::{held, steps, words};

/// Bytes that the table of pipelines may take once it is cut to those that need somebody.
const ROOM: usize = 24_000;

/// What an apply has to tell one merged pull request.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    pub pull: PullNumber,
    /// The default branch's commit that was applied.
    pub commit: &'a CommitSha,
    /// The plan of the whole default branch.
    pub plan: &'a Plan,
    pub approved: Result<&'a ApprovedPlan, &'a Refusal>,
    pub outcomes: &'a Outcomes,
    /// The pipelines that this pull request showed.
    pub pipelines: &'a BTreeSet<PipelineName>,
}

/// What became of one pipeline.
enum End<'a> {
    Applied(&'a Approval),
    /// There was nothing left to write.
    Nothing,
    /// Some Steps were carried out and something stopped the others.
    Unfinished(Stop<'a>),
    Held(&'a Held),
}

/// What stopped a pipeline's Steps.
enum Stop<'a> {
    Failed { step: String, error: &'a str },
    Waiting { step: String, why: &'a str },
    NotAttempted,
}

/// A comment body: what became of the pipelines that a merged pull request showed.
pub fn applied_comment(applied: &Applied<'_>) -> String {
    let approved = match applied.approved {
        Ok(approved) => approved,
        Err(refusal) => {
            return fit(LIMIT, |_, page| {
                page.push("### Nothing applied");
                page.push(&held::refusal(applied.plan, refusal));
                page.push(&footer(applied));
            });
        }
    };
    let ends = ends(applied, approved);
    let heading = heading(applied, &ends);
    let held: BTreeMap<&PipelineName, &Held> = ends
        .iter()
        .filter_map(|(name, end)| match end {
            End::Held(why) => Some((*name, *why)),
            _ => None,
        })
        .collect();
    let removed = ends.iter().any(|(name, end)| {
        let intent = applied.plan.pipelines.get(*name).map(|one| one.intent);
        matches!(end, End::Applied(_)) && intent == Some(Intent::Remove)
    });
    fit(LIMIT, |detail, page| {
        page.push(&heading);
        page.push(&pipelines(applied, &ends, detail));
        page.push(&held::denies(applied.plan, &held));
        if detail.tells(Detail::NoDiffs) {
            page.push(&held::commands(applied.plan, approved.over_budget(), &held));
        }
        if removed {
            page.push("Data is never deleted: datasets and their tables stay.");
        }
        if detail.tells(Detail::NoDiffs) {
            page.push(&steps::section(applied.outcomes, applied.pipelines));
        }
        page.push(&footer(applied));
    })
}

fn ends<'a>(
    applied: &Applied<'a>,
    approved: &'a ApprovedPlan,
) -> BTreeMap<&'a PipelineName, End<'a>> {
    let mut wanted: BTreeMap<&PipelineName, usize> = BTreeMap::new();
    for name in approved.steps().iter().flat_map(|step| &step.pipelines) {
        *wanted.entry(name).or_default() += 1;
    }
    let mut done: BTreeMap<&PipelineName, usize> = BTreeMap::new();
    let mut stops: BTreeMap<&PipelineName, Stop<'a>> = BTreeMap::new();
    for (step, outcome) in &applied.outcomes.steps {
        for name in &step.pipelines {
            let stop = match outcome {
                Outcome::Applied => {
                    *done.entry(name).or_default() += 1;
                    continue;
                }
                Outcome::Failed(error) => Stop::Failed {
                    step: steps::write(step),
                    error,
                },
                Outcome::Waiting(why) => Stop::Waiting {
                    step: steps::write(step),
                    why,
                },
                Outcome::NotAttempted => Stop::NotAttempted,
            };
            // What failed or waits says more than what was not attempted because of it.
            let known = stops.entry(name).or_insert(Stop::NotAttempted);
            if matches!(known, Stop::NotAttempted)
                || (matches!(known, Stop::Waiting { .. }) && matches!(stop, Stop::Failed { .. }))
            {
                *known = stop;
            }
        }
    }
    applied
        .pipelines
        .iter()
        .map(|name| {
            let end = if let Some(why) = approved.held().get(name) {
                End::Held(why)
            } else if let Some(approval) = approved.approved().get(name) {
                match stops.remove(name) {
                    Some(stop) => End::Unfinished(stop),
                    // A Step without an outcome was not attempted either.
                    None if done.get(name) < wanted.get(name) => {
                        End::Unfinished(Stop::NotAttempted)
                    }
                    None => End::Applied(approval),
                }
            } else {
                End::Nothing
            };
            (name, end)
        })
        .collect()
}

fn heading(applied: &Applied<'_>, ends: &BTreeMap<&PipelineName, End<'_>>) -> String {
    let number = |wanted: fn(&End<'_>) -> bool| ends.values().filter(|end| wanted(end)).count();
    let done = number(|end| matches!(end, End::Applied(_)));
    let nothing = number(|end| matches!(end, End::Nothing));
    let unfinished = number(|end| matches!(end, End::Unfinished(_)));
    let held = number(|end| matches!(end, End::Held(_)));
    let wrote = applied.outcomes.steps.iter().any(|(step, outcome)| {
        *outcome == Outcome::Applied && !step.pipelines.is_disjoint(applied.pipelines)
    });
    let parts: Vec<String> = [
        (done, "applied"),
        (nothing, "already as approved"),
        (unfinished, "unfinished"),
        (held, "held"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let word = match (unfinished + held, done) {
        (0, 0) => "Nothing left to apply",
        (0, _) => "Applied",
        (_, 0) if !wrote && nothing == 0 => "Nothing applied",
        _ => "Partly applied",
    };
    let all = count(ends.len(), "pipeline", "pipelines");
    if ends.is_empty() {
        return format!("### {word}\n\nThis pull request changed no pipeline.");
    }
    format!("### {word}: {all}, {}", parts.join(", "))
}

/// A row for each pipeline; at the least detail only for those that need somebody.
fn pipelines(
    applied: &Applied<'_>,
    ends: &BTreeMap<&PipelineName, End<'_>>,
    detail: Detail,
) -> String {
    let needs_somebody = |end: &End<'_>| matches!(end, End::Held(_) | End::Unfinished(_));
    let shown: Vec<_> = ends
        .iter()
        .filter(|(_, end)| detail.tells(Detail::OneLine) || needs_somebody(end))
        .collect();
    if shown.is_empty() {
        return String::new();
    }
    let rows = shown.into_iter().map(|(name, end)| {
        let [what, next_step] = row(applied, name, end);
        [code(name.as_str()), what, next_step]
    });
    let room = if detail.tells(Detail::OneLine) {
        usize::MAX
    } else {
        ROOM
    };
    let (rows, left_out) = table(["Pipeline", "Outcome", "Next step"], rows, room);
    words::with_more(rows, left_out)
}

fn row(applied: &Applied<'_>, name: &PipelineName, end: &End<'_>) -> [String; 2] {
    let again = || "none: the next apply takes it up by itself".to_owned();
    match end {
        End::Applied(approval) => {
            let intent = applied.plan.pipelines.get(name).map(|one| one.intent);
            let drift = words::drift(applied.plan, name);
            let what = match intent {
                Some(Intent::Remove) => "removed",
                _ if !drift.is_empty() => "mended",
                _ => "applied",
            };
            let recorded = applied
                .plan
                .records
                .get(name)
                .map(|record| &record.approved);
            let allowed = match approval {
                Approval::Reviewed { pull, .. } => Some((By::Review, *pull)),
                Approval::Commanded { pull, .. } => Some((By::Command, *pull)),
                Approval::Recorded => recorded.and_then(|it| Some((it.by, it.pull?))),
            };
            let here = |pull| held::this_or(pull, applied.pull);
            let by = match allowed {
                Some((By::Review, pull)) => format!("by the review of {}", here(pull)),
                Some((By::Command, pull)) => {
                    format!("by its owners' {} on {}", code("/apply"), here(pull))
                }
                None => "as approved before".to_owned(),
            };
            let what = match drift.is_empty() {
                true => format!("**{what}**, {by}"),
                false => format!("**{what}**: {drift}; as it was applied {by}"),
            };
            [what, String::new()]
        }
        End::Nothing => ["already as approved".to_owned(), String::new()],
        End::Unfinished(Stop::Failed { step, error }) => [
            format!("**failed:** {step}: {}", prose(error)),
            "the next apply tries it again; if the error stays, it has to be mended where it \
             comes from"
                .to_owned(),
        ],
        End::Unfinished(Stop::Waiting { step, why }) => {
            [format!("**waits:** {step}: {}", prose(why)), again()]
        }
        End::Unfinished(Stop::NotAttempted) => [
            "**not attempted**, because something before it did not end".to_owned(),
            again(),
        ],
        End::Held(why) => {
            let reason = held::reason(applied.plan, name, why, applied.pull);
            [format!("**held:** {}", reason.why), reason.next_step]
        }
    }
}

/// The pull request that allowed what is resumed or mended.
fn footer(applied: &Applied<'_>) -> String {
    format!("As of commit {}.", code(applied.commit.short()))
}
