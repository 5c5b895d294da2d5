//! A GitHub of a few canned answers, and the simulated one, for the tests of this module.

use std::collections::BTreeMap;

use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::SecretString;
use serde_json::json;

use super::{Forge, ForgeConfig};
use crate::clock::Clock;
use crate::sandbox::github::{Change, Github, Options, Permission};
use crate::sandbox::server::Server;

pub(super) const APP: u64 = 42;
pub(super) const REPO: &str = "/repos/acme/pipelines";

pub(super) fn config(url: String, key: &str) -> ForgeConfig {
    ForgeConfig {
        api_url: url,
        repository: "acme/pipelines".parse().unwrap(),
        app_id: APP,
        key_pem: SecretString::from(key.to_owned()),
        clock: Clock::system(),
    }
}

pub(super) const KEY: &str = include_str!("../../../tests/data/app-key.pem");

/// A connected forge over `routes` and what connecting needs.
pub(super) async fn forge(routes: Router) -> (Forge, Server) {
    let server = Server::start(routes.merge(app())).await.unwrap();
    let forge = Forge::connect(&config(server.url(), KEY)).await.unwrap();
    (forge, server)
}

/// The App, its installation and its tokens.
pub(super) fn app() -> Router {
    let installation = || async { Json(json!({"id": 7})) };
    let app = || async { Json(json!({"id": APP, "slug": "pipewright-acme"})) };
    let token = || async {
        let body = json!({
            "token": "ghs_secret",
            "expires_at": "2099-01-01T00:00:00Z",
            "permissions": {},
        });
        (http::StatusCode::CREATED, Json(body))
    };
    Router::new()
        .route(&format!("{REPO}/installation"), get(installation))
        .route("/app", get(app))
        .route("/app/installations/7/access_tokens", post(token))
}

/// The simulated GitHub with people and ada's pull request from the branch `a/b`, and a
/// forge connected to it on the same clock.
pub(super) async fn github(clock: &Clock) -> (Github, Forge, u64, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        owner: "acme".into(),
        name: "pipelines".into(),
        app_id: APP,
        app_slug: "pipewright".into(),
        installation_id: 7,
        clock: None,
        directory: directory.path().to_owned(),
    };
    let github = Github::start(options, BTreeMap::new()).await.unwrap();
    for (login, permission) in [
        ("ada", Permission::Write),
        ("mia", Permission::Maintain),
        ("tom", Permission::Triage),
        ("adm", Permission::Admin),
        ("eve", Permission::None),
        ("helper[bot]", Permission::None),
    ] {
        github.add_user(login, permission);
    }
    let change = [Change::write("a", "b")];
    let number = github.open_pull_request("ada", "a/b", "Add a", &change);
    let mut config = config(github.url(), KEY);
    config.clock = clock.clone();
    let forge = Forge::connect(&config).await.unwrap();
    (github, forge, number.unwrap(), directory)
}
