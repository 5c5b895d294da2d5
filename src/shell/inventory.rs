//! Keeping the inventory's parent: one write before the first member ever, one after each apply
//! that changed what there is, and none besides.
//!
//! It only tells; the Records decide. So what goes wrong here is said in the log and holds
//! nothing: the next passage over the default branch sees the same difference again.

use crate::clock::Clock;
use crate::edges::cluster::ClusterError;
use crate::name::CommitSha;
use crate::object::Kind;
use crate::plan::Plan;
use crate::plan::approve::ApprovedPlan;
use crate::plan::inventory::{self, Entry, Foreign};
use crate::plan::steps::Force;
use crate::render::House;
use crate::retry::Backoff;

use super::Edges;
use super::reconcile::Planned;

/// Before the first write of an apply: whoever finds a member finds the parent.
pub(super) async fn open(
    edges: &Edges,
    house: &House,
    plan: &Plan,
    approved: &ApprovedPlan,
    clock: &Clock,
) {
    if !approved.steps().is_empty() {
        let entry = inventory::before(&house.namespace, plan.parent.as_ref());
        write(edges, entry, clock).await;
    }
}

/// After the Records were ended: what is applied now.
pub(super) async fn note(
    edges: &Edges,
    house: &House,
    planned: &Planned,
    approved: &ApprovedPlan,
    commit: &CommitSha,
    clock: &Clock,
) {
    let Planned { plan, outcomes, .. } = planned;
    let applied = inventory::applied(&plan.records, approved, outcomes);
    let is = inventory::digest(&applied);
    let parent = plan.parent.as_ref();
    let mut entry = inventory::after(&house.namespace, parent, is, commit);
    let was_written = !approved.steps().is_empty()
        && matches!(inventory::before(&house.namespace, parent), Ok(Some(_)));
    if let (Ok(Some(entry)), true) = (&mut entry, was_written) {
        // It is no longer the version that was seen, and every field of it is ours.
        entry.force = Force::No;
    }
    write(edges, entry, clock).await;
}

async fn write(edges: &Edges, entry: Result<Option<Entry>, Foreign>, clock: &Clock) {
    let entry = match entry {
        Ok(Some(entry)) => entry,
        Ok(None) => return,
        Err(foreign) => {
            tracing::warn!(%foreign, "the inventory is not shown");
            return;
        }
    };
    let backoff = Backoff::new(inventory::PARENT);
    let mut attempt = 1;
    loop {
        let Entry { manifest, force } = &entry;
        let written = edges
            .cluster
            .apply(Kind::ConfigMap, inventory::PARENT, manifest, force)
            .await;
        let Err(error) = written else {
            return;
        };
        match backoff
            .delay(attempt)
            .filter(|_| ClusterError::is_transient(&error))
        {
            Some(delay) => clock.sleep(delay).await,
            // A lost answer to our own write looks the same. The next passage tells.
            None if matches!(error, ClusterError::Changed { .. }) => {
                tracing::info!(%error, "the inventory's parent is looked at again later");
                return;
            }
            None => {
                tracing::warn!(%error, "the inventory's parent is not written");
                return;
            }
        }
        attempt += 1;
    }
}
