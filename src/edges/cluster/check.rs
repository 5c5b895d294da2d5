//! What is asked of the cluster before anything is done: is the namespace there, and does this
//! Argo know what we render.
//!
//! The definitions themselves can not be read with rights in one namespace. But the API server
//! decodes by them, strictly if it is told to, so a CronWorkflow that is never made tells: one
//! request that changes nothing. Definitions that keep unknown fields (the minimal ones that
//! Argo ships as well) say yes to everything; then nothing is known of the controller.

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::{Cluster, ClusterError};
use crate::object::Kind;
use crate::render::MANAGER;

/// The first version of Argo Workflows that has everything we render.
const ARGO_NEEDED: &str = "Argo Workflows 3.6 or later";

/// How the API server names what a definition does not have.
const UNKNOWN: &str = "unknown field \"spec.";

impl Cluster {
    /// What must be true before anything is done here: the namespace exists, and a CronWorkflow
    /// with what we render can be made in it. Two requests, three where the second is refused
    /// for a reason that may be of this one CronWorkflow alone.
    ///
    /// # Errors
    /// If it is not so, or there is no answer.
    pub async fn check(&self) -> Result<(), ClusterError> {
        let namespaces: Api<DynamicObject> = Api::all_with(
            self.client.clone(),
            &ApiResource {
                group: String::new(),
                version: "v1".to_owned(),
                api_version: "v1".to_owned(),
                kind: "Namespace".to_owned(),
                plural: "namespaces".to_owned(),
            },
        );
        let attempt = format!("read the namespace {}", self.namespace);
        if let Err(error) = namespaces.get(&self.namespace).await {
            return Err(ClusterError::classify(&attempt, error));
        }
        let Err(refused) = self.try_schedules().await else {
            return Ok(());
        };
        match refused {
            ClusterError::Missing { .. } => Err(needs_argo(refused)),
            ClusterError::Invalid { ref message, .. } if message.contains(UNKNOWN) => {
                Err(needs_argo(refused))
            }
            ClusterError::Transient { .. } => Err(refused),
            // A policy of the house may be against this one, and not against what is applied.
            refused => {
                tracing::warn!(error = %refused, "whether Argo is new enough is not known");
                self.try_list().await
            }
        }
    }

    /// Has the API server take a CronWorkflow and make nothing of it.
    async fn try_schedules(&self) -> Result<(), ClusterError> {
        let kind = Kind::CronWorkflow;
        let attempt = format!("try whether a {} would be taken", kind.as_str());
        let url = format!(
            "{}?dryRun=All&fieldManager={MANAGER}&fieldValidation=Strict",
            self.api(kind).resource_url()
        );
        let body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.as_str(),
            "metadata": {"generateName": "pipewright-check-", "namespace": &*self.namespace},
            "spec": {
                "schedules": ["0 0 1 1 *"],
                "suspend": true,
                "workflowSpec": {
                    "entrypoint": "none",
                    "synchronization": {"mutexes": [{"name": "none"}]},
                    "templates": [{"name": "none", "suspend": {}}],
                },
            },
        });
        let request = http::Request::post(url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes());
        let request = request.map_err(|error| ClusterError::Invalid {
            attempt: attempt.clone(),
            message: error.to_string(),
        })?;
        let tried = self.client.request::<Value>(request).await;
        tried
            .map(|_| ())
            .map_err(|error| ClusterError::classify(&attempt, error))
    }

    async fn try_list(&self) -> Result<(), ClusterError> {
        let kind = Kind::CronWorkflow;
        let attempt = format!("list {}s", kind.as_str());
        let one = ListParams::default().limit(1);
        match self.api(kind).list(&one).await {
            Ok(_) => Ok(()),
            Err(error) => Err(ClusterError::classify(&attempt, error)),
        }
    }
}

fn needs_argo(refused: ClusterError) -> ClusterError {
    match refused {
        ClusterError::Missing { attempt, message } | ClusterError::Invalid { attempt, message } => {
            ClusterError::Missing {
                attempt,
                message: format!(
                    "{message}; the definitions of {ARGO_NEEDED} have it: install them, and the controller that they belong to"
                ),
            }
        }
        other => other,
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cluster, missing, simulated};
    use super::*;

    const TRY: &str = "/apis/argoproj.io/v1alpha1/namespaces/data/cronworkflows?dryRun=All&fieldManager=pipewright&fieldValidation=Strict";

    /// The namespace, and these answers to the CronWorkflow and to the list.
    async fn checked(tried: (u16, Value), listed: u16) -> (Result<(), ClusterError>, Vec<String>) {
        let (cluster, server) = cluster(move |_, uri| match uri {
            "/api/v1/namespaces/data" => (200, json!({"metadata": {"name": "data"}})),
            TRY => tried.clone(),
            _ => (listed, json!({"code": listed, "metadata": {}, "items": []})),
        })
        .await;
        let checked = cluster.check().await;
        let traffic = server.wire().traffic().into_iter();
        (checked, traffic.map(|exchange| exchange.uri).collect())
    }

    fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        (code, status)
    }

    #[tokio::test]
    async fn it_takes_two_requests_and_leaves_nothing() {
        let (cluster, kubernetes) = simulated().await;
        cluster.check().await.unwrap();
        let traffic = kubernetes.wire().traffic();
        let uris: Vec<&str> = traffic.iter().map(|one| one.uri.as_str()).collect();
        assert_eq!(uris, ["/api/v1/namespaces/data", TRY]);
        assert_eq!(kubernetes.wire().writes(), 0);
        let mut objects = kubernetes.objects().into_iter();
        assert!(objects.all(|object| object["kind"] != "CronWorkflow"));
    }

    #[tokio::test]
    async fn a_cluster_without_argo_is_told_what_it_needs() {
        let (checked, _) = checked((404, json!("404 page not found")), 404).await;
        let error = checked.unwrap_err();
        assert!(matches!(error, ClusterError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains("3.6 or later"), "{error}");
    }

    #[tokio::test]
    async fn an_argo_before_schedules_is_told_what_it_needs() {
        // The words of Kubernetes 1.36 with definitions that have no `schedules`.
        let words = "CronWorkflow in version \"v1alpha1\" cannot be handled as a CronWorkflow: \
            strict decoding error: unknown field \"spec.schedules\", \
            unknown field \"spec.workflowSpec.synchronization.mutexes\"";
        let (checked, asked) = checked(refusal(400, "BadRequest", words), 200).await;
        let error = checked.unwrap_err();
        assert!(matches!(error, ClusterError::Missing { .. }), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("spec.schedules") && said.contains("3.6 or later"),
            "{said}"
        );
        assert_eq!(asked.len(), 2);
    }

    #[tokio::test]
    async fn a_policy_against_what_is_tried_is_not_against_us() {
        let words = "admission webhook \"house\" denied the request: no owner";
        let (checked, asked) = checked(refusal(403, "Forbidden", words), 200).await;
        checked.unwrap();
        assert_eq!(asked.len(), 3);
    }

    #[tokio::test]
    async fn whoever_may_not_list_either_may_do_nothing() {
        let (checked, _) = checked(refusal(403, "Forbidden", "no"), 403).await;
        let error = checked.unwrap_err();
        assert!(matches!(error, ClusterError::Forbidden { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_namespace_that_is_not_there() {
        let (cluster, server) = cluster(|_, _| (404, missing("namespaces", "data"))).await;
        let error = cluster.check().await.unwrap_err();
        assert!(matches!(error, ClusterError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains("read the namespace data"));
        assert_eq!(server.wire().traffic().len(), 1);
    }
}
