//! Creating, applying, editing and deleting, and what is refused.

use super::*;

#[tokio::test]
async fn apply_creates_then_changes_only_what_differs() {
    let (cluster, client) = cluster().await;
    let first = cron("a", json!({"metadata": {"labels": {"x": "1", "y": "1"}}}));
    let dry = apply(&client, &first, &bot().dry_run()).await.unwrap();
    assert_eq!(dry["metadata"]["generation"], 1);
    assert_eq!(cluster.get("CronWorkflow", NAMESPACE, "a"), None);

    let made = apply(&client, &first, &bot()).await.unwrap();
    let again = apply(&client, &first, &bot()).await.unwrap();
    assert_eq!(made, again, "a no-op changes nothing, not even a version");
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{
            "manager": "bot", "operation": "Apply", "apiVersion": "argoproj.io/v1alpha1",
            "time": made["metadata"]["creationTimestamp"], "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:x": {}, "f:y": {}}},
                "f:spec": {"f:schedules": {}, "f:workflowSpec": {"f:entrypoint": {}}},
            },
        }])
    );

    let second = cron(
        "a",
        json!({"metadata": {"labels": {"x": "1"}}, "spec": {"timezone": "UTC"}}),
    );
    let dry = apply(&client, &second, &bot().dry_run()).await.unwrap();
    assert_eq!(
        cluster.get("CronWorkflow", NAMESPACE, "a"),
        Some(made.clone())
    );
    let changed = apply(&client, &second, &bot()).await.unwrap();
    assert_eq!(dry["spec"], changed["spec"]);
    assert_eq!(
        changed["metadata"]["labels"],
        json!({"x": "1"}),
        "y was dropped"
    );
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    assert!(version(&changed) > version(&made));
}

#[tokio::test]
async fn apply_stops_at_what_a_person_changed() {
    let (cluster, client) = cluster().await;
    let ours = object("ConfigMap", "a", json!({"data": {"x": "1", "y": "1"}}));
    let mut edited = apply(&client, &ours, &bot()).await.unwrap();
    edited["data"]["x"] = json!("2");
    edited["data"]["theirs"] = json!("3");
    cluster.put(edited).unwrap();

    let status = apply(&client, &ours, &bot()).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.x"
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (
            cause.reason.as_str(),
            cause.message.as_str(),
            cause.field.as_str()
        ),
        (
            "FieldManagerConflict",
            "conflict with \"kubectl-edit\" using v1",
            ".data.x"
        )
    );

    let agreed = object("ConfigMap", "a", json!({"data": {"x": "2", "y": "1"}}));
    apply(&client, &agreed, &bot())
        .await
        .expect("the same value is no conflict");
    let forced = apply(&client, &ours, &bot().force()).await.unwrap();
    assert_eq!(forced["data"], json!({"x": "1", "y": "1", "theirs": "3"}));
}

#[tokio::test]
async fn a_version_in_the_body_must_be_the_live_one() {
    let (cluster, client) = cluster().await;
    let plain = object("ConfigMap", "a", json!({"data": {"x": "1"}}));
    let stale = apply(&client, &plain, &bot()).await.unwrap();
    let mut edited = stale.clone();
    edited["data"]["y"] = json!("1");
    cluster.put(edited).unwrap();
    let old = json!({"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}});

    let guarded = object("ConfigMap", "a", old.clone());
    let status = apply(&client, &guarded, &bot()).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let maps = api(&client, "ConfigMap");
    let stale: DynamicObject = serde_json::from_value(stale).unwrap();
    let error = maps
        .replace("a", &PostParams::default(), &stale)
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 409));
    let error = maps
        .patch("a", &PatchParams::default(), &Patch::Merge(&old))
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 409));
}

#[tokio::test]
async fn unknown_fields_meet_a_different_error_at_each_door() {
    let (cluster, client) = cluster().await;
    let wrong = cron("a", json!({"spec": {"foo": 1, "suspend": false}}));
    let status = apply(&client, &wrong, &bot()).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (500, ""));
    assert_eq!(
        status.message,
        "failed to create typed patch object (pipelines/a; argoproj.io/v1alpha1, Kind=CronWorkflow): .spec.foo: field not declared in schema"
    );
    let status = create(&client, wrong.clone()).await.unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    assert!(
        status
            .message
            .ends_with("strict decoding error: unknown field \"spec.foo\"")
    );
    assert_eq!(cluster.get("CronWorkflow", NAMESPACE, "a"), None);

    let lenient: DynamicObject = serde_json::from_value(wrong).unwrap();
    let crons = api(&client, "CronWorkflow");
    let made = crons.create(&PostParams::default(), &lenient).await;
    assert_eq!(
        made.unwrap().data["spec"].get("foo"),
        None,
        "pruned without a word"
    );
}

