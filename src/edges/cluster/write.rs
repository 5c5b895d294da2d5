//! Writing: server-side apply, and deletion with care for what is running.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::api::{
    Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions,
    PropagationPolicy,
};
use serde_json::{Value, json};

use super::{Cluster, ClusterError};
use crate::object::{Kind, Manifest};
use crate::plan::steps::Force;
use crate::render::{APPLY_SET_LABEL, MANAGER, apply_set};

/// How often an object that changes meanwhile is looked at, to delete it.
const TRIES: u32 = 5;

/// What became of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It does not exist any more, if it ever did.
    Gone,
    /// It still exists. Delete it again later.
    Waiting(Wait),
}

/// Why an object still exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For a person.
    pub why: String,
    /// When it was deleted, by the server's clock; none if it is not yet, because it is used.
    pub since: Option<Timestamp>,
}

impl Cluster {
    /// Makes the object what the manifest says, leaving others' fields alone.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] if others own a field and `force` is [`Force::No`];
    /// [`ClusterError::Changed`] if the object is not the version to force; and whatever
    /// else the cluster says.
    pub async fn apply(
        &self,
        kind: Kind,
        name: &str,
        manifest: &Manifest,
        force: &Force,
    ) -> Result<(), ClusterError> {
        let attempt = format!("apply {} {name}", kind.as_str());
        let failed = |error| ClusterError::classify(&attempt, error);
        let mut parameters = PatchParams::apply(MANAGER).validation_strict();
        let mut versioned = None;
        if let Force::OnVersion(version) = force {
            parameters = parameters.force();
            let mut body = manifest.value();
            if let Some(metadata) = body.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".to_owned(), json!(version));
            }
            versioned = Some(Manifest::from(body));
        }
        let body = Patch::Apply(versioned.as_ref().unwrap_or(manifest));
        let api = self.api(kind);
        let writing = self.cache.writing(kind, name);
        // Who owns what stands in the metadata; the rest would be what was sent, and more.
        let applied = api.patch_metadata(name, &parameters, &body).await;
        let applied = writing.answered(applied.map_err(failed))?.metadata;
        if suspended_by_us(&applied) && manifest.value().pointer("/spec/suspend").is_none() {
            let resumed = suspend(&api, &applied, name, Value::Null).await;
            writing.answered(resumed.map_err(failed))?;
        }
        Ok(())
    }

    /// Deletes an object of ours, as it was told last, or else as this very call sees it: the
    /// server deletes that version or nothing. A CronWorkflow takes its running Workflows with
    /// it, so it is suspended first and goes only when idle. Argo writes into its status at its
    /// own time, so a version that has changed is looked at again a few times.
    ///
    /// # Errors
    /// [`ClusterError::NotOurs`] without our label, or if we never applied it;
    /// [`ClusterError::Changed`] if somebody is faster every time; and whatever else the
    /// cluster says.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<Deleted, ClusterError> {
        let mut told = self.told(kind, name);
        let mut tries = 1;
        loop {
            match self.delete_as_seen(kind, name, told.take()).await {
                Err(ClusterError::Changed { .. }) if tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// The object as a watch has told it, if it is to be deleted as that: what would hold the
    /// deletion may be over by now.
    fn told(&self, kind: Kind, name: &str) -> Option<DynamicObject> {
        let bytes = self.cache.object(kind, name)?;
        let live: DynamicObject = serde_json::from_slice(&bytes).ok()?;
        let is_deletable = self.must_be_ours("", &live).is_ok()
            && is_applied_by_us(&live)
            && live.metadata.deletion_timestamp.is_none();
        is_deletable.then_some(live)
    }

    async fn delete_as_seen(
        &self,
        kind: Kind,
        name: &str,
        told: Option<DynamicObject>,
    ) -> Result<Deleted, ClusterError> {
        let attempt = format!("delete {} {name}", kind.as_str());
        let api = self.api(kind);
        let writing = self.cache.writing(kind, name);
        let seen = match told {
            Some(told) => Some(told),
            None => found(&attempt, api.get(name).await)?,
        };
        let Some(mut live) = seen else {
            writing.deleted();
            return Ok(Deleted::Gone);
        };
        self.must_be_ours(&attempt, &live)?;
        // A label is copied with the object that has it.
        if !is_applied_by_us(&live) {
            return Err(ClusterError::NotOurs {
                attempt,
                why: "it has our label, and Pipewright never applied it".to_owned(),
            });
        }
        if live.metadata.deletion_timestamp.is_some() {
            return Ok(Deleted::Waiting(kept(&live)));
        }
        if kind == Kind::CronWorkflow {
            if live.data.pointer("/spec/suspend") != Some(&Value::Bool(true)) {
                let suspended = suspend(&api, &live.metadata, name, Value::Bool(true)).await;
                let Some(suspended) = found(&attempt, suspended)? else {
                    return Ok(Deleted::Gone);
                };
                writing.wrote(suspended.metadata.resource_version.as_deref());
                live = suspended;
            }
            // Both: the status lags behind a run made by hand, and a run need not have the
            // label to be Argo's.
            let mut runs = in_status(&live);
            runs.extend(self.active(name).await?);
            if let Some(why) = named(&runs) {
                return Ok(Deleted::Waiting(Wait { why, since: None }));
            }
        }
        let parameters = only_this(&attempt, &live)?;
        let answer = found(&attempt, api.delete(name, &parameters).await)?;
        // Some kinds are answered with the object although it is gone: finalizers tell.
        Ok(match answer.and_then(|answer| answer.left()) {
            Some(left) if has_finalizers(&left) => {
                writing.wrote(left.metadata.resource_version.as_deref());
                Deleted::Waiting(kept(&left))
            }
            _ => {
                writing.deleted();
                Deleted::Gone
            }
        })
    }

    pub(super) fn must_be_ours(
        &self,
        attempt: &str,
        live: &DynamicObject,
    ) -> Result<(), ClusterError> {
        let labels = live.metadata.labels.as_ref();
        let found = labels.and_then(|labels| labels.get(APPLY_SET_LABEL));
        if found == Some(&apply_set(&self.namespace)) {
            return Ok(());
        }
        let found = found.map_or("not there".to_owned(), |value| format!("`{value}`"));
        Err(ClusterError::NotOurs {
            attempt: attempt.to_owned(),
            why: format!("its label {APPLY_SET_LABEL} is {found}"),
        })
    }
}

/// An object that is not there is an answer, too.
pub(super) fn found<T>(
    attempt: &str,
    answer: Result<T, kube::Error>,
) -> Result<Option<T>, ClusterError> {
    match answer.map_err(|error| ClusterError::classify(attempt, error)) {
        Ok(found) => Ok(Some(found)),
        Err(ClusterError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The deletion of the object as it was seen, and of no other of that name. In the
/// background, because all that it owns by now are finished runs.
fn only_this(attempt: &str, live: &DynamicObject) -> Result<DeleteParams, ClusterError> {
    let (Some(uid), Some(version)) = (&live.metadata.uid, &live.metadata.resource_version) else {
        return Err(ClusterError::Unexpected {
            attempt: attempt.to_owned(),
            message: "the cluster gives neither its uid nor its version".to_owned(),
            source: None,
        });
    };
    Ok(DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            resource_version: Some(version.clone()),
            uid: Some(uid.clone()),
        }),
        ..DeleteParams::default()
    })
}

/// Sets a CronWorkflow's `spec.suspend`, on the version that was seen. A merge, because an
/// apply of this one field would give up all the others.
async fn suspend(
    api: &Api<DynamicObject>,
    live: &ObjectMeta,
    name: &str,
    value: Value,
) -> Result<DynamicObject, kube::Error> {
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({
        "metadata": {"resourceVersion": live.resource_version},
        "spec": {"suspend": value},
    });
    api.patch(name, &parameters, &Patch::Merge(&patch)).await
}

/// Whether a deletion that did not come to its end has left the object suspended: no merge of
/// ours sets anything else. An apply does not take it back, so the schedule would rest for
/// ever. Somebody else's suspension stays, and so does their waking: the field is theirs then.
fn suspended_by_us(live: &ObjectMeta) -> bool {
    let entries = live.managed_fields.iter().flatten();
    entries
        .filter(|entry| {
            entry.manager.as_deref() == Some(MANAGER)
                && entry.operation.as_deref() == Some("Update")
        })
        .filter_map(|entry| entry.fields_v1.as_ref())
        .any(|fields| fields.0.pointer("/f:spec/f:suspend").is_some())
}

/// Whether it is an object of ours, and not one that somebody made with our label on it.
fn is_applied_by_us(live: &DynamicObject) -> bool {
    let mut entries = live.metadata.managed_fields.iter().flatten();
    entries.any(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    })
}

