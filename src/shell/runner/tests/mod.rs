//! Whole runs against a BigQuery of a few lines; with PostgreSQL behind it they are played
//! in `tests/postgres`.

mod bigquery;
mod incremental;
mod refusals;

use std::sync::{Arc, Mutex};

use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::edges::google::{Endpoints, TokenSource};
use crate::sandbox::server::{Fault, Server};
use crate::sync::{Failure, Persistence};

use bigquery::{World, start};

const SPEC: &str = r#"{"connection":"projects/acme-orders/locations/eu/connections/main","database":"shop","dataset":"orders","instance":"acme-orders:europe-west1:main","location":"eu","pipeline":"orders","project":"acme-orders","schema":"public","service":"orders-api","tables":"all","version":1}"#;

/// A run that began with this uid, of this spec.
#[derive(Clone)]
struct Plan {
    uid: &'static str,
    spec: RunSpec,
    chunk_bytes: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            uid: "0b7ad3f0-0000-4000-8000-000000000001",
            spec: RunSpec::from_environment(SPEC).unwrap(),
            chunk_bytes: 0,
        }
    }
}

fn runner(server: &Server, clock: &Clock) -> Runner {
    runner_of(server, clock, &Plan::default())
}

fn runner_of(server: &Server, clock: &Clock, plan: &Plan) -> Runner {
    let endpoints = Endpoints {
        bigquery: server.url(),
        bigquery_connection: server.url(),
        ..Endpoints::default()
    };
    let token = TokenSource::Fixed(SecretString::from("token"));
    let settings = Settings {
        uid: plan.uid.to_owned(),
        parallel: NonZeroUsize::MIN,
        chunk_bytes: plan.chunk_bytes,
        tables: BTreeSet::new(),
    };
    Runner::new(
        GoogleClient::new(&endpoints, token, clock.clone()).unwrap(),
        clock.clone(),
        plan.spec.clone(),
        settings,
    )
}

fn noon() -> Clock {
    Clock::stepped("2026-03-01T12:00:00Z".parse().unwrap())
}

/// Lets the time pass whenever somebody waits for it.
async fn passing<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
    let newcomers = clock.newcomers();
    let time = async {
        loop {
            clock.advance_to(newcomers.due().await);
        }
    };
    tokio::select! {
        done = work => done,
        () = time => unreachable!("time does not end"),
    }
}

/// One attempt that nobody stops.
async fn attempt(server: &Server) -> RunReport {
    attempt_of(server, &Plan::default()).await
}

async fn attempt_of(server: &Server, plan: &Plan) -> RunReport {
    let clock = noon();
    let runner = runner_of(server, &clock, plan);
    passing(&clock, runner.run(std::future::pending())).await
}

fn of<'a>(report: &'a RunReport, table: &str) -> &'a TableReport {
    let mut tables = report.tables.iter();
    tables.find(|one| one.table == table).unwrap()
}

fn written(world: &Arc<Mutex<World>>) -> Vec<(String, u64)> {
    let world = world.lock().unwrap();
    world.written.clone().into_iter().collect()
}

fn once_each() -> Vec<(String, u64)> {
    vec![("items".to_owned(), 1), ("orders".to_owned(), 1)]
}

#[tokio::test]
async fn every_table_is_written_once_and_the_largest_first() {
    let (server, world) = start().await;
    world.lock().unwrap().dataset.insert("orders".to_owned(), 2);
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(written(&world), once_each());
    let items = of(&report, "items");
    assert_eq!(
        (items.rows, items.bytes, items.slot_ms, items.duration_ms),
        (Some(7), Some(1024), Some(77), Some(1500))
    );
    let traffic = server.wire().traffic();
    let jobs: Vec<Value> = traffic
        .iter()
        .filter(|exchange| exchange.uri.ends_with("/jobs"))
        .map(|exchange| serde_json::from_slice(&exchange.request).unwrap())
        .collect();
    let written: Vec<(&Value, &Value, &Value)> = jobs
        .iter()
        .map(|job| &job["configuration"]["query"])
        .filter(|query| !query["destinationTable"].is_null())
        .map(|query| {
            let table = &query["destinationTable"]["tableId"];
            (
                table,
                &query["writeDisposition"],
                &query["createDisposition"],
            )
        })
        .collect();
    assert_eq!(
        json!(written),
        json!([
            ["items", "WRITE_EMPTY", "CREATE_IF_NEEDED"],
            ["orders", "WRITE_TRUNCATE_DATA", "CREATE_NEVER"],
        ])
    );
    for job in &jobs {
        assert_eq!(job["jobReference"]["location"], "eu");
        assert_eq!(job["configuration"]["jobTimeoutMs"], "21600000");
        assert_eq!(
            job["configuration"]["labels"],
            json!({
                "service": "orders-api", "pipeline": "orders",
                "run": "0b7ad3f0-0000-4000-8000-000000000001",
            })
        );
    }
    let label = traffic.iter().find(|one| one.method == "PATCH").unwrap();
    let label: Value = serde_json::from_slice(&label.request).unwrap();
    assert_eq!(
        label,
        json!({"labels": {"pipewright_snapshot": "1767225600"}})
    );
}

