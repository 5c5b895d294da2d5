//! Where a scenario plays: a namespace of its own, with an administrator and the bot's own
//! account in it, on the simulated server or on the real one.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use http::Method;
use pipewright::clock::Clock;
use pipewright::edges::cluster::{Cluster, ClusterError, Kubeconfig};
use pipewright::object::Kind;
use pipewright::plan::steps::Force;
use pipewright::sandbox::kubernetes::{Kubernetes, Options};
use serde_json::{Value, json};

use crate::api::{Api, client, kubeconfig, namespace, text};
use crate::audit::{self, Asked};

pub const RIGHTS: &str = include_str!("../../manifests/rights.yaml");

/// The account of the bot in `RIGHTS`.
const ACCOUNT: &str = "pipewright";

pub struct Place {
    /// With every right.
    pub api: Api,
    /// With the rights of the manifest, where rights are known.
    pub bot: Cluster,
    pub namespace: String,
    pub server: Server,
    /// Where the server is, in a kubeconfig's words.
    pub cluster: Value,
    /// How the bot's own program finds it.
    pub kubeconfig: String,
    token: String,
}

pub enum Server {
    Simulated(Kubernetes),
    Real {
        /// Where each request is noted; only of a cluster that `tests/cluster/up` started.
        audit: Option<PathBuf>,
    },
}

/// Plays a scenario on both.
macro_rules! on_both {
    ($($(#[$note:meta])* $scenario:ident;)*) => {
        mod simulated {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() { super::$scenario(&$crate::place::Place::simulated().await).await; })*
        }
        mod real {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() { super::$scenario(&$crate::place::Place::real().await).await; })*
        }
    };
}
pub(crate) use on_both;

/// A name that no other scenario has, and is seen to be of a test.
fn unique() -> String {
    format!(
        "pipewright-test-{:012x}",
        RandomState::new().hash_one(0) >> 16
    )
}

impl Place {
    pub async fn simulated() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let namespace = unique();
        let options = Options {
            namespaces: vec![namespace.clone()],
            clock: Some(Clock::system()),
            ..Options::default()
        };
        let kubernetes = Kubernetes::start(options).await.unwrap();
        let cluster = json!({"server": kubernetes.url()});
        let admin = client(&kubeconfig(&cluster, "admin")).await;
        let api = Api::new(admin, &namespace);
        Self::of(api, cluster, ACCOUNT, Server::Simulated(kubernetes)).await
    }

    pub async fn real() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Never the user's own by accident.
        let path = std::env::var("KUBECONFIG")
            .expect("KUBECONFIG names the cluster; `eval \"$(tests/cluster/up)\"` starts one");
        let text = std::fs::read_to_string(path).unwrap();
        let api = Api::new(client(&text).await, &unique());
        let made = namespace(&api.namespace);
        let path = "/api/v1/namespaces";
        api.ask(Method::POST, path, "application/json", &made)
            .await
            .unwrap();
        for manifest in rights(&api.namespace) {
            api.create(&manifest).await.unwrap();
        }
        let file = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        let cluster = serde_json::to_value(file.clusters[0].cluster.as_ref().unwrap()).unwrap();
        let own = token(&api, ACCOUNT).await;
        let audit = std::env::var_os("PIPEWRIGHT_CLUSTER")
            .map(|folder| PathBuf::from(folder).join("audit.log"));
        Self::of(api, cluster, &own, Server::Real { audit }).await
    }

    async fn of(api: Api, cluster: Value, token: &str, server: Server) -> Self {
        let kubeconfig = kubeconfig(&cluster, token);
        let source = Kubeconfig::Text(kubeconfig.clone());
        let bot = Cluster::connect(source, &api.namespace).await.unwrap();
        Self {
            namespace: api.namespace.clone(),
            api,
            bot,
            server,
            cluster,
            kubeconfig,
            token: token.to_owned(),
        }
    }

    /// Has the bot apply it.
    pub async fn put(
        &self,
        kind: Kind,
        manifest: &Value,
        force: &Force,
    ) -> Result<(), ClusterError> {
        let name = text(manifest, "/metadata/name").to_owned();
        let manifest = manifest.clone().into();
        self.bot.apply(kind, &name, &manifest, force).await
    }

    /// How the bot finds the cluster by another way.
    pub fn kubeconfig_by(&self, cluster: &Value) -> String {
        kubeconfig(cluster, &self.token)
    }

    /// What the bot has asked since this was called last, by the server's own word. `None` of
    /// a cluster that does not say.
    pub async fn asked(&self) -> Option<Vec<Asked>> {
        match &self.server {
            Server::Simulated(kubernetes) => {
                let traffic = kubernetes.wire().take_traffic();
                Some(audit::of_traffic(&traffic, &format!("Bearer {ACCOUNT}")))
            }
            Server::Real { audit } => {
                let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
                Some(audit::of_log(audit.as_ref()?, &user, &self.api).await)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if matches!(self.server, Server::Simulated(_)) {
            return;
        }
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let gone = self.api.ask(Method::DELETE, &path, "", &Value::Null);
        tokio::task::block_in_place(|| {
            // Whoever fails here has failed before, and says so.
            let _ = tokio::runtime::Handle::current().block_on(gone);
        });
    }
}

/// The manifests of the bot's rights, in this namespace.
pub fn rights(namespace: &str) -> Vec<Value> {
    let text = RIGHTS.replace("namespace: pipelines", &format!("namespace: {namespace}"));
    text.split("\n---\n")
        .map(|one| serde_yaml::from_str(one).unwrap())
        .collect()
}

/// A token of a service account.
pub async fn token(api: &Api, account: &str) -> String {
    let path = format!("{}/token", api.path("ServiceAccount", account));
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = api
        .ask(Method::POST, &path, "application/json", &request)
        .await
        .unwrap();
    text(&answer, "/status/token").to_owned()
}
