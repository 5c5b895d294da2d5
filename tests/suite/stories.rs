//! Stories: what people do, as data. Whoever disturbs the bot on the way plays them and
//! compares the end's essence with that of the same story undisturbed.
//!
//! To add one, add a [`Story`] to [`stories`]: the matrices find it there.

pub mod essence;

use std::collections::BTreeMap;

use pipewright::clock::Clock;
use pipewright::sandbox::github::{Change, Permission, ReviewState};
use pipewright::sandbox::kubernetes::Ending;
use pipewright::sandbox::stage::{NAMESPACE, Stage};

use crate::common::{repository, tree_of};

/// Who opens, pushes and merges, and owns nothing.
const AUTHOR: &str = "stranger";
const BILLING: &str = "lead-of-billing";
const ORDERS: &str = "lead-of-orders";
const PLATFORM: &str = "lead-of-data-platform";

/// A story, and what happens in it, one after the other. Between two moves the bot comes to rest.
pub struct Story {
    pub name: &'static str,
    pub moves: Vec<Move>,
}

/// What somebody does. Pull requests are named by their branch.
#[derive(Clone)]
pub enum Move {
    Open {
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
    Comment {
        branch: &'static str,
        by: &'static str,
        text: &'static str,
    },
    Merge(&'static str),
    Close(&'static str),
    /// A push to the default branch, past every pull request.
    Direct {
        by: &'static str,
        changes: Vec<Change>,
    },
    /// The bot's comment is deleted.
    DeleteComment(&'static str),
    /// Something done by hand in a system that says nothing about it.
    Hand(fn(&Stage)),
    /// The bot looks at everything, as it does at its start and every few minutes.
    Sweep,
}

impl Move {
    /// The pull request whose check its actor wants to have seen. People act on what the
    /// bot shows: they wait for it, as a required check makes them wait.
    fn acts_on(&self) -> Option<&'static str> {
        match self {
            Self::Push { branch, .. }
            | Self::Approve { branch, .. }
            | Self::Comment { branch, .. }
            | Self::Merge(branch)
            | Self::Close(branch)
            | Self::DeleteComment(branch) => Some(branch),
            Self::Open { .. } | Self::Direct { .. } | Self::Hand(_) | Self::Sweep => None,
        }
    }
}

/// The people of a story that is being played: they remember what they opened and pushed.
#[derive(Default)]
pub struct People {
    pulls: BTreeMap<&'static str, u64>,
    /// Every head of a pull request, by its commit.
    heads: BTreeMap<String, String>,
    /// Every commit that anybody made.
    commits: Vec<String>,
}

impl People {
    /// Whether this move's actor still waits for the bot: for a head's check, or for a
    /// reaction to what somebody commanded.
    pub fn wait(&self, stage: &Stage, next: &Move) -> bool {
        let comments = self
            .pulls
            .values()
            .flat_map(|pull| stage.github.comments(*pull));
        let is_bot = |login: &str| login.ends_with("[bot]");
        let mut commands = comments.filter(|one| {
            !is_bot(&one.login) && one.body.lines().any(|line| line.starts_with('/'))
        });
        if commands.any(|one| !one.reactions.iter().any(|by| is_bot(&by.login))) {
            return true;
        }
        let pull = next.acts_on().and_then(|branch| self.pulls.get(branch));
        let pull = pull.and_then(|number| stage.github.pull_request(*number));
        pull.is_some_and(|pull| stage.github.check_runs(&pull.head_sha).is_empty())
    }

    /// Makes a move. A [`Move::Sweep`] is the bot's, and nothing here.
    pub fn act(&mut self, stage: &Stage, next: &Move) {
        let github = &stage.github;
        match next {
            Move::Open { branch, changes } => {
                let number = github
                    .open_pull_request(AUTHOR, branch, branch, changes)
                    .unwrap();
                self.pulls.insert(branch, number);
                let head = github.pull_request(number).unwrap().head_sha;
                self.head(branch, head);
            }
            Move::Push { branch, changes } => {
                let head = github.push(self.pulls[branch], AUTHOR, changes).unwrap();
                self.head(branch, head);
            }
            Move::Approve { branch, by } => {
                github
                    .review(self.pulls[branch], by, ReviewState::Approved)
                    .unwrap();
            }
            Move::Comment { branch, by, text } => {
                github.comment(self.pulls[branch], by, text).unwrap();
            }
            Move::Merge(branch) => {
                let commit = github.merge(self.pulls[branch], AUTHOR).unwrap();
                self.commits.push(commit);
            }
            Move::Close(branch) => github.close(self.pulls[branch], AUTHOR).unwrap(),
            Move::Direct { by, changes } => {
                let commit = github.push_to_default(by, "Straight in", changes).unwrap();
                self.commits.push(commit);
            }
            Move::DeleteComment(branch) => {
                let comments = github.comments(self.pulls[branch]);
                let mut ours = comments.iter().filter(|one| one.login.ends_with("[bot]"));
                let comment = ours.next().unwrap().id;
                github.delete_comment(comment, PLATFORM).unwrap();
            }
            Move::Hand(by_hand) => by_hand(stage),
            Move::Sweep => {}
        }
    }

    fn head(&mut self, branch: &str, commit: String) {
        let nth = self.heads.len();
        self.commits.push(commit.clone());
        self.heads.insert(commit, format!("{nth} {branch}"));
    }

    /// Pull requests by branch.
    pub fn pulls(&self) -> &BTreeMap<&'static str, u64> {
        &self.pulls
    }

    /// Heads with the order in which they came.
    pub fn heads(&self) -> &BTreeMap<String, String> {
        &self.heads
    }

    /// Whether this is a commit of theirs, whole or short.
    pub fn made(&self, commit: &str) -> bool {
        commit.len() >= 7 && self.commits.iter().any(|made| made.starts_with(commit))
    }
}

/// A fresh world with the example tree. Nobody has done anything yet, the bot included.
pub async fn stage(clock: Clock) -> Stage {
    let stage = Stage::set(&tree_of(&repository()), clock).await.unwrap();
    stage.github.add_user(AUTHOR, Permission::Write);
    stage
}

const CRM: &str = "bq_project_id: acme-billing\nbq_connection_id: billing-db\n\
bq_dataset_name: dataplatform_crm\nservice_name: crm\ndb_catalog_name: billing\ndb_schema_name: crm\n";

fn crm(text: impl Into<String>) -> Vec<Change> {
    vec![Change::write("pipelines/crm.yaml", text.into())]
}

fn with(more: &str) -> String {
    format!("{CRM}{more}\n")
}

fn open(branch: &'static str, changes: Vec<Change>) -> Move {
    Move::Open { branch, changes }
}

fn approve(branch: &'static str, by: &'static str) -> Move {
    Move::Approve { branch, by }
}

/// Opened, approved by billing's owner, merged.
fn reviewed(branch: &'static str, changes: Vec<Change>) -> Vec<Move> {
    vec![
        open(branch, changes),
        approve(branch, BILLING),
        Move::Merge(branch),
    ]
}

fn added() -> Vec<Move> {
    reviewed("add", crm(CRM))
}

fn defaults(from: &str, to: &str) -> Vec<Change> {
    let path = "policies/defaults.yaml";
    let text = repository()[path].clone();
    assert!(text.contains(from), "{from} in {path}");
    vec![Change::write(path, text.replace(from, to))]
}

/// Takes away every role of the pipeline's identity in its project.
fn revoke_grants(stage: &Stage) {
    let project = "projects/acme-billing";
    let bindings = stage.google.policy(project)["bindings"].clone();
    let mut revoked = 0;
    for binding in bindings.as_array().into_iter().flatten() {
        for member in binding["members"].as_array().into_iter().flatten() {
            let (role, member) = (binding["role"].as_str(), member.as_str());
            stage.google.revoke(project, role.unwrap(), member.unwrap());
            revoked += 1;
        }
    }
    assert!(revoked > 0, "there was something to revoke");
}

/// What is left looks like something that was there before the bot.
fn forget_record(stage: &Stage) {
    let record = "record-crm";
    assert!(
        stage
            .kubernetes
            .get("ConfigMap", NAMESPACE, record)
            .is_some()
    );
    stage.kubernetes.remove("ConfigMap", NAMESPACE, record);
}

/// Somebody else reads the dataset, by a hand that is not the bot's.
fn share_dataset(stage: &Stage) {
    let dataset = stage.google.dataset("acme-billing", "dataplatform_crm");
    let mut access = dataset.unwrap()["access"].as_array().unwrap().clone();
    access.push(serde_json::json!({
        "role": "READER", "groupByEmail": "auditors@acme.example",
    }));
    stage
        .google
        .set_dataset_access("acme-billing", "dataplatform_crm", access);
}

fn remove_schedule(stage: &Stage) {
    assert!(
        stage
            .kubernetes
            .get("CronWorkflow", NAMESPACE, "crm")
            .is_some()
    );
    stage.kubernetes.remove("CronWorkflow", NAMESPACE, "crm");
}

/// Argo looks at everything, and what has begun ends.
fn run(stage: &Stage, ending: Ending) {
    stage.kubernetes.argo_step().unwrap();
    let objects = stage.kubernetes.objects().into_iter();
    let running = objects
        .filter(|object| object["kind"] == "Workflow" && object["status"]["phase"] == "Running");
    for run in running {
        let name = run["metadata"]["name"].as_str().unwrap();
        stage
            .kubernetes
            .finish_run(NAMESPACE, name, ending, "as it was told", None)
            .unwrap();
    }
}

fn runs_fail(stage: &Stage) {
    run(stage, Ending::Failed);
}

fn runs_succeed(stage: &Stage) {
    run(stage, Ending::Succeeded);
}

/// The owner copies the command that the bot offered last on the first pull request.
fn apply_what_is_offered(stage: &Stage) {
    let comments = stage.github.comments(1);
    let mut offers = comments
        .iter()
        .rev()
        .filter_map(|comment| comment.body.split_once(" /apply "));
    let (_, after) = offers.next().expect("a command to copy");
    let digest: String = after.chars().take(64).collect();
    let command = format!("/apply {digest}");
    stage.github.comment(1, BILLING, &command).unwrap();
}

/// All of them.
pub fn stories() -> Vec<Story> {
    let story = |name, moves: Vec<Vec<Move>>| Story {
        name,
        moves: moves.concat(),
    };
    let mut stories = changes(story);
    stories.extend(orders(story));
    stories.extend(hands(story));
    stories.extend(commands(story));
    stories
}

/// One pipeline, and what may become of it.
fn changes(story: impl Fn(&'static str, Vec<Vec<Move>>) -> Story) -> Vec<Story> {
    let scheduled = with("readers: ['group:bi@acme.example']\ntables: {a: {schedule: '@hourly'}}");
    vec![
        story("a pipeline is added", vec![added()]),
        story(
            "it changes who reads it, and its schedules",
            vec![
                reviewed("add", crm(scheduled)),
                reviewed("change", crm(with("readers: ['group:audit@acme.example']"))),
            ],
        ),
        story(
            "it is removed",
            vec![
                added(),
                reviewed("remove", vec![Change::remove("pipelines/crm.yaml")]),
            ],
        ),
        story(
            "it is renamed",
            vec![
                added(),
                reviewed(
                    "rename",
                    vec![
                        Change::remove("pipelines/crm.yaml"),
                        Change::write("pipelines/crm2.yaml", with("previously: crm")),
                    ],
                ),
            ],
        ),
        story(
            "a typing error is merged, and mended",
            vec![
                added(),
                reviewed("error", crm(CRM.replace("service_name", "servicename"))),
                reviewed(
                    "mend",
                    crm(CRM.replace("service_name: crm", "service_name: sales")),
                ),
            ],
        ),
        story(
            "it is changed and reverted",
            vec![
                added(),
                reviewed("change", crm(with("readers: ['group:bi@acme.example']"))),
                reviewed("revert", crm(CRM)),
            ],
        ),
        story(
            "it moves to another dataset",
            vec![
                added(),
                reviewed(
                    "move",
                    crm(CRM.replace("dataplatform_crm", "dataplatform_sales")),
                ),
            ],
        ),
    ]
}

/// Who agrees to what, and in which order it arrives.
fn orders(story: impl Fn(&'static str, Vec<Vec<Move>>) -> Story) -> Vec<Story> {
    let path = "pipelines/orders/orders.yaml";
    let orders = repository()[path].clone() + "suspend: true\n";
    vec![
        story(
            "two are open at once, and merged in the other order",
            vec![vec![
                open("crm", crm(CRM)),
                open("orders", vec![Change::write(path, orders)]),
                approve("crm", BILLING),
                approve("orders", ORDERS),
                Move::Merge("orders"),
                Move::Merge("crm"),
            ]],
        ),
        story(
            "it is merged without consent, and approved afterwards",
            vec![vec![
                open("crm", crm(CRM)),
                Move::Merge("crm"),
                Move::Comment {
                    branch: "crm",
                    by: AUTHOR,
                    text: "Whom do I ask?",
                },
                approve("crm", BILLING),
            ]],
        ),
        story(
            "it is pushed again after its approval",
            vec![vec![
                open("crm", crm(CRM)),
                approve("crm", BILLING),
                Move::Push {
                    branch: "crm",
                    changes: crm(with("suspend: true")),
                },
                Move::Merge("crm"),
                approve("crm", BILLING),
            ]],
        ),
        story(
            "it is changed straight on the default branch, and then by a pull request",
            vec![
                added(),
                vec![
                    Move::Direct {
                        by: BILLING,
                        changes: crm(with("suspend: true")),
                    },
                    // Held, and said so, before the next one is merged.
                    Move::Sweep,
                ],
                reviewed("change", crm(with("suspend: true\ndescription: CRM"))),
            ],
        ),
        story(
            "it is closed without a merge",
            vec![vec![open("crm", crm(CRM)), Move::Close("crm")], {
                reviewed("second", crm(with("description: again")))
            }],
        ),
        story(
            "the defaults change under it",
            vec![
                added(),
                vec![
                    open("defaults", defaults("run_hours: 6", "run_hours: 3")),
                    approve("defaults", PLATFORM),
                    Move::Merge("defaults"),
                    approve("defaults", BILLING),
                ],
            ],
        ),
    ]
}

/// What is changed by hand, past Git.
fn hands(story: impl Fn(&'static str, Vec<Vec<Move>>) -> Story) -> Vec<Story> {
    vec![
        story(
            "what it needs existed before",
            vec![
                added(),
                vec![
                    Move::Hand(share_dataset),
                    Move::Hand(forget_record),
                    // It holds what was reviewed before: now that would adopt.
                    Move::Sweep,
                ],
                reviewed("adopt", crm(with("description: adopted"))),
                reviewed("remove", vec![Change::remove("pipelines/crm.yaml")]),
            ],
        ),
        story(
            "its schedule is deleted and its grants revoked",
            vec![
                added(),
                vec![
                    Move::Hand(remove_schedule),
                    Move::Sweep,
                    Move::Hand(revoke_grants),
                    Move::Sweep,
                ],
            ],
        ),
        story(
            "the bot's comment is deleted",
            vec![vec![
                open("crm", crm(CRM)),
                Move::DeleteComment("crm"),
                Move::Push {
                    branch: "crm",
                    changes: crm(with("description: again")),
                },
                approve("crm", BILLING),
                Move::DeleteComment("crm"),
                Move::Merge("crm"),
            ]],
        ),
    ]
}

/// What is asked for in comments.
fn commands(story: impl Fn(&'static str, Vec<Vec<Move>>) -> Story) -> Vec<Story> {
    let comment = |branch, by, text| Move::Comment { branch, by, text };
    vec![
        story(
            "it is run again, twice, and once by somebody who may not",
            vec![
                added(),
                vec![
                    comment("add", BILLING, "/rerun"),
                    comment("add", AUTHOR, "/rerun crm"),
                    Move::Hand(runs_fail),
                    Move::Sweep,
                    comment("add", BILLING, "Once more.\n\n/rerun crm tables=a\n/help"),
                    Move::Hand(runs_succeed),
                    Move::Sweep,
                ],
            ],
        ),
        story(
            "a direct push is held, and applied by a command",
            vec![
                added(),
                vec![
                    Move::Direct {
                        by: AUTHOR,
                        changes: crm(with("suspend: true")),
                    },
                    comment("add", AUTHOR, "/status"),
                    Move::Hand(apply_what_is_offered),
                ],
            ],
        ),
        story(
            "commands on an open pull request",
            vec![vec![
                open("crm", crm(CRM)),
                comment("crm", AUTHOR, "/plan"),
                comment("crm", AUTHOR, "/rerun\n/paln"),
            ]],
        ),
    ]
}
