//! Commands: somebody comments, and what may happen happens once.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::sandbox::github::{Change, Permission};
use pipewright::sandbox::kubernetes::{Ending, Tick};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::{NAMESPACE, Stage};
use serde_json::Value;

use crate::common::{repository, tree_of};

const OWNER: &str = "lead-of-billing";
const HOUSE: &str = "lead-of-data-platform";
const CRM: &str = "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
bq_dataset_name: dataplatform_crm\nservice_name: crm\ndb_catalog_name: billing\ndb_schema_name: crm\n";

/// The stage with a merged pull request by its owner, and `crm` applied.
async fn merged(file: &str) -> (Stage, u64) {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let mut stage = Stage::set(&tree_of(&repository()), Clock::stepped(start))
        .await
        .unwrap();
    stage.github.add_user("stranger", Permission::Write);
    stage.settle().await.unwrap();
    let changes = [Change::write("pipelines/crm.yaml", file)];
    let number = stage
        .github
        .open_pull_request(OWNER, "crm", "CRM", &changes)
        .unwrap();
    stage.settle().await.unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    (stage, number)
}

/// Somebody comments, and the bot does what it can at once.
async fn comment(stage: &mut Stage, number: u64, login: &str, body: &str) -> u64 {
    let id = stage.github.comment(number, login, body).unwrap();
    stage.settle().await.unwrap();
    id
}

async fn later(stage: &mut Stage) {
    stage.worker.clock.advance(Duration::from_secs(60));
    stage.settle().await.unwrap();
}

fn reactions(stage: &Stage, number: u64, id: u64) -> Vec<String> {
    let comments = stage.github.comments(number);
    let comment = comments.into_iter().find(|comment| comment.id == id);
    let reactions = comment.unwrap().reactions.into_iter();
    reactions.map(|reaction| reaction.content).collect()
}

/// What the bot said after the comment.
fn replies(stage: &Stage, number: u64, id: u64) -> Vec<String> {
    let comments = stage.github.comments(number).into_iter();
    comments
        .filter(|comment| comment.id > id && comment.login.ends_with("[bot]"))
        .map(|comment| comment.body)
        .collect()
}

fn runs(stage: &Stage) -> Vec<Value> {
    let objects = stage.kubernetes.objects().into_iter();
    objects
        .filter(|object| object["kind"] == "Workflow")
        .collect()
}

fn name(run: &Value) -> String {
    run["metadata"]["name"].as_str().unwrap().to_owned()
}

fn finish(stage: &Stage, run: &str, ending: Ending, message: &str) {
    stage
        .kubernetes
        .finish_run(NAMESPACE, run, ending, message, None)
        .unwrap();
}

#[tokio::test]
async fn a_rerun_runs_once_and_reports_back() {
    let (mut stage, number) = merged(CRM).await;
    let id = comment(&mut stage, number, OWNER, "Once more, please.\n\n/rerun\n").await;
    assert_eq!(reactions(&stage, number, id), ["eyes"]);
    let made = runs(&stage);
    assert_eq!(made.len(), 1);
    assert_eq!(name(&made[0]), format!("crm-rerun-{id}-3"));
    assert_eq!(
        made[0]["metadata"]["ownerReferences"][0]["kind"],
        "CronWorkflow"
    );
    stage.kubernetes.argo_step().unwrap();
    later(&mut stage).await;
    assert_eq!(replies(&stage, number, id), Vec::<String>::new());
    finish(
        &stage,
        &name(&made[0]),
        Ending::Failed,
        "no route to the database",
    );
    later(&mut stage).await;
    let said = replies(&stage, number, id);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("no route to the database"), "{said:?}");
    assert_eq!(reactions(&stage, number, id), ["eyes", "rocket"]);

    // Looked at again by a sweep, by another bot, and by a webhook that comes twice.
    let said_so_far = stage.github.wire().writes_to("comments");
    stage.worker.queue.add(&Event::Commented {
        number,
        comment: id,
    });
    later(&mut stage).await;
    stage.restart().await.unwrap();
    stage.settle().await.unwrap();
    later(&mut stage).await;
    assert_eq!(runs(&stage).len(), 1);
    assert_eq!(replies(&stage, number, id), said);
    assert_eq!(stage.github.wire().writes_to("comments"), said_so_far);
}

