//! Labels and annotations that every Kubernetes object carries.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::object::Kind;

/// Our one field manager.
pub const MANAGER: &str = "pipewright";

/// The label that marks members of an ApplySet (KEP-3659, as kubectl spells it).
pub const APPLY_SET_LABEL: &str = "applyset.kubernetes.io/part-of";

/// Our set's id, made from its parent (the ConfigMap `pipewright` of the namespace) as
/// KEP-3659 says: the core group's name is empty, which leaves the dot at the end.
pub fn apply_set(namespace: &str) -> String {
    let parent = format!("{MANAGER}.{namespace}.ConfigMap.");
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(parent.as_bytes()));
    format!("applyset-{hash}-v1")
}

/// The pipeline an object belongs to; absent on what pipelines share.
pub const PIPELINE_LABEL: &str = "pipewright.dev/pipeline";

/// The service that a run copies for.
pub const SERVICE_LABEL: &str = "pipewright.dev/service";

/// A manifest's head.
pub(super) fn manifest(
    kind: Kind,
    namespace: &str,
    name: &str,
    labels: BTreeMap<&str, String>,
    annotations: BTreeMap<&str, String>,
) -> Value {
    let mut all: BTreeMap<&str, String> = BTreeMap::from([
        ("app.kubernetes.io/managed-by", MANAGER.to_owned()),
        (APPLY_SET_LABEL, apply_set(namespace)),
    ]);
    all.extend(labels);
    let mut manifest = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.as_str(),
        "metadata": { "name": name, "namespace": namespace, "labels": all },
    });
    if !annotations.is_empty()
        && let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    manifest
}
