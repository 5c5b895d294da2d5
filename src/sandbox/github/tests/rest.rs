//! Tokens, comments, pages, check runs and limits.

use super::*;

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
