//! From the merge to the rows: the program serves, Argo's controller makes the run, the pod copies.

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::stage::Stage;

use crate::api::text;
use crate::common::{repository, tree_of};
use crate::kubelet::Kubelet;
use crate::place::Place;
use crate::serving::{Serving, commented};
use crate::shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_makes_the_schedule_and_a_rerun_brings_the_rows_and_says_so() {
    let place = Place::real().await;
    let server = shop::database();
    let bigquery = shop::bigquery(&server).await;
    let _kubelet = Kubelet::start(&place, shop::program(&bigquery));
    let clock = Clock::stepped(Timestamp::now());
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    let _serving = Serving::alone(&stage, &place).await;

    stage.github.add_user("stranger", Permission::Write);
    let path = "pipelines/orders/orders.yaml";
    let content = repository()[path].clone() + "description: new\n";
    let change = Change::write(path, content);
    let opened = stage
        .github
        .open_pull_request("stranger", "a", "A", &[change]);
    let number = opened.unwrap();
    stage.deliver().await.unwrap();
    let comments = format!("/issues/{number}/comments");
    let wire = stage.github.wire().clone();
    wire.seen(|exchange| exchange.is_write() && exchange.uri.ends_with(&comments))
        .await;
    let lead = "lead-of-orders";
    stage
        .github
        .review(number, lead, ReviewState::Approved)
        .unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
    let applied = place.api.until("ConfigMap", "record-orders", |record| {
        text(record, "/data/record").contains("\"applied\":{")
    });
    applied.await;
    let cron = place.api.get("CronWorkflow", "orders").await;
    assert_eq!(
        cron["metadata"]["labels"]["pipewright.dev/pipeline"],
        "orders"
    );
    // Nobody whose project it reads has agreed to these.
    assert_eq!(place.api.find("CronWorkflow", "invoices").await, None);

    let comment = stage.github.comment(number, lead, "/rerun orders").unwrap();
    stage.deliver().await.unwrap();
    let run = format!("orders-rerun-{comment}-1");
    let done = place.api.until("Workflow", &run, |run| {
        matches!(text(run, "/status/phase"), "Succeeded" | "Failed" | "Error")
    });
    let done = done.await;
    assert_eq!(text(&done, "/status/phase"), "Succeeded", "{done:#}");
    assert_eq!(shop::rows(&bigquery), (Some(2), Some(1)));
    // It looks again after some seconds, and tells what became of each table.
    commented(&stage.github, "`items`").await;
    let comments = stage.github.comments(number);
    let reply = comments
        .iter()
        .find(|one| one.id > comment && one.login.ends_with("[bot]"));
    let reply = &reply.unwrap().body;
    assert!(reply.contains(&run) && reply.contains("`paid`"), "{reply}");

    if let Some(asked) = place.asked().await {
        let refused: Vec<_> = asked.iter().filter(|one| one.code == 403).collect();
        assert!(refused.is_empty(), "{refused:?}");
        println!("whole: {} requests to the cluster", asked.len());
    }
}
