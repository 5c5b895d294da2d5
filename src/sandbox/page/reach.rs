//! Who reaches what, read off the simulated systems: the picture that the page draws.
//!
//! An edge is a right that somebody has now. What the last act took away stays in the
//! picture as gone, until the next act.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::sandbox::stage::{NAMESPACE, Stage};

/// What can hold a right, or be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Node {
    pub kind: &'static str,
    pub label: String,
    /// The whole name, where the label is short.
    pub note: String,
}

/// A right: who, what they can do, and with what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Edge {
    pub from: String,
    pub to: String,
    pub can: &'static str,
    /// Where it is written down; none if it follows from something else.
    #[serde(skip)]
    pub grant: Option<Grant>,
}

/// Where a right is written down.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Grant {
    Policy {
        resource: String,
        role: String,
        member: String,
    },
    Access {
        project: String,
        dataset: String,
        entry: Value,
    },
}

/// The picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reach {
    pub nodes: BTreeMap<String, Node>,
    pub edges: BTreeMap<String, Edge>,
}

/// A node or an edge, and what became of it since the last act.
#[derive(Debug, Serialize)]
pub(super) struct Marked<T> {
    pub id: String,
    /// `new`, `gone`, or nothing.
    pub mark: &'static str,
    #[serde(flatten)]
    pub what: T,
}

/// An edge as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct ShownEdge {
    #[serde(flatten)]
    edge: Edge,
    /// Whether somebody could take it away behind the bot's back.
    revocable: bool,
}

/// The picture with what is new and what is gone.
#[derive(Debug, Serialize)]
pub(super) struct ShownReach {
    pub nodes: Vec<Marked<Node>>,
    pub edges: Vec<Marked<ShownEdge>>,
}

impl Reach {
    /// What is there now.
    pub(super) fn of(stage: &Stage) -> Self {
        let mut reach = Self::default();
        reach.connections(stage);
        reach.projects(stage);
        reach.datasets(stage);
        reach.schedules(stage);
        reach
    }

    /// This picture beside the one before.
    pub(super) fn since(&self, before: &Self) -> ShownReach {
        let shown = |edge: &Edge| ShownEdge {
            revocable: edge.grant.is_some(),
            edge: edge.clone(),
        };
        ShownReach {
            nodes: marked(&before.nodes, &self.nodes, Clone::clone),
            edges: marked(&before.edges, &self.edges, shown),
        }
    }

    fn node(&mut self, kind: &'static str, name: &str, label: &str) -> String {
        let id = format!("{kind}:{name}");
        let node = Node {
            kind,
            label: label.to_owned(),
            note: name.to_owned(),
        };
        self.nodes.entry(id.clone()).or_insert(node);
        id
    }

    fn edge(&mut self, from: String, can: &'static str, to: String, grant: Option<Grant>) {
        let id = format!("{from} {can} {to}");
        let edge = Edge {
            from,
            to,
            can,
            grant,
        };
        self.edges.insert(id, edge);
    }

    fn member(&mut self, member: &str) -> String {
        match member.split_once(':') {
            Some(("serviceAccount", email)) => self.identity(email),
            _ => self.node("people", member, member),
        }
    }

    fn identity(&mut self, email: &str) -> String {
        let short = email.split('@').next().unwrap_or(email);
        self.node("identity", email, short)
    }

    fn connections(&mut self, stage: &Stage) {
        for opens in stage.google.opens() {
            let name = &opens.connection;
            let label = name.rsplit('/').next().unwrap_or(name);
            let connection = self.node("connection", name, label);
            let instance = opens.instance.rsplit(':').next().unwrap_or_default();
            let database = self.node("database", &opens.instance, instance);
            self.edge(connection, "opens", database, None);
            self.policy(
                stage,
                name,
                "roles/bigquery.connectionUser",
                "reads through",
                "connection",
            );
        }
    }

    fn projects(&mut self, stage: &Stage) {
        for project in stage.google.projects() {
            let resource = format!("projects/{project}");
            let role = "roles/bigquery.jobUser";
            self.policy(stage, &resource, role, "runs jobs in", "project");
        }
    }

