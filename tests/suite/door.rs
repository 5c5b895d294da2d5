//! The server's door: what is let in, and with which status the rest is turned away.

use hmac::{Hmac, KeyInit as _, Mac as _};
use pipewright::edges::forge::webhook::WebhookVerifier;
use pipewright::edges::replica::Replicas;
use pipewright::sandbox::server::Server;
use pipewright::shell::lead::{Stand, Standing};
use pipewright::shell::queue::{Next, Queue};
use pipewright::shell::server::{Door, router};
use secrecy::SecretString;

const SECRET: &str = "s3cret";

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn door() -> (Server, Queue) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let queue = Queue::default();
    let door = Door {
        verifier: WebhookVerifier::new(&SecretString::from(SECRET)).unwrap(),
        repository: "acme/data".parse().unwrap(),
        default_branch: "main".into(),
        queue: queue.clone(),
        stand: Stand::new(Standing::Holder),
        replicas: Replicas::new().unwrap(),
    };
    (Server::start(router(door)).await.unwrap(), queue)
}

fn pull_request() -> Vec<u8> {
    serde_json::json!({
        "action": "opened", "number": 7,
        "pull_request": {"number": 7, "merged": false, "base": {"ref": "main"}},
        "repository": {"full_name": "acme/data"},
    })
    .to_string()
    .into_bytes()
}

struct Post {
    body: Vec<u8>,
    signature: Option<String>,
    content_type: &'static str,
    event: &'static str,
}

async fn send(server: &Server, post: Post) -> u16 {
    send_as(server, post, "d-1").await
}

async fn send_as(server: &Server, post: Post, delivery: &str) -> u16 {
    let mut request = reqwest::Client::new()
        .post(format!("{}/webhook", server.url()))
        .header("x-github-event", post.event)
        .header("x-github-delivery", delivery)
        .header("content-type", post.content_type)
        .body(post.body);
    if let Some(signature) = post.signature {
        request = request.header("x-hub-signature-256", signature);
    }
    request.send().await.unwrap().status().as_u16()
}

fn good() -> Post {
    let body = pull_request();
    Post {
        signature: Some(sign(&body)),
        body,
        content_type: "application/json",
        event: "pull_request",
    }
}

/// Properly signed, whatever it says.
fn signed(body: impl Into<Vec<u8>>) -> Post {
    let body = body.into();
    Post {
        signature: Some(sign(&body)),
        body,
        ..good()
    }
}

fn brackets() -> String {
    "[".repeat(10_000)
}

#[tokio::test]
async fn statuses_at_the_door() {
    let nested = format!("{}{}", brackets(), "]".repeat(10_000));
    let text = String::from_utf8(pull_request()).unwrap();
    let unread = text.replacen('{', &format!("{{\"more\":{nested},"), 1);
    let read = text.replace("\"number\":7", &format!("\"number\":{nested}"));
    assert!(unread != text && read != text);
    let elsewhere = || {
        let text = String::from_utf8(pull_request()).unwrap();
        signed(text.replace("acme/data", "acme/other"))
    };
    let unknown = || Post {
        event: "star",
        ..signed(br#"{"repository":{"full_name":"acme/data"}}"#)
    };
    let misnamed = || Post {
        event: "push",
        ..good()
    };
    let cases: [(&str, Post, u16, bool); 13] = [
        ("good", good(), 202, true),
        (
            "charset",
            Post {
                content_type: "application/json; charset=utf-8",
                ..good()
            },
            202,
            true,
        ),
        (
            "no signature",
            Post {
                signature: None,
                ..good()
            },
            401,
            false,
        ),
        (
            "wrong signature",
            Post {
                signature: Some(sign(b"another")),
                ..good()
            },
            401,
            false,
        ),
        (
            "half a signature",
            Post {
                signature: Some(sign(&pull_request())[..40].to_owned()),
                ..good()
            },
            401,
            false,
        ),
        (
            "a form",
            Post {
                content_type: "application/x-www-form-urlencoded",
                ..good()
            },
            415,
            false,
        ),
        ("10,000 brackets", signed(brackets()), 400, false),
        ("10,000 brackets for a number", signed(read), 400, false),
        // What nobody reads is skipped, however deep: the rest is a pull request.
        ("10,000 brackets besides", signed(unread), 202, true),
        ("garbage", signed("{"), 400, false),
        ("an event that is not ours", unknown(), 202, false),
        ("another event's body", misnamed(), 400, false),
        ("another repository", elsewhere(), 202, false),
    ];
    for (what, post, status, queued) in cases {
        let (server, queue) = door().await;
        assert_eq!(send(&server, post).await, status, "{what}");
        assert_eq!(something_waits(&queue), queued, "{what}");
        // Whatever it was, the next one is heard.
        assert_eq!(send_as(&server, good(), "d-2").await, 202, "after {what}");
    }
}

/// Takes what is there to do.
fn something_waits(queue: &Queue) -> bool {
    !matches!(queue.take(jiff::Timestamp::UNIX_EPOCH), Next::Nothing)
}

#[tokio::test]
async fn without_its_headers_a_delivery_is_refused() {
    let (server, queue) = door().await;
    for missing in ["x-github-event", "x-github-delivery"] {
        let mut request = reqwest::Client::new()
            .post(format!("{}/webhook", server.url()))
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(&pull_request()))
            .body(pull_request());
        for header in ["x-github-event", "x-github-delivery"] {
            if header != missing {
                request = request.header(header, "pull_request");
            }
        }
        let status = request.send().await.unwrap().status();
        assert_eq!(status.as_u16(), 400, "{missing}");
    }
    assert!(!something_waits(&queue));
}

#[tokio::test]
async fn a_repetition_is_noticed_by_its_id_and_by_its_meaning() {
    let (server, queue) = door().await;
    for delivery in ["d-1", "d-1", "d-2"] {
        assert_eq!(send_as(&server, good(), delivery).await, 202);
    }
    assert!(something_waits(&queue));
    assert!(!something_waits(&queue), "three deliveries are one run");
    for delivery in ["d-1", "d-2"] {
        assert_eq!(send_as(&server, good(), delivery).await, 202);
    }
    assert!(!something_waits(&queue), "both were here before");
    // One that can not sign does not make its id known.
    let forged = Post {
        signature: Some(sign(b"another")),
        ..good()
    };
    assert_eq!(send_as(&server, forged, "d-3").await, 401);
    assert_eq!(send_as(&server, good(), "d-3").await, 202);
    assert!(something_waits(&queue));
}

#[tokio::test]
async fn thirty_megabytes_are_turned_away_before_anything_is_verified() {
    let (server, queue) = door().await;
    let body = vec![b' '; 30 << 20];
    let forged = Post {
        signature: None,
        content_type: "text/plain",
        ..signed(body.clone())
    };
    assert_eq!(send(&server, signed(body)).await, 413);
    assert_eq!(send(&server, forged).await, 413);
    assert!(!something_waits(&queue));
}

#[tokio::test]
async fn probes() {
    let (server, _) = door().await;
    for path in ["healthz", "readyz"] {
        let answer = reqwest::get(format!("{}/{path}", server.url()))
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }
}
