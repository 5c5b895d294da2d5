//! Records as ConfigMaps: one for each pipeline, with our labels and one key.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::claim::ROOM_BYTES;
use super::error::shortened;
use super::{Cluster, ClusterError, Deleted};
use crate::name::PipelineName;
use crate::object::Kind;
use crate::plan::record::{Record, VERSION};
use crate::render::{APPLY_SET_LABEL, MANAGER, apply_set};

/// Tells Records from other ConfigMaps; its value is the pipeline.
pub(super) const RECORD_LABEL: &str = "pipewright.dev/record";

/// The key in the ConfigMap's data.
const KEY: &str = "record";

/// Kubernetes' limit for the keys and values of one ConfigMap together, less the room for
/// the claims beside the Record.
const MOST_BYTES: usize = (1 << 20) - ROOM_BYTES;

impl Cluster {
    /// Stores the Record, whatever was there: nobody else writes them.
    ///
    /// # Errors
    /// If the cluster does not take it, or it is larger than a ConfigMap can be.
    pub async fn put_record(&self, record: &Record) -> Result<(), ClusterError> {
        let name = Record::name(&record.pipeline);
        let attempt = format!("store the Record of {}", record.pipeline);
        let text = serde_json::to_string(record).map_err(|error| ClusterError::Invalid {
            attempt: attempt.clone(),
            message: error.to_string(),
        })?;
        let bytes = KEY.len() + text.len();
        if bytes > MOST_BYTES {
            return Err(ClusterError::Invalid {
                attempt,
                message: format!(
                    "it has {} keys and takes {bytes} bytes, and its ConfigMap has room for {MOST_BYTES}",
                    record.keys.len()
                ),
            });
        }
        let kind = Kind::ConfigMap;
        let manifest = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.as_str(),
            "metadata": {
                "name": name,
                "namespace": *self.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": MANAGER,
                    APPLY_SET_LABEL: apply_set(&self.namespace),
                    RECORD_LABEL: record.pipeline,
                },
            },
            "data": { KEY: text },
        });
        let parameters = PatchParams::apply(MANAGER).force().validation_strict();
        let patch = Patch::Apply(&manifest);
        let writing = self.cache.writing(kind, &name);
        let api = self.api(kind);
        let stored = api.patch_metadata(&name, &parameters, &patch).await;
        writing.answered(stored.map_err(|error| ClusterError::classify(&attempt, error)))?;
        Ok(())
    }

    /// Removes the Record, if there is one.
    ///
    /// # Errors
    /// If the cluster does not, or the ConfigMap of that name is not ours.
    pub async fn remove_record(&self, pipeline: &PipelineName) -> Result<(), ClusterError> {
        match self
            .delete(Kind::ConfigMap, &Record::name(pipeline))
            .await?
        {
            Deleted::Gone => Ok(()),
            Deleted::Waiting(wait) => Err(ClusterError::Transient {
                attempt: format!("remove the Record of {pipeline}"),
                message: wait.why,
                source: None,
            }),
        }
    }
}

/// Reads the Record out of the ConfigMap `name`; else says, for a person, why it can not be.
pub(super) fn read(name: &str, config_map: &Value) -> Result<Record, String> {
    let text = config_map
        .pointer("/data")
        .and_then(|data| data.get(KEY))
        .and_then(Value::as_str)
        .ok_or_else(|| format!("it has no key `{KEY}`"))?;
    let unreadable = |error: serde_json::Error| shortened(&error.to_string());
    // The version first: another one's fields would only give a misleading reason.
    let value: Value = serde_json::from_str(text).map_err(unreadable)?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(format!(
                "it has version {version}, and this Pipewright reads {VERSION}"
            ));
        }
        None => return Err("it has no version".to_owned()),
    }
    let record: Record = serde_json::from_value(value).map_err(unreadable)?;
    if name != Record::name(&record.pipeline) {
        return Err(format!(
            "it is about {}, whose Record is called {}",
            record.pipeline,
            Record::name(&record.pipeline)
        ));
    }
    let label = label(config_map).unwrap_or_default();
    if label != record.pipeline.as_str() {
        return Err(format!(
            "it is about {}, and its label says `{label}`",
            record.pipeline
        ));
    }
    Ok(record)
}

