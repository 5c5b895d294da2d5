//! Policies of projects, connections and accounts.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::super::Options;
use super::{CONNECTION, message, start, status, with_member};

#[tokio::test]
async fn a_stale_etag_loses_and_none_overwrites() {
    let sim = start(Options::default()).await;
    sim.create_account("sync-a").await;
    let path = format!("/v1/{CONNECTION}");
    let read = sim.read_policy(&path).await;
    assert_eq!(read, json!({"etag": "ACAB"}), "never set");

    sim.google
        .grant(CONNECTION, "roles/bigquery.admin", "user:ann@example.com");
    let member = "serviceAccount:sync-a@team-a.iam.gserviceaccount.com";
    let change = with_member(read, "roles/bigquery.connectionUser", member);
    let (code, body) = sim.write_policy(&path, &change).await;
    assert_eq!((code, status(&body)), (StatusCode::CONFLICT, "ABORTED"));
    assert!(message(&body).starts_with("There were concurrent policy changes."));

    let fresh = sim.read_policy(&path).await;
    let change = with_member(fresh.clone(), "roles/bigquery.connectionUser", member);
    let (code, written) = sim.write_policy(&path, &change).await;
    assert_eq!(code, 200);
    assert_eq!(written["bindings"].as_array().unwrap().len(), 2);
    assert_ne!(written["etag"], fresh["etag"]);
    assert_eq!(sim.write_policy(&path, &change).await.0, 409, "used up");

    // Without an etag nothing protects the others.
    let blind = with_member(json!({}), "roles/bigquery.connectionUser", member);
    assert_eq!(sim.write_policy(&path, &blind).await.0, 200);
    let left = sim.google.policy(CONNECTION);
    assert_eq!(left["bindings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn conditions_hide_from_old_versions() {
    let sim = start(Options::default()).await;
    let condition = json!({"title": "office hours", "expression": "request.time.getHours() < 18"});
    sim.google.grant_if(
        CONNECTION,
        "roles/bigquery.admin",
        "user:ann@example.com",
        condition.clone(),
    );
    let path = format!("/v1/{CONNECTION}");

    let (_, old) = sim.post(&format!("{path}:getIamPolicy"), json!({})).await;
    let role = old["bindings"][0]["role"].as_str().unwrap();
    assert!(role.starts_with("roles/bigquery.admin_withcond_"));
    assert_eq!(
        (&old["version"], old["bindings"][0].get("condition")),
        (&json!(1), None)
    );
    assert_eq!(sim.write_policy(&path, &old).await.0, 400, "a made-up role");

    let whole = sim.read_policy(&path).await;
    assert_eq!(whole["bindings"][0]["condition"], condition);
    let mut lowered = whole.clone();
    lowered["version"] = json!(1);
    assert_eq!(sim.write_policy(&path, &lowered).await.0, 400);
    assert_eq!(sim.write_policy(&path, &whole).await.0, 200);
}

#[tokio::test]
async fn members_and_roles_are_checked() {
    let sim = start(Options {
        propagation: 2,
        ..Options::default()
    })
    .await;
    let email = "sync-a@team-a.iam.gserviceaccount.com";
    let path = format!("/v1/{CONNECTION}");
    let policy = sim.read_policy(&path).await;
    let role = "roles/bigquery.connectionUser";
    let change = with_member(policy.clone(), role, &format!("serviceAccount:{email}"));
    let missing = format!("Service account {email} does not exist.");

    let (code, body) = sim.write_policy(&path, &change).await;
    assert_eq!(
        (code, message(&body)),
        (StatusCode::BAD_REQUEST, missing.as_str())
    );
    sim.create_account("sync-a").await;
    for _ in 0..2 {
        let (code, body) = sim.write_policy(&path, &change).await;
        assert_eq!(
            (code, message(&body)),
            (StatusCode::BAD_REQUEST, missing.as_str())
        );
    }
    assert_eq!(sim.write_policy(&path, &change).await.0, 200);

    let policy = sim.read_policy(&path).await;
    for member in [
        "sync-a",
        "user:nobody",
        "martian:x@example.com",
        "serviceAccount:pool.svc.id.goog[x]",
    ] {
        let (code, _) = sim
            .write_policy(&path, &with_member(policy.clone(), role, member))
            .await;
        assert_eq!(code, 400, "{member}");
    }
    for role in ["bigquery.connectionUser", "roles/", "roles/x/y"] {
        let change = with_member(policy.clone(), role, "user:ann@example.com");
        assert_eq!(sim.write_policy(&path, &change).await.0, 400, "{role}");
    }
    let account = format!("/v1/projects/team-a/serviceAccounts/{email}");
    let read = format!("{account}:getIamPolicy?options.requestedPolicyVersion=3");
    let policy = sim.send(Method::POST, &read, None).await.1;
    let workload = "serviceAccount:cluster.svc.id.goog[pipelines/sync-a]";
    let change = with_member(policy, "roles/iam.workloadIdentityUser", workload);
    assert_eq!(sim.write_policy(&account, &change).await.0, 200);
}

#[tokio::test]
async fn the_bot_may_grant_only_the_job_users_role_on_a_project() {
    let sim = start(Options::default()).await;
    for version in ["v1", "v3"] {
        let path = format!("/{version}/projects/team-a");
        let policy = sim.read_policy(&path).await;
        let member = format!("user:{version}@example.com");
        let (code, body) = sim
            .write_policy(&path, &with_member(policy.clone(), "roles/viewer", &member))
            .await;
        assert_eq!(
            (code, status(&body)),
            (StatusCode::FORBIDDEN, "PERMISSION_DENIED")
        );
        // A blind overwrite would throw out the owner, who is not the bot's to change either.
        let blind = with_member(json!({}), "roles/bigquery.jobUser", &member);
        assert_eq!(sim.write_policy(&path, &blind).await.0, 403);
        let good = with_member(policy, "roles/bigquery.jobUser", &member);
        assert_eq!(sim.write_policy(&path, &good).await.0, 200);
    }
    let bindings = sim.google.policy("projects/team-a")["bindings"].clone();
    assert_eq!(
        bindings[0]["members"],
        json!(["user:v1@example.com", "user:v3@example.com"])
    );
    assert_eq!(bindings[1]["role"], "roles/owner");
}
