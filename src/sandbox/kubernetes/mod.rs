//! A Kubernetes API server, as far as a client that applies a few kinds can tell.
//!
//! It serves ConfigMap, Namespace, Pod, ServiceAccount, Lease, Role, RoleBinding and Argo's
//! CronWorkflow and Workflow: get, list, watch, create, replace, merge patch, server-side apply and
//! delete, with owners of fields, owners of objects, finalizers and the server's own words of refusal.
//! Time and versions come from one counter, so the same requests give the same objects.
//!
//! Argo's controller is there, too, and acts when it is told to.
//!
//! What it leaves out: authorization and admission, subresources, JSON patch, deletion of
//! collections, protobuf and table output, defaulting, and everything other controllers would do
//! (but for the garbage collector, which acts at once). Namespaces come without their default service account.
//! Strategic merge patches are merged by RFC 7386. Nulls in an applied body are dropped. Warnings are not sent.
//! The schema ends where this project's objects do; what lies below passes unread.

mod admission;
mod answer;
mod apply;
mod argo;
mod body;
mod discovery;
mod fields;
mod kinds;
mod locks;
mod routes;
mod schema;
mod schema_argo;
mod selector;
mod shape;
mod status;
mod store;
mod validate;
mod watch;
mod writes;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
use axum::Router;
use serde_json::{Value, json};

pub use argo::{Ending, Tick};
pub use status::refusal_body;

use crate::clock::Clock;
use crate::sandbox::server::{Server, Wire};
use store::{Key, Store};
use writes::{Context, Effect, Unknown};

/// Whether Argo Workflows' custom resources are known to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArgoCrds {
    #[default]
    Installed,
    Missing,
}

/// How the server starts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// These exist from the start.
    pub namespaces: Vec<String>,
    /// If given, requests without it as bearer token are refused.
    pub token: Option<String>,
    pub argo: ArgoCrds,
    /// What the objects' times are read off; without it, every write is a second.
    pub clock: Option<Clock>,
}

/// A running API server and the hand that turns it; it stops with its last clone.
#[derive(Clone)]
pub struct Kubernetes {
    shared: Shared,
    server: Arc<Server>,
}

/// What every request sees.
#[derive(Debug, Clone)]
struct Shared {
    store: Arc<Mutex<Store>>,
    options: Arc<Options>,
}

impl Shared {
    /// A poisoned lock only means that another test thread failed; every write is one call.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kubernetes {
    /// Starts on a free loopback port.
    ///
    /// # Errors
    /// If no port can be bound, or the name of a namespace is not one.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let shared = Shared {
            store: Arc::new(Mutex::new(Store::new(options.clock.clone()))),
            options: Arc::new(options),
        };
        for name in &shared.options.namespaces {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            });
            write(&shared, namespace, "kube-apiserver")
                .with_context(|| format!("cannot make the namespace {name}"))?;
        }
        let router = Router::new()
            .fallback(routes::handle)
            .with_state(shared.clone());
        let server = Server::start(router)
            .await
            .context("cannot start the simulated Kubernetes")?;
        Ok(Self {
            shared,
            server: Arc::new(server),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The traffic, and the faults.
    pub fn wire(&self) -> &Wire {
        self.server.wire()
    }

    /// Everything there is, sorted by kind, name and namespace.
    pub fn objects(&self) -> Vec<Value> {
        let mut objects: Vec<_> = self
            .shared
            .lock()
            .all()
            .map(|object| Value::clone(object))
            .collect();
        let text = |object: &Value, pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        objects.sort_by_cached_key(|object| {
            ["/kind", "/metadata/name", "/metadata/namespace"].map(|at| text(object, at))
        });
        objects
    }

    /// One object; the namespace of a Namespace is empty.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::new(kinds::by_kind(kind)?, namespace, name);
        Some(Value::clone(&*self.shared.lock().get(&key)?))
    }

    /// Creates or replaces an object the way another person would, with `kubectl edit`.
    /// Finalizers and owners mean what they mean to any other writer.
    ///
    /// # Errors
    /// If the server would refuse it.
    pub fn put(&self, object: Value) -> anyhow::Result<()> {
        write(&self.shared, object, "kubectl-edit")
    }

    /// Deletes an object the way another person would: its finalizers keep it.
    ///
    /// # Errors
    /// If there is none.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> anyhow::Result<()> {
        let resource = kinds::by_kind(kind).ok_or_else(|| anyhow!("no kind {kind:?} is served"))?;
        let context = Context {
            resource,
            namespace,
            manager: "kubectl",
            effect: Effect::Persist,
            unknown: Unknown::Refuse,
        };
        let deleted = context.delete(&mut self.shared.lock(), name, &json!({}));
        deleted
            .map(|_| ())
            .map_err(|refusal| anyhow!("{kind} {name}: {refusal:?}"))
    }

    /// Takes an object away, whatever its finalizers say; what only it owned goes too.
    pub fn remove(&self, kind: &str, namespace: &str, name: &str) {
        if let Some(resource) = kinds::by_kind(kind) {
            let key = Key::new(resource, namespace, name);
            self.shared.lock().remove(&key);
        }
    }

    /// Forgets the history: watches end with 410, and so do continued lists.
    pub fn expire_watches(&self) {
        self.shared.lock().expire_history();
    }

    /// A kubeconfig for another process. Its context is in the first namespace.
    pub fn kubeconfig(&self) -> String {
        let options = &self.shared.options;
        let namespace = options.namespaces.first().map_or("default", String::as_str);
        let user = match &options.token {
            Some(token) => json!({"token": token}),
            None => json!({}),
        };
        // JSON is YAML, and quotes what YAML would read as something else.
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sandbox",
            "clusters": [{"name": "sandbox", "cluster": {"server": self.url()}}],
            "users": [{"name": "sandbox", "user": user}],
            "contexts": [{
                "name": "sandbox",
                "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace},
            }],
        })
        .to_string()
    }
}

fn write(shared: &Shared, object: Value, manager: &str) -> anyhow::Result<()> {
    write_to(&mut shared.lock(), object, manager)
}

/// Creates or replaces, whatever version there is.
fn write_to(store: &mut Store, mut object: Value, manager: &str) -> anyhow::Result<()> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let kind = text("/kind");
    let resource = kinds::by_kind(&kind).ok_or_else(|| anyhow!("no kind {kind:?} is served"))?;
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let context = Context {
        resource,
        namespace: &namespace,
        manager,
        effect: Effect::Persist,
        unknown: Unknown::Refuse,
    };
    let live = store.get(&Key::new(resource, &namespace, &name));
    let outcome = match live {
        None => context.create(store, object),
        Some(live) => {
            let version = live.pointer("/metadata/resourceVersion").cloned();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".to_owned(), version.unwrap_or_default());
            }
            context.replace(store, &name, object)
        }
    };
    outcome
        .map(|_| ())
        .map_err(|refusal| anyhow!("refused: {}", refusal.body()))
}
