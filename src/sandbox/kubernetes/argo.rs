//! Argo's workflow controller: it begins and ends runs when it is told to.
//!
//! Nothing happens inside a request. [`Kubernetes::argo_tick`] is a schedule's time,
//! [`Kubernetes::argo_step`] one look at everything, [`Kubernetes::finish_run`] the end of
//! the pods. It does labels, phases, locks, outputs, a CronWorkflow's status and its history.
//! It leaves out schedules themselves, `Replace`, `when`, `stopStrategy`, pods, retries,
//! templating, finalizers, and time to live.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::body::{meta, set};
use super::locks;
use super::store::{self, Key, Store};
use super::{Kubernetes, kinds, write_to};

const MANAGER: &str = "workflow-controller";
const CRON_LABEL: &str = "workflows.argoproj.io/cron-workflow";
const PHASE_LABEL: &str = "workflows.argoproj.io/phase";
const COMPLETED_LABEL: &str = "workflows.argoproj.io/completed";
const SCHEDULED_TIME: &str = "workflows.argoproj.io/scheduled-time";

/// What came of a schedule's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick {
    /// A run of this name.
    Began(String),
    /// None, and why.
    Skipped(&'static str),
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    Error,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Error => "Error",
        }
    }
}

impl Kubernetes {
    /// The time of a CronWorkflow's schedule has come.
    ///
    /// # Errors
    /// If there is no such CronWorkflow, or the server refuses what the controller writes.
    pub fn argo_tick(&self, namespace: &str, cron: &str) -> anyhow::Result<Tick> {
        let mut store = self.shared.lock();
        let live = find(&store, "CronWorkflow", namespace, cron)?;
        if live.pointer("/spec/suspend") == Some(&json!(true)) {
            return Ok(Tick::Skipped("it is suspended"));
        }
        let policy = live.pointer("/spec/concurrencyPolicy");
        let active = live.pointer("/status/active").and_then(Value::as_array);
        if policy == Some(&json!("Forbid")) && active.is_some_and(|runs| !runs.is_empty()) {
            return Ok(Tick::Skipped("a run is active"));
        }
        let now = store.now();
        let seconds: jiff::Timestamp = now.parse().context("read the simulated time")?;
        let name = format!("{cron}-{}", seconds.as_second());
        write_to(&mut store, scheduled(&live, &name, &now), MANAGER)?;
        let run = find(&store, "Workflow", namespace, &name)?;
        begin(&mut store, run)?;
        let mut cron = Value::clone(&live);
        status_of(&mut cron, "lastScheduledTime", json!(now));
        status_of(&mut cron, "phase", json!("Active"));
        write_to(&mut store, cron, MANAGER)?;
        look_after(&mut store, &live)?;
        Ok(Tick::Began(name))
    }

    /// The controller looks at everything once: Workflows that it has not seen begin, or wait
    /// for their locks; each CronWorkflow's status lists its runs. Says how many began.
    ///
    /// # Errors
    /// If the server refuses what it writes.
    pub fn argo_step(&self) -> anyhow::Result<usize> {
        let mut store = self.shared.lock();
        let mut waiting: Vec<Value> = of_kind(&store, "Workflow")
            .filter(|run| matches!(phase(run), "" | "Pending"))
            .collect();
        waiting.sort_by_cached_key(came);
        let mut began = 0;
        for run in waiting {
            began += usize::from(begin(&mut store, run)?);
        }
        let crons: Vec<Value> = of_kind(&store, "CronWorkflow").collect();
        for cron in &crons {
            look_after(&mut store, cron)?;
        }
        Ok(began)
    }