/// What befalls one request.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The attempt dies before the request arrives.
    DeadBefore,
    /// The request has its effect, and the attempt is dead.
    DeadAfter,
    Lost,
    Reset,
    Truncated,
    Unavailable,
    TooMany,
}

const BLOWS: [Blow; 7] = [
    Blow::DeadBefore,
    Blow::DeadAfter,
    Blow::Lost,
    Blow::Reset,
    Blow::Truncated,
    Blow::Unavailable,
    Blow::TooMany,
];

impl Blow {
    fn fault(self) -> Fault {
        let busy = |code: u16| (StatusCode::from_u16(code).unwrap(), String::new());
        match self {
            Self::DeadBefore | Self::Unavailable => Fault::Refuse(busy(503).0, busy(503).1),
            Self::TooMany => Fault::Refuse(busy(429).0, busy(429).1),
            Self::DeadAfter | Self::Lost => Fault::LoseAnswer(busy(503).0, busy(503).1),
            Self::Reset => Fault::ResetAfter,
            Self::Truncated => Fault::Truncate,
        }
    }

    fn kills(self) -> bool {
        matches!(self, Self::DeadBefore | Self::DeadAfter)
    }
}

/// Strikes at the request of this number, counted from 1.
fn strike(server: &Server, number: usize, blow: Blow) -> Arc<Notify> {
    let struck = Arc::new(Notify::new());
    let told = struck.clone();
    let mut seen = 0;
    server.wire().fail_with(move |_, _| {
        seen += 1;
        (seen == number).then(|| {
            if blow.kills() {
                told.notify_one();
            }
            blow.fault()
        })
    });
    struck
}

#[tokio::test]
async fn whatever_befalls_any_request_each_table_is_written_once() {
    struck_everywhere(
        &Plan::default(),
        &BLOWS,
        |_| {},
        |_, report| {
            assert_eq!(of(report, "items").rows, Some(7));
        },
    )
    .await;
}

/// Plays the run again and again, each time with another blow at another of its requests, and
/// looks at what came of it.
async fn struck_everywhere(
    plan: &Plan,
    blows: &[Blow],
    prepare: impl Fn(&mut World),
    look: impl Fn(&World, &RunReport),
) {
    let (server, world) = start().await;
    prepare(&mut world.lock().unwrap());
    attempt_of(&server, plan).await;
    let requests = server.wire().traffic().len();
    assert!(requests > 12, "{requests}");
    for number in 1..=requests {
        for &blow in blows {
            let (server, world) = start().await;
            prepare(&mut world.lock().unwrap());
            let struck = strike(&server, number, blow);
            let clock = noon();
            let runner = runner_of(&server, &clock, plan);
            let first = passing(&clock, runner.run(std::future::pending()));
            let mut attempts = 1;
            let report = tokio::select! {
                report = first => report,
                // Nothing of it is left: no cancelling, no report.
                () = struck.notified() => {
                    attempts = 2;
                    attempt_of(&server, plan).await
                }
            };
            assert_eq!(attempts == 2, blow.kills(), "{blow:?} at {number}");
            assert_eq!(report.exit_code(), 0, "{blow:?} at {number}: {report:?}");
            assert_eq!(written(&world), once_each(), "{blow:?} at {number}");
            look(&world.lock().unwrap(), &report);
        }
    }
}

#[tokio::test]
async fn a_job_that_failed_in_passing_is_followed_by_another() {
    let (server, world) = start().await;
    world.lock().unwrap().failures = vec![("backendError", "Retrying may solve the problem."); 2];
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(written(&world), once_each());

    // A process gives up after three, and the next attempt of the run goes on behind them.
    let (server, world) = start().await;
    world.lock().unwrap().failures = vec![("backendError", "Retrying may solve the problem."); 3];
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 75, "{report:?}");
    assert_eq!(report.totals.copied, 1);
    let before = world.lock().unwrap().jobs.len();
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(written(&world), once_each());
    let begun = world.lock().unwrap().jobs.len() - before;
    assert_eq!(begun, 1);
}

#[tokio::test]
async fn what_would_only_fail_again_is_reported_and_stops_no_other() {
    let (server, world) = start().await;
    world.lock().unwrap().failures = vec![("invalidQuery", "permission denied for table items")];
    for _ in 0..2 {
        let report = attempt(&server).await;
        assert_eq!(report.exit_code(), 2, "{report:?}");
        let Outcome::Failed(failure) = &of(&report, "items").result else {
            panic!("{report:?}");
        };
        assert_eq!(
            failure.error,
            "permission denied for table items (invalidQuery)"
        );
    }
    assert_eq!(written(&world), [("orders".to_owned(), 1)]);
}

