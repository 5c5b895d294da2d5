//! Clones and fetches, and the objects in them.

use super::*;

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
