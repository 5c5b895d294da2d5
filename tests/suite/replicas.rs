//! Two replicas: one acts, both take webhooks, and the death of the one costs time only.

use std::time::Duration;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission};
use pipewright::sandbox::server::Exchange;
use pipewright::sandbox::stage::Stage;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

use crate::common::{repository, tree_of};

/// Yields until it is so. Whoever else has something to do does it meanwhile.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if is_so() {
            return;
        }
        yield_now().await;
    }
    panic!("{what}: never");
}

/// A replica at work, and where it takes webhooks.
pub struct Replica {
    pub url: String,
    work: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    pub async fn start(stage: &Stage, name: &str) -> Self {
        let bot = stage.replica(name).await.unwrap();
        let url = bot.webhook_url().unwrap();
        let work = spawn_local(bot.run(std::future::pending()));
        Self { url, work }
    }

    /// As if its machine were gone.
    pub async fn die(self) {
        self.work.abort();
        assert!(self.work.await.unwrap_err().is_cancelled());
    }
}

pub fn holder(stage: &Stage) -> Option<String> {
    let mut objects = stage.kubernetes.objects().into_iter();
    let lease = objects.rfind(|object| object["kind"] == "Lease")?;
    lease["spec"]["holderIdentity"]
        .as_str()
        .map(ToOwned::to_owned)
}

fn looks_at_the_lease(stage: &Stage) -> usize {
    let is_look = |exchange: &Exchange| exchange.uri.contains("/leases");
    stage.kubernetes.wire().count(is_look)
}

/// Time passes, in steps that give everybody the time to look.
async fn pass(stage: &Stage, seconds: u64) {
    for _ in 0..seconds / 3 {
        // Else it goes to sleep after the time that it should have woken at.
        until("somebody sleeps", || {
            stage.worker.clock.next_wake().is_some()
        })
        .await;
        let looked = looks_at_the_lease(stage);
        stage.worker.clock.advance(Duration::from_secs(3));
        until("somebody looks at the Lease", || {
            looks_at_the_lease(stage) > looked
        })
        .await;
    }
}

fn comments(stage: &Stage, number: u64) -> Vec<String> {
    let comments = stage.github.comments(number).into_iter();
    comments.map(|comment| comment.body).collect()
}

fn change(text: &str) -> [Change; 1] {
    let orders = repository()["pipelines/orders/orders.yaml"].clone();
    [Change::write("pipelines/orders/orders.yaml", orders + text)]
}

async fn play() {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user("stranger", Permission::Write);
    let first = Replica::start(&stage, "first").await;
    until("the first holds", || {
        holder(&stage).as_deref() == Some("first")
    })
    .await;
    let second = Replica::start(&stage, "second").await;
    let looked = looks_at_the_lease(&stage);
    until("the second looks", || looks_at_the_lease(&stage) > looked).await;

    // Webhooks come in at the one that does not act.
    stage.send_webhooks_to(&second.url);
    let number = stage
        .github
        .open_pull_request("stranger", "a", "A", &change("description: new\n"))
        .unwrap();
    stage.deliver().await.unwrap();
    until("the plan is said", || !comments(&stage, number).is_empty()).await;
    assert_eq!(holder(&stage).as_deref(), Some("first"));

    // The first dies. Its Lease has not run out, so nobody acts, and GitHub is told.
    first.die().await;
    stage
        .github
        .push(number, "stranger", &change("suspend: true\n"))
        .unwrap();
    for delivery in stage.github.take_deliveries() {
        assert_eq!(stage.github.send(&delivery).await.unwrap(), 503);
    }
    pass(&stage, 12).await;
    assert_eq!(
        holder(&stage).as_deref(),
        Some("first"),
        "not before its time"
    );

    // Then the second one takes its place, and finds what was lost.
    pass(&stage, 12).await;
    until("the second holds", || {
        holder(&stage).as_deref() == Some("second")
    })
    .await;
    until("the new plan is said", || {
        comments(&stage, number).concat().contains("suspend")
    })
    .await;
    assert_eq!(comments(&stage, number).len(), 1, "one comment, edited");
    let head = stage.github.pull_request(number).unwrap().head_sha;
    until("the check is finished", || {
        let runs = stage.github.check_runs(&head);
        runs.len() == 1 && runs[0].conclusion.is_some()
    })
    .await;

    // A third one finds a holder, and hands over to it.
    let third = Replica::start(&stage, "third").await;
    pass(&stage, 6).await;
    stage.send_webhooks_to(&third.url);
    stage.github.close(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
    assert_eq!(holder(&stage).as_deref(), Some("second"));
    second.die().await;
    third.die().await;
}

#[tokio::test]
async fn one_acts_both_listen_and_the_death_of_one_costs_time_only() {
    LocalSet::new().run_until(play()).await;
}
