//! The simulator as its clients see it: over HTTP, with credentials, byte by byte.

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

fn texts(lines: &[Line<'_>]) -> Vec<String> {
    let texts = lines.iter().filter_map(Line::text);
    texts.map(str::to_owned).collect()
}

/// Parts the framed lines before the pack from the pack in its band.
fn unpack(mut body: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut lines, mut pack) = (Vec::new(), Vec::new());
    while !body.is_empty() {
        let length = std::str::from_utf8(&body[..4]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap().max(4);
        match &body[4..length] {
            [] => {}
            [1, data @ ..] => pack.extend_from_slice(data),
            line => lines.push(String::from_utf8(line.to_vec()).unwrap().trim().to_owned()),
        }
        body = &body[length..];
    }
    (lines, pack)
}

#[tokio::test]
async fn only_the_app_gets_a_token_and_only_a_token_gets_in() {
    let bench = Bench::new().await;
    let stranger = bench.as_app(&json!({ "iss": "8" })).await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let url = format!("{}/repos/acme/data", bench.github.url());
    let bare = bench.client.get(&url).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bench.get("").await["full_name"], "acme/data");
    let elsewhere = format!("{}/repos/acme/other", bench.github.url());
    let request = bench.client.get(elsewhere).bearer_auth(&bench.token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "404");
    bench.github.revoke_tokens();
    let (status, body) = bench.call(Method::GET, "", json!({})).await;
    assert_eq!((status, &body["message"]), (401, &json!("Bad credentials")));
}

#[tokio::test]
async fn a_comment_has_a_limit_an_edit_a_later_instant_and_a_reaction_counts_once() {
    let bench = Bench::new().await;
    let number = bench.proposal();
    let path = format!("/issues/{number}/comments");
    let long = json!({ "body": "é".repeat(65_537) });
    let (status, body) = bench.call(Method::POST, &path, long).await;
    assert_eq!(status, 422);
    let message = "Body is too long (maximum is 65536 characters)";
    assert_eq!(body["errors"][0]["message"], message);
    let full = json!({ "body": "é".repeat(65_536) });
    let (status, comment) = bench.call(Method::POST, &path, full).await;
    assert_eq!((status, &comment["user"]["type"]), (201, &json!("Bot")));
    assert_eq!(comment["performed_via_github_app"]["id"], 7);
    assert_eq!(comment["created_at"], comment["updated_at"]);

    let own = format!("/issues/comments/{}", comment["id"]);
    let (_, edited) = bench
        .call(Method::PATCH, &own, json!({ "body": "short" }))
        .await;
    assert_eq!(edited["body"], "short");
    assert!(edited["updated_at"].as_str() > edited["created_at"].as_str());

    let reactions = format!("{own}/reactions");
    let eyes = json!({ "content": "eyes" });
    assert_eq!(
        bench.call(Method::POST, &reactions, eyes.clone()).await.0,
        201
    );
    assert_eq!(bench.call(Method::POST, &reactions, eyes).await.0, 200);
    assert_eq!(bench.get(&reactions).await.as_array().unwrap().len(), 1);
    assert_eq!(bench.call(Method::DELETE, &own, json!({})).await.0, 204);
    assert!(bench.github.comments(number).is_empty());
}

#[tokio::test]
async fn pages_are_linked() {
    let bench = Bench::new().await;
    let number = bench.proposal();
    for count in 0..5 {
        let text = format!("comment {count}");
        bench.github.comment(number, "bob", &text).unwrap();
    }
    let path = format!("/issues/{number}/comments?per_page=2&page=2");
    let answer = bench.send(Method::GET, &path, json!({})).await;
    let link = answer.headers()["link"].to_str().unwrap().to_owned();
    let own = format!(
        "{}/repos/acme/data/issues/{number}/comments",
        bench.github.url()
    );
    assert_eq!(
        link,
        format!(
            "<{own}?page=1&per_page=2>; rel=\"prev\", <{own}?page=3&per_page=2>; rel=\"next\", \
             <{own}?page=3&per_page=2>; rel=\"last\", <{own}?page=1&per_page=2>; rel=\"first\""
        )
    );
    let page: Value = answer.json().await.unwrap();
    let bodies: Vec<&Value> = page
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["body"])
        .collect();
    assert_eq!(bodies, ["comment 2", "comment 3"]);
}

