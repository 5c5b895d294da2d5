//! The inventory as kubectl reads it, and what must never be deleted by it: the real bot
//! between a simulated GitHub and this cluster.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use http::Method;
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::object::Kind;
use pipewright::plan::inventory::{COMMIT, DIGEST, ID_LABEL, KINDS, TOOLING};
use pipewright::render::{APPLY_SET_LABEL, apply_set};
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::stage::Stage;
use pipewright::shell::worker::Stepped;
use serde_json::{Value, json};

use crate::api::{Api, items, text};
use crate::audit::Asked;
use crate::common::{repository, tree_of};
use crate::place::{Place, on_both};

on_both! {
    the_parent_is_written_before_the_first_member_and_when_something_changed;
    the_parent_mends_itself_and_holds_nobody;
    a_copied_label_is_no_claim;
    a_member_without_its_label_stays;
    an_empty_tree_and_an_unreadable_file_delete_nothing;
    what_is_named_otherwise_deletes_nothing_unreviewed_and_keeps_the_budget;
    another_namespace_is_another_inventory;
}

const ORDERS: &str = "pipelines/orders/orders.yaml";
const RETURNS: &str = "pipelines/orders/returns.yaml";
const ESTATE: &str = "policies/estate.yaml";
const DEFAULTS: &str = "policies/defaults.yaml";

/// The bot on the place's cluster. Nothing is approved yet.
async fn stage(place: &Place) -> Stage {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.worker.edges.cluster = place.bot.clone();
    stage.worker.house.namespace = place.namespace.clone();
    stage.github.add_user("stranger", Permission::Write);
    stage.settle().await.unwrap();
    stage
}

/// Looks at everything until it rests; what fails stays failed for now.
async fn sweep(stage: &mut Stage) {
    stage.worker.queue.add(&Event::Sweep);
    rest(stage).await;
}

async fn rest(stage: &mut Stage) {
    stage.deliver().await.unwrap();
    let mut steps = 0;
    while !matches!(stage.step().await, Stepped::Idle) {
        stage.deliver().await.unwrap();
        steps += 1;
        assert!(steps < 100, "it does not rest");
    }
}

/// Merges the changes, as everybody agreed; returns what the bot said.
async fn merge(stage: &mut Stage, branch: &str, changes: &[Change]) -> String {
    let opened = stage
        .github
        .open_pull_request("stranger", branch, branch, changes);
    let number = opened.unwrap();
    rest(stage).await;
    for owner in ["lead-of-orders", "lead-of-billing", "lead-of-data-platform"] {
        stage
            .github
            .review(number, owner, ReviewState::Approved)
            .unwrap();
    }
    stage.github.merge(number, "stranger").unwrap();
    rest(stage).await;
    let comments = stage.github.comments(number).into_iter();
    comments.map(|comment| comment.body).collect()
}

/// The file, with a word more. Suspended, so that no schedule comes between.
fn moved(path: &str) -> Change {
    let text = repository()[path].clone();
    Change::write(path, text + "suspend: true\ndescription: new\n")
}

/// Every object of our kinds but the bot's own, as `Kind/name`; of those that a selector takes.
async fn names(api: &Api, query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kind in Kind::ALL {
        for item in items(&api.list(kind.as_str(), query).await["items"]) {
            names.insert(format!(
                "{}/{}",
                kind.as_str(),
                text(item, "/metadata/name")
            ));
        }
    }
    for given in [
        "ConfigMap/kube-root-ca.crt",
        "ServiceAccount/default",
        "ServiceAccount/pipewright",
        "Role/pipewright",
        "RoleBinding/pipewright",
    ] {
        names.remove(given);
    }
    names
}

async fn members(place: &Place) -> BTreeSet<String> {
    let label = apply_set(&place.namespace);
    names(
        &place.api,
        &format!("labelSelector={APPLY_SET_LABEL}%3D{label}"),
    )
    .await
}

async fn parent(place: &Place) -> Value {
    place.api.get("ConfigMap", "pipewright").await
}

fn says<'v>(parent: &'v Value, annotation: &str) -> &'v str {
    let annotations = &parent["metadata"]["annotations"];
    annotations[annotation].as_str().unwrap_or_default()
}

