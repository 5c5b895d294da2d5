//! The two planes as plain values: what a Step does to what is observed.
//! No server, no error: for the properties of planning alone.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::name::PipelineName;
use pipewright::object::{Resource, ServiceAccount};
use pipewright::plan::approve::ApprovedPlan;
use pipewright::plan::observed::{LiveConnection, LiveDataset, Observed, Questions, Seen};
use pipewright::plan::record::Record;
use pipewright::plan::steps::Write;
use pipewright::plan::{self, Plan};
use pipewright::proposal::Proposal;
use serde_json::{Value, json};

#[derive(Default, Clone)]
pub struct World {
    pub observed: Observed,
}

impl World {
    /// Connections as the estate of the proposal says, each with the database that asks for it.
    pub fn with_connections(mut self, proposal: &Proposal) -> Self {
        for rendered in proposal.desired.pipelines.values() {
            let bound = &rendered.bound;
            self.observed.google.connections.insert(
                bound.connection.clone(),
                Seen::Found(LiveConnection {
                    instance: bound.instance.clone(),
                    database: bound.pipeline.database.clone(),
                }),
            );
        }
        self
    }

    pub fn records(&self) -> &BTreeMap<PipelineName, Record> {
        &self.observed.kubernetes.records
    }

    pub fn plan(&self, proposal: &Proposal) -> Plan {
        // The questions must cover what the plan looks at: only what was asked is shown.
        let questions = plan::questions(proposal, self.records());
        plan::plan(proposal, &self.seen(&questions))
    }

    fn seen(&self, questions: &Questions) -> Observed {
        let mut seen = self.observed.clone();
        let google = &mut seen.google;
        google
            .accounts
            .retain(|key, _| questions.accounts.contains(key));
        google
            .datasets
            .retain(|key, _| questions.datasets.contains(key));
        google
            .policies
            .retain(|key, _| questions.policies.contains(key));
        google
            .connections
            .retain(|key, _| questions.connections.contains(key));
        seen
    }

    /// Carries out the first `count` Steps, the closing ones last.
    pub fn apply(&mut self, approved: &ApprovedPlan, count: usize) {
        for step in approved
            .steps()
            .iter()
            .chain(approved.closing())
            .take(count)
        {
            self.write(&step.write);
        }
    }

    fn policy(&mut self, resource: &Resource) -> &mut BTreeSet<(String, String)> {
        let seen = self
            .observed
            .google
            .policies
            .entry(resource.clone())
            .or_insert_with(|| Seen::Found(BTreeSet::new()));
        match seen {
            Seen::Found(pairs) => pairs,
            _ => panic!("{resource} has no policy"),
        }
    }

    fn account(&mut self, account: &ServiceAccount, there: bool) {
        let seen = if there {
            Seen::Found(())
        } else {
            Seen::Missing
        };
        self.observed.google.accounts.insert(account.clone(), seen);
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::BeginRecord(record) | Write::EndRecord(record) => {
                self.observed
                    .kubernetes
                    .records
                    .insert(record.pipeline.clone(), record.clone());
            }
            Write::RemoveRecord { pipeline } => {
                self.observed.kubernetes.records.remove(pipeline);
            }
            Write::CreateServiceAccount { account, .. } => self.account(account, true),
            Write::DeleteServiceAccount { account } => self.account(account, false),
            Write::CreateDataset {
                dataset,
                location,
                access,
            } => {
                let Resource::Dataset {
                    project,
                    dataset: id,
                } = dataset
                else {
                    panic!()
                };
                self.observed.google.datasets.insert(
                    (project.clone(), id.clone()),
                    Seen::Found(LiveDataset {
                        location: location.clone(),
                    }),
                );
                for (role, member) in access {
                    self.policy(dataset)
                        .insert((role.as_str().into(), member.iam()));
                }
            }
            Write::AddGrants { resource, grants } => {
                for (role, member) in grants {
                    self.policy(resource)
                        .insert((role.as_str().into(), member.iam()));
                }
            }
            Write::RemoveGrants { resource, grants } => {
                for (role, member) in grants {
                    self.policy(resource)
                        .remove(&(role.as_str().into(), member.iam()));
                }
            }
            Write::Apply {
                kind,
                name,
                manifest,
                ..
            }
            | Write::Replace {
                kind,
                name,
                manifest,
            } => {
                let mut live = manifest.value();
                live["metadata"]["managedFields"] = json!([{
                    "manager": "pipewright", "operation": "Apply", "fieldsV1": owned(&manifest.value()),
                }]);
                self.observed
                    .kubernetes
                    .objects
                    .insert((*kind, name.clone()), live.into());
            }
            Write::Delete { kind, name } => {
                self.observed
                    .kubernetes
                    .objects
                    .remove(&(*kind, name.clone()));
            }
        }
    }
}

/// The `fieldsV1` of a manager that applied this and nothing else.
fn owned(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, below)| (format!("f:{key}"), owned(below)))
            .collect(),
        _ => json!({}),
    }
}
