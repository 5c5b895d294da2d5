//! Reading the namespace: what the watches hold, or else one list for each kind.

use std::sync::Arc;

use futures::future::join_all;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use super::{Cluster, ClusterError, record};
use crate::object::Kind;
use crate::plan::observed::{Kubernetes, Live};

/// Objects per answer: what kubectl takes, so that no server is asked for more.
const PAGE: u32 = 500;

impl Cluster {
    /// Everything of our kinds in the namespace, whoever made it: what is there already may
    /// be what a plan wants to write. Managed fields are kept, because they say whose a
    /// field is.
    ///
    /// # Errors
    /// If a kind can not be listed whole; half an answer would look like things to prune
    /// or to create.
    pub async fn observe(&self) -> Result<Kubernetes, ClusterError> {
        if let Some(kept) = self.cache.read() {
            let objects = kept.into_iter();
            return Ok(sorted(
                objects.map(|((kind, name), bytes)| (kind, name, bytes)),
            ));
        }
        // All of them, even if one fails: a request that is cut off costs its connection.
        let lists = join_all(Kind::ALL.map(|kind| self.list(kind))).await;
        let lists: Vec<_> = lists.into_iter().collect::<Result<_, _>>()?;
        Ok(sorted(lists.into_iter().flatten()))
    }

    async fn list(&self, kind: Kind) -> Result<Vec<(Kind, String, Arc<[u8]>)>, ClusterError> {
        let attempt = format!("list {}s", kind.as_str());
        let api = self.api(kind);
        let mut objects = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&parameters).await;
            let page = page.map_err(|error| ClusterError::classify(&attempt, error))?;
            for object in page.items {
                let (kind, name, object) = value(kind, object, &attempt)?;
                objects.push((kind, name, object.to_string().into_bytes().into()));
            }
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => {
                    parameters = parameters.continue_token(&token);
                }
                _ => return Ok(objects),
            }
        }
    }
}

/// Records, and everything else.
fn sorted(objects: impl IntoIterator<Item = (Kind, String, Arc<[u8]>)>) -> Kubernetes {
    let mut seen = Kubernetes::default();
    for (kind, name, bytes) in objects {
        if kind != Kind::ConfigMap {
            seen.objects.insert((kind, name), Live::Unread(bytes));
            continue;
        }
        // It was JSON when it was kept.
        let object = serde_json::from_slice(&bytes).unwrap_or_default();
        if record::label(&object).is_none() {
            seen.objects.insert((kind, name), Live::Read(object));
            continue;
        }
        match record::read(&name, &object) {
            Ok(record) => {
                seen.records.insert(record.pipeline.clone(), record);
            }
            Err(why) => {
                seen.broken_records.insert(name, why);
            }
        }
    }
    seen
}

/// Lists leave out what each item is; whoever compares expects it there.
pub(super) fn value(
    kind: Kind,
    object: DynamicObject,
    attempt: &str,
) -> Result<(Kind, String, Value), ClusterError> {
    let name = object.name_any();
    let mut value = serde_json::to_value(object).map_err(|error| ClusterError::Unexpected {
        attempt: attempt.to_owned(),
        message: "the answer can not be kept".to_owned(),
        source: Some(error.into()),
    })?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.as_str().into());
    }
    Ok((kind, name, value))
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::record::tests::record;
    use super::super::testing::cluster;
    use super::*;

    #[tokio::test]
    async fn pages_are_followed_and_records_told_from_objects() {
        let record = record("orders");
        let text = serde_json::to_string(&record).unwrap();
        let (cluster, server) = cluster(move |_, uri| {
            let record_map = |name: &str, text: &str| {
                json!({
                    "metadata": {"name": name, "labels": {"pipewright.dev/record": "orders"}},
                    "data": {"record": text},
                })
            };
            let (next, items) = if !uri.contains("configmaps") {
                ("", json!([]))
            } else if uri.contains("continue=") {
                let plain = json!({"metadata": {
                    "name": "pw-main",
                    "managedFields": [{"manager": "pipewright", "operation": "Apply",
                                       "fieldsV1": {"f:data": {"f:limit": {}}}}],
                }, "data": {"limit": "2"}});
                ("", json!([plain, record_map("stray", &text)]))
            } else {
                ("next/page", json!([record_map("record-orders", &text)]))
            };
            (200, json!({"metadata": {"continue": next}, "items": items}))
        })
        .await;
        let seen = cluster.observe().await.unwrap();
        assert_eq!(seen.records.into_values().collect::<Vec<_>>(), [record]);
        assert_eq!(
            seen.broken_records.into_keys().collect::<Vec<_>>(),
            ["stray"]
        );
        let objects: Vec<_> = seen.objects.into_iter().collect();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].0, (Kind::ConfigMap, "pw-main".to_owned()));
        assert_eq!(
            *objects[0].1.value(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": "pw-main",
                "managedFields": [{"manager": "pipewright", "operation": "Apply",
                                   "fieldsV1": {"f:data": {"f:limit": {}}}}],
            }, "data": {"limit": "2"}})
        );

        let mut uris: Vec<String> = server.wire().traffic().into_iter().map(|e| e.uri).collect();
        uris.sort();
        assert_eq!(
            uris,
            [
                "/api/v1/namespaces/data/configmaps?&limit=500",
                "/api/v1/namespaces/data/configmaps?&limit=500&continue=next%2Fpage",
                "/api/v1/namespaces/data/serviceaccounts?&limit=500",
                "/apis/argoproj.io/v1alpha1/namespaces/data/cronworkflows?&limit=500",
                "/apis/rbac.authorization.k8s.io/v1/namespaces/data/rolebindings?&limit=500",
                "/apis/rbac.authorization.k8s.io/v1/namespaces/data/roles?&limit=500",
            ]
        );
    }

    #[tokio::test]
    async fn one_kind_that_can_not_be_listed_fails_the_whole() {
        let (cluster, _server) = cluster(|_, uri| match uri.contains("/roles?") {
            true => (
                403,
                json!({"code": 403, "reason": "Forbidden", "message": "no"}),
            ),
            false => (200, json!({"metadata": {}, "items": []})),
        })
        .await;
        let error = cluster.observe().await.unwrap_err();
        assert!(matches!(error, ClusterError::Forbidden { .. }));
        assert!(error.to_string().contains("list Roles"));
    }
}
