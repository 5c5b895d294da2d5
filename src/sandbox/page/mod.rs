//! The page: one address on loopback that plays GitHub and shows the world, for a browser.
//!
//! Everything it serves is in the program. It talks to nobody else, and its own content
//! policy keeps the browser from doing so: what is written in a comment can not run.
//! A request that a page from elsewhere sends is refused: by its origin, by its type, and
//! by a host that is a name other than localhost.
//!
//! The state is one JSON document with a version; a browser waits for the next one.

mod act;
mod day;
mod events;
mod guide;
mod markdown;
mod play;
mod pulls;
mod reach;
mod runs;
mod state;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::snapshot::Tree;

pub use events::Happened;

pub use play::Pods;
use play::{Asked, Play, Shown};

/// Nothing but what this address serves, and no script that stands in a document.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
frame-ancestors 'none'; object-src 'none'";
/// How long a browser waits for news before it asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// More than the largest file or comment in JSON.
const BODY_LIMIT: usize = 512 * 1024;

/// What is served beside the state: path, type, content.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("static/index.html")),
    ("/style.css", CSS, include_str!("static/style.css")),
    ("/world.css", CSS, include_str!("static/world.css")),
    ("/app.js", SCRIPT, include_str!("static/app.js")),
    ("/dom.js", SCRIPT, include_str!("static/dom.js")),
    ("/pulls.js", SCRIPT, include_str!("static/pulls.js")),
    ("/files.js", SCRIPT, include_str!("static/files.js")),
    ("/world.js", SCRIPT, include_str!("static/world.js")),
    ("/reach.js", SCRIPT, include_str!("static/reach.js")),
    ("/icon.svg", PICTURE, include_str!("static/icon.svg")),
];
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A world with a page.
pub struct Page {
    play: Play,
    acts: mpsc::Receiver<Asked>,
    address: SocketAddr,
}

/// What a request needs.
#[derive(Clone)]
struct Counter {
    acts: mpsc::Sender<Asked>,
    shown: watch::Receiver<Shown>,
    clock: Clock,
}

impl Page {
    /// Sets the stage with `tree` as the default branch, plays up to the first plan, and
    /// serves the page at `listen`.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn open(
        tree: Tree,
        clock: Clock,
        pods: Pods,
        listen: SocketAddr,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listen at {listen}"))?;
        let address = listener.local_addr()?;
        let (show, shown) = watch::channel(Shown::default());
        let (send, acts) = mpsc::channel(8);
        let play = Play::begin(tree, clock.clone(), pods, show).await?;
        let router = router(Counter {
            acts: send,
            shown,
            clock,
        });
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the page ended");
            }
        });
        Ok(Self {
            play,
            acts,
            address,
        })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Plays until it is dropped. `tell` is told of what happens.
    ///
    /// # Errors
    /// If it can not be told.
    pub async fn run(
        self,
        tell: impl FnMut(&[Happened]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.play.run(self.acts, tell).await
    }
}

fn router(counter: Counter) -> Router {
    let mut router = Router::new()
        .route("/api/state", get(state_of))
        .route("/api/act", post(act))
        .with_state(counter);
    for (path, kind, content) in FILES {
        let file = move || async move { ([(header::CONTENT_TYPE, kind)], content) };
        router = router.route(path, get(file));
    }
    router
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "There is nothing here.") })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(guard))
}

/// Lets in only what comes from this machine's or this network's own browser page.
async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = text(headers, header::HOST).to_owned();
    let origin = text(headers, header::ORIGIN);
    let foreign = !origin.is_empty() && origin != format!("http://{host}");
    let mut response = if foreign || !is_own_host(&host) {
        refusal(
            StatusCode::FORBIDDEN,
            "This page answers to its own address only.",
        )
    } else {
        next.run(request).await
    };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        let value = axum::http::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// A number or localhost: a name could be made to lead here by whoever owns it.
fn is_own_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn refusal(status: StatusCode, sentence: &str) -> Response {
    (status, axum::Json(json!({ "error": sentence }))).into_response()
}

#[derive(Deserialize)]
struct Since {
    /// The version that the browser has.
    after: Option<u64>,
}

/// The newest state; with `after`, as soon as there is a newer one.
async fn state_of(State(counter): State<Counter>, Query(since): Query<Since>) -> Response {
    let mut shown = counter.shown.clone();
    if let Some(after) = since.after {
        // A browser from an earlier start may have seen more: it gets what there is.
        let news = shown.wait_for(|shown| shown.version != after);
        tokio::select! {
            _ = news => {}
            () = counter.clock.sleep(LONGEST_WAIT) => {}
        }
    }
    let json = counter.shown.borrow().json.to_string();
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn act(
    State(counter): State<Counter>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !text(&headers, header::CONTENT_TYPE).starts_with("application/json") {
        return refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "An act is sent as application/json.",
        );
    }
    let body = match body {
        Ok(body) => body,
        Err(refused) => return refusal(refused.status(), "That is more than an act may hold."),
    };
    let act = match serde_json::from_slice(&body) {
        Ok(act) => act,
        Err(error) => {
            let sentence = format!("That is nothing one can do here: {error}.");
            return refusal(StatusCode::BAD_REQUEST, &sentence);
        }
    };
    let (answer, came) = oneshot::channel();
    let gone = || {
        refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "The sandbox is shutting down.",
        )
    };
    if counter.acts.send(Asked { act, answer }).await.is_err() {
        return gone();
    }
    match came.await {
        Ok(Ok(version)) => axum::Json(json!({ "version": version })).into_response(),
        Ok(Err(sentence)) => refusal(StatusCode::CONFLICT, &sentence),
        Err(_) => gone(),
    }
}
