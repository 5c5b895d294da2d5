//! The answer to `/apply <digest>` and `/confirm <digest>`.

use std::collections::BTreeSet;

use crate::command::Verb;
use crate::event::PullNumber;
use crate::name::{CommitSha, Digest, PipelineName};
use crate::plan::Plan;
use crate::plan::approve::{ApprovedPlan, Refusal};
use crate::plan::commanded::Names;
use crate::plan::outcome::Outcomes;

use super::applied::{Applied, applied_comment};
use super::markdown::{all_of, code};

/// What an apply has to tell those who named a digest.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub pull: PullNumber,
    pub names: Names,
    pub digest: &'a Digest,
    /// The default branch's commit that was applied.
    pub commit: &'a CommitSha,
    /// The plan of the whole default branch.
    pub plan: &'a Plan,
    pub approved: Result<&'a ApprovedPlan, &'a Refusal>,
    pub outcomes: &'a Outcomes,
}

/// What became of the pipelines at this digest.
pub fn apply_reply(asked: &Asked<'_>) -> String {
    // Told from the digest, not from the line, which may be longer than a comment.
    let verb = match asked.names {
        Names::Pipeline => Verb::Apply,
        Names::Prunes => Verb::Confirm,
    };
    let line = code(&format!("/{} {}", verb.word(), asked.digest));
    let pipelines = match (asked.names, asked.approved) {
        (Names::Pipeline, _) => at_digest(asked.plan, asked.digest),
        (Names::Prunes, Ok(approved)) => over_budget(approved, asked.digest),
        (Names::Prunes, Err(_)) => BTreeSet::new(),
    };
    if pipelines.is_empty() {
        let why = match asked.names {
            Names::Pipeline => format!(
                "no pipeline on the default branch has this digest now; {} shows what each has",
                code("/status")
            ),
            Names::Prunes => "what would be pruned has not this digest now, or needs no \
                              confirmation"
                .to_owned(),
        };
        return format!(
            "{line}: not done: {why}.\n\nAs of commit {}.",
            code(asked.commit.short())
        );
    }
    if pipelines.iter().all(|name| is_done(asked, name)) {
        let names: Vec<String> = pipelines.iter().map(|name| code(name.as_str())).collect();
        return format!(
            "{line}: applied: {}.\n\nAs of commit {}.",
            all_of(&names),
            code(asked.commit.short())
        );
    }
    let applied = applied_comment(&Applied {
        pull: asked.pull,
        commit: asked.commit,
        plan: asked.plan,
        approved: asked.approved,
        outcomes: asked.outcomes,
        pipelines: &pipelines,
    });
    format!("{line}\n\n{applied}")
}

/// Whether the pipeline is what the digest says, by this run or by one before that could not
/// answer any more: the words are the same.
fn is_done(asked: &Asked<'_>, name: &PipelineName) -> bool {
    let Ok(approved) = asked.approved else {
        return false;
    };
    !approved.held().contains_key(name) && !asked.outcomes.unfinished().contains(name)
}

/// Those that let go of what would be pruned at this digest.
fn over_budget(approved: &ApprovedPlan, digest: &Digest) -> BTreeSet<PipelineName> {
    let over = approved.over_budget().filter(|over| over.digest == *digest);
    over.map(|over| over.pipelines.clone()).unwrap_or_default()
}

/// Those that would become what the digest says, and those that became it: once something
/// was pruned or adopted the digest is another one.
fn at_digest(plan: &Plan, digest: &Digest) -> BTreeSet<PipelineName> {
    let became = |name: &PipelineName| {
        let record = plan.records.get(name);
        record.is_some_and(|record| record.approved.digest == *digest) && !plan.is_pending(name)
    };
    plan.pipelines
        .iter()
        .filter(|(name, pipeline)| pipeline.digest == *digest || became(name))
        .map(|(name, _)| name.clone())
        .collect()
}
