//! Reruns through the bot's own door, and what Argo's controller does by itself with what we
//! render: history, deadlines, and what people suspend.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use pipewright::clock::Clock;
use pipewright::edges::cluster::Phase;
use pipewright::object::Kind;
use pipewright::plan::steps::Force;
use pipewright::sandbox::github::Github;
use serde_json::{Value, json};

use crate::api::{items, text};
use crate::apply::{apply, manifests};
use crate::controller::Controller;
use crate::kubelet::{Kubelet, script};
use crate::place::Place;
use crate::serving::{Serving, answer, change, say, stage};

const CRON: &str = "CronWorkflow";

/// A runner's last words.
fn report(message: &str, table: &Value) -> String {
    let totals = json!({
        "copied": 0, "skipped": 0, "failed": 0, "rows": 0, "bytes": 0, "slot_ms": 0, "duration_ms": 9,
    });
    let report = json!({
        "version": 1, "pipeline": "orders", "service": "orders", "message": message,
        "totals": totals, "tables": [table],
    });
    report.to_string()
}

async fn until_phase(place: &Place, run: &str, phase: &str) -> Value {
    let such = |run: &Value| text(run, "/status/phase") == phase;
    place.api.until("Workflow", run, such).await
}

fn reactions(github: &Github, pull: u64, comment: u64) -> BTreeSet<String> {
    let comments = github.comments(pull).into_iter();
    let one = comments.filter(|one| one.id == comment);
    one.flat_map(|one| one.reactions)
        .map(|reaction| reaction.content)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_waits_for_its_turn_runs_what_is_there_then_and_wakes_nobody() {
    let place = Place::real().await;
    let argo = Controller::of(&place);
    let mut stage = stage(Clock::system()).await;
    let serving = Serving::alone(&stage, &place).await;
    let number = change(&mut stage, "new", "description: new\n").await;
    place.api.until(CRON, "orders", |_| true).await;
    let record = |record: &Value| text(record, "/data/record").contains("\"applied\":{");
    place.api.until("ConfigMap", "record-orders", record).await;

    let first = say(&mut stage, number, "/rerun orders").await;
    let first_run = format!("orders-rerun-{first}-1");
    until_phase(&place, &first_run, "Running").await;
    let second = say(&mut stage, number, "/rerun orders").await;
    let second_run = format!("orders-rerun-{second}-1");
    let reacted = format!("/comments/{second}/reactions");
    let wire = stage.github.wire().clone();
    wire.seen(|exchange| exchange.is_write() && exchange.uri.ends_with(&reacted))
        .await;
    let seen = reactions(&stage.github, number, second);
    assert_eq!(seen, ["eyes".to_owned()].into());

    // Somebody suspends it, as `kubectl edit` and `argo cron suspend` do. A change is applied
    // meanwhile, and what runs goes on as it began.
    let asleep = json!({"spec": {"suspend": true}});
    place
        .api
        .merge(CRON, "orders", &asleep, "kubectl-edit")
        .await;
    change(&mut stage, "fewer", "excluded_tables: [audit_log]\n").await;
    let changed = |live: &Value| live["spec"].to_string().contains("audit_log");
    let live = place.api.until(CRON, "orders", changed).await;
    assert_eq!(live["spec"]["suspend"], true);
    let running = place.api.get("Workflow", &first_run).await;
    assert_eq!(text(&running, "/status/phase"), "Running");
    assert!(!changed(&running));
    assert_eq!(place.api.find("Workflow", &second_run).await, None);

    let copied = json!({"table": "paid", "mode": "full", "rows": 7, "result": "copied"});
    let words = "all is well here";
    argo.finish(&first_run, 0, &report(words, &copied)).await;
    let said = answer(&stage, number, words).await;
    assert!(
        said.contains("`/rerun orders`: 1 run, 1 succeeded"),
        "{said}"
    );
    assert!(
        said.contains(&first_run) && said.contains("`paid`"),
        "{said}"
    );

    // Its turn has come, suspended or not, and it is about the pipeline as it is now.
    let running = until_phase(&place, &second_run, "Running").await;
    assert!(changed(&running), "{running:#}");
    let failed = json!({"table": "paid", "mode": "full", "result": {
        "failed": {"persistence": "permanent", "error": "permission denied for table paid"},
    }});
    let words = "1 of 1 table failed";
    argo.finish(&second_run, 2, &report(words, &failed)).await;
    let said = answer(&stage, number, words).await;
    assert!(said.contains("`/rerun orders`: 1 run, 1 failed"), "{said}");
    for part in [
        &second_run,
        "**Failed**",
        "permission denied for table paid",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let reacted = |exchange: &pipewright::sandbox::server::Exchange| {
        exchange.is_write()
            && exchange.uri.ends_with(&reacted)
            && String::from_utf8_lossy(&exchange.request).contains("rocket")
    };
    stage.github.wire().seen(reacted).await;

    // A sweep, with which a start begins, has nothing to mend.
    let before = place.api.get(CRON, "orders").await;
    place.asked().await;
    tokio::task::block_in_place(|| serving.stop());
    let again = Serving::start(&stage, &place, "again").await;
    again.until_it_rests().await;
    let after = place.api.get(CRON, "orders").await;
    assert_eq!(after["spec"]["suspend"], true);
    assert_eq!(after["spec"], before["spec"]);
    if let Some(asked) = place.asked().await {
        let writes = asked.iter().filter(|one| one.is_write());
        let writes: Vec<_> = writes.filter(|one| !one.uri.contains("/leases")).collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
}

/// `orders` of the example, under this name and with this schedule.
fn orders(place: &Place, name: &str, schedule: &str) -> Value {
    let all = manifests(&place.namespace);
    let mut orders = all[&(Kind::CronWorkflow, "orders".to_owned())].clone();
    orders["metadata"]["name"] = json!(name);
    orders["spec"]["schedules"] = json!([schedule]);
    orders["spec"]["timezone"] = json!("Etc/UTC");
    orders
}

async fn put(place: &Place, cron: &Value) {
    let applied = place.put(Kind::CronWorkflow, cron, &Force::No).await;
    applied.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_of_each_ending_are_kept_and_the_oldest_go() {
    let place = Place::real().await;
    put(&place, &orders(&place, "orders", "0 0 1 1 *")).await;
    let uid = place.api.get(CRON, "orders").await["metadata"]["uid"].clone();
    for number in 0..23 {
        for phase in ["Succeeded", "Failed"] {
            let name = format!("{}-{number}", phase.to_lowercase());
            let ended = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(number);
            let run = json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "metadata": {
                    "name": name,
                    "labels": {
                        "workflows.argoproj.io/cron-workflow": "orders",
                        "workflows.argoproj.io/completed": "true",
                        "workflows.argoproj.io/phase": phase,
                    },
                    "ownerReferences": [{
                        "apiVersion": "argoproj.io/v1alpha1", "kind": CRON, "name": "orders",
                        "uid": uid, "controller": true, "blockOwnerDeletion": true,
                    }],
                },
                "spec": {"entrypoint": "none", "templates": [{"name": "none", "suspend": {}}]},
                "status": {"phase": phase, "startedAt": ended, "finishedAt": ended},
            });
            place.api.create(&run).await.unwrap();
        }
    }
    for phase in ["succeeded", "failed"] {
        for number in 0..3 {
            place
                .api
                .until_gone("Workflow", &format!("{phase}-{number}"))
                .await;
        }
    }
    assert_eq!(place.bot.runs("orders").await.unwrap().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_missed_within_the_hour_is_run_once() {
    let place = Place::real().await;
    let folder = tempfile::tempdir().unwrap();
    let _kubelet = Kubelet::start(&place, script(folder.path(), ""));
    apply(
        &place,
        &BTreeMap::from_iter(
            manifests(&place.namespace)
                .into_iter()
                .filter(|((kind, _), _)| *kind != Kind::CronWorkflow),
        ),
    )
    .await;
    let ago = |minutes: i64| Timestamp::now() - SignedDuration::from_mins(minutes);
    for (name, missed) in [("late", ago(70)), ("missed", ago(10))] {
        let schedule = missed.strftime("%M %H * * *").to_string();
        put(&place, &orders(&place, name, &schedule)).await;
        // As a controller leaves it that ran it a day before, and then was down.
        let down = json!({
            "metadata": {"annotations": {
                "cronworkflows.argoproj.io/last-used-schedule": format!("CRON_TZ=Etc/UTC {schedule}"),
            }},
            "status": {"lastScheduledTime": (missed - SignedDuration::from_hours(24)).strftime("%Y-%m-%dT%H:%M:00Z").to_string()},
        });
        place
            .api
            .merge(CRON, name, &down, "workflow-controller")
            .await;
    }
    let of = |name: &str| format!("labelSelector=workflows.argoproj.io%2Fcron-workflow%3D{name}");
    let run = place
        .api
        .until_one("Workflow", &of("missed"), |_| true)
        .await;
    let name = text(&run, "/metadata/name").to_owned();
    let last = |cron: &Value| cron["status"]["succeeded"] == 1 || cron["status"]["failed"] == 1;
    place.api.until(CRON, "missed", last).await;
    let runs = place.api.list("Workflow", "").await;
    let names: Vec<&str> = items(&runs["items"])
        .iter()
        .map(|run| text(run, "/metadata/name"))
        .collect();
    assert_eq!(names, [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_ended_and_not_tried_again() {
    let place = Place::real().await;
    let folder = tempfile::tempdir().unwrap();
    let stopped = folder.path().join("stopped");
    let lines = format!(
        "trap 'echo told >{}; exit 143' TERM\nwhile true; do sleep 0.05; done",
        stopped.display()
    );
    let _kubelet = Kubelet::start(&place, script(folder.path(), &lines));
    let mut wanted = manifests(&place.namespace);
    let orders = wanted
        .get_mut(&(Kind::CronWorkflow, "orders".to_owned()))
        .unwrap();
    let rendered = &mut orders["spec"]["workflowSpec"]["activeDeadlineSeconds"];
    assert!(rendered.as_i64().unwrap() >= 3600, "{rendered}");
    // Time enough to start, on a machine that is busy.
    *rendered = json!(10);
    apply(&place, &wanted).await;
    let all = BTreeSet::new();
    let made = place.bot.submit("orders", "long", &all, Timestamp::now());
    made.await.unwrap();
    let live = until_phase(&place, "long", "Failed").await;
    let run = place.bot.run("long").await.unwrap().unwrap();
    assert_eq!(run.phase, Phase::Failed);
    let said = run.message.unwrap();
    assert!(said.contains("deadline"), "{said} {live:#}");
    // Argo asks the kubelet for the same deadline. Told to stop, the program would cancel what
    // it began at BigQuery.
    let selector = "labelSelector=workflows.argoproj.io%2Fworkflow%3Dlong";
    let failed = |pod: &Value| text(pod, "/status/phase") == "Failed";
    place.api.until_one("Pod", selector, failed).await;
    assert!(stopped.exists());
    let pods = place.api.list("Pod", selector).await;
    assert_eq!(items(&pods["items"]).len(), 1);
}
