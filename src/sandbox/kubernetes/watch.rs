//! WATCH: the history from a version on, then whatever happens, as lines of JSON.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::kinds::Resource;
use super::selector::Selector;
use super::status::Refusal;
use super::store::{Event, Store};

/// What real servers choose when the client does not.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1800);

/// Whether a client asked to be told of versions in which nothing of its own changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bookmarks {
    Send,
    Omit,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With everything there is, as ADDED events.
    Present,
    /// Likewise, then with a bookmark that says that this was everything.
    PresentThenBookmark,
    After(u64),
}

/// What to watch.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) resource: &'static Resource,
    /// Empty for all.
    pub(super) namespace: String,
    pub(super) selector: Selector,
    pub(super) start: Start,
    pub(super) bookmarks: Bookmarks,
    pub(super) timeout: Option<Duration>,
}

struct Feed {
    shared: Shared,
    request: Request,
    changed: watch::Receiver<u64>,
    deadline: Instant,
    seen: u64,
    lines: VecDeque<Bytes>,
    over: bool,
}

/// The body of the answer; it ends at the timeout or with an ERROR event.
pub(super) fn body(shared: Shared, request: Request) -> Body {
    // The one use of the real clock: a watch ends when its client said so, by the wall.
    let deadline = Instant::now() + request.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let feed = {
        let store = shared.lock();
        let mut feed = Feed {
            changed: store.subscribe(),
            deadline,
            seen: store.version(),
            lines: VecDeque::new(),
            over: false,
            shared: shared.clone(),
            request,
        };
        feed.begin(&store);
        feed
    };
    Body::from_stream(futures::stream::unfold(feed, |mut feed| async move {
        let line = feed.next().await?;
        Some((Ok::<_, Infallible>(line), feed))
    }))
}

impl Feed {
    fn begin(&mut self, store: &Store) {
        if let Start::After(version) = self.request.start {
            self.seen = version;
            return;
        }
        let present = store
            .list_at(
                store.version(),
                self.request.resource,
                &self.request.namespace,
            )
            .unwrap_or_default();
        for object in present {
            if self.request.selector.matches(&object) {
                self.push("ADDED", &object);
            }
        }
        if self.request.start == Start::PresentThenBookmark {
            self.bookmark(json!({"k8s.io/initial-events-end": "true"}));
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            let shared = self.shared.clone();
            self.read(&shared.lock());
            if !self.lines.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = sleep_until(self.deadline) => return None,
            }
        }
    }

    fn read(&mut self, store: &Store) {
        if self.seen < store.floor() {
            let why = format!(
                "too old resource version: {} ({})",
                self.seen,
                store.floor()
            );
            let error = Refusal::expired(why);
            self.push("ERROR", error.body());
            self.over = true;
            return;
        }
        for event in store.events_after(self.seen) {
            if let Some((kind, object)) = self.concern(event) {
                self.push(kind, &object);
            }
        }
        if store.version() > self.seen {
            self.seen = store.version();
            if self.lines.is_empty() && self.request.bookmarks == Bookmarks::Send {
                self.bookmark(json!({}));
            }
        }
    }

    /// To a watcher an object that no longer matches is deleted, one that now does is new.
    fn concern(&self, event: &Event) -> Option<(&'static str, Arc<Value>)> {
        let request = &self.request;
        let elsewhere = !request.namespace.is_empty() && event.key.namespace != request.namespace;
        if event.key.kind != request.resource.kind || elsewhere {
            return None;
        }
        let matching = |object: &Option<Arc<Value>>| {
            object
                .clone()
                .filter(|object| request.selector.matches(object))
        };
        match (matching(&event.before), matching(&event.after)) {
            (None, None) => None,
            (None, Some(object)) => Some(("ADDED", object)),
            (Some(_), Some(object)) => Some(("MODIFIED", object)),
            (Some(last), None) => Some(("DELETED", event.after.clone().unwrap_or(last))),
        }
    }

    fn bookmark(&mut self, annotations: Value) {
        let mut object = json!({
            "kind": self.request.resource.kind,
            "apiVersion": self.request.resource.api_version(),
            "metadata": {"resourceVersion": self.seen.to_string(), "creationTimestamp": null},
        });
        if annotations.as_object().is_some_and(|map| !map.is_empty())
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("annotations".to_owned(), annotations);
        }
        self.push("BOOKMARK", &object);
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        self.lines.push_back(Bytes::from(line));
    }
}
