//! What something takes: time, processors, requests by the server's own counters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use pipewright::object::Kind;

/// Of a tick of the kernel's accounting, on every Linux.
const TICK: f64 = 0.01;

/// What one way took for one case.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// Seconds.
    pub wall: f64,
    /// Seconds of processor: of who asks, the API server and etcd.
    pub client: f64,
    pub server: f64,
    pub etcd: f64,
    /// Requests, and writes for each object that is concerned.
    pub requests: f64,
    pub writes_each: f64,
}

pub fn median(all: &[Spent], of: impl Fn(&Spent) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn table(all: &BTreeMap<(&str, &str), Vec<Spent>>, cases: &[&str], ways: &[&str]) {
    println!("| | | wall (least to most) | its processor | server's | etcd's | requests |");
    println!("|---|---|---|---|---|---|---|");
    for case in cases {
        for way in ways {
            let Some(spent) = all.get(&(case, way)) else {
                continue;
            };
            let median = |of: fn(&Spent) -> f64| median(spent, of);
            let walls = spent.iter().map(|one| one.wall);
            let (least, most) = walls.fold((f64::MAX, 0.0_f64), |(least, most), one| {
                (least.min(one), most.max(one))
            });
            println!(
                "| {case} | {way} | {:.2} s ({least:.2} to {most:.2}) | {:.2} s | {:.2} s | {:.2} s | {:.0} |",
                median(|one| one.wall),
                median(|one| one.client),
                median(|one| one.server),
                median(|one| one.etcd),
                median(|one| one.requests),
            );
        }
    }
}

impl Spent {
    /// Writes by object.
    pub fn over(mut self, objects: usize) -> Self {
        self.writes_each /= objects as f64;
        self
    }
}

/// What something takes, of everybody.
pub async fn measure(act: impl AsyncFnOnce()) -> Spent {
    let before = (
        count(),
        processor("kube-apiserver"),
        processor("etcd"),
        own(),
    );
    let began = Instant::now();
    act().await;
    let wall = began.elapsed().as_secs_f64();
    let client = own() - before.3;
    let (server, etcd) = (processor("kube-apiserver"), processor("etcd"));
    let (requests, writes) = count();
    Spent {
        wall,
        client,
        server: server - before.1,
        etcd: etcd - before.2,
        requests: requests - before.0.0,
        writes_each: writes - before.0.1,
    }
}

/// Requests about our kinds since the server began, and the writes among them.
pub fn count() -> (f64, f64) {
    let told = Command::new("kubectl")
        .args(["get", "--raw", "/metrics"])
        .output();
    let told = tokio::task::block_in_place(|| told).unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let plurals = Kind::ALL.map(|kind| format!("resource=\"{}\"", kind.plural()));
    let ours = text.lines().filter(|line| {
        line.starts_with("apiserver_request_total{") && plurals.iter().any(|one| line.contains(one))
    });
    let (mut requests, mut writes) = (0.0, 0.0);
    for line in ours {
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        let is = |verb: &str| line.contains(&format!("verb=\"{verb}\""));
        if is("WATCH") {
            continue;
        }
        requests += value;
        if !is("GET") && !is("LIST") {
            writes += value;
        }
    }
    (requests, writes)
}

/// Seconds of processor of one of the cluster's servers.
pub fn processor(name: &str) -> f64 {
    let folder = std::env::var_os("PIPEWRIGHT_CLUSTER")
        .expect("PIPEWRIGHT_CLUSTER is the folder of a cluster that `tests/cluster/up` started");
    let pid = std::fs::read_to_string(PathBuf::from(folder).join("pids").join(name)).unwrap();
    let fields = fields(&format!("/proc/{}/stat", pid.trim()));
    (fields[11] + fields[12]) * TICK
}

/// Of this process and of those that it waited for.
pub fn own() -> f64 {
    fields("/proc/self/stat")[11..15].iter().sum::<f64>() * TICK
}

/// The numbers behind the name, from the third field on.
pub fn fields(path: &str) -> Vec<f64> {
    let stat = std::fs::read_to_string(path).unwrap();
    let behind = stat.rsplit_once(") ").unwrap().1;
    let words = behind.split_whitespace();
    words.map(|word| word.parse().unwrap_or_default()).collect()
}
