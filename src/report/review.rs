//! The comment on an open pull request: the plan, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{CommitSha, PipelineName, ProjectId};
use crate::plan::{Intent, Plan};

use super::budget::{Detail, LIMIT, Page, fit};
use super::facts::Facts;
use super::markdown::{code, count, details, list, table};
use super::{access, changes, words};

/// Bytes that a list may take which is told at every detail.
const LIST_ROOM: usize = 8_000;

/// What an open pull request's comment is about.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// The commit that was planned.
    pub head: &'a CommitSha,
    pub plan: &'a Plan,
}

/// A comment body: the plan of a pull request, and whose consent it needs.
pub fn review_comment(review: &Review<'_>) -> String {
    let facts = Facts::of(review.plan);
    if review.plan.pipelines.is_empty() && review.plan.findings.is_empty() {
        return nothing_comment(review.head);
    }
    fit(LIMIT, |detail, page| {
        page.push(&heading(&facts));
        plan(&facts, detail, page);
        page.push(&footer(review.head));
    })
}

/// A comment body for a pull request that changes no pipeline any more.
pub fn nothing_comment(head: &CommitSha) -> String {
    format!(
        "### Nothing to do\n\nThis pull request changes no pipeline. Nothing is applied when \
         it is merged.\n\n{}",
        footer(head)
    )
}

/// A comment body for a branch that conflicts with its base, so that there is no plan.
pub fn conflict_comment(head: &CommitSha, files: &[String]) -> String {
    let (files, left_out) = list(files.iter().map(|file| code(file)), LIST_ROOM);
    fit(LIMIT, |_, page| {
        page.push("### No plan: the branch conflicts with its base");
        page.push(&words::with_more(files.clone(), left_out));
        page.push(
            "Next step: merge the base branch into this one, or rebase onto it, and push. The \
             plan follows by itself.",
        );
        page.push(&footer(head));
    })
}

/// The heading and the counts below it.
fn heading(facts: &Facts<'_>) -> String {
    let plan = facts.plan;
    if plan.pipelines.is_empty() {
        return "### No pipeline changes".to_owned();
    }
    let denies = words::all_denies(plan).count();
    let held = match denies {
        0 => String::new(),
        n => format!(" · **{} to mend first**", count(n, "finding", "findings")),
    };
    let elsewhere = match facts.elsewhere().len() {
        0 => "no other team affected".to_owned(),
        n => count(n, "other team affected", "other teams affected"),
    };
    let objects = match facts.objects_written() {
        0 => "no object changes".to_owned(),
        n => count(n, "object changes", "objects change"),
    };
    format!(
        "### Plan for {}\n\n{objects} · {} · {elsewhere}{held}",
        words::pipelines(facts.intents()),
        access::counts(facts),
    )
}

/// The plan below its heading; the check run's summary has it as well.
pub(super) fn plan(facts: &Facts<'_>, detail: Detail, page: &mut Page) {
    let plan = facts.plan;
    page.push(&denies(plan));
    page.push(&consent(facts));
    page.push(&cautions(facts));
    pipelines(facts, detail, page);
    if detail.tells(Detail::OneLine) {
        page.push(&access::matrix(facts));
    }
    page.push(&access::isolation(&plan.access.isolation));
    let warns: Vec<_> = plan
        .findings
        .iter()
        .filter(|finding| !finding.is_deny())
        .collect();
    if !warns.is_empty() {
        let summary = count(warns.len(), "warning", "warnings");
        page.push(&details(&summary, &words::warns(warns)));
    }
}

/// What holds the plan up.
fn denies(plan: &Plan) -> String {
    let table = words::denies(words::all_denies(plan));
    if words::all_denies(plan).next().is_none() {
        return String::new();
    }
    let held: BTreeSet<&PipelineName> = words::all_denies(plan)
        .filter_map(|finding| finding.pipeline.as_ref())
        .chain(
            plan.pipelines
                .iter()
                .filter(|(_, pipeline)| pipeline.intent == Intent::Blocked)
                .map(|(name, _)| name),
        )
        .collect();
    let what = if plan.house_denies().next().is_some() {
        "Nothing will be applied at all while the policies have these findings:".to_owned()
    } else if held.is_empty() {
        "These files make no pipeline while they have these findings:".to_owned()
    } else {
        format!(
            "Nothing of {} will be applied while these findings stand:",
            words::names(held.iter().map(|name| name.as_str()))
        )
    };
    format!("**{what}**\n\n{table}")
}

