//! Dialogues: the real bot among the simulators. Somebody does something, the bot works,
//! and the world is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::{NAMESPACE, Stage};
use pipewright::shell::worker::Stepped;
use serde_json::Value;

use crate::common::{repository, tree_of};

async fn stage() -> Stage {
    let mut stage = Stage::set(
        &tree_of(&repository()),
        Clock::stepped(Timestamp::UNIX_EPOCH),
    )
    .await
    .unwrap();
    stage.github.add_user("stranger", Permission::Write);
    stage.settle().await.unwrap();
    stage
}

fn crm(project: &str, connection: &str, database: &str) -> String {
    format!(
        "bq_project_id: {project}\nbq_connection_id: {connection}\nbq_dataset_name: dataplatform_crm\n\
         service_name: crm\ndb_catalog_name: {database}\ndb_schema_name: crm\n"
    )
}

fn billing_crm() -> Change {
    Change::write(
        "pipelines/crm.yaml",
        crm("acme-billing", "billing-db", "billing"),
    )
}

fn bot_comments(stage: &Stage, number: u64) -> Vec<String> {
    let all = stage.github.comments(number).into_iter();
    all.filter(|comment| comment.login.ends_with("[bot]"))
        .map(|comment| comment.body)
        .collect()
}

fn conclusion(stage: &Stage, sha: &str) -> Option<String> {
    let runs = stage.github.check_runs(sha);
    runs.into_iter()
        .max_by_key(|run| run.id)
        .and_then(|run| run.conclusion)
}

fn cron(stage: &Stage, name: &str) -> Option<Value> {
    stage.kubernetes.get("CronWorkflow", NAMESPACE, name)
}

fn writes(stage: &Stage) -> usize {
    stage.kubernetes.wire().writes() + stage.google.wire().writes_to(":setIamPolicy")
}

