//! Crashes: the bot dies at every write of a story, before or after its effect, and another
//! one takes its place. The end is the undisturbed one: nothing lost, nothing twice.
//!
//! A death is what the world sees of one: from that moment on every request of the bot
//! fails. Its successor knows only what stands in the world.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::server::Fault;
use pipewright::sandbox::stage::Stage;
use serde_json::Value;

use crate::common::{repository, tree_of};

/// When the bot dies, counted in writes over all systems.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Never,
    Before(usize),
    After(usize),
}

const CRM: &str = "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
bq_dataset_name: dataplatform_crm\nservice_name: crm\ndb_catalog_name: billing\ndb_schema_name: crm\n";

/// What people do, one pull request after the other: opened, approved, merged.
fn stories() -> Vec<(&'static str, Vec<Vec<Change>>)> {
    let path = "pipelines/crm.yaml";
    let add = || vec![Change::write(path, CRM)];
    let scheduled = || {
        format!("{CRM}readers: ['group:bi@acme.example']\ntables: {{a: {{schedule: '@hourly'}}}}\n")
    };
    vec![
        ("a pipeline is added", vec![add()]),
        (
            "it changes who reads it, and its schedules",
            vec![
                vec![Change::write(path, scheduled())],
                vec![Change::write(
                    path,
                    CRM.to_owned() + "readers: ['group:audit@acme.example']\n",
                )],
            ],
        ),
        ("it is removed", vec![add(), vec![Change::remove(path)]]),
        (
            "it is renamed",
            vec![
                add(),
                vec![
                    Change::remove(path),
                    Change::write("pipelines/crm2.yaml", CRM.to_owned() + "previously: crm\n"),
                ],
            ],
        ),
        (
            "a typing error is merged, and mended",
            vec![
                add(),
                vec![Change::write(
                    path,
                    CRM.replace("service_name", "servicename"),
                )],
                vec![Change::write(
                    path,
                    CRM.replace("service_name: crm", "service_name: sales"),
                )],
            ],
        ),
    ]
}

struct World {
    stage: Stage,
    /// Writes so far, and whether the bot is dead.
    writes: Arc<AtomicUsize>,
    dead: Arc<AtomicUsize>,
}

impl World {
    async fn start(death: Death) -> Self {
        let clock = Clock::stepped(Timestamp::UNIX_EPOCH);
        let mut stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
        stage.github.add_user("stranger", Permission::Write);
        stage.settle().await.unwrap();
        let world = Self {
            stage,
            writes: Arc::default(),
            dead: Arc::default(),
        };
        let wires = [
            world.stage.github.wire(),
            world.stage.kubernetes.wire(),
            world.stage.google.wire(),
        ];
        for wire in wires {
            let (writes, dead) = (Arc::clone(&world.writes), Arc::clone(&world.dead));
            wire.fail_with(move |method, uri| {
                let refuse = || {
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the bot is dead".to_owned(),
                    )
                };
                if dead.load(Ordering::SeqCst) == 1 {
                    let (status, body) = refuse();
                    return Some(Fault::Refuse(status, body));
                }
                // Signing in and fetching change nothing.
                let reads = method == Method::GET
                    || ["access_tokens", "git-upload-pack", ":getIamPolicy"]
                        .iter()
                        .any(|part| uri.path().contains(part));
                if reads {
                    return None;
                }
                let number = writes.fetch_add(1, Ordering::SeqCst) + 1;
                let (status, body) = refuse();
                match death {
                    Death::Before(n) if n == number => {
                        dead.store(1, Ordering::SeqCst);
                        Some(Fault::Refuse(status, body))
                    }
                    Death::After(n) if n == number => {
                        dead.store(1, Ordering::SeqCst);
                        Some(Fault::LoseAnswer(status, body))
                    }
                    _ => None,
                }
            });
        }
        world
    }

    /// Lets the bot work; if it died, its successor.
    async fn settle(&mut self) {
        let settled = self.stage.settle().await;
        if self.dead.swap(0, Ordering::SeqCst) == 1 {
            // What was delivered to the dead is lost.
            self.stage.github.drop_deliveries();
            self.stage.restart().await.unwrap();
            self.stage.settle().await.unwrap();
        } else {
            settled.unwrap();
        }
    }

    /// What must not depend on a crash.
    fn essence(&self) -> BTreeSet<String> {
        let objects = self
            .stage
            .kubernetes
            .objects()
            .into_iter()
            .map(|mut object| {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    for noise in [
                        "uid",
                        "resourceVersion",
                        "creationTimestamp",
                        "generation",
                        "managedFields",
                    ] {
                        metadata.remove(noise);
                    }
                }
                without_the_second(&object.to_string())
            });
        let projects = ["acme-billing", "acme-orders", "acme-identities"];
        let connection = "projects/acme-billing/locations/asia-northeast1/connections/billing-db";
        let accounts = self.stage.google.service_accounts();
        let resources = projects.iter().map(|project| format!("projects/{project}"));
        let of_accounts = accounts
            .iter()
            .map(|email| format!("projects/acme-identities/serviceAccounts/{email}"));
        let policies = resources
            .chain([connection.to_owned()])
            .chain(of_accounts)
            .map(|resource| {
                let bindings = self.stage.google.policy(&resource)["bindings"].clone();
                format!("{resource} {bindings}")
            });
        let dataset = self
            .stage
            .google
            .dataset("acme-billing", "dataplatform_crm");
        let access = dataset
            .map(|dataset| dataset["access"].clone())
            .unwrap_or_default();
        let pulls = (1..10).filter_map(|number| self.stage.github.pull_request(number));
        let said = pulls.flat_map(|pull| {
            let comments = self
                .stage
                .github
                .comments(pull.number)
                .into_iter()
                .map(|comment| without_folds(&comment.body));
            let checks = self
                .stage
                .github
                .check_runs(&pull.head_sha)
                .into_iter()
                .map(|run| format!("{:?} {:?} {:?}", run.conclusion, run.title, run.annotations));
            let mut said: Vec<String> = comments.chain(checks).collect();
            said.sort();
            said.into_iter()
                .enumerate()
                .map(|(index, text)| format!("#{} {index} {text}", pull.number))
                .collect::<Vec<_>>()
        });
        objects
            .chain(policies)
            .chain([sorted(access)])
            .chain(said)
            .collect()
    }
}

