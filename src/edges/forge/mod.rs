//! The edge to GitHub: one repository, seen by our App's installation.
//!
//! Own small structs stand for GitHub's answers, because a model that demands every
//! field fails on the day one is renamed. Nothing is retried here: a repeated POST is a
//! second comment. The one exception is octocrab's own, after a 401, which GitHub answers
//! before any effect; what else it could retry is a feature of it that is not compiled in.

pub mod check;
pub mod comment;
pub mod conversation;
pub mod digest;
mod error;
mod limits;
pub mod pull;
mod pushers;
pub mod review;
pub mod webhook;
mod wire;

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod testing;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, HeaderName};
use http::{Method, Uri};
use octocrab::Octocrab;
use octocrab::models::{AppId, InstallationId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::clock::Clock;

use self::limits::{Cost, Limits};
use self::wire::{Door, Request};

pub use self::conversation::Reaction;
pub use self::error::ForgeError;
pub use self::pull::{PullRequest, PullState};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const API_VERSION: &str = "2022-11-28";

/// `owner/name` of a repository on GitHub. Case does not count in comparisons.
#[derive(Debug, Clone, Eq)]
pub struct RepositoryName {
    owner: String,
    name: String,
}

/// A text that is not `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a repository is written `owner/name`, as in its address on GitHub")]
pub struct RepositoryNameError;

impl RepositoryName {
    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for RepositoryName {
    type Err = RepositoryNameError;

    fn from_str(text: &str) -> Result<Self, RepositoryNameError> {
        let legal = |part: &str, others: &[u8]| {
            (1..=100).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
                && part != "."
                && part != ".."
        };
        match text.split_once('/') {
            Some((owner, name)) if legal(owner, b"-_") && legal(name, b"-_.") => Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(RepositoryNameError),
        }
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// How to reach GitHub as our App.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// `https://api.github.com`, or a GitHub Enterprise Server's `https://HOST/api/v3`.
    pub api_url: String,
    pub repository: RepositoryName,
    pub app_id: u64,
    pub key_pem: SecretString,
    /// What GitHub's limits are measured by.
    pub clock: Clock,
}

/// The repository on GitHub. Clones share one connection pool and one token.
#[derive(Clone)]
pub struct Forge {
    inner: Arc<Inner>,
}

struct Inner {
    /// Kept once: octocrab's own clones would each ask for a token.
    client: Octocrab,
    limits: Limits,
    repository: RepositoryName,
    app_id: u64,
    bot_login: String,
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge")
            .field("repository", &self.inner.repository)
            .field("bot_login", &self.inner.bot_login)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct InstallationWire {
    id: u64,
}

#[derive(Deserialize)]
struct AppWire {
    slug: String,
}

/// Whoever did something. GitHub leaves it out for accounts that are gone.
#[derive(Deserialize)]
struct UserWire {
    login: String,
}

/// The App that did something.
#[derive(Deserialize)]
struct AppIdWire {
    id: u64,
}

impl Forge {
    /// Finds the App and its installation on the repository.
    ///
    /// # Errors
    /// If a setting can not work, the App is not installed there, or GitHub does not answer.
    pub async fn connect(config: &ForgeConfig) -> Result<Self, ForgeError> {
        // Several clients share the process and some bring no TLS provider of their own;
        // they panic without a default. Whoever was first has installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

        let app = app_client(config)?;
        let repository = &config.repository;
        let path = format!("/repos/{repository}/installation");
        let limits = Limits::new(config.clock.clone());
        let door = Door {
            client: &app,
            limits: &limits,
        };
        let attempt = format!("find the App on {repository}");
        let request = Request::without_body(Method::GET, &path);
        let installation = door.exchange(&attempt, Cost::Read, request).await?;
        let InstallationWire { id } = installation.body;
        let request = Request::without_body(Method::GET, "/app");
        let app_itself = door.exchange("read the App", Cost::Read, request).await?;
        let AppWire { slug } = app_itself.body;
        // The token is good for this repository only, however many the App is installed on.
        let client = app
            .installation_builder(InstallationId(id))
            .repositories(vec![repository.name().to_owned()])
            .build()
            .map_err(|error| ForgeError::classify("use the installation", error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                limits,
                repository: repository.clone(),
                app_id: config.app_id,
                bot_login: format!("{slug}[bot]"),
            }),
        })
    }

    /// A token for git, good for half a minute at least and for an hour at most.
    ///
    /// # Errors
    /// If GitHub does not give one.
    pub async fn installation_token(&self) -> Result<SecretString, ForgeError> {
        let attempt = "get a token";
        let permit = self.limits().permit(attempt, Cost::Read).await?;
        let token = self.client().installation_token().await;
        token.map_err(|error| permit.failed(attempt, error))
    }

    pub fn repository(&self) -> &RepositoryName {
        &self.inner.repository
    }

    /// The login under which our App comments.
    pub fn bot_login(&self) -> &str {
        &self.inner.bot_login
    }

    fn client(&self) -> &Octocrab {
        &self.inner.client
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    fn is_our_app(&self, app: Option<&AppIdWire>) -> bool {
        app.is_some_and(|app| app.id == self.inner.app_id)
    }

    /// A path under the repository; `rest` begins with a slash or is empty.
    fn path(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.inner.repository)
    }
}

fn app_client(config: &ForgeConfig) -> Result<Octocrab, ForgeError> {
    let failed = |error| ForgeError::classify("prepare the client", error);
    let key = config.key_pem.expose_secret().as_bytes();
    Octocrab::builder()
        .base_uri(base(&config.api_url)?)
        .map_err(failed)?
        .app_from_rsa_pem(AppId(config.app_id), key)
        .map_err(failed)?
        .add_header(ACCEPT, "application/vnd.github+json".to_owned())
        .add_header(
            HeaderName::from_static("x-github-api-version"),
            API_VERSION.to_owned(),
        )
        .set_connect_timeout(Some(CONNECT_TIMEOUT))
        .set_read_timeout(Some(READ_TIMEOUT))
        .set_write_timeout(Some(READ_TIMEOUT))
        .build()
        .map_err(failed)
}

/// Octocrab panics later over an address without a host, so it is looked at here.
fn base(url: &str) -> Result<Uri, ForgeError> {
    let problem = |problem: &str| ForgeError::Setting {
        setting: "GitHub's API address",
        problem: problem.to_owned(),
        source: None,
    };
    let uri: Uri = url
        .trim_end_matches('/')
        .parse()
        .map_err(|_| problem("not an address; it looks like https://api.github.com"))?;
    match (uri.scheme_str(), uri.authority(), uri.query()) {
        (Some("http" | "https"), Some(authority), None) if !authority.as_str().contains('@') => {
            Ok(uri)
        }
        _ => Err(problem(
            "needs http or https, a host, and neither credentials nor a query",
        )),
    }
}

#[cfg(feature = "sandbox")]
#[cfg(test)]
mod tests {
    use axum::Router;

    use super::testing::{KEY, app, config, forge};
    use super::*;
    use crate::sandbox::server::Server;

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_for_this_repository() {
        let (forge, server) = forge(Router::new()).await;
        assert_eq!(forge.bot_login(), "pipewright-acme[bot]");
        for _ in 0..2 {
            let token = forge.clone().installation_token().await.unwrap();
            assert_eq!(token.expose_secret(), "ghs_secret");
        }
        let traffic = server.wire().traffic();
        let minted: Vec<_> = traffic.iter().filter(|e| e.is_write()).collect();
        assert_eq!(minted.len(), 1);
        let body: serde_json::Value = serde_json::from_slice(&minted[0].request).unwrap();
        assert_eq!(body, serde_json::json!({"repositories": ["pipelines"]}));
        assert!(!format!("{forge:?}").contains("ghs_"));
    }

    #[tokio::test]
    async fn an_enterprise_servers_prefix_is_kept() {
        let prefixed = Router::new().nest("/api/v3", app());
        let server = Server::start(prefixed).await.unwrap();
        let url = format!("{}/api/v3/", server.url());
        let forge = Forge::connect(&config(url, KEY)).await.unwrap();
        assert!(forge.installation_token().await.is_ok());
    }

    #[tokio::test]
    async fn a_setting_that_can_not_work_is_named() {
        let body = "bm90IGEga2V5";
        for (url, key, setting) in [
            ("http://127.0.0.1:9", "not a key".to_owned(), "private key"),
            (
                "http://127.0.0.1:9",
                KEY.lines().take(5).collect::<Vec<_>>().join("\n"),
                "private key",
            ),
            (
                "http://127.0.0.1:9",
                format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n"),
                "private key",
            ),
            ("/api/v3", KEY.to_owned(), "address"),
            ("ftp://github.com", KEY.to_owned(), "address"),
        ] {
            let error = Forge::connect(&config(url.to_owned(), &key)).await;
            let error = error.unwrap_err();
            assert!(matches!(error, ForgeError::Setting { .. }), "{error:?}");
            assert!(error.to_string().contains(setting));
            assert!(!format!("{error:?}").contains(body));
        }
    }

    #[tokio::test]
    async fn an_app_that_is_not_installed_is_not_found() {
        let server = Server::start(Router::new()).await.unwrap();
        let error = Forge::connect(&config(server.url(), KEY))
            .await
            .unwrap_err();
        assert!(matches!(error, ForgeError::NotFound { .. }));
        assert!(error.to_string().contains("find the App on acme/pipelines"));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_may_come_back() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Forge::connect(&config(closed, KEY)).await.unwrap_err();
        assert!(matches!(error, ForgeError::Transient { .. }), "{error:?}");
    }

    #[test]
    fn repository_names() {
        let name: RepositoryName = "Acme/Pipe.lines".parse().unwrap();
        assert_eq!(name, "acme/pipe.lines".parse().unwrap());
        for bad in [
            "acme", "/x", "acme/", "a/b/c", "acme/..", "a b/c", "acme/x?y",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }
}