/// The names that were written, in order.
fn written(asked: &[Asked]) -> Vec<&str> {
    let writes = asked.iter().filter(|one| one.is_write());
    let path = |one: &Asked| one.uri.split('?').next().unwrap().len();
    writes
        .map(|one| one.uri[..path(one)].rsplit('/').next().unwrap())
        .collect()
}

async fn the_parent_is_written_before_the_first_member_and_when_something_changed(place: &Place) {
    let mut stage = stage(place).await;
    assert_eq!(names(&place.api, "").await, BTreeSet::new());
    place.asked().await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    if let Some(asked) = place.asked().await {
        let written = written(&asked);
        assert_eq!(
            (written[0], written[written.len() - 1]),
            ("pipewright", "pipewright")
        );
        let count = written.iter().filter(|name| **name == "pipewright").count();
        assert_eq!(count, 2, "{written:?}");
    }
    let first = parent(place).await;
    let id = apply_set(&place.namespace);
    assert_eq!(first["metadata"]["labels"][ID_LABEL], id);
    assert_eq!(
        says(&first, TOOLING),
        concat!("pipewright/v", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(says(&first, COMMIT), stage.github.default_head());
    for kind in Kind::ALL {
        assert!(says(&first, KINDS).contains(kind.as_str()));
    }
    // All that is ours, and the parent is no member of itself.
    let mut all = names(&place.api, "").await;
    assert!(all.remove("ConfigMap/pipewright"));
    assert!(all.contains("CronWorkflow/orders") && all.contains("ConfigMap/record-orders"));
    assert_eq!(members(place).await, all);

    sweep(&mut stage).await;
    if let Some(asked) = place.asked().await {
        assert_eq!(written(&asked), [""; 0]);
        assert!(asked.len() <= 8, "{asked:?}");
    }

    merge(&mut stage, "b", &[moved(RETURNS)]).await;
    if let Some(asked) = place.asked().await {
        let written = written(&asked);
        let of_parent: Vec<_> = written
            .iter()
            .filter(|name| **name == "pipewright")
            .collect();
        assert_eq!(of_parent.len(), 1, "{written:?}");
        assert_eq!(written.last(), Some(&"pipewright"));
    }
    let second = parent(place).await;
    assert_ne!(says(&second, DIGEST), says(&first, DIGEST));
    assert_eq!(says(&second, COMMIT), stage.github.default_head());

    // What is not applied is not said: a merge that nobody reviewed.
    let text = repository()[ORDERS].clone();
    let push =
        stage
            .github
            .push_to_default("stranger", "Straight in", &[Change::write(ORDERS, text)]);
    push.unwrap();
    rest(&mut stage).await;
    assert_eq!(parent(place).await, second);

    // The end of a pipeline is something to say as well.
    let said = merge(&mut stage, "c", &[Change::remove(RETURNS)]).await;
    assert_eq!(
        place.api.find("CronWorkflow", "returns").await,
        None,
        "{said}"
    );
    let third = parent(place).await;
    assert_eq!(says(&third, DIGEST), says(&first, DIGEST));
    assert_eq!(says(&third, COMMIT), stage.github.default_head());
}

async fn the_parent_mends_itself_and_holds_nobody(place: &Place) {
    let mut stage = stage(place).await;
    // Somebody's ConfigMap happens to have the name.
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "pipewright"}, "data": {"settings": "theirs"},
    });
    let theirs = place.api.create(&theirs).await.unwrap();
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    assert!(place.api.find("CronWorkflow", "orders").await.is_some());
    assert_eq!(parent(place).await, theirs);
    place.api.drop("ConfigMap", "pipewright").await;
    sweep(&mut stage).await;
    let whole = parent(place).await;
    let is = says(&whole, DIGEST).to_owned();
    assert_eq!(is.len(), 64);

    let edit = json!({"metadata": {
        "labels": {ID_LABEL: null}, "annotations": {KINDS: "Secret", DIGEST: null, "a": "b"},
    }});
    place
        .api
        .merge("ConfigMap", "pipewright", &edit, "kubectl-edit")
        .await;
    place.asked().await;
    sweep(&mut stage).await;
    if let Some(asked) = place.asked().await {
        assert_eq!(written(&asked), ["pipewright"]);
    }
    let mended = parent(place).await;
    assert_eq!(mended["metadata"]["labels"], whole["metadata"]["labels"]);
    assert_eq!(says(&mended, KINDS), says(&whole, KINDS));
    assert_eq!(says(&mended, DIGEST), is);
    assert_eq!(says(&mended, "a"), "b");

    // Mended and told in the same apply.
    let edit = json!({"metadata": {"annotations": {KINDS: "Secret"}}});
    place
        .api
        .merge("ConfigMap", "pipewright", &edit, "kubectl-edit")
        .await;
    merge(&mut stage, "c", &[moved("pipelines/billing/invoices.yaml")]).await;
    let mended = parent(place).await;
    assert_eq!(says(&mended, KINDS), says(&whole, KINDS));
    assert_ne!(says(&mended, DIGEST), is);
    let is = says(&mended, DIGEST).to_owned();

    // Another's, until that one gives it back; the apply goes on meanwhile.
    let taken = json!({"metadata": {"annotations": {TOOLING: "kubectl/v1.36.2"}}});
    let taken = place
        .api
        .merge("ConfigMap", "pipewright", &taken, "kubectl-edit")
        .await;
    merge(&mut stage, "b", &[moved(RETURNS)]).await;
    assert!(place.api.find("CronWorkflow", "returns").await.is_some());
    assert_eq!(parent(place).await, taken);
    let back = json!({"metadata": {"annotations": {TOOLING: null}}});
    place
        .api
        .merge("ConfigMap", "pipewright", &back, "kubectl-edit")
        .await;
    sweep(&mut stage).await;
    assert_ne!(says(&parent(place).await, DIGEST), is);
}

