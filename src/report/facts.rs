//! What a report tells of a plan, counted once: what would really happen to each object,
//! and who else is touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Owner, PipelineName, ProjectId};
use crate::object::{Grant, ObjectKey, Resource};
use crate::plan::access::{Movement, holders};
use crate::plan::compare::FieldChange;
use crate::plan::{Action, Change, Intent, NEEDED_ELSEWHERE, Plan};

/// A plan with what follows from it.
pub(super) struct Facts<'a> {
    pub plan: &'a Plan,
    /// The keys of each pipeline's changes.
    changes: BTreeMap<&'a PipelineName, Vec<(&'a ObjectKey, &'a Change)>>,
    /// Who would hold each key if all of the plan were approved.
    holders: BTreeMap<&'a ObjectKey, BTreeSet<&'a PipelineName>>,
}

/// What would really happen to an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate<'a> {
    Create,
    Configure(&'a [FieldChange]),
    /// With the reason.
    Replace(&'a [FieldChange], &'static str),
    Adopt(&'a [FieldChange]),
    Prune,
    /// It is let go, and stays for this reason.
    Stays(&'static str),
    /// It is let go, and others still hold it.
    StillHeld,
    Unchanged,
}

/// Pipelines by what they are about to become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Intents {
    pub create: usize,
    pub change: usize,
    pub remove: usize,
    pub keep: usize,
    pub blocked: usize,
}

impl<'a> Facts<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let mut changes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, change) in &plan.changes {
            for name in &change.pipelines {
                changes
                    .entry(name)
                    .or_insert_with(Vec::new)
                    .push((key, change));
            }
        }
        Self {
            plan,
            changes,
            holders: holders(&plan.pipelines, &plan.records),
        }
    }

    /// The pipeline's changes, in the order in which they are applied.
    pub(super) fn changes_of(&self, name: &PipelineName) -> &[(&'a ObjectKey, &'a Change)] {
        self.changes.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn fate(&self, change: &'a Change) -> Fate<'a> {
        match &change.action {
            Action::Create => Fate::Create,
            Action::Configure { fields, .. } => Fate::Configure(fields),
            Action::Replace { fields, why } => Fate::Replace(fields, why),
            Action::Adopt { fields, .. } => Fate::Adopt(fields),
            Action::Unchanged => Fate::Unchanged,
            Action::Release(NEEDED_ELSEWHERE) => Fate::StillHeld,
            Action::Prune => Fate::Prune,
            Action::Release(why) => Fate::Stays(why),
        }
    }

    /// The other pipelines that hold the key.
    pub(super) fn others(&self, key: &ObjectKey, name: &PipelineName) -> usize {
        self.holders.get(key).map_or(0, |holders| {
            holders.iter().filter(|holder| **holder != name).count()
        })
    }

    pub(super) fn intents(&self) -> Intents {
        let mut intents = Intents::default();
        for pipeline in self.plan.pipelines.values() {
            *match pipeline.intent {
                Intent::Create => &mut intents.create,
                Intent::Change => &mut intents.change,
                Intent::Remove => &mut intents.remove,
                Intent::Keep => &mut intents.keep,
                Intent::Blocked => &mut intents.blocked,
            } += 1;
        }
        intents
    }

    /// Every object that would be written, grants apart.
    pub(super) fn objects_written(&self) -> usize {
        self.written()
            .filter(|key| !matches!(key, ObjectKey::Grant(_)))
            .count()
    }

    /// The objects and grants that would go.
    pub(super) fn prunes(&self) -> usize {
        self.plan
            .changes
            .iter()
            .filter(|(_, change)| self.fate(change) == Fate::Prune)
            .count()
    }

    pub(super) fn moved(&self, movement: Movement) -> usize {
        let rows = &self.plan.access.rows;
        rows.iter().filter(|row| row.movement == movement).count()
    }

    /// The pipelines outside of the plan that hold something it writes, by the projects
    /// whose owners this plan does not ask.
    pub(super) fn elsewhere(&self) -> BTreeMap<ProjectId, BTreeSet<&'a PipelineName>> {
        let plan = self.plan;
        let asked: BTreeSet<&ProjectId> = plan
            .pipelines
            .values()
            .flat_map(|pipeline| &pipeline.consenting)
            .collect();
        let touched: BTreeSet<&PipelineName> = self
            .written()
            .filter_map(|key| self.holders.get(key))
            .flatten()
            .copied()
            .filter(|name| !plan.pipelines.contains_key(*name))
            .collect();
        let mut elsewhere: BTreeMap<ProjectId, BTreeSet<&PipelineName>> = BTreeMap::new();
        for name in touched {
            let keys = plan.records.get(name).into_iter().flat_map(|one| &one.keys);
            for project in keys.filter_map(|given| project_of(&given.key)) {
                if !asked.contains(project) {
                    elsewhere.entry(project.clone()).or_default().insert(name);
                }
            }
        }
        elsewhere
    }

    /// Those who answer for a project: its owners, or the house's once it left the estate.
    pub(super) fn owners(&self, project: &ProjectId) -> BTreeSet<Owner> {
        let estate = &self.plan.policies.estate;
        let owners = estate.owners_of(project);
        if owners.is_empty() {
            estate.owners.clone()
        } else {
            owners
        }
    }

    fn written(&self) -> impl Iterator<Item = &'a ObjectKey> {
        self.plan
            .changes
            .iter()
            .filter(|(_, change)| match self.fate(change) {
                Fate::Create
                | Fate::Configure(_)
                | Fate::Replace(..)
                | Fate::Adopt(_)
                | Fate::Prune => true,
                Fate::Stays(_) | Fate::StillHeld | Fate::Unchanged => false,
            })
            .map(|(key, _)| key)
    }
}

/// The project whose data a key is about.
fn project_of(key: &ObjectKey) -> Option<&ProjectId> {
    match key {
        ObjectKey::Dataset { project, .. }
        | ObjectKey::Grant(Grant {
            resource: Resource::Dataset { project, .. },
            ..
        }) => Some(project),
        ObjectKey::Grant(Grant {
            resource: Resource::Connection(connection),
            ..
        }) => Some(&connection.project),
        _ => None,
    }
}
