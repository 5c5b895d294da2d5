//! What the bot may do is what it does.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use pipewright::command::{Claim, CommandKey};
use pipewright::edges::cluster::{Deleted, Hold, Keeper};
use pipewright::object::Kind;
use pipewright::plan::record::Record;
use serde_json::{Value, json};

use crate::api::{Api, client, items};
use crate::apply::{apply, manifests};
use crate::audit::Asked;
use crate::drift::Watching;
use crate::place::{Place, on_both, rights};

on_both! {
    a_record_keeps_its_claims;
    one_of_two_replicas_holds_the_lease;
}

/// Verb, group and resource.
type Right = (String, String, String);

/// What the Role grants.
fn granted(namespace: &str) -> BTreeSet<Right> {
    let manifests = rights(namespace);
    let role = manifests.iter().find(|one| one["kind"] == "Role").unwrap();
    let mut granted = BTreeSet::new();
    for rule in items(&role["rules"]) {
        for group in items(&rule["apiGroups"]) {
            for resource in items(&rule["resources"]) {
                for verb in items(&rule["verbs"]) {
                    let text = |value: &Value| value.as_str().unwrap().to_owned();
                    granted.insert((text(verb), text(group), text(resource)));
                }
            }
        }
    }
    granted
}

/// What it took to be let through.
fn used(asked: &[Asked]) -> BTreeSet<Right> {
    let mut used = BTreeSet::new();
    for one in asked {
        assert_ne!(one.code, 403, "{one:?}");
        let path = one.uri.split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => panic!("{path} is no resource"),
        };
        let resource = match rest {
            ["namespaces", _, resource, ..] => resource,
            [resource, ..] => resource,
            [] => panic!("{path} is no resource"),
        };
        let mut add = |verb: &str| {
            used.insert((verb.to_owned(), group.to_owned(), (*resource).to_owned()));
        };
        add(&one.verb);
        // An apply of what is not there must be allowed to create it as well.
        if one.verb == "patch" && one.code == 201 {
            add("create");
        }
    }
    used
}

fn record() -> Record {
    serde_json::from_value(json!({
        "version": 1, "pipeline": "orders", "path": "pipelines/orders/orders.yaml",
        "approved": {
            "digest": "d".repeat(64), "commit": "c".repeat(40), "by": "review",
            "pull": 7, "since": null, "source": null,
        },
        "applied": null, "keys": [],
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_grants_what_is_used_and_nothing_more() {
    let place = Place::real().await;
    let bot = &place.bot;
    bot.check().await.unwrap();
    let wanted = manifests(&place.namespace);
    apply(&place, &wanted).await;
    drop(Watching::start(bot).await);
    let all = BTreeSet::new();
    bot.submit("orders", "once", &all, Timestamp::now())
        .await
        .unwrap();
    bot.submit("orders", "once", &all, Timestamp::now())
        .await
        .unwrap();
    assert_eq!(bot.runs("orders").await.unwrap().len(), 1);
    // It would never end: there is no kubelet here.
    place.api.drop("Workflow", "once").await;
    place.api.until_gone("Workflow", "once").await;
    a_record_keeps_its_claims(&place).await;
    one_of_two_replicas_holds_the_lease(&place).await;
    for (kind, name) in wanted.keys().rev() {
        while bot.delete(*kind, name).await.unwrap() != Deleted::Gone {
            assert_eq!(*kind, Kind::CronWorkflow);
            let idle = |cron: &Value| items(&cron["status"]["active"]).is_empty();
            place.api.until("CronWorkflow", name, idle).await;
        }
    }
    let Some(asked) = place.asked().await else {
        return println!("rights: this cluster does not say what it was asked");
    };
    let mut granted = granted(&place.namespace);
    // Held to be handed on.
    granted.retain(|(_, _, resource)| resource != "workflowtaskresults");
    assert_eq!(used(&asked), granted);
    println!(
        "rights: {} granted, {} requests",
        granted.len(),
        asked.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_read_and_nothing_is_seen_elsewhere() {
    let place = Place::real().await;
    let own = client(&place.kubeconfig).await;
    let here = Api::new(own.clone(), &place.namespace);
    let there = Api::new(own, "kube-system");
    for path in [
        here.path("Secret", ""),
        here.path("Secret", "any"),
        here.path("Pod", ""),
        there.path("ConfigMap", ""),
        there.path("ServiceAccount", "default"),
        "/api/v1/namespaces".to_owned(),
        "/api/v1/namespaces/kube-system".to_owned(),
    ] {
        let refused = here.ask(Method::GET, &path, "", &Value::Null).await;
        assert_eq!(refused.unwrap_err().code, 403, "{path}");
    }
    // Nor can it give itself more.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    });
    let refused = here.create(&role).await.unwrap_err();
    assert!(
        refused
            .message
            .contains("attempting to grant RBAC permissions"),
        "{refused:?}"
    );
}

async fn a_record_keeps_its_claims(place: &Place) {
    let bot = &place.bot;
    let record = record();
    let pipeline = &record.pipeline;
    bot.put_record(&record).await.unwrap();
    let key = CommandKey {
        comment: 7,
        line: 1,
    };
    let claim = Claim {
        key,
        claimed_at: Timestamp::UNIX_EPOCH,
        made_at: None,
    };
    bot.claim(pipeline, &claim).await.unwrap();
    bot.note_made(pipeline, key, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    bot.put_record(&record).await.unwrap();
    let claims = bot.claims(pipeline).await.unwrap();
    assert!(
        matches!(claims.as_slice(), [one] if one.made_at.is_some()),
        "{claims:?}"
    );
    let seen = bot.observe().await.unwrap();
    assert_eq!(seen.records.get(pipeline), Some(&record));
    bot.remove_record(pipeline).await.unwrap();
    assert_eq!(bot.claims(pipeline).await.unwrap(), []);
    assert_eq!(
        place.api.find("ConfigMap", &Record::name(pipeline)).await,
        None
    );
}

async fn one_of_two_replicas_holds_the_lease(place: &Place) {
    let keeper = |name: &str| Keeper::new("pipewright", name, None, Duration::from_secs(15));
    let (mut a, mut b) = (keeper("a"), keeper("b"));
    let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
    let bot = &place.bot;
    assert_eq!(bot.hold_lease(&mut a, at(0)).await.unwrap(), Hold::Held);
    let by_a = Hold::HeldBy {
        holder: "a".to_owned(),
        address: None,
    };
    for second in [1, 2, 16] {
        assert_eq!(bot.hold_lease(&mut b, at(second)).await.unwrap(), by_a);
    }
    assert_eq!(bot.hold_lease(&mut b, at(17)).await.unwrap(), Hold::Held);
    let by_b = Hold::HeldBy {
        holder: "b".to_owned(),
        address: None,
    };
    assert_eq!(bot.hold_lease(&mut a, at(17)).await.unwrap(), by_b);
    bot.release_lease(&mut b, at(18)).await.unwrap();
    assert_eq!(bot.hold_lease(&mut a, at(18)).await.unwrap(), Hold::Held);
    let lease = place.api.get("Lease", "pipewright").await;
    assert_eq!(lease["spec"]["leaseTransitions"], 2);
    assert_eq!(lease["spec"]["holderIdentity"], "a");
}