    /// Ends a run: its phase, its message, what it left as output `report`, and what follows
    /// of it for its CronWorkflow.
    ///
    /// # Errors
    /// If there is no such run, it has ended, or it has no such output.
    pub fn finish_run(
        &self,
        namespace: &str,
        name: &str,
        ending: Ending,
        message: &str,
        report: Option<&str>,
    ) -> anyhow::Result<()> {
        let mut store = self.shared.lock();
        let mut run = find(&store, "Workflow", namespace, name)?;
        if is_final(&run) {
            bail!("the run {name} has ended");
        }
        let outputs = outputs(&run, report)?;
        let global: Vec<Value> = outputs
            .iter()
            .filter_map(|output| {
                let name = output.get("globalName")?;
                Some(json!({"name": name, "value": output.get("value")}))
            })
            .collect();
        let now = store.now();
        set_phase(&mut run, ending.as_str());
        status_of(&mut run, "finishedAt", json!(now));
        if !message.is_empty() {
            status_of(&mut run, "message", json!(message));
        }
        if !global.is_empty() {
            status_of(&mut run, "outputs", json!({"parameters": global}));
        }
        let node = json!({
            "id": name, "name": name, "displayName": name, "type": "Retry",
            "phase": ending.as_str(), "message": message, "finishedAt": now,
            "outputs": {"parameters": outputs},
        });
        status_of(&mut run, "nodes", json!({name: node}));
        write_to(&mut store, run.clone(), MANAGER)?;
        let crons: Vec<Value> = of_kind(&store, "CronWorkflow")
            .filter(|cron| owns(cron, &run))
            .collect();
        for mut cron in crons {
            let counter = match ending {
                Ending::Succeeded => "succeeded",
                Ending::Failed | Ending::Error => "failed",
            };
            let count = cron.pointer(&format!("/status/{counter}"));
            let count = count.and_then(Value::as_u64).unwrap_or(0);
            status_of(&mut cron, counter, json!(count + 1));
            write_to(&mut store, cron.clone(), MANAGER)?;
            look_after(&mut store, &cron)?;
        }
        Ok(())
    }
}

/// The Workflow of a schedule's time.
fn scheduled(cron: &Value, name: &str, now: &str) -> Value {
    let texts = |field: &str, own: (&str, &str)| {
        let mut texts = json!({own.0: own.1});
        let given = cron.pointer(&format!("/spec/workflowMetadata/{field}"));
        if let Some(given) = given {
            super::body::merge(&mut texts, given);
        }
        texts
    };
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {
            "name": name,
            "namespace": meta(cron, "namespace"),
            "labels": texts("labels", (CRON_LABEL, meta(cron, "name"))),
            "annotations": texts("annotations", (SCHEDULED_TIME, now)),
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow",
                "name": meta(cron, "name"), "uid": meta(cron, "uid"),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": cron.pointer("/spec/workflowSpec"),
    })
}

/// When a Workflow was made; within a second by its uid, which counts here.
fn came(run: &Value) -> [String; 2] {
    ["creationTimestamp", "uid"].map(|field| meta(run, field).to_owned())
}

/// Lets a Workflow begin if it gets its locks; says whether it did.
fn begin(store: &mut Store, mut run: Value) -> anyhow::Result<bool> {
    let running: Vec<Value> = of_kind(store, "Workflow")
        .filter(|other| phase(other) == "Running" && in_same_namespace(other, &run))
        .collect();
    let ahead: Vec<Value> = of_kind(store, "Workflow")
        .filter(|other| phase(other) == "Pending" && in_same_namespace(other, &run))
        .filter(|other| came(other) < came(&run))
        .collect();
    let before = run.clone();
    let free = locks::ask(store, &run, &running, &ahead);
    match &free {
        locks::Answer::Free => {
            set_phase(&mut run, "Running");
            status_of(&mut run, "startedAt", json!(store.now()));
            status_of(&mut run, "message", Value::Null);
        }
        locks::Answer::Waiting(why) => {
            set_phase(&mut run, "Pending");
            status_of(&mut run, "message", json!(why));
        }
        locks::Answer::Broken(why) => {
            let now = store.now();
            set_phase(&mut run, "Failed");
            status_of(&mut run, "startedAt", json!(now));
            status_of(&mut run, "finishedAt", json!(now));
            status_of(&mut run, "message", json!(why));
        }
    }
    if run != before {
        write_to(store, run, MANAGER)?;
    }
    Ok(free == locks::Answer::Free)
}

