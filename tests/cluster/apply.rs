//! Applying the example's objects, and what the server says against it.

use std::collections::BTreeMap;

use pipewright::edges::cluster::{ClusterError, Deleted};
use pipewright::object::{Kind, Object, ObjectKey};
use pipewright::plan::compare::differences;
use pipewright::plan::steps::Force;
use pipewright::proposal::propose;
use pipewright::render::MANAGER;
use serde_json::{Value, json};

use crate::api::text;
use crate::common::{house, repository, snapshot_of};
use crate::place::{Place, on_both};

on_both! {
    what_is_applied_is_there_and_is_not_sent_again;
    a_conflict_names_manager_and_field;
    what_the_schema_does_not_know_is_refused;
    a_deletion_waits_for_finalizers_and_spares_what_is_not_ours;
}

/// The Kubernetes objects of the example, in the order in which they are applied.
pub fn manifests(namespace: &str) -> BTreeMap<(Kind, String), Value> {
    manifests_of(&repository(), namespace)
}

/// The same of other files, of which nothing is to be found.
pub fn manifests_of(
    files: &BTreeMap<String, String>,
    namespace: &str,
) -> BTreeMap<(Kind, String), Value> {
    let mut house = house();
    house.namespace = namespace.to_owned();
    let proposal = propose(&snapshot_of(files), &house);
    assert_eq!(proposal.findings, vec![]);
    let objects = proposal.desired.objects();
    let of_kubernetes = objects
        .into_iter()
        .filter_map(|(key, object)| match (key, object) {
            (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(manifest)) => {
                Some(((*kind, name.clone()), manifest.value()))
            }
            _ => None,
        });
    of_kubernetes.collect()
}

/// Applies what differs, as a plan would; says what that was.
pub async fn apply(place: &Place, wanted: &BTreeMap<(Kind, String), Value>) -> Vec<String> {
    let seen = place.bot.observe().await.unwrap();
    let mut applied = Vec::new();
    for ((kind, name), manifest) in wanted {
        let live = seen.objects.get(&(*kind, name.clone()));
        let changes = live.map(|live| differences(manifest, &live.value(), MANAGER));
        if changes.is_some_and(|changes| changes.is_empty()) {
            continue;
        }
        place.put(*kind, manifest, &Force::No).await.unwrap();
        applied.push(format!("{} {name}", kind.as_str()));
    }
    applied
}

async fn what_is_applied_is_there_and_is_not_sent_again(place: &Place) {
    place.bot.check().await.unwrap();
    let mut wanted = manifests(&place.namespace);
    assert!(wanted.len() > 8, "{wanted:?}");
    place.asked().await;
    assert_eq!(apply(place, &wanted).await.len(), wanted.len());
    if let Some(asked) = place.asked().await {
        let writes = asked.iter().filter(|one| one.is_write());
        assert!(
            writes
                .clone()
                .all(|one| one.verb == "patch" && one.code == 201),
            "{asked:?}"
        );
        assert_eq!(writes.count(), wanted.len());
        assert_eq!(asked.len(), wanted.len() + Kind::ALL.len());
    }

    // What the server added by itself is not ours to mend.
    assert_eq!(apply(place, &wanted).await, [""; 0]);
    if let Some(asked) = place.asked().await {
        assert_eq!(asked.len(), Kind::ALL.len(), "{asked:?}");
        assert!(asked.iter().all(|one| one.verb == "list"), "{asked:?}");
    }

    let orders = (Kind::CronWorkflow, "orders".to_owned());
    wanted.get_mut(&orders).unwrap()["spec"]["schedules"] = json!(["1 2 * * *"]);
    assert_eq!(apply(place, &wanted).await, ["CronWorkflow orders"]);
    if let Some(asked) = place.asked().await {
        let writes: Vec<_> = asked.iter().filter(|one| one.is_write()).collect();
        assert!(
            matches!(writes.as_slice(), [one] if one.verb == "patch" && one.code == 200),
            "{asked:?}"
        );
    }
    assert_eq!(apply(place, &wanted).await, [""; 0]);
}

