//! Stories: what people do, move by move, for whoever plays them.
//!
//! To add one, add it to [`stories`]: every harness plays it from then on. A pull request
//! is named by its branch.

use std::collections::BTreeMap;

use pipewright::sandbox::github::{Change, ReviewState};
use pipewright::sandbox::kubernetes::Ending;
use pipewright::sandbox::stage::{NAMESPACE, Stage};

pub const OWNER: &str = "lead-of-billing";
pub const STRANGER: &str = "stranger";

/// One thing that somebody does. Everything settles before the next.
#[derive(Clone)]
pub enum Move {
    Open {
        by: &'static str,
        branch: &'static str,
        changes: Vec<Change>,
    },
    Push {
        branch: &'static str,
        changes: Vec<Change>,
    },
    Approve {
        branch: &'static str,
        by: &'static str,
    },
    Merge {
        branch: &'static str,
    },
    Close {
        branch: &'static str,
    },
    /// A direct push, past every pull request.
    PushToDefault {
        changes: Vec<Change>,
    },
    Comment {
        branch: &'static str,
        by: &'static str,
        body: &'static str,
    },
    /// An owner names the digest that is offered in the last comment that offers one.
    ApplyOffered {
        branch: &'static str,
        by: &'static str,
    },
    /// Somebody deletes a CronWorkflow with kubectl.
    DeleteCron {
        name: &'static str,
    },
    /// Argo looks at everything, and every run that has begun ends.
    Run {
        ending: Ending,
    },
}

pub struct Story {
    pub name: &'static str,
    pub moves: Vec<Move>,
}

const CRM: &str = "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
bq_dataset_name: dataplatform_crm\nservice_name: crm\ndb_catalog_name: billing\ndb_schema_name: crm\n";
const PATH: &str = "pipelines/crm.yaml";

fn crm(more: &str) -> Vec<Change> {
    vec![Change::write(PATH, CRM.to_owned() + more)]
}

fn open(branch: &'static str, changes: Vec<Change>) -> Move {
    Move::Open {
        by: STRANGER,
        branch,
        changes,
    }
}

/// Opened, approved by the owner, merged.
fn reviewed(branch: &'static str, changes: Vec<Change>) -> Vec<Move> {
    vec![
        open(branch, changes),
        Move::Approve { branch, by: OWNER },
        Move::Merge { branch },
    ]
}

fn story(name: &'static str, moves: impl IntoIterator<Item = Vec<Move>>) -> Story {
    Story {
        name,
        moves: moves.into_iter().flatten().collect(),
    }
}

fn comment(branch: &'static str, by: &'static str, body: &'static str) -> Move {
    Move::Comment { branch, by, body }
}

