//! Pull requests, merges, moves of branches, and the webhooks about them.

use super::*;

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
