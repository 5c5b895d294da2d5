//! GitHub with one repository: REST for an App, git over HTTP, webhooks, and a handle for what people do.
//!
//! Left out: branch protection (rules are shown, not enforced), conditional requests,
//! drafts, squash and rebase merges, file contents over REST, the delivery log and redelivery, every
//! webhook but those in `webhook`, shallow and partial clones, pushes over HTTP, and GraphQL.
//! `mergeable` is known at once, where GitHub first answers null and computes it.
//! Names of the repository are compared with case; labels are made by their first use.
//!
//! Nothing depends on chance, nor on a clock that was not given (a token's expiry excepted), so a story told twice gives
//! the same ids, instants and commits.

mod activity;
mod answer;
mod check_fields;
mod control;
mod git_http;
mod limits;
mod look;
mod moves;
mod objects;
mod pack;
mod repository;
mod rest_app;
mod rest_checks;
mod rest_comments;
mod rest_issues;
mod rest_pulls;
mod rest_repo;
mod webhook;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use serde_json::Value;

use crate::clock::Clock;
use crate::sandbox::server::{Server, Wire};

pub use control::Edit;
pub use limits::{Limits, RetryAfter};
pub use look::{Changed, Pushed};
pub use repository::Change;
pub use webhook::Delivery;
pub use world::{
    CheckRun, Comment, Issue, Permission, PullRequest, PullState, Reaction, Review, ReviewState,
};

use repository::{Person, Repository};
use webhook::Hook;
use world::{Shared, World};

/// What GitHub gives up on a webhook after.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Which repository, and which App is installed on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The organization that owns the repository.
    pub owner: String,
    pub name: String,
    pub app_id: u64,
    pub app_slug: String,
    pub installation_id: u64,
    /// The bare git repository is made in it, as `NAME.git`.
    pub directory: PathBuf,
    /// What instants are read off. Without one, each change comes a second after the last.
    pub clock: Option<Clock>,
}

/// A running GitHub; the last clone of it that is dropped stops it.
#[derive(Clone)]
pub struct Github {
    world: Shared,
    server: Arc<Server>,
    client: reqwest::Client,
}

impl Github {
    /// Starts with one commit on `main` that holds `files`.
    ///
    /// # Errors
    /// If the bare repository can not be made, or no port can be bound.
    pub async fn start(options: Options, files: BTreeMap<String, Vec<u8>>) -> anyhow::Result<Self> {
        let path = options.directory.join(format!("{}.git", options.name));
        let owner = Person {
            login: options.owner.clone(),
            id: objects::OWNER_ID,
        };
        let git = Repository::create(path, files, &owner, world::started(options.clock.as_ref()))?;
        let world = World::new(options, git);
        let (apps, tokens, git) = (
            rest_app::routes(&world),
            rest_repo::routes(&world)
                .merge(rest_pulls::routes(&world))
                .merge(rest_issues::routes(&world))
                .merge(rest_comments::routes(&world))
                .merge(rest_checks::routes(&world)),
            git_http::routes(&world),
        );
        let shared = Shared::new(world);
        let limits = from_fn_with_state(shared.clone(), limits::keep);
        let guard = from_fn_with_state(shared.clone(), rest_app::require_token);
        let router = Router::new()
            .merge(
                tokens
                    .fallback(answer::not_found)
                    .method_not_allowed_fallback(answer::not_found)
                    .layer(limits)
                    .layer(guard),
            )
            .merge(apps)
            .merge(git)
            .with_state(shared.clone());
        let server = Server::start(router).await?;
        shared.lock().url = server.url();
        Ok(Self {
            world: shared,
            server: Arc::new(server),
            client: client()?,
        })
    }

    /// The root of the REST API.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What to fetch from, with `x-access-token` and an installation token.
    pub fn git_url(&self) -> String {
        format!("{}.git", self.world.lock().html())
    }

    pub fn wire(&self) -> &Wire {
        self.server.wire()
    }

    /// From now on changes are queued for `url`; those before were told to nobody.
    pub fn set_webhook(&self, url: impl Into<String>, secret: impl Into<String>) {
        self.world.lock().hook = Some(Hook {
            url: url.into(),
            secret: secret.into(),
        });
    }

    /// Sends what is queued now, in order, and tells the status of each.
    ///
    /// What the answers cause stays queued for the next call.
    ///
    /// # Errors
    /// As [`Github::send`].
    pub async fn deliver(&self) -> anyhow::Result<Vec<u16>> {
        let mut statuses = Vec::new();
        for delivery in self.take_deliveries() {
            statuses.push(self.send(&delivery).await?);
        }
        Ok(statuses)
    }

    /// Loses what is queued.
    pub fn drop_deliveries(&self) {
        self.world.lock().queue.clear();
    }

    /// Takes what is queued, to be sent in any order and any number of times, or never.
    pub fn take_deliveries(&self) -> Vec<Delivery> {
        self.world.lock().queue.drain(..).collect()
    }

    /// Sends one delivery. A receiver that can not be reached counts as 502, a silent one as 504.
    ///
    /// # Errors
    /// If no webhook is set.
    pub async fn send(&self, delivery: &Delivery) -> anyhow::Result<u16> {
        let hook = self.world.lock().hook.clone();
        let hook = hook.context("no webhook is set")?;
        let sent = self
            .client
            .post(&hook.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "GitHub-Hookshot/simulated")
            .header("X-GitHub-Event", &delivery.event)
            .header("X-GitHub-Delivery", &delivery.guid)
            .header("X-GitHub-Hook-ID", "503")
            .header(
                "X-Hub-Signature-256",
                webhook::sign(&hook.secret, &delivery.body)?,
            )
            .body(delivery.body.clone())
            .send()
            .await;
        Ok(match sent {
            Ok(response) => response.status().as_u16(),
            Err(error) if error.is_timeout() => 504,
            Err(_) => 502,
        })
    }

    /// What `rules/branches/{branch}` lists; nothing until set.
    pub fn set_rules(&self, rules: Vec<Value>) {
        self.world.lock().rules = rules;
    }

    /// Every token issued so far is refused from now on.
    pub fn revoke_tokens(&self) {
        self.world.lock().tokens.clear();
    }
}

/// Deliveries go to loopback only: no proxy, and no root certificates to trust.
fn client() -> anyhow::Result<reqwest::Client> {
    // Given here, because the process may have no default provider and must not get one from a simulator.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(DELIVERY_TIMEOUT)
        .no_proxy();
    Ok(builder.build()?)
}
