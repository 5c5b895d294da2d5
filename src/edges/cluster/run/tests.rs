//! Runs, on the simulated server with its simulated Argo.

use super::super::testing::{cron_workflow, simulated};
use super::super::{Deleted, Kubeconfig, Wait};
use super::*;
use crate::plan::steps::Force;
use crate::sandbox::kubernetes::{Ending, Kubernetes, Tick};
use crate::sandbox::server::Fault;

fn now() -> Timestamp {
    "2026-03-01T12:00:00.987Z".parse().unwrap()
}

fn none() -> BTreeSet<PgName> {
    BTreeSet::new()
}

fn labels(kubernetes: &Kubernetes, name: &str) -> Value {
    kubernetes.get("Workflow", "data", name).unwrap()["metadata"]["labels"].clone()
}

#[tokio::test]
async fn a_run_by_hand_is_what_argo_itself_would_make() {
    let (cluster, kubernetes) = simulated().await;
    kubernetes.put(cron_workflow("orders")).unwrap();
    let tables: BTreeSet<PgName> = ["a,b".parse().unwrap(), "{{x".parse().unwrap()].into();
    let made = cluster.submit("orders", "orders-rerun-7-1", &tables, now());
    assert_eq!(made.await.unwrap(), Submitted::Made);
    let Tick::Began(ticked) = kubernetes.argo_tick("data", "orders").unwrap() else {
        panic!("the status does not list the run yet, so Forbid does not see it");
    };
    let mut by_hand = kubernetes
        .get("Workflow", "data", "orders-rerun-7-1")
        .unwrap();
    assert_eq!(
        by_hand["spec"]["arguments"]["parameters"],
        json!([
            {"name": "other", "value": "x"},
            {"name": "tables", "value": r#"["a,b","\u007b\u007bx"]"#},
        ])
    );
    assert_eq!(
        by_hand["metadata"]["annotations"],
        json!({"a": "b", "workflows.argoproj.io/scheduled-time": "2026-03-01T12:00:00Z"})
    );
    by_hand["spec"]["arguments"]["parameters"][1]["value"] = json!("");
    let ticked = kubernetes.get("Workflow", "data", &ticked).unwrap();
    assert_eq!(by_hand["spec"], ticked["spec"]);
    let owners = &by_hand["metadata"]["ownerReferences"];
    assert_eq!(owners, &ticked["metadata"]["ownerReferences"]);
    assert_eq!(owners[0]["controller"], true);
    assert_eq!(
        by_hand["metadata"]["labels"],
        json!({
            "pipewright.dev/pipeline": "orders",
            "workflows.argoproj.io/cron-workflow": "orders",
        })
    );
}

#[tokio::test]
async fn the_same_wish_makes_one_run_and_a_name_of_anothers_is_refused() {
    let (cluster, kubernetes) = simulated().await;
    kubernetes.put(cron_workflow("orders")).unwrap();
    kubernetes.put(cron_workflow("stock")).unwrap();
    let all = none();
    kubernetes.wire().fail_with(|method, _| {
        (method.as_str() == "POST")
            .then(|| Fault::LoseAnswer(http::StatusCode::BAD_GATEWAY, json!({}).to_string()))
    });
    let lost = cluster.submit("orders", "a", &all, now()).await;
    assert!(lost.unwrap_err().is_transient());
    kubernetes.wire().heal();
    let again = cluster.submit("orders", "a", &all, now()).await;
    assert_eq!(again.unwrap(), Submitted::AlreadyThere);
    let others = cluster.submit("stock", "a", &all, now()).await;
    assert!(
        matches!(others, Err(ClusterError::Taken { .. })),
        "{others:?}"
    );
    assert_eq!(cluster.runs("orders").await.unwrap().len(), 1);
    assert_eq!(cluster.runs("stock").await.unwrap(), []);

    let mut foreign = cron_workflow("foreign");
    foreign["metadata"]["labels"] = json!({});
    kubernetes.put(foreign).unwrap();
    let refused = cluster.submit("foreign", "b", &all, now()).await;
    assert!(matches!(refused, Err(ClusterError::NotOurs { .. })));
    let missing = cluster.submit("gone", "b", &all, now()).await;
    assert!(matches!(missing, Err(ClusterError::NotFound { .. })));
}

#[tokio::test]
async fn tables_that_the_schedule_can_not_take_are_not_forgotten() {
    let (cluster, kubernetes) = simulated().await;
    let mut old = cron_workflow("orders");
    old["spec"]["workflowSpec"]["arguments"] = json!({});
    kubernetes.put(old).unwrap();
    let some: BTreeSet<PgName> = ["a".parse().unwrap()].into();
    let error = cluster.submit("orders", "a", &some, now()).await;
    assert!(matches!(error, Err(ClusterError::Invalid { .. })));
    assert_eq!(cluster.active("orders").await.unwrap(), [""; 0]);
    let all = cluster.submit("orders", "a", &none(), now()).await;
    assert_eq!(all.unwrap(), Submitted::Made);
}

#[tokio::test]
async fn a_run_is_followed_to_its_end() {
    let (cluster, kubernetes) = simulated().await;
    kubernetes.put(cron_workflow("orders")).unwrap();
    let Tick::Began(first) = kubernetes.argo_tick("data", "orders").unwrap() else {
        panic!("nothing is active");
    };
    cluster
        .submit("orders", "again", &none(), now())
        .await
        .unwrap();
    let again = async || cluster.run("again").await.unwrap().unwrap();
    assert_eq!(again().await.phase, Phase::Pending);
    assert_eq!(
        cluster.active("orders").await.unwrap(),
        [first.as_str(), "again"]
    );

    assert_eq!(kubernetes.argo_step().unwrap(), 0, "the mutex is held");
    let waiting = again().await;
    assert_eq!(waiting.phase, Phase::Pending);
    assert!(waiting.message.unwrap().contains("Mutex/pipewright-orders"));
    let cron = kubernetes.get("CronWorkflow", "data", "orders").unwrap();
    assert_eq!(cron["status"]["active"].as_array().unwrap().len(), 2);
    assert_eq!(
        kubernetes.argo_tick("data", "orders").unwrap(),
        Tick::Skipped("a run is active")
    );

    kubernetes
        .finish_run("data", &first, Ending::Succeeded, "", None)
        .unwrap();
    let version = |name: &str| kubernetes.get("Workflow", "data", name).unwrap();
    assert_eq!(kubernetes.argo_step().unwrap(), 1);
    let settled = version("again");
    assert_eq!(kubernetes.argo_step().unwrap(), 0);
    assert_eq!(
        version("again"),
        settled,
        "nothing to do is nothing written"
    );
    assert_eq!(again().await.phase, Phase::Running);
    assert_eq!(
        labels(&kubernetes, "again")["workflows.argoproj.io/phase"],
        "Running"
    );
    let report = format!(
        "{{\"rows\": 1, \"more\": \"{}\"}}",
        "é".repeat(LONGEST_REPORT)
    );
    kubernetes
        .finish_run(
            "data",
            "again",
            Ending::Failed,
            "main: exit code 2",
            Some(&report),
        )
        .unwrap();
    let ended = again().await;
    assert_eq!(
        (ended.phase, ended.message.as_deref(), ended.cron.as_str()),
        (Phase::Failed, Some("main: exit code 2"), "orders")
    );
    assert!(ended.started_at < ended.finished_at);
    let kept = ended.report.unwrap();
    assert!(report.starts_with(&kept) && kept.len() > LONGEST_REPORT - 2);
    assert_eq!(kept.len().max(LONGEST_REPORT), LONGEST_REPORT);
    assert_eq!(cluster.active("orders").await.unwrap(), [""; 0]);
    let cron = kubernetes.get("CronWorkflow", "data", "orders").unwrap();
    assert_eq!(cron["status"]["active"], json!([]));
    assert_eq!(cluster.run(&first).await.unwrap().unwrap().report, None);
}

#[tokio::test]
async fn history_forgets_the_oldest_and_a_deletion_waits_for_all() {
    let (cluster, kubernetes) = simulated().await;
    let manifest = cron_workflow("orders").into();
    let applied = cluster.apply(Kind::CronWorkflow, "orders", &manifest, &Force::No);
    applied.await.unwrap();
    for n in 0..6 {
        let name = format!("r{n}");
        cluster
            .submit("orders", &name, &none(), now())
            .await
            .unwrap();
        kubernetes.argo_step().unwrap();
        let ending = [Ending::Succeeded, Ending::Error][n % 2];
        kubernetes
            .finish_run("data", &name, ending, "", None)
            .unwrap();
    }
    let runs = cluster.runs("orders").await.unwrap();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["r2", "r3", "r4", "r5"]);
    assert_eq!(runs[1].phase, Phase::Error);

    cluster
        .submit("orders", "last", &none(), now())
        .await
        .unwrap();
    let cron = Kind::CronWorkflow;
    let waiting = Deleted::Waiting(Wait {
        why: "run last is active".to_owned(),
        since: None,
    });
    assert_eq!(cluster.delete(cron, "orders").await.unwrap(), waiting);
    kubernetes
        .finish_run("data", "last", Ending::Succeeded, "", None)
        .unwrap();
    assert_eq!(cluster.delete(cron, "orders").await.unwrap(), Deleted::Gone);
    assert_eq!(cluster.runs("orders").await.unwrap(), []);
}

