//! The simulator as its clients see it: over HTTP, with credentials, byte by byte.

mod git;
mod pulls;
mod rest;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use git2::Oid;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::git_http::{Line, Lines};
use super::*;
use crate::clock::Clock;

const FETCH: &str = "application/x-git-upload-pack-request";

/// The simulator, a client of it, and an installation token.
struct Bench {
    github: Github,
    client: reqwest::Client,
    token: String,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            owner: "acme".to_owned(),
            name: "data".to_owned(),
            app_id: 7,
            app_slug: "pipewright".to_owned(),
            installation_id: 70,
            clock: None,
            directory: directory.path().to_owned(),
        };
        let files = BTreeMap::from([
            ("README.md".to_owned(), b"one\ntwo\nthree\n".to_vec()),
            ("pipelines/a/a.yaml".to_owned(), b"name: a\n".to_vec()),
        ]);
        let github = Github::start(options, files).await.unwrap();
        github.add_user("ada", Permission::Write);
        github.add_user("bob", Permission::Read);
        github.add_user("eve", Permission::None);
        let client = client().unwrap();
        let mut bench = Self {
            github,
            client,
            token: String::new(),
            directory,
        };
        let answer = bench.as_app(&json!({ "iss": "7" })).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let answer: Value = answer.json().await.unwrap();
        bench.token = answer["token"].as_str().unwrap().to_owned();
        bench
    }

    async fn as_app(&self, claims: &Value) -> Response {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let jwt = format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims));
        let url = format!("{}/app/installations/70/access_tokens", self.github.url());
        let request = self.client.post(url).bearer_auth(jwt);
        request.send().await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        let url = format!("{}/repos/acme/data{path}", self.github.url());
        let request = self.client.request(method, url).bearer_auth(&self.token);
        request.json(&body).send().await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, json!({})).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn proposal(&self) -> u64 {
        let changes = [Change::write("pipelines/b/b.yaml", "name: b\n")];
        let opened = self
            .github
            .open_pull_request("ada", "add-b", "Add b", &changes);
        opened.unwrap()
    }

    /// Posts a framed request to `git-upload-pack`.
    async fn fetch(&self, version: &str, lines: Lines) -> Vec<u8> {
        let url = format!("{}/git-upload-pack", self.github.git_url());
        let request = self.client.post(url).header("content-type", FETCH);
        let request = request.header("git-protocol", version).body(lines.0);
        let request = request.basic_auth("x-access-token", Some(&self.token));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.unwrap().to_vec()
    }

    /// The objects that a pack brings to a repository that has `before`.
    fn objects(&self, before: &str, pack: &[u8]) -> usize {
        use std::io::Write;
        let path = self.directory.path().join("clone.git");
        let repo = git2::Repository::init_bare(path).unwrap();
        let mut received = 0;
        let mut progress = |progress: git2::Progress<'_>| {
            received = progress.total_objects();
            true
        };
        let odb = repo.odb().unwrap();
        let mut writer = odb.packwriter().unwrap();
        writer.progress(&mut progress);
        writer.write_all(pack).unwrap();
        writer.commit().unwrap();
        drop(writer);
        // Whatever the history of what was fetched names is there.
        let mut walk = repo.revwalk().unwrap();
        walk.push(Oid::from_str(before).unwrap()).unwrap();
        for id in walk {
            let tree = repo.find_commit(id.unwrap()).unwrap().tree().unwrap();
            let all = |_: &str, entry: &git2::TreeEntry<'_>| {
                entry.to_object(&repo).unwrap();
                git2::TreeWalkResult::Ok
            };
            tree.walk(git2::TreeWalkMode::PreOrder, all).unwrap();
        }
        received
    }
}
