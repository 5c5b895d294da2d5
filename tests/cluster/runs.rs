//! Runs: Argo's own controller makes them, their pods run the program itself, and what it says
//! comes back. They need a cluster without another kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use pipewright::edges::cluster::{ClusterError, Deleted, Phase, Run, Submitted, Wait};
use pipewright::object::Kind;
use pipewright::plan::steps::Force;
use pipewright::sync::{Outcome, RunReport};
use serde_json::{Value, json};

use crate::api::{items, text};
use crate::apply::{apply, manifests, manifests_of};
use crate::common::repository;
use crate::controller::Controller;
use crate::kubelet::{Kubelet, script};
use crate::place::{Place, on_both};
use crate::shop;

on_both! {
    one_schedule_runs_once_at_a_time_and_nobody_overtakes;
    a_schedule_goes_when_it_is_idle_and_takes_its_runs_along;
}

const CRON: &str = "CronWorkflow";

/// The example, with retries that do not take minutes, and never by itself.
fn example(place: &Place) -> BTreeMap<(Kind, String), Value> {
    let mut wanted = manifests(&place.namespace);
    for ((kind, _), manifest) in &mut wanted {
        if *kind == Kind::CronWorkflow {
            manifest["spec"]["schedules"] = json!(["0 0 1 1 *"]);
            let retry = "/spec/workflowSpec/templates/0/retryStrategy/backoff/duration";
            *manifest.pointer_mut(retry).unwrap() = json!("1");
        }
    }
    wanted
}

async fn submit(place: &Place, cron: &str, name: &str) {
    let all = BTreeSet::new();
    let made = place.bot.submit(cron, name, &all, Timestamp::now()).await;
    assert_eq!(made.unwrap(), Submitted::Made);
}

/// The run once it has ended, as the bot sees it, and as it is.
async fn ended(place: &Place, name: &str) -> (Run, Value) {
    let live = place.api.until("Workflow", name, |run| {
        matches!(text(run, "/status/phase"), "Succeeded" | "Failed" | "Error")
    });
    let live = live.await;
    (place.bot.run(name).await.unwrap().unwrap(), live)
}

