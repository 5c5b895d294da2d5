//! Applying and deleting, against canned answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::Method;

use super::super::testing::{body, cluster, missing};
use super::*;

const ORDERS: &str = "/apis/argoproj.io/v1alpha1/namespaces/data/cronworkflows/orders";

fn manifest() -> Manifest {
    let manifest = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow",
        "metadata": {"name": "orders", "namespace": "data"},
        "spec": {"schedules": ["7 2 * * *"]},
    });
    manifest.into()
}

/// A live CronWorkflow of ours with this spec and status.
fn live(version: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow",
        "metadata": {"name": "orders", "uid": "u1", "resourceVersion": version,
                     "labels": {APPLY_SET_LABEL: apply_set("data")},
                     "managedFields": [{"manager": "pipewright", "operation": "Apply"}]},
        "spec": spec, "status": status,
    })
}

/// No Workflow at all.
fn no_runs() -> Value {
    json!({"metadata": {}, "items": []})
}

fn lists_runs(uri: &str) -> bool {
    uri.contains("/workflows?")
}

fn used(why: &str) -> Deleted {
    let why = why.to_owned();
    Deleted::Waiting(Wait { why, since: None })
}

fn deleted() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})
}

#[tokio::test]
async fn an_apply_forces_only_on_the_version_that_was_seen() {
    let (cluster, server) = cluster(|_, _| (200, manifest().value())).await;
    let kind = Kind::CronWorkflow;
    cluster
        .apply(kind, "orders", &manifest(), &Force::No)
        .await
        .unwrap();
    let force = Force::OnVersion("41".to_owned());
    cluster
        .apply(kind, "orders", &manifest(), &force)
        .await
        .unwrap();

    let traffic = server.wire().traffic();
    assert_eq!(traffic.len(), 2);
    assert_eq!(traffic[0].method, Method::PATCH);
    assert_eq!(
        traffic[0].uri,
        format!("{ORDERS}?&fieldManager=pipewright&fieldValidation=Strict")
    );
    assert_eq!(
        traffic[0].headers["content-type"],
        "application/apply-patch+yaml"
    );
    assert_eq!(body(&traffic[0]), manifest().value());
    assert_eq!(
        traffic[1].uri,
        format!("{ORDERS}?&force=true&fieldManager=pipewright&fieldValidation=Strict")
    );
    let mut versioned = manifest().value();
    versioned["metadata"]["resourceVersion"] = json!("41");
    assert_eq!(body(&traffic[1]), versioned);
}

#[tokio::test]
async fn a_conflict_and_a_changed_version_are_told_apart() {
    let (cluster, _server) = cluster(|_, uri| {
        let causes = if uri.contains("force") {
            json!([])
        } else {
            json!([{"reason": "FieldManagerConflict", "field": ".spec.schedules",
                    "message": "conflict with \"kubectl-edit\" using argoproj.io/v1alpha1"}])
        };
        (
            409,
            json!({"code": 409, "reason": "Conflict", "message": "m",
                     "details": {"name": "orders", "causes": causes}}),
        )
    })
    .await;
    let error = cluster
        .apply(Kind::CronWorkflow, "orders", &manifest(), &Force::No)
        .await;
    let ClusterError::Conflict { fields, .. } = error.unwrap_err() else {
        panic!("should be a conflict");
    };
    assert_eq!(
        fields,
        [("kubectl-edit".to_owned(), "spec.schedules".to_owned())]
    );
    let force = Force::OnVersion("41".to_owned());
    let error = cluster
        .apply(Kind::CronWorkflow, "orders", &manifest(), &force)
        .await;
    assert!(matches!(error, Err(ClusterError::Changed { .. })));
}

#[tokio::test]
async fn a_cron_workflow_with_a_run_is_suspended_and_waits() {
    let (cluster, server) = cluster(|method, uri| {
        let running = json!({"active": [{"name": "orders-1700000000"}]});
        match *method {
            Method::GET if lists_runs(uri) => (200, no_runs()),
            Method::GET => (200, live("5", json!({}), json!({}))),
            Method::PATCH => (200, live("6", json!({"suspend": true}), running)),
            _ => panic!("deleted a running one"),
        }
    })
    .await;
    let outcome = cluster.delete(Kind::CronWorkflow, "orders").await.unwrap();
    assert_eq!(outcome, used("run orders-1700000000 is active"));
    let traffic = server.wire().traffic();
    assert_eq!(traffic.len(), 3);
    assert_eq!(traffic[1].uri, format!("{ORDERS}?&fieldManager=pipewright"));
    assert_eq!(
        traffic[1].headers["content-type"],
        "application/merge-patch+json"
    );
    assert_eq!(
        body(&traffic[1]),
        json!({"metadata": {"resourceVersion": "5"}, "spec": {"suspend": true}})
    );
}

#[tokio::test]
async fn an_idle_cron_workflow_goes_as_it_was_seen_last() {
    let (cluster, server) = cluster(|method, uri| match *method {
        Method::GET if lists_runs(uri) => (200, no_runs()),
        Method::GET => (200, live("5", json!({}), json!({"active": []}))),
        Method::PATCH => (
            200,
            live("6", json!({"suspend": true}), json!({"active": []})),
        ),
        _ => (200, deleted()),
    })
    .await;
    let outcome = cluster.delete(Kind::CronWorkflow, "orders").await.unwrap();
    assert_eq!(outcome, Deleted::Gone);
    let traffic = server.wire().traffic();
    let methods: Vec<&Method> = traffic.iter().map(|e| &e.method).collect();
    let expected = [Method::GET, Method::PATCH, Method::GET, Method::DELETE];
    assert_eq!(methods, expected.each_ref());
    let sent = body(&traffic[3]);
    assert_eq!(sent["propagationPolicy"], "Background");
    assert_eq!(
        sent["preconditions"],
        json!({"uid": "u1", "resourceVersion": "6"})
    );
}

