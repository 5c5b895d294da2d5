//! A world in which exactly one proposal is applied: what a plan is made against where
//! nothing can be observed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::object::{Object, ObjectKey};
use crate::proposal::Proposal;
use crate::render::MANAGER;

use super::observed::{Google, LiveConnection, LiveDataset, Observed, Seen};
use super::plan;
use super::record::{Applied, Approved, How, Record, VERSION, list};

/// Everything that `base` asks for exists and is ours; connections lead where the estate
/// and the files of both say.
pub fn applied(base: &Proposal, proposed: &Proposal) -> Observed {
    let mut observed = Observed {
        google: connections(base, proposed),
        ..Observed::default()
    };
    // The digests of the Records are those of a plan over the finished world.
    let settled: BTreeMap<_, _> = plan(base, &observed)
        .pipelines
        .into_iter()
        .map(|(name, pipeline)| (name, pipeline.settled))
        .collect();
    for (name, rendered) in &base.desired.pipelines {
        for (key, object) in &rendered.objects {
            exist(&mut observed, key, object);
        }
        // No commit stands for it: the digest says enough, and nothing shows the commit.
        let (Some(digest), Ok(commit)) = (
            settled.get(name),
            "0".repeat(40).parse::<crate::name::CommitSha>(),
        ) else {
            continue;
        };
        let keys = rendered
            .objects
            .keys()
            .map(|key| (key.clone(), How::Made))
            .collect();
        let record = Record {
            version: VERSION,
            pipeline: name.clone(),
            path: rendered.bound.pipeline.origin.path.clone(),
            approved: Approved {
                digest: digest.clone(),
                commit: commit.clone(),
                pull: None,
                by: crate::plan::record::By::Review,
                since: None,
                source: None,
                adopts: Vec::new(),
            },
            applied: Some(Applied {
                digest: digest.clone(),
                commit,
            }),
            keys: list(&keys),
        };
        observed.kubernetes.records.insert(name.clone(), record);
    }
    observed
}

fn connections(base: &Proposal, proposed: &Proposal) -> Google {
    let mut google = Google::default();
    for rendered in base
        .desired
        .pipelines
        .values()
        .chain(proposed.desired.pipelines.values())
    {
        let bound = &rendered.bound;
        google.connections.insert(
            bound.connection.clone(),
            Seen::Found(LiveConnection {
                instance: bound.instance.clone(),
                database: bound.pipeline.database.clone(),
            }),
        );
    }
    google
}

fn exist(observed: &mut Observed, key: &ObjectKey, object: &Object) {
    let google = &mut observed.google;
    match (key, object) {
        (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(manifest)) => {
            let mut live = manifest.value();
            let owned = json!([{ "manager": MANAGER, "fieldsV1": fields(&live) }]);
            if let Some(metadata) = live.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("managedFields".to_owned(), owned);
            }
            observed
                .kubernetes
                .objects
                .insert((*kind, name.clone()), live.into());
        }
        (ObjectKey::ServiceAccount(account), _) => {
            google.accounts.insert(account.clone(), Seen::Found(()));
        }
        (ObjectKey::Dataset { project, dataset }, Object::Dataset { location }) => {
            let live = LiveDataset {
                location: location.clone(),
            };
            google
                .datasets
                .insert((project.clone(), dataset.clone()), Seen::Found(live));
        }
        (ObjectKey::Grant(grant), _) => {
            let seen = google
                .policies
                .entry(grant.resource.clone())
                .or_insert_with(|| Seen::Found(std::collections::BTreeSet::new()));
            if let Seen::Found(pairs) = seen {
                pairs.insert((grant.role.as_str().to_owned(), grant.member.iam()));
            }
        }
        _ => {}
    }
}

/// The fields that somebody owns who applied this and nothing else.
fn fields(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, below)| (format!("f:{key}"), fields(below)))
            .collect(),
        _ => json!({}),
    }
}
