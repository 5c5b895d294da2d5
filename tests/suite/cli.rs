//! The program as a person runs it: what it prints, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use git2::{Repository, Signature};
use tempfile::TempDir;

use crate::common::repository;

fn pipewright(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(output: &Output) -> (i32, String, String) {
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        string(&output.stdout),
        string(&output.stderr),
    )
}

/// A folder that holds the example, and whatever else is given.
fn checkout(more: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut files = repository();
    files.extend(
        more.iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    );
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const ARTICLE: &str = "## Required
bq_project_id: some_project
bq_connection_id: some_id
bq_dataset_name: dataplatform_db1_schema1
service_name: some_service
db_catalog_name: db1
db_schema_name: schema1
## Optional
## Table configuration
target_tables:
  - table1
excluded_tables:
  - table2
";

#[test]
fn the_example_is_in_order() {
    let folder = checkout(&[]);
    let expected = (0, "3 pipelines, 0 findings\n".to_owned(), String::new());
    assert_eq!(text(&pipewright(folder.path(), &["validate"])), expected);
}

#[test]
fn the_articles_example_as_printed_is_marked_line_by_line() {
    let folder = checkout(&[("pipelines/db1.yaml", ARTICLE)]);
    let (code, out, _) = text(&pipewright(
        folder.path(),
        &["validate", "pipelines/db1.yaml"],
    ));
    let root = folder.path().canonicalize().unwrap();
    let out = out.replace(root.to_str().unwrap(), "ROOT");
    assert_eq!(
        out,
        "deny[illegal-name]: `some_project` is not a Google Cloud project id: 6 to 30 lowercase letters, digits and hyphens, beginning with a letter, not ending with a hyphen
 --> ROOT/pipelines/db1.yaml:2:16
  |
2 | bq_project_id: some_project
  |                ^^^^^^^^^^^^

deny[both-table-lists]: `target_tables` and `excluded_tables` are both set
  --> ROOT/pipelines/db1.yaml:12:1
   |
12 | excluded_tables:
   | ^^^^^^^^^^^^^^^
   |
   = help: keep `target_tables` to copy only those, or `excluded_tables` to copy all but those; with neither, every table is copied

1 pipeline, 2 findings: 2 deny, 0 warn
"
    );
    assert_eq!(code, 1);
}

#[test]
fn a_rule_of_the_house_lands_on_its_line() {
    let wrong = repository()["pipelines/orders/orders.yaml"].replace("dataplatform_", "");
    let folder = checkout(&[("pipelines/orders/orders.yaml", &wrong)]);
    let (code, out, _) = text(&pipewright(
        folder.path(),
        &["validate", "--format", "json"],
    ));
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(answer["version"], 1);
    assert_eq!(answer["pipelines"], 3);
    assert_eq!(answer["findings"].as_array().unwrap().len(), 1);
    let finding = &answer["findings"][0];
    assert_eq!(finding["rule"], "policy/pipewright.datasets");
    assert_eq!(finding["severity"], "deny");
    assert_eq!(
        (&finding["path"], &finding["span"]["line"]),
        (&"pipelines/orders/orders.yaml".into(), &4.into())
    );
}

#[test]
fn what_can_not_run_says_why_and_exits_2() {
    let empty = tempfile::tempdir().unwrap();
    std::fs::create_dir(empty.path().join("pipelines")).unwrap();
    let (code, out, err) = text(&pipewright(empty.path(), &["validate"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("there are no policies") && err.contains("--policies"),
        "{err}"
    );
    let (code, _, err) = text(&pipewright(empty.path(), &["validate", "nowhere"]));
    assert_eq!(code, 2);
    assert!(err.starts_with("error: there is no nowhere"), "{err}");
    let (code, _, err) = text(&pipewright(empty.path(), &["plan"]));
    assert_eq!(code, 2);
    assert!(err.contains("Git repository"), "{err}");
    let (code, _, err) = text(&pipewright(empty.path(), &["serve"]));
    assert_eq!(code, 2);
    assert!(
        err.contains("--repository: the repository to serve"),
        "{err}"
    );
}

#[test]
fn render_gives_the_same_bytes_and_every_object() {
    let folder = checkout(&[]);
    let run = || text(&pipewright(folder.path(), &["render"]));
    assert_eq!(run(), run());
    let (code, out, err) = run();
    assert_eq!((code, err.as_str()), (0, ""));
    let kinds = |kind: &str| {
        out.lines()
            .filter(|line| *line == format!("kind: {kind}"))
            .count()
    };
    assert_eq!(
        kinds("CronWorkflow"),
        4,
        "three pipelines, one with a second schedule"
    );
    assert_eq!(
        (kinds("Dataset"), kinds("ServiceAccount"), kinds("Role")),
        (3, 4, 1)
    );
    let (_, one, _) = text(&pipewright(
        folder.path(),
        &["render", "--pipeline", "returns", "--format", "json"],
    ));
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["objects"].as_array().unwrap().len(), 11);
}

#[test]
fn a_hostile_file_does_not_steer_the_terminal() {
    let folder = checkout(&[(
        "pipelines/x.yaml",
        "bq_project_id: \"\u{1b}[2J\u{202e}evil\"\n",
    )]);
    let (code, out, _) = text(&pipewright(folder.path(), &["validate"]));
    assert_eq!(code, 1);
    assert!(
        !out.contains('\u{1b}') && !out.contains('\u{202e}'),
        "{out}"
    );
}

fn commit(repository: &Repository, message: &str) {
    let mut index = repository.index().unwrap();
    index
        .add_all(["*"], git2::IndexAddOption::DEFAULT, None)
        .unwrap();
    index.update_all(["*"], None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = Signature::new("a", "a@example.com", &git2::Time::new(0, 0)).unwrap();
    let parent = repository
        .head()
        .ok()
        .map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository
        .commit(Some("HEAD"), &who, &who, message, &tree, &parents)
        .unwrap();
}

#[test]
fn plan_shows_what_a_branch_changes() {
    let folder = checkout(&[]);
    let mut options = git2::RepositoryInitOptions::new();
    let git = Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
    commit(&git, "Begin");
    let path = folder.path().join("pipelines/billing/invoices.yaml");
    let shared =
        repository()["pipelines/billing/invoices.yaml"].replace("group:finance@", "group:audit@");
    std::fs::write(path, shared).unwrap();
    std::fs::remove_file(folder.path().join("pipelines/orders/returns.yaml")).unwrap();
    let (code, out, err) = text(&pipewright(folder.path(), &["plan"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "Compared with Git, as if the base were applied: what exists in the cluster and at Google is not known here.

invoices: changed (pipelines/billing/invoices.yaml)
  + READER for group:audit@acme.example on dataset acme-billing.dataplatform_billing_public
  - READER for group:finance@acme.example on dataset acme-billing.dataplatform_billing_public

returns: removed (pipelines/orders/returns.yaml)
  = dataset acme-orders.dataplatform_orders_returns stays: data is never deleted
  - WRITER for pw-orders-bf46b846@example-identities.iam.gserviceaccount.com on dataset acme-orders.dataplatform_orders_returns
  - CronWorkflow returns

group:audit@acme.example gains: reads dataset acme-billing.dataplatform_billing_public

group:finance@acme.example loses: reads dataset acme-billing.dataplatform_billing_public

pw-orders-bf46b846@example-identities.iam.gserviceaccount.com loses: writes dataset acme-orders.dataplatform_orders_returns

2 pipelines, 0 findings against main
"
    );
    // The same from two commits.
    commit(&git, "Change");
    let (code, committed, _) = text(&pipewright(
        folder.path(),
        &["plan", "--base", "HEAD~1", "--head", "HEAD"],
    ));
    assert_eq!(code, 0);
    assert_eq!(committed.replace("HEAD~1", "main"), out);
}
