//! The server's door: what is let in, and with which status the rest is turned away.

use hmac::{Hmac, KeyInit as _, Mac as _};
use pipewright::edges::forge::webhook::WebhookVerifier;
use pipewright::edges::replica::Replicas;
use pipewright::sandbox::server::Server;
use pipewright::shell::lead::{Stand, Standing};
use pipewright::shell::queue::Queue;
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
    let mut request = reqwest::Client::new()
        .post(format!("{}/webhook", server.url()))
        .header("x-github-event", post.event)
        .header("x-github-delivery", "d-1")
        .header("content-type", post.content_type)
        .body(post.body);
    if let Some(signature) = post.signature {
        request = request.header("x-hub-signature-256", signature);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn statuses_at_the_door() {
    let good = || {
        let body = pull_request();
        Post {
            signature: Some(sign(&body)),
            body,
            content_type: "application/json",
            event: "pull_request",
        }
    };
    let nested = || {
        let body = "[".repeat(10_000).into_bytes();
        Post {
            signature: Some(sign(&body)),
            body,
            ..good()
        }
    };
    let garbage = || Post {
        signature: Some(sign(b"{")),
        body: b"{".to_vec(),
        ..good()
    };
    let unknown = || {
        let body = br#"{"repository":{"full_name":"acme/data"}}"#.to_vec();
        Post {
            signature: Some(sign(&body)),
            body,
            event: "star",
            ..good()
        }
    };
    let cases: [(&str, Post, u16, bool); 9] = [
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
        ("10,000 brackets", nested(), 400, false),
        ("garbage", garbage(), 400, false),
        ("an event that is not ours", unknown(), 202, false),
    ];
    for (what, post, status, queued) in cases {
        let (server, queue) = door().await;
        assert_eq!(send(&server, post).await, status, "{what}");
        assert_eq!(
            queue.at_rest(jiff::Timestamp::UNIX_EPOCH).is_none(),
            queued,
            "{what}"
        );
    }
}

#[tokio::test]
async fn thirty_megabytes_are_turned_away() {
    let (server, queue) = door().await;
    let body = vec![b' '; 30 << 20];
    let post = Post {
        signature: Some(sign(&body)),
        body,
        content_type: "application/json",
        event: "push",
    };
    assert_eq!(send(&server, post).await, 413);
    assert_eq!(queue.at_rest(jiff::Timestamp::UNIX_EPOCH), Some(0));
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
