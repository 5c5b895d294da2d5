//! What this process writes, until the watch has told it.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Resource;

use super::{Cache, Changed, Key};
use crate::edges::cluster::ClusterError;

/// What this process did to one object, as far as it has not come back.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) under_way: u32,
    pub(super) versions: BTreeSet<u64>,
    /// The server knows a later version than this.
    pub(super) behind: Option<u64>,
    /// It was deleted.
    pub(super) gone: bool,
    /// What was told while a write was under way: whose it is shows its answer.
    pub(super) held: Vec<(u64, Changed)>,
}

impl Own {
    /// Whether something that was written has not been told yet.
    pub(super) fn is_awaited(&self) -> bool {
        self.under_way > 0 || !self.versions.is_empty() || self.behind.is_some() || self.gone
    }

    pub(super) fn did(&self, version: u64, deleted: bool) -> bool {
        self.versions.contains(&version) || (deleted && self.gone)
    }
}

/// A write of ours that is under way.
#[derive(Debug)]
pub(in crate::edges::cluster) struct Writing {
    pub(super) cache: Arc<Cache>,
    pub(super) key: Key,
}

impl Writing {
    /// Takes note of what the server answered, and hands it on.
    pub(in crate::edges::cluster) fn answered<R: Resource>(
        &self,
        answer: Result<R, ClusterError>,
    ) -> Result<R, ClusterError> {
        match &answer {
            Ok(object) => self.wrote(object.meta().resource_version.as_deref()),
            Err(ClusterError::Changed { .. }) => self.is_behind(),
            Err(_) => {}
        }
        answer
    }

    /// The object has this version now, by our doing.
    pub(in crate::edges::cluster) fn wrote(&self, version: Option<&str>) {
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            self.own(|own| {
                own.versions.insert(version);
            });
        }
    }

    /// It is deleted.
    pub(in crate::edges::cluster) fn deleted(&self) {
        self.own(|own| own.gone = true);
    }

    /// The server knows a later version than the one that was told.
    pub(super) fn is_behind(&self) {
        let mut inner = self.cache.lock();
        let (kind, name) = &self.key;
        let kept = inner
            .kinds
            .get(kind)
            .and_then(|kind| kind.objects.get(name));
        let version = kept.map_or(0, |kept| kept.version);
        if let Some(own) = inner.own.get_mut(&self.key) {
            own.behind = Some(version);
        }
    }

    fn own(&self, note: impl FnOnce(&mut Own)) {
        if let Some(own) = self.cache.lock().own.get_mut(&self.key) {
            note(own);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        inner.end(&self.key);
        self.cache.tell(inner);
    }
}