async fn a_copied_label_is_no_claim(place: &Place) {
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    let labelled = |kind: &str, name: &str| {
        let of_core = json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "labels": {APPLY_SET_LABEL: apply_set(&place.namespace)}},
        });
        of_core
    };
    // One that no pipeline has to do with, and one in the place of what a pipeline will want.
    let semaphore = place.api.list("ConfigMap", "").await;
    let semaphore = items(&semaphore["items"])
        .iter()
        .map(|one| text(one, "/metadata/name"))
        .find(|name| name.ends_with("-semaphore"))
        .unwrap()
        .to_owned();
    let theirs = place
        .api
        .create(&labelled("ConfigMap", "theirs"))
        .await
        .unwrap();
    sweep(&mut stage).await;
    merge(&mut stage, "b", &[Change::remove(ORDERS)]).await;
    assert_eq!(place.api.find("CronWorkflow", "orders").await, None);
    assert_eq!(place.api.find("ConfigMap", &semaphore).await, None);
    assert_eq!(place.api.get("ConfigMap", "theirs").await, theirs);

    place
        .api
        .create(&labelled("ConfigMap", &semaphore))
        .await
        .unwrap();
    let said = merge(
        &mut stage,
        "c",
        &[Change::write(
            ORDERS,
            repository()[ORDERS].clone() + "suspend: true\n",
        )],
    )
    .await;
    assert!(
        place.api.find("CronWorkflow", "orders").await.is_some(),
        "{said}"
    );
    let record = place.api.get("ConfigMap", "record-orders").await;
    let record: Value = serde_json::from_str(text(&record, "/data/record")).unwrap();
    let given = items(&record["keys"])
        .iter()
        .find(|given| given["key"]["kubernetes"]["name"] == semaphore.as_str())
        .unwrap();
    assert_eq!(given["how"], "adopted");

    // Somebody puts their own in the place of one that the Record holds.
    let account = semaphore.trim_end_matches("-semaphore");
    place.api.drop("ServiceAccount", account).await;
    let in_place = place
        .api
        .create(&labelled("ServiceAccount", account))
        .await
        .unwrap();
    let said = merge(&mut stage, "d", &[Change::remove(ORDERS)]).await;
    assert_eq!(
        place.api.find("CronWorkflow", "orders").await,
        None,
        "{said}"
    );
    assert!(place.api.find("ConfigMap", &semaphore).await.is_some());
    assert_eq!(place.api.get("ServiceAccount", account).await, in_place);
    assert!(said.contains("never applied it"), "{said}");
    assert_eq!(place.api.get("ConfigMap", "theirs").await, theirs);
    // Once they have taken it away, what was left is done.
    place.api.drop("ServiceAccount", account).await;
    sweep(&mut stage).await;
    assert_eq!(place.api.find("ConfigMap", "record-orders").await, None);
}

