//! Connections and datasets.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::Options;
use super::{CONNECTION, PROJECT, masked, message, reason, start};

#[tokio::test]
async fn a_connection_reads_as_recorded() {
    let sim = start(Options::default()).await;
    let (code, body) = sim.get(&format!("/v1/{CONNECTION}")).await;
    assert_eq!(code, 200);
    assert_eq!(
        masked(body),
        json!({
            "cloudSql": {
                "database": "shop",
                "instanceId": "team-a:europe-west1:main",
                "serviceAccountId": "service-100000000001@gcp-sa-bigqueryconnection.iam.gserviceaccount.com",
                "type": "POSTGRES",
            },
            "creationTime": "123456789",
            "hasCredential": true,
            "lastModifiedTime": "123456789",
            "name": "projects/100000000001/locations/eu/connections/orders",
        })
    );
    for path in [
        "/v1/projects/team-a/locations/us/connections/orders",
        "/v1/projects/team-a/locations/eu/connections/others",
    ] {
        assert_eq!(sim.get(path).await.0, 404);
        assert_eq!(
            sim.post(&format!("{path}:getIamPolicy"), json!({})).await.0,
            404
        );
    }
    sim.google
        .repoint_connection(PROJECT, "eu", "orders", "payroll");
    let (_, body) = sim.get(&format!("/v1/{CONNECTION}")).await;
    assert_eq!(body["cloudSql"]["database"], "payroll");
}

#[tokio::test]
async fn a_dataset_lives_as_recorded() {
    let sim = start(Options {
        bot_email: "user@google.com".into(),
        ..Options::default()
    })
    .await;
    let all = "/bigquery/v2/projects/team-a/datasets";
    let one = "/bigquery/v2/projects/team-a/datasets/sample";
    let (code, body) = sim.get(one).await;
    assert_eq!((code, reason(&body)), (StatusCode::NOT_FOUND, "notFound"));
    assert_eq!(message(&body), "Not found: Dataset team-a:sample");

    let body = json!({
        "datasetReference": {"datasetId": "sample"},
        "friendlyName": "bigquerydataset-sample",
        "labels": {"cnrm-test": "true"},
    });
    let mut recorded = json!({
        "access": [
            {"role": "OWNER", "specialGroup": "projectOwners"},
            {"role": "OWNER", "userByEmail": "user@google.com"},
            {"role": "READER", "specialGroup": "projectReaders"},
            {"role": "WRITER", "specialGroup": "projectWriters"},
        ],
        "creationTime": "123456789",
        "datasetReference": {"datasetId": "sample", "projectId": "team-a"},
        "etag": "abcdef0123A=",
        "friendlyName": "bigquerydataset-sample",
        "id": "team-a:sample",
        "kind": "bigquery#dataset",
        "labels": {"cnrm-test": "true"},
        "lastModifiedTime": "123456789",
        "location": "US",
        "selfLink": "https://bigquery.googleapis.com/bigquery/v2/projects/team-a/datasets/sample",
        "type": "DEFAULT",
    });
    let (code, created) = sim.post(all, body.clone()).await;
    assert_eq!((code, masked(created)), (StatusCode::OK, recorded.clone()));
    recorded["maxTimeTravelHours"] = json!("168");
    assert_eq!(masked(sim.get(one).await.1), recorded);

    let (code, body) = sim.post(all, body).await;
    assert_eq!((code, reason(&body)), (StatusCode::CONFLICT, "duplicate"));
    assert_eq!(message(&body), "Already Exists: Dataset team-a:sample");
    let listed = sim.get(all).await.1;
    assert_eq!(listed["datasets"][0]["id"], "team-a:sample");

    sim.google.set_dataset_tables(PROJECT, "sample", 1);
    let (code, body) = sim.send(Method::DELETE, one, None).await;
    assert_eq!(
        (code, reason(&body)),
        (StatusCode::BAD_REQUEST, "resourceInUse")
    );
    let whole = format!("{one}?deleteContents=true");
    assert_eq!(sim.send(Method::DELETE, &whole, None).await.0, 204);
    assert_eq!(sim.google.dataset(PROJECT, "sample"), None);
}

