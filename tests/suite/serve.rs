//! The program as it runs for real: a process of its own, told by its environment alone.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::kubernetes::{Ending, Tick};
use pipewright::sandbox::stage::{NAMESPACE, Stage};

use crate::common::{repository, tree_of};

/// A running program; it does not outlive the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and waits until it takes webhooks. Where it does, and where it tells
/// metrics.
fn serve(stage: &Stage) -> (Serving, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("serve")
        .env_clear()
        .envs(stage.environment().unwrap())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = Serving(child);
    let mut said = String::new();
    let mut urls = None;
    while let Some(Ok(line)) = lines.next() {
        let named = |name: &str| {
            let word = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name))?;
            Some(word.trim_matches('"').to_owned())
        };
        if let (Some(webhook), Some(metrics)) = (named("webhook.url="), named("metrics.url=")) {
            urls = Some((webhook, metrics));
        }
        // Before it holds the Lease it turns webhooks away.
        if line.contains("holds the Lease")
            && let Some((webhook, metrics)) = urls
        {
            // Nobody may be left without a reader: a full pipe would stop it.
            std::thread::spawn(move || lines.for_each(drop));
            return (serving, webhook, metrics);
        }
        said += &line;
    }
    panic!("it ended before it was ready: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_its_own_reviews_applies_and_stops_when_told() {
    let mut stage = Stage::set(
        &tree_of(&repository()),
        Clock::stepped(Timestamp::UNIX_EPOCH),
    )
    .await
    .unwrap();
    let (mut serving, url, metrics) = tokio::task::block_in_place(|| serve(&stage));
    stage.send_webhooks_to(&url);
    stage.github.add_user("stranger", Permission::Write);
    let text = repository()["pipelines/orders/orders.yaml"].clone() + "description: new\n";
    let change = Change::write("pipelines/orders/orders.yaml", text);
    let number = stage
        .github
        .open_pull_request("stranger", "a", "A", &[change])
        .unwrap();
    stage.deliver().await.unwrap();
    let path = format!("/issues/{number}/comments");
    let commented = |exchange: &pipewright::sandbox::server::Exchange| {
        exchange.is_write() && exchange.uri.ends_with(&path)
    };
    stage.github.wire().seen(commented).await;
    stage
        .github
        .review(number, "lead-of-orders", ReviewState::Approved)
        .unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
    let ended = |exchange: &pipewright::sandbox::server::Exchange| {
        exchange.is_write()
            && exchange.uri.contains("/configmaps/record-orders")
            && String::from_utf8_lossy(&exchange.request).contains("applied\\\":{")
    };
    stage.kubernetes.wire().seen(ended).await;
    assert!(
        stage
            .kubernetes
            .get("CronWorkflow", NAMESPACE, "orders")
            .is_some()
    );
    assert!(
        stage
            .kubernetes
            .get("CronWorkflow", NAMESPACE, "returns")
            .is_none()
    );
    let Tick::Began(run) = stage.kubernetes.argo_tick(NAMESPACE, "orders").unwrap() else {
        panic!("no run began");
    };
    let report = r#"{"version":1,"pipeline":"orders","service":"orders","message":"1 failed",
        "totals":{"copied":0,"skipped":0,"failed":1,"rows":0,"bytes":0,"slot_ms":0,"duration_ms":9},
        "tables":[{"table":"paid","mode":"full","result":{"failed":
            {"persistence":"permanent","error":"no"}}}]}"#;
    stage
        .kubernetes
        .finish_run(NAMESPACE, &run, Ending::Failed, "exit code 2", Some(report))
        .unwrap();
    let told = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
    for line in [
        r#"pipewright_sync_run_succeeded{service="orders",pipeline="orders",schedule="orders"} 0"#,
        r#"pipewright_sync_table_succeeded{service="orders",pipeline="orders",table="paid"} 0"#,
    ] {
        assert!(told.lines().any(|shown| shown == line), "{told}");
    }
    let kill = format!("kill {}", serving.0.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::task::block_in_place(|| serving.0.wait()).unwrap();
    assert!(ended.success(), "told to stop, it ends well");
}
