//! How soon drift is seen and mended: `cargo bench --bench drift`, on a real API server.
//!
//! KUBECONFIG names the cluster (`eval "$(tests/cluster/up)"` starts one). The program serves on
//! it with simulated GitHub and Google; pull requests bring `PIPEWRIGHT_BENCH_PIPELINES` (600)
//! pipelines, and then 1,000 times (`PIPEWRIGHT_BENCH_EDITS`) somebody edits, relabels or deletes
//! one of their schedules, each at most twice, because the third time would be left, and not more
//! often than GitHub takes comments. The last line holds the figures:
//!
//! - noticed: from the answer to the edit until the program's log tells of it;
//! - healed: from the answer to the edit until a watch tells that the object is as before;
//! - requests for each edit, writes among them, by the server's audit log;
//! - at rest: requests in `PIPEWRIGHT_BENCH_REST` seconds (600) in which nobody does anything,
//!   beyond watches and the Lease;
//! - deleted at once: from the answer to a deletion of all schedules until all are back; only
//!   after ten minutes of rest, because what was mended twice shortly before would be left;
//! - resident, peak: the program's memory before that, and the most that it had at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub
)]

#[path = "../../tests/cluster/api.rs"]
mod api;
#[path = "../../tests/cluster/audit.rs"]
mod audit;
#[path = "../../tests/suite/common.rs"]
mod common;
#[path = "../../tests/cluster/place.rs"]
mod place;
mod serving;

use std::ops::Range;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::stage::Stage;
use serde_json::{Value, json};

use api::items;
use audit::Asked;
use common::{repository, tree_of};
use place::Place;
use serving::Serving;

const EDITS: usize = 1000;
/// Between two edits: the pull request hears of each, GitHub takes 80 comments a minute, and the
/// lane waits for it before it looks at the next.
const PAUSE: Duration = Duration::from_millis(760);
/// How many one pull request brings: what one check run can show.
const BATCH: usize = 500;
const SCHEDULE: &str = "15 2 * * *";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    // `cargo test --benches` asks for no measurement.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench());
}

fn number(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => otherwise,
    }
}

async fn bench() {
    let pipelines = number("PIPEWRIGHT_BENCH_PIPELINES", 600);
    let edits = number("PIPEWRIGHT_BENCH_EDITS", EDITS).min(pipelines * 2);
    let place = Place::real().await;
    let clock = Clock::stepped(Timestamp::now());
    let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&stage, &place, folder.path());
    stage.send_webhooks_to(&serving.webhook);

    let began = Instant::now();
    for first in (0..pipelines).step_by(BATCH) {
        let last = pipelines.min(first + BATCH);
        merge(&mut stage, first..last).await;
        settled(&place, last).await;
    }
    println!(
        "{pipelines} pipelines merged and applied in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    serving.forget();
    place.asked().await;

    let (mut noticed, mut healed) = (Vec::new(), Vec::new());
    for edit in 0..edits {
        let name = pipeline(edit % pipelines);
        tokio::time::sleep(PAUSE).await;
        let at = Instant::now();
        let acted = act(&place, &name, edit).await;
        noticed.push(serving.tells(&name).saturating_duration_since(acted));
        place
            .api
            .until("CronWorkflow", &name, |cron| {
                cron["spec"]["schedules"] == json!([SCHEDULE])
                    && cron["metadata"]["labels"]["pipewright.dev/pipeline"] == name.as_str()
            })
            .await;
        healed.push(acted.elapsed());
        if edit % 100 == 99 {
            println!("{} edits, the last in {:.0?}", edit + 1, at.elapsed());
        }
    }
    // The last one's Record and comment are still to come.
    serving.rests();
    let asked = place.asked().await.unwrap_or_default();
    let beside = |one: &&Asked| one.verb != "watch" && !one.uri.contains("/leases/");
    let all = asked.iter().filter(beside).count() as f64 / edits as f64;
    let writes = asked.iter().filter(beside).filter(|one| one.is_write());
    let writes = writes.count() as f64 / edits as f64;

    let rest = number("PIPEWRIGHT_BENCH_REST", 600) as u64;
    tokio::time::sleep(Duration::from_secs(rest)).await;
    let asked = place.asked().await.unwrap_or_default();
    let at_rest: Vec<&Asked> = asked.iter().filter(beside).collect();
    println!("at rest, beyond watches and the Lease: {at_rest:?}");
    let resident = serving.memory("VmRSS:");
    let flood = match rest {
        600.. => format!("; all deleted at once back in {:.1} s", flood(&place).await),
        _ => String::new(),
    };
    println!(
        "drift: noticed p50 {:.0} ms, p99 {:.0} ms; healed p50 {:.0} ms, p99 {:.0} ms over {edits} edits of {pipelines} pipelines; requests per edit {all:.1}, writes among them {writes:.1}; at rest {} requests in {rest} s{flood}; resident {resident:.1} MB, peak {:.1} MB",
        part(&mut noticed, 0.5),
        part(&mut noticed, 0.99),
        part(&mut healed, 0.5),
        part(&mut healed, 0.99),
        at_rest.len(),
        serving.memory("VmHWM:"),
    );
}

