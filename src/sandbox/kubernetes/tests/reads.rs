//! Lists, watches, discovery, and who may ask.

use super::*;

#[tokio::test]
async fn lists_by_label_and_page_by_page() {
    let (cluster, client) = cluster().await;
    for name in ["a", "b", "c", "d"] {
        let set = if name == "d" { "two" } else { "one" };
        let body = object(
            "ConfigMap",
            name,
            json!({"metadata": {"labels": {"set": set}}}),
        );
        apply(&client, &body, &bot()).await.unwrap();
    }
    let maps = api(&client, "ConfigMap");
    let mine = ListParams::default().labels("set in (one),!other").limit(2);
    let first = maps.list(&mine).await.unwrap();
    let names = |list: &kube::api::ObjectList<DynamicObject>| {
        list.iter()
            .map(|one| one.metadata.name.clone().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let token = first.metadata.continue_.unwrap();
    cluster.remove("ConfigMap", NAMESPACE, "a");
    let next = mine.clone().continue_token(&token);
    assert_eq!(
        names(&maps.list(&next).await.unwrap()),
        ["c"],
        "pages show one moment"
    );
    cluster.expire_watches();
    let error = maps.list(&next).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 410));

    let everywhere = reqwest::get(format!("{}/api/v1/configmaps", cluster.url()));
    let list: Value = everywhere.await.unwrap().json().await.unwrap();
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(
        list["items"][0].get("kind"),
        None,
        "items of built-in kinds are bare"
    );
}

#[tokio::test]
async fn a_watch_follows_its_selection_until_history_expires() {
    let (cluster, client) = cluster().await;
    let body = |set: &str| {
        object(
            "ConfigMap",
            "a",
            json!({"metadata": {"labels": {"set": set}}}),
        )
    };
    let maps = api(&client, "ConfigMap");
    let start = maps.list(&ListParams::default()).await.unwrap();
    let start = start.metadata.resource_version.unwrap();
    let ours = WatchParams::default().labels("set=one");
    let mut events = maps.watch(&ours, &start).await.unwrap().boxed();

    apply(&client, &body("one"), &bot()).await.unwrap();
    assert!(matches!(
        events.try_next().await,
        Ok(Some(WatchEvent::Added(_)))
    ));
    apply(&client, &object("ConfigMap", "b", json!({})), &bot())
        .await
        .unwrap();
    assert!(matches!(
        events.try_next().await,
        Ok(Some(WatchEvent::Bookmark(_)))
    ));
    cluster.put(body("one")).unwrap();
    let mut edited = body("one");
    edited["data"] = json!({"k": "v"});
    cluster.put(edited).unwrap();
    assert!(matches!(
        events.try_next().await,
        Ok(Some(WatchEvent::Modified(_)))
    ));
    cluster.put(body("two")).unwrap();
    assert!(matches!(
        events.try_next().await,
        Ok(Some(WatchEvent::Deleted(_)))
    ));

    cluster.expire_watches();
    let expired = |event: Result<Option<WatchEvent<DynamicObject>>, _>| matches!(event, Ok(Some(WatchEvent::Error(status))) if status.code == 410);
    assert!(expired(events.try_next().await));
    assert!(events.try_next().await.unwrap().is_none());
    let mut events = maps.watch(&ours, &start).await.unwrap().boxed();
    assert!(expired(events.try_next().await));
}

#[tokio::test]
async fn discovery_tells_whether_argo_is_there() {
    let (_cluster, client) = cluster().await;
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "CronWorkflow");
    let (found, _) = kube::discovery::pinned_kind(&client, &gvk).await.unwrap();
    assert_eq!(found.plural, "cronworkflows");

    let without = Kubernetes::start(Options {
        namespaces: vec![NAMESPACE.to_owned()],
        argo: ArgoCrds::Missing,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = Client::try_from(Config::new(without.url().parse().unwrap())).unwrap();
    assert!(kube::discovery::pinned_kind(&client, &gvk).await.is_err());
    let status = apply(&client, &cron("a", json!({})), &bot())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "404 page not found")
    );
}

#[tokio::test]
async fn the_kubeconfig_opens_the_door() {
    let (_, _) = cluster().await;
    let cluster = Kubernetes::start(Options {
        namespaces: vec![NAMESPACE.to_owned()],
        token: Some("secret".to_owned()),
        ..Options::default()
    })
    .await
    .unwrap();
    let config = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    assert_eq!(client.default_namespace(), NAMESPACE);
    api(&client, "Role")
        .list(&ListParams::default())
        .await
        .unwrap();

    let closed = reqwest::get(format!("{}/version", cluster.url()))
        .await
        .unwrap();
    assert_eq!(closed.status(), 401);
    let status: Value = closed.json().await.unwrap();
    assert_eq!(status["reason"], "Unauthorized");
}
