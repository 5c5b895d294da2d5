//! The HTTP server: webhooks in, probes out. It verifies, decodes, queues and answers;
//! nothing is done before the answer, because GitHub waits ten seconds and never repeats.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};

use crate::edges::forge::RepositoryName;
use crate::edges::forge::webhook::{WebhookVerifier, decode};
use crate::edges::replica::{HANDED_OVER, Replicas};

use super::lead::{Stand, Standing};
use super::queue::Queue;

/// GitHub sends no larger payload.
const BODY_LIMIT: usize = 25 << 20;

/// What the server needs to know.
#[derive(Clone)]
pub struct Door {
    pub verifier: WebhookVerifier,
    pub repository: RepositoryName,
    pub default_branch: String,
    pub queue: Queue,
    /// Whether this replica acts.
    pub stand: Stand,
    pub replicas: Replicas,
}

/// The routes.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/webhook", post(webhook))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ready" }))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(door)
}

async fn webhook(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Before anything is parsed: whoever can not sign gets no work done for them.
    let signed = text("x-hub-signature-256").unwrap_or_default();
    if door.verifier.verify(signed, &body).is_err() {
        return (StatusCode::UNAUTHORIZED, "the signature does not match\n");
    }
    if let Standing::Standby { address } = door.stand.get() {
        return hand_over(&door, address, &headers, body).await;
    }
    let is_json = text(header::CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some("application/json"));
    if !is_json {
        return (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "set the webhook's content type to application/json\n",
        );
    }
    let (Some(event), Some(delivery)) = (text("x-github-event"), text("x-github-delivery")) else {
        return (
            StatusCode::BAD_REQUEST,
            "X-GitHub-Event or X-GitHub-Delivery is missing\n",
        );
    };
    match decode(event, &body, &door.repository, &door.default_branch) {
        Ok(events) => {
            if door.queue.is_new(delivery) {
                for event in &events {
                    door.queue.add(event);
                }
            }
            (StatusCode::ACCEPTED, "")
        }
        Err(error) => {
            tracing::warn!(event, delivery, %error, "a delivery could not be read");
            (StatusCode::BAD_REQUEST, "the payload can not be read\n")
        }
    }
}

/// A standby hands a webhook to the holder. Where that can not be, the delivery fails, so
/// that GitHub shows it as failed; the sweep finds what it spoke of.
async fn hand_over(
    door: &Door,
    address: Option<String>,
    headers: &HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let nobody = (
        StatusCode::SERVICE_UNAVAILABLE,
        "no replica acts at the moment\n",
    );
    // Two standbys that each believe the other one to be the holder must not play ball.
    let Some(address) = address.filter(|_| !headers.contains_key(HANDED_OVER)) else {
        return nobody;
    };
    match door.replicas.hand_over(&address, headers, body).await {
        Ok(status) => (status, ""),
        Err(error) => {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "a webhook is lost"
            );
            nobody
        }
    }
}