/// Milliseconds that this share of the times does not exceed.
fn part(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let before = (times.len() as f64 * share).ceil() as usize;
    let it = times.get(before.max(1) - 1);
    it.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

fn pipeline(index: usize) -> String {
    format!("many{index:05}")
}

/// One of three things that somebody may do; the moment when it was done.
async fn act(place: &Place, name: &str, edit: usize) -> Instant {
    match edit % 3 {
        0 => {
            let patch = json!({"spec": {"schedules": ["0 0 1 1 *"]}});
            place
                .api
                .merge("CronWorkflow", name, &patch, "kubectl-edit")
                .await;
        }
        1 => {
            let patch = json!({"metadata": {"labels": {"pipewright.dev/pipeline": "another"}}});
            place
                .api
                .merge("CronWorkflow", name, &patch, "kubectl-label")
                .await;
        }
        _ => place.api.drop("CronWorkflow", name).await,
    }
    Instant::now()
}

/// Seconds until every schedule is back that somebody deletes with all others.
async fn flood(place: &Place) -> f64 {
    let all = schedules(place).await;
    let path = place.api.path("CronWorkflow", "");
    let deleted = place.api.ask(http::Method::DELETE, &path, "", &Value::Null);
    deleted.await.unwrap();
    let began = Instant::now();
    while schedules(place).await < all {
        assert!(began.elapsed() < PATIENCE * 20, "they do not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    began.elapsed().as_secs_f64()
}

/// How many there are, without reading them.
async fn schedules(place: &Place) -> u64 {
    let one = place.api.list("CronWorkflow", "limit=1").await;
    let further = one["metadata"]["remainingItemCount"].as_u64();
    items(&one["items"]).len() as u64 + further.unwrap_or_default()
}

async fn merge(stage: &mut Stage, pipelines: Range<usize>) {
    stage.github.add_user("stranger", Permission::Write);
    let branch = format!("many-{}", pipelines.start);
    let changes: Vec<Change> = pipelines
        .map(|index| {
            let name = pipeline(index);
            let text = format!(
                "bq_project_id: acme-orders\nbq_connection_id: orders-db\nbq_dataset_name: dataplatform_{name}\nservice_name: {name}\ndb_catalog_name: orders\ndb_schema_name: {name}\nschedule: \"{SCHEDULE}\"\ntimezone: UTC\n"
            );
            Change::write(format!("pipelines/many/{name}.yaml"), text)
        })
        .collect();
    let opened = stage
        .github
        .open_pull_request("stranger", &branch, "Many", &changes);
    let number = opened.unwrap();
    let wire = stage.github.wire().clone();
    stage.deliver().await.unwrap();
    let comments = format!("/issues/{number}/comments");
    wire.seen(|exchange| exchange.is_write() && exchange.uri.ends_with(&comments))
        .await;
    let lead = "lead-of-orders";
    let review = stage.github.review(number, lead, ReviewState::Approved);
    review.unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.deliver().await.unwrap();
}

/// Waits until every Record says that its pipeline was applied.
async fn settled(place: &Place, pipelines: usize) {
    let began = Instant::now();
    loop {
        let records = place
            .api
            .list("ConfigMap", "labelSelector=pipewright.dev/record")
            .await;
        let applied = items(&records["items"]).iter().filter(|record| {
            let text = record["data"]["record"].as_str().unwrap_or_default();
            text.contains("\"applied\":{")
        });
        let applied = applied.count();
        if applied >= pipelines {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE * 20,
            "{applied} of {pipelines} were applied"
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
