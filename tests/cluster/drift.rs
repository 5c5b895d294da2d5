//! What others do to our objects: noticed by the watches, told with its manager, and mended.

use std::time::Duration;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::edges::cluster::{Changed, Cluster, How, Kubeconfig};
use pipewright::object::Kind;
use pipewright::plan::steps::Force;
use pipewright::render::APPLY_SET_LABEL;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::stage::Stage;
use serde_json::{Value, json};

use crate::api::{items, text};
use crate::apply::{apply, manifests};
use crate::common::{repository, tree_of};
use crate::place::{Place, on_both};
use crate::proxy::Proxy;
use crate::serving::Serving;

on_both! {
    what_others_do_is_noticed_and_what_we_do_is_not;
    what_happens_while_the_server_is_away_is_noticed;
    drift_is_mended_told_and_left_when_it_is_fought_over;
    what_can_not_be_changed_is_made_again;
    what_somebody_deletes_and_something_keeps_is_waited_for;
}

/// Long enough for anything here; who waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The next thing that others did.
async fn news(bot: &Cluster) -> (String, How) {
    let changed = tokio::time::timeout(PATIENCE, bot.changed()).await;
    let Changed { kind, name, how } = changed.expect("nothing was noticed");
    (format!("{} {name}", kind.as_str()), how)
}

fn manager(how: &How) -> Option<&str> {
    match how {
        How::Edited(Some(touch)) => Some(&touch.manager),
        _ => None,
    }
}

/// Watches until it is dropped.
pub struct Watching(tokio::task::JoinHandle<()>);

