//! Runs: Argo's Workflows of our CronWorkflows, and how one is made by hand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use serde_json::{Map, Value, json};

use super::error::shortened;
use super::write::found;
use super::{Cluster, ClusterError};
use crate::name::PgName;
use crate::object::Kind;
use crate::render::{
    MANAGER, PIPELINE_LABEL, REPORT_PARAMETER, SERVICE_LABEL, TABLES_PARAMETER, tables_value,
};

/// Argo's label on a Workflow: the CronWorkflow it came from.
const CRON_LABEL: &str = "workflows.argoproj.io/cron-workflow";
/// Argo's label on what one of several controllers takes care of.
const INSTANCE_LABEL: &str = "workflows.argoproj.io/controller-instanceid";
/// Argo's annotation: the time a run stands for.
const SCHEDULED_TIME: &str = "workflows.argoproj.io/scheduled-time";

/// Objects per answer. A Workflow carries its whole spec and every node's status.
const PAGE: u32 = 100;

/// The longest report that is read, in bytes: as long as a runner may write one.
const LONGEST_REPORT: usize = 64 << 10;

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    Made,
    /// The same submission was made before.
    AlreadyThere,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it runs yet: no controller has seen it, or it waits for a lock.
    Pending,
    Running,
    Succeeded,
    Failed,
    /// It failed for a reason that is Argo's or the cluster's.
    Error,
    /// What another Argo may call it. Taken for unfinished.
    Unknown(String),
}

impl Phase {
    /// Whether it stays like this.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }

    fn read(text: &str) -> Self {
        match text {
            "" | "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "Error" => Self::Error,
            other => Self::Unknown(shortened(other)),
        }
    }
}

/// A Workflow, as far as anyone here cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub name: String,
    /// The CronWorkflow it came from; empty if its label does not say.
    pub cron: String,
    /// What our labels say it is about; empty if they do not say.
    pub pipeline: String,
    pub service: String,
    pub phase: Phase,
    /// Argo's own words, shortened.
    pub message: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// What the runner left behind, as it wrote it, cut at 64 KiB.
    pub report: Option<String>,
}

