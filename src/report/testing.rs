//! A small world for the report's tests: files, what they were applied to, and what the
//! core makes of a change to them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::event::PullNumber;
use crate::name::{CommitSha, PipelineName};
use crate::object::{Member, Object, ObjectKey};
use crate::plan::approval::{ApprovingReview, Memberships, Pushers, Reviewed};
use crate::plan::approve::{ApprovedPlan, Mandate, Refusal, approve};
use crate::plan::observed::{LiveConnection, LiveDataset, Observed, Seen};
use crate::plan::record::{Applied, Approved, Record, VERSION, list};
use crate::plan::{Intent, Plan, plan};
use crate::proposal::{Proposal, propose};
use crate::render::House;
use crate::snapshot::{Entry, Snapshot, Tree};

use super::review::{Review, review_comment};

pub(super) const ESTATE: &str = "owners: ['@acme/data-platform']
projects:
  acme-orders:
    owners: ['@acme/orders']
    connections:
      orders-db: {location: europe-west1, instance: 'acme-orders:europe-west1:orders'}
  acme-stock:
    owners: ['@acme/stock', '@carol']
    connections:
      stock-db: {location: europe-west1, instance: 'acme-stock:europe-west1:stock'}
";

/// One pipeline's file, with further lines.
pub(super) fn file(service: &str, dataset: &str, more: &str) -> String {
    format!(
        "bq_project_id: acme-{service}\nbq_connection_id: {service}-db\nbq_dataset_name: {dataset}\n\
         service_name: {service}\ndb_catalog_name: {service}\ndb_schema_name: {dataset}\n{more}"
    )
}

