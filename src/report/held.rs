//! Why a pipeline was left as it is, and the way out, in words.

use std::collections::BTreeMap;

use crate::event::PullNumber;
use crate::name::PipelineName;
use crate::plan::Plan;
use crate::plan::approve::{Held, Refusal};
use crate::plan::drift::Left;
use crate::plan::prunes::OverBudget;

use super::markdown::{code, count, details, fenced, list, prose};
use super::words;

/// The most commands that one comment offers.
const COMMANDS: usize = 20;

/// Bytes that the list of what would be pruned may take.
const KEYS_ROOM: usize = 10_000;

/// What is in the way, and what a reader can do.
pub(super) struct Reason {
    pub why: String,
    pub next_step: String,
}

/// The reason for one pipeline. `here` is the pull request that is read.
pub(super) fn reason(plan: &Plan, name: &PipelineName, held: &Held, here: PullNumber) -> Reason {
    match held {
        Held::Denied { findings } => Reason {
            why: format!(
                "{} in the way, listed below",
                count(*findings, "finding", "findings")
            ),
            next_step: "mend them in a new pull request".to_owned(),
        },
        Held::Blocked { path } => Reason {
            why: format!(
                "{} can not be used, and may be its file: everything it holds stays as it is",
                code(path)
            ),
            next_step: "mend that file in a new pull request".to_owned(),
        },
        Held::Unreviewed => Reason {
            why: "no merged pull request showed this change, for example because it was pushed \
                  directly, or merged before its plan was there"
                .to_owned(),
            next_step: show_again(plan, name),
        },
        Held::OtherDigest { pull, reviewed } => {
            let now = plan.pipelines.get(name).map(|one| one.digest.short());
            Reason {
                why: format!(
                    "{} showed the digest {}, and now it is {}: since then the base, the policies \
                     or what it would adopt or prune has changed",
                    this_or(*pull, here),
                    code(reviewed.short()),
                    code(now.unwrap_or_default()),
                ),
                next_step: show_again(plan, name),
            }
        }
        Held::NoConsent { pull, missing } => Reason {
            why: "owners have not agreed".to_owned(),
            next_step: format!(
                "ask {} for an approving review on {}: it is taken up as soon as it is given",
                words::one_of_each(missing).join(" and "),
                this_or(*pull, here)
            ),
        },
        Held::PruneBudget { prunes, limit } => Reason {
            why: format!(
                "with all that is approved now, {} would be pruned, and the house allows {limit} \
                 in one apply",
                count(*prunes, "object or grant", "objects and grants")
            ),
            next_step: format!(
                "if it is meant, ask one of the house's owners ({}) to confirm it by the command \
                 below; else revert, and remove less in one pull request",
                words::names(plan.policies.estate.owners.iter().map(|one| one.as_str())),
            ),
        },
        Held::Isolation { why } => Reason {
            why: format!(
                "together with what a held pipeline still has, {}",
                prose(why)
            ),
            next_step: "settle the held pipeline first; this one follows by itself".to_owned(),
        },
        Held::Drifted(left) => Reason {
            why: format!(
                "{}: {}",
                match left {
                    Left::ByPolicy =>
                        "it is no longer as it was applied, and the house mends nothing by itself",
                    Left::Contended =>
                        "it is no longer as it was applied; it was mended, and somebody changed it \
                         again and again",
                },
                words::drift(plan, name)
            ),
            next_step: match left {
                Left::ByPolicy => "undo it, or mend it by the command below".to_owned(),
                Left::Contended => {
                    "find out who else writes to it, and stop one of the two; it is \
                                    mended again when ten minutes have passed"
                        .to_owned()
                }
            },
        },
        Held::EmptyTree => Reason {
            why: "the default branch has no pipeline left, which is more likely a mistake than a \
                  wish: nothing is removed"
                .to_owned(),
            next_step: "restore the files; the last pipeline goes only once another one is there"
                .to_owned(),
        },
    }
}

/// Why nothing at all was written.
pub(super) fn refusal(plan: &Plan, refusal: &Refusal) -> String {
    match refusal {
        Refusal::ReadOnly => "This run only looked: it had no mandate to write.".to_owned(),
        Refusal::BrokenPolicies { findings } => format!(
            "The policies have {}. Until they are mended nothing at all is applied; what was \
             approved stays approved.\n\n{}",
            count(*findings, "finding to mend", "findings to mend"),
            words::denies(plan.house_denies())
        ),
    }
}

/// The denies of the pipelines that are held by them.
pub(super) fn denies(plan: &Plan, held: &BTreeMap<&PipelineName, &Held>) -> String {
    let mut findings = held
        .iter()
        .filter(|(_, why)| matches!(why, Held::Denied { .. }))
        .flat_map(|(name, _)| plan.denies_of(name))
        .peekable();
    if findings.peek().is_none() {
        return String::new();
    }
    words::denies(findings)
}

/// The commands by which owners approve what is held although it could be applied.
pub(super) fn commands(
    plan: &Plan,
    over_budget: Option<&OverBudget>,
    held: &BTreeMap<&PipelineName, &Held>,
) -> String {
    let lines: Vec<String> = held
        .iter()
        .filter(|(_, why)| {
            matches!(
                why,
                Held::Unreviewed
                    | Held::OtherDigest { .. }
                    | Held::NoConsent { .. }
                    | Held::Drifted(Left::ByPolicy)
            )
        })
        .filter_map(|(name, _)| Some((name, plan.pipelines.get(*name)?)))
        .take(COMMANDS)
        .map(|(name, pipeline)| {
            let command = format!("/apply {}", pipeline.digest);
            format!("{}:\n\n{}", code(name.as_str()), fenced("", &command))
        })
        .collect();
    let mut folds = Vec::new();
    if !lines.is_empty() {
        folds.push(details(
            "Approve it as it is now, by an owner's comment on a merged pull request",
            &lines.join("\n\n"),
        ));
    }
    // All of them are held for the same prunes.
    let is_over = |why: &&Held| matches!(why, Held::PruneBudget { .. });
    if let Some(over) = over_budget.filter(|_| held.values().any(is_over)) {
        let (keys, left_out) = list(over.keys.iter().map(words::object), KEYS_ROOM);
        folds.push(details(
            "Confirm all that would be pruned now, by a comment of one of the house's owners on a \
             merged pull request",
            &format!(
                "{}\n\n{}",
                fenced("", &format!("/confirm {}", over.digest)),
                words::with_more(keys, left_out)
            ),
        ));
    }
    folds.join("\n\n")
}

/// The pull request's number as code: as a reference it would leave a trace over there.
pub(super) fn this_or(pull: PullNumber, here: PullNumber) -> String {
    if pull == here {
        "this pull request".to_owned()
    } else {
        format!("pull request {}", code(&format!("#{pull}")))
    }
}

fn show_again(plan: &Plan, name: &PipelineName) -> String {
    let file = plan
        .pipelines
        .get(name)
        .filter(|one| !one.desired.is_empty())
        .map(|one| code(&one.path));
    match file {
        Some(file) => format!(
            "open a pull request that touches {file} (a comment is enough), so that its plan is \
             shown and can be approved"
        ),
        None => "revert, and remove the file again in a pull request, so that its plan is shown \
                 and can be approved"
            .to_owned(),
    }
}
