//! The runner as its pod starts it: a process of its own, told by the environment that the
//! rendered CronWorkflow carries. Whole runs are played in `src/shell/runner/tests`.

use std::path::Path;
use std::process::{Command, Output};

use pipewright::object::{Kind, Object, ObjectKey};
use pipewright::proposal::propose;
use pipewright::sandbox::google::{Google, Options};
use pipewright::sync::RunReport;

use crate::common::{house, repository, snapshot_of};

const TOKEN: &str = "ya29.a-token";

/// What the container of the example's pipeline `orders` is given, with Argo's templates
/// filled in.
fn environment() -> Vec<(String, String)> {
    let proposal = propose(&snapshot_of(&repository()), &house());
    let name: pipewright::name::PipelineName = "orders".parse().unwrap();
    let key = ObjectKey::Kubernetes {
        kind: Kind::CronWorkflow,
        name: "orders".to_owned(),
    };
    let Object::Kubernetes(cron) = &proposal.desired.pipelines[&name].objects[&key] else {
        panic!("a CronWorkflow is of Kubernetes");
    };
    let cron = cron.value();
    let variables = &cron["spec"]["workflowSpec"]["templates"][0]["container"]["env"];
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let variables = variables.as_array().unwrap().iter().map(|variable| {
        let value = text(&variable["value"])
            .replace("{{workflow.uid}}", "0b7ad3f0-0000-4000-8000-000000000001")
            .replace("{{workflow.parameters.tables}}", "");
        assert!(!value.contains("{{"), "{value}");
        (text(&variable["name"]), value)
    });
    variables.collect()
}

fn sync(folder: &Path, arguments: &[&str], environment: &[(String, String)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("sync")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PIPEWRIGHT_GOOGLE_TOKEN", TOKEN)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_compares_the_connection_leaves_its_report_and_tells_argo_not_to_try_again() {
    let google = Google::start(Options {
        token: TOKEN.to_owned(),
        projects: vec!["acme-orders".to_owned()],
        ..Options::default()
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut environment = environment();
    let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "PIPEWRIGHT_RUN_SPEC",
        "PIPEWRIGHT_TABLES",
        "PIPEWRIGHT_RUN_UID",
    ];
    assert_eq!(names, expected);
    environment.extend(
        [
            ("PIPEWRIGHT_BIGQUERY_URL", google.url()),
            ("PIPEWRIGHT_BIGQUERY_CONNECTION_URL", google.url()),
            ("PIPEWRIGHT_REPORT", report.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let spec: serde_json::Value = serde_json::from_str(&environment[0].1).unwrap();
    let connection: Vec<&str> = spec["connection"].as_str().unwrap().split('/').collect();
    let instance = spec["instance"].as_str().unwrap();
    google.add_connection(
        connection[1],
        connection[3],
        connection[5],
        instance,
        "payroll",
    );
    let output = tokio::task::spawn_blocking({
        let folder = folder.path().to_owned();
        move || sync(&folder, &[], &environment)
    })
    .await
    .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let report = RunReport::from_json(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert!(
        report.message.contains("leads to the database `payroll`"),
        "{report:?}"
    );
    assert!(!said(&output).contains(TOKEN));
    // The connection, and nothing behind it.
    assert_eq!(google.wire().traffic().len(), 1);
}

#[test]
fn what_can_not_be_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in repository() {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let nothing = sync(folder.path(), &[], &[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        said(&nothing).contains("name a pipeline with --file"),
        "{}",
        said(&nothing)
    );
    let spec = |text: &str| vec![("PIPEWRIGHT_RUN_SPEC".to_owned(), text.to_owned())];
    let newer = sync(folder.path(), &[], &spec(r#"{"version":2}"#));
    assert_eq!(newer.status.code(), Some(2));
    assert!(said(&newer).contains("has version 2"), "{}", said(&newer));

    let several = sync(folder.path(), &["--file", "pipelines"], &[]);
    assert_eq!(several.status.code(), Some(2));
    assert!(
        said(&several).contains("several pipelines"),
        "{}",
        said(&several)
    );

    let file = folder.path().join("pipelines/orders/orders.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "tabels: 1\n").unwrap();
    let denied = sync(
        folder.path(),
        &["--file", "pipelines/orders/orders.yaml"],
        &[],
    );
    assert_eq!(denied.status.code(), Some(1));
    assert!(
        said(&denied).contains("deny[unknown-key]"),
        "{}",
        said(&denied)
    );
}