pub(super) fn commit(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(super) fn house() -> House {
    House {
        namespace: "data".to_owned(),
        runner_image: format!("ghcr.io/acme/pipewright@sha256:{}", "a".repeat(64)),
        identity_project: "acme-identities".parse().unwrap(),
        workload_pool: "acme-cluster.svc.id.goog".to_owned(),
    }
}

pub(super) fn tree<S: AsRef<str>>(files: &[(&str, S)]) -> Tree {
    let mut tree = Tree::default();
    let estate = [("policies/estate.yaml", ESTATE.to_owned())];
    let files = files
        .iter()
        .map(|(name, text)| (*name, text.as_ref().to_owned()));
    for (path, text) in estate.into_iter().chain(files) {
        let path = if path.contains('/') {
            path.to_owned()
        } else {
            format!("pipelines/{path}.yaml")
        };
        tree.entries.insert(path, Entry::File(text.into_bytes()));
    }
    tree
}

fn proposal(base: &Tree, proposed: &Tree) -> Proposal {
    let snapshot = Snapshot {
        base: base.clone(),
        proposed: (base != proposed).then(|| proposed.clone()),
        base_commit: None,
    };
    propose(&snapshot, &house())
}

/// What is there after `tree` was applied, and nothing else than the connections.
pub(super) fn applied(tree: &Tree) -> Observed {
    let proposal = proposal(tree, tree);
    let mut observed = connections();
    let plan = plan(&proposal, &observed);
    for rendered in proposal.desired.pipelines.values() {
        for (key, object) in &rendered.objects {
            put(&mut observed, key, object);
        }
    }
    for (name, pipeline) in plan.pipelines {
        let record = Record {
            version: VERSION,
            pipeline: name.clone(),
            path: pipeline.path,
            approved: Approved {
                digest: pipeline.digest,
                commit: commit('0'),
                pull: Some(1),
                by: crate::plan::record::By::Review,
                since: None,
                source: None,
                adopts: Vec::new(),
            },
            applied: Some(Applied {
                digest: pipeline.settled,
                commit: commit('0'),
            }),
            keys: list(&pipeline.desired),
        };
        observed.kubernetes.records.insert(name, record);
    }
    observed
}

fn connections() -> Observed {
    let mut observed = Observed::default();
    for service in ["orders", "stock"] {
        let name = crate::name::ConnectionName {
            project: format!("acme-{service}").parse().unwrap(),
            location: "europe-west1".parse().unwrap(),
            id: format!("{service}-db").parse().unwrap(),
        };
        let live = LiveConnection {
            instance: format!("acme-{service}:europe-west1:{service}")
                .parse()
                .unwrap(),
            database: service.parse().unwrap(),
        };
        observed.google.connections.insert(name, Seen::Found(live));
    }
    observed
}

fn put(observed: &mut Observed, key: &ObjectKey, object: &Object) {
    let google = &mut observed.google;
    match (key, object) {
        (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(manifest)) => {
            let mut live = manifest.value();
            live["metadata"]["resourceVersion"] = json!("7");
            let objects = &mut observed.kubernetes.objects;
            objects.insert((*kind, name.clone()), live.into());
        }
        (ObjectKey::ServiceAccount(account), _) => {
            google.accounts.insert(account.clone(), Seen::Found(()));
        }
        (ObjectKey::Dataset { project, dataset }, Object::Dataset { location }) => {
            let live = LiveDataset {
                location: location.clone(),
            };
            let key = (project.clone(), dataset.clone());
            google.datasets.insert(key, Seen::Found(live));
        }
        (ObjectKey::Grant(grant), _) => {
            let pair = (grant.role.as_str().to_owned(), Member::iam(&grant.member));
            let seen = google
                .policies
                .entry(grant.resource.clone())
                .or_insert_with(|| Seen::Found(BTreeSet::new()));
            if let Seen::Found(pairs) = seen {
                pairs.insert(pair);
            }
        }
        _ => unreachable!("a key and an object of different kinds"),
    }
}

/// The plan of a pull request over `base` as it was applied.
pub(super) fn reviewed(base: &Tree, proposed: &Tree) -> Plan {
    plan(&proposal(base, proposed), &applied(base))
}

/// The plan of the default branch, once `merged` stands where `before` was applied.
pub(super) fn merged(before: &Tree, merged: &Tree) -> Plan {
    plan(&proposal(merged, merged), &applied(before))
}

/// What is approved if `login` approved everything that `shown` shows on pull request 12.
pub(super) fn approve_as(plan: &Plan, shown: &Plan, login: &str) -> Result<ApprovedPlan, Refusal> {
    let pull: PullNumber = 12;
    let head = commit('b');
    let digests = shown
        .pipelines
        .iter()
        .filter(|(_, one)| one.intent != Intent::Blocked)
        .map(|(name, one)| (name.clone(), one.digest.clone()))
        .collect::<crate::plan::approval::Digests>();
    let reviewed = Reviewed {
        number: pull,
        author: "mallory".to_owned(),
        pushers: Pushers::Unknown,
        head: head.clone(),
        merge_commit: Some(commit('c')),
        merged_at: None,
        approvals: [ApprovingReview {
            login: login.to_owned(),
            commit: head,
            shown: digests.clone(),
        }]
        .into(),
        digests,
    };
    let memberships = Memberships {
        members: [
            ("@acme/orders".parse().unwrap(), "olga".to_owned()),
            ("@acme/stock".parse().unwrap(), "steve".to_owned()),
        ]
        .into(),
    };
    let mandate = Mandate::Apply {
        contended: Default::default(),
        commit: commit('c'),
        reviewed: vec![reviewed],
        commanded: Vec::new(),
        memberships,
    };
    approve(plan, &mandate)
}

pub(super) fn names(names: &[&str]) -> BTreeSet<PipelineName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The comment on an open pull request.
pub(super) fn comment(plan: &Plan) -> String {
    review_comment(&Review {
        head: &commit('b'),
        plan,
    })
}

/// A change of one pipeline, and a new one.
pub(super) fn two() -> (Tree, Tree) {
    let base = tree(&[("stock", file("stock", "stock", "target_tables: [items]\n"))]);
    let more = "target_tables: [items, levels]\nreaders: ['group:bi@acme.example']\n";
    let proposed = tree(&[
        ("stock", file("stock", "stock", more)),
        ("orders", file("orders", "orders", "")),
    ]);
    (base, proposed)
}
