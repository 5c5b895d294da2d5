//! Over http, against as little of a Git server as a fetch needs.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::*;
use crate::sandbox::server::{Exchange, Fault, Server};

const TOKEN: &str = "ghs_canary";

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Version0,
    Version2,
}

#[derive(Clone)]
struct Served {
    folder: PathBuf,
    speaks: Speaks,
}

fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(format!("{:04x}", text.len() + 4).as_bytes());
    out.extend_from_slice(text);
}

fn lines(mut body: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let length = std::str::from_utf8(&body[..4]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap().max(4);
        out.push(
            String::from_utf8_lossy(&body[4..length])
                .trim_end()
                .to_owned(),
        );
        body = &body[length..];
    }
    out
}

fn refs(repository: &Repository) -> Vec<(String, Oid)> {
    repository
        .references()
        .unwrap()
        .map(|reference| reference.unwrap())
        .map(|reference| {
            (
                reference.name().unwrap().to_owned(),
                reference.target().unwrap(),
            )
        })
        .collect()
}

fn answer(kind: &str, body: Vec<u8>) -> Response {
    let kind = format!("application/x-git-upload-pack-{kind}");
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn wants_version_2(served: &Served, headers: &HeaderMap) -> bool {
    served.speaks == Speaks::Version2
        && headers
            .get("git-protocol")
            .is_some_and(|version| version == "version=2")
}

async fn info_refs(State(served): State<Served>, headers: HeaderMap) -> Response {
    let mut body = Vec::new();
    line(&mut body, b"# service=git-upload-pack\n");
    body.extend_from_slice(b"0000");
    if wants_version_2(&served, &headers) {
        for text in [
            "version 2\n",
            "agent=git/2\n",
            "ls-refs=unborn\n",
            "fetch=shallow\n",
        ] {
            line(&mut body, text.as_bytes());
        }
    } else {
        let mut offered = "\0multi_ack thin-pack side-band side-band-64k ofs-delta no-done \
            multi_ack_detailed object-format=sha1 agent=git/2";
        for (name, target) in refs(&Repository::open(&served.folder).unwrap()) {
            line(&mut body, format!("{target} {name}{offered}\n").as_bytes());
            offered = "";
        }
    }
    body.extend_from_slice(b"0000");
    answer("advertisement", body)
}

async fn upload_pack(State(served): State<Served>, headers: HeaderMap, body: Bytes) -> Response {
    let repository = Repository::open(&served.folder).unwrap();
    let asked = lines(&body);
    let mut out = Vec::new();
    if wants_version_2(&served, &headers) {
        assert_eq!(asked[0], "command=ls-refs");
        let prefixes: Vec<_> = asked
            .iter()
            .filter_map(|a| a.strip_prefix("ref-prefix "))
            .collect();
        for (name, target) in refs(&repository) {
            if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                line(&mut out, format!("{target} {name}\n").as_bytes());
            }
        }
        out.extend_from_slice(b"0000");
        return answer("result", out);
    }
    let of = |what: &str| -> Vec<Oid> {
        let oids = asked.iter().filter_map(|a| a.strip_prefix(what));
        oids.map(|oid| Oid::from_str(&oid[..40]).unwrap()).collect()
    };
    let mut known = of("have ");
    known.retain(|have| repository.find_commit(*have).is_ok());
    for have in &known {
        line(&mut out, format!("ACK {have} common\n").as_bytes());
    }
    if !asked.contains(&"done".to_owned()) {
        line(&mut out, b"NAK\n");
        return answer("result", out);
    }
    match known.last() {
        Some(have) => line(&mut out, format!("ACK {have}\n").as_bytes()),
        None => line(&mut out, b"NAK\n"),
    }
    let mut walk = repository.revwalk().unwrap();
    of("want ")
        .iter()
        .for_each(|want| walk.push(*want).unwrap());
    known.iter().for_each(|have| walk.hide(*have).unwrap());
    let mut builder = repository.packbuilder().unwrap();
    builder.insert_walk(&mut walk).unwrap();
    let mut pack = git2::Buf::new();
    builder.write_buf(&mut pack).unwrap();
    for chunk in pack.chunks(60_000) {
        line(&mut out, &[&[1], chunk].concat());
    }
    out.extend_from_slice(b"0000");
    answer("result", out)
}

/// Serves the remote of `world`, and gives a mirror of it that has fetched nothing yet.
async fn serve(world: &World, speaks: Speaks) -> (Server, Mirror) {
    let folder = world.dir.path().join("remote.git");
    let router = Router::new()
        .route("/acme/data.git/info/refs", get(info_refs))
        .route("/acme/data.git/git-upload-pack", post(upload_pack))
        .with_state(Served { folder, speaks });
    let server = Server::start(router).await.unwrap();
    let url = format!("{}/acme/data.git", server.url());
    let mirror = Mirror::open(&world.dir.path().join("over-http"), &url).unwrap();
    (server, mirror)
}

async fn fetch(mirror: &Mirror, names: &[&str]) -> Result<Vec<CommitSha>, GitError> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let found = mirror.fetch(&names, Some(TOKEN.into())).await?;
    Ok(names.iter().map(|name| found[name].clone()).collect())
}

fn heard(traffic: &[Exchange]) -> usize {
    traffic.iter().map(|exchange| exchange.response.len()).sum()
}

