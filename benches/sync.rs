//! What `pipewright sync` itself costs: `cargo bench --bench sync`.
//!
//! The program runs as its pod would start it, against the simulated BigQuery and a real
//! PostgreSQL, which is started here in a private folder and must be installed. One table has
//! `PIPEWRIGHT_BENCH_ROWS` rows (20 million), the others are small; there are 500, or
//! `PIPEWRIGHT_BENCH_TABLES`. The last line holds the figures:
//!
//! - first request: from the start of the process until its first request is read, the median
//!   of a few starts;
//! - cpu per table: user and system time of the process over all tables;
//! - peak above idle: the most memory that was resident, less what was when the first request
//!   had arrived, so what the tables cost;
//! - overhead: time of the run in which no job ran, as a share of the time in which one did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unreachable_pub
)]

#[path = "../tests/postgres/server.rs"]
mod server;

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pipewright::clock::Clock;
use pipewright::sandbox::google::{Google, Options};
use pipewright::sync::RunReport;
use serde_json::json;

const TOKEN: &str = "ya29.a-token";
const PROJECT: &str = "acme-orders";
const INSTANCE: &str = "acme-orders:europe-west1:main";
const DATABASE: &str = "shop";
const STARTS: usize = 11;
/// Of a tick of the kernel's accounting, on every Linux.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    // `cargo test --benches` asks for no measurement.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let tables = number("PIPEWRIGHT_BENCH_TABLES", 500);
    let rows = number("PIPEWRIGHT_BENCH_ROWS", 20_000_000);
    let program = env!("CARGO_BIN_EXE_pipewright");
    let size = std::fs::metadata(program).unwrap().len();
    println!(
        "the program, with its sandbox: {:.1} MB",
        megabytes(size / 1024)
    );

    let (first, idle) = starts();
    println!(
        "first request: median {:.1} ms of {STARTS} starts, {:.1} MB resident",
        first.as_secs_f64() * 1e3,
        megabytes(idle)
    );

    let server = server::Server::start();
    let began = Instant::now();
    server.database(DATABASE);
    server.run(DATABASE, "CREATE ROLE reader LOGIN; CREATE SCHEMA shop");
    fill(&server, tables, rows);
    println!(
        "source: {tables} tables, one of {rows} rows, made in {} s",
        began.elapsed().as_secs()
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let google = runtime.block_on(google(&server));
    let run = run(&google);
    let report = RunReport::from_json(&run.report).unwrap();
    let copied: u64 = report.tables.iter().filter_map(|table| table.rows).sum();
    assert_eq!(report.tables.len(), tables, "every table is reported");
    assert_eq!(copied, rows as u64 + 3 * (tables as u64 - 1), "every row");

    let busy = together(google.job_times());
    let overhead = run.wall.saturating_sub(busy);
    println!(
        "run: {:.1} s, {:.1} s of them with a job; {} ms of cpu; {:.1} MB resident at most",
        run.wall.as_secs_f64(),
        busy.as_secs_f64(),
        run.cpu.as_millis(),
        megabytes(run.peak)
    );
    println!(
        "sync: first request {:.0} ms, cpu per table {:.1} ms, peak {:.1} MB above idle at \
         {tables} tables, overhead {:.1} %",
        first.as_secs_f64() * 1e3,
        run.cpu.as_secs_f64() * 1e3 / tables as f64,
        megabytes(run.peak.saturating_sub(idle)),
        overhead.as_secs_f64() / busy.as_secs_f64() * 100.0,
    );
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn megabytes(kibibytes: u64) -> f64 {
    kibibytes as f64 * 1024.0 / 1e6
}

/// The median time from a start to its first request, and what is resident then, in KiB.
fn starts() -> (Duration, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut times: Vec<(Duration, u64)> = (0..STARTS)
        .map(|_| {
            let began = Instant::now();
            let mut child = command(&url).spawn().unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 1]).unwrap(), 0, "a request");
            let time = began.elapsed();
            let resident = memory(&child, "VmRSS:").unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            (time, resident)
        })
        .collect();
    times.sort();
    times[STARTS / 2]
}

