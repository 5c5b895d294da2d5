//! Two processes of the program on one cluster: one acts, both listen, and whatever becomes of
//! them, all in all they do what a single undisturbed one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::server::{Exchange, Fault, asks_for_a_change};
use pipewright::sandbox::stage::{NAMESPACE, Stage};
use serde_json::Value;

use crate::api::text;
use crate::audit::{self, Asked};
use crate::place::Place;
use crate::serving::{STRANGER, Serving, commented, merge, open, signal, stage};

/// Far less than the five minutes after which everything is looked at without a webhook.
const SOON: Duration = Duration::from_secs(15);

/// How often each thing was done.
type Done = BTreeMap<String, usize>;

fn counted(things: impl Iterator<Item = String>) -> Done {
    let mut done = Done::new();
    for thing in things {
        *done.entry(thing).or_default() += 1;
    }
    done
}

/// What was asked of Google that changes something: answered or not.
fn asked_of_google(stage: &Stage, namespace: &str) -> Done {
    let traffic = stage.google.wire().traffic();
    let changes = traffic.iter().filter(|exchange| {
        let uri: Uri = exchange.uri.parse().unwrap();
        asks_for_a_change(&exchange.method, &uri)
    });
    counted(changes.map(|exchange| {
        let mut body: Value = serde_json::from_slice(&exchange.request).unwrap_or_default();
        // It tells what was there before.
        if let Some(policy) = body.get_mut("policy").and_then(Value::as_object_mut) {
            policy.remove("etag");
        }
        let whole = format!("{} {} {body}", exchange.method, exchange.uri);
        whole.replace(namespace, NAMESPACE)
    }))
}

/// The objects that were written, and how often. Of the Lease and the Records it is known that
/// they are written again and again.
fn written(asked: &[Asked], namespace: &str) -> Done {
    let writes = asked.iter().filter(|one| one.is_write() && one.code < 300);
    let objects = writes
        .filter(|one| !one.uri.contains("/leases") && !one.uri.contains("/configmaps/record-"))
        .map(|one| {
            let path = one.uri.split('?').next().unwrap_or_default();
            let path = path.replace(namespace, NAMESPACE);
            format!("{} {path} {}", one.verb, one.code)
        });
    counted(objects)
}

/// What people see of it: how many comments there are, and every check run.
fn said(stage: &Stage, number: u64) -> Done {
    let head = stage.github.pull_request(number).unwrap().head_sha;
    let runs = stage.github.check_runs(&head).into_iter();
    let runs = runs.map(|run| format!("check {} {:?}", run.name, run.conclusion));
    let comments = stage.github.comments(number).into_iter();
    counted(runs.chain(comments.map(|comment| format!("comment of {}", comment.login))))
}

/// What one replica does of it that nothing befalls.
async fn undisturbed() -> (Done, Done, Done) {
    let mut stage = stage(Clock::stepped(Timestamp::now())).await;
    let number = open(&stage, "new", "description: new\n");
    stage.settle().await.unwrap();
    merge(&stage, number);
    stage.settle().await.unwrap();
    let traffic = stage.kubernetes.wire().traffic();
    let asked = audit::of_traffic(&traffic, "Bearer the-sandbox");
    (
        asked_of_google(&stage, NAMESPACE),
        written(&asked, NAMESPACE),
        said(&stage, number),
    )
}

/// Whoever makes the third change at Google is killed, and never hears that it was made.
fn kill_amid_the_apply(stage: &Stage, process: u32) -> Arc<Mutex<usize>> {
    let changes = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&changes);
    let fault = move |method: &Method, uri: &Uri| {
        if !asks_for_a_change(method, uri) {
            return None;
        }
        let mut changes = counter.lock().unwrap();
        *changes += 1;
        (*changes == 3).then(|| {
            signal(process, "KILL");
            Fault::LoseAnswer(StatusCode::SERVICE_UNAVAILABLE, String::new())
        })
    };
    stage.google.wire().fail_with(fault);
    changes
}

async fn holder(place: &Place) -> String {
    let lease = place.api.get("Lease", "pipewright").await;
    text(&lease, "/spec/holderIdentity").to_owned()
}

async fn until_held_by(place: &Place, name: &str) {
    let is_held = |lease: &Value| text(lease, "/spec/holderIdentity") == name;
    place.api.until("Lease", "pipewright", is_held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_amid_an_apply_and_the_other_ends_it() {
    let place = Place::real().await;
    let mut stage = stage(Clock::system()).await;
    let first = Serving::start(&stage, &place, "first").await;
    first.until_it_holds().await;
    let second = Serving::start(&stage, &place, "second").await;
    second.until_it_stands_by().await;

    // Both take webhooks.
    stage.send_webhooks_to(&second.webhook);
    let began = Instant::now();
    let number = open(&stage, "new", "description: new\n");
    stage.deliver().await.unwrap();
    commented(&stage.github, "orders").await;
    stage.send_webhooks_to(&first.webhook);
    let other = open(&stage, "other", "description: another\n");
    stage.deliver().await.unwrap();
    let comments = format!("/issues/{other}/comments");
    let is_comment = |exchange: &Exchange| exchange.is_write() && exchange.uri.ends_with(&comments);
    stage.github.wire().seen(is_comment).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    stage.github.close(other, STRANGER).unwrap();
    stage.deliver().await.unwrap();
    assert_eq!(holder(&place).await, "first");
    assert!(asked_of_google(&stage, &place.namespace).is_empty());

    let changes = kill_amid_the_apply(&stage, first.id());
    stage.send_webhooks_to(&second.webhook);
    merge(&stage, number);
    stage.deliver().await.unwrap();
    let applied = |record: &Value| text(record, "/data/record").contains("\"applied\":{");
    place
        .api
        .until("ConfigMap", "record-orders", |record| {
            !record.is_null() && !applied(record)
        })
        .await;
    // Nobody acts until the Lease has run out.
    until_held_by(&place, "second").await;
    second.until_it_holds().await;
    place
        .api
        .until("ConfigMap", "record-orders", |record| applied(record))
        .await;
    assert!(*changes.lock().unwrap() > 3, "it died amid the apply");
    assert!(place.api.find("CronWorkflow", "orders").await.is_some());

    let (google, objects, people) = undisturbed().await;
    assert!(
        google.len() > 4 && objects.len() > 4,
        "{google:?} {objects:?}"
    );
    assert_eq!(asked_of_google(&stage, &place.namespace), google);
    assert_eq!(said(&stage, number), people);
    if let Some(asked) = place.asked().await {
        assert_eq!(written(&asked, &place.namespace), objects);
    }

    // Whoever is told to stop gives the Lease back, and nobody waits until it has run out.
    let third = Serving::start(&stage, &place, "third").await;
    third.until_it_stands_by().await;
    let began = Instant::now();
    tokio::task::block_in_place(|| second.stop());
    until_held_by(&place, "third").await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    third.until_it_holds().await;
    stage.send_webhooks_to(&third.webhook);
    let last = open(&stage, "last", "suspend: true\n");
    stage.deliver().await.unwrap();
    commented(&stage.github, "suspend").await;
    let comments = stage.github.comments(last);
    assert_eq!(comments.len(), 1);
    drop(first);
}