    /// The members of one role, each with an edge to the resource.
    fn policy(
        &mut self,
        stage: &Stage,
        resource: &str,
        role: &str,
        can: &'static str,
        kind: &'static str,
    ) {
        for member in members(&stage.google.policy(resource), role) {
            let from = self.member(&member);
            let label = resource.rsplit('/').next().unwrap_or(resource);
            let to = self.node(kind, resource, label);
            let grant = Grant::Policy {
                resource: resource.to_owned(),
                role: role.to_owned(),
                member,
            };
            self.edge(from, can, to, Some(grant));
        }
    }

    fn datasets(&mut self, stage: &Stage) {
        for (project, dataset, access) in stage.google.datasets() {
            let to = self.node("dataset", &format!("{project}.{dataset}"), &dataset);
            for entry in access {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                let can = match text("role") {
                    Some("WRITER") => "writes",
                    Some("READER") => "reads",
                    Some("OWNER") => "owns",
                    _ => continue,
                };
                let from = match (
                    text("userByEmail"),
                    text("groupByEmail"),
                    text("specialGroup"),
                ) {
                    (Some(email), ..) if email.ends_with(".gserviceaccount.com") => {
                        self.identity(email)
                    }
                    (Some(email), ..) => self.node("people", email, email),
                    (_, Some(group), _) => self.node("people", &format!("group {group}"), group),
                    (.., Some("projectOwners")) => {
                        let who = format!("owners of {project}");
                        self.node("people", &who, &who)
                    }
                    _ => continue,
                };
                let grant = Grant::Access {
                    project: project.clone(),
                    dataset: dataset.clone(),
                    entry: entry.clone(),
                };
                self.edge(from, can, to.clone(), Some(grant));
            }
        }
    }

    /// A CronWorkflow acts as the Google account that its service account names, if that
    /// account lets it.
    fn schedules(&mut self, stage: &Stage) {
        for cron in stage.kubernetes.objects() {
            let text = |pointer: &str| cron.pointer(pointer).and_then(Value::as_str);
            if text("/kind") != Some("CronWorkflow") {
                continue;
            }
            let name = text("/metadata/name").unwrap_or_default();
            let schedule = self.node("schedule", name, name);
            let account = text("/spec/workflowSpec/serviceAccountName").unwrap_or_default();
            let account_object = stage.kubernetes.get("ServiceAccount", NAMESPACE, account);
            let email = account_object.as_ref().and_then(|object| {
                let annotations = object.pointer("/metadata/annotations")?;
                annotations.get("iam.gke.io/gcp-service-account")?.as_str()
            });
            let Some(email) = email else { continue };
            let project = email
                .split_once('@')
                .and_then(|(_, domain)| domain.split('.').next());
            let resource = format!(
                "projects/{}/serviceAccounts/{email}",
                project.unwrap_or_default()
            );
            let role = "roles/iam.workloadIdentityUser";
            let to = self.identity(email);
            let end = format!("[{NAMESPACE}/{account}]");
            let policy = stage.google.policy(&resource);
            for member in members(&policy, role) {
                if !member.ends_with(&end) {
                    continue;
                }
                let grant = Grant::Policy {
                    resource: resource.clone(),
                    role: role.to_owned(),
                    member,
                };
                self.edge(schedule.clone(), "acts as", to.clone(), Some(grant));
            }
        }
    }
}

/// The members of a role, whatever the condition.
fn members(policy: &Value, role: &str) -> Vec<String> {
    let bindings = policy.get("bindings").and_then(Value::as_array);
    bindings
        .into_iter()
        .flatten()
        .filter(|binding| binding.get("role").and_then(Value::as_str) == Some(role))
        .filter_map(|binding| binding.get("members")?.as_array())
        .flatten()
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

fn marked<T, U>(
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
    shown: impl Fn(&T) -> U,
) -> Vec<Marked<U>> {
    let here = now.iter().map(|(id, what)| Marked {
        id: id.clone(),
        mark: if before.contains_key(id) { "" } else { "new" },
        what: shown(what),
    });
    let gone = before
        .iter()
        .filter(|(id, _)| !now.contains_key(*id))
        .map(|(id, what)| Marked {
            id: id.clone(),
            mark: "gone",
            what: shown(what),
        });
    here.chain(gone).collect()
}