/// The runs that the CronWorkflow's status lists.
fn in_status(live: &DynamicObject) -> BTreeSet<String> {
    let runs = live
        .data
        .pointer("/status/active")
        .and_then(Value::as_array);
    runs.into_iter()
        .flatten()
        .map(|run| run.get("name").and_then(Value::as_str).unwrap_or("?"))
        .map(str::to_owned)
        .collect()
}

fn named(runs: &BTreeSet<String>) -> Option<String> {
    let names: Vec<&str> = runs.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("run {name} is active")),
        names => Some(format!("runs {} are active", names.join(", "))),
    }
}

fn has_finalizers(live: &DynamicObject) -> bool {
    live.metadata
        .finalizers
        .as_ref()
        .is_some_and(|finalizers| !finalizers.is_empty())
}

/// What keeps an object that is deleted.
fn kept(live: &DynamicObject) -> Wait {
    let finalizers = live.metadata.finalizers.as_deref().unwrap_or_default();
    let names: Vec<String> = finalizers.iter().map(|name| format!("`{name}`")).collect();
    Wait {
        why: match names.as_slice() {
            [] => "it is being deleted".to_owned(),
            names => format!("it is kept by {}", names.join(", ")),
        },
        since: live.metadata.deletion_timestamp.as_ref().map(|time| time.0),
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests;
