//! What the watches have seen: every object of our kinds as it was last told, as bytes.
//!
//! It says what it holds only while that can be relied on: every kind is watched, and
//! everything that this process wrote has come back. Whoever gets nothing lists instead.
//! What others did is news; what we did is not.

mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use self::own::{Own, Writing};
use crate::name::Digest;
use crate::object::Kind;
use crate::plan::drift::{Touch, last_touch};
use crate::render::{APPLY_SET_LABEL, MANAGER};

/// An object that somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub kind: Kind,
    pub name: String,
    pub how: How,
}

/// What somebody did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By the manager whose entry is the newest, if there is one: who only takes fields away
    /// leaves no entry.
    Edited(Option<Touch>),
    /// The server does not say by whom.
    Deleted,
    /// It is being deleted, and something holds it.
    Leaving,
}

type Key = (Kind, String);

#[derive(Debug, Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
    /// Told of news.
    told: Notify,
    /// Told when a kind is complete.
    completed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    kinds: BTreeMap<Kind, Watched>,
    own: BTreeMap<Key, Own>,
    news: BTreeMap<Key, Changed>,
}

/// One kind.
#[derive(Debug, Default)]
struct Watched {
    /// Whether everything that there is was told, and the watch goes on.
    live: bool,
    objects: BTreeMap<String, Kept>,
    /// What is told at the beginning, until it is everything.
    coming: BTreeMap<String, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    version: u64,
    /// Of what somebody wants it to be: no status, no version.
    content: Digest,
    ours: bool,
    leaving: bool,
    touch: Option<Touch>,
    bytes: Arc<[u8]>,
}

impl Cache {
    /// A kind's watch begins anew: what follows is everything that there is.
    pub(super) fn begin(&self, kind: Kind) {
        let mut inner = self.lock();
        let watched = inner.kinds.entry(kind).or_default();
        watched.live = false;
        watched.coming.clear();
    }

    /// A kind's watch has failed: nobody knows what happens meanwhile.
    pub(super) fn lose(&self, kind: Kind) {
        self.lock().kinds.entry(kind).or_default().live = false;
    }

    /// Takes an object as it was told. False if it has no version that can be compared.
    pub(super) fn put(&self, kind: Kind, object: &Value) -> bool {
        let (Some(name), Some(kept)) = (name(object), Kept::of(object)) else {
            return false;
        };
        let mut inner = self.lock();
        let watched = inner.kinds.entry(kind).or_default();
        if !watched.live {
            watched.coming.insert(name, kept);
            return true;
        }
        let before = watched.objects.insert(name.clone(), kept.clone());
        inner.compare((kind, name), before.as_ref(), Some(&kept), kept.version);
        self.tell(inner);
        true
    }

    /// Takes note that an object is gone. False if it has no version that can be compared.
    pub(super) fn remove(&self, kind: Kind, object: &Value) -> bool {
        let (Some(name), Some(version)) = (name(object), version(object)) else {
            return false;
        };
        let mut inner = self.lock();
        let watched = inner.kinds.entry(kind).or_default();
        if !watched.live {
            watched.coming.remove(&name);
            return true;
        }
        let before = watched.objects.remove(&name);
        inner.compare((kind, name), before.as_ref(), None, version);
        self.tell(inner);
        true
    }

    /// What was told since [`Cache::begin`] is everything, as of this version. What differs
    /// from before is news.
    pub(super) fn complete(&self, kind: Kind, version: u64) {
        let mut inner = self.lock();
        let watched = inner.kinds.entry(kind).or_default();
        watched.live = true;
        let coming = std::mem::take(&mut watched.coming);
        let before = std::mem::replace(&mut watched.objects, coming.clone());
        let names: BTreeSet<String> = before.keys().chain(coming.keys()).cloned().collect();
        for name in names {
            let (before, after) = (before.get(&name), coming.get(&name));
            let version = after.map_or(version, |after| after.version);
            inner.compare((kind, name), before, after, version);
        }
        // What was made and is gone again was not there to compare.
        let gone: Vec<Key> = inner
            .own
            .keys()
            .filter(|(one, name)| *one == kind && !coming.contains_key(name))
            .cloned()
            .collect();
        for key in gone {
            inner.settle(&key, version, true);
        }
        self.tell(inner);
        self.completed.notify_one();
    }

    /// Everything, if it can be relied on.
    pub(super) fn read(&self) -> Option<Vec<(Key, Arc<[u8]>)>> {
        let inner = self.lock();
        if !inner.is_live() || inner.own.values().any(Own::is_awaited) {
            return None;
        }
        let objects = inner.kinds.iter().flat_map(|(kind, watched)| {
            let objects = watched.objects.iter();
            objects.map(|(name, kept)| ((*kind, name.clone()), kept.bytes.clone()))
        });
        Some(objects.collect())
    }

    /// One object as it was told last, if its kind is watched and nothing of ours is under way
    /// to it. Others may have been there since: whoever writes names the version.
    pub(super) fn object(&self, kind: Kind, name: &str) -> Option<Arc<[u8]>> {
        let inner = self.lock();
        let watched = inner.kinds.get(&kind).filter(|watched| watched.live)?;
        let own = inner.own.get(&(kind, name.to_owned()));
        let kept = watched.objects.get(name)?;
        own.is_none_or(|own| !own.is_awaited())
            .then(|| kept.bytes.clone())
    }

