//! What every simulator is made of: a loopback server that records its traffic and can be told to fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

/// More than any real body the simulators take (GitHub's largest webhook is 25 MB).
const BODY_LIMIT: usize = 32 << 20;

/// One request and its answer, in the order the server saw them.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: Method,
    /// Path with query, as sent.
    pub uri: String,
    /// Request headers, credentials included: never print them.
    pub headers: HeaderMap,
    pub request: Bytes,
    pub status: StatusCode,
    /// Empty for a streamed answer (a watch).
    pub response: Bytes,
}

impl Exchange {
    /// Whether the request could have changed something.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD
    }
}

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status and body, without any effect.
    Refuse(StatusCode, String),
    /// The effect happens, the answer is this one: the classic lost reply.
    LoseAnswer(StatusCode, String),
}

/// Decides for each request whether it fails; asked in order, before any effect.
pub type FaultFn = dyn FnMut(&Method, &Uri) -> Option<Fault> + Send;

/// The part of a server that tests look at and turn.
#[derive(Clone, Default)]
pub struct Wire {
    inner: Arc<Mutex<WireInner>>,
    answered: Arc<Notify>,
}

#[derive(Default)]
struct WireInner {
    traffic: Vec<Exchange>,
    fault: Option<Box<FaultFn>>,
}

impl Wire {
    /// Everything seen so far.
    pub fn traffic(&self) -> Vec<Exchange> {
        lock(&self.inner).traffic.clone()
    }

    /// How many requests so far could have changed something.
    pub fn writes(&self) -> usize {
        lock(&self.inner)
            .traffic
            .iter()
            .filter(|exchange| exchange.is_write())
            .count()
    }

    /// How many writes so far went to a path that contains `part`, and were not refused.
    pub fn writes_to(&self, part: &str) -> usize {
        lock(&self.inner)
            .traffic
            .iter()
            .filter(|exchange| {
                exchange.is_write() && exchange.status.is_success() && exchange.uri.contains(part)
            })
            .count()
    }

    /// How many exchanges so far are such.
    pub fn count(&self, such: impl Fn(&Exchange) -> bool) -> usize {
        let inner = lock(&self.inner);
        inner.traffic.iter().filter(|one| such(one)).count()
    }

    /// Waits until `what` was answered; what was answered before counts.
    pub async fn seen(&self, what: impl Fn(&Exchange) -> bool) {
        loop {
            let answered = self.answered.notified();
            if lock(&self.inner).traffic.iter().any(&what) {
                return;
            }
            answered.await;
        }
    }

    /// Asks `fault` about every request from now on.
    pub fn fail_with(&self, fault: impl FnMut(&Method, &Uri) -> Option<Fault> + Send + 'static) {
        lock(&self.inner).fault = Some(Box::new(fault));
    }

    /// Stops failing.
    pub fn heal(&self) {
        lock(&self.inner).fault = None;
    }
}

/// A running simulator; dropping it stops it.
pub struct Server {
    addr: SocketAddr,
    wire: Wire,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Serves `router` on a free loopback port, recording and failing as its [`Wire`] says.
    ///
    /// # Errors
    /// If no loopback port can be bound.
    pub async fn start(router: Router) -> std::io::Result<Self> {
        let wire = Wire::default();
        let router = router.layer(from_fn_with_state(wire.clone(), record));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let shutdown = async move {
                // Err means that the Server was dropped, which is the signal.
                let _ = stopped.await;
            };
            let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown);
            if let Err(error) = serving.await {
                tracing::warn!(%error, "simulator stopped");
            }
        });
        Ok(Self {
            addr,
            wire,
            _stop: stop,
        })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn wire(&self) -> &Wire {
        &self.wire
    }
}

async fn record(State(wire): State<Wire>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let fault = {
        let mut inner = lock(&wire.inner);
        inner
            .fault
            .as_mut()
            .and_then(|fault| fault(&parts.method, &parts.uri))
    };
    let (method, uri, headers) = (
        parts.method.clone(),
        parts.uri.to_string(),
        parts.headers.clone(),
    );
    let streams = uri.contains("watch=");
    let request = Request::from_parts(parts, Body::from(bytes.clone()));
    let answer = match fault {
        Some(Fault::Refuse(status, body)) => (status, body).into_response(),
        Some(Fault::LoseAnswer(status, body)) => {
            next.run(request).await;
            (status, body).into_response()
        }
        None => next.run(request).await,
    };
    let (parts, body) = answer.into_parts();
    let status = parts.status;
    let (response, body) = if streams {
        (Bytes::new(), body)
    } else {
        let whole = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
        (whole.clone(), Body::from(whole))
    };
    lock(&wire.inner).traffic.push(Exchange {
        method,
        uri,
        headers,
        request: bytes,
        status,
        response,
    });
    wire.answered.notify_waiters();
    Response::from_parts(parts, body)
}

/// A poisoned lock only means that another test thread failed; the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
