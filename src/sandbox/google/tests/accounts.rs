//! Service accounts, and who is let in.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::Options;
use super::{CONNECTION, PROJECT, masked, start, status};

#[tokio::test]
async fn a_service_account_lives_as_recorded() {
    let sim = start(Options::default()).await;
    let accounts = "/v1/projects/team-a/serviceAccounts";
    let one = "/v1/projects/team-a/serviceAccounts/gsa-one@team-a.iam.gserviceaccount.com";

    let (code, body) = sim.get(one).await;
    assert_eq!(code, 404);
    assert_eq!(
        body,
        json!({"error": {
            "code": 404,
            "errors": [{"domain": "global", "message": "Unknown service account", "reason": "notFound"}],
            "message": "Unknown service account",
            "status": "NOT_FOUND",
        }})
    );

    let creation = json!({"accountId": "gsa-one", "serviceAccount": {"displayName": "ExampleGSA"}});
    let recorded = json!({
        "displayName": "ExampleGSA",
        "email": "gsa-one@team-a.iam.gserviceaccount.com",
        "etag": "abcdef0123A=",
        "name": "projects/team-a/serviceAccounts/gsa-one@team-a.iam.gserviceaccount.com",
        "oauth2ClientId": "888888888888888888888",
        "projectId": "team-a",
        "uniqueId": "111111111111111111111",
    });
    let (code, created) = sim.post(accounts, creation.clone()).await;
    assert_eq!(
        (code, masked(created.clone())),
        (StatusCode::OK, recorded.clone())
    );
    assert_eq!(created["uniqueId"].as_str().unwrap().len(), 21);
    assert_eq!(masked(sim.get(one).await.1), recorded);
    let by_id = format!(
        "/v1/projects/-/serviceAccounts/{}",
        created["uniqueId"].as_str().unwrap()
    );
    assert_eq!(sim.get(&by_id).await.1, created);

    let (code, body) = sim.post(accounts, creation).await;
    assert_eq!(
        (code, status(&body)),
        (StatusCode::CONFLICT, "ALREADY_EXISTS")
    );

    let change = json!({
        "serviceAccount": {"displayName": "ExampleGSA2", "etag": created["etag"]},
        "updateMask": "display_name",
    });
    let (code, body) = sim.send(Method::PATCH, one, Some(change.clone())).await;
    assert_eq!(code, 200);
    assert_eq!(
        body,
        json!({
            "displayName": "ExampleGSA2",
            "name": "projects/team-a/serviceAccounts/gsa-one@team-a.iam.gserviceaccount.com",
        })
    );
    let (code, body) = sim.send(Method::PATCH, one, Some(change)).await;
    assert_eq!((code, status(&body)), (StatusCode::CONFLICT, "ABORTED"));

    let (code, body) = sim.send(Method::DELETE, one, None).await;
    assert_eq!((code, body), (StatusCode::OK, json!({})));
    assert_eq!(sim.get(one).await.0, 404);
}

#[tokio::test]
async fn account_ids_quota_and_paging_hold() {
    let sim = start(Options {
        accounts_per_project: 3,
        ..Options::default()
    })
    .await;
    let accounts = "/v1/projects/team-a/serviceAccounts";
    for id in [
        "short",
        "Upper-case",
        "1-digit",
        "ends-in-",
        &"x".repeat(31),
    ] {
        let (code, body) = sim.post(accounts, json!({"accountId": id})).await;
        assert_eq!(
            (code, status(&body)),
            (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
            "{id}"
        );
    }
    for id in ["sync-c", "sync-a", "sync-b"] {
        sim.create_account(id).await;
    }
    let (code, body) = sim.post(accounts, json!({"accountId": "sync-d"})).await;
    assert_eq!(
        (code, status(&body)),
        (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED")
    );

    let first = sim.get(&format!("{accounts}?pageSize=2")).await.1;
    let token = first["nextPageToken"].as_str().unwrap();
    let second = sim
        .get(&format!("{accounts}?pageSize=2&pageToken={token}"))
        .await
        .1;
    let emails: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["accounts"].as_array().unwrap())
        .map(|account| account["email"].as_str().unwrap())
        .collect();
    assert_eq!(emails, sim.google.service_accounts());
    assert_eq!(second.get("nextPageToken"), None);
}

#[tokio::test]
async fn a_deleted_account_lingers_and_does_not_come_back() {
    let sim = start(Options::default()).await;
    let account = sim.create_account("sync-a").await;
    let email = account["email"].as_str().unwrap();
    let member = format!("serviceAccount:{email}");
    sim.google
        .grant(CONNECTION, "roles/bigquery.connectionUser", &member);
    let access = json!([
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "WRITER", "userByEmail": email},
    ]);
    let body = json!({"datasetReference": {"datasetId": "orders"}, "access": access});
    sim.post("/bigquery/v2/projects/team-a/datasets", body)
        .await;
    let one = format!("/v1/projects/team-a/serviceAccounts/{email}");
    sim.send(Method::DELETE, &one, None).await;

    let uid = account["uniqueId"].as_str().unwrap();
    let deleted = format!("deleted:{member}?uid={uid}");
    let again = sim.create_account("sync-a").await;
    assert_ne!(again["uniqueId"], account["uniqueId"]);
    assert_eq!(
        sim.google.policy(CONNECTION)["bindings"][0]["members"],
        json!([deleted])
    );
    let dataset = sim.google.dataset(PROJECT, "orders").unwrap();
    assert_eq!(
        dataset["access"][1],
        json!({"role": "WRITER", "iamMember": deleted})
    );

    // Carrying it along is allowed.
    let path = format!("/v1/{CONNECTION}");
    let policy = sim.read_policy(&path).await;
    assert_eq!(sim.write_policy(&path, &policy).await.0, 200);
}

#[tokio::test]
async fn strangers_and_forbidden_projects_are_refused() {
    let sim = start(Options::default()).await;
    let url = format!("{}/v1/{CONNECTION}", sim.google.url());
    let answer = sim
        .http
        .get(&url)
        .bearer_auth("wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status(&body), "UNAUTHENTICATED");

    for project in ["secret", "unheard-of"] {
        for path in [
            format!("/v1/projects/{project}/serviceAccounts"),
            format!("/v1/projects/{project}/locations/eu/connections/orders"),
            format!("/bigquery/v2/projects/{project}/datasets/orders"),
        ] {
            let (code, body) = sim.get(&path).await;
            assert_eq!(
                (code, status(&body)),
                (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
                "{path}"
            );
        }
        let path = format!("/v3/projects/{project}:getIamPolicy");
        assert_eq!(sim.post(&path, json!({})).await.0, 403);
    }
}