async fn a_member_without_its_label_stays(place: &Place) {
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    let off = json!({"metadata": {"labels": {APPLY_SET_LABEL: null}}});
    let before = members(place).await;
    place
        .api
        .merge("CronWorkflow", "orders", &off, "kubectl-label")
        .await;
    assert_ne!(members(place).await, before);
    place.asked().await;
    sweep(&mut stage).await;
    assert_eq!(members(place).await, before);

    // Nobody has looked since, and it shall go.
    let taken = place
        .api
        .merge("CronWorkflow", "orders", &off, "kubectl-label")
        .await;
    let said = merge(&mut stage, "b", &[Change::remove(ORDERS)]).await;
    assert_eq!(
        place.api.get("CronWorkflow", "orders").await,
        taken,
        "{said}"
    );
    assert!(said.contains(APPLY_SET_LABEL), "{said}");
    let on = json!({"metadata": {"labels": {APPLY_SET_LABEL: apply_set(&place.namespace)}}});
    place
        .api
        .merge("CronWorkflow", "orders", &on, "kubectl-label")
        .await;
    sweep(&mut stage).await;
    assert_eq!(place.api.find("CronWorkflow", "orders").await, None);
    assert_eq!(members(place).await, BTreeSet::new());
}

async fn an_empty_tree_and_an_unreadable_file_delete_nothing(place: &Place) {
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS), moved(RETURNS)]).await;
    let there = names(&place.api, "").await;
    let before = parent(place).await;
    place.asked().await;
    let push = |stage: &Stage, changes: &[Change]| {
        let pushed = stage
            .github
            .push_to_default("stranger", "Straight in", changes);
        pushed.unwrap();
    };
    let broken = Change::write(ORDERS, "bq_project_id: [");
    push(&stage, &[Change::write(ESTATE, "owners: [")]);
    rest(&mut stage).await;
    push(&stage, &[Change::write(ESTATE, &repository()[ESTATE])]);
    rest(&mut stage).await;
    // Everybody agrees to what nobody can read, and then to nothing at all.
    merge(&mut stage, "b", &[broken]).await;
    assert_eq!(names(&place.api, "").await, there);
    push(&stage, &[moved(ORDERS)]);
    let every = repository().into_keys();
    let every: Vec<Change> = every
        .filter(|path| path.starts_with("pipelines/"))
        .map(Change::remove)
        .collect();
    let said = merge(&mut stage, "c", &every).await;
    assert!(said.contains("no pipeline left"), "{said}");
    assert_eq!(names(&place.api, "").await, there);
    if let Some(asked) = place.asked().await {
        assert_eq!(written(&asked), [""; 0]);
    }
    assert_eq!(parent(place).await, before);
}

async fn what_is_named_otherwise_deletes_nothing_unreviewed_and_keeps_the_budget(place: &Place) {
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    let there = names(&place.api, "").await;
    let estate = repository()[ESTATE].clone();
    let renamed = estate.replace(
        "acme-orders:asia-northeast1:orders",
        "acme-orders:asia-northeast1:shop",
    );
    assert_ne!(estate, renamed);
    stage.google.add_connection(
        "acme-orders",
        "asia-northeast1",
        "orders-db",
        "acme-orders:asia-northeast1:shop",
        "orders",
    );
    // A setting names every account at Google.
    let project = std::mem::replace(
        &mut stage.worker.house.identity_project,
        "acme-others".parse().unwrap(),
    );
    place.asked().await;
    sweep(&mut stage).await;
    stage.worker.house.identity_project = project;
    let limits = repository()[DEFAULTS].clone();
    let limits = limits.replace("prunes_per_apply: 50", "prunes_per_apply: 2");
    let changes = [
        Change::write(ESTATE, &renamed),
        Change::write(DEFAULTS, &limits),
    ];
    let pushed = stage
        .github
        .push_to_default("stranger", "Straight in", &changes);
    pushed.unwrap();
    rest(&mut stage).await;
    if let Some(asked) = place.asked().await {
        assert_eq!(written(&asked), [""; 0]);
    }
    let text = repository()[ORDERS].clone() + "suspend: true\n";
    let said = merge(&mut stage, "b", &[Change::write(ORDERS, text)]).await;
    assert!(said.contains("the house allows 2"), "{said}");
    assert_eq!(names(&place.api, "").await, there);

    let raised = limits.replace("prunes_per_apply: 2", "prunes_per_apply: 50");
    let raised = [Change::write(DEFAULTS, raised)];
    let pushed = stage
        .github
        .push_to_default("stranger", "Straight in", &raised);
    pushed.unwrap();
    rest(&mut stage).await;
    let now = names(&place.api, "").await;
    let gone: BTreeSet<_> = there.difference(&now).collect();
    assert!(!gone.is_empty());
    assert!(
        gone.iter().all(|name| name.contains("pw-orders-")),
        "{gone:?}"
    );
    assert_eq!(members(place).await.len(), there.len() - 1);
}