/// Lists a CronWorkflow's unfinished runs in its status, and forgets its oldest finished ones.
fn look_after(store: &mut Store, cron: &Value) -> anyhow::Result<()> {
    let mut cron = find(
        store,
        "CronWorkflow",
        meta(cron, "namespace"),
        meta(cron, "name"),
    )?;
    let runs: Vec<Value> = of_kind(store, "Workflow")
        .filter(|run| owns(&cron, run))
        .collect();
    let active: Vec<Value> = runs
        .iter()
        .filter(|run| !is_final(run))
        .map(|run| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "name": meta(run, "name"), "namespace": meta(run, "namespace"),
                "uid": meta(run, "uid"), "resourceVersion": meta(run, "resourceVersion"),
            })
        })
        .collect();
    for (successes, limit, default) in [
        (true, "successfulJobsHistoryLimit", 3),
        (false, "failedJobsHistoryLimit", 1),
    ] {
        let limit = cron.pointer(&format!("/spec/{limit}"));
        let limit = limit.and_then(Value::as_u64).unwrap_or(default);
        let mut finished: Vec<&Value> = runs
            .iter()
            .filter(|run| is_final(run) && (phase(run) == "Succeeded") == successes)
            .collect();
        finished.sort_by_key(|run| {
            let at = run.pointer("/status/finishedAt").and_then(Value::as_str);
            (at.unwrap_or_default(), meta(run, "name"))
        });
        let kept = usize::try_from(limit).unwrap_or(usize::MAX);
        for run in finished.iter().take(finished.len().saturating_sub(kept)) {
            store.remove(&key("Workflow", meta(run, "namespace"), meta(run, "name"))?);
        }
    }
    let before = cron.clone();
    status_of(&mut cron, "active", json!(active));
    // Empty until a schedule's time has come, whatever was run by hand.
    if cron.pointer("/status/phase").is_none() {
        status_of(&mut cron, "phase", json!(""));
    }
    match cron == before {
        true => Ok(()),
        false => write_to(store, cron, MANAGER),
    }
}

/// The entry template's output parameters with their values.
fn outputs(run: &Value, report: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let entry = run.pointer("/spec/entrypoint");
    let templates = run.pointer("/spec/templates").and_then(Value::as_array);
    let declared = templates
        .into_iter()
        .flatten()
        .find(|template| template.get("name") == entry)
        .and_then(|template| template.pointer("/outputs/parameters")?.as_array());
    let mut outputs: Vec<Value> = declared.cloned().unwrap_or_default();
    let is_report = |output: &Value| output.get("name") == Some(&json!("report"));
    if report.is_some() && !outputs.iter().any(is_report) {
        bail!("its entry template has no output parameter `report`");
    }
    for output in &mut outputs {
        let default = output.pointer("/valueFrom/default").cloned();
        let value = match report {
            Some(report) if is_report(output) => Some(json!(report)),
            _ => default,
        };
        if let Some(value) = value {
            set(output, "value", value);
        }
    }
    Ok(outputs)
}

fn set_phase(run: &mut Value, phase: &str) {
    status_of(run, "phase", json!(phase));
    let completed = matches!(phase, "Succeeded" | "Failed" | "Error").to_string();
    let labels = json!({"metadata": {"labels": {PHASE_LABEL: phase, COMPLETED_LABEL: completed}}});
    super::body::merge(run, &labels);
}

/// Sets a field of the status; null takes it away.
fn status_of(object: &mut Value, field: &str, value: Value) {
    if value.is_null() || !value.is_object() {
        super::body::merge(object, &json!({"status": {field: value}}));
        return;
    }
    // Merged, the old and the new would mix.
    super::body::merge(object, &json!({"status": {field: null}}));
    super::body::merge(object, &json!({"status": {field: value}}));
}

fn phase(run: &Value) -> &str {
    let phase = run.pointer("/status/phase").and_then(Value::as_str);
    phase.unwrap_or_default()
}

fn is_final(run: &Value) -> bool {
    matches!(phase(run), "Succeeded" | "Failed" | "Error")
}

/// By uid: one of the same name that came later owns nothing of it.
fn owns(cron: &Value, run: &Value) -> bool {
    store::owners(run)
        .iter()
        .any(|owner| owner.get("uid").and_then(Value::as_str) == store::uid(cron))
}

fn in_same_namespace(one: &Value, other: &Value) -> bool {
    meta(one, "namespace") == meta(other, "namespace")
}

fn of_kind<'a>(store: &'a Store, kind: &'a str) -> impl Iterator<Item = Value> + 'a {
    store
        .all()
        .filter(move |object| object.get("kind").and_then(Value::as_str) == Some(kind))
        .map(|object| Value::clone(object))
}

fn key(kind: &str, namespace: &str, name: &str) -> anyhow::Result<Key> {
    let resource = kinds::by_kind(kind).ok_or_else(|| anyhow!("no kind {kind} is served"))?;
    Ok(Key::new(resource, namespace, name))
}

fn find(store: &Store, kind: &str, namespace: &str, name: &str) -> anyhow::Result<Value> {
    let found = store.get(&key(kind, namespace, name)?);
    let found = found.ok_or_else(|| anyhow!("there is no {kind} {name} in {namespace}"))?;
    Ok(Value::clone(&found))
}
