//! The inventory as kubectl reads it: the parent of our ApplySet (KEP-3659), which says what the
//! members' label means, what they can be, and what was applied last.
//!
//! The Records decide what is ours and what may go. The parent only tells people and their
//! tools, so what becomes of it never holds an apply, and no pipeline's digest has it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::name::{CommitSha, Digest, PipelineName};
use crate::object::{Kind, Manifest};
use crate::render::{MANAGER, apply_set};

use super::approve::ApprovedPlan;
use super::compare::differences;
use super::outcome::Outcomes;
use super::record::{Applied, Record};
use super::steps::{Force, Write};

/// The parent's name; its kind is ConfigMap. The set's id is made of it.
pub const PARENT: &str = MANAGER;

/// The set's id, on its parent.
pub const ID_LABEL: &str = "applyset.kubernetes.io/id";
/// Name and version of whoever keeps the set; others must leave it alone.
pub const TOOLING: &str = "applyset.kubernetes.io/tooling";
/// Every kind that a member can have. All that we ever write: so it is true before any of
/// them is written, and need never be widened or narrowed.
pub const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// The default branch's commit whose apply brought what there is.
pub const COMMIT: &str = "pipewright.dev/commit";
/// One digest of everything that is applied, see [`digest`].
pub const DIGEST: &str = "pipewright.dev/digest";

/// A write of the parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub manifest: Manifest,
    pub force: Force,
}

/// The ConfigMap of the parent's name is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ConfigMap {PARENT} is not ours to write: {0}")]
pub struct Foreign(String);

/// The write that makes the parent true before the first member is written; `None` if it is.
///
/// # Errors
/// If the parent is somebody else's.
pub fn before(namespace: &str, live: Option<&Value>) -> Result<Option<Entry>, Foreign> {
    entry(namespace, live, live.and_then(said).as_ref())
}

/// The write that says what is applied now, after `commit` was; `None` if the parent says so
/// already, or nothing was ever applied. What an earlier apply could not say is made up for.
///
/// # Errors
/// If the parent is somebody else's.
pub fn after(
    namespace: &str,
    live: Option<&Value>,
    is: Digest,
    commit: &CommitSha,
) -> Result<Option<Entry>, Foreign> {
    let said = live.and_then(said);
    if live.is_none() && is == digest(&BTreeMap::new()) {
        return Ok(None);
    }
    let said = said.filter(|said| said.digest == is).unwrap_or(Applied {
        digest: is,
        commit: commit.clone(),
    });
    entry(namespace, live, Some(&said))
}

/// What every pipeline has applied whole, once the Records of `outcomes` are ended.
pub fn applied(
    records: &BTreeMap<PipelineName, Record>,
    approved: &ApprovedPlan,
    outcomes: &Outcomes,
) -> BTreeMap<PipelineName, Digest> {
    let of = |record: &Record| {
        record
            .applied
            .as_ref()
            .map(|applied| applied.digest.clone())
    };
    let mut all: BTreeMap<PipelineName, Digest> = records
        .iter()
        .filter_map(|(name, record)| Some((name.clone(), of(record)?)))
        .collect();
    for step in approved.ended(outcomes) {
        match &step.write {
            Write::EndRecord(record) => {
                all.extend(of(record).map(|digest| (record.pipeline.clone(), digest)));
            }
            Write::RemoveRecord { pipeline } => {
                all.remove(pipeline);
            }
            _ => {}
        }
    }
    all
}

/// One digest of what is applied: of every pipeline's name and its digest.
pub fn digest(applied: &BTreeMap<PipelineName, Digest>) -> Digest {
    Digest::of(json!(applied).to_string().as_bytes())
}

/// The parent. Nothing but labels and annotations: whatever data it has is not ours.
pub fn parent(namespace: &str, applied: Option<&Applied>) -> Value {
    let kind = Kind::ConfigMap;
    let mut annotations = json!({
        TOOLING: format!("{MANAGER}/v{}", env!("CARGO_PKG_VERSION")),
        KINDS: kinds(),
    });
    if let (Some(applied), Some(all)) = (applied, annotations.as_object_mut()) {
        all.insert(COMMIT.to_owned(), json!(applied.commit));
        all.insert(DIGEST.to_owned(), json!(applied.digest));
    }
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.as_str(),
        "metadata": {
            "name": PARENT,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": MANAGER, ID_LABEL: apply_set(namespace)},
            "annotations": annotations,
        },
    })
}

/// As kubectl writes them: `Kind.group`, or `Kind` alone of the core group, in order.
fn kinds() -> String {
    let mut kinds = Kind::ALL.map(|kind| match kind.api_version().split_once('/') {
        Some((group, _)) => format!("{}.{group}", kind.as_str()),
        None => kind.as_str().to_owned(),
    });
    kinds.sort();
    kinds.join(",")
}

fn entry(
    namespace: &str,
    live: Option<&Value>,
    says: Option<&Applied>,
) -> Result<Option<Entry>, Foreign> {
    let manifest = parent(namespace, says);
    let Some(live) = live else {
        return Ok(Some(Entry {
            manifest: manifest.into(),
            force: Force::No,
        }));
    };
    must_be_ours(live)?;
    if differences(&manifest, live, MANAGER).is_empty() {
        return Ok(None);
    }
    let version = live.pointer("/metadata/resourceVersion");
    let version = version.and_then(Value::as_str).map(ToOwned::to_owned);
    Ok(Some(Entry {
        manifest: manifest.into(),
        force: version.map_or(Force::No, Force::OnVersion),
    }))
}

