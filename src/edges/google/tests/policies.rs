//! Policies: races, conditions, removal.

use super::*;

#[tokio::test]
async fn each_policy_target_takes_and_gives_back_a_grant() {
    let (google, client) = start().await;
    client
        .create_service_account("team-a", "sync-a", "", "")
        .await
        .unwrap();
    let account = PolicyTarget::ServiceAccount {
        project: "team-a".into(),
        email: EMAIL.into(),
    };
    let workload = "serviceAccount:cluster.svc.id.goog[pipelines/sync-a]";
    for (target, role, member) in [
        (PolicyTarget::Project("team-a".into()), JOB_USER, MEMBER),
        (connection(), USER, MEMBER),
        (account, "roles/iam.workloadIdentityUser", workload),
    ] {
        let before = google.policy(&target.to_string())["bindings"].clone();
        let grants = [(role, member)];
        let written = client.add_members(&target, &grants).await.unwrap();
        assert_eq!(written, PolicyWrite::Written, "{target}");
        assert!(client.policy(&target).await.unwrap().holds(role, member));
        let before_again = google.wire().traffic().len();
        let again = client.add_members(&target, &grants).await.unwrap();
        assert_eq!(again, PolicyWrite::AlreadyThere);
        let after = google.wire().traffic();
        assert!(
            after[before_again..]
                .iter()
                .all(|sent| !sent.uri.contains(":set"))
        );

        assert_eq!(
            client.remove_members(&target, &grants).await.unwrap(),
            Removal::Removed
        );
        assert_eq!(
            google.policy(&target.to_string())["bindings"],
            before,
            "{target}"
        );
        assert_eq!(
            client.remove_members(&target, &grants).await.unwrap(),
            Removal::AlreadyGone
        );
    }
}

#[tokio::test]
async fn a_grant_made_meanwhile_is_kept() {
    let (google, client) = start().await;
    let seen = before_writes(&google, sets_policy, 2, |google| {
        google.grant(RESOURCE, USER, "user:ann@example.com");
    });
    let grants = [(USER, "user:bob@example.com")];
    client.add_members(&connection(), &grants).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 3, "two races lost, one won");
    assert_eq!(
        google.policy(RESOURCE)["bindings"],
        json!([{"role": USER, "members": ["user:ann@example.com", "user:bob@example.com"]}])
    );
}

#[tokio::test]
async fn a_race_that_never_ends_is_given_up_without_a_blind_write() {
    let (google, client) = start().await;
    let seen = before_writes(&google, sets_policy, usize::MAX, |google| {
        google.grant(RESOURCE, USER, "user:ann@example.com");
    });
    let grants = [(USER, "user:bob@example.com")];
    let error = client
        .add_members(&connection(), &grants)
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Conflict { .. }) && error.is_transient());
    assert_eq!(seen.load(Ordering::SeqCst), REWRITES);
    assert_eq!(
        google.policy(RESOURCE)["bindings"][0]["members"],
        json!(["user:ann@example.com"])
    );
}

#[tokio::test]
async fn conditional_bindings_are_not_ours() {
    let (google, client) = start().await;
    let bob = "user:bob@example.com";
    let condition = json!({"title": "until spring", "expression": "true"});
    google.grant_if(RESOURCE, USER, bob, condition.clone());
    let theirs = google.policy(RESOURCE)["bindings"].clone();
    let grants = [(USER, bob)];
    assert!(!client.policy(&connection()).await.unwrap().holds(USER, bob));
    assert_eq!(
        client.remove_members(&connection(), &grants).await.unwrap(),
        Removal::AlreadyGone
    );
    assert_eq!(
        client.add_members(&connection(), &grants).await.unwrap(),
        PolicyWrite::Written
    );
    let bindings = google.policy(RESOURCE)["bindings"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(bindings.len(), 2);
    assert!(bindings.contains(&theirs[0]));
    client.remove_members(&connection(), &grants).await.unwrap();
    assert_eq!(google.policy(RESOURCE)["bindings"], theirs);
}

#[tokio::test]
async fn a_policy_without_an_etag_is_never_written() {
    let (google, client) = start().await;
    google.wire().fail_with(|_, uri| {
        let read = uri.path().ends_with(":getIamPolicy");
        read.then(|| Fault::Refuse(StatusCode::OK, r#"{"version":1}"#.into()))
    });
    let error = client
        .add_members(&connection(), &[(USER, "user:bob@example.com")])
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Decode { .. }), "{error}");
    let sent = google.wire().traffic();
    assert!(sent.iter().all(|sent| !sent.uri.contains(":setIamPolicy")));
}

#[tokio::test]
async fn a_removal_that_does_not_last_is_an_error() {
    let (google, client) = start().await;
    let bob = "user:bob@example.com";
    google.grant(RESOURCE, USER, bob);
    // The write is answered, and has no effect.
    google.wire().fail_with(|_, uri| {
        let write = uri.path().ends_with(":setIamPolicy");
        write.then(|| Fault::Refuse(StatusCode::OK, "{}".into()))
    });
    let error = client
        .remove_members(&connection(), &[(USER, bob)])
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::NotRemoved { .. }));

    client
        .create_dataset(&new_dataset(vec![owners()]))
        .await
        .unwrap();
    google.wire().fail_with(|method, _| {
        (method == Method::PATCH || method == Method::DELETE)
            .then(|| Fault::Refuse(StatusCode::OK, "{}".into()))
    });
    let error = client
        .remove_dataset_access("team-a", "orders", &[owners()])
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::NotRemoved { .. }));
    client
        .create_service_account("team-a", "sync-a", "", "")
        .await
        .unwrap();
    let error = client
        .delete_service_account("team-a", EMAIL)
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::NotRemoved { .. }));
}
