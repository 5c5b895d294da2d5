//! Drift: mended, or told and left, as the house says and as often as it comes.

use std::collections::BTreeSet;

use pipewright::command::CommandKey;
use pipewright::object::{Kind, ObjectKey};
use pipewright::plan::approve::{Approval, ApprovedPlan, Held, Mandate, approve};
use pipewright::plan::commanded::{Commanded, Names};
use pipewright::plan::drift::{Drift, Left};
use pipewright::plan::steps::{Step, Write};
use pipewright::plan::{Action, Plan};
use serde_json::{Value, json};

use crate::common::repository;
use crate::model::World;
use crate::planning::{
    Files, commit, default_branch, digest_of, memberships, merged_at, name, settle, world,
};

fn decided(plan: &Plan, contended: &[(Kind, &str)], commanded: Vec<Commanded>) -> ApprovedPlan {
    let contended = contended.iter();
    let mandate = Mandate::Apply {
        contended: contended
            .map(|(kind, name)| (*kind, (*name).to_owned()))
            .collect(),
        commit: commit('f'),
        reviewed: vec![],
        commanded,
        memberships: memberships(),
    };
    approve(plan, &mandate).unwrap()
}

/// The example as it was applied, and then edited by somebody.
fn edited(files: &Files) -> (World, Plan) {
    let mut world = world();
    settle(&mut world, files);
    let key = (Kind::CronWorkflow, "orders".to_owned());
    let live = world.observed.kubernetes.objects.get_mut(&key).unwrap();
    let mut cron = live.value().into_owned();
    cron["spec"]["schedules"] = json!(["0 0 1 1 *"]);
    cron["metadata"]["managedFields"] = json!([{
        "manager": "kubectl-edit", "operation": "Update", "time": "2026-11-23T10:00:02Z",
        "fieldsV1": {"f:spec": {"f:schedules": {}}},
    }]);
    *live = cron.into();
    let plan = world.plan(&default_branch(files));
    (world, plan)
}

fn applied(approved: &ApprovedPlan) -> BTreeSet<String> {
    let steps = approved.steps().iter();
    let applied = steps.filter_map(|step| match &step.write {
        Write::Apply { kind, name, .. } | Write::Replace { kind, name, .. } => {
            Some(format!("{} {name}", kind.as_str()))
        }
        _ => None,
    });
    applied.collect()
}