fn command(url: &str) -> Command {
    let spec = json!({
        "version": 1, "pipeline": "orders", "service": "orders", "project": PROJECT,
        "connection": format!("projects/{PROJECT}/locations/eu/connections/main"),
        "instance": INSTANCE, "location": "eu", "dataset": "copies",
        "database": DATABASE, "schema": "shop", "tables": "all",
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    command
        .arg("sync")
        .env_clear()
        .env("PIPEWRIGHT_GOOGLE_TOKEN", TOKEN)
        .env("PIPEWRIGHT_RUN_SPEC", spec.to_string())
        .env("PIPEWRIGHT_RUN_UID", "run-1")
        .env("PIPEWRIGHT_BIGQUERY_URL", url)
        .env("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A row of the large table has a key, a number, a text and an instant: about 70 bytes.
fn fill(server: &server::Server, tables: usize, rows: usize) {
    let run = |sql: &str| server.run(DATABASE, sql);
    run(&format!(
        "CREATE UNLOGGED TABLE shop.large AS \
         SELECT n::bigint AS id, n * 7 % 1000 AS amount, 'customer ' || n AS name, \
         timestamptz '2024-01-01' + n * interval '1 second' AS at \
         FROM generate_series(1, {rows}) n"
    ));
    // Each statement of its own transaction, so that PostgreSQL's table of locks is enough.
    for table in 1..tables {
        run(&format!(
            "CREATE UNLOGGED TABLE shop.small_{table} AS \
             SELECT n::bigint AS id, 'it''s ' || n AS name, n / 3.0 AS ratio, \
             jsonb_build_object('n', n) AS data FROM generate_series(1, 3) n"
        ));
    }
    run(
        "GRANT USAGE ON SCHEMA shop TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader; ANALYZE",
    );
}

async fn google(server: &server::Server) -> Google {
    // Whoever comes first decides; all would decide the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let google = Google::start(Options {
        token: TOKEN.to_owned(),
        projects: vec![PROJECT.to_owned()],
        postgres: [(INSTANCE.to_owned(), server.address())].into(),
        most_rows: 1_000,
        clock: Some(Clock::system()),
        ..Options::default()
    })
    .await
    .unwrap();
    google.add_connection(PROJECT, "eu", "main", INSTANCE, DATABASE);
    let dataset = json!({
        "datasetReference": {"projectId": PROJECT, "datasetId": "copies"}, "location": "EU",
    });
    let made = reqwest::Client::new()
        .post(format!(
            "{}/bigquery/v2/projects/{PROJECT}/datasets",
            google.url()
        ))
        .bearer_auth(TOKEN)
        .body(dataset.to_string())
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{made:?}");
    google
}

struct Run {
    wall: Duration,
    cpu: Duration,
    /// In KiB.
    peak: u64,
    report: String,
}

/// One whole run, watched from outside.
fn run(google: &Google) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let began = Instant::now();
    let mut child = command(&google.url())
        .env("PIPEWRIGHT_REPORT", &report)
        .spawn()
        .unwrap();
    let (mut peak, mut cpu) = (0, Duration::ZERO);
    loop {
        // Of a process that has ended the time is known until it is waited for.
        cpu = processor(&child).unwrap_or(cpu);
        match memory(&child, "VmHWM:") {
            Some(now) => peak = now,
            None => break,
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = began.elapsed();
    cpu = processor(&child).unwrap_or(cpu);
    let status = child.wait().unwrap();
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        status.success(),
        "{status}: {}",
        &report[..report.len().min(2_000)]
    );
    Run {
        wall,
        cpu,
        peak,
        report,
    }
}

/// A line of the process's status, in KiB; none once it has ended.
fn memory(child: &Child, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let found = status.lines().find_map(|one| one.strip_prefix(line))?;
    found.split_whitespace().next()?.parse().ok()
}

/// User and system time of all of its threads.
fn processor(child: &Child) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // The program's name is in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |at: usize| fields.split_whitespace().nth(at)?.parse::<u32>().ok();
    Some(TICK * (field(11)? + field(12)?))
}

/// The time in which at least one of them was going on.
fn together(mut times: Vec<(i64, i64)>) -> Duration {
    times.sort_unstable();
    let (mut total, mut until) = (0, i64::MIN);
    for (from, to) in times {
        total += (to - from.max(until)).max(0);
        until = until.max(to);
    }
    Duration::from_millis(u64::try_from(total).unwrap())
}