async fn pods(place: &Place, run: &str) -> usize {
    let selector = format!("labelSelector=workflows.argoproj.io%2Fworkflow%3D{run}");
    items(&place.api.list("Pod", &selector).await["items"]).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_fires_the_program_copies_and_its_report_comes_back() {
    let place = Place::real().await;
    let server = shop::database();
    let google = shop::bigquery(&server).await;
    let _kubelet = Kubelet::start(&place, shop::program(&google));
    let mut wanted = manifests(&place.namespace);
    let orders = (Kind::CronWorkflow, "orders".to_owned());
    wanted.get_mut(&orders).unwrap()["spec"]["schedules"] = json!(["* * * * *"]);
    apply(&place, &wanted).await;

    let selector = "labelSelector=workflows.argoproj.io%2Fcron-workflow%3Dorders";
    let run = place.api.until_one("Workflow", selector, |_| true).await;
    let name = text(&run, "/metadata/name");
    let (run, live) = ended(&place, name).await;
    assert_eq!(run.phase, Phase::Succeeded, "{live:#}");
    assert_eq!(
        (
            run.cron.as_str(),
            run.pipeline.as_str(),
            run.service.as_str()
        ),
        ("orders", "orders", "orders")
    );
    let report = RunReport::from_json(&run.report.unwrap()).unwrap();
    assert_eq!(report.totals.rows, 4, "{report:?}");
    assert!(
        report
            .tables
            .iter()
            .all(|table| table.result == Outcome::Copied),
        "{report:?}"
    );
    assert_eq!(shop::rows(&google), (Some(3), Some(1)));
    assert_eq!(pods(&place, name).await, 1);

    let cron = place
        .api
        .until(CRON, "orders", |cron| cron["status"]["succeeded"] == 1)
        .await;
    assert_eq!(cron["status"]["phase"], "Active");
    // What the controller wrote is nobody's drift.
    assert_eq!(apply(&place, &wanted).await, [""; 0]);
    let last = place.bot.last_runs().await.unwrap();
    assert_eq!(last["orders"].phase, Phase::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let place = Place::real().await;
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let lines = format!(
        "echo >>{count}; echo \"{{\\\"try\\\":$(wc -l <{count})}}\" >$PIPEWRIGHT_REPORT\n\
         [ $(wc -l <{count}) = 1 ] && exit 75\n\
         [ $(wc -l <{count}) = 3 ] && exit 2\nexit 0",
        count = count.display()
    );
    let _kubelet = Kubelet::start(&place, script(folder.path(), &lines));
    apply(&place, &example(&place)).await;

    submit(&place, "orders", "passes").await;
    let (run, live) = ended(&place, "passes").await;
    assert_eq!(run.phase, Phase::Succeeded, "{live:#}");
    assert_eq!(run.report.as_deref(), Some("{\"try\":2}\n"));
    assert_eq!(pods(&place, "passes").await, 2);

    submit(&place, "orders", "stays").await;
    let (run, live) = ended(&place, "stays").await;
    assert_eq!(run.phase, Phase::Failed, "{live:#}");
    assert_eq!(run.report.as_deref(), Some("{\"try\":3}\n"), "{live:#}");
    assert_eq!(pods(&place, "stays").await, 1);
    let message = run.message.unwrap();
    assert!(message.contains("retryStrategy.expression"), "{message}");
    place
        .api
        .until(CRON, "orders", |cron| cron["status"]["failed"] == 1)
        .await;
}

async fn one_schedule_runs_once_at_a_time_and_nobody_overtakes(place: &Place) {
    let argo = Controller::of(place);
    apply(place, &example(place)).await;
    let until = async |run: &str, phase: &str| {
        let such = |run: &Value| text(run, "/status/phase") == phase;
        let run = place.api.until("Workflow", run, such).await;
        text(&run, "/status/message").to_owned()
    };
    submit(place, "orders", "first").await;
    until("first", "Running").await;
    let all = BTreeSet::new();
    let again = place.bot.submit("orders", "first", &all, Timestamp::now());
    assert_eq!(again.await.unwrap(), Submitted::AlreadyThere);
    let taken = place.bot.submit("returns", "first", &all, Timestamp::now());
    assert!(matches!(taken.await, Err(ClusterError::Taken { .. })));

    submit(place, "orders", "second").await;
    let why = until("second", "Pending").await;
    assert!(
        why.ends_with("/Mutex/pipewright-orders lock. Lock status: 0/1"),
        "{why}"
    );
    // The instance bears two runs, and one waits for its turn at the other lock.
    submit(place, "returns", "neighbour").await;
    let why = until("neighbour", "Pending").await;
    assert!(
        why.ends_with("-semaphore/runs lock. Lock status: 1/2"),
        "{why}"
    );
    submit(place, "invoices", "elsewhere").await;
    until("elsewhere", "Running").await;
    assert_eq!(
        place.bot.active("orders").await.unwrap(),
        ["first", "second"]
    );

    argo.finish("first", 0, "{}").await;
    assert_eq!(until("first", "Succeeded").await, "");
    until("second", "Running").await;
    until("neighbour", "Running").await;
    argo.finish("second", 2, "{\"n\": 2}").await;
    until("second", "Failed").await;
    let run = place.bot.run("second").await.unwrap().unwrap();
    assert_eq!(
        (run.phase, run.report.as_deref()),
        (Phase::Failed, Some("{\"n\": 2}"))
    );
    let cron = place.api.until(CRON, "orders", |cron| {
        cron["status"]["succeeded"] == 1 && cron["status"]["failed"] == 1
    });
    // It is Active once its schedule's time has come.
    assert_eq!(cron.await["status"]["phase"], "");
}

async fn a_schedule_goes_when_it_is_idle_and_takes_its_runs_along(place: &Place) {
    let argo = Controller::of(place);
    apply(place, &example(place)).await;
    submit(place, "orders", "one").await;
    submit(place, "returns", "other").await;
    for run in ["one", "other"] {
        let running = |run: &Value| text(run, "/status/phase") == "Running";
        place.api.until("Workflow", run, running).await;
    }
    let waiting = place
        .bot
        .delete(Kind::CronWorkflow, "orders")
        .await
        .unwrap();
    assert_eq!(
        waiting,
        Deleted::Waiting(Wait {
            why: "run one is active".to_owned(),
            since: None,
        })
    );
    assert_eq!(place.api.get(CRON, "orders").await["spec"]["suspend"], true);
    argo.finish("one", 0, "{}").await;
    ended(place, "one").await;
    // The status lists what ran until Argo's controller has come by.
    let idle = |cron: &Value| items(&cron["status"]["active"]).is_empty();
    place.api.until(CRON, "orders", idle).await;
    let gone = place
        .bot
        .delete(Kind::CronWorkflow, "orders")
        .await
        .unwrap();
    assert_eq!(gone, Deleted::Gone);
    place.api.until_gone("Workflow", "one").await;
    assert!(place.api.find("Workflow", "other").await.is_some());

    // What is applied again is awake, unless a person put it to sleep.
    let all = example(place);
    assert_eq!(apply(place, &all).await, ["CronWorkflow orders"]);
    assert_eq!(
        place.api.get(CRON, "orders").await["spec"].get("suspend"),
        None
    );
    let asleep = json!({"spec": {"suspend": true}});
    place.api.merge(CRON, "orders", &asleep, "argo").await;
    assert_eq!(apply(place, &all).await, [""; 0]);
    place
        .put(
            Kind::CronWorkflow,
            &all[&(Kind::CronWorkflow, "orders".to_owned())],
            &Force::No,
        )
        .await
        .unwrap();
    assert_eq!(place.api.get(CRON, "orders").await["spec"]["suspend"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_keeps_quiet_about_what_it_refuses() {
    let place = Place::real().await;
    apply(&place, &example(&place)).await;
    let wanted = example(&place);
    let orders = &wanted[&(Kind::CronWorkflow, "orders".to_owned())];
    let mut long = orders.clone();
    long["metadata"]["name"] = json!("a".repeat(60));
    let mut minute = orders.clone();
    minute["metadata"]["name"] = json!("minute");
    minute["spec"]["schedules"] = json!(["61 * * * *"]);
    for manifest in [&long, &minute] {
        place
            .put(Kind::CronWorkflow, manifest, &Force::No)
            .await
            .unwrap();
    }
    // It takes them in order, so by now it has seen the others.
    let mut last = orders.clone();
    last["metadata"]["name"] = json!("last");
    last["spec"]["schedules"] = json!(["* * * * *"]);
    place
        .put(Kind::CronWorkflow, &last, &Force::No)
        .await
        .unwrap();
    place
        .api
        .until(CRON, "last", |cron| !cron["status"].is_null())
        .await;
    for manifest in [&long, &minute] {
        let live = place.api.get(CRON, text(manifest, "/metadata/name")).await;
        assert_eq!(live.get("status"), None, "{live:#}");
    }
}

/// What it refuses is in its log alone, and so is what it takes: the log of a cluster that
/// `tests/cluster/up` started.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_finding_is_taken_by_the_controller() {
    let place = Place::real().await;
    let Some(cluster) = std::env::var_os("PIPEWRIGHT_CLUSTER") else {
        return println!("runs: this cluster does not say what its controller takes");
    };
    let mut files = repository();
    files.retain(|path, _| path.starts_with("policies/"));
    let odd = [
        ("*/5 * * * *", "asia/tokyo"),
        ("0 0 29 2 *", "Etc/GMT+12"),
        (
            "15,45 1-5 * jan-mar MON",
            "America/Argentina/ComodRivadavia",
        ),
        ("@monthly", "EST5EDT"),
        ("0 0 31 2 */2", "Factory"),
        ("0 0 30/1 */2 *", "GMT0"),
        ("0-59/70 5/4 ? ? ?/1", "Antarctica/Troll"),
        ("00 007 * * 0", "UTC"),
    ];
    for (number, (schedule, timezone)) in odd.into_iter().enumerate() {
        let text = format!(
            "bq_project_id: acme-orders\nbq_connection_id: orders-db\nbq_dataset_name: dataplatform_d{number}\n\
             service_name: {service}\ndb_catalog_name: '{{{{a}}}}'\ndb_schema_name: $$(PATH)\n\
             schedule: '{schedule}'\ntimezone: {timezone}\ntables:\n  '{{{{workflow.name}}}}':\n    \
             schedule: '@hourly'\n    where: note <> '{{{{=a}}}}'\n  'Größe \"x\"': {{where: note <> '$$'}}\n",
            service = "s".repeat(63),
        );
        let name = format!("{}{number}", "p".repeat(42));
        files.insert(format!("pipelines/{name}.yaml"), text);
    }
    let wanted = manifests_of(&files, &place.namespace);
    let crons: Vec<&String> = wanted
        .keys()
        .filter(|(kind, _)| *kind == Kind::CronWorkflow)
        .map(|(_, name)| name)
        .collect();
    assert_eq!(crons.len(), 2 * odd.len());
    assert!(crons.iter().any(|name| name.len() == 52));
    apply(&place, &wanted).await;

    let log = std::path::PathBuf::from(cluster).join("logs/workflow-controller");
    let taken = async {
        loop {
            let said = std::fs::read_to_string(&log).unwrap();
            let of_here = said.lines().filter(|line| line.contains(&place.namespace));
            let refused = |line: &&str| line.contains("invalid cron") || line.contains("could not");
            let refused: Vec<&str> = of_here.clone().filter(refused).collect();
            assert!(refused.is_empty(), "{refused:?}");
            let is_taken = |name: &&String| {
                let words = format!("CronWorkflow {}/{name} added", place.namespace);
                of_here.clone().any(|line| line.contains(&words))
            };
            if crons.iter().all(is_taken) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(60), taken).await;
    assert!(taken.is_ok(), "not all of {crons:?} were taken");
}