async fn another_namespace_is_another_inventory(place: &Place) {
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    let there = names(&place.api, "").await;
    let other = match place.server {
        crate::place::Server::Simulated(_) => Place::simulated().await,
        crate::place::Server::Real { .. } => Place::real().await,
    };
    stage.worker.edges.cluster = other.bot.clone();
    stage.worker.house.namespace = other.namespace.clone();
    place.asked().await;
    sweep(&mut stage).await;
    merge(&mut stage, "b", &[moved(RETURNS)]).await;
    assert!(other.api.find("CronWorkflow", "returns").await.is_some());
    assert_ne!(
        parent(&other).await["metadata"]["labels"][ID_LABEL],
        parent(place).await["metadata"]["labels"][ID_LABEL]
    );
    assert_eq!(names(&place.api, "").await, there);
    if let Some(asked) = place.asked().await {
        assert_eq!(asked, []);
    }
}

/// What kubectl says to these words, and whether it agreed.
fn kubectl(place: &Place, words: &[&str], input: &Value) -> (bool, String) {
    let mut child = Command::new("kubectl")
        .args(["--namespace", &place.namespace])
        .args(words)
        .env("KUBECTL_APPLYSET", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl comes with `tests/cluster/up`");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_the_inventory_and_leaves_it_alone() {
    let place = &Place::real().await;
    let mut stage = stage(place).await;
    merge(&mut stage, "a", &[moved(ORDERS)]).await;
    let selector = format!("{APPLY_SET_LABEL}={}", apply_set(&place.namespace));
    let kinds = says(&parent(place).await, KINDS).to_lowercase();
    let (agreed, listed) = kubectl(
        place,
        &["get", &kinds, "-l", &selector, "-o", "name"],
        &Value::Null,
    );
    assert!(agreed, "{listed}");
    let listed: BTreeSet<String> = listed
        .lines()
        .map(|line| {
            let (kind, name) = line.split_once('/').unwrap();
            format!("{}/{name}", kind.split('.').next().unwrap())
        })
        .collect();
    let lower = |name: &String| {
        let (kind, name) = name.split_once('/').unwrap();
        format!("{}/{name}", kind.to_lowercase())
    };
    assert_eq!(listed, members(place).await.iter().map(lower).collect());

    let prune = [
        "apply",
        "--server-side",
        "--applyset=configmap/pipewright",
        "--prune",
        "--dry-run=server",
        "-f",
        "-",
    ];
    let mine = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}});
    let (agreed, said) = kubectl(place, &prune, &mine);
    assert!(
        !agreed && said.contains("managed by tooling \"pipewright\""),
        "{said}"
    );

    // What would it do if it were kubectl's own? Then it knows every member.
    let owned = json!({"metadata": {"annotations": {TOOLING: "kubectl/v1.36.2"}}});
    place
        .api
        .merge("ConfigMap", "pipewright", &owned, "kubectl-edit")
        .await;
    let (agreed, said) = kubectl(place, &prune, &mine);
    assert!(agreed, "{said}");
    let pruned: BTreeSet<String> = said
        .lines()
        .filter_map(|line| line.strip_suffix(" pruned (server dry run)"))
        .map(|line| {
            let (kind, name) = line.split_once('/').unwrap();
            format!("{}/{name}", kind.split('.').next().unwrap())
        })
        .collect();
    assert_eq!(pruned, listed, "{said}");
    // It was a dry run, and the bot does not need the parent to be its own.
    let path = place.api.path("ConfigMap", "mine");
    let none = place.api.ask(Method::GET, &path, "", &Value::Null).await;
    assert_eq!(none.unwrap_err().code, 404);
}
