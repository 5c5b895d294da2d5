//! Approval by `/apply <digest>`: owners who looked at what is held and name it. And
//! confirmation by `/confirm <digest>`: the house's owners who looked at everything that would
//! be pruned at once.
//!
//! A command is for one digest, and for what came last: one that is older than the merge
//! or the command that spoke last for the pipeline never counts, so a revert does not
//! bring it back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::command::CommandKey;
use crate::event::PullNumber;
use crate::name::{Digest, PipelineName};
use crate::object::ObjectKey;

use super::approval::{Memberships, Reviewed};
use super::approve::{Approval, Held};
use super::voices::{missing_consent, voices};
use super::{PipelinePlan, Plan};

/// What a digest is named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Names {
    /// `/apply`: what a pipeline becomes.
    Pipeline,
    /// `/confirm`: all that is pruned at once.
    Prunes,
}

/// One `/apply <digest>` or `/confirm <digest>` by somebody who may give it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commanded {
    pub key: CommandKey,
    pub names: Names,
    pub pull: PullNumber,
    pub actor: String,
    /// When the comment was written.
    pub at: Timestamp,
    pub digest: Digest,
}

/// Decides by commands what no review allows; `None` if no command is for it.
/// `newest` is the pull request that was merged last of those that showed the pipeline.
pub(super) fn by_command(
    plan: &Plan,
    name: &PipelineName,
    commanded: &[Commanded],
    newest: Option<&Reviewed>,
    memberships: &Memberships,
) -> Option<Result<Approval, Held>> {
    let pipeline = plan.pipelines.get(name)?;
    let recorded = pipeline.record.as_ref();
    let since = recorded
        .and_then(|record| record.approved.since)
        .max(newest.and_then(|pull| pull.merged_at));
    let given: Vec<&Commanded> = commanded
        .iter()
        .filter(|one| one.names == Names::Pipeline)
        .filter(|one| one.digest == pipeline.digest && Some(one.at) >= since)
        .collect();
    let last = given.iter().max_by_key(|one| (one.at, one.key))?;
    let reviewing = newest.filter(|pull| pull.digests.get(name) == Some(&pipeline.digest));
    let voices: BTreeSet<&str> = given
        .iter()
        .map(|one| one.actor.as_str())
        .chain(
            reviewing
                .into_iter()
                .flat_map(|pull| voices(name, &pipeline.digest, pull)),
        )
        .collect();
    let missing = missing_consent(plan, name, &voices, memberships);
    let by_the_house = || {
        let owners = &plan.policies.estate.owners;
        let speaks = |one: &&Commanded| {
            owners
                .iter()
                .any(|owner| memberships.speaks_for(&one.actor, owner))
        };
        is_only_the_houses(pipeline) && given.iter().any(speaks)
    };
    Some(if missing.is_empty() || by_the_house() {
        Ok(Approval::Commanded {
            pull: last.pull,
            at: last.at,
        })
    } else {
        Err(Held::NoConsent {
            pull: last.pull,
            missing,
        })
    })
}

/// Whether one of the house's owners confirmed to prune exactly what has this digest.
pub(super) fn is_confirmed(
    plan: &Plan,
    prunes: &Digest,
    commanded: &[Commanded],
    memberships: &Memberships,
) -> bool {
    let owners = &plan.policies.estate.owners;
    let speaks = |one: &Commanded| {
        let mut owners = owners.iter();
        owners.any(|owner| memberships.speaks_for(&one.actor, owner))
    };
    commanded
        .iter()
        .any(|one| one.names == Names::Prunes && one.digest == *prunes && speaks(one))
}

/// Whether only policies or the house changed what the pipeline becomes: its file says what
/// it said when it was approved last, and who reaches what stays the same.
fn is_only_the_houses(pipeline: &PipelinePlan) -> bool {
    let Some(record) = &pipeline.record else {
        return false;
    };
    let grants = |keys: &mut dyn Iterator<Item = &ObjectKey>| -> BTreeSet<ObjectKey> {
        keys.filter(|key| matches!(key, ObjectKey::Grant(_)))
            .cloned()
            .collect()
    };
    pipeline.source.is_some()
        && pipeline.source == record.approved.source
        && grants(&mut pipeline.desired.keys())
            == grants(&mut record.keys.iter().map(|given| &given.key))
}
