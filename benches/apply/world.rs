//! The pipelines, and what a plan of them writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use pipewright::name::{CommitSha, Digest, PipelineName};
use pipewright::plan::approval::{ApprovingReview, Memberships, Pushers, Reviewed};
use pipewright::plan::approve::{ApprovedPlan, Mandate, approve};
use pipewright::plan::assumed;
use pipewright::plan::observed::Observed;
use pipewright::plan::plan;
use pipewright::plan::steps::{Step, Write};
use pipewright::proposal::{Proposal, propose};
use pipewright::render::{APPLY_SET_LABEL, MANAGER, apply_set};
use pipewright::sandbox::stage::Stage;
use pipewright::shell::{Edges, Pace};
use serde_json::{Value, json};

use crate::common::{house, repository, snapshot_of};
use crate::place::Place;

/// The files of so many pipelines, at this hour; and one that stays.
pub fn proposal(pipelines: usize, hour: &dyn Fn(usize) -> usize, namespace: &str) -> Proposal {
    let mut files = repository();
    files.retain(|path, _| path.starts_with("policies/") || path.ends_with("orders/orders.yaml"));
    let limits = files.get_mut("policies/defaults.yaml").unwrap();
    *limits = limits.replace("prunes_per_apply: 50", "prunes_per_apply: 100000");
    for index in 0..pipelines {
        let name = format!("many{index:05}");
        let text = format!(
            "bq_project_id: acme-orders\nbq_connection_id: orders-db\nbq_dataset_name: dataplatform_{name}\nservice_name: {name}\ndb_catalog_name: orders\ndb_schema_name: {name}\nschedule: \"15 {} * * *\"\ntimezone: UTC\n",
            hour(index)
        );
        files.insert(format!("pipelines/many/{name}.yaml"), text);
    }
    let mut house = house();
    house.namespace = namespace.to_owned();
    propose(&snapshot_of(&files), &house)
}

pub fn edges(stage: &Stage, place: &Place) -> Edges {
    Edges {
        cluster: place.bot.clone(),
        cluster_pace: Pace::new(32),
        ..stage.worker.edges.clone()
    }
}

/// Observes, plans and approves, with everything reviewed and all of Google there.
pub async fn approved(edges: &Edges, proposal: &Proposal, number: u64) -> ApprovedPlan {
    let observed = Observed {
        kubernetes: edges.cluster.observe().await.unwrap(),
        google: assumed::applied(proposal, proposal).google,
    };
    let plan = plan(proposal, &observed);
    let digests: BTreeMap<PipelineName, Digest> = plan
        .pipelines
        .iter()
        .map(|(name, one)| (name.clone(), one.digest.clone()))
        .collect();
    let head: CommitSha = "a".repeat(40).parse().unwrap();
    let approvals = ["lead-of-orders", "dana"].map(|login| ApprovingReview {
        login: login.to_owned(),
        commit: head.clone(),
        shown: digests.clone(),
    });
    let reviewed = Reviewed {
        number,
        author: "stranger".to_owned(),
        pushers: Pushers::Known(["stranger".to_owned()].into()),
        head: head.clone(),
        merge_commit: None,
        merged_at: Some(Timestamp::from_second(i64::try_from(number).unwrap()).unwrap()),
        digests,
        approvals: approvals.into(),
    };
    let owner = |team: &str, login: &str| (team.parse().unwrap(), login.to_owned());
    let mandate = Mandate::Apply {
        commit: head,
        reviewed: vec![reviewed],
        commanded: vec![],
        memberships: Memberships {
            members: [
                owner("@acme/orders", "lead-of-orders"),
                owner("@acme/data-platform", "dana"),
            ]
            .into(),
        },
        contended: Default::default(),
    };
    let approved = approve(&plan, &mandate).unwrap();
    assert!(approved.held().is_empty(), "{:?}", approved.held());
    approved
}

pub async fn created(stage: &Stage, place: &Place, pipelines: usize) -> (Proposal, ApprovedPlan) {
    let proposal = proposal(pipelines, &|_| 2, &place.namespace);
    let approved = approved(&edges(stage, place), &proposal, 1).await;
    (proposal, approved)
}

/// What each case wants to be there.
pub fn wanted(case: &str, pipelines: usize, namespace: &str) -> Proposal {
    match case {
        "created" | "unchanged" => proposal(pipelines, &|_| 2, namespace),
        "one changed" => proposal(
            pipelines,
            &|index| if index == 0 { 3 } else { 2 },
            namespace,
        ),
        "all changed" => proposal(pipelines, &|_| 4, namespace),
        _ => proposal(0, &|_| 2, namespace),
    }
}

/// One write of the floor.
pub enum Bare {
    Put {
        kind: String,
        name: String,
        manifest: Value,
    },
    Gone {
        kind: String,
        name: String,
    },
}

/// How many objects these writes are about: a Record is written twice.
pub fn objects(writes: &[Vec<Bare>; 2]) -> usize {
    let keys = writes.iter().flatten().map(|write| match write {
        Bare::Put { kind, name, .. } | Bare::Gone { kind, name } => (kind, name),
    });
    keys.collect::<BTreeSet<_>>().len()
}

/// Leaves the place, and waits until its namespace is gone: what is measured next is alone.
pub async fn leave(place: Place) {
    let api = place.api.clone();
    drop(place);
    let path = format!("/api/v1/namespaces/{}", api.namespace);
    while api.ask(Method::GET, &path, "", &Value::Null).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The writes of a plan, and those that end its Records.
pub fn writes(approved: &ApprovedPlan) -> [Vec<Bare>; 2] {
    [approved.steps(), approved.closing()].map(|steps| steps.iter().filter_map(write).collect())
}

pub fn write(step: &Step) -> Option<Bare> {
    match &step.write {
        Write::BeginRecord(record) | Write::EndRecord(record) => {
            let name = format!("record-{}", record.pipeline);
            let manifest = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "labels": {
                    "app.kubernetes.io/managed-by": MANAGER,
                    APPLY_SET_LABEL: apply_set("any"),
                    "pipewright.dev/record": record.pipeline,
                }},
                "data": {"record": serde_json::to_string(record).unwrap()},
            });
            Some(Bare::Put {
                kind: "ConfigMap".to_owned(),
                name,
                manifest,
            })
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
        } => Some(Bare::Put {
            kind: kind.as_str().to_owned(),
            name: name.clone(),
            manifest: manifest.value(),
        }),
        Write::Delete { kind, name } => Some(Bare::Gone {
            kind: kind.as_str().to_owned(),
            name: name.clone(),
        }),
        Write::RemoveRecord { pipeline } => Some(Bare::Gone {
            kind: "ConfigMap".to_owned(),
            name: format!("record-{pipeline}"),
        }),
        _ => None,
    }
}
