//! A pipeline's CronWorkflows: one for each distinct schedule, with disjoint tables.
//!
//! Only fields that Argo Workflows 3.6, 3.7 and 4.1 all accept. `suspend` is rendered only
//! where the file says so: a person who suspends a CronWorkflow keeps it suspended,
//! because a field that we never send is not ours.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::name::PgName;
use crate::object::{Kind, Object, ObjectKey};
use crate::pipeline::{Bound, Schedule, TableSelection};
use crate::policy::Defaults;
use crate::sync::{PERMANENT_EXIT_CODE, RUN_SPEC_ENVIRONMENT, RunSpec};

use super::labels::{PIPELINE_LABEL, SERVICE_LABEL, manifest};
use super::rerun::{TABLES_ENVIRONMENT, TABLES_PARAMETER};
use super::{House, Identity, short_hash};

/// The output parameter that a run leaves its report in.
pub const REPORT_PARAMETER: &str = "report";

/// The variable that carries what a run's jobs are named after.
pub const RUN_UID_ENVIRONMENT: &str = "PIPEWRIGHT_RUN_UID";

/// One schedule of a pipeline: what its CronWorkflow is called, and what it copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    pub name: String,
    pub schedule: Schedule,
    /// No table is in two of them.
    pub tables: TableSelection,
}

/// The schedules of a pipeline, the main one first.
pub fn crons(bound: &Bound) -> Vec<Cron> {
    let further: BTreeSet<PgName> = bound
        .schedules()
        .into_iter()
        .filter_map(|(_, tables)| tables)
        .flatten()
        .collect();
    let name = &bound.pipeline.name;
    bound
        .schedules()
        .into_iter()
        .map(|(schedule, tables)| match tables {
            None => Cron {
                name: name.to_string(),
                schedule,
                tables: without(&bound.pipeline.tables, &further),
            },
            Some(tables) => Cron {
                name: format!("{name}-{}", short_hash(schedule.as_str(), 8)),
                schedule,
                tables: TableSelection::Only(tables),
            },
        })
        .collect()
}

pub(super) fn objects(
    bound: &Bound,
    identity: &Identity,
    defaults: &Defaults,
    house: &House,
) -> BTreeMap<ObjectKey, Object> {
    crons(bound)
        .into_iter()
        .map(|cron| {
            let manifest = cron_workflow(&cron, bound, identity, defaults, house);
            let key = ObjectKey::Kubernetes {
                kind: Kind::CronWorkflow,
                name: cron.name,
            };
            (key, Object::Kubernetes(manifest.into()))
        })
        .collect()
}

/// The selection less the tables that have a schedule of their own.
fn without(tables: &TableSelection, further: &BTreeSet<PgName>) -> TableSelection {
    match tables {
        TableSelection::All if further.is_empty() => TableSelection::All,
        TableSelection::All => TableSelection::Except(further.clone()),
        TableSelection::Except(excluded) => TableSelection::Except(excluded | further),
        TableSelection::Only(only) => TableSelection::Only(only - further),
    }
}

fn cron_workflow(
    Cron {
        name,
        schedule,
        tables,
    }: &Cron,
    bound: &Bound,
    identity: &Identity,
    defaults: &Defaults,
    house: &House,
) -> Value {
    let pipeline = &bound.pipeline;
    let labels = BTreeMap::from([
        (PIPELINE_LABEL, pipeline.name.to_string()),
        (SERVICE_LABEL, pipeline.service.to_string()),
    ]);
    let mut annotations = BTreeMap::from([("pipewright.dev/path", pipeline.origin.path.clone())]);
    if !pipeline.owners.is_empty() {
        let owners: Vec<&str> = pipeline.owners.iter().map(|owner| owner.as_str()).collect();
        annotations.insert("pipewright.dev/owners", owners.join(","));
    }
    let (semaphore, key) = identity.semaphore();
    let mut spec = json!({
        "schedules": [schedule.as_str()],
        "timezone": bound.timezone.as_str(),
        "concurrencyPolicy": "Forbid",
        // A controller that was down for an hour still starts the night's run, once.
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 20,
        "failedJobsHistoryLimit": 20,
        "workflowMetadata": { "labels": labels },
        "workflowSpec": {
            "entrypoint": "sync",
            // A tick is about all tables; a rerun says which.
            "arguments": { "parameters": [{ "name": TABLES_PARAMETER, "value": "" }] },
            "serviceAccountName": identity.kubernetes,
            "activeDeadlineSeconds": i64::from(defaults.run_hours) * 3600,
            "podMetadata": { "labels": labels },
            "synchronization": {
                // Never more runs against a database than it bears.
                "semaphores": [{ "configMapKeyRef": { "name": semaphore, "key": key } }],
                // Forbid knows only its own ticks; a manual run holds this as well.
                "mutexes": [{ "name": format!("pipewright-{name}") }],
            },
            "metrics": metrics(bound),
            "templates": [template(tables, bound, house)],
        },
    });
    if pipeline.suspend
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("suspend".to_owned(), Value::Bool(true));
    }
    let mut manifest = manifest(
        Kind::CronWorkflow,
        &house.namespace,
        name,
        labels,
        annotations,
    );
    if let Some(manifest) = manifest.as_object_mut() {
        manifest.insert("spec".to_owned(), spec);
    }
    manifest
}