#[tokio::test]
async fn one_that_argo_writes_to_meanwhile_is_looked_at_again() {
    // The version that a deletion needs, each time it is tried; the last one does not come.
    for needed in [7, 10, 11] {
        let seen = Arc::new(AtomicU32::new(6));
        let (cluster, server) = cluster(move |method, uri| match *method {
            Method::GET if lists_runs(uri) => (200, no_runs()),
            Method::GET => {
                let version = seen.fetch_add(1, Ordering::Relaxed).to_string();
                (200, live(&version, json!({"suspend": true}), json!({})))
            }
            _ if seen.load(Ordering::Relaxed) > needed => (200, deleted()),
            _ => {
                let message = "the object has been modified";
                let status = json!({"code": 409, "reason": "Conflict", "message": message});
                (409, status)
            }
        })
        .await;
        let outcome = cluster.delete(Kind::CronWorkflow, "orders").await;
        if needed == 11 {
            assert!(matches!(outcome, Err(ClusterError::Changed { .. })));
        } else {
            assert_eq!(outcome.unwrap(), Deleted::Gone);
        }
        let traffic = server.wire().traffic();
        let last = body(traffic.last().unwrap());
        let version = needed.min(10).to_string();
        assert_eq!(last["preconditions"]["resourceVersion"], version);
    }
}

#[tokio::test]
async fn one_that_rests_already_is_not_patched_again() {
    let (cluster, server) = cluster(|_, uri| {
        let running = json!({"active": [{"name": "a"}, {"name": "b"}]});
        match lists_runs(uri) {
            true => (200, no_runs()),
            false => (200, live("6", json!({"suspend": true}), running)),
        }
    })
    .await;
    let outcome = cluster.delete(Kind::CronWorkflow, "orders").await.unwrap();
    assert_eq!(outcome, used("runs a, b are active"));
    assert_eq!(server.wire().writes(), 0);
}

#[tokio::test]
async fn an_apply_wakes_what_our_own_deletion_left_suspended() {
    for (manager, operation, patches) in [
        ("pipewright", "Update", 2),
        ("argo", "Update", 1),
        ("pipewright", "Apply", 1),
    ] {
        let (cluster, server) = cluster(move |_, _| {
            let mut live = live("9", json!({"suspend": true}), json!({}));
            live["metadata"]["managedFields"] = json!([{
                "manager": manager, "operation": operation,
                "fieldsV1": {"f:spec": {"f:suspend": {}}},
            }]);
            (200, live)
        })
        .await;
        let manifest = manifest();
        let applied = cluster.apply(Kind::CronWorkflow, "orders", &manifest, &Force::No);
        applied.await.unwrap();
        let traffic = server.wire().traffic();
        assert_eq!(traffic.len(), patches, "{manager} {operation}");
        if let Some(waking) = traffic.get(1) {
            assert_eq!(
                body(waking),
                json!({"metadata": {"resourceVersion": "9"}, "spec": {"suspend": null}})
            );
        }
    }
}

#[tokio::test]
async fn a_foreign_object_is_not_deleted() {
    for (labels, manager) in [
        (json!({}), "pipewright"),
        (json!({APPLY_SET_LABEL: apply_set("other")}), "pipewright"),
        (
            json!({"app.kubernetes.io/managed-by": "pipewright"}),
            "pipewright",
        ),
        (json!({APPLY_SET_LABEL: apply_set("data")}), "kubectl"),
    ] {
        let answer = json!({"metadata": {
            "name": "x", "uid": "u", "resourceVersion": "1", "labels": labels,
            "managedFields": [{"manager": manager, "operation": "Apply"}],
        }});
        let (cluster, server) = cluster(move |_, _| (200, answer.clone())).await;
        let error = cluster.delete(Kind::ConfigMap, "x").await.unwrap_err();
        assert!(matches!(error, ClusterError::NotOurs { .. }), "{error:?}");
        assert_eq!(server.wire().writes(), 0);
    }
}

#[tokio::test]
async fn a_missing_object_is_gone_but_a_missing_kind_is_an_error() {
    let (cluster, server) = cluster(|_, uri| match uri.contains("configmaps") {
        true => (404, missing("configmaps", "record-orders")),
        false => (404, json!("404 page not found")),
    })
    .await;
    let gone = cluster.remove_record(&"orders".parse().unwrap()).await;
    assert!(gone.is_ok());
    let error = cluster.delete(Kind::CronWorkflow, "orders").await;
    assert!(matches!(error, Err(ClusterError::Missing { .. })));
    assert_eq!(server.wire().writes(), 0);
}

#[tokio::test]
async fn finalizers_are_waited_for() {
    let (cluster, server) = cluster(|method, uri| {
        let mut object = live("3", json!({}), json!({}));
        object["metadata"]["finalizers"] = json!(["example.com/keep"]);
        if *method == Method::DELETE || uri.contains("roles/") {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        }
        (200, object)
    })
    .await;
    let kept = Deleted::Waiting(Wait {
        why: "it is kept by `example.com/keep`".to_owned(),
        since: Some("2026-01-02T03:04:05Z".parse().unwrap()),
    });
    assert_eq!(cluster.delete(Kind::ConfigMap, "x").await.unwrap(), kept);
    assert_eq!(server.wire().writes(), 1);
    assert_eq!(cluster.delete(Kind::Role, "x").await.unwrap(), kept);
    assert_eq!(server.wire().writes(), 1);
}