async fn a_conflict_names_manager_and_field(place: &Place) {
    let wanted = manifests(&place.namespace);
    apply(place, &wanted).await;
    let schedules = json!({"spec": {"schedules": ["5 5 * * *"]}});
    place
        .api
        .merge("CronWorkflow", "orders", &schedules, "kubectl-edit")
        .await;
    let labels = json!({"metadata": {"labels": {"pipewright.dev/service": "theirs"}}});
    let seen = place
        .api
        .merge("CronWorkflow", "orders", &labels, "kubectl-label")
        .await;

    let manifest = &wanted[&(Kind::CronWorkflow, "orders".to_owned())];
    let refused = place.put(Kind::CronWorkflow, manifest, &Force::No).await;
    let Err(ClusterError::Conflict { mut fields, .. }) = refused else {
        panic!("should be a conflict: {refused:?}");
    };
    fields.sort();
    let field = |manager: &str, field: &str| (manager.to_owned(), field.to_owned());
    assert_eq!(
        fields,
        [
            field("kubectl-edit", "spec.schedules"),
            field("kubectl-label", "metadata.labels.pipewright.dev/service"),
        ]
    );

    let version = seen["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let note = json!({"metadata": {"annotations": {"a": "b"}}});
    place
        .api
        .merge("CronWorkflow", "orders", &note, "kubectl-annotate")
        .await;
    let stale = Force::OnVersion(version);
    let refused = place.put(Kind::CronWorkflow, manifest, &stale).await;
    assert!(
        matches!(refused, Err(ClusterError::Changed { .. })),
        "{refused:?}"
    );
    let live = place.api.get("CronWorkflow", "orders").await;
    let version = live["metadata"]["resourceVersion"].as_str().unwrap();
    let seen = Force::OnVersion(version.to_owned());
    place
        .put(Kind::CronWorkflow, manifest, &seen)
        .await
        .unwrap();
    assert_eq!(apply(place, &wanted).await, [""; 0]);
    let live = place.api.get("CronWorkflow", "orders").await;
    assert_eq!(live["metadata"]["annotations"]["a"], "b");
}

async fn what_the_schema_does_not_know_is_refused(place: &Place) {
    let wanted = manifests(&place.namespace);
    let manifest = &wanted[&(Kind::CronWorkflow, "orders".to_owned())];
    for (pointer, value, word) in [
        ("/spec", json!({"shedules": ["* * * * *"]}), "spec.shedules"),
        ("/spec/workflowSpec", json!({"entrypont": "x"}), "entrypont"),
        (
            "/spec/workflowSpec/templates/0/container",
            json!({"comand": []}),
            "comand",
        ),
        ("/spec", json!({"suspend": "yes"}), "spec.suspend"),
        (
            "/spec/workflowSpec/metrics/prometheus/1",
            json!({"gauge": {"value": "1"}}),
            "prometheus[1].gauge.realtime: Required value",
        ),
        (
            "/spec/workflowSpec/templates/0/outputs",
            json!({"parameters": [{"valueFrom": {"path": "/x"}}]}),
            "parameters[0].name: Required value",
        ),
    ] {
        let mut manifest = manifest.clone();
        let parent = manifest
            .pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap();
        parent.extend(value.as_object().unwrap().clone());
        let refused = place.put(Kind::CronWorkflow, &manifest, &Force::No).await;
        let Err(ClusterError::Invalid { message, .. }) = refused else {
            panic!("{value} should be invalid: {refused:?}");
        };
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(place.api.find("CronWorkflow", "orders").await, None);
}

async fn a_deletion_waits_for_finalizers_and_spares_what_is_not_ours(place: &Place) {
    let wanted = manifests(&place.namespace);
    apply(place, &wanted).await;
    for (kind, name) in wanted
        .keys()
        .filter(|(kind, _)| *kind != Kind::CronWorkflow)
    {
        let kept = json!({"metadata": {"finalizers": ["example.com/keep"]}});
        place
            .api
            .merge(kind.as_str(), name, &kept, "kubectl-edit")
            .await;
        for _ in 0..2 {
            let Deleted::Waiting(wait) = place.bot.delete(*kind, name).await.unwrap() else {
                panic!("should wait");
            };
            assert_eq!(wait.why, "it is kept by `example.com/keep`");
            let live = place.api.get(kind.as_str(), name).await;
            let since = text(&live, "/metadata/deletionTimestamp").parse().unwrap();
            assert_eq!(wait.since, Some(since));
        }
        let free = json!({"metadata": {"finalizers": null}});
        place
            .api
            .merge(kind.as_str(), name, &free, "kubectl-edit")
            .await;
        assert_eq!(place.bot.delete(*kind, name).await.unwrap(), Deleted::Gone);
        assert_eq!(
            place.api.find(kind.as_str(), name).await,
            None,
            "{kind:?} {name}"
        );
        let theirs = json!({
            "apiVersion": kind.api_version(), "kind": kind.as_str(),
            "metadata": {"name": name},
            // A binding without a role is none.
            "roleRef": wanted[&(*kind, name.clone())].get("roleRef"),
        });
        place.api.create(&theirs).await.unwrap();
        let refused = place.bot.delete(*kind, name).await;
        assert!(
            matches!(refused, Err(ClusterError::NotOurs { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        place
            .bot
            .delete(Kind::CronWorkflow, "orders")
            .await
            .unwrap(),
        Deleted::Gone
    );
    assert_eq!(place.api.find("CronWorkflow", "orders").await, None);
    assert_eq!(
        place
            .bot
            .delete(Kind::CronWorkflow, "orders")
            .await
            .unwrap(),
        Deleted::Gone
    );
}
