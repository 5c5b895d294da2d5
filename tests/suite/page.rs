//! The sandbox's page over HTTP: what it serves, to whom, and what it refuses. The browser's
//! part of it is played by `tests/page/`.

use pipewright::clock::Clock;
use pipewright::sandbox::page::{Page, Pods};
use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::common::{repository, tree_of};

/// A browser that has the page open.
struct Visit {
    url: String,
    client: Client,
}

/// Plays a page until the visit ends.
async fn visit(begin: impl AsyncFnOnce(Visit)) {
    // Whoever comes first decides; all would decide the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tree = tree_of(&repository());
    let pods = Pods {
        program: env!("CARGO_BIN_EXE_pipewright").into(),
        postgres: None,
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let page = Page::open(tree, Clock::system(), pods, listen)
        .await
        .unwrap();
    let url = page.url();
    let client = Client::builder().no_proxy().build().unwrap();
    tokio::select! {
        ended = page.run(|_| Ok(())) => panic!("the page ended first: {ended:?}"),
        () = begin(Visit { url, client }) => {}
    }
}

impl Visit {
    async fn state(&self) -> Value {
        let answer = self.client.get(format!("{}api/state", self.url));
        let text = answer.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The first state that is such, in time.
    async fn wait_for(&self, such: impl Fn(&Value) -> bool) -> Value {
        let mut state = self.state().await;
        for _ in 0..100 {
            if such(&state) {
                return state;
            }
            let next = format!("{}api/state?after={}", self.url, state["version"]);
            let answer = self.client.get(next).send().await.unwrap();
            if answer.status() == StatusCode::OK {
                state = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            }
        }
        panic!("it never came to be: {state:#}")
    }

    /// What came of it, and the sentence if it was refused.
    async fn act(&self, act: Value) -> (StatusCode, String) {
        let request = self
            .client
            .post(format!("{}api/act", self.url))
            .header(CONTENT_TYPE, "application/json")
            .body(act.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let sentence = body["error"].as_str().unwrap_or_default().to_owned();
        (status, sentence)
    }
}

fn step<'s>(state: &'s Value, id: &str) -> &'s Value {
    let steps = state["guide"].as_array().unwrap();
    steps.iter().find(|step| step["id"] == id).unwrap()
}

#[tokio::test]
async fn it_serves_itself_and_nothing_from_elsewhere() {
    visit(async |visit| {
        let answer = visit.client.get(&visit.url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let policy = answer.headers()["content-security-policy"].to_str();
        assert!(policy.unwrap().starts_with("default-src 'self';"));
        let html = answer.text().await.unwrap();
        // Every file that it names is there, and none is named by a host.
        let mut files = 0;
        for address in html.split(['"', '\'']).filter(|part| part.starts_with('/')) {
            let file = visit.client.get(format!("{}{}", visit.url, &address[1..]));
            let answer = file.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{address}");
            files += 1;
        }
        assert!(files >= 4, "{html}");
        assert!(!html.contains("//"), "{html}");
        let missing = visit.client.get(format!("{}nothing", visit.url));
        assert_eq!(
            missing.send().await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    })
    .await;
}

#[tokio::test]
async fn a_page_from_elsewhere_can_do_nothing() {
    visit(async |visit| {
        let address = format!("{}api/act", visit.url);
        let crash = r#"{"act":"crash"}"#;
        for (header, value) in [(HOST, "evil.example"), (ORIGIN, "https://evil.example")] {
            let request = visit.client.post(&address).header(header, value);
            let request = request.header(CONTENT_TYPE, "application/json").body(crash);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{value}");
        }
        // What a form can send without asking.
        let form = visit
            .client
            .post(&address)
            .header(CONTENT_TYPE, "text/plain");
        let answer = form.body(crash).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let large = visit.act(
            json!({"act": "comment", "login": "nina", "number": 1, "text": "x".repeat(600_000)}),
        );
        assert_eq!(large.await.0, StatusCode::PAYLOAD_TOO_LARGE);
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_done_is_said_in_a_sentence() {
    visit(async |visit| {
    let before = visit.state().await;
    let table = [
        (
            json!({"act": "dance"}),
            StatusCode::BAD_REQUEST,
            "unknown variant `dance`",
        ),
        (
            json!({"act": "sweep", "now": true}),
            StatusCode::BAD_REQUEST,
            "unknown field",
        ),
        (
            json!({"act": "comment", "login": "nobody", "number": 1, "text": "x"}),
            StatusCode::CONFLICT,
            "There is nobody called \"nobody\" here.",
        ),
        (
            json!({"act": "comment", "login": "nina", "number": 1, "text": " "}),
            StatusCode::CONFLICT,
            "A comment needs some text.",
        ),
        (
            json!({"act": "merge", "login": "sam", "number": 1}),
            StatusCode::CONFLICT,
            "sam",
        ),
        (
            json!({"act": "open", "login": "nina", "title": "x", "path": "policies/../.github/x", "text": "x"}),
            StatusCode::CONFLICT,
            "A file here is under pipelines/ or policies/, with a plain name.",
        ),
        (
            json!({"act": "revoke", "edge": "a reads b"}),
            StatusCode::CONFLICT,
            "That right is not there any more.",
        ),
        (
            json!({"act": "tick", "cron": "crm"}),
            StatusCode::CONFLICT,
            "crm",
        ),
        (
            json!({"act": "stop", "run": "crm-1"}),
            StatusCode::CONFLICT,
            "there is no Workflow crm-1",
        ),
    ];
    for (act, status, sentence) in table {
        let (came, said) = visit.act(act.clone()).await;
        assert_eq!(came, status, "{act}: {said}");
        assert!(said.contains(sentence), "{act}: {said}");
    }
    let after = visit.state().await;
    assert_eq!(after["pulls"], before["pulls"]);
    assert_eq!(after["reach"], before["reach"]);
    })
    .await;
}

#[tokio::test]
async fn the_guide_can_be_followed_to_its_end_and_all_of_it_undone() {
    visit(async |visit| {
        let mut pressed = 0;
        loop {
            let state = visit.state().await;
            let steps = state["guide"].as_array().unwrap();
            let Some(next) = steps.iter().find(|step| step["done"] == false) else {
                break;
            };
            let (status, said) = visit.act(next["act"].clone()).await;
            assert_eq!(status, StatusCode::OK, "{}: {said}", next["id"]);
            pressed += 1;
            // A run takes its time.
            if let Some(id) = ["rerun", "fail"].into_iter().find(|id| next["id"] == *id) {
                visit
                    .wait_for(|state| step(state, id)["done"] == true)
                    .await;
            }
            assert!(pressed <= 20, "{} does not end", next["id"]);
        }
        // One press each, and three more for sharing and removing by review and merge.
        assert_eq!(pressed, 15);
        let (status, _) = visit.act(json!({"act": "restart"})).await;
        assert_eq!(status, StatusCode::OK);
        let state = visit.state().await;
        assert_eq!(step(&state, "break")["done"], false);
        assert_eq!(state["pulls"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_drawn_as_gone_and_then_as_new() {
    visit(async |visit| {
        for id in ["merge", "approve", "revoke"] {
            let state = visit.state().await;
            let (status, said) = visit.act(step(&state, id)["act"].clone()).await;
            assert_eq!(status, StatusCode::OK, "{id}: {said}");
        }
        let marks = |state: &Value| {
            let edges = state["reach"]["edges"].as_array().unwrap();
            let through = edges.iter().find(|edge| edge["can"] == "reads through");
            through.unwrap()["mark"].as_str().unwrap().to_owned()
        };
        assert_eq!(marks(&visit.state().await), "gone");
        let (status, _) = visit.act(json!({"act": "sweep"})).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(marks(&visit.state().await), "new");
    })
    .await;
}

#[tokio::test]
async fn a_rerun_runs_the_real_runner_and_its_report_comes_back() {
    visit(async |visit| {
        for id in ["merge", "approve", "rerun"] {
            let state = visit.state().await;
            let (status, said) = visit.act(step(&state, id)["act"].clone()).await;
            assert_eq!(status, StatusCode::OK, "{id}: {said}");
        }
        let state = visit
            .wait_for(|state| step(state, "rerun")["done"] == true)
            .await;
        assert_eq!(state["runs"][0]["phase"], "Succeeded");
        assert_eq!(
            state["runs"][0]["message"]
                .as_str()
                .unwrap()
                .split(", ")
                .take(2)
                .collect::<Vec<_>>(),
            ["3 tables copied", "9 rows"]
        );
        let copied = |run: &Value| {
            let tables = run["tables"].as_array().unwrap().iter();
            let told = tables.map(|table| {
                (
                    table["name"].as_str().unwrap(),
                    table["rows"].as_u64().unwrap(),
                )
            });
            assert!(
                run["tables"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|table| table["result"] == "copied")
            );
            told.map(|(name, rows)| format!("{name} {rows}"))
                .collect::<Vec<_>>()
        };
        let three = ["customers 3", "orders 4", "products 2"];
        assert_eq!(copied(&state["runs"][0]), three);

        // The schedule's own time, over what is there by now.
        let (status, said) = visit.act(json!({"act": "tick", "cron": "crm"})).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let scheduled = |state: &Value| {
            let runs = state["runs"].as_array().unwrap().iter();
            let mut runs = runs.filter(|run| !run["name"].as_str().unwrap().contains("-rerun-"));
            runs.find(|run| run["phase"] == "Succeeded").cloned()
        };
        let state = visit.wait_for(|state| scheduled(state).is_some()).await;
        assert_eq!(copied(&scheduled(&state).unwrap()), three);

        // Asked for by the guide, and not there.
        let act = step(&state, "fail")["act"].clone();
        assert_eq!(visit.act(act).await.0, StatusCode::OK);
        let state = visit
            .wait_for(|state| {
                let text = state["pulls"].to_string();
                text.contains("customers") && text.contains("has no such table")
            })
            .await;
        assert_eq!(step(&state, "fail")["done"], true);
    })
    .await;
}

#[tokio::test]
async fn a_pod_may_what_was_granted_to_its_identity_and_nothing_more() {
    visit(async |visit| {
        for id in ["merge", "approve"] {
            let state = visit.state().await;
            let (status, said) = visit.act(step(&state, id)["act"].clone()).await;
            assert_eq!(status, StatusCode::OK, "{id}: {said}");
        }
        let state = visit.state().await;
        let edges = state["reach"]["edges"].as_array().unwrap();
        let jobs = edges.iter().find(|edge| edge["can"] == "runs jobs in");
        let revoke = json!({"act": "revoke", "edge": jobs.unwrap()["id"]});
        assert_eq!(visit.act(revoke).await.0, StatusCode::OK);
        let rerun = step(&visit.state().await, "rerun")["act"].clone();
        assert_eq!(visit.act(rerun).await.0, StatusCode::OK);
        let state = visit
            .wait_for(|state| state["log"].to_string().contains("(answered 403)"))
            .await;
        let log = state["log"].to_string();
        assert!(
            log.contains("the runner asks through the connection (answered 403)"),
            "{log}"
        );
        assert!(!log.contains("the runner copies"), "{log}");
        assert_eq!(step(&state, "rerun")["done"], false);
    })
    .await;
}