    /// Waits for what others did.
    pub(super) async fn changed(&self) -> Changed {
        loop {
            if let Some((_, changed)) = self.lock().news.pop_first() {
                return changed;
            }
            self.told.notified().await;
        }
    }

    /// Waits until every kind is complete.
    pub(super) async fn complete_all(&self) {
        while !self.lock().is_live() {
            self.completed.notified().await;
        }
    }

    /// A write of ours begins. It ends when the value is dropped.
    pub(super) fn writing(self: &Arc<Self>, kind: Kind, name: &str) -> Writing {
        let key = (kind, name.to_owned());
        self.lock().own.entry(key.clone()).or_default().under_way += 1;
        Writing {
            cache: self.clone(),
            key,
        }
    }

    fn tell(&self, inner: MutexGuard<'_, Inner>) {
        drop(inner);
        self.told.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves it whole enough: at worst somebody lists.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_live(&self) -> bool {
        let live = |kind: &Kind| self.kinds.get(kind).is_some_and(|watched| watched.live);
        Kind::ALL.iter().all(live)
    }

    /// What happened to an object: ours has come back, or it is news.
    fn compare(&mut self, key: Key, before: Option<&Kept>, after: Option<&Kept>, version: u64) {
        let concerns = [before, after].into_iter().flatten().any(|kept| kept.ours);
        let how = match (before, after) {
            (Some(_), None) => Some(How::Deleted),
            (Some(before), Some(after)) if before.content == after.content => None,
            (Some(before), Some(after)) if after.leaving && !before.leaving => Some(How::Leaving),
            (Some(_), Some(after)) => Some(How::Edited(after.touch.clone())),
            // What was not there is no drift: a sweep or a merge asks for it.
            (None, _) => None,
        };
        let changed = how.filter(|_| concerns).map(|how| Changed {
            kind: key.0,
            name: key.1.clone(),
            how,
        });
        if let Some(changed) = changed {
            match self.own.get_mut(&key) {
                Some(own) if own.under_way > 0 => own.held.push((version, changed)),
                Some(own) if own.did(version, after.is_none()) => {}
                _ => {
                    self.news.insert(key.clone(), changed);
                }
            }
        }
        self.settle(&key, version, after.is_none());
    }

    /// Forgets what has come back.
    fn settle(&mut self, key: &Key, version: u64, is_gone: bool) {
        let Some(own) = self.own.get_mut(key) else {
            return;
        };
        if own.under_way > 0 {
            return;
        }
        own.versions.retain(|one| *one > version);
        own.behind = own.behind.filter(|behind| *behind >= version);
        own.gone &= !is_gone;
        if !own.is_awaited() {
            self.own.remove(key);
        }
    }

    fn end(&mut self, key: &Key) {
        let watched = self.kinds.get(&key.0).filter(|watched| watched.live);
        let kept = watched.map(|watched| watched.objects.get(&key.1));
        let seen = kept.map(|kept| kept.map(|kept| kept.version));
        let Some(own) = self.own.get_mut(key) else {
            return;
        };
        own.under_way = own.under_way.saturating_sub(1);
        if own.under_way > 0 {
            return;
        }
        let held = std::mem::take(&mut own.held);
        let last = held.last().map(|(version, _)| *version);
        for (version, changed) in held {
            if !own.did(version, changed.how == How::Deleted) {
                self.news.insert(key.clone(), changed);
            }
        }
        match (seen, last) {
            // Nobody watches: whoever reads lists.
            (None, _) => {
                self.own.remove(key);
            }
            (Some(Some(version)), _) => self.settle(key, version, false),
            (Some(None), Some(version)) => self.settle(key, version, true),
            // Not told yet, or gone before it was written to.
            (Some(None), None) => {
                let awaited = self
                    .own
                    .get(key)
                    .is_some_and(|own| !own.versions.is_empty());
                if !awaited {
                    self.own.remove(key);
                }
            }
        }
    }
}

impl Kept {
    fn of(object: &Value) -> Option<Self> {
        let mut content = object.clone();
        if let Some(fields) = content.as_object_mut() {
            fields.remove("status");
        }
        let metadata = content.get_mut("metadata").and_then(Value::as_object_mut)?;
        for field in ["resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
        let label = object.pointer("/metadata/labels");
        Some(Self {
            version: version(object)?,
            content: Digest::of(content.to_string().as_bytes()),
            ours: label.is_some_and(|labels| labels.get(APPLY_SET_LABEL).is_some()),
            leaving: object.pointer("/metadata/deletionTimestamp").is_some(),
            touch: last_touch(object, MANAGER),
            bytes: object.to_string().into_bytes().into(),
        })
    }
}

fn name(object: &Value) -> Option<String> {
    let name = object.pointer("/metadata/name")?;
    name.as_str().map(ToOwned::to_owned)
}

/// Versions are whole numbers that grow, by the API's own promise since 1.35, and by every
/// server's practice before.
fn version(object: &Value) -> Option<u64> {
    let version = object.pointer("/metadata/resourceVersion")?;
    version.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
