//! What an apply costs, beside a bare driver and kubectl: `cargo bench --bench apply`, on a real
//! API server that `eval "$(tests/cluster/up)"` has started.
//!
//! The same objects (each pipeline's Record and CronWorkflow, and what they share), in namespaces
//! of their own, in turns, `PIPEWRIGHT_BENCH_ROUNDS` (3) times:
//!
//! - ours: observe, plan, approve, apply and close, as the bot does it. Google's side is there
//!   already, so nothing of it is written;
//! - the floor: the same writes, by the same client library and nothing else, at the best of a
//!   few fixed numbers at once; what did not change, it does not write either;
//! - kubectl: `apply --server-side` of the same manifests, as it is and with `--validate=false`,
//!   for fewer pipelines (`PIPEWRIGHT_BENCH_KUBECTL`, 100), because it takes so long.
//!
//! `PIPEWRIGHT_BENCH_PIPELINES` is 1,000. Times are medians; the processor's are of this process
//! (or kubectl), the API server and etcd. Requests are counted by the server's own counters.
//! The last line holds the ratios of the first creation. A Record is written twice, before and
//! after what it speaks of, so a new pipeline takes one request more than it has objects.
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
mod meter;
#[path = "../../tests/cluster/place.rs"]
mod place;
mod ways;
mod world;

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::stage::Stage;

use common::{repository, tree_of};
use meter::{Spent, median, table};
use place::Place;
use ways::{floor, floors, kubectl, ours};
use world::{created, leave, writes};

/// How many the bare driver has under way; the quickest counts.
const AT_ONCE: [usize; 4] = [4, 8, 16, 32];

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

/// What happens to the pipelines.
const CASES: [&str; 5] = [
    "created",
    "unchanged",
    "one changed",
    "all changed",
    "all removed",
];

async fn bench() {
    let pipelines = number("PIPEWRIGHT_BENCH_PIPELINES", 1_000);
    let few = number("PIPEWRIGHT_BENCH_KUBECTL", 100);
    let rounds = number("PIPEWRIGHT_BENCH_ROUNDS", 3);
    let clock = Clock::stepped(Timestamp::now());
    let stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    let mut at_once = AT_ONCE[1];
    let mut best = f64::MAX;
    // Once without counting, because the first one finds everything cold.
    for number in [AT_ONCE[1]].into_iter().chain(AT_ONCE).chain(AT_ONCE) {
        let place = Place::real().await;
        let approved = created(&stage, &place, few).await.1;
        let spent = floor(&place, &writes(&approved), number).await;
        leave(place).await;
        println!(
            "the floor with {number} at once: {:.2} s for {few} pipelines",
            spent.wall
        );
        if spent.wall < best {
            (best, at_once) = (spent.wall, number);
        }
    }
    let mut all: BTreeMap<(&str, &str), Vec<Spent>> = BTreeMap::new();
    for round in 0..rounds {
        // In turns, and not always the same one first.
        if round % 2 == 0 {
            ours(&stage, pipelines, &mut all).await;
            floors(&stage, pipelines, at_once, &mut all).await;
        } else {
            floors(&stage, pipelines, at_once, &mut all).await;
            ours(&stage, pipelines, &mut all).await;
        }
    }
    table(&all, &CASES, &["ours", "floor"]);
    let mut beside: BTreeMap<(&str, &str), Vec<Spent>> = BTreeMap::new();
    for _ in 0..rounds {
        ours(&stage, few, &mut beside).await;
        kubectl(&stage, few, "kubectl", &[], &mut beside).await;
        let unchecked = ["--validate=false"];
        kubectl(
            &stage,
            few,
            "kubectl --validate=false",
            &unchecked,
            &mut beside,
        )
        .await;
    }
    table(
        &beside,
        &CASES[..4],
        &["ours", "kubectl", "kubectl --validate=false"],
    );
    let wall = |all: &BTreeMap<_, Vec<Spent>>, who| median(&all[&(CASES[0], who)], |one| one.wall);
    let own = wall(&beside, "ours");
    let requests = |case| median(&all[&(case, "ours")], |one| one.writes_each);
    println!(
        "apply: {:.2} x raw driver, {:.1} x faster than kubectl, {:.1} x faster than kubectl --validate=false; requests per changed object {:.2}, per unchanged {:.2}",
        wall(&all, "ours") / wall(&all, "floor"),
        wall(&beside, "kubectl") / own,
        wall(&beside, "kubectl --validate=false") / own,
        requests(CASES[0]),
        requests(CASES[1]),
    );
}