impl Watching {
    pub async fn start(bot: &Cluster) -> Self {
        let watched = bot.clone();
        let watching = tokio::spawn(async move {
            watched.watch(&Clock::system()).await;
        });
        let seen = tokio::time::timeout(PATIENCE, bot.seen()).await;
        seen.expect("the watches do not begin");
        Self(watching)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn what_others_do_is_noticed_and_what_we_do_is_not(place: &Place) {
    let mut wanted = manifests(&place.namespace);
    apply(place, &wanted).await;
    let bot = &place.bot;
    let _watching = Watching::start(bot).await;
    let listing = Kubeconfig::Text(place.kubeconfig.clone());
    let listing = Cluster::connect(listing, &place.namespace).await.unwrap();
    let listed = listing.observe().await.unwrap();
    place.asked().await;
    assert_eq!(bot.observe().await.unwrap(), listed);
    assert_eq!(place.asked().await.unwrap_or_default(), []);

    // Ours, often, and read at once: never older than what was written, and no news.
    let semaphore = wanted.keys().find(|(kind, _)| *kind == Kind::ConfigMap);
    let semaphore = semaphore.unwrap().clone();
    for limit in 10..30 {
        let manifest = wanted.get_mut(&semaphore).unwrap();
        manifest["data"]["limit"] = json!(limit.to_string());
        place.put(semaphore.0, manifest, &Force::No).await.unwrap();
        let seen = bot.observe().await.unwrap();
        let live = seen.objects[&semaphore].value();
        assert_eq!(live["data"]["limit"], limit.to_string());
    }
    let (role, account) = (&("Role", "pipewright-run"), "ServiceAccount");
    let role = wanted.keys().find(|(kind, _)| kind.as_str() == role.0);
    let role = role.unwrap().1.clone();
    place.asked().await;
    bot.delete(Kind::Role, &role).await.unwrap();
    if let Some(asked) = place.asked().await {
        let verbs: Vec<&str> = asked.iter().map(|one| one.verb.as_str()).collect();
        assert_eq!(verbs, ["delete"], "what was told is not read again");
    }

    // Theirs.
    let name = &semaphore.1;
    let api = &place.api;
    let edit = json!({"data": {"limit": "99"}});
    api.merge("ConfigMap", name, &edit, "kubectl-edit").await;
    let (object, how) = news(bot).await;
    assert_eq!(object, format!("ConfigMap {name}"), "{how:?}");
    assert_eq!(manager(&how), Some("kubectl-edit"), "{how:?}");

    let bare = json!({"metadata": {"labels": {(APPLY_SET_LABEL): null}}});
    let owned = wanted.keys().find(|(kind, _)| kind.as_str() == account);
    let owned = &owned.unwrap().1;
    api.merge(account, owned, &bare, "kubectl-label").await;
    assert_eq!(news(bot).await.0, format!("{account} {owned}"));

    let cron = wanted.keys().find(|(kind, _)| *kind == Kind::CronWorkflow);
    let cron = &cron.unwrap().1;
    let taken = json!({
        "apiVersion": Kind::CronWorkflow.api_version(), "kind": "CronWorkflow",
        "metadata": {"name": cron}, "spec": {"schedules": ["0 0 1 1 *"]},
    });
    let path = format!(
        "{}?fieldManager=another-tool&force=true",
        api.path("CronWorkflow", cron)
    );
    let content = "application/apply-patch+yaml";
    api.ask(http::Method::PATCH, &path, content, &taken)
        .await
        .unwrap();
    let (object, how) = news(bot).await;
    assert_eq!(object, format!("CronWorkflow {cron}"));
    assert_eq!(manager(&how), Some("another-tool"), "{how:?}");

    api.drop("ConfigMap", name).await;
    let gone = (format!("ConfigMap {name}"), How::Deleted);
    assert_eq!(news(bot).await, gone);
    assert_eq!(
        bot.observe().await.unwrap(),
        listing.observe().await.unwrap()
    );
}

async fn what_happens_while_the_server_is_away_is_noticed(place: &Place) {
    let wanted = manifests(&place.namespace);
    apply(place, &wanted).await;
    let proxy = Proxy::start(&place.cluster).await;
    let kubeconfig = place.kubeconfig_by(&proxy.cluster);
    let source = Kubeconfig::Text(kubeconfig);
    let bot = Cluster::connect(source, &place.namespace).await.unwrap();
    let _watching = Watching::start(&bot).await;

    let semaphore = wanted.keys().find(|(kind, _)| *kind == Kind::ConfigMap);
    let name = &semaphore.unwrap().1;
    let cron = wanted.keys().find(|(kind, _)| *kind == Kind::CronWorkflow);
    let cron = &cron.unwrap().1;
    proxy.close();
    let edit = json!({"data": {"limit": "99"}});
    place.api.merge("ConfigMap", name, &edit, "one").await;
    place.api.drop("CronWorkflow", cron).await;
    if let crate::place::Server::Simulated(kubernetes) = &place.server {
        // Nobody who comes back finds the history that he left.
        kubernetes.expire_watches();
    }
    // Once it is noticed that nobody is there, nothing is read that may be old.
    let noticed = async {
        while bot.observe().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let noticed = tokio::time::timeout(PATIENCE, noticed).await;
    noticed.expect("what is kept is read although nobody watches");
    proxy.open();
    let mut seen = [news(&bot).await, news(&bot).await];
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(seen[0].0, format!("ConfigMap {name}"));
    assert_eq!(seen[1], (format!("CronWorkflow {cron}"), How::Deleted));

    // It ends and begins again, and nobody has done anything.
    proxy.cut();
    place
        .api
        .merge("ConfigMap", name, &json!({"data": {"limit": "98"}}), "two")
        .await;
    let (object, how) = news(&bot).await;
    assert_eq!(object, format!("ConfigMap {name}"));
    assert_eq!(manager(&how), Some("two"));
}

/// The program serves, and has applied a merged pull request about `orders`.
async fn served(place: &Place) -> (Stage, Serving, u64) {
    let clock = Clock::stepped(Timestamp::now());
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    let serving = Serving::alone(&stage, place).await;
    stage.github.add_user("stranger", Permission::Write);
    let path = "pipelines/orders/orders.yaml";
    let content = repository()[path].clone() + "description: new\n";
    let change = Change::write(path, content);
    let opened = stage
        .github
        .open_pull_request("stranger", "a", "A", &[change]);
    let number = opened.unwrap();
    stage.deliver().await.unwrap();
    let wire = stage.github.wire().clone();
    let comments = format!("/issues/{number}/comments");
    wire.seen(|exchange| exchange.is_write() && exchange.uri.ends_with(&comments))
        .await;
    let lead = "lead-of-orders";
    let review = stage.github.review(number, lead, ReviewState::Approved);
    review.unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
    let applied = place.api.until("ConfigMap", "record-orders", |record| {
        text(record, "/data/record").contains("\"applied\":{")
    });
    applied.await;
    (stage, serving, number)
}

/// Waits until a comment says this.
async fn told(stage: &Stage, needle: &str) {
    let wire = stage.github.wire();
    let said = wire.seen(|exchange| {
        exchange.is_write()
            && exchange.uri.contains("comments")
            && String::from_utf8_lossy(&exchange.request).contains(needle)
    });
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("{needle} was not told"));
}

/// The name of a semaphore of the example.
async fn semaphore(place: &Place) -> String {
    let others = "labelSelector=pipewright.dev/record!=orders";
    let all = place.api.list("ConfigMap", others).await;
    let mut all = items(&all["items"]).iter();
    let semaphore = all.find(|one| {
        let labels = &one["metadata"]["labels"];
        labels.get(APPLY_SET_LABEL).is_some() && labels.get("pipewright.dev/record").is_none()
    });
    text(semaphore.unwrap(), "/metadata/name").to_owned()
}

async fn drift_is_mended_told_and_left_when_it_is_fought_over(place: &Place) {
    let (stage, _serving, number) = served(place).await;
    let api = &place.api;
    let told = async |needle: &str| told(&stage, needle).await;

    // A field that somebody edits, twice.
    let before = api.get("CronWorkflow", "orders").await["spec"]["schedules"].clone();
    let theirs = json!(["0 0 1 1 *"]);
    let edit = json!({"spec": {"schedules": theirs}});
    for who in ["kubectl-edit", "another-tool"] {
        api.merge("CronWorkflow", "orders", &edit, who).await;
        let mended = |cron: &Value| cron["spec"]["schedules"] == before;
        api.until("CronWorkflow", "orders", mended).await;
        told(who).await;
    }
    told("**mended**").await;
    // What somebody deletes.
    let semaphore = semaphore(place).await;
    api.drop("ConfigMap", &semaphore).await;
    told("was taken away").await;
    api.until("ConfigMap", &semaphore, |_| true).await;

    // The third time is left, and said.
    api.merge("CronWorkflow", "orders", &edit, "a-stubborn-tool")
        .await;
    told("again and again").await;
    let live = api.get("CronWorkflow", "orders").await;
    assert_eq!(live["spec"]["schedules"], theirs);
    let comments = stage.github.comments(number);
    let own: Vec<_> = comments
        .iter()
        .filter(|one| one.login.ends_with("[bot]"))
        .collect();
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(own[0].body.contains("`a-stubborn-tool`"), "{}", own[0].body);
}

async fn what_can_not_be_changed_is_made_again(place: &Place) {
    let (stage, _serving, _) = served(place).await;
    let api = &place.api;
    let semaphore = semaphore(place).await;
    let before = api.get("ConfigMap", &semaphore).await;
    let frozen = json!({"immutable": true, "data": {"runs": "99"}});
    api.merge("ConfigMap", &semaphore, &frozen, "kubectl-edit")
        .await;
    told(&stage, "kubectl-edit").await;
    let mended = |live: &Value| live["data"] == before["data"];
    let after = api.until("ConfigMap", &semaphore, mended).await;
    assert_eq!(after.get("immutable"), None, "{after:#}");
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    told(&stage, &format!("replace ConfigMap `{semaphore}`")).await;
}

async fn what_somebody_deletes_and_something_keeps_is_waited_for(place: &Place) {
    let (stage, _serving, _) = served(place).await;
    let api = &place.api;
    let semaphore = semaphore(place).await;
    let before = api.get("ConfigMap", &semaphore).await;
    let kept = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    api.merge("ConfigMap", &semaphore, &kept, "a-controller")
        .await;
    api.drop("ConfigMap", &semaphore).await;
    told(&stage, "waits: it is kept by `example.com/keep` since").await;
    // Nothing was written to what goes away.
    let leaving = api.get("ConfigMap", &semaphore).await;
    assert_eq!(leaving["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(leaving["data"], before["data"]);
    let free = json!({"metadata": {"finalizers": null}});
    api.merge("ConfigMap", &semaphore, &free, "a-controller")
        .await;
    let again = |live: &Value| live["metadata"]["uid"] != before["metadata"]["uid"];
    let after = api.until("ConfigMap", &semaphore, again).await;
    assert_eq!(after["data"], before["data"]);
}