impl Cluster {
    /// Makes a run of our CronWorkflow `cron` now, as `argo submit --from` does, under a
    /// name that is the same for the same wish. No table named: all of the schedule's.
    ///
    /// It does not wait for its turn: whoever asks has looked whether another is active.
    ///
    /// # Errors
    /// [`ClusterError::NotOurs`] for a CronWorkflow without our label,
    /// [`ClusterError::Taken`] if the name belongs to something else, and whatever else the
    /// cluster says.
    pub async fn submit(
        &self,
        cron: &str,
        name: &str,
        tables: &BTreeSet<PgName>,
        now: Timestamp,
    ) -> Result<Submitted, ClusterError> {
        let attempt = format!("run CronWorkflow {cron} as {name}");
        let failed = |error| ClusterError::classify(&attempt, error);
        let from = self.api(Kind::CronWorkflow).get(cron).await;
        let from = from.map_err(failed)?;
        self.must_be_ours(&attempt, &from)?;
        let body = workflow(&attempt, &from, name, tables, now)?;

        let workflows = self.workflows();
        // The client's own `create` can not ask to be strict, and what is dropped without a
        // word could be the choice of tables.
        let url = format!(
            "{}?&fieldManager={MANAGER}&fieldValidation=Strict",
            workflows.resource_url()
        );
        let request = http::Request::post(url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes());
        let request = request.map_err(|error| ClusterError::Invalid {
            attempt: attempt.clone(),
            message: error.to_string(),
        })?;
        match self.client.request::<Value>(request).await {
            Ok(_) => Ok(Submitted::Made),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                match found(&attempt, workflows.get(name).await)? {
                    Some(there) if is_controlled_by(&there, &from) => Ok(Submitted::AlreadyThere),
                    Some(_) => Err(ClusterError::Taken {
                        attempt,
                        name: name.to_owned(),
                    }),
                    None => Err(ClusterError::Changed {
                        attempt,
                        message: "a run of that name was there and is gone".to_owned(),
                    }),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Every run of `cron` that there still is, the oldest first.
    ///
    /// # Errors
    /// If they can not be listed whole.
    pub async fn runs(&self, cron: &str) -> Result<Vec<Run>, ClusterError> {
        let mut found = Vec::new();
        let label = format!("{CRON_LABEL}={cron}");
        self.each_page(&format!("list the runs of {cron}"), &label, |page| {
            found.extend(page);
        })
        .await?;
        found.sort_by_key(|run| (run.metadata.creation_timestamp.clone(), run.name_any()));
        Ok(found.iter().map(read).collect())
    }

    /// Of each schedule the run of ours that ended last, by the name of the CronWorkflow.
    ///
    /// # Errors
    /// If the runs can not be listed whole.
    pub async fn last_runs(&self) -> Result<BTreeMap<String, Run>, ClusterError> {
        let mut last: BTreeMap<String, Run> = BTreeMap::new();
        // One page at a time: a house's runs of a month are too many to hold.
        self.each_page("list the last runs", PIPELINE_LABEL, |page| {
            let ended = page.iter().map(read).filter(|run| run.phase.is_final());
            for run in ended {
                let known = last.get(&run.cron).and_then(|known| known.finished_at);
                if known <= run.finished_at {
                    last.insert(run.cron.clone(), run);
                }
            }
        })
        .await?;
        Ok(last)
    }

    async fn each_page(
        &self,
        attempt: &str,
        label: &str,
        mut take: impl FnMut(Vec<DynamicObject>),
    ) -> Result<(), ClusterError> {
        let mut parameters = ListParams::default().labels(label).limit(PAGE);
        let api = self.workflows();
        loop {
            let page = api.list(&parameters).await;
            let page = page.map_err(|error| ClusterError::classify(attempt, error))?;
            take(page.items);
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => {
                    parameters = parameters.continue_token(&token);
                }
                _ => return Ok(()),
            }
        }
    }

    /// The run of that name, if there still is one.
    ///
    /// # Errors
    /// If it can not be read.
    pub async fn run(&self, name: &str) -> Result<Option<Run>, ClusterError> {
        let attempt = format!("read the run {name}");
        let live = found(&attempt, self.workflows().get(name).await)?;
        Ok(live.as_ref().map(read))
    }

    /// The runs of `cron` that have not ended. From the Workflows themselves: the
    /// CronWorkflow's status lists a run only once its controller has come by.
    ///
    /// # Errors
    /// If they can not be listed whole.
    pub async fn active(&self, cron: &str) -> Result<Vec<String>, ClusterError> {
        let runs = self.runs(cron).await?;
        let unfinished = runs.into_iter().filter(|run| !run.phase.is_final());
        Ok(unfinished.map(|run| run.name).collect())
    }

    fn workflows(&self) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "argoproj.io".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: Kind::CronWorkflow.api_version().to_owned(),
            kind: "Workflow".to_owned(),
            plural: "workflows".to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

/// The Workflow that Argo would make of the CronWorkflow.
fn workflow(
    attempt: &str,
    from: &DynamicObject,
    name: &str,
    tables: &BTreeSet<PgName>,
    now: Timestamp,
) -> Result<Value, ClusterError> {
    let lacks = |what: &str| ClusterError::Unexpected {
        attempt: attempt.to_owned(),
        message: format!("the CronWorkflow has no {what}"),
        source: None,
    };
    let uid = from.metadata.uid.as_ref().ok_or_else(|| lacks("uid"))?;
    let mut spec = from
        .data
        .pointer("/spec/workflowSpec")
        .cloned()
        .ok_or_else(|| lacks("workflowSpec"))?;
    if !tables.is_empty() && !choose(&mut spec, tables) {
        // Without the parameter the run would copy everything.
        return Err(ClusterError::Invalid {
            attempt: attempt.to_owned(),
            message: format!("the CronWorkflow has no parameter `{TABLES_PARAMETER}`"),
        });
    }
    let cron = from.name_any();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let given = |field: &str| {
        let texts = from
            .data
            .pointer(&format!("/spec/workflowMetadata/{field}"));
        texts
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let mut labels: Map<String, Value> = Map::new();
    if let Some(instance) = from.labels().get(INSTANCE_LABEL) {
        labels.insert(INSTANCE_LABEL.to_owned(), json!(instance));
    }
    labels.extend(given("labels"));
    // Last, unlike in Argo: by it the run is found again.
    labels.insert(CRON_LABEL.to_owned(), json!(cron));
    let mut annotations = Map::new();
    annotations.insert(SCHEDULED_TIME.to_owned(), json!(second.to_string()));
    annotations.extend(given("annotations"));
    let mut metadata = json!({
        "name": name,
        "namespace": from.namespace(),
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [{
            "apiVersion": Kind::CronWorkflow.api_version(),
            "kind": Kind::CronWorkflow.as_str(),
            "name": cron,
            "uid": uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    let finalizers = from.data.pointer("/spec/workflowMetadata/finalizers");
    if let (Some(finalizers), Some(metadata)) = (finalizers, metadata.as_object_mut()) {
        metadata.insert("finalizers".to_owned(), finalizers.clone());
    }
    Ok(json!({
        "apiVersion": Kind::CronWorkflow.api_version(),
        "kind": "Workflow",
        "metadata": metadata,
        "spec": spec,
    }))
}

/// Puts the tables into their parameter; says whether there is one.
fn choose(spec: &mut Value, tables: &BTreeSet<PgName>) -> bool {
    let parameters = spec.pointer_mut("/arguments/parameters");
    let parameters = parameters.and_then(Value::as_array_mut);
    let parameter = parameters
        .into_iter()
        .flatten()
        .find(|parameter| named(parameter, TABLES_PARAMETER));
    match parameter.and_then(Value::as_object_mut) {
        Some(parameter) => {
            parameter.insert("value".to_owned(), json!(tables_value(tables)));
            true
        }
        None => false,
    }
}

fn named(parameter: &Value, name: &str) -> bool {
    parameter.get("name").and_then(Value::as_str) == Some(name)
}

fn is_controlled_by(run: &DynamicObject, cron: &DynamicObject) -> bool {
    run.owner_references().iter().any(|owner| {
        owner.kind == Kind::CronWorkflow.as_str() && Some(&owner.uid) == cron.metadata.uid.as_ref()
    })
}

fn read(live: &DynamicObject) -> Run {
    let name = live.name_any();
    let status = live.data.get("status");
    let text = |field: &str| {
        status
            .and_then(|status| status.get(field))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let message = shortened(text("message"));
    // An output of the whole run; where the template gives it no global name, of its node,
    // which is called like the run.
    let of_run = status.and_then(|status| status.get("outputs"));
    let of_node = || {
        let nodes = status.and_then(|status| status.get("nodes"));
        nodes.and_then(|nodes| nodes.get(&name)?.get("outputs"))
    };
    let report = of_run
        .and_then(report)
        .or_else(|| of_node().and_then(report));
    let label = |key: &str| live.labels().get(key).cloned().unwrap_or_default();
    Run {
        cron: label(CRON_LABEL),
        pipeline: label(PIPELINE_LABEL),
        service: label(SERVICE_LABEL),
        phase: Phase::read(text("phase")),
        message: (!message.is_empty()).then_some(message),
        started_at: text("startedAt").parse().ok(),
        finished_at: text("finishedAt").parse().ok(),
        report,
        name,
    }
}

fn report(outputs: &Value) -> Option<String> {
    let parameters = outputs.get("parameters")?.as_array()?;
    let parameter = parameters
        .iter()
        .find(|parameter| named(parameter, REPORT_PARAMETER))?;
    let value = parameter.get("value")?.as_str()?;
    let end = value.floor_char_boundary(LONGEST_REPORT);
    let kept = value.get(..end).unwrap_or_default();
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