#[tokio::test]
async fn refuses_what_the_real_one_refuses_and_no_more() {
    let (cluster, client) = cluster().await;
    let role =
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}});
    let binding = object("RoleBinding", "b", role);
    create(&client, binding.clone()).await.unwrap();
    let mut other = binding;
    other["roleRef"]["name"] = json!("s");

    let mut empty = cron("a", json!({}));
    empty["spec"] = json!({"schedules": []});
    for (body, field, message) in [
        (empty, "spec.schedules", "should have at least 1 items"),
        (
            cron("a", json!({"spec": {"schedules": ["0 0 2 * * *"]}})),
            "spec.schedules[0]",
            "should match",
        ),
        (cron("A", json!({})), "metadata.name", "RFC 1123"),
        (
            cron("a", json!({"metadata": {"labels": {"x": "My Schema$"}}})),
            "metadata.labels",
            "valid label",
        ),
        (
            cron("a", json!({"metadata": {"labels": {"x": "v".repeat(64)}}})),
            "metadata.labels",
            "63 characters",
        ),
        (other, "roleRef", "cannot change roleRef"),
        (
            cron(
                "a",
                json!({"spec": {"workflowSpec": {"metrics": {"prometheus": [
                    {"name": "m", "help": "h", "gauge": {"value": "1"}},
                ]}}}}),
            ),
            "spec.workflowSpec.metrics.prometheus[0].gauge.realtime",
            "Required value",
        ),
    ] {
        let status = apply(&client, &body, &bot().force()).await.unwrap_err();
        assert_eq!(
            (status.code, status.reason.as_str()),
            (422, "Invalid"),
            "{body}"
        );
        let details = status.details.unwrap();
        let found = details
            .causes
            .iter()
            .any(|cause| cause.field == field && cause.message.contains(message));
        assert!(found, "{field}: {details:?}");
    }
    let status = create(&client, cron("a", json!({"spec": {"suspend": "no"}})))
        .await
        .unwrap_err();
    assert_eq!(status.code, 422);

    let mut astray = cron("a", json!({}));
    astray["metadata"]["namespace"] = json!("nowhere");
    let refusal = cluster.put(astray).unwrap_err().to_string();
    assert!(
        refusal.contains(r#"namespaces \"nowhere\" not found"#),
        "{refusal}"
    );

    let long = cron(
        &"n".repeat(60),
        json!({"spec": {"schedules": ["61 2 * * *"]}}),
    );
    create(&client, long.clone())
        .await
        .expect("Argo's controller refuses it, not the server");
    let status = create(&client, long).await.unwrap_err();
    assert_eq!(
        (status.code, status.reason.as_str()),
        (409, "AlreadyExists")
    );
}

#[tokio::test]
async fn deleting_an_owner_deletes_what_it_owned() {
    let (cluster, client) = cluster().await;
    let owner = apply(&client, &cron("a", json!({})), &bot()).await.unwrap();
    let uid = owner["metadata"]["uid"].clone();
    let owned = |name: &str, finalizers: Value| {
        let reference = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow", "name": "a", "uid": uid,
        });
        object(
            "Workflow",
            name,
            json!({
                "metadata": {"ownerReferences": [reference], "finalizers": finalizers}, "spec": {},
            }),
        )
    };
    create(&client, owned("plain", json!([]))).await.unwrap();
    create(&client, owned("held", json!(["x.io/y"])))
        .await
        .unwrap();

    let crons = api(&client, "CronWorkflow");
    let other = DeleteParams::default().preconditions(Preconditions {
        uid: Some("another".to_owned()),
        ..Preconditions::default()
    });
    let error = crons.delete("a", &other).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 409));
    let answer = crons.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(answer.right().unwrap().is_success());

    assert_eq!(cluster.get("Workflow", NAMESPACE, "plain"), None);
    let mut held = cluster.get("Workflow", NAMESPACE, "held").unwrap();
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    held["metadata"]["finalizers"] = json!([]);
    cluster.put(held).unwrap();
    assert_eq!(cluster.get("Workflow", NAMESPACE, "held"), None);
    let error = crons
        .delete("a", &DeleteParams::default())
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 404));
}

#[tokio::test]
async fn refuses_bodies_it_cannot_take() {
    let (cluster, _) = cluster().await;
    let url = format!(
        "{}/api/v1/namespaces/{NAMESPACE}/configmaps/a",
        cluster.url()
    );
    let http = reqwest::Client::new();
    for (kind, query, body, code) in [
        ("application/apply-patch+yaml", "", "{}".to_owned(), 422),
        (
            "application/apply-patch+yaml",
            "?fieldManager=a",
            "{}".to_owned(),
            400,
        ),
        (
            "application/apply-patch+yaml",
            "?fieldManager=a",
            "kind: [".to_owned(),
            400,
        ),
        ("application/json-patch+json", "", "[]".to_owned(), 415),
        ("application/merge-patch+json", "", "{}".to_owned(), 404),
        (
            "application/merge-patch+json",
            "",
            " ".repeat((3 << 20) + 1),
            413,
        ),
    ] {
        let request = http
            .patch(format!("{url}{query}"))
            .header("content-type", kind)
            .body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{kind}{query}");
        let status: Value = answer.json().await.unwrap();
        assert_eq!(
            (&status["kind"], &status["code"]),
            (&json!("Status"), &json!(code))
        );
    }
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {no: \"1\"}\n";
    let request = http.patch(format!("{url}?fieldManager=a&dryRun=All"));
    let request = request
        .header("content-type", "application/apply-patch+yaml")
        .body(yaml);
    assert_eq!(request.send().await.unwrap().status(), 201);
    assert!(
        cluster
            .objects()
            .iter()
            .all(|object| object["kind"] == "Namespace")
    );
}