#[tokio::test]
async fn a_rerun_waits_for_its_turn() {
    let (mut stage, number) = merged(CRM).await;
    let Tick::Began(tonight) = stage.kubernetes.argo_tick(NAMESPACE, "crm").unwrap() else {
        panic!("nothing began");
    };
    let id = comment(&mut stage, number, OWNER, "/rerun crm").await;
    assert_eq!(reactions(&stage, number, id), ["eyes"]);
    later(&mut stage).await;
    assert_eq!(runs(&stage).len(), 1, "tonight's run is still active");
    finish(&stage, &tonight, Ending::Succeeded, "");
    later(&mut stage).await;
    assert_eq!(runs(&stage).len(), 2);
}

#[tokio::test]
async fn a_rerun_of_chosen_tables_runs_only_the_schedules_that_copy_them() {
    let file = CRM.to_owned() + "tables: {contacts: {schedule: '@hourly'}}\n";
    let (mut stage, number) = merged(&file).await;
    comment(&mut stage, number, OWNER, "/rerun tables=contacts").await;
    let made = runs(&stage);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_ne!(
        made[0]["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"],
        "crm"
    );
    let parameters = &made[0]["spec"]["arguments"]["parameters"][0];
    assert_eq!(parameters["name"], "tables");
    assert_eq!(parameters["value"], r#"["contacts"]"#);
}

#[tokio::test]
async fn what_was_run_and_is_gone_is_called_unknown_and_not_repeated() {
    let (mut stage, number) = merged(CRM).await;
    let id = comment(&mut stage, number, OWNER, "/rerun").await;
    let run = name(&runs(&stage)[0]);
    // Somebody stops it, by kubectl.
    stage.kubernetes.remove("Workflow", NAMESPACE, &run);
    later(&mut stage).await;
    assert_eq!(runs(&stage).len(), 0);
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("unknown"), "{said}");
    assert_eq!(reactions(&stage, number, id), ["eyes", "rocket"]);
}

#[tokio::test]
async fn a_claim_from_long_ago_is_not_taken_up() {
    let (mut stage, number) = merged(CRM).await;
    stage.kubernetes.wire().fail_with(|method, uri| {
        let makes = *method == Method::POST && uri.path().contains("/workflows");
        makes.then(|| Fault::Refuse(StatusCode::INTERNAL_SERVER_ERROR, "not now".into()))
    });
    let id = stage.github.comment(number, OWNER, "/rerun").unwrap();
    assert!(stage.settle().await.is_err(), "claimed, and not made");
    stage.kubernetes.wire().heal();
    stage.worker.clock.advance(Duration::from_secs(3600));
    later(&mut stage).await;
    assert_eq!(runs(&stage).len(), 0, "it may have been made and forgotten");
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("unknown"), "{said}");
}

#[tokio::test]
async fn who_may_not_is_told_who_may_and_nothing_happens() {
    let (mut stage, number) = merged(CRM).await;
    let id = comment(&mut stage, number, "stranger", "/rerun").await;
    assert_eq!(reactions(&stage, number, id), ["confused"]);
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("`@acme/billing`"), "{said}");
    let id = comment(&mut stage, number, OWNER, "/reruns").await;
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("/rerun"), "{said}");
    let quoted = comment(&mut stage, number, OWNER, "> /rerun\n\n`/rerun`").await;
    assert_eq!(reactions(&stage, number, quoted), Vec::<String>::new());
    // What a maintainer makes of somebody's comment is not theirs.
    let id = stage.github.comment(number, OWNER, "well done").unwrap();
    stage.github.edit_comment(id, "stranger", "/rerun").unwrap();
    stage.settle().await.unwrap();
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    assert_eq!(reactions(&stage, number, id), ["confused"]);
    assert_eq!(runs(&stage).len(), 0);
}

#[tokio::test]
async fn an_owner_applies_what_was_pushed_directly() {
    let (mut stage, number) = merged(CRM).await;
    let file = CRM.to_owned() + "suspend: true\n";
    let changes = [Change::write("pipelines/crm.yaml", file)];
    stage
        .github
        .push_to_default("stranger", "no review", &changes)
        .unwrap();
    stage.settle().await.unwrap();
    let suspended = |stage: &Stage| {
        let cron = stage.kubernetes.get("CronWorkflow", NAMESPACE, "crm");
        cron.unwrap()["spec"]["suspend"] == true
    };
    assert!(!suspended(&stage), "held");
    let id = comment(&mut stage, number, "stranger", "/status").await;
    let said = replies(&stage, number, id).concat();
    let at = said.find("/apply ").expect("the command to copy");
    let command = &said[at..at + "/apply ".len() + 64];
    assert_eq!(reactions(&stage, number, id), ["rocket"]);

    let id = comment(&mut stage, number, "stranger", command).await;
    assert_eq!(reactions(&stage, number, id), ["confused"]);
    assert!(!suspended(&stage));
    let id = comment(&mut stage, number, OWNER, command).await;
    assert!(suspended(&stage), "{:?}", replies(&stage, number, id));
    assert_eq!(reactions(&stage, number, id), ["eyes", "rocket"]);
    let said = replies(&stage, number, id).concat();
    assert!(said.contains(": applied: `crm`."), "{said}");
}

