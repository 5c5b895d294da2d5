//! What is pruned, and how much of it at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Digest, PipelineName};
use crate::object::ObjectKey;

use super::Plan;
use super::approve::{Approval, Held, held_records};
use super::digest::of_prunes;
use super::record::How;

/// More than the house allows to be pruned at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    /// Of the keys, for one who confirms them.
    pub digest: Digest,
    pub keys: BTreeSet<ObjectKey>,
    /// Those that let something go: held, unless it is confirmed.
    pub pipelines: BTreeSet<PipelineName>,
    pub is_confirmed: bool,
}

/// Holds every pipeline that lets something go, if together they let go of too much and nobody
/// confirmed it. What was begun before was within the budget then, or confirmed.
pub(super) fn hold_over_budget(
    plan: &Plan,
    approved: &mut BTreeMap<PipelineName, Approval>,
    held: &mut BTreeMap<PipelineName, Held>,
    is_confirmed: impl Fn(&Digest) -> bool,
) -> Option<OverBudget> {
    let limit = plan.policies.defaults.prunes_per_apply;
    // What a begun one shares with these counts as kept: it is not counted twice.
    let mut fresh = approved.clone();
    fresh.retain(|_, approval| *approval != Approval::Recorded);
    let keys = pruned(plan, &fresh);
    let prunes = keys.len();
    if prunes <= usize::try_from(limit).unwrap_or(usize::MAX) {
        return None;
    }
    let removes = |name: &PipelineName| {
        plan.pipelines.get(name).is_some_and(|one| {
            one.recorded
                .keys()
                .any(|key| !one.desired.contains_key(key))
        })
    };
    let pipelines: BTreeSet<PipelineName> =
        fresh.into_keys().filter(|name| removes(name)).collect();
    let digest = of_prunes(&keys);
    let is_confirmed = is_confirmed(&digest);
    if !is_confirmed {
        approved.retain(|name, _| !pipelines.contains(name));
        let why = Held::PruneBudget { prunes, limit };
        held.extend(pipelines.iter().map(|name| (name.clone(), why.clone())));
    }
    Some(OverBudget {
        digest,
        keys,
        pipelines,
        is_confirmed,
    })
}

/// The keys that go: let go by an approved pipeline, made by us, and held by nobody else.
/// Approved pipelines hold what they shall hold; all others what their Record holds.
pub(super) fn pruned(
    plan: &Plan,
    approved: &BTreeMap<PipelineName, Approval>,
) -> BTreeSet<ObjectKey> {
    let wanted = approved
        .keys()
        .filter_map(|name| plan.pipelines.get(name))
        .flat_map(|pipeline| pipeline.desired.keys());
    let held = held_records(plan, approved).flat_map(|record| record.keys.iter());
    let kept: BTreeSet<&ObjectKey> = wanted.chain(held.map(|given| &given.key)).collect();
    approved
        .keys()
        .filter_map(|name| plan.pipelines.get(name))
        .flat_map(|pipeline| &pipeline.recorded)
        .filter(|(key, how)| {
            **how == How::Made && !matches!(key, ObjectKey::Dataset { .. }) && !kept.contains(key)
        })
        .map(|(key, _)| key.clone())
        .collect()
}