#[tokio::test]
async fn a_check_run_takes_fifty_annotations_a_time_and_keeps_them_all() {
    let bench = Bench::new().await;
    let sha = bench.github.default_head();
    let note = |line: usize| {
        json!({
            "path": "README.md", "start_line": line, "end_line": line,
            "annotation_level": "failure", "message": "wrong",
        })
    };
    let notes = |count: usize| (1..=count).map(note).collect::<Vec<Value>>();
    let run = |sha: &str, count: usize| {
        json!({
            "name": "plan", "head_sha": sha, "status": "in_progress",
            "output": { "title": "Plan", "summary": "s", "annotations": notes(count) },
        })
    };
    let path = "/check-runs";
    let (status, body) = bench
        .call(Method::POST, path, run(&"1".repeat(40), 1))
        .await;
    let message = format!("No commit found for SHA: {}", "1".repeat(40));
    assert_eq!((status, &body["message"]), (422, &json!(message)));
    let (status, _) = bench.call(Method::POST, path, run(&sha, 51)).await;
    assert_eq!(status, 422);
    assert!(bench.github.check_runs(&sha).is_empty());

    let (status, first) = bench.call(Method::POST, path, run(&sha, 50)).await;
    assert_eq!((status, &first["status"]), (201, &json!("in_progress")));
    let own = format!("/check-runs/{}", first["id"]);
    let more = json!({
        "conclusion": "success",
        "output": { "title": "Plan", "summary": "s", "annotations": notes(2) },
    });
    let (_, done) = bench.call(Method::PATCH, &own, more).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(done["output"]["annotations_count"], 52);
    let long = json!({ "output": { "title": "Plan", "summary": "s".repeat(65_536) } });
    assert_eq!(bench.call(Method::PATCH, &own, long).await.0, 422);
    let undone = json!({ "name": "plan", "head_sha": sha, "status": "completed" });
    assert_eq!(bench.call(Method::POST, path, undone).await.0, 422);

    let (_, second) = bench.call(Method::POST, path, run(&sha, 1)).await;
    let listed =
        |filter: &str| format!("/commits/{sha}/check-runs?check_name=plan&app_id=7{filter}");
    let latest = bench.get(&listed("")).await;
    assert_eq!(latest["total_count"], 1);
    assert_eq!(latest["check_runs"][0]["id"], second["id"]);
    assert_eq!(bench.get(&listed("&filter=all")).await["total_count"], 2);
}