#[tokio::test]
async fn nothing_is_read_through_a_connection_that_leads_elsewhere() {
    let (server, world) = start().await;
    world.lock().unwrap().database = "payroll".to_owned();
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 2);
    assert!(report.message.contains("`payroll`"), "{}", report.message);
    assert_eq!(server.wire().traffic().len(), 1);
    assert!(world.lock().unwrap().jobs.is_empty());
}

#[tokio::test]
async fn an_emptied_source_takes_nothing_away() {
    let (server, world) = start().await;
    {
        let mut world = world.lock().unwrap();
        world.source.insert("orders".to_owned(), 0);
        world.dataset.insert("orders".to_owned(), 3);
    }
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 2);
    let Outcome::Failed(Failure { error, .. }) = &of(&report, "orders").result else {
        panic!("{report:?}");
    };
    assert!(
        error.contains("TRUNCATE TABLE `acme-orders.orders.orders`"),
        "{error}"
    );
    assert_eq!(written(&world), [("items".to_owned(), 1)]);
    // Accepted: an empty table stays one.
    world.lock().unwrap().dataset.insert("orders".to_owned(), 0);
    let clock = noon();
    let mut tomorrow = runner(&server, &clock);
    tomorrow.settings.uid = "tomorrow".to_owned();
    let report = passing(&clock, tomorrow.run(std::future::pending())).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
}

#[tokio::test]
async fn a_type_that_changed_is_refused_and_a_column_that_went_becomes_null() {
    let (server, world) = start().await;
    {
        let mut world = world.lock().unwrap();
        for name in ["items", "orders"] {
            world.dataset.insert(name.to_owned(), 1);
        }
        let retyped = json!([{"name": "id", "type": "STRING"}]);
        world.columns.insert("items".to_owned(), retyped);
        let more = json!([{"name": "id", "type": "INTEGER"}, {"name": "gone", "type": "DATE"}]);
        world.columns.insert("orders".to_owned(), more);
    }
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 2);
    assert!(matches!(of(&report, "items").result, Outcome::Failed(_)));
    let orders = of(&report, "orders");
    assert!(orders.notes[0].contains("now NULL: gone"), "{orders:?}");
    let world = world.lock().unwrap();
    let sent = world
        .jobs
        .values()
        .map(|job| &job.sent["configuration"]["query"]);
    let queries: Vec<&str> = sent.filter_map(|query| query["query"].as_str()).collect();
    let null = "CAST(NULL AS DATE) AS `gone`";
    assert!(
        queries.iter().any(|query| query.contains(null)),
        "{queries:?}"
    );
}

#[tokio::test]
async fn what_runs_is_cancelled_when_the_run_is_told_to_stop() {
    let (server, world) = start().await;
    world.lock().unwrap().slow = true;
    let clock = noon();
    let runner = runner(&server, &clock);
    let wire = server.wire();
    let polled = |exchange: &crate::sandbox::server::Exchange| {
        exchange.response.as_ref() == br#"{"jobComplete":false}"#
    };
    let report = passing(&clock, runner.run(wire.seen(polled))).await;
    assert_eq!(report.exit_code(), 75);
    assert_eq!(report.totals.failed, 2);
    {
        let mut world = world.lock().unwrap();
        assert_eq!(world.cancelled.len(), 1);
        assert!(!world.jobs.values().any(|job| job.is_running()));
        world.slow = false;
    }
    let report = attempt(&server).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(written(&world), once_each());
}

#[tokio::test]
async fn a_rehearsal_writes_nothing_and_shows_every_statement() {
    let (server, world) = start().await;
    let clock = noon();
    let mut runner = runner(&server, &clock);
    runner.settings.tables = ["items", "lost"].map(|name| name.parse().unwrap()).into();
    let rehearsal = passing(&clock, runner.rehearse()).await.unwrap();
    assert_eq!(rehearsal.persistence(), Some(Persistence::Permanent));
    assert_eq!(
        rehearsal.to_string(),
        r#"-- lost: fails: The schema has no such table; what was copied before stays.

-- items: makes acme-orders.orders.items
SELECT `c1` AS `id` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT \"id\" AS \"c1\" FROM \"public\".\"items\"");

-- 1 of 1 tables can be copied; nothing was written
"#
    );
    assert!(written(&world).is_empty());
    let schemas = passing(&clock, runner.schemas()).await.unwrap();
    assert_eq!(schemas.to_string(), "items\n  id  INT64       bigint\n");
}
