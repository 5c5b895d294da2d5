//! The objects, their history, and the one counter that orders both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::Resource;
use crate::clock::Clock;

/// 2026-01-01T00:00:00Z: without a clock, or with one that shows less, time is this plus one
/// second for every write, so that two runs of one story do not differ.
const EPOCH: i64 = 1_767_225_600;

/// Where an object is; lists come in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: &'static str,
    /// Empty for what lives in no namespace.
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        Self {
            kind: resource.kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One write: an object before and after it.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Arc<Value>>,
    pub(super) after: Option<Arc<Value>>,
}

/// Everything that the server remembers.
#[derive(Debug)]
pub(super) struct Store {
    clock: Option<Clock>,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Event>,
    /// History is whole after this version.
    floor: u64,
    version: u64,
    changed: watch::Sender<u64>,
}

impl Store {
    pub(super) fn new(clock: Option<Clock>) -> Self {
        Self {
            clock,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            floor: 1,
            version: 1,
            changed: watch::Sender::new(1),
        }
    }

    /// The version of the last write.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The oldest version from which a watch can still start.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Tells of every write from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The time that the next write will carry.
    pub(super) fn now(&self) -> String {
        let second = i64::try_from(self.version).unwrap_or(i64::MAX);
        let counted = EPOCH.saturating_add(second);
        let shown = self.clock.as_ref().map(|clock| clock.now().as_second());
        Timestamp::from_second(shown.unwrap_or(counted).max(counted))
            .unwrap_or(Timestamp::MAX)
            .to_string()
    }

    /// A uid that no object had before, if the next write uses it.
    pub(super) fn next_uid(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.version + 1)
    }

    /// The five characters that follow a generateName.
    pub(super) fn next_suffix(&self) -> String {
        const ALPHABET: [char; 27] = [
            'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v',
            'w', 'x', 'z', '2', '4', '5', '6', '7', '8', '9',
        ];
        let mut rest = usize::try_from(self.version).unwrap_or_default();
        let mut suffix = String::new();
        for _ in 0..5 {
            suffix.extend(ALPHABET.get(rest % ALPHABET.len()));
            rest /= ALPHABET.len();
        }
        suffix
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.values()
    }

    /// The objects of a kind as they were at `version`, in one namespace or (empty) in all.
    /// None if the history does not reach back that far.
    pub(super) fn list_at(
        &self,
        version: u64,
        resource: &Resource,
        namespace: &str,
    ) -> Option<Vec<Arc<Value>>> {
        if version < self.floor {
            return None;
        }
        let wanted = |key: &Key| {
            key.kind == resource.kind && (namespace.is_empty() || key.namespace == namespace)
        };
        let mut found: BTreeMap<_, _> =
            self.objects.iter().filter(|(key, _)| wanted(key)).collect();
        for event in self.history.iter().rev() {
            if event.version <= version {
                break;
            }
            if wanted(&event.key) {
                match &event.before {
                    Some(object) => found.insert(&event.key, object),
                    None => found.remove(&event.key),
                };
            }
        }
        Some(found.into_values().cloned().collect())
    }

    /// The writes after `version`, oldest first.
    pub(super) fn events_after(&self, version: u64) -> impl Iterator<Item = &Event> {
        let start = self
            .history
            .partition_point(|event| event.version <= version);
        self.history.range(start..)
    }

    /// Stores an object under a new resourceVersion, then collects what it left without owner.
    pub(super) fn put(&mut self, key: Key, object: Value) -> Arc<Value> {
        let owned = has_owners(&object);
        let object = self.record(key, object);
        if owned {
            self.collect_garbage();
        }
        object
    }

    /// Deletes an object and everything that only it owned. Its last state has a new version.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let last = self.objects.get(key)?;
        let last = self.record_removal(key, Value::clone(last));
        if key.kind == "Namespace" {
            let inside: Vec<_> = self
                .objects
                .keys()
                .filter(|inner| inner.namespace == key.name)
                .cloned()
                .collect();
            for inner in inside {
                if let Some(object) = self.objects.get(&inner) {
                    let object = Value::clone(object);
                    self.record_removal(&inner, object);
                }
            }
        }
        self.collect_garbage();
        Some(last)
    }

    /// Forgets the history: every watch there is or that starts from an older version gets 410.
    pub(super) fn expire_history(&mut self) {
        self.version += 1;
        self.floor = self.version;
        self.history.clear();
        self.changed.send_replace(self.version);
    }

    fn record(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        set_version(&mut object, self.version);
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        self.history.push_back(Event {
            version: self.version,
            key,
            before,
            after: Some(Arc::clone(&object)),
        });
        self.changed.send_replace(self.version);
        object
    }

    fn record_removal(&mut self, key: &Key, mut last: Value) -> Arc<Value> {
        self.version += 1;
        set_version(&mut last, self.version);
        self.objects.remove(key);
        let last = Arc::new(last);
        self.history.push_back(Event {
            version: self.version,
            key: key.clone(),
            before: Some(Arc::clone(&last)),
            after: None,
        });
        self.changed.send_replace(self.version);
        last
    }

    /// Removes whatever has owners of which none is left, until nothing changes.
    /// As the real collector does, it takes an owner in another namespace for absent.
    fn collect_garbage(&mut self) {
        loop {
            let uids: BTreeMap<_, _> = self
                .objects
                .iter()
                .filter_map(|(key, object)| Some((uid(object)?, key.namespace.as_str())))
                .collect();
            let orphans: Vec<_> = self
                .objects
                .iter()
                .filter(|(key, object)| {
                    let lives = |owner: &Value| {
                        owner
                            .get("uid")
                            .and_then(Value::as_str)
                            .and_then(|uid| uids.get(uid))
                            .is_some_and(|at| at.is_empty() || *at == key.namespace)
                    };
                    has_owners(object) && !owners(object).iter().any(lives)
                })
                .map(|(key, object)| (key.clone(), Arc::clone(object)))
                .collect();
            let mut progress = false;
            for (key, object) in orphans {
                progress |= self.delete_orphan(&key, &object);
            }
            if !progress {
                return;
            }
        }
    }

    /// An orphan with finalizers only gets its deletionTimestamp, once.
    fn delete_orphan(&mut self, key: &Key, object: &Value) -> bool {
        if !has_finalizers(object) {
            self.record_removal(key, object.clone());
            return true;
        }
        if object.pointer("/metadata/deletionTimestamp").is_none() {
            let mut object = object.clone();
            mark_deleted(&mut object, &self.now());
            self.record(key.clone(), object);
        }
        false
    }
}

/// Marks an object that its finalizers keep.
pub(super) fn mark_deleted(object: &mut Value, now: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.insert("deletionTimestamp".to_owned(), json!(now));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".to_owned(), json!(generation + 1));
    }
}

pub(super) fn has_finalizers(object: &Value) -> bool {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|finalizers| !finalizers.is_empty())
}

pub(super) fn owners(object: &Value) -> &[Value] {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

fn has_owners(object: &Value) -> bool {
    !owners(object).is_empty()
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
}