async fn fetches_twice(speaks: Speaks) -> (World, Server, Mirror) {
    let world = World::new();
    let first = world.commit(MAIN, &[], &[("pipelines/x", "1"), ("src/y", "1")]);
    for number in 0..300 {
        let name = format!("refs/pull/{number}/head");
        world
            .remote
            .reference(&name, oid(&first), true, "test")
            .unwrap();
    }
    let unasked = world.commit("refs/heads/other", &[], &[("policies/z", "3")]);
    let (server, mirror) = serve(&world, speaks).await;
    assert_eq!(fetch(&mirror, &[MAIN]).await.unwrap()[0], first);
    let revisions = Revisions::Default {
        commit: unasked.clone(),
    };
    assert!(matches!(
        mirror.snapshot(&revisions).await,
        Err(GitError::MissingCommit(sha)) if sha == unasked
    ));

    let second = world.commit(MAIN, &[&first], &[("pipelines/x", "2"), ("src/y", "1")]);
    let head = world.commit(
        HEAD,
        &[&first],
        &[("pipelines/x", "1"), ("policies/z", "1")],
    );
    assert_eq!(
        fetch(&mirror, &[HEAD, MAIN]).await.unwrap(),
        [head, second.clone()]
    );
    let revisions = Revisions::Default { commit: second };
    let SnapshotRead::Snapshot(snapshot) = mirror.snapshot(&revisions).await.unwrap() else {
        panic!("a conflict with itself");
    };
    assert_eq!(shown(&snapshot.base), [("pipelines/x", "2")]);

    assert!(matches!(
        fetch(&mirror, &[MAIN, "refs/pull/1"]).await,
        Err(GitError::MissingRef(name)) if name == "refs/pull/1"
    ));
    (world, server, mirror)
}

#[tokio::test]
async fn version_2_sends_only_the_refs_that_were_asked_for() {
    let (_world, server, mirror) = fetches_twice(Speaks::Version2).await;
    let before = server.wire().traffic();
    fetch(&mirror, &[MAIN]).await.unwrap();
    let traffic = server.wire().traffic();
    let news = &traffic[before.len()..];
    assert_eq!(
        news.len(),
        2,
        "nothing new: capabilities and refs, no negotiation"
    );
    assert!(heard(news) < 300, "heard {} bytes", heard(news));

    let first = fetch(&mirror, &["refs/pull/1/head"]).await.unwrap();
    let have = format!("have {}", first[0]);
    let offers = |e: &Exchange| String::from_utf8_lossy(&e.request).contains(&have);
    assert!(
        before.iter().any(offers),
        "the second fetch said what was here"
    );
    for exchange in &traffic {
        // Basic x-access-token:ghs_canary
        let sent = &exchange.headers[header::AUTHORIZATION];
        assert_eq!(sent, "Basic eC1hY2Nlc3MtdG9rZW46Z2hzX2NhbmFyeQ==");
    }
}

#[tokio::test]
async fn a_server_without_version_2_serves_as_well() {
    fetches_twice(Speaks::Version0).await;
}

#[tokio::test]
async fn refusals_have_names_and_hold_no_token() {
    let world = World::new();
    world.commit(MAIN, &[], &[("pipelines/x", "1")]);
    let (server, mirror) = serve(&world, Speaks::Version2).await;
    // At the first request and in the middle of libgit2's own part.
    for at in ["/info/refs", "want "] {
        for (status, transient, message) in [
            (401, false, "refused with 401"),
            (403, false, "refused with 403"),
            (404, false, "refused with 404"),
            (429, true, "answered 429"),
            (503, true, "answered 503"),
            (301, false, "answered 301"),
            (200, false, "broke the Git protocol"),
        ] {
            let posts = std::sync::atomic::AtomicUsize::new(0);
            server.wire().fail_with(move |method, uri| {
                let second_post = method == "POST"
                    && posts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1;
                let fails = if at == "want " {
                    second_post
                } else {
                    uri.path().ends_with(at)
                };
                let status = StatusCode::from_u16(status).unwrap();
                fails.then(|| Fault::Refuse(status, TOKEN.to_owned()))
            });
            let error = fetch(&mirror, &[MAIN]).await.unwrap_err();
            assert!(
                error.to_string().contains(message),
                "{at} {status}: {error}"
            );
            assert_eq!(error.is_transient(), transient, "{error}");
            assert_eq!(
                matches!(error, GitError::Denied { .. }),
                (401..=404).contains(&status)
            );
            let chain = format!("{:?}", anyhow::Error::from(error));
            assert!(!chain.contains(TOKEN), "{chain}");
        }
    }
    server.wire().heal();
    fetch(&mirror, &[MAIN]).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable() {
    let world = World::new();
    let (server, mirror) = serve(&world, Speaks::Version2).await;
    drop(server);
    let error = loop {
        // Until the server's task has seen that it is over, it may still answer.
        match fetch(&mirror, &[MAIN]).await {
            Err(error @ GitError::Unreachable { .. }) => break error,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_token_does_not_travel_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    for url in [
        "http://git.example/acme/data",
        "http://127.0.0.1.git.example/acme/data",
    ] {
        let mirror = Mirror::open(dir.path(), url).unwrap();
        let error = fetch(&mirror, &[MAIN]).await.unwrap_err();
        assert!(matches!(error, GitError::InsecureToken { .. }));
        assert!(!format!("{error} {error:?}").contains(TOKEN));
    }
}
