//! Accounts, connections and datasets.

use super::*;

#[tokio::test]
async fn a_service_account_comes_and_goes() {
    let (google, client) = start().await;
    assert_eq!(client.service_account("team-a", EMAIL).await.unwrap(), None);
    let made = client
        .create_service_account("team-a", "sync-a", "Sync", "of team-a:main")
        .await
        .unwrap();
    assert_eq!(
        (made.email.as_str(), made.display_name.as_str()),
        (EMAIL, "Sync")
    );
    let read = client.service_account("team-a", EMAIL).await.unwrap();
    assert_eq!(read, Some(made));
    let again = client
        .create_service_account("team-a", "sync-a", "", "")
        .await;
    assert!(matches!(again, Err(GoogleError::AlreadyExists { .. })));
    client
        .delete_service_account("team-a", EMAIL)
        .await
        .unwrap();
    assert!(google.service_accounts().is_empty());
    client
        .delete_service_account("team-a", EMAIL)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_says_where_it_leads() {
    let (google, client) = start().await;
    let read = client.connection("team-a", "EU", "orders").await.unwrap();
    assert_eq!(
        read,
        Some(Connection {
            instance: "team-a:europe-west1:main".into(),
            database: "shop".into(),
            kind: DatabaseKind::Postgres,
        })
    );
    google.repoint_connection("team-a", "eu", "orders", "payroll");
    let read = client.connection("team-a", "eu", "orders").await.unwrap();
    assert_eq!(read.unwrap().database, "payroll");
    assert_eq!(
        client.connection("team-a", "us", "orders").await.unwrap(),
        None
    );
    let error = client
        .connection("secret", "eu", "orders")
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Forbidden { .. }));
}

#[tokio::test]
async fn a_dataset_is_created_with_exactly_its_access() {
    let (google, client) = start().await;
    assert_eq!(client.dataset("team-a", "orders").await.unwrap(), None);
    for ownerless in [vec![], vec![writer()]] {
        let error = client
            .create_dataset(&new_dataset(ownerless))
            .await
            .unwrap_err();
        assert!(matches!(error, GoogleError::Invalid { .. }));
    }
    assert_eq!(google.wire().writes(), 0);
    let made = client
        .create_dataset(&new_dataset(vec![owners()]))
        .await
        .unwrap();
    assert_eq!(
        (made.location.as_str(), made.access),
        ("EU", vec![owners()])
    );
    let seen = google.dataset("team-a", "orders").unwrap();
    assert_eq!(seen["labels"], json!({"service": "orders"}));
    let again = client.create_dataset(&new_dataset(vec![owners()])).await;
    assert!(matches!(again, Err(GoogleError::AlreadyExists { .. })));
}

#[tokio::test]
async fn foreign_access_survives_ours_and_a_change_meanwhile() {
    let (google, client) = start().await;
    client
        .create_service_account("team-a", "sync-a", "", "")
        .await
        .unwrap();
    client
        .create_dataset(&new_dataset(vec![owners()]))
        .await
        .unwrap();
    let foreign = vec![
        json!({"role": "OWNER", "specialGroup": "projectOwners"}),
        json!({"view": {"projectId": "other", "datasetId": "d", "tableId": "v"}}),
        json!({"role": "WRITER", "userByEmail": EMAIL,
               "condition": {"title": "until spring", "expression": "true"}}),
        json!({"role": "roles/bigquery.metadataViewer", "domain": "example.com"}),
    ];
    let list = foreign.clone();
    before_writes(&google, patches, 1, move |google| {
        google.set_dataset_access("team-a", "orders", list.clone());
    });
    let added = client
        .add_dataset_access("team-a", "orders", &[writer(), writer()])
        .await;
    assert_eq!(added.unwrap(), PolicyWrite::Written);
    let access = || google.dataset("team-a", "orders").unwrap()["access"].clone();
    let mut both = foreign.clone();
    both.push(writer().raw().clone());
    assert_eq!(access(), Value::Array(both));

    // Under its other name, and in other letters, it is the same entry.
    let renamed = AccessEntry::from_raw(json!({
        "role": "roles/bigquery.dataEditor",
        "userByEmail": EMAIL.to_uppercase(),
    }));
    let again = client
        .add_dataset_access("team-a", "orders", std::slice::from_ref(&renamed))
        .await;
    assert_eq!(again.unwrap(), PolicyWrite::AlreadyThere);
    let removed = client
        .remove_dataset_access("team-a", "orders", &[renamed])
        .await;
    assert_eq!(removed.unwrap(), Removal::Removed);
    assert_eq!(access(), Value::Array(foreign));
    let missing = client
        .add_dataset_access("team-a", "others", &[writer()])
        .await;
    assert!(matches!(missing, Err(GoogleError::NotFound { .. })));
}

#[tokio::test]
async fn a_dataset_shown_without_its_access_is_not_written() {
    let (google, client) = start().await;
    google.wire().fail_with(|method, _| {
        let body = r#"{"location":"EU","etag":"x"}"#;
        (method == Method::GET).then(|| Fault::Refuse(StatusCode::OK, body.into()))
    });
    let error = client
        .add_dataset_access("team-a", "orders", &[writer()])
        .await
        .unwrap_err();
    assert!(matches!(error, GoogleError::Decode { .. }));
    assert_eq!(google.wire().writes(), 0);
}
