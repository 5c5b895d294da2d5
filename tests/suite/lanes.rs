//! Lanes: what is newer goes first, and nobody waits for somebody else's remote.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::{Event, Lane};
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::Stage;
use pipewright::shell::worker::Stepped;
use tokio::task::LocalSet;

use crate::common::{repository, tree_of};
use crate::replicas::{Replica, holder, until};

async fn stage() -> Stage {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user("stranger", Permission::Write);
    stage.settle().await.unwrap();
    stage
}

fn open(stage: &Stage) -> u64 {
    let file = "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
                bq_dataset_name: dataplatform_crm\nservice_name: crm\n\
                db_catalog_name: billing\ndb_schema_name: crm\n";
    let changes = [Change::write("pipelines/crm.yaml", file)];
    stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &changes)
        .unwrap()
}

fn said(stage: &Stage, number: u64) -> usize {
    let head = stage.github.pull_request(number).unwrap().head_sha;
    stage.github.comments(number).len() + stage.github.check_runs(&head).len()
}

/// Whenever the bot asks Google something, `event` arrives, up to `times`.
fn interrupt(stage: &Stage, event: Event, mut times: usize) {
    let queue = stage.worker.queue.clone();
    stage.google.wire().fail_with(move |_, _| {
        if times > 0 {
            times -= 1;
            queue.add(&event);
        }
        None
    });
}

#[tokio::test]
async fn a_push_during_a_run_gives_it_up_before_anything_is_said() {
    let mut stage = stage().await;
    let number = open(&stage);
    stage.deliver().await.unwrap();
    interrupt(&stage, Event::PullRequestChanged { number }, 1);
    let stepped = stage.step().await;
    assert!(matches!(stepped, Stepped::Ran(Some(Lane::PullRequest(_)))));
    assert_eq!(said(&stage, number), 0, "a newer run waits");
    stage.settle().await.unwrap();
    assert_eq!(said(&stage, number), 2, "one comment, one check");
}

#[tokio::test]
async fn an_endless_burst_does_not_starve_its_own_lane() {
    let mut stage = stage().await;
    let number = open(&stage);
    stage.deliver().await.unwrap();
    interrupt(&stage, Event::PullRequestChanged { number }, usize::MAX);
    let mut runs = 0;
    while said(&stage, number) < 2 {
        stage.step().await;
        runs += 1;
        assert!(runs < 10, "nothing is ever said");
    }
    assert_eq!(runs, 4, "three are given up, the fourth is not");
}

#[tokio::test]
async fn a_push_during_an_apply_is_planned_before_anything_is_written() {
    let mut stage = stage().await;
    let number = open(&stage);
    stage.settle().await.unwrap();
    let approved = ReviewState::Approved;
    stage
        .github
        .review(number, "lead-of-billing", approved)
        .unwrap();
    stage.settle().await.unwrap();
    let before = stage.kubernetes.wire().writes();
    stage.github.merge(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
    let commit = "a".repeat(40).parse().unwrap();
    interrupt(&stage, Event::DefaultBranchPushed { commit }, 1);
    while !matches!(
        stage.step().await,
        Stepped::Ran(Some(Lane::Default)) | Stepped::Idle
    ) {}
    assert_eq!(stage.kubernetes.wire().writes(), before);
    stage.settle().await.unwrap();
    assert!(stage.kubernetes.wire().writes() > before);
}

#[tokio::test]
async fn a_fault_that_passes_costs_a_moment_and_is_not_mentioned() {
    let mut stage = stage().await;
    let number = open(&stage);
    let approved = ReviewState::Approved;
    stage.settle().await.unwrap();
    stage
        .github
        .review(number, "lead-of-billing", approved)
        .unwrap();
    stage.github.merge(number, "stranger").unwrap();
    for wire in [stage.google.wire(), stage.kubernetes.wire()] {
        let mut writes = 0;
        wire.fail_with(move |method, uri| {
            if *method == Method::GET || uri.path().contains(":getIamPolicy") {
                return None;
            }
            writes += 1;
            let fault = Fault::LoseAnswer(StatusCode::SERVICE_UNAVAILABLE, "try again".into());
            (writes % 2 == 1).then_some(fault)
        });
    }
    let before = stage.worker.clock.now();
    stage.settle().await.unwrap();
    let waited = stage.worker.clock.now().duration_since(before).as_secs();
    assert!(waited > 3, "waited {waited} s");
    let comment = stage.github.comments(number).pop().unwrap();
    assert!(comment.body.contains("**applied**"), "{}", comment.body);
}

async fn one_hangs() {
    let mut stage = stage().await;
    let bot = Replica::start(&stage, "only").await;
    stage.send_webhooks_to(&bot.url);
    until("it acts", || holder(&stage).is_some()).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (clock, counter) = (stage.worker.clock.clone(), Arc::clone(&asked));
    stage.github.wire().fail_with(move |_, uri| {
        let about_the_first = uri.path().contains("/pulls/1") || uri.path().contains("/issues/1");
        about_the_first.then(|| {
            counter.fetch_add(1, Ordering::SeqCst);
            Fault::Slow(clock.clone(), Timestamp::MAX)
        })
    });
    let first = open(&stage);
    assert_eq!(first, 1);
    stage.deliver().await.unwrap();
    until("the first hangs", || asked.load(Ordering::SeqCst) > 0).await;
    let requests = asked.load(Ordering::SeqCst);
    let github = stage.github.clone();
    let change = Change::write("pipelines/README.md", "pipelines\n");
    // News for the one that hangs, and another one behind it.
    github
        .push(first, "stranger", std::slice::from_ref(&change))
        .unwrap();
    let second = github
        .open_pull_request("stranger", "readme", "Read me", &[change])
        .unwrap();
    stage.deliver().await.unwrap();
    let head = github.pull_request(second).unwrap().head_sha;
    until("the second is checked", || {
        !github.check_runs(&head).is_empty()
    })
    .await;
    assert_eq!(said(&stage, first), 0, "the first still hangs");
    let now = asked.load(Ordering::SeqCst);
    assert_eq!(now, requests, "one run at a time in the first's lane");
    bot.die().await;
}

#[tokio::test]
async fn a_remote_that_hangs_holds_only_its_own_lane() {
    LocalSet::new().run_until(one_hangs()).await;
}