#[tokio::test]
async fn a_pull_request_from_opening_to_merge_as_webhooks_tell_it() {
    let bench = Bench::new().await;
    let github = &bench.github;
    let received: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
    let log = received.clone();
    let receive = async move |headers: HeaderMap, body: axum::body::Bytes| {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let signed = header("x-hub-signature-256") == webhook::sign("secret", &body).unwrap();
        log.lock().unwrap().push((header("x-github-event"), signed));
        StatusCode::ACCEPTED
    };
    let bot = Server::start(Router::new().route("/", post(receive)))
        .await
        .unwrap();
    github.set_webhook(bot.url(), "secret");

    let number = bench.proposal();
    let before = github.pull_request(number).unwrap().head_sha;
    let changes = [Change::write("pipelines/b/b.yaml", "name: bb\n")];
    let after = github.push(number, "ada", &changes).unwrap();
    github.review(number, "bob", ReviewState::Approved).unwrap();
    let path = format!("/issues/{number}/comments");
    bench
        .call(Method::POST, &path, json!({ "body": "the plan" }))
        .await;
    let merged = github.merge(number, "ada").unwrap();

    let queued = github.take_deliveries();
    let told: Vec<(String, Value)> = queued
        .iter()
        .map(|one| {
            (
                one.event.clone(),
                serde_json::from_slice(&one.body).unwrap(),
            )
        })
        .collect();
    let names: Vec<String> = told
        .iter()
        .map(|(event, body)| match body["action"].as_str() {
            Some(action) => format!("{event} {action}"),
            None => format!("{event} {}", body["ref"].as_str().unwrap()),
        })
        .collect();
    assert_eq!(
        names,
        [
            "push refs/heads/add-b",
            "pull_request opened",
            "push refs/heads/add-b",
            "pull_request synchronize",
            "pull_request_review submitted",
            "issue_comment created",
            "pull_request closed",
            "push refs/heads/main",
        ]
    );
    let (_, synchronized) = &told[3];
    assert_eq!(synchronized["before"], before);
    assert_eq!(synchronized["after"], after);
    let (_, commented) = &told[5];
    assert_eq!(commented["sender"]["type"], "Bot");
    assert!(commented["issue"]["pull_request"].is_object());
    let (_, closed) = &told[6];
    assert_eq!(closed["pull_request"]["merged"], true);
    assert_eq!(closed["pull_request"]["merge_commit_sha"], merged);
    assert_eq!(closed["installation"]["id"], 70);
    let (_, pushed) = &told[7];
    assert_eq!(
        (
            &pushed["after"],
            pushed["commits"].as_array().unwrap().len()
        ),
        (&json!(merged), 3)
    );

    // Doubled and out of order, and every one still signed; one more after the loss of the rest.
    for delivery in [&queued[1], &queued[0], &queued[1]] {
        assert_eq!(github.send(delivery).await.unwrap(), 202);
    }
    github.comment(number, "ada", "lost").unwrap();
    github.drop_deliveries();
    github.comment(number, "ada", "/rerun").unwrap();
    assert_eq!(github.deliver().await.unwrap(), [202]);
    let events = ["pull_request", "push", "pull_request", "issue_comment"];
    let expected: Vec<(String, bool)> =
        events.iter().map(|one| ((*one).to_owned(), true)).collect();
    assert_eq!(*received.lock().unwrap(), expected);

    assert_eq!(github.default_head(), merged);
    assert_eq!(
        github.file("main", "pipelines/b/b.yaml").unwrap(),
        "name: bb\n"
    );
    let of_commit = bench.get(&format!("/commits/{after}/pulls")).await;
    assert_eq!(of_commit[0]["number"], number);
    assert_eq!(of_commit.as_array().unwrap().len(), 1);
    let root = bench.get("/branches/main").await["commit"]["parents"][0]["sha"].clone();
    let of_root = bench
        .get(&format!("/commits/{}/pulls", root.as_str().unwrap()))
        .await;
    assert_eq!(of_root, json!([]));
}