/// What is said before the folds: the list of Steps is of the passage that ended it, and
/// the commit's id depends on the second of the merge.
fn without_folds(body: &str) -> String {
    body.split("<details>")
        .flat_map(|part| part.split("As of commit"))
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A merge's commit id, and when it was, depend on the simulated second.
fn without_the_second(text: &str) -> String {
    text.split('"')
        .map(|part| {
            let part = part.trim_end_matches('\\');
            let is_commit = part.len() == 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let is_time = part.parse::<Timestamp>().is_ok();
            match (is_commit, is_time) {
                (true, _) => "COMMIT",
                (_, true) => "TIME",
                _ => part,
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn sorted(access: Value) -> String {
    let mut entries: Vec<String> = access
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    entries.sort();
    entries.join(" ")
}

/// Plays one story, and says how it ended and how many writes it took.
async fn play(pulls: &[Vec<Change>], death: Death) -> (BTreeSet<String>, usize) {
    let mut world = World::start(death).await;
    for (index, changes) in pulls.iter().enumerate() {
        let branch = format!("branch-{index}");
        let number = world
            .stage
            .github
            .open_pull_request("stranger", &branch, &branch, changes)
            .unwrap();
        world.settle().await;
        world
            .stage
            .github
            .review(number, "lead-of-billing", ReviewState::Approved)
            .unwrap();
        world.settle().await;
        world.stage.github.merge(number, "stranger").unwrap();
        world.settle().await;
    }
    (world.essence(), world.writes.load(Ordering::SeqCst))
}

/// Every write of the first story, and a different fifth of each other one's: minutes are
/// short in the suite. `PIPEWRIGHT_CRASHES=all` tries every write of every story.
fn is_tried(story: usize, number: usize) -> bool {
    let all = std::env::var("PIPEWRIGHT_CRASHES").is_ok_and(|which| which == "all");
    all || story == 0 || number % 5 == story % 5
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_dies_at_any_write_is_made_up_for() {
    let (mut stories_played, mut all_writes, mut runs) = (0, 0, 0);
    for (nth, (story, pulls)) in stories().into_iter().enumerate() {
        let (undisturbed, writes) = play(&pulls, Death::Never).await;
        assert!(writes > 5, "{story}: {writes} writes");
        for number in (1..=writes).filter(|number| is_tried(nth, *number)) {
            for death in [Death::Before(number), Death::After(number)] {
                let (end, _) = play(&pulls, death).await;
                let differ: Vec<&String> = end.symmetric_difference(&undisturbed).collect();
                assert!(differ.is_empty(), "{story}, dead {death:?}: {differ:#?}");
                runs += 1;
            }
        }
        (stories_played, all_writes) = (stories_played + 1, all_writes + writes);
    }
    println!("crashes: {stories_played} stories, {all_writes} writes, {runs} runs");
}
