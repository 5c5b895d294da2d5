//! A restart with nothing changed costs next to nothing.

use std::path::Path;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, ReviewState};
use pipewright::sandbox::stage::Stage;

use crate::audit::Asked;
use crate::common::{repository, tree_of};
use crate::place::{Place, on_both};
use crate::serving::Serving;

on_both! {
    a_restart_with_nothing_changed_writes_nothing_and_asks_little;
}

/// The requests that a restart may take, the Lease's own aside.
const MOST: usize = 8;

async fn a_restart_with_nothing_changed_writes_nothing_and_asks_little(place: &Place) {
    let mut stage = Stage::set(&tree_of(&repository()), Clock::stepped(Timestamp::now()))
        .await
        .unwrap();
    let serving = Serving::alone(&stage, place).await;
    // Everything that there is, touched by one pull request that its owners approve.
    let mut pipelines = repository();
    pipelines.retain(|path, _| path.starts_with("pipelines/"));
    let touched = |(path, text): (&String, &String)| Change::write(path, text.clone() + "\n# x\n");
    let changes: Vec<Change> = pipelines.iter().map(touched).collect();
    let author = "lead-of-orders";
    let number = stage.github.open_pull_request(author, "a", "A", &changes);
    let number = number.unwrap();
    let wire = stage.github.wire().clone();
    stage.deliver().await.unwrap();
    let comments = format!("/issues/{number}/comments");
    wire.seen(|exchange| exchange.is_write() && exchange.uri.ends_with(&comments))
        .await;
    for owner in ["lead-of-billing", "lead-of-orders"] {
        // An author's own review is refused, and not needed.
        let _ = stage.github.review(number, owner, ReviewState::Approved);
    }
    stage.github.merge(number, author).unwrap();
    stage.deliver().await.unwrap();
    let record = |record: &serde_json::Value| {
        let text = record["data"]["record"].as_str().unwrap_or_default();
        text.contains("\"applied\":{")
    };
    for path in pipelines.keys() {
        let pipeline = Path::new(path).file_stem().unwrap();
        let name = format!("record-{}", pipeline.to_str().unwrap());
        place.api.until("ConfigMap", &name, record).await;
    }
    // The inventory's parent comes last.
    let told = |parent: &serde_json::Value| {
        parent["metadata"]["annotations"]["pipewright.dev/commit"].is_string()
    };
    place.api.until("ConfigMap", "pipewright", told).await;
    serving.stop();
    place.asked().await;

    let serving = Serving::alone(&stage, place).await;
    serving.until_it_says("lane=Some(Default)").await;
    let Some(asked) = place.asked().await else {
        return println!("restart: this cluster does not say what it was asked");
    };
    let beside = |one: &&Asked| !one.uri.contains("/leases");
    let asked: Vec<&Asked> = asked.iter().filter(beside).collect();
    assert!(asked.iter().all(|one| !one.is_write()), "{asked:#?}");
    assert!(asked.len() <= MOST, "{asked:#?}");
    let kinds = asked.iter().filter(|one| one.uri.contains("watch=true"));
    assert!(kinds.count() >= 5, "it looked: {asked:#?}");
    println!("restart: 0 writes, {} requests", asked.len());
}
