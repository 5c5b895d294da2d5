//! The server as the real client sees it.

mod reads;
mod writes;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::*;

const NAMESPACE: &str = "pipelines";

async fn cluster() -> (Kubernetes, Client) {
    // Only the first test in the process installs it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Kubernetes::start(Options {
        namespaces: vec![NAMESPACE.to_owned()],
        ..Options::default()
    })
    .await
    .unwrap();
    let client = Client::try_from(Config::new(cluster.url().parse().unwrap())).unwrap();
    (cluster, client)
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = kinds::by_kind(kind).unwrap();
    let gvk = GroupVersionKind::gvk(resource.group, resource.version, kind);
    let named = ApiResource::from_gvk_with_plural(&gvk, resource.plural);
    Api::namespaced_with(client.clone(), NAMESPACE, &named)
}

fn object(kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({
        "apiVersion": kinds::by_kind(kind).unwrap().api_version(), "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
    });
    merge(&mut object, &rest);
    object
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn cron(name: &str, rest: Value) -> Value {
    let mut cron = object(
        "CronWorkflow",
        name,
        json!({"spec": {"schedules": ["0 2 * * *"], "workflowSpec": {"entrypoint": "run"}}}),
    );
    merge(&mut cron, &rest);
    cron
}

async fn apply(client: &Client, body: &Value, params: &PatchParams) -> Result<Value, Box<Status>> {
    let kind = body["kind"].as_str().unwrap();
    let name = body["metadata"]["name"].as_str().unwrap();
    match api(client, kind)
        .patch(name, params, &Patch::Apply(body))
        .await
    {
        Ok(object) => Ok(serde_json::to_value(object).unwrap()),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{other:?}"),
    }
}

/// Strictly, which kube's own `create` cannot ask for.
async fn create(client: &Client, body: Value) -> Result<Value, Box<Status>> {
    let url = api(client, body["kind"].as_str().unwrap())
        .resource_url()
        .to_owned();
    let request = http::Request::post(format!("{url}?fieldValidation=Strict"))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes());
    match client.request(request.unwrap()).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{other:?}"),
    }
}

fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap();
    text.parse().unwrap()
}

fn bot() -> PatchParams {
    PatchParams::apply("bot").validation_strict()
}