#[test]
fn a_phase_that_is_new_to_us_is_unfinished_and_shown_safely() {
    for text in ["", "Pending", "Running", "Resting\u{1b}[31m"] {
        assert!(!Phase::read(text).is_final(), "{text:?}");
    }
    assert_eq!(
        Phase::read("Resting\u{1b}[31m"),
        Phase::Unknown("Resting [31m".to_owned())
    );
}

#[tokio::test]
async fn many_runs_come_in_pages() {
    let (cluster, kubernetes) = simulated().await;
    let workflow = |n: usize| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": format!("r{n}"), "namespace": "data",
                         "labels": {CRON_LABEL: "orders"}},
            "spec": {}, "status": {"phase": "Running", "nodes": {format!("r{n}"): {
                "outputs": {"parameters": [{"name": "report", "value": "of the node"}]}}}},
        })
    };
    let many = 2 * PAGE as usize + 1;
    for n in 0..many {
        kubernetes.put(workflow(n)).unwrap();
    }
    let runs = cluster.runs("orders").await.unwrap();
    assert_eq!(runs.len(), many);
    assert_eq!(
        runs[many - 1].name,
        format!("r{}", many - 1),
        "by age, not by name"
    );
    assert_eq!(runs[0].report.as_deref(), Some("of the node"));
    let again = Cluster::connect(Kubeconfig::Text(kubernetes.kubeconfig()), "data").await;
    assert_eq!(again.unwrap().active("orders").await.unwrap().len(), many);
}
