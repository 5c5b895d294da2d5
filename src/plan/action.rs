//! What happens to one key: read off what is there, field by field.

use serde_json::Value;

use crate::object::{Kind, Object, ObjectKey};
use crate::render::{APPLY_SET_LABEL, MANAGER};

use super::compare::FieldChange;
use super::inventory::is_applied_by_us;
use super::observed::{Observed, Seen};
use super::record::How;
use super::{Action, compare};

/// What happens to a key that a pipeline lets go.
pub(super) fn release(key: &ObjectKey, held: Option<&How>) -> Action {
    match (key, held) {
        (ObjectKey::Dataset { .. }, _) => Action::Release("data is never deleted"),
        (_, Some(How::Adopted)) => Action::Release("it was there before Pipewright"),
        _ => Action::Prune,
    }
}

/// What happens to a key that a pipeline wants, if everything is approved.
pub(super) fn action(
    key: &ObjectKey,
    object: &Object,
    observed: &Observed,
    adopts: bool,
) -> Action {
    let unchanged = if adopts {
        Action::Adopt {
            fields: Vec::new(),
            resource_version: None,
        }
    } else {
        Action::Unchanged
    };
    match (key, object) {
        (ObjectKey::Kubernetes { kind, name }, Object::Kubernetes(desired)) => {
            match observed.kubernetes.objects.get(&(*kind, name.clone())) {
                None => Action::Create,
                Some(live) => {
                    let live = &*live.value();
                    let fields = compare::differences(&desired.value(), live, MANAGER);
                    let resource_version = live
                        .pointer("/metadata/resourceVersion")
                        .and_then(Value::as_str)
                        .map(ToOwned::to_owned);
                    match (adopts, fields.is_empty()) {
                        (true, _) => Action::Adopt {
                            fields,
                            resource_version,
                        },
                        (false, true) => Action::Unchanged,
                        (false, false) => match immutable(*kind, live, &fields) {
                            Some(why) => Action::Replace { fields, why },
                            None => Action::Configure {
                                fields,
                                resource_version,
                            },
                        },
                    }
                }
            }
        }
        _ if exists(key, observed) => unchanged,
        _ => Action::Create,
    }
}

/// Why not all of these fields can be changed in place.
fn immutable(kind: Kind, live: &Value, fields: &[FieldChange]) -> Option<&'static str> {
    let mut fields = fields.iter();
    fields.find_map(|one| compare::immutable(kind, live, &one.field))
}

/// Whether the key exists, as far as it could be read.
fn exists(key: &ObjectKey, observed: &Observed) -> bool {
    let google = &observed.google;
    match key {
        ObjectKey::Kubernetes { kind, name } => observed
            .kubernetes
            .objects
            .contains_key(&(*kind, name.clone())),
        ObjectKey::ServiceAccount(account) => {
            matches!(google.accounts.get(account), Some(Seen::Found(())))
        }
        ObjectKey::Dataset { project, dataset } => {
            let key = (project.clone(), dataset.clone());
            matches!(google.datasets.get(&key), Some(Seen::Found(_)))
        }
        ObjectKey::Grant(grant) => match google.policies.get(&grant.resource) {
            Some(Seen::Found(pairs)) => {
                pairs.contains(&(grant.role.as_str().to_owned(), grant.member.iam()))
            }
            _ => false,
        },
    }
}

/// Whether it exists without being ours: in Kubernetes if it has not our label, or if we never
/// applied it and the label was copied; at Google, where nothing can be labelled, everything
/// that no Record holds.
pub(super) fn is_foreign(key: &ObjectKey, observed: &Observed) -> bool {
    match key {
        ObjectKey::Kubernetes { kind, name } => observed
            .kubernetes
            .objects
            .get(&(*kind, name.clone()))
            .is_some_and(|live| {
                let live = live.value();
                let label = live
                    .pointer("/metadata/labels")
                    .and_then(|labels| labels.get(APPLY_SET_LABEL));
                label.is_none() || !is_applied_by_us(&live)
            }),
        _ => exists(key, observed),
    }
}

/// Whether what is there carries our label, read off what differs from the desired object.
pub(super) fn is_labelled(fields: &[FieldChange]) -> bool {
    let label = format!("metadata.labels.{APPLY_SET_LABEL}");
    let mut differing = fields.iter().map(|change| change.field.as_str());
    // Where there are no labels at all, the whole map is what differs.
    !differing.any(|field| field == label || label.starts_with(&format!("{field}.")))
}