fn template(tables: &TableSelection, bound: &Bound, house: &House) -> Value {
    json!({
        "name": "sync",
        "container": {
            "image": house.runner_image,
            "command": ["pipewright"],
            "args": ["sync"],
            "env": [
                { "name": RUN_SPEC_ENVIRONMENT, "value": run_spec(tables, bound).to_environment() },
                {
                    "name": TABLES_ENVIRONMENT,
                    "value": format!("{{{{workflow.parameters.{TABLES_PARAMETER}}}}}"),
                },
                // The same for every attempt of a run, and of no other run.
                { "name": RUN_UID_ENVIRONMENT, "value": "{{workflow.uid}}" },
            ],
            // The only place the runner writes to; the rest of the file system is read-only.
            "volumeMounts": [{ "name": "run", "mountPath": "/run/pipewright" }],
            "resources": {
                "requests": { "cpu": "50m", "memory": "64Mi" },
                "limits": { "memory": "256Mi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": { "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
            },
        },
        // Without a default, a pod that died before it wrote the file would end the run as
        // Error, and hide why. Only with a global name is it an output of the whole run.
        "outputs": { "parameters": [{
            "name": REPORT_PARAMETER,
            "globalName": REPORT_PARAMETER,
            "valueFrom": { "path": "/run/pipewright/report.json", "default": "" },
        }] },
        "volumes": [{ "name": "run", "emptyDir": {} }],
        "retryStrategy": {
            "limit": "3",
            "retryPolicy": "Always",
            "expression": format!("asInt(lastRetry.exitCode) != {PERMANENT_EXIT_CODE}"),
            "backoff": { "duration": "60", "factor": "2", "maxDuration": "3600" },
        },
    })
}

/// What the run of these tables shall do.
pub fn run_spec(tables: &TableSelection, bound: &Bound) -> RunSpec {
    let pipeline = &bound.pipeline;
    RunSpec {
        pipeline: pipeline.name.clone(),
        service: pipeline.service.clone(),
        project: pipeline.project.clone(),
        connection: bound.connection.clone(),
        instance: bound.instance.clone(),
        location: bound.location.clone(),
        dataset: pipeline.dataset.clone(),
        database: pipeline.database.clone(),
        schema: pipeline.schema.clone(),
        tables: tables.clone(),
        options: pipeline
            .table_options
            .iter()
            .filter(|(table, _)| tables.contains(table))
            .map(|(table, options)| (table.clone(), options.clone()))
            .collect(),
        schema_changes: pipeline.schema_changes,
        new_tables: pipeline.new_tables,
        new_columns: pipeline.new_columns,
    }
}

/// One gauge and one counter, so that a failing run is found by service and pipeline.
fn metrics(bound: &Bound) -> Value {
    let labels = json!([
        { "key": "service", "value": bound.pipeline.service },
        { "key": "pipeline", "value": bound.pipeline.name },
        { "key": "status", "value": "{{workflow.status}}" },
    ]);
    json!({ "prometheus": [
        {
            "name": "pipewright_runs_total",
            "help": "Runs of a pipeline, by how they ended",
            "labels": labels,
            "counter": { "value": "1" },
        },
        {
            "name": "pipewright_run_duration_seconds",
            "help": "How long the last run of a pipeline took",
            "labels": labels,
            // The definition wants it said.
            "gauge": { "realtime": false, "value": "{{workflow.duration}}" },
        },
    ] })
}