#[tokio::test]
async fn dataset_access_is_replaced_whole_under_its_etag() {
    let sim = start(Options::default()).await;
    let one = "/bigquery/v2/projects/team-a/datasets/orders";
    let owner = json!({"role": "roles/bigquery.dataOwner", "specialGroup": "projectOwners"});
    let body = json!({
        "datasetReference": {"datasetId": "orders"},
        "location": "eu",
        "access": [owner, {"role": "roles/bigquery.dataViewer", "domain": "example.com"}],
    });
    let (_, created) = sim
        .post("/bigquery/v2/projects/team-a/datasets", body)
        .await;
    assert_eq!(created["location"], "EU");
    assert_eq!(
        created["access"],
        json!([
            {"role": "OWNER", "specialGroup": "projectOwners"},
            {"role": "READER", "domain": "example.com"},
        ])
    );

    let etag = created["etag"].as_str().unwrap();
    let patch = |access: Value| Some(json!({"access": access}));
    let writer = json!({"role": "roles/bigquery.dataEditor", "groupByEmail": "eng@example.com"});
    let (code, body) = sim
        .send_if(
            Method::PATCH,
            one,
            patch(json!([owner, writer])),
            Some(etag),
        )
        .await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(
        body["access"][1],
        json!({"role": "WRITER", "groupByEmail": "eng@example.com"})
    );
    assert_eq!(
        body["access"].as_array().unwrap().len(),
        2,
        "the domain is gone"
    );
    let (code, body) = sim
        .send_if(Method::PATCH, one, patch(json!([owner])), Some(etag))
        .await;
    assert_eq!(
        (code, reason(&body)),
        (StatusCode::PRECONDITION_FAILED, "conditionNotMet")
    );

    for (wrong, says) in [
        (json!([writer]), "Cannot remove all owners"),
        (json!([owner, {"role": "READER"}]), "exactly one of"),
        (
            json!([owner, {"role": "READER", "domain": "a.b", "groupByEmail": "x@a.b"}]),
            "exactly one of",
        ),
        (json!([owner, {"domain": "a.b"}]), "must have a role"),
        (
            json!([owner, {"role": "READER", "userByEmail": "ghost@team-a.iam.gserviceaccount.com"}]),
            "IAM setPolicy failed for Dataset team-a:orders: Service account ghost@team-a.iam.gserviceaccount.com does not exist.",
        ),
    ] {
        let (code, body) = sim.send(Method::PATCH, one, patch(wrong)).await;
        assert_eq!((code, reason(&body)), (StatusCode::BAD_REQUEST, "invalid"));
        assert!(message(&body).contains(says), "{body}");
    }
    let moved = Some(json!({"location": "US"}));
    assert_eq!(sim.send(Method::PATCH, one, moved).await.0, 400);
}

#[tokio::test]
async fn conditional_dataset_access_needs_version_three() {
    let sim = start(Options::default()).await;
    let one = "/bigquery/v2/projects/team-a/datasets/orders";
    let create = json!({"datasetReference": {"datasetId": "orders"}});
    sim.post("/bigquery/v2/projects/team-a/datasets", create)
        .await;
    let condition = json!({"title": "until spring", "expression": "true"});
    let access = vec![
        json!({"role": "OWNER", "specialGroup": "projectOwners"}),
        json!({"role": "READER", "domain": "example.com", "condition": condition}),
    ];
    sim.google
        .set_dataset_access(PROJECT, "orders", access.clone());

    let hidden = sim.get(one).await.1["access"].clone();
    assert!(
        hidden[1]["role"]
            .as_str()
            .unwrap()
            .starts_with("READER_withcond_")
    );
    let whole = format!("{one}?accessPolicyVersion=3");
    assert_eq!(sim.get(&whole).await.1["access"], json!(access));
    let body = Some(json!({"access": access}));
    assert_eq!(sim.send(Method::PATCH, one, body.clone()).await.0, 400);
    assert_eq!(sim.send(Method::PATCH, &whole, body).await.0, 200);
}