#[test]
fn a_signature_is_the_documented_one() {
    let signed = webhook::sign("It's a Secret to Everybody", b"Hello, World!").unwrap();
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(signed, expected);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_a_failed_delivery_not_an_error() {
    let bench = Bench::new().await;
    // Port 1 is reserved; nobody listens there.
    bench.github.set_webhook("http://127.0.0.1:1/", "s");
    bench.proposal();
    assert_eq!(bench.github.deliver().await.unwrap(), [502, 502]);
}

#[tokio::test]
async fn a_conflict_takes_the_test_merge_away_and_refuses_the_merge() {
    let bench = Bench::new().await;
    let github = &bench.github;
    let changes = [Change::write("README.md", "one\nTWO\nthree\n")];
    let number = github
        .open_pull_request("ada", "two", "Two", &changes)
        .unwrap();
    let own = format!("/pulls/{number}");
    assert_eq!(bench.get(&own).await["mergeable"], true);
    let refs = || github.world.lock().git.refs().unwrap();
    let merge = format!("refs/pull/{number}/merge");
    assert!(refs().contains_key(&merge));
    let changes = [Change::write("README.md", "one\n2\nthree\n")];
    github
        .push_to_default("ada", "Two, in digits", &changes)
        .unwrap();
    assert_eq!(bench.get(&own).await["mergeable_state"], "dirty");
    assert!(!refs().contains_key(&merge));
    assert!(github.merge(number, "ada").is_err());
    assert!(github.queue_merge_group(number, "ada").is_err());
    github.close(number, "ada").unwrap();
    assert_eq!(bench.get("/pulls").await, json!([]));
    assert_eq!(bench.get("/pulls?state=closed").await[0]["number"], number);
}

#[tokio::test]
async fn a_merge_group_is_checked_on_the_commit_that_main_moves_to() {
    let bench = Bench::new().await;
    let github = &bench.github;
    let (number, base) = (bench.proposal(), github.default_head());
    github.set_webhook("http://127.0.0.1:1/", "s");
    let head = github.queue_merge_group(number, "ada").unwrap();
    let body: Value = serde_json::from_slice(&github.take_deliveries()[1].body).unwrap();
    assert_eq!(body["action"], "checks_requested");
    assert_eq!(body["merge_group"]["head_sha"], head);
    let reference = format!("refs/heads/gh-readonly-queue/main/pr-{number}-{base}");
    assert_eq!(body["merge_group"]["head_ref"], reference);
    assert_eq!(github.default_head(), base);
    assert_eq!(github.finish_merge_group(number, "ada").unwrap(), head);
    assert_eq!(github.default_head(), head);
    let state = github.pull_request(number).unwrap().state;
    assert!(matches!(state, PullState::Merged { sha, .. } if sha == head));
}

#[tokio::test]
async fn a_fork_has_its_own_repository_and_only_people_with_access_move_branches() {
    let bench = Bench::new().await;
    let github = &bench.github;
    let changes = [Change::symlink("pipelines/x", "/etc/passwd")];
    assert!(github.open_pull_request("eve", "x", "X", &changes).is_err());
    let number = github
        .open_fork_pull_request("eve", "x", "X", &changes)
        .unwrap();
    let pull = bench.get(&format!("/pulls/{number}")).await;
    assert_eq!(pull["head"]["repo"]["full_name"], "eve/data");
    assert_eq!(pull["head"]["repo"]["fork"], true);
    assert_eq!(pull["base"]["repo"]["fork"], false);
    let files = bench.get(&format!("/pulls/{number}/files")).await;
    assert_eq!(
        (&files[0]["filename"], &files[0]["status"]),
        (&json!("pipelines/x"), &json!("added"))
    );
    assert!(github.push(number, "ada", &changes).is_err());
    assert!(github.merge(number, "bob").is_err());
    let permission = bench.get("/collaborators/eve/permission").await;
    assert_eq!(permission["permission"], "none");
    github.add_team("acme", "data", &["bob"]);
    let team = |login: &str| format!("{}/orgs/acme/teams/data/memberships/{login}", github.url());
    for (login, expected) in [("bob", 200), ("eve", 404)] {
        let request = bench.client.get(team(login)).bearer_auth(&bench.token);
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
}

#[tokio::test]
async fn a_clone_and_a_fetch_of_what_is_new_over_version_0() {
    let bench = Bench::new().await;
    let url = format!(
        "{}/info/refs?service=git-upload-pack",
        bench.github.git_url()
    );
    let bare = bench.client.get(&url).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
    let request = bench.client.get(&url);
    let request = request.basic_auth("x-access-token", Some(&bench.token));
    let listed = request.send().await.unwrap().text().await.unwrap();
    let lines = texts(&git_http::read(listed.as_bytes()).unwrap());
    let first = bench.github.default_head();
    assert!(lines[1].starts_with(&format!("{first} HEAD\0multi_ack ")));
    assert_eq!(lines[2], format!("{first} refs/heads/main"));

    let mut clone = Lines::default();
    clone.line(format!("want {first} side-band-64k ofs-delta\n"));
    clone.flush();
    clone.line("done\n");
    let (acknowledged, pack) = unpack(&bench.fetch("", clone).await);
    assert_eq!(acknowledged, ["NAK"]);
    // A commit, the trees of the root and of two folders, two files.
    assert_eq!(bench.objects(&first, &pack), 6);

    let number = bench.proposal();
    let head = bench.github.pull_request(number).unwrap().head_sha;
    let ask = |end: &str| {
        let mut fetch = Lines::default();
        fetch.line(format!("want {head} multi_ack_detailed side-band-64k\n"));
        fetch.flush();
        fetch.line(format!("have {first}\n"));
        fetch.line(format!("have {}\n", "1".repeat(40)));
        match end {
            "" => fetch.flush(),
            end => fetch.line(end),
        }
        fetch
    };
    let (offered, nothing) = unpack(&bench.fetch("", ask("")).await);
    let (common, ready) = (format!("ACK {first} common"), format!("ACK {first} ready"));
    assert_eq!(offered, [common.clone(), ready, "NAK".to_owned()]);
    assert!(nothing.is_empty());
    let (acknowledged, pack) = unpack(&bench.fetch("", ask("done\n")).await);
    assert_eq!(acknowledged, [common, format!("ACK {first}")]);
    // The commit, three trees and the file: nothing that the client has.
    assert_eq!(bench.objects(&head, &pack), 5);

    let mut stranger = Lines::default();
    stranger.line(format!("want {}\n", "2".repeat(40)));
    stranger.flush();
    stranger.line("done\n");
    let refused = bench.fetch("", stranger).await;
    assert!(
        String::from_utf8(refused)
            .unwrap()
            .contains("ERR upload-pack: not our ref 222")
    );
}

#[tokio::test]
async fn version_2_lists_by_prefix_and_fetches() {
    let bench = Bench::new().await;
    let number = bench.proposal();
    let head = bench.github.pull_request(number).unwrap().head_sha;
    let mut list = Lines::default();
    list.line("command=ls-refs\n");
    list.delimiter();
    list.line(format!("ref-prefix refs/pull/{number}/head\n"));
    list.flush();
    let listed = bench.fetch("version=2", list).await;
    let listed = texts(&git_http::read(&listed).unwrap());
    assert_eq!(listed, [format!("{head} refs/pull/{number}/head")]);

    let mut fetch = Lines::default();
    fetch.line("command=fetch");
    fetch.delimiter();
    fetch.line(format!("want {head}\n"));
    fetch.line("done\n");
    fetch.flush();
    let (sections, pack) = unpack(&bench.fetch("version=2", fetch).await);
    assert_eq!(sections, ["packfile"]);
    assert_eq!(bench.objects(&head, &pack), 11);
}

#[tokio::test]
async fn the_same_story_has_the_same_commits() {
    let mut told = Vec::new();
    for _ in 0..2 {
        let bench = Bench::new().await;
        bench.github.set_webhook("http://127.0.0.1:1/", "s");
        let number = bench.proposal();
        let merged = bench.github.merge(number, "ada").unwrap();
        let deliveries = bench.github.take_deliveries();
        let guids: Vec<String> = deliveries.into_iter().map(|one| one.guid).collect();
        told.push((merged, guids, bench.token.clone()));
    }
    assert_eq!(told[0], told[1]);
}

/// octocrab's models refuse an object that lacks a field.
#[tokio::test]
async fn a_strict_client_reads_the_objects() {
    let bench = Bench::new().await;
    let number = bench.proposal();
    bench.github.comment(number, "bob", "/plan").unwrap();
    bench
        .github
        .review(number, "bob", ReviewState::Approved)
        .unwrap();
    let client = octocrab::Octocrab::builder()
        .base_uri(bench.github.url())
        .unwrap()
        .personal_token(bench.token.clone())
        .build()
        .unwrap();
    let pull = client.pulls("acme", "data").get(number).await.unwrap();
    assert_eq!(pull.merged, Some(false));
    let listed = client.pulls("acme", "data").list().send().await.unwrap();
    assert_eq!(listed.items[0].merged, None);
    let issues = client.issues("acme", "data");
    let comments = issues.list_comments(number).send().await.unwrap();
    assert_eq!(comments.items[0].user.login, "bob");
    let reviews = client
        .pulls("acme", "data")
        .list_reviews(number)
        .send()
        .await;
    assert_eq!(reviews.unwrap().items.len(), 1);
    let files = client
        .pulls("acme", "data")
        .list_files(number)
        .await
        .unwrap();
    assert_eq!(files.items[0].additions, 1);
    let issue = issues
        .create("A plan waits")
        .body("see")
        .send()
        .await
        .unwrap();
    assert_eq!(issue.user.login, "pipewright[bot]");
    let repository = client.repos("acme", "data").get().await.unwrap();
    assert_eq!(repository.default_branch.as_deref(), Some("main"));
}

#[tokio::test]
async fn moves_of_a_branch_are_listed_newest_first_and_paged_by_cursor() {
    let bench = Bench::new().await;
    bench.github.add_user("mia", Permission::Maintain);
    let number = bench.proposal();
    let pushed = bench.github.push(number, "ada", &[Change::write("b", "2")]);
    let forced = bench
        .github
        .force_push(number, "mia", &[Change::write("b", "3")]);
    bench.github.merge(number, "mia").unwrap();
    bench.github.delete_branch("add-b", "mia").unwrap();
    let all = bench.get("/activity?ref=refs/heads/add-b").await;
    let all = all.as_array().unwrap();
    let kinds: Vec<_> = all.iter().map(|it| it["activity_type"].clone()).collect();
    assert_eq!(
        kinds,
        ["branch_deletion", "force_push", "push", "branch_creation"]
    );
    assert_eq!(all[2]["after"], pushed.unwrap());
    assert_eq!(
        (&all[1]["before"], &all[1]["after"]),
        (&all[2]["after"], &json!(forced.unwrap()))
    );
    assert_eq!(
        (&all[1]["actor"]["login"], &all[1]["ref"]),
        (&json!("mia"), &json!("refs/heads/add-b"))
    );

    let merged = bench.get("/activity?ref=main&direction=desc").await;
    assert_eq!(merged[0]["activity_type"], "pr_merge");

    let mut path = "/activity?ref=add-b&per_page=3".to_owned();
    let mut seen = Vec::new();
    for pages in 1.. {
        let answer = bench.send(Method::GET, &path, json!({})).await;
        let link = answer
            .headers()
            .get("link")
            .map(|link| link.to_str().unwrap().to_owned());
        let page: Vec<Value> = answer.json().await.unwrap();
        seen.extend(page);
        let next = link
            .as_deref()
            .and_then(|link| link.split_once(">; rel=\"next\""));
        let Some((address, _)) = next else {
            assert_eq!(pages, 2);
            break;
        };
        path = address.split_once("/repos/acme/data").unwrap().1.to_owned();
    }
    assert_eq!(&seen, all);
}

#[tokio::test]
async fn limits_refuse_as_github_does_and_only_when_they_are_set() {
    let bench = Bench::new().await;
    let number = bench.proposal();
    let path = format!("/issues/{number}/comments");
    let clock = Clock::stepped("2026-03-01T12:00:00Z".parse().unwrap());
    let say = || bench.send(Method::POST, &path, json!({"body": "Hello"}));
    assert!(!say().await.headers().contains_key("x-ratelimit-limit"));
    bench.github.limit(Limits {
        creations_a_minute: 2,
        requests_an_hour: 5,
        ..Limits::documented(clock.clone())
    });
    assert_eq!(say().await.status(), StatusCode::CREATED);
    clock.advance(Duration::from_secs(20));
    assert_eq!(say().await.headers()["x-ratelimit-remaining"], "3");
    let refused = say().await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.headers()["retry-after"], "40");
    let body: Value = refused.json().await.unwrap();
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("secondary rate limit"), "{message}");
    clock.advance(Duration::from_secs(40));
    assert_eq!(say().await.status(), StatusCode::CREATED);

    for _ in 0..2 {
        bench.get("/pulls").await;
    }
    let refused = bench.send(Method::GET, "/pulls", json!({})).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let headers = refused.headers();
    assert!(!headers.contains_key("retry-after"));
    assert_eq!(headers["x-ratelimit-remaining"], "0");
    assert_eq!(headers["x-ratelimit-reset"], "1772370000");
    assert_eq!(headers["date"], "Sun, 01 Mar 2026 12:01:00 GMT");
    bench.github.unlimit();
    bench.get("/pulls").await;
}

#[tokio::test]
async fn a_strangers_and_a_machines_comments_are_told_to_the_webhook() {
    let bench = Bench::new().await;
    bench.github.set_webhook("http://127.0.0.1:9/", "s");
    bench.github.add_user("helper[bot]", Permission::None);
    let number = bench.proposal();
    bench.github.drop_deliveries();
    for (login, kind) in [("eve", "User"), ("helper[bot]", "Bot")] {
        let id = bench.github.comment(number, login, "/plan").unwrap();
        bench.github.react(id, "ada", "eyes").unwrap();
        bench.github.edit_comment(id, "ada", "/apply").unwrap();
        let told: Vec<Value> = bench
            .github
            .take_deliveries()
            .iter()
            .map(|one| serde_json::from_slice(&one.body).unwrap())
            .collect();
        let actions: Vec<_> = told.iter().map(|one| one["action"].clone()).collect();
        assert_eq!(actions, ["created", "edited"]);
        assert_eq!(told[1]["sender"]["login"], "ada");
        let user = &told[1]["comment"]["user"];
        assert_eq!(
            (&user["login"], &user["type"]),
            (&json!(login), &json!(kind))
        );
    }
}