#[tokio::test]
async fn one_is_held_the_other_applied_and_then_the_owner_comes_round() {
    let mut stage = stage().await;
    let orders = repository()["pipelines/orders/orders.yaml"].clone() + "suspend: true\n";
    let a = stage
        .github
        .open_pull_request(
            "stranger",
            "a",
            "A",
            &[Change::write("pipelines/orders/orders.yaml", &orders)],
        )
        .unwrap();
    let b = stage
        .github
        .open_pull_request("stranger", "b", "B", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    stage.github.merge(a, "stranger").unwrap();
    stage.settle().await.unwrap();
    stage
        .github
        .review(b, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.github.merge(b, "stranger").unwrap();
    stage.settle().await.unwrap();
    assert!(cron(&stage, "crm").is_some(), "B is applied");
    assert!(cron(&stage, "orders").is_none(), "A is held");
    let said = bot_comments(&stage, a).concat();
    assert!(
        said.contains("acme/orders"),
        "A says who is missing: {said}"
    );
    // The owner of another project can not help.
    stage
        .github
        .review(a, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    assert!(cron(&stage, "orders").is_none());
    stage
        .github
        .review(a, "lead-of-orders", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    assert_eq!(cron(&stage, "orders").unwrap()["spec"]["suspend"], true);
    assert!(
        cron(&stage, "returns").is_none(),
        "what nobody reviewed stays as it is"
    );
    assert_eq!(
        (bot_comments(&stage, a).len(), bot_comments(&stage, b).len()),
        (1, 1)
    );
}

#[tokio::test]
async fn an_owners_branch_that_somebody_else_pushed_to_needs_a_review() {
    let mut stage = stage().await;
    let orders = repository()["pipelines/orders/orders.yaml"].clone();
    let change = |more: &str| Change::write("pipelines/orders/orders.yaml", orders.clone() + more);
    let open = |stage: &Stage, branch: &str, more: &str| {
        let changes = [change(more)];
        let opened = stage
            .github
            .open_pull_request("lead-of-orders", branch, "Orders", &changes);
        opened.unwrap()
    };
    let own = open(&stage, "own", "suspend: true\n");
    stage.settle().await.unwrap();
    stage.github.merge(own, "stranger").unwrap();
    stage.github.delete_branch("own", "stranger").unwrap();
    stage.settle().await.unwrap();
    let suspended = |stage: &Stage| cron(stage, "orders").unwrap()["spec"]["suspend"].clone();
    assert_eq!(suspended(&stage), true, "the owner's own work");

    let mixed = open(
        &stage,
        "mixed",
        "suspend: true\nowners: [\"@acme/orders\"]\n",
    );
    stage
        .github
        .push(mixed, "stranger", &[change("suspend: false\n")])
        .unwrap();
    stage.settle().await.unwrap();
    stage.github.merge(mixed, "lead-of-orders").unwrap();
    stage.settle().await.unwrap();
    assert_eq!(suspended(&stage), true, "the stranger's push is held");
    let said = bot_comments(&stage, mixed).concat();
    assert!(said.contains("acme/orders"), "{said}");

    stage.github.add_user("olga", Permission::Write);
    let team = ["lead-of-orders", "olga"];
    stage.github.add_team("acme", "orders", &team);
    stage
        .github
        .review(mixed, "olga", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    assert_ne!(suspended(&stage), true, "somebody of the team has seen it");
}

#[tokio::test]
async fn an_approval_does_not_move_to_a_plan_that_came_later() {
    let mut stage = stage().await;
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    stage
        .github
        .review(number, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    // The rules change under it: every run gets another deadline.
    let defaults = repository()["policies/defaults.yaml"].replace("run_hours: 6", "run_hours: 3");
    stage
        .github
        .push_to_default(
            "lead-of-data-platform",
            "Shorter runs",
            &[Change::write("policies/defaults.yaml", &defaults)],
        )
        .unwrap();
    stage.settle().await.unwrap();
    // The plan is shown again at the same head, as something else.
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    assert!(
        cron(&stage, "crm").is_none(),
        "{}",
        bot_comments(&stage, number).concat()
    );
    stage
        .github
        .review(number, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    assert!(
        cron(&stage, "crm").is_some(),
        "{}",
        bot_comments(&stage, number).concat()
    );
}

#[tokio::test]
async fn nothing_to_do_is_a_green_check_and_no_comment() {
    let mut stage = stage().await;
    let readme = Change::write("README.md", "hello");
    let number = stage
        .github
        .open_pull_request("stranger", "docs", "Docs", &[readme])
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    assert_eq!(conclusion(&stage, &head).as_deref(), Some("success"));
    assert_eq!(bot_comments(&stage, number), Vec::<String>::new());
}

#[tokio::test]
async fn a_conflict_and_its_resolution() {
    let mut stage = stage().await;
    let path = "pipelines/orders/orders.yaml";
    let text = repository()[path].clone();
    let ours = Change::write(
        path,
        text.replace("service_name: orders", "service_name: shop"),
    );
    let theirs = Change::write(
        path,
        text.replace("service_name: orders", "service_name: store"),
    );
    let number = stage
        .github
        .open_pull_request("stranger", "ours", "Ours", &[ours])
        .unwrap();
    stage
        .github
        .push_to_default("lead-of-orders", "Theirs", &[theirs])
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    assert_eq!(conclusion(&stage, &head).as_deref(), Some("failure"));
    let said = bot_comments(&stage, number).concat();
    assert!(said.contains(path), "{said}");
}

#[tokio::test]
async fn the_merge_queue_gets_its_check() {
    let mut stage = stage().await;
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    let group = stage.github.queue_merge_group(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    assert_eq!(conclusion(&stage, &group).as_deref(), Some("success"));
}

#[tokio::test]
async fn data_from_a_fork_is_only_data() {
    let mut stage = stage().await;
    let link = Change::symlink("pipelines/passwd.yaml", "/etc/passwd");
    let number = stage
        .github
        .open_fork_pull_request("stranger", "link", "Link", &[link])
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    assert_eq!(conclusion(&stage, &head).as_deref(), Some("failure"));
    assert!(!bot_comments(&stage, number).concat().contains("root:"));
}

#[tokio::test]
async fn a_pull_request_can_not_loosen_the_rules_it_is_checked_by() {
    let mut stage = stage().await;
    let estate = repository()["policies/estate.yaml"].replace("@acme/billing", "@stranger");
    let changes = [
        Change::write("policies/estate.yaml", &estate),
        Change::remove("policies/datasets.rego"),
        Change::write(
            "pipelines/crm.yaml",
            crm("acme-billing", "billing-db", "billing").replace("dataplatform_crm", "mine"),
        ),
    ];
    let number = stage
        .github
        .open_pull_request("stranger", "coup", "Coup", &changes)
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    assert_eq!(conclusion(&stage, &head).as_deref(), Some("failure"));
    let before = writes(&stage);
    stage.github.merge(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    // After the merge the new rules hold, and the digest is another: nobody reviewed it.
    assert_eq!(writes(&stage), before);
}

#[tokio::test]
async fn broken_policies_hold_everything_up_and_are_found_on_the_pull_request() {
    let mut stage = stage().await;
    let broken = Change::write(
        "policies/estate.yaml",
        "owners: ['@acme/data-platform']\nprojects: {acme-orders: {}}\n",
    );
    let number = stage
        .github
        .open_pull_request("stranger", "broken", "Broken", &[broken])
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    let run = stage
        .github
        .check_runs(&head)
        .into_iter()
        .max_by_key(|run| run.id)
        .unwrap();
    assert_eq!(run.conclusion.as_deref(), Some("failure"));
    assert_eq!(run.annotations[0]["path"], "policies/estate.yaml");
    assert_eq!(run.annotations[0]["start_line"], 2);
}

#[tokio::test]
async fn lost_and_doubled_webhooks_cost_time_only() {
    let mut stage = stage().await;
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.github.drop_deliveries();
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    assert_eq!(bot_comments(&stage, number).len(), 1);
    stage
        .github
        .review(number, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.github.drop_deliveries();
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    assert!(cron(&stage, "crm").is_some());
    let before = writes(&stage);
    let change = Change::write("pipelines/note.txt", "x");
    stage
        .github
        .push_to_default("stranger", "Note", &[change])
        .unwrap();
    for delivery in stage.github.take_deliveries() {
        for _ in 0..3 {
            assert_eq!(stage.github.send(&delivery).await.unwrap(), 202);
        }
    }
    stage.settle().await.unwrap();
    assert_eq!(writes(&stage), before);
    assert_eq!(bot_comments(&stage, number).len(), 1);
}

#[tokio::test]
async fn a_refused_grant_takes_along_only_what_needs_it_and_is_made_up_for() {
    let mut stage = stage().await;
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    stage
        .github
        .review(number, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.settle().await.unwrap();
    stage.google.wire().fail_with(|_, uri| {
        uri.path().ends_with("connections/billing-db:setIamPolicy").then(|| {
            let body = r#"{"error":{"code":403,"message":"no permission to set the policy","status":"PERMISSION_DENIED"}}"#;
            Fault::Refuse(http::StatusCode::FORBIDDEN, body.into())
        })
    });
    stage.github.merge(number, "stranger").unwrap();
    let error = stage.settle().await.unwrap_err();
    assert!(
        format!("{error:#}").contains("not finished: crm"),
        "{error:#}"
    );
    let said = bot_comments(&stage, number).concat();
    assert!(said.contains("no permission to set the policy"), "{said}");
    assert!(
        cron(&stage, "crm").is_none(),
        "a schedule that could only fail is not made"
    );
    assert!(
        stage
            .google
            .dataset("acme-billing", "dataplatform_crm")
            .is_some()
    );

    stage.google.wire().heal();
    assert!(
        matches!(stage.step().await, Stepped::Idle),
        "it waits before it tries again"
    );
    stage
        .worker
        .clock
        .advance(std::time::Duration::from_secs(600));
    stage.settle().await.unwrap();
    assert!(cron(&stage, "crm").is_some());
    assert!(
        !bot_comments(&stage, number)
            .concat()
            .contains("no permission")
    );
}

#[tokio::test]
async fn a_connection_that_leads_elsewhere_is_denied() {
    let mut stage = stage().await;
    stage
        .google
        .repoint_connection("acme-billing", "asia-northeast1", "billing-db", "payroll");
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    let head = stage.github.pull_request(number).unwrap().head_sha;
    let run = stage
        .github
        .check_runs(&head)
        .into_iter()
        .max_by_key(|run| run.id)
        .unwrap();
    assert_eq!(run.conclusion.as_deref(), Some("failure"));
    assert_eq!(run.annotations[0]["start_line"], 5, "{:?}", run.annotations);
}

#[tokio::test]
async fn drift_is_mended_towards_what_was_applied() {
    let mut stage = stage().await;
    let number = stage
        .github
        .open_pull_request("stranger", "crm", "CRM", &[billing_crm()])
        .unwrap();
    stage.settle().await.unwrap();
    stage
        .github
        .review(number, "lead-of-billing", ReviewState::Approved)
        .unwrap();
    stage.github.merge(number, "stranger").unwrap();
    stage.settle().await.unwrap();
    let applied = cron(&stage, "crm").unwrap();
    let mut edited = applied.clone();
    edited["spec"]["schedules"] = serde_json::json!(["* * * * *"]);
    stage.kubernetes.put(edited).unwrap();
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    assert_eq!(
        cron(&stage, "crm").unwrap()["spec"]["schedules"],
        applied["spec"]["schedules"]
    );
    // A person who suspends it keeps it suspended: that field is not ours.
    let mut suspended = cron(&stage, "crm").unwrap();
    suspended["spec"]["suspend"] = true.into();
    stage.kubernetes.put(suspended).unwrap();
    let before = writes(&stage);
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
    assert_eq!(writes(&stage), before);
    assert_eq!(cron(&stage, "crm").unwrap()["spec"]["suspend"], true);
}

/// A hand's edit stays in nobody's way, whether or not a sweep came before the merge.
#[tokio::test]
async fn drift_is_mended_by_the_change_that_meets_it() {
    let mut stage = stage().await;
    let opened = |stage: &Stage, branch: &str, change: Change| {
        let author = "lead-of-billing";
        let github = &stage.github;
        github
            .open_pull_request(author, branch, branch, &[change])
            .unwrap()
    };
    let number = opened(&stage, "crm", billing_crm());
    stage.settle().await.unwrap();
    stage.github.merge(number, "lead-of-billing").unwrap();
    stage.settle().await.unwrap();
    let applied = cron(&stage, "crm").unwrap();
    let text = stage.github.file("main", "pipelines/crm.yaml").unwrap();
    let change = Change::write(
        "pipelines/crm.yaml",
        text + "tables: {a: {schedule: '@hourly'}}\n",
    );
    let number = opened(&stage, "change", change);
    stage.settle().await.unwrap();
    let mut edited = applied.clone();
    edited["spec"]["schedules"] = serde_json::json!(["* * * * *"]);
    stage.kubernetes.put(edited).unwrap();
    stage.github.merge(number, "lead-of-billing").unwrap();
    stage.settle().await.unwrap();
    let schedules = &cron(&stage, "crm").unwrap()["spec"]["schedules"];
    assert_eq!(schedules, &applied["spec"]["schedules"]);
    let said = stage.github.comments(number);
    let said = &said.last().unwrap().body;
    assert!(
        said.contains("### Applied: 1 pipeline, 1 applied"),
        "{said}"
    );
}

#[tokio::test]
async fn two_clones_in_two_orders_plan_the_same_bytes() {
    let files = repository();
    let mut digests: Vec<BTreeMap<String, String>> = Vec::new();
    for order in 0..2 {
        let mut stage = stage().await;
        let mut changes: Vec<Change> = files
            .iter()
            .filter(|(path, _)| path.starts_with("pipelines/"))
            .map(|(path, text)| Change::write(path, &(text.clone() + "description: again\n")))
            .collect();
        if order == 1 {
            changes.reverse();
        }
        let number = stage
            .github
            .open_pull_request("stranger", "all", "All", &changes)
            .unwrap();
        stage.settle().await.unwrap();
        let head = stage.github.pull_request(number).unwrap().head_sha;
        let run = stage
            .github
            .check_runs(&head)
            .into_iter()
            .max_by_key(|run| run.id)
            .unwrap();
        let comment = bot_comments(&stage, number)
            .concat()
            .replace(&head[..8], "");
        digests.push(
            [
                ("comment".into(), comment),
                ("check".into(), run.text.unwrap()),
            ]
            .into(),
        );
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn what_somebody_deletes_is_waited_for_and_not_for_ever() {
    let clock = Clock::stepped("2026-06-01T10:00:00Z".parse().unwrap());
    let mut stage = Stage::set(&tree_of(&repository()), clock.clone())
        .await
        .unwrap();
    stage.settle().await.unwrap();
    let opened = stage
        .github
        .open_pull_request("lead-of-billing", "crm", "CRM", &[billing_crm()]);
    let number = opened.unwrap();
    stage.settle().await.unwrap();
    stage.github.merge(number, "lead-of-billing").unwrap();
    stage.settle().await.unwrap();
    let first = cron(&stage, "crm").unwrap();

    // A finalizer keeps what somebody deletes.
    let mut kept = first.clone();
    kept["metadata"]["finalizers"] = serde_json::json!(["example.com/keep"]);
    stage.kubernetes.put(kept).unwrap();
    stage
        .kubernetes
        .delete("CronWorkflow", NAMESPACE, "crm")
        .unwrap();
    let leaving = cron(&stage, "crm").unwrap();
    assert!(leaving.pointer("/metadata/deletionTimestamp").is_some());
    let swept = async |stage: &mut Stage| {
        stage.worker.queue.add(&Event::Sweep);
        // What waits or has failed fails the run, which is tried again later.
        let is_done = stage.settle().await.is_ok();
        assert_eq!(is_done, cron(stage, "crm").as_ref() != Some(&leaving));
        stage.github.comments(number).last().unwrap().body.clone()
    };
    let said = swept(&mut stage).await;
    let waits = "**waits:** replace CronWorkflow `crm`: it is kept by `example.com/keep` since";
    assert!(said.contains(waits), "{said}");
    assert_eq!(cron(&stage, "crm").unwrap(), leaving, "it was written to");

    clock.advance(Duration::from_secs(601));
    let said = swept(&mut stage).await;
    assert!(said.contains("**failed:** replace CronWorkflow"), "{said}");
    assert!(said.contains("`kubectl edit cronworkflow crm`"), "{said}");
    assert_eq!(cron(&stage, "crm").unwrap(), leaving, "it was written to");

    // Once it is let go, it is made again.
    let mut free = leaving.clone();
    free["metadata"]["finalizers"] = serde_json::json!([]);
    stage.kubernetes.put(free).unwrap();
    assert_eq!(cron(&stage, "crm"), None);
    let said = swept(&mut stage).await;
    assert!(said.contains("**mended**"), "{said}");
    let again = cron(&stage, "crm").unwrap();
    assert_eq!(again["spec"], first["spec"]);
    assert_ne!(again["metadata"]["uid"], first["metadata"]["uid"]);
}