/// Who must agree for which pipelines, and what counts as agreeing.
fn consent(facts: &Facts<'_>) -> String {
    let mut asked: BTreeMap<&BTreeSet<ProjectId>, Vec<&str>> = BTreeMap::new();
    let mut before: Vec<&str> = Vec::new();
    for (name, pipeline) in &facts.plan.pipelines {
        if pipeline.intent == Intent::Blocked || !facts.plan.is_pending(name) {
            continue;
        }
        let is_known = pipeline.record.as_ref().is_some_and(|record| {
            let applied = record.applied.as_ref().map(|applied| &applied.digest);
            record.approved.digest == pipeline.digest || applied == Some(&pipeline.digest)
        });
        if is_known {
            before.push(name.as_str());
        } else {
            asked
                .entry(&pipeline.consenting)
                .or_default()
                .push(name.as_str());
        }
    }
    let mut items: Vec<String> = asked
        .into_iter()
        .map(|(projects, names)| {
            let projects = projects
                .iter()
                .map(|project| (project.clone(), facts.owners(project)))
                .collect();
            let need = if names.len() == 1 { "needs" } else { "need" };
            format!(
                "{} {need} an approving review by {}",
                words::names(names),
                words::one_of_each(&projects).join(" and by ")
            )
        })
        .collect();
    let is_asked = !items.is_empty();
    if !before.is_empty() {
        let was = if before.len() == 1 { "was" } else { "were" };
        items.push(format!(
            "{} {was} approved before as planned here: nobody has to agree again",
            words::names(before)
        ));
    }
    if items.is_empty() {
        return String::new();
    }
    let (items, left_out) = list(items, LIST_ROOM);
    let items = words::with_more(items, left_out);
    if !is_asked {
        return format!("**Who must agree**\n\n{items}");
    }
    format!(
        "**Who must agree**\n\n{items}\n\nAn approving review counts for the plan that was \
         shown when it was given. An owner's own pull request needs no further \
         review by that project. Merging is not consent."
    )
}

/// What a reader would otherwise learn only after the merge.
fn cautions(facts: &Facts<'_>) -> String {
    let plan = facts.plan;
    let mut items = Vec::new();
    let (prunes, limit) = (facts.prunes(), plan.policies.defaults.prunes_per_apply);
    if prunes > usize::try_from(limit).unwrap_or(usize::MAX) {
        items.push(format!(
            "It would prune {}, and the house allows {limit} in one apply: what removes \
             something would be held until one of the house's owners confirms it by {}. Better \
             remove less in one pull request.",
            count(prunes, "object or grant", "objects and grants"),
            code("/confirm"),
        ));
    }
    if plan.empty_tree && facts.intents().remove > 0 {
        items.push(
            "No pipeline would be left, which is more likely a mistake than a wish: nothing is \
             removed then."
                .to_owned(),
        );
    }
    for (project, names) in facts.elsewhere() {
        let owners = [(project.clone(), facts.owners(&project))].into();
        items.push(format!(
            "It writes what the data of {} relies on as well: pipeline {}.",
            words::one_of_each(&owners).join(" and "),
            words::names(names.iter().map(|name| name.as_str())),
        ));
    }
    let (items, left_out) = list(items, LIST_ROOM);
    words::with_more(items, left_out)
}

fn pipelines(facts: &Facts<'_>, detail: Detail, page: &mut Page) {
    let pipelines = &facts.plan.pipelines;
    if detail.tells(Detail::NoUnchanged) {
        for (name, pipeline) in pipelines {
            if page.is_over() {
                return;
            }
            page.push(&changes::section(facts, name, pipeline, detail));
        }
    } else if detail.tells(Detail::OneLine) {
        let rows = pipelines
            .iter()
            .map(|(name, pipeline)| changes::line(facts, name, pipeline));
        let header = ["Pipeline", "Intent", "Objects and grants", "Digest"];
        let (rows, _) = table(header, rows, usize::MAX);
        page.push(&rows);
    }
    page.push(match detail {
        Detail::Whole => "",
        Detail::NoManifests => "The manifests of new objects are too long to be shown here.",
        Detail::NoDiffs | Detail::NoUnchanged => {
            "Manifests and differences are too long to be shown here. To read them before you \
             approve, split the pull request."
        }
        Detail::OneLine => {
            "The changes of each pipeline are too long to be shown here. To read them before \
             you approve, split the pull request."
        }
        Detail::Counts => {
            "These are too many pipelines to be listed here. To read the plan before you \
             approve it, split the pull request."
        }
    });
}

fn footer(head: &CommitSha) -> String {
    format!("At head {}.", code(head.short()))
}
