//! What every simulator is made of: a loopback server that records its traffic and can be told to fail.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;

use super::line::{Lines, Reset};

/// More than any real body the simulators take (GitHub's largest webhook is 25 MB).
const BODY_LIMIT: usize = 32 << 20;

/// Requests of all servers of the process so far.
static ARRIVALS: AtomicU64 = AtomicU64::new(0);

/// One request and its answer, in the order the server saw them.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Rises with each request, whichever server of the process got it.
    pub arrival: u64,
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
        self.method != Method::GET && self.method != Method::HEAD && !is_tried(&self.uri)
    }

    /// As it is recorded for later: without headers.
    pub fn to_json(&self, system: &str) -> Value {
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        json!({
            "system": system,
            "method": self.method.as_str(),
            "uri": self.uri,
            "request": json(&self.request),
            "status": self.status.as_u16(),
            "response": json(&self.response),
        })
    }
}

/// Whether Kubernetes is asked to take it and to make nothing of it.
fn is_tried(uri: &str) -> bool {
    uri.contains("dryRun=All")
}

/// Whether a request asks for a change: signing in, fetching, reading a policy and trying are
/// POSTs, and change nothing.
pub fn asks_for_a_change(method: &Method, uri: &Uri) -> bool {
    let harmless = ["/access_tokens", "/git-upload-pack", ":getIamPolicy"];
    let path = uri.path();
    method != Method::GET
        && method != Method::HEAD
        && !harmless.iter().any(|end| path.ends_with(end))
        && !uri.query().is_some_and(is_tried)
}

/// How a request goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status and body, without any effect.
    Refuse(StatusCode, String),
    /// The same, with the seconds after which to come back.
    Busy(StatusCode, String, u32),
    /// The effect happens, the answer is this one: the classic lost reply.
    LoseAnswer(StatusCode, String),
    /// The connection is reset before any effect.
    Reset,
    /// The effect happens, and the connection is reset where the answer should be.
    ResetAfter,
    /// The effect happens, and the connection ends amid the answer.
    BreakOff,
    /// The effect happens, and half of the answer comes as if it were the whole.
    Truncate,
    /// Nothing happens until the clock shows this; then all is well.
    Slow(Clock, Timestamp),
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

    /// Takes out everything seen so far: it is not counted and not shown any more.
    pub fn take_traffic(&self) -> Vec<Exchange> {
        std::mem::take(&mut lock(&self.inner).traffic)
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
        let service = router.into_make_service_with_connect_info::<Reset>();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let shutdown = async move {
                // Err means that the Server was dropped, which is the signal.
                let _ = stopped.await;
            };
            let serving = axum::serve(Lines(listener), service).with_graceful_shutdown(shutdown);
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

async fn record(
    State(wire): State<Wire>,
    ConnectInfo(line): ConnectInfo<Reset>,
    request: Request,
    next: Next,
) -> Response {
    let arrival = ARRIVALS.fetch_add(1, Ordering::SeqCst);
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
    let answer = answer(fault.as_ref(), request, next).await;
    let (mut parts, body) = answer.into_parts();
    let status = parts.status;
    let (response, body) = if streams {
        (Bytes::new(), body)
    } else {
        let whole = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
        let body = match fault {
            Some(Fault::BreakOff) => {
                parts
                    .headers
                    .insert(header::CONTENT_LENGTH, whole.len().into());
                broken_off(half(&whole))
            }
            _ => Body::from(whole.clone()),
        };
        (whole, body)
    };
    if matches!(fault, Some(Fault::Reset | Fault::ResetAfter)) {
        line.now();
    }
    lock(&wire.inner).traffic.push(Exchange {
        arrival,
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

/// What the fault leaves of the effect and of the answer.
async fn answer(fault: Option<&Fault>, request: Request, next: Next) -> Response {
    match fault {
        Some(Fault::Refuse(status, body)) => (*status, body.clone()).into_response(),
        Some(Fault::Busy(status, body, seconds)) => {
            let later = [(header::RETRY_AFTER, seconds.to_string())];
            (*status, later, body.clone()).into_response()
        }
        Some(Fault::LoseAnswer(status, body)) => {
            next.run(request).await;
            (*status, body.clone()).into_response()
        }
        Some(Fault::Reset) => StatusCode::BAD_GATEWAY.into_response(),
        Some(Fault::Truncate) => {
            let (mut parts, body) = next.run(request).await.into_parts();
            let whole = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(half(&whole)))
        }
        Some(Fault::Slow(clock, until)) => {
            clock.sleep_until(*until).await;
            next.run(request).await
        }
        Some(Fault::ResetAfter | Fault::BreakOff) | None => next.run(request).await,
    }
}

fn half(whole: &Bytes) -> Bytes {
    whole.slice(..whole.len() / 2)
}

/// These bytes, sent off, and then an error, which ends the connection.
fn broken_off(bytes: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(bytes), |rest| async move {
        match rest {
            Some(bytes) if !bytes.is_empty() => Some((Ok(bytes), None)),
            _ => {
                tokio::task::yield_now().await;
                Some((
                    Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
                    None,
                ))
            }
        }
    }))
}

/// A poisoned lock only means that another test thread failed; the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
