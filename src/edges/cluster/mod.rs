//! The edge to Kubernetes: one namespace of one cluster, seen by our own account.
//!
//! Kinds are known beforehand, so nothing is ever discovered. The client's own retries are
//! off: whoever calls knows which attempt is worth another, and when.

mod cache;
mod check;
mod claim;
mod error;
mod lease;
mod observe;
mod record;
mod run;
mod watch;
mod write;

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod testing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DynamicObject};
use kube::config::KubeConfigOptions;
use kube::core::ApiResource;
use kube::{Client, Config};

use crate::object::Kind;

use self::cache::Cache;

pub use self::cache::{Changed, How};
pub use self::error::ClusterError;
pub use self::lease::{Hold, Keeper};
pub use self::run::{Phase, Run, Submitted};
pub use self::write::{Deleted, Wait};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A watch may be silent for a minute: then the server sends a bookmark.
const WATCH_TIMEOUT: Duration = Duration::from_secs(150);

/// Where the cluster's address and our credentials come from.
#[derive(Clone)]
pub enum Kubeconfig {
    /// `KUBECONFIG` or the user's own file, else the pod's service account.
    Infer,
    /// The YAML text of a kubeconfig.
    Text(String),
}

impl fmt::Debug for Kubeconfig {
    /// The text holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infer => f.write_str("Infer"),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

/// The namespace. Clones share one connection pool.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// More patient, because a watch may be silent.
    watching: Client,
    namespace: Arc<str>,
    cache: Arc<Cache>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes the client. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// If there is no kubeconfig and no pod's account, or they can not work.
    pub async fn connect(source: Kubeconfig, namespace: &str) -> Result<Self, ClusterError> {
        // Several clients share the process and some bring no TLS provider of their own;
        // they panic without a default. Whoever was first has installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

        let mut config = match source {
            Kubeconfig::Infer => Config::infer().await.map_err(ClusterError::inferred)?,
            Kubeconfig::Text(text) => {
                let file =
                    kube::config::Kubeconfig::from_yaml(&text).map_err(ClusterError::kubeconfig)?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(ClusterError::kubeconfig)?
            }
        };
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.write_timeout = Some(READ_TIMEOUT);
        // Else the time a pooled connection lay idle counts as waiting for the answer.
        config.reset_reader_on_write = true;
        let mut watching = config.clone();
        watching.read_timeout = Some(WATCH_TIMEOUT);
        let client = |config| Client::try_from(config).map_err(ClusterError::client);
        Ok(Self {
            client: client(config)?,
            watching: client(watching)?,
            namespace: namespace.into(),
            cache: Arc::default(),
        })
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        api(&self.client, &self.namespace, kind)
    }
}

fn api(client: &Client, namespace: &str, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

fn resource(kind: Kind) -> ApiResource {
    let api_version = kind.api_version();
    // The core group has no name and no slash.
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{cluster, kubeconfig};
    use super::*;

    #[tokio::test]
    async fn a_failure_is_not_retried_here() {
        let (cluster, server) = cluster(|_, _| (503, json!({"code": 503}))).await;
        assert!(cluster.check().await.unwrap_err().is_transient());
        assert_eq!(server.wire().traffic().len(), 1);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_may_come_back() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let cluster = Cluster::connect(kubeconfig(&closed), "data").await.unwrap();
        let error = cluster.check().await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }

    #[tokio::test]
    async fn a_kubeconfig_that_can_not_work_is_a_setting_and_keeps_its_secrets() {
        for text in [
            "users: [{name: u, user: {token: s3cr3t}}]\nclusters: [",
            "users: [{name: u, user: {token: s3cr3t}}]",
        ] {
            let source = Kubeconfig::Text(text.to_owned());
            assert!(!format!("{source:?}").contains("s3cr3t"));
            let error = Cluster::connect(source, "data").await.unwrap_err();
            assert!(matches!(error, ClusterError::Setting { .. }), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("s3cr3t"));
        }
    }
}