/// The pipeline whose Record this ConfigMap says it is.
pub(super) fn label(config_map: &Value) -> Option<&str> {
    config_map
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(RECORD_LABEL))
        .and_then(Value::as_str)
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
pub(super) mod tests {
    use super::super::testing::{body, cluster};
    use super::*;
    use crate::name::{CommitSha, Digest};
    use crate::object::{Grant, Member, ObjectKey, Resource, Role};
    use crate::plan::record::{Applied, Approved, Given, How};

    pub(in super::super) fn record(pipeline: &str) -> Record {
        let commit: CommitSha = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let digest = Digest::of(b"x");
        Record {
            version: VERSION,
            pipeline: pipeline.parse().unwrap(),
            path: format!("pipelines/{pipeline}.yaml").parse().unwrap(),
            approved: Approved {
                digest: digest.clone(),
                commit: commit.clone(),
                pull: None,
                by: crate::plan::record::By::Review,
                since: None,
                source: None,
                adopts: Vec::new(),
            },
            applied: Some(Applied { digest, commit }),
            keys: vec![Given {
                key: ObjectKey::Grant(Grant {
                    resource: Resource::Project("acme-orders".parse().unwrap()),
                    role: Role::JobUser,
                    member: Member::Reader("group:bi@acme.example".parse().unwrap()),
                }),
                how: How::Adopted,
            }],
        }
    }

    #[tokio::test]
    async fn a_record_is_stored_as_ours_and_read_back_the_same() {
        let (cluster, server) = cluster(|_, _| (200, json!({"metadata": {}}))).await;
        let record = record("orders");
        cluster.put_record(&record).await.unwrap();
        let traffic = server.wire().traffic();
        assert_eq!(
            traffic[0].uri,
            "/api/v1/namespaces/data/configmaps/record-orders?&force=true&fieldManager=pipewright&fieldValidation=Strict"
        );
        let sent = body(&traffic[0]);
        assert_eq!(
            sent["metadata"]["labels"],
            json!({
                "app.kubernetes.io/managed-by": "pipewright",
                "applyset.kubernetes.io/part-of": apply_set("data"),
                "pipewright.dev/record": "orders",
            })
        );
        assert_eq!(read("record-orders", &sent), Ok(record));
    }

    #[tokio::test]
    async fn a_record_that_no_config_map_holds_is_not_sent() {
        let (cluster, server) = cluster(|_, _| (200, json!({"metadata": {}}))).await;
        let mut record = record("orders");
        record.keys = record.keys.iter().cycle().take(9_000).cloned().collect();
        let error = cluster.put_record(&record).await.unwrap_err();
        assert!(matches!(error, ClusterError::Invalid { .. }));
        assert!(error.to_string().contains("9000 keys"), "{error}");
        assert!(server.wire().traffic().is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_broken_record_is_said() {
        let good = serde_json::to_value(record("orders")).unwrap();
        let changed = |field: &str, value: Value| {
            let mut value_of = good.clone();
            value_of[field] = value;
            value_of.to_string()
        };
        let map = |label: &str, text: &str| json!({"metadata": {"labels": {RECORD_LABEL: label}}, "data": {"record": text}});
        for (name, map, reason) in [
            ("record-orders", map("orders", "{"), "EOF"),
            (
                "record-orders",
                map("orders", &changed("version", json!(7))),
                "version 7",
            ),
            (
                "record-orders",
                map("orders", &changed("extra", json!(7))),
                "unknown field",
            ),
            ("record-orders", map("orders", "{}"), "no version"),
            (
                "record-billing",
                map("orders", &good.to_string()),
                "is called record-orders",
            ),
            (
                "record-orders",
                map("billing", &good.to_string()),
                "label says `billing`",
            ),
            ("record-orders", json!({"metadata": {}}), "no key"),
        ] {
            let error = read(name, &map).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