#[tokio::test]
async fn one_of_the_house_confirms_a_large_removal() {
    let (mut stage, _) = merged(CRM).await;
    let defaults = repository()["policies/defaults.yaml"].clone();
    let limits = defaults.replace("prunes_per_apply: 50", "prunes_per_apply: 2");
    assert_ne!(limits, defaults);
    let pushed = [Change::write("policies/defaults.yaml", limits)];
    let pushed = stage.github.push_to_default("stranger", "strict", &pushed);
    pushed.unwrap();
    stage.settle().await.unwrap();
    let removed = [Change::remove("pipelines/crm.yaml")];
    let removed = stage
        .github
        .open_pull_request(OWNER, "no-crm", "No CRM", &removed);
    let number = removed.unwrap();
    stage.settle().await.unwrap();
    let said = replies(&stage, number, 0).concat();
    assert!(said.contains("confirms it by `/confirm`"), "{said}");
    stage.github.merge(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    let is_there = |stage: &Stage| {
        stage
            .kubernetes
            .get("CronWorkflow", NAMESPACE, "crm")
            .is_some()
    };
    assert!(is_there(&stage), "held");
    let said = replies(&stage, number, 0).concat();
    assert!(said.contains("`@acme/data-platform`"), "{said}");
    assert!(said.contains("CronWorkflow `crm`"), "{said}");
    let at = said.find("/confirm ").expect("the command to copy");
    let at = at + said[at..].rfind("/confirm ").unwrap();
    let command = &said[at..at + "/confirm ".len() + 64];

    let id = comment(&mut stage, number, OWNER, command).await;
    assert_eq!(reactions(&stage, number, id), ["confused"]);
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("is for the owners of the house"), "{said}");
    let other = format!("/confirm {}", "b".repeat(64));
    let id = comment(&mut stage, number, HOUSE, &other).await;
    let said = replies(&stage, number, id).concat();
    assert!(said.contains("has not this digest now"), "{said}");
    assert!(is_there(&stage));

    let id = comment(&mut stage, number, HOUSE, command).await;
    assert_eq!(reactions(&stage, number, id), ["eyes", "rocket"]);
    let said = replies(&stage, number, id).concat();
    assert!(said.contains(": applied: `crm`."), "{said}");
    assert!(!is_there(&stage));
}

#[tokio::test]
async fn help_and_plan() {
    let (mut stage, _) = merged(CRM).await;
    let changes = [Change::write(
        "pipelines/crm.yaml",
        CRM.replace("crm", "sales"),
    )];
    let number = stage
        .github
        .open_pull_request("stranger", "sales", "Sales", &changes)
        .unwrap();
    stage.settle().await.unwrap();
    let id = comment(&mut stage, number, "stranger", "/help\n\n/plan\n").await;
    assert_eq!(reactions(&stage, number, id), ["eyes", "rocket"]);
    let said = replies(&stage, number, id);
    assert_eq!(
        said.len(),
        1,
        "the plan is in the comment that was there: {said:?}"
    );
    assert!(said[0].contains("/status"), "{said:?}");
}

/// Its webhook is lost. The sweep finds it, and does it once.
#[tokio::test]
async fn a_command_that_nobody_was_told_of_is_found() {
    let (mut stage, number) = merged(CRM).await;
    let id = stage.github.comment(number, OWNER, "/help").unwrap();
    stage.github.drop_deliveries();
    stage.settle().await.unwrap();
    assert!(reactions(&stage, number, id).is_empty());
    for _ in 0..2 {
        stage.worker.queue.add(&Event::Sweep);
        stage.settle().await.unwrap();
        assert_eq!(reactions(&stage, number, id), ["rocket"]);
        assert_eq!(replies(&stage, number, id).len(), 1);
    }
}
