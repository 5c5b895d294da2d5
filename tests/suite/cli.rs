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
    assert_eq!(
        out,
        "deny[illegal-name]: `some_project` is not a Google Cloud project id: 6 to 30 lowercase letters, digits and hyphens, beginning with a letter, not ending with a hyphen
 --> pipelines/db1.yaml:2:16
  |
2 | bq_project_id: some_project
  |                ^^^^^^^^^^^^

deny[both-table-lists]: `target_tables` and `excluded_tables` are both set
  --> pipelines/db1.yaml:12:1
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
    assert!(err.contains("name a file or a folder"), "{err}");
    let folder = checkout(&[("pipelines/notes.txt", "hello")]);
    let (code, out, err) = text(&pipewright(
        folder.path(),
        &["validate", "pipelines/notes.txt"],
    ));
    assert_eq!((code, out.as_str()), (2, ""), "nothing was checked: {err}");
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

#[test]
fn a_file_a_folder_and_a_checkout_mean_what_they_hold() {
    let wrong = repository()["pipelines/orders/orders.yaml"].replace("dataplatform_", "");
    let folder = checkout(&[("pipelines/orders/orders.yaml", &wrong)]);
    let last = |from: &str, path: &str| {
        let (code, out, err) = text(&pipewright(&folder.path().join(from), &["validate", path]));
        (code, out.lines().last().unwrap_or(&err).to_owned())
    };
    let denied = |pipelines: &str| (1, format!("{pipelines}, 1 finding: 1 deny, 0 warn"));
    let well = |pipelines: &str| (0, format!("{pipelines}, 0 findings"));
    assert_eq!(last("", "."), denied("3 pipelines"));
    assert_eq!(last("", "pipelines"), denied("3 pipelines"));
    assert_eq!(last("", "pipelines/orders"), denied("2 pipelines"));
    assert_eq!(last("", "pipelines/billing"), well("1 pipeline"));
    assert_eq!(
        last("", "pipelines/orders/returns.yaml"),
        well("1 pipeline")
    );
    assert_eq!(
        last("pipelines/orders", "orders.yaml"),
        denied("1 pipeline")
    );
    assert_eq!(
        last("pipelines/billing", "../orders/"),
        denied("2 pipelines")
    );
}

#[test]
fn one_file_is_checked_among_its_neighbours() {
    let twin = &repository()["pipelines/orders/orders.yaml"];
    let folder = checkout(&[("pipelines/billing/orders.yaml", twin)]);
    for path in ["pipelines/billing/orders.yaml", "pipelines/billing"] {
        let (code, out, _) = text(&pipewright(folder.path(), &["validate", path]));
        assert_eq!(code, 1);
        assert!(out.contains("deny[duplicate-name]"), "{out}");
        assert!(!out.contains("--> pipelines/orders/"), "{out}");
    }
}

#[test]
fn policies_can_stand_elsewhere() {
    let folder = checkout(&[]);
    let elsewhere = checkout(&[]);
    let rule = elsewhere.path().join("policies/datasets.rego");
    std::fs::write(&rule, "package x\n\ndeny contains \"no\" if true\n").unwrap();
    let policies = elsewhere.path().join("policies");
    let policies = policies.to_str().unwrap();
    let (code, out, _) = text(&pipewright(
        folder.path(),
        &["validate", "--policies", policies],
    ));
    assert_eq!(code, 1);
    assert!(
        out.ends_with("3 pipelines, 3 findings: 3 deny, 0 warn\n"),
        "{out}"
    );
    let (code, _, err) = text(&pipewright(
        folder.path(),
        &["validate", "--policies", "policies/estate.yaml"],
    ));
    assert_eq!(code, 2, "a file is no folder of policies");
    assert!(err.contains("--policies names the folder"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_link_is_what_the_bot_would_call_it() {
    let folder = checkout(&[]);
    let link = folder.path().join("pipelines/link.yaml");
    std::os::unix::fs::symlink("orders/orders.yaml", link).unwrap();
    let (code, out, _) = text(&pipewright(
        folder.path(),
        &["validate", "pipelines/link.yaml"],
    ));
    assert_eq!(
        (code, out.as_str()),
        (
            1,
            "deny[file]: the file is a symlink; links are not followed
--> pipelines/link.yaml

1 pipeline, 1 finding: 1 deny, 0 warn
"
        )
    );
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_move_the_mark() {
    let plain = format!(
        "# é\n{}",
        ARTICLE.replace("excluded_tables:\n  - table2\n", "")
    );
    let mut seen = Vec::new();
    for file in [
        plain.clone(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
    ] {
        let folder = checkout(&[("pipelines/db1.yaml", &file)]);
        let (code, out, _) = text(&pipewright(
            folder.path(),
            &["validate", "pipelines/db1.yaml"],
        ));
        assert_eq!(code, 1);
        seen.push(out);
    }
    assert!(
        seen[0].contains("3 | bq_project_id: some_project\n  |                ^^^^^^^^^^^^\n"),
        "{}",
        seen[0]
    );
    assert!(seen.iter().all(|out| *out == seen[0]), "{seen:?}");
}

#[test]
fn what_a_person_typed_does_not_steer_the_terminal_either() {
    let folder = checkout(&[]);
    Repository::init(folder.path()).unwrap();
    for arguments in [["validate", "a\u{1b}[2J"], ["plan", "--base=a\u{9b}2J"]] {
        let (code, _, err) = text(&pipewright(folder.path(), &arguments));
        assert_eq!(code, 2);
        assert!(!err.trim_end().contains(char::is_control), "{err:?}");
    }
}

#[test]
fn an_invisible_name_is_rendered_as_it_is_and_shown_escaped() {
    let returns =
        repository()["pipelines/orders/returns.yaml"].replace("audit_log", "\"audit\\u202Egol\"");
    let folder = checkout(&[("pipelines/orders/returns.yaml", &returns)]);
    for format in ["human", "json"] {
        let (code, out, _) = text(&pipewright(
            folder.path(),
            &["render", "--pipeline", "returns", "--format", format],
        ));
        assert_eq!(code, 0);
        assert!(
            !out.contains('\u{202e}') && out.contains("\\u202e"),
            "{out}"
        );
    }
}

#[test]
fn a_reader_who_leaves_does_not_turn_a_deny_into_a_success() {
    let folder = checkout(&[("pipelines/db1.yaml", ARTICLE)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("validate")
        .current_dir(folder.path())
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn render_prints_what_renders_and_says_on_the_side_what_does_not() {
    let folder = checkout(&[("pipelines/db1.yaml", ARTICLE)]);
    let render = |arguments: &[&str]| {
        text(&pipewright(
            folder.path(),
            &[&["render"], arguments].concat(),
        ))
    };
    let (code, out, err) = render(&[]);
    assert_eq!(code, 1);
    assert!(out.starts_with("---\n") && !out.contains("deny["), "{out}");
    assert!(err.contains("deny[illegal-name]"), "{err}");
    let (code, _, err) = render(&["--pipeline", "orders"]);
    assert_eq!((code, err.as_str()), (0, ""), "a neighbour's mistake");
    let (code, out, err) = render(&["--pipeline", "db1"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("deny[both-table-lists]"), "{err}");
    let (code, _, err) = render(&["pipelines/billing", "--pipeline", "orders"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("no pipeline `orders` in pipelines/billing"),
        "{err}"
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

/// The example on the branch `main`, with this much changed and not committed.
fn branch(change: impl Fn(&Path)) -> (TempDir, Repository) {
    let folder = checkout(&[]);
    let mut options = git2::RepositoryInitOptions::new();
    let git = Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
    commit(&git, "Begin");
    change(folder.path());
    (folder, git)
}

/// Twelve digits each, whichever they are.
fn without_digests(out: &str) -> String {
    let line = |line: &str| match line.split_once(", digest ") {
        Some((before, digest)) => {
            let is_short = digest.len() == 12 && digest.chars().all(|c| c.is_ascii_hexdigit());
            assert!(is_short, "{line}");
            format!("{before}, digest DIGEST\n")
        }
        None => format!("{line}\n"),
    };
    out.lines().map(line).collect()
}

fn rewrite(root: &Path, path: &str, from: &str, to: &str) {
    let before = repository()[path].clone();
    let after = before.replace(from, to);
    assert_ne!(before, after);
    std::fs::write(root.join(path), after).unwrap();
}

#[test]
fn plan_shows_what_a_branch_changes() {
    let (folder, git) = branch(|root| {
        rewrite(
            root,
            "pipelines/billing/invoices.yaml",
            "group:finance@",
            "group:audit@",
        );
        rewrite(
            root,
            "pipelines/orders/orders.yaml",
            "owners:",
            "excluded_tables: [carts]\nschedule: \"0 4 * * *\"\nowners:",
        );
        std::fs::remove_file(root.join("pipelines/orders/returns.yaml")).unwrap();
    });
    let (code, out, err) = text(&pipewright(folder.path(), &["plan"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        without_digests(&out),
        "Compared with Git, as if the base were applied: what exists in the cluster and at Google is not known here.

invoices: changed (pipelines/billing/invoices.yaml), digest DIGEST
  + READER for group:audit@acme.example on dataset acme-billing.dataplatform_billing_public
  - READER for group:finance@acme.example on dataset acme-billing.dataplatform_billing_public

orders: changed (pipelines/orders/orders.yaml), digest DIGEST
  ~ CronWorkflow orders
          failedJobsHistoryLimit: 20
          schedules:
      -   - 47 2 * * *
      +   - 0 4 * * *
          startingDeadlineSeconds: 3600
          successfulJobsHistoryLimit: 20
        ...
                    schema: shop
                    service: orders
      -             tables: all
      +             tables:
      +               except:
      +               - carts
                    version: 1
                - name: PIPEWRIGHT_TABLES

returns: removed (pipelines/orders/returns.yaml), digest DIGEST
  = dataset acme-orders.dataplatform_orders_returns stays: data is never deleted
  - WRITER for pw-orders-bf46b846@example-identities.iam.gserviceaccount.com on dataset acme-orders.dataplatform_orders_returns
  - CronWorkflow returns

gained: group:audit@acme.example reads dataset acme-billing.dataplatform_billing_public
lost: group:finance@acme.example reads dataset acme-billing.dataplatform_billing_public
lost: pw-orders-bf46b846@example-identities.iam.gserviceaccount.com writes dataset acme-orders.dataplatform_orders_returns

3 pipelines, 0 findings against main
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
    // And nothing is left against itself.
    let (code, out, _) = text(&pipewright(folder.path(), &["plan"]));
    assert_eq!(code, 0);
    assert!(
        out.ends_with("not known here.\n\n0 pipelines, 0 findings against main\n"),
        "{out}"
    );
}

#[test]
fn plan_as_json() {
    let (folder, _git) = branch(|root| {
        rewrite(
            root,
            "pipelines/orders/orders.yaml",
            "owners:",
            "schedule: \"0 4 * * *\"\nowners:",
        );
        let new = repository()["pipelines/billing/invoices.yaml"].replace("_public", "_again");
        std::fs::write(root.join("pipelines/billing/again.yaml"), new).unwrap();
    });
    let (code, out, _) = text(&pipewright(folder.path(), &["plan", "--format", "json"]));
    assert_eq!(code, 0);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&answer["version"], &answer["base"]),
        (&1.into(), &"main".into())
    );
    assert_eq!(answer["findings"], serde_json::json!([]));
    assert_eq!(answer["policies_change"], false);
    let orders = &answer["pipelines"]["orders"];
    assert_eq!(orders["intent"], "changed");
    assert_eq!(orders["digest"].as_str().unwrap().len(), 64);
    let changes = orders["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0]["sign"], &changes[0]["object"]),
        (&"~".into(), &"CronWorkflow orders".into())
    );
    let diff = changes[0]["diff"].as_array().unwrap();
    assert!(diff.contains(&"+   - 0 4 * * *".into()), "{diff:?}");
    let again = &answer["pipelines"]["again"];
    assert_eq!(
        (&again["intent"], &again["path"]),
        (&"new".into(), &"pipelines/billing/again.yaml".into())
    );
    assert_eq!(answer["access"][0]["movement"], "gained");
}

#[test]
fn plan_denies_as_the_bot_would_and_says_that_the_bases_policies_hold() {
    let (folder, _git) = branch(|root| {
        rewrite(root, "pipelines/orders/orders.yaml", "dataplatform_", "");
        rewrite(
            root,
            "policies/datasets.rego",
            "not startswith",
            "startswith",
        );
    });
    let (code, out, _) = text(&pipewright(folder.path(), &["plan"]));
    assert_eq!(code, 1, "the base's rule holds");
    assert!(out.contains("4 | bq_dataset_name: orders_shop\n"), "{out}");
    assert!(out.contains("This changes policies/ as well"), "{out}");
    assert!(
        out.ends_with("1 pipeline, 1 finding: 1 deny, 0 warn against main\n"),
        "{out}"
    );
}

#[test]
fn plan_without_a_base_says_what_it_tried() {
    let folder = checkout(&[]);
    let mut options = git2::RepositoryInitOptions::new();
    let git = Repository::init_opts(folder.path(), options.initial_head("trunk")).unwrap();
    commit(&git, "Begin");
    let (code, out, err) = text(&pipewright(folder.path(), &["plan"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("neither origin/HEAD nor main") && err.contains("--base"),
        "{err}"
    );
    let (code, _, err) = text(&pipewright(
        folder.path(),
        &["plan", "--base", "trunk", "--head", "gone"],
    ));
    assert_eq!(code, 2);
    assert!(err.contains("`gone` is not a revision"), "{err}");
}

const NEW_CRM: [&str; 12] = [
    "--folder",
    "billing",
    "--project",
    "acme-billing",
    "--connection",
    "billing-db",
    "--database",
    "billing",
    "--schema",
    "crm",
    "--service",
    "crm",
];

fn new_crm(more: &[&'static str]) -> Vec<&'static str> {
    [&["new", "crm"], NEW_CRM.as_slice(), more].concat()
}

#[test]
fn a_new_pipeline_is_written_once_and_valid() {
    let folder = checkout(&[]);
    let arguments = new_crm(&[
        "--dataset",
        "dataplatform_crm",
        "--except",
        "audit_log,2024",
    ]);
    let (code, out, err) = text(&pipewright(folder.path(), &arguments));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let file = folder.path().join("pipelines/billing/crm.yaml");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        written,
        "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
         bq_dataset_name: dataplatform_crm\nservice_name: crm\ndb_catalog_name: billing\n\
         db_schema_name: crm\nexcluded_tables:\n  - audit_log\n  - \"2024\"\n"
    );
    assert!(out.contains("git add pipelines/billing/crm.yaml"), "{out}");
    assert!(
        out.contains("Who must agree by a review: @acme/billing."),
        "{out}"
    );
    let (code, out, _) = text(&pipewright(folder.path(), &["validate"]));
    assert_eq!(code, 0, "{out}");

    let (code, _, err) = text(&pipewright(folder.path(), &arguments));
    assert_eq!(code, 2);
    assert!(
        err.contains("pipelines/billing/crm.yaml is there already"),
        "{err}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

#[test]
fn a_new_pipeline_with_a_mistake_is_not_written() {
    let folder = checkout(&[]);
    // The example's own rule wants another beginning.
    let (code, out, _) = text(&pipewright(folder.path(), &new_crm(&["--dataset", "crm"])));
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("must begin with `dataplatform_`"), "{out}");
    assert!(out.contains("nothing was written"), "{out}");
    let (code, _, err) = text(&pipewright(folder.path(), &new_crm(&[])));
    assert_eq!(code, 2);
    assert!(err.contains("--dataset is missing"), "{err}");
    let (code, _, err) = text(&pipewright(
        folder.path(),
        &["new", "x", "--folder", "../.."],
    ));
    assert_eq!(code, 2);
    assert!(err.contains("a folder below pipelines/"), "{err}");
    assert!(!folder.path().join("pipelines/billing/crm.yaml").exists());
}
