//! Writes side by side: several at once, kind after kind, and one failure is one pipeline's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::Stage;
use pipewright::shell::Pace;

use crate::common::{repository, tree_of};
use crate::replicas::until;

const PIPELINES: usize = 12;
const AT_ONCE: u32 = 4;

/// A merged and approved pull request of a dozen pipelines waits for the bot.
async fn stage(clock: &Clock) -> Stage {
    let mut stage = Stage::set(&tree_of(&repository()), clock.clone())
        .await
        .unwrap();
    stage.github.add_user("stranger", Permission::Write);
    stage.settle().await.unwrap();
    let changes: Vec<Change> = (0..PIPELINES)
        .map(|index| {
            let file = format!(
                "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
                 bq_dataset_name: dataplatform_many{index}\nservice_name: many{index}\n\
                 db_catalog_name: billing\ndb_schema_name: many{index}\n"
            );
            Change::write(format!("pipelines/many{index}.yaml"), file)
        })
        .collect();
    let opened = stage
        .github
        .open_pull_request("stranger", "many", "Many", &changes);
    let number = opened.unwrap();
    stage.settle().await.unwrap();
    let review = (number, "lead-of-billing", ReviewState::Approved);
    stage.github.review(review.0, review.1, review.2).unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.kubernetes.wire().take_traffic();
    stage.worker.edges.cluster_pace = Pace::new(AT_ONCE);
    stage
}

fn applied(stage: &Stage) -> usize {
    let objects = stage.kubernetes.objects();
    let crons = objects.iter().filter(|one| one["kind"] == "CronWorkflow");
    let names = crons.filter_map(|one| one["metadata"]["name"].as_str());
    names.filter(|name| name.starts_with("many")).count()
}

fn is_cron(method: &Method, path: &str) -> bool {
    method == Method::PATCH && path.contains("/cronworkflows/many")
}

#[tokio::test]
async fn several_are_under_way_and_no_more_than_allowed() {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = stage(&clock).await;
    let arrived = Arc::new(AtomicUsize::new(0));
    let (counter, slow) = (arrived.clone(), clock.clone());
    stage.kubernetes.wire().fail_with(move |method, uri| {
        is_cron(method, uri.path()).then(|| {
            counter.fetch_add(1, Ordering::SeqCst);
            Fault::Slow(slow.clone(), slow.now() + Duration::from_secs(1))
        })
    });
    stage.deliver().await.unwrap();
    let most = AT_ONCE as usize;
    let watching = async {
        until("several are under way", || {
            arrived.load(Ordering::SeqCst) >= most
        })
        .await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(arrived.load(Ordering::SeqCst), most);
        stage.kubernetes.wire().heal();
        clock.advance(Duration::from_secs(1));
    };
    let working = async {
        while applied(&stage) < PIPELINES {
            // The stage's own step would let the time pass.
            stage.worker.step().await;
        }
    };
    tokio::join!(watching, working);
}

#[tokio::test]
async fn kinds_come_in_order_and_one_failure_is_one_pipelines() {
    let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
    let mut stage = stage(&clock).await;
    let refused = r#"{"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}"#;
    let busy = r#"{"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "x"}"#;
    let mut busied = false;
    stage.kubernetes.wire().fail_with(move |method, uri| {
        let path = uri.path();
        if is_cron(method, path) && path.ends_with("/many3") {
            return Some(Fault::Refuse(StatusCode::FORBIDDEN, refused.to_owned()));
        }
        let strikes = is_cron(method, path) && path.ends_with("/many5") && !busied;
        busied |= strikes;
        strikes.then(|| Fault::Refuse(StatusCode::TOO_MANY_REQUESTS, busy.to_owned()))
    });
    stage.deliver().await.unwrap();
    while applied(&stage) < PIPELINES - 1 {
        stage.step().await;
        if let Some(due) = clock.next_wake() {
            clock.advance_to(due);
        }
    }
    let writes: Vec<_> = stage.kubernetes.wire().take_traffic();
    let writes: Vec<String> = writes
        .iter()
        .filter(|one| one.is_write() && one.uri.contains("many"))
        .map(|one| one.uri.split('?').next().unwrap_or_default().to_owned())
        .collect();
    let first_cron = writes
        .iter()
        .position(|path| path.contains("/cronworkflows/"));
    let begun = writes[..first_cron.unwrap()]
        .iter()
        .filter(|path| path.contains("/configmaps/record-many"));
    assert_eq!(begun.count(), PIPELINES, "{writes:#?}");
    let body = &stage.github.comments(1)[0].body;
    let failed: Vec<&str> = body
        .lines()
        .filter(|line| line.starts_with("| `many") && line.contains("**failed"))
        .collect();
    assert!(
        matches!(failed[..], [one] if one.contains("`many3`")),
        "{body}"
    );
}
