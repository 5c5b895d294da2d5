//! An API server of canned answers and the simulated one, for the tests of this module.

use axum::http::{Method, StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Cluster, Kubeconfig};
use crate::render::{APPLY_SET_LABEL, PIPELINE_LABEL, apply_set};
use crate::sandbox::kubernetes::{Kubernetes, Options};
use crate::sandbox::server::{Exchange, Server};

/// A cluster that answers each request, by method and path with query, as `answer` says.
pub(super) async fn cluster(
    answer: impl Fn(&Method, &str) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Cluster, Server) {
    let handler = move |method: Method, uri: Uri| async move {
        let (status, body) = answer(&method, &uri.to_string());
        (StatusCode::from_u16(status).unwrap(), Json(body))
    };
    let server = Server::start(Router::new().fallback(handler))
        .await
        .unwrap();
    let cluster = Cluster::connect(kubeconfig(&server.url()), "data").await;
    (cluster.unwrap(), server)
}

/// A cluster on the simulated server.
pub(super) async fn simulated() -> (Cluster, Kubernetes) {
    let options = Options {
        namespaces: vec!["data".to_owned()],
        ..Options::default()
    };
    let kubernetes = Kubernetes::start(options).await.unwrap();
    let cluster = Cluster::connect(Kubeconfig::Text(kubernetes.kubeconfig()), "data").await;
    (cluster.unwrap(), kubernetes)
}

/// A CronWorkflow of ours, in short.
pub(super) fn cron_workflow(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow",
        "metadata": {
            "name": name, "namespace": "data",
            "labels": {APPLY_SET_LABEL: apply_set("data"), PIPELINE_LABEL: name},
        },
        "spec": {
            "schedules": ["7 2 * * *"],
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 2,
            "failedJobsHistoryLimit": 2,
            "workflowMetadata": {"labels": {PIPELINE_LABEL: name}, "annotations": {"a": "b"}},
            "workflowSpec": {
                "entrypoint": "sync",
                "arguments": {"parameters": [
                    {"name": "other", "value": "x"}, {"name": "tables", "value": ""},
                ]},
                "synchronization": {"mutexes": [{"name": format!("pipewright-{name}")}]},
                "templates": [{"name": "sync", "outputs": {"parameters": [{
                    "name": "report", "globalName": "report",
                    "valueFrom": {"path": "/report.json", "default": ""},
                }]}}],
            },
        },
    })
}

pub(super) fn kubeconfig(url: &str) -> Kubeconfig {
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, \
         clusters: [{{name: c, cluster: {{server: '{url}'}}}}], \
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         users: [{{name: u, user: {{token: t}}}}]}}"
    );
    Kubeconfig::Text(text)
}

/// The API server's word that there is no such object.
pub(super) fn missing(plural: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
        "reason": "NotFound", "message": format!("{plural} \"{name}\" not found"),
        "details": {"name": name, "kind": plural},
    })
}

/// What a request sent.
pub(super) fn body(exchange: &Exchange) -> Value {
    serde_json::from_slice(&exchange.request).unwrap()
}