/// The set is kept by whoever its parent names. Where it names nobody, a ConfigMap that we
/// did not make is one that happens to have the name.
fn must_be_ours(live: &Value) -> Result<(), Foreign> {
    match annotation(live, TOOLING) {
        Some(tooling) if tooling.rsplit_once('/').map_or(tooling, |(name, _)| name) == MANAGER => {
            Ok(())
        }
        Some(tooling) => Err(Foreign(format!("its annotation {TOOLING} is `{tooling}`"))),
        None if is_applied_by_us(live) => Ok(()),
        None => Err(Foreign(format!("it has no annotation {TOOLING}"))),
    }
}

/// Whether we have ever applied the object: the server keeps that, and no copy of the object's
/// labels or fields brings it along.
pub(super) fn is_applied_by_us(live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields");
    let entries = entries.and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| {
        let is = |field: &str, value: &str| entry.get(field).and_then(Value::as_str) == Some(value);
        is("manager", MANAGER) && is("operation", "Apply")
    })
}

/// What the parent says was applied last.
fn said(live: &Value) -> Option<Applied> {
    Some(Applied {
        digest: annotation(live, DIGEST)?.parse().ok()?,
        commit: annotation(live, COMMIT)?.parse().ok()?,
    })
}

fn annotation<'a>(live: &'a Value, name: &str) -> Option<&'a str> {
    live.pointer("/metadata/annotations")?.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    /// As a server keeps what was applied by us.
    fn kept(entry: Option<Entry>) -> Value {
        let mut live = entry.unwrap().manifest.value();
        live["metadata"]["resourceVersion"] = json!("7");
        live["metadata"]["managedFields"] =
            json!([{"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:metadata": {}}}]);
        live
    }

    #[test]
    fn the_parent_says_what_the_convention_wants() {
        let applied = Applied {
            digest: Digest::of(b"x"),
            commit: commit('a'),
        };
        let metadata = &parent("data", Some(&applied))["metadata"];
        assert_eq!(metadata["labels"][ID_LABEL], json!(apply_set("data")));
        let annotations = &metadata["annotations"];
        assert_eq!(
            annotations[KINDS],
            "ConfigMap,CronWorkflow.argoproj.io,Role.rbac.authorization.k8s.io,\
             RoleBinding.rbac.authorization.k8s.io,ServiceAccount"
        );
        assert_eq!(annotations[TOOLING], "pipewright/v0.1.0");
        assert_eq!(annotations[COMMIT], json!(applied.commit));
        assert_eq!(annotations[DIGEST], json!(applied.digest));
    }

    #[test]
    fn it_is_written_before_the_first_member_and_when_something_was_applied() {
        let nothing = digest(&BTreeMap::new());
        assert_eq!(after("data", None, nothing.clone(), &commit('a')), Ok(None));

        let made = kept(before("data", None).unwrap());
        assert_eq!(before("data", Some(&made)), Ok(None));

        let is = Digest::of(b"orders");
        let says = after("data", Some(&made), is.clone(), &commit('a')).unwrap();
        assert_eq!(
            says.as_ref().unwrap().force,
            Force::OnVersion("7".to_owned())
        );
        let says = kept(says);
        // Nothing else is said as long as the same is applied, at whatever commit.
        assert_eq!(before("data", Some(&says)), Ok(None));
        let again = |live: &Value, is| after("data", Some(live), is, &commit('b')).unwrap();
        assert_eq!(again(&says, is.clone()), None);
        // The end of the last pipeline is something to say.
        let ended = kept(again(&says, nothing));
        assert_eq!(annotation(&ended, COMMIT), Some(commit('b').as_str()));

        // What somebody changed is mended, and what was said stays said.
        let mut edited = says.clone();
        edited["metadata"]["annotations"][KINDS] = json!("Secret");
        edited["metadata"]["labels"] = json!({});
        let mended = before("data", Some(&edited)).unwrap().unwrap();
        assert_eq!(mended.manifest, parent("data", said(&says).as_ref()).into());
        assert_eq!(again(&edited, is), Some(mended));
    }

    #[test]
    fn anothers_parent_is_left_alone() {
        let theirs = |annotations: Value, manager: &str| {
            json!({"metadata": {
                "annotations": annotations,
                "managedFields": [{"manager": manager, "operation": "Apply"}],
            }})
        };
        let tooling = |tooling: &str| json!({TOOLING: tooling});
        for (live, is_ours) in [
            (theirs(tooling("kubectl/v1.36.2"), MANAGER), false),
            (theirs(tooling("pipewright-not/v1"), MANAGER), false),
            (theirs(json!({}), "kubectl"), false),
            (json!({"data": {"settings": "x"}}), false),
            (theirs(tooling("pipewright/v9"), "kubectl"), true),
            (theirs(json!({}), MANAGER), true),
        ] {
            let written = before("data", Some(&live));
            assert_eq!(written.is_ok(), is_ours, "{live}: {written:?}");
        }
    }
}
