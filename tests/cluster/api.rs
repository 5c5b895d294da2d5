//! One namespace of an API server, by objects as JSON: what an administrator does.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use kube::config::KubeConfigOptions;
use kube::core::{Status, WatchEvent};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Longer than anything takes here: a schedule's minute, and what follows from it.
const PATIENCE: Duration = Duration::from_secs(150);

pub const MERGE: &str = "application/merge-patch+json";

#[derive(Clone)]
pub struct Api {
    client: Client,
    pub namespace: String,
}

/// The path of a kind's objects, below the namespace.
fn base(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "ConfigMap" => ("api/v1", "configmaps"),
        "Secret" => ("api/v1", "secrets"),
        "ServiceAccount" => ("api/v1", "serviceaccounts"),
        "Pod" => ("api/v1", "pods"),
        "Role" => ("apis/rbac.authorization.k8s.io/v1", "roles"),
        "RoleBinding" => ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
        "Lease" => ("apis/coordination.k8s.io/v1", "leases"),
        "CronWorkflow" => ("apis/argoproj.io/v1alpha1", "cronworkflows"),
        "Workflow" => ("apis/argoproj.io/v1alpha1", "workflows"),
        "WorkflowTaskResult" => ("apis/argoproj.io/v1alpha1", "workflowtaskresults"),
        _ => panic!("{kind} is not among the kinds"),
    }
}

impl Api {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// The path of one object, or of all if the name is empty.
    pub fn path(&self, kind: &str, name: &str) -> String {
        let (group, plural) = base(kind);
        let slash = if name.is_empty() { "" } else { "/" };
        format!(
            "/{group}/namespaces/{}/{plural}{slash}{name}",
            self.namespace
        )
    }

    /// One request, answered by an object or a refusal.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<Value, Status> {
        let form = [content, "application/json"];
        self.ask_for(method, path, form, body).await
    }

    /// The forms are those of the body and of the answer.
    pub async fn ask_for(
        &self,
        method: Method,
        path: &str,
        [content, accept]: [&str; 2],
        body: &Value,
    ) -> Result<Value, Status> {
        let bytes = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = http::Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", content)
            .header("accept", accept)
            .body(bytes)
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(*status),
            Err(error) => panic!("{method} {path}: {error:?}"),
        }
    }

    pub async fn find(&self, kind: &str, name: &str) -> Option<Value> {
        let path = self.path(kind, name);
        match self.ask(Method::GET, &path, "", &Value::Null).await {
            Ok(object) => Some(object),
            Err(status) if status.code == 404 => None,
            Err(status) => panic!("{path}: {status:?}"),
        }
    }

    pub async fn get(&self, kind: &str, name: &str) -> Value {
        let found = self.find(kind, name).await;
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    pub async fn list(&self, kind: &str, query: &str) -> Value {
        let path = format!("{}?{query}", self.path(kind, ""));
        self.ask(Method::GET, &path, "", &Value::Null)
            .await
            .unwrap()
    }

    /// Creates it, as `kubectl create` does.
    pub async fn create(&self, object: &Value) -> Result<Value, Status> {
        let kind = object["kind"].as_str().unwrap();
        let path = format!("{}?fieldManager=kubectl-create", self.path(kind, ""));
        self.ask(Method::POST, &path, "application/json", object)
            .await
    }

    /// Merges a patch into it, as `manager`.
    pub async fn merge(&self, kind: &str, name: &str, patch: &Value, manager: &str) -> Value {
        let path = format!("{}?fieldManager={manager}", self.path(kind, name));
        self.ask(Method::PATCH, &path, MERGE, patch).await.unwrap()
    }

    /// Deletes it; what it owns follows.
    pub async fn drop(&self, kind: &str, name: &str) {
        let path = self.path(kind, name);
        let gone = self.ask(Method::DELETE, &path, "", &Value::Null).await;
        gone.unwrap();
    }

    /// Every change of a kind's objects that a selector takes, from those that there are on:
    /// each of them as LISTED, ALL when they have come, then the events as they are called.
    pub async fn watch(
        &self,
        kind: &str,
        selector: &str,
        mut each: impl FnMut(&str, Value) -> bool,
    ) {
        loop {
            let list = self.list(kind, selector).await;
            for item in list["items"].as_array().unwrap() {
                if each("LISTED", item.clone()) {
                    return;
                }
            }
            if each("ALL", Value::Null) {
                return;
            }
            let version = list["metadata"]["resourceVersion"].as_str().unwrap();
            let path = format!(
                "{}?watch=true&resourceVersion={version}&{selector}",
                self.path(kind, "")
            );
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            let events = self.client.request_events::<Value>(request).await.unwrap();
            let mut events = events.boxed();
            // An end or an error is the same to whoever can look again.
            while let Ok(Some(event)) = events.try_next().await {
                let (what, object) = match event {
                    WatchEvent::Added(object) => ("ADDED", object),
                    WatchEvent::Modified(object) => ("MODIFIED", object),
                    WatchEvent::Deleted(object) => ("DELETED", object),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(_) => break,
                };
                if each(what, object) {
                    return;
                }
            }
        }
    }

    /// Waits until the object is such; panics with it as it was last.
    pub async fn until(&self, kind: &str, name: &str, such: impl Fn(&Value) -> bool) -> Value {
        let selector = format!("fieldSelector=metadata.name%3D{name}");
        self.until_one(kind, &selector, such).await
    }

    /// Waits until one of those that the selector takes is such.
    pub async fn until_one(
        &self,
        kind: &str,
        selector: &str,
        such: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let found = self.watch(kind, selector, |what, object| {
            if what == "ALL" {
                return false;
            }
            last = object;
            what != "DELETED" && such(&last)
        });
        let found = tokio::time::timeout(PATIENCE, found).await;
        assert!(found.is_ok(), "{kind} {selector} is still\n{last:#}");
        last
    }

    /// Waits until there is no such object.
    pub async fn until_gone(&self, kind: &str, name: &str) {
        let selector = format!("fieldSelector=metadata.name%3D{name}");
        let mut is_there = false;
        let gone = self.watch(kind, &selector, |what, _| match what {
            "ALL" => !std::mem::take(&mut is_there),
            what => {
                is_there = what != "DELETED";
                !is_there
            }
        });
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        assert!(gone.is_ok(), "{kind} {name} is still there");
    }
}

/// The lists that Kubernetes may leave out are empty.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A client with these credentials.
pub async fn client(kubeconfig: &str) -> Client {
    let config = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    config.read_timeout = None;
    Client::try_from(config).unwrap()
}

/// A kubeconfig of the same server for another account.
pub fn kubeconfig(cluster: &Value, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": token}}],
    })
    .to_string()
}
