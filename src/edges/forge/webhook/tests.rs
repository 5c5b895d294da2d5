//! Tests of webhooks.

use serde_json::{Value, json};

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn try_decode(name: &str, body: &[u8]) -> Result<Vec<Event>, WebhookError> {
    decode(name, body, &"acme/pipelines".parse().unwrap(), "main")
}

fn check(name: &str, mut body: Value, expected: &[Event]) {
    if body["repository"].is_null() {
        body["repository"] = json!({"id": 1, "full_name": "Acme/Pipelines"});
    }
    let events = try_decode(name, body.to_string().as_bytes()).unwrap();
    assert_eq!(events, expected, "{name} {body}");
}

fn pull(action: &str, base: &str, merged: bool) -> Value {
    json!({"action": action, "number": 3,
           "pull_request": {"merged": merged, "base": {"ref": base}}})
}

#[test]
fn a_signature_is_the_bodys_own() {
    let secret = SecretString::from("It's a Secret to Everybody");
    let verifier = WebhookVerifier::new(&secret).unwrap();
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert!(verifier.verify(good, b"Hello, World!").is_ok());
    assert!(verifier.verify(good, b"Hello, World").is_err());
    for bad in ["", "sha256=", "sha1=7571", &good[..40], &good[7..]] {
        assert!(verifier.verify(bad, b"Hello, World!").is_err(), "{bad}");
    }
    assert!(WebhookVerifier::new(&SecretString::from("")).is_err());
}

#[test]
fn pull_requests() {
    let number = 3;
    for action in ["opened", "synchronize", "reopened", "ready_for_review"] {
        let changed = [Event::PullRequestChanged { number }];
        check("pull_request", pull(action, "main", false), &changed);
        check("pull_request", pull(action, "dev", false), &[]);
    }
    let merged = [Event::PullRequestMerged { number }];
    check("pull_request", pull("closed", "main", true), &merged);
    let closed = [Event::PullRequestClosed { number }];
    check("pull_request", pull("closed", "main", false), &closed);
    check("pull_request", pull("labeled", "main", false), &[]);

    let mut edited = pull("edited", "main", false);
    edited["changes"] = json!({"title": {"from": "x"}});
    check("pull_request", edited.clone(), &[]);
    edited["changes"] = json!({"base": {"ref": {"from": "dev"}}});
    let changed = [Event::PullRequestChanged { number }];
    check("pull_request", edited, &changed);
}

#[test]
fn another_repository_is_none_of_ours() {
    let mut body = pull("opened", "main", false);
    body["repository"] = json!({"id": 2, "full_name": "acme/pipelines-fork"});
    check("pull_request", body, &[]);
    assert_eq!(try_decode("ping", b"{\"zen\": \"x\"}").unwrap(), []);
}

#[test]
fn reviews() {
    let body = |action, base| {
        json!({"action": action, "review": {"state": "approved"},
               "pull_request": {"number": 3, "base": {"ref": base}}})
    };
    for action in ["submitted", "dismissed", "edited"] {
        let reviewed = [Event::Reviewed { number: 3 }];
        check("pull_request_review", body(action, "main"), &reviewed);
        check("pull_request_review", body(action, "dev"), &[]);
    }
}

#[test]
fn pushes_to_the_default_branch() {
    let push = |r#ref, deleted| json!({"ref": r#ref, "deleted": deleted, "after": A});
    let commit = A.parse().unwrap();
    let pushed = [Event::DefaultBranchPushed { commit }];
    check("push", push("refs/heads/main", false), &pushed);
    check("push", push("refs/heads/main", true), &[]);
    check("push", push("refs/tags/main", false), &[]);
    check("push", push("refs/heads/x/main", false), &[]);
}

#[test]
fn merge_groups() {
    let body = |action, base| {
        json!({"action": action, "merge_group":
               {"head_sha": A, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "base_ref": base}})
    };
    let head = A.parse().unwrap();
    let name = "refs/heads/gh-readonly-queue/main/pr-1".to_owned();
    let asked = [Event::MergeGroup { head, name }];
    check(
        "merge_group",
        body("checks_requested", "refs/heads/main"),
        &asked,
    );
    check(
        "merge_group",
        body("checks_requested", "refs/heads/dev"),
        &[],
    );
    check("merge_group", body("destroyed", "refs/heads/main"), &[]);
}

#[test]
fn checks_asked_for_again() {
    for (name, key) in [("check_run", "check_run"), ("check_suite", "check_suite")] {
        let body = |action| {
            json!({"action": action, key: {"head_sha": A, "pull_requests": [
                {"number": 3, "base": {"ref": "main", "repo": {"id": 1}}},
                {"number": 4, "base": {"ref": "dev", "repo": {"id": 1}}},
                {"number": 5, "base": {"ref": "main", "repo": {"id": 9}}},
            ]}})
        };
        let head = A.parse().unwrap();
        let again = [Event::CheckRerequested {
            head,
            pulls: vec![3],
        }];
        check(name, body("rerequested"), &again);
        check(name, body("completed"), &[]);
    }
}

#[test]
fn garbage_is_an_error_and_no_crash() {
    let bomb = "[".repeat(10_000);
    let inside = format!("{{\"repository\":{bomb}");
    let closed = format!("{{\"action\":{bomb}{}}}", "]".repeat(10_000));
    let known = [
        "pull_request",
        "push",
        "check_run",
        "merge_group",
        "unknown",
    ];
    for name in known {
        for body in ["", "null", "[]", "\u{0}", &bomb, &inside] {
            assert!(try_decode(name, body.as_bytes()).is_err(), "{name}");
        }
        // Depth in a field that is not read does no harm; it must only not crash.
        let _ = try_decode(name, closed.as_bytes());
    }
    let wrong = json!({"repository": {"full_name": "acme/pipelines"}, "action": "opened"});
    assert!(try_decode("pull_request", wrong.to_string().as_bytes()).is_err());
}

#[test]
fn comments() {
    let body = |action, pull: Value, kind| {
        json!({"action": action, "issue": {"number": 3, "pull_request": pull},
               "comment": {"id": 7, "user": {"login": "ada", "type": kind}}})
    };
    let (pull, commented) = (
        json!({"url": "x"}),
        [Event::Commented {
            number: 3,
            comment: 7,
        }],
    );
    check(
        "issue_comment",
        body("created", pull.clone(), "User"),
        &commented,
    );
    for action in ["edited", "deleted"] {
        check("issue_comment", body(action, pull.clone(), "User"), &[]);
    }
    check("issue_comment", body("created", Value::Null, "User"), &[]);
    check("issue_comment", body("created", pull.clone(), "Bot"), &[]);
    let mut nobody = body("created", pull, "User");
    nobody["comment"]["user"] = Value::Null;
    check("issue_comment", nobody, &[]);
}
