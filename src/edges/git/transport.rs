//! How libgit2 gets its bytes over http: through our own client, so that there is one TLS
//! stack and one place that knows the token.
//!
//! libgit2 is given a made-up URL that holds nothing but a number; under it the fetch's
//! [`Exchange`] is found. So no real URL and no token ever enters libgit2 or its messages.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use reqwest::blocking::Response;

use super::error::GitError;
use super::http::Session;

const SCHEME: &str = "pipewright-fetch";

/// Cached objects of all repositories together, in bytes; libgit2's own limit is 256 MB.
const CACHE_LIMIT: isize = 64 << 20;

/// The most that one fetch may bring. GitHub takes no push over 2 GiB.
const PACK_LIMIT: u64 = 4 << 30;

static EXCHANGES: Mutex<BTreeMap<u64, Arc<Exchange>>> = Mutex::new(BTreeMap::new());
static LAST: AtomicU64 = AtomicU64::new(0);

/// Sets libgit2 up, once for the process. Everything here does this before anything else.
pub(super) fn prepare() -> Result<(), GitError> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| set_up().map_err(|error| error.message().to_owned()))
        .clone()
        .map_err(GitError::Setup)
}

#[expect(
    unsafe_code,
    reason = "libgit2's settings and its list of transports are plain globals"
)]
fn set_up() -> Result<(), git2::Error> {
    // SAFETY: this runs once, and before this process uses libgit2 for anything: each way
    // into this module waits for it, and nothing else in the package uses libgit2.
    unsafe {
        git2::opts::set_cache_max_size(CACHE_LIMIT)?;
        // In a container the folder often belongs to another user. What that check guards
        // against, commands in a stranger's configuration, libgit2 does not run.
        git2::opts::set_verify_owner_validation(false)?;
        git2::transport::register(SCHEME, |remote| {
            let id = remote.url().ok().and_then(id_of_url);
            let exchange = id.and_then(|id| lock(&EXCHANGES).get(&id).cloned());
            let exchange = exchange.ok_or_else(|| git2::Error::from_str("no such fetch"))?;
            Transport::smart(remote, true, Subtransport { exchange })
        })
    }
}

/// One fetch of libgit2's over http.
pub(super) struct Exchange {
    session: Session,
    advertisement: Vec<u8>,
    attempt: String,
    received: AtomicU64,
    failure: Mutex<Option<GitError>>,
}

impl Exchange {
    pub(super) fn new(session: Session, advertisement: Vec<u8>, attempt: String) -> Arc<Self> {
        Arc::new(Self {
            session,
            advertisement,
            attempt,
            received: AtomicU64::new(0),
            failure: Mutex::new(None),
        })
    }

    /// Why it failed, if it was not libgit2 that did.
    pub(super) fn take_failure(&self) -> Option<GitError> {
        lock(&self.failure).take()
    }

    pub(super) fn host(&self) -> String {
        self.session.endpoint.to_string()
    }

    /// Keeps the true reason and gives libgit2 a constant: it can not carry every text.
    fn fail(&self, error: GitError) -> io::Error {
        *lock(&self.failure) = Some(error);
        io::Error::other("the request failed")
    }
}

/// Makes an exchange known to libgit2 until it is dropped.
pub(super) struct Registered {
    id: u64,
}

impl Registered {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        lock(&EXCHANGES).insert(id, exchange);
        Self { id }
    }

    pub(super) fn url(&self) -> String {
        format!("{SCHEME}://{}", self.id)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&EXCHANGES).remove(&self.id);
    }
}

fn id_of_url(url: &str) -> Option<u64> {
    let id = url.strip_prefix(SCHEME)?.strip_prefix("://")?;
    id.parse().ok()
}

struct Subtransport {
    exchange: Arc<Exchange>,
}

impl SmartSubtransport for Subtransport {
    fn action(
        &self,
        _url: &str,
        service: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        match service {
            Service::UploadPackLs => Ok(Box::new(Greeting(Cursor::new(
                self.exchange.advertisement.clone(),
            )))),
            Service::UploadPack => Ok(Box::new(Round {
                exchange: Arc::clone(&self.exchange),
                question: Vec::new(),
                answer: None,
            })),
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(git2::Error::from_str("a mirror never pushes"))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// The advertisement that was put together beforehand.
struct Greeting(Cursor<Vec<u8>>);

impl Read for Greeting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Greeting {
    /// libgit2 says good-bye with a flush when nothing is wanted; nobody waits for it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One round of the negotiation: what is written is a request, what is read its answer.
struct Round {
    exchange: Arc<Exchange>,
    question: Vec<u8>,
    answer: Option<Response>,
}

impl Read for Round {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Exchange {
            session, attempt, ..
        } = &*self.exchange;
        let answer = match &mut self.answer {
            Some(answer) => answer,
            none => {
                let question = std::mem::take(&mut self.question);
                let answer = session
                    .negotiate(question, attempt)
                    .map_err(|error| self.exchange.fail(error))?;
                none.insert(answer)
            }
        };
        let count = answer.read(out).map_err(|error| {
            self.exchange.fail(GitError::Interrupted {
                host: session.endpoint.to_string(),
                attempt: attempt.clone(),
                source: error.into(),
            })
        })?;
        let before = self
            .exchange
            .received
            .fetch_add(count as u64, Ordering::Relaxed);
        if before > PACK_LIMIT {
            return Err(self.exchange.fail(GitError::Protocol {
                host: session.endpoint.to_string(),
                attempt: attempt.clone(),
                problem: "it sent more than 4 GiB",
            }));
        }
        Ok(count)
    }
}

impl Write for Round {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Written to after an answer, it is a new request.
        self.answer = None;
        self.question.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A poisoned lock only means that another thread failed; every change here is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