fn told(plan: &Plan) -> Vec<(String, String)> {
    let who = |drift: &Drift| match drift {
        Drift::Gone => "gone".to_owned(),
        Drift::Changed(fields) => fields
            .iter()
            .map(|(field, touch)| match touch {
                Some(touch) => format!("{field} by {touch}"),
                None => field.clone(),
            })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let drift = plan.drift.iter();
    drift
        .map(|(key, drift)| (key.to_string(), who(drift)))
        .collect()
}

#[test]
fn an_edit_is_told_with_its_manager_and_mended() {
    let (_, plan) = edited(&repository());
    let by = "spec.schedules by kubectl-edit at 2026-11-23T10:00:02Z";
    assert_eq!(
        told(&plan),
        [("CronWorkflow orders".to_owned(), by.to_owned())]
    );
    let approved = decided(&plan, &[], vec![]);
    assert_eq!(approved.approved()[&name("orders")], Approval::Recorded);
    assert_eq!(
        applied(&approved),
        ["CronWorkflow orders".to_owned()].into()
    );
}

#[test]
fn what_can_not_be_changed_is_made_again() {
    let mut world = world();
    settle(&mut world, &repository());
    let live = &mut world.observed.kubernetes.objects;
    let find = |kind| {
        let mut keys = live.keys();
        keys.find(|(one, _)| *one == kind).unwrap().clone()
    };
    let (binding, semaphore) = (find(Kind::RoleBinding), find(Kind::ConfigMap));
    let mut edit = |key, edit: &dyn Fn(&mut Value)| {
        let live = live.get_mut(key).unwrap();
        let mut value = live.value().into_owned();
        edit(&mut value);
        *live = value.into();
    };
    edit(&binding, &|live| {
        live["roleRef"]["name"] = json!("an-older-one")
    });
    edit(&semaphore, &|live| {
        live["immutable"] = json!(true);
        live["data"]["runs"] = json!("99");
    });
    let plan = world.plan(&default_branch(&repository()));
    let reasons: Vec<_> = plan
        .changes
        .iter()
        .filter_map(|(key, change)| match &change.action {
            Action::Replace { fields, why } => {
                let fields: Vec<&str> = fields.iter().map(|one| one.field.as_str()).collect();
                Some((key.to_string(), fields.join(", "), *why))
            }
            _ => None,
        })
        .collect();
    let wanted = |key: &(Kind, String), field: &str, why| {
        (
            format!("{} {}", key.0.as_str(), key.1),
            field.to_owned(),
            why,
        )
    };
    assert_eq!(
        reasons,
        [
            wanted(
                &binding,
                "roleRef.name",
                "a binding's role can not be changed"
            ),
            wanted(&semaphore, "data.runs", "somebody has made it immutable"),
        ]
    );
    let approved = decided(&plan, &[], vec![]);
    let replaced = |step: &&Step| matches!(step.write, Write::Replace { .. });
    assert_eq!(approved.steps().iter().filter(replaced).count(), 2);
    world.apply(&approved, usize::MAX);
    let plan = world.plan(&default_branch(&repository()));
    assert!(!plan.changes.values().any(|change| change.action.is_write()));
}

#[test]
fn what_a_merge_changes_is_no_drift() {
    let mut world = world();
    settle(&mut world, &repository());
    let mut files = repository();
    let file = files.get_mut("pipelines/orders/orders.yaml").unwrap();
    file.push_str("schedule: '0 3 * * *'\n");
    let plan = world.plan(&default_branch(&files));
    assert!(plan.is_pending(&name("orders")));
    assert_eq!(told(&plan), []);
}

#[test]
fn what_comes_again_and_again_is_left_and_its_neighbours_are_not() {
    let (mut world, _) = edited(&repository());
    let semaphore = world
        .observed
        .kubernetes
        .objects
        .keys()
        .find(|(kind, name)| *kind == Kind::ConfigMap && name.contains("billing"));
    let semaphore = semaphore.unwrap().clone();
    world.observed.kubernetes.objects.remove(&semaphore);
    let plan = world.plan(&default_branch(&repository()));
    let key = ObjectKey::Kubernetes {
        kind: semaphore.0,
        name: semaphore.1.clone(),
    };
    assert_eq!(plan.drift[&key], Drift::Gone);
    let approved = decided(&plan, &[(Kind::CronWorkflow, "orders")], vec![]);
    assert_eq!(
        approved.held()[&name("orders")],
        Held::Drifted(Left::Contended)
    );
    assert_eq!(
        applied(&approved),
        [format!("ConfigMap {}", semaphore.1)].into()
    );
}

#[test]
fn where_the_house_only_wants_to_know_an_owner_has_the_word() {
    let mut files = repository();
    files.insert("policies/defaults.yaml".into(), {
        let known = files.get("policies/defaults.yaml").cloned();
        known.unwrap_or_default() + "\ndrift: report\n"
    });
    let (_, plan) = edited(&files);
    let approved = decided(&plan, &[], vec![]);
    assert_eq!(
        approved.held()[&name("orders")],
        Held::Drifted(Left::ByPolicy)
    );
    assert_eq!(applied(&approved), BTreeSet::new());
    let apply = |actor: &str| Commanded {
        key: CommandKey {
            comment: 50,
            line: 1,
        },
        names: Names::Pipeline,
        pull: 9,
        actor: actor.into(),
        at: merged_at(50),
        digest: digest_of(&plan, "orders"),
    };
    let refused = decided(&plan, &[], vec![apply("stranger")]);
    assert!(!refused.approved().contains_key(&name("orders")));
    let approved = decided(&plan, &[], vec![apply("olga")]);
    assert_eq!(
        applied(&approved),
        ["CronWorkflow orders".to_owned()].into()
    );
}