/// Every story there is.
pub fn stories() -> Vec<Story> {
    let add = || reviewed("add", crm(""));
    vec![
        story("a pipeline is added", [add()]),
        story(
            "it changes who reads it, and its schedules",
            [
                reviewed(
                    "readers",
                    crm("readers: ['group:bi@acme.example']\ntables: {a: {schedule: '@hourly'}}\n"),
                ),
                reviewed("others", crm("readers: ['group:audit@acme.example']\n")),
            ],
        ),
        story(
            "it is removed",
            [add(), reviewed("remove", vec![Change::remove(PATH)])],
        ),
        story(
            "it is renamed",
            [
                add(),
                reviewed(
                    "rename",
                    vec![
                        Change::remove(PATH),
                        Change::write("pipelines/crm2.yaml", CRM.to_owned() + "previously: crm\n"),
                    ],
                ),
            ],
        ),
        story(
            "a typing error is merged, and mended",
            [
                add(),
                reviewed(
                    "typo",
                    vec![Change::write(
                        PATH,
                        CRM.replace("service_name", "servicename"),
                    )],
                ),
                reviewed(
                    "mend",
                    vec![Change::write(PATH, CRM.replace("name: crm", "name: sales"))],
                ),
            ],
        ),
        story(
            "it is merged without consent, and approved afterwards",
            [vec![
                open("late", crm("")),
                Move::Merge { branch: "late" },
                Move::Approve {
                    branch: "late",
                    by: OWNER,
                },
            ]],
        ),
        story(
            "two are open at once, and the second is merged first",
            [vec![
                open("one", crm("")),
                open(
                    "two",
                    vec![Change::write(
                        "pipelines/sales.yaml",
                        CRM.replace("crm", "sales"),
                    )],
                ),
                Move::Approve {
                    branch: "two",
                    by: OWNER,
                },
                Move::Merge { branch: "two" },
                Move::Approve {
                    branch: "one",
                    by: OWNER,
                },
                Move::Merge { branch: "one" },
            ]],
        ),
        story(
            "it is pushed to after it was approved, and closed in the end",
            [vec![
                open("close", crm("")),
                Move::Approve {
                    branch: "close",
                    by: OWNER,
                },
                Move::Push {
                    branch: "close",
                    changes: crm("suspend: true\n"),
                },
                Move::Close { branch: "close" },
            ]],
        ),
        story(
            "a direct push is held, and applied by a command",
            [
                add(),
                vec![
                    Move::PushToDefault {
                        changes: crm("suspend: true\n"),
                    },
                    comment("add", STRANGER, "/status"),
                    Move::ApplyOffered {
                        branch: "add",
                        by: OWNER,
                    },
                ],
            ],
        ),
        story(
            "a reviewed pull request takes the place of a direct push",
            [
                add(),
                vec![Move::PushToDefault {
                    changes: crm("suspend: true\n"),
                }],
                reviewed("after", crm("description: as it should be\n")),
            ],
        ),
        story(
            "somebody deletes its schedule, and a merge elsewhere brings it back",
            [
                add(),
                vec![Move::DeleteCron { name: "crm" }],
                reviewed(
                    "elsewhere",
                    vec![Change::write(
                        "pipelines/sales.yaml",
                        CRM.replace("crm", "sales"),
                    )],
                ),
            ],
        ),
        story(
            "the house changes a default",
            [
                add(),
                vec![
                    open(
                        "house",
                        vec![Change::write(
                            "policies/defaults.yaml",
                            "timezone: Europe/Berlin\nlimits: {run_hours: 7}\n",
                        )],
                    ),
                    Move::Merge { branch: "house" },
                ],
            ],
        ),
        story(
            "it is run again, twice, and once by somebody who may not",
            [
                add(),
                vec![
                    comment("add", OWNER, "/rerun"),
                    comment("add", STRANGER, "/rerun crm"),
                    Move::Run {
                        ending: Ending::Failed,
                    },
                    comment("add", OWNER, "Once more.\n\n/rerun crm tables=a\n/help"),
                    Move::Run {
                        ending: Ending::Succeeded,
                    },
                    comment("add", STRANGER, "thank you"),
                ],
            ],
        ),
        story(
            "commands on an open pull request",
            [vec![
                open("talk", crm("")),
                comment("talk", STRANGER, "/plan"),
                comment("talk", STRANGER, "/rerun\n/paln"),
            ]],
        ),
    ]
}

/// The people's side of a play: pull requests by branch.
#[derive(Default)]
pub struct People {
    pulls: BTreeMap<&'static str, u64>,
}

impl People {
    /// Does one move. Nothing is delivered yet.
    pub fn act(&mut self, stage: &Stage, one: &Move) {
        let github = &stage.github;
        match one {
            Move::Open {
                by,
                branch,
                changes,
            } => {
                let number = github
                    .open_pull_request(by, branch, branch, changes)
                    .unwrap();
                self.pulls.insert(branch, number);
            }
            Move::Push { branch, changes } => {
                github.push(self.pulls[branch], STRANGER, changes).unwrap();
            }
            Move::Approve { branch, by } => {
                github
                    .review(self.pulls[branch], by, ReviewState::Approved)
                    .unwrap();
            }
            Move::Merge { branch } => {
                github.merge(self.pulls[branch], STRANGER).unwrap();
            }
            Move::Close { branch } => github.close(self.pulls[branch], STRANGER).unwrap(),
            Move::PushToDefault { changes } => {
                github
                    .push_to_default(STRANGER, "directly", changes)
                    .unwrap();
            }
            Move::Comment { branch, by, body } => {
                github.comment(self.pulls[branch], by, body).unwrap();
            }
            Move::ApplyOffered { branch, by } => {
                let number = self.pulls[branch];
                let comments = github.comments(number);
                let offered = comments
                    .iter()
                    .rev()
                    .find_map(|comment| comment.body.split_once(" /apply "))
                    .map(|(_, after)| after.chars().take(64).collect::<String>());
                let command = format!("/apply {}", offered.expect("a digest to copy"));
                github.comment(number, by, &command).unwrap();
            }
            Move::DeleteCron { name } => {
                stage.kubernetes.remove("CronWorkflow", NAMESPACE, name);
            }
            Move::Run { ending } => run(stage, *ending),
        }
    }
}

fn run(stage: &Stage, ending: Ending) {
    stage.kubernetes.argo_step().unwrap();
    for object in stage.kubernetes.objects() {
        if object["kind"] == "Workflow" && object["status"]["phase"] == "Running" {
            let name = object["metadata"]["name"].as_str().unwrap();
            stage
                .kubernetes
                .finish_run(NAMESPACE, name, ending, "as it was told", None)
                .unwrap();
        }
    }
}
