//! Watching the namespace: one stream for each kind, which begins with everything there is.
//!
//! The API server is asked for a consistent beginning (`sendInitialEvents` without a version),
//! so what the cache holds is never older than the watch. Whatever goes wrong with a stream,
//! it is begun anew; and now and then without a reason, so that nothing that was missed lasts.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use kube::api::{DynamicObject, WatchEvent, WatchParams};

use super::cache::Changed;
use super::observe::value;
use super::{Cluster, ClusterError};
use crate::clock::Clock;
use crate::object::Kind;

/// How long the server goes on before it ends a watch, in seconds. Each kind a little
/// longer than the one before, so that they do not come back together.
const LASTS: u32 = 280;
/// How often a watch goes on where it ended, before it begins anew: about an hour.
const MOST_RESUMED: u32 = 12;
/// The longest wait before a watch that fails is begun again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Says that what came before was everything.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// How a stream ended.
enum Ended {
    /// In its time; it can go on from here.
    At(String),
    /// It has to begin anew.
    Lost(String),
}

impl Cluster {
    /// Watches until it is dropped. What it sees is read by [`Cluster::observe`], and told by
    /// [`Cluster::changed`].
    pub async fn watch(&self, clock: &Clock) -> Infallible {
        // Whoever stops watching knows nothing any more.
        let _stopped = Stopped(self);
        let kinds = Kind::ALL.into_iter().zip(LASTS..);
        join_all(kinds.map(|(kind, lasts)| self.follow(kind, lasts, clock))).await;
        std::future::pending().await
    }

    /// Waits until others have changed, deleted or relabelled something of ours.
    pub async fn changed(&self) -> Changed {
        self.cache.changed().await
    }

    /// Waits until everything that there is has been seen.
    pub async fn seen(&self) {
        self.cache.complete_all().await;
    }

    async fn follow(&self, kind: Kind, lasts: u32, clock: &Clock) {
        let mut from = None;
        let mut resumed = 0;
        let mut failures: u32 = 0;
        loop {
            let began = clock.now();
            match self.stream(kind, lasts, from.take()).await {
                Ended::At(version) => {
                    failures = 0;
                    resumed += 1;
                    from = (resumed < MOST_RESUMED).then_some(version);
                }
                Ended::Lost(why) => {
                    self.cache.lose(kind);
                    let lasted = clock.now().duration_since(began);
                    // One that worked for a while has not failed before.
                    failures = match Duration::try_from(lasted) {
                        Ok(lasted) if lasted > LONGEST_WAIT => 0,
                        _ => failures + 1,
                    };
                    match failures {
                        0 | 1 => tracing::info!(kind = kind.as_str(), why, "a watch begins anew"),
                        _ => tracing::warn!(kind = kind.as_str(), why, "a watch fails"),
                    }
                    if failures > 0 {
                        let wait = Duration::from_millis(250 << failures.min(7));
                        clock.sleep(wait.min(LONGEST_WAIT)).await;
                    }
                }
            }
            if from.is_none() {
                resumed = 0;
            }
        }
    }

    /// One request: from a version on, or with everything there is.
    async fn stream(&self, kind: Kind, lasts: u32, from: Option<String>) -> Ended {
        let attempt = format!("watch {}s", kind.as_str());
        let mut parameters = WatchParams::default().timeout(lasts);
        if from.is_none() {
            parameters = parameters.initial_events();
            self.cache.begin(kind);
        }
        let mut is_complete = from.is_some();
        let mut version = from.unwrap_or_default();
        let api = super::api(&self.watching, &self.namespace, kind);
        let lost = |error: kube::Error| {
            let error = ClusterError::classify(&attempt, error);
            Ended::Lost(error.to_string())
        };
        let stream = match api.watch(&parameters, &version).await {
            Ok(stream) => stream,
            Err(error) => return lost(error),
        };
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            let (object, deleted): (DynamicObject, bool) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                Ok(WatchEvent::Deleted(object)) => (object, true),
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    let annotations = bookmark.metadata.annotations;
                    if !is_complete && annotations.contains_key(INITIAL_END) {
                        let Ok(version) = version.parse() else {
                            return Ended::Lost(format!("no version: {version:?}"));
                        };
                        self.cache.complete(kind, version);
                        is_complete = true;
                    }
                    continue;
                }
                Ok(WatchEvent::Error(status)) => return lost(kube::Error::Api(status)),
                Err(error) => return lost(error),
            };
            version = object.metadata.resource_version.clone().unwrap_or_default();
            let taken = match value(kind, object, &attempt) {
                Ok((_, _, value)) if deleted => self.cache.remove(kind, &value),
                Ok((_, _, value)) => self.cache.put(kind, &value),
                Err(error) => return Ended::Lost(error.to_string()),
            };
            if !taken {
                return Ended::Lost(format!("no version: {version:?}"));
            }
        }
        match is_complete {
            true => Ended::At(version),
            false => Ended::Lost("it ended before everything was told".to_owned()),
        }
    }
}

struct Stopped<'a>(&'a Cluster);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        for kind in Kind::ALL {
            self.0.cache.lose(kind);
        }
    }
}
