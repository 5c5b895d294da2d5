//! What is there: everything that a plan needs of the world, read before it is made.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::name::{
    ConnectionName, DatasetId, InstanceName, Location, PgName, PipelineName, ProjectId,
};
use crate::object::{Kind, Resource, ServiceAccount};

use super::record::Record;

/// Both planes, as they were a moment ago.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    pub kubernetes: Kubernetes,
    pub google: Google,
}

/// The namespace: our kinds, and the Records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kubernetes {
    /// Live objects by kind and name: those that carry our label, and those we want to write.
    pub objects: BTreeMap<(Kind, String), Live>,
    pub records: BTreeMap<PipelineName, Record>,
    /// Records that can not be read: name of the ConfigMap, and why.
    pub broken_records: BTreeMap<String, String>,
}

/// A live object. Thousands of them stay the bytes that they came as until somebody looks: a
/// tree of values takes ten times the room.
#[derive(Debug, Clone)]
pub enum Live {
    Read(Value),
    /// Its JSON.
    Unread(Arc<[u8]>),
}

impl Live {
    /// What it is; of bytes that are no JSON, which nobody makes, nothing.
    pub fn value(&self) -> Cow<'_, Value> {
        match self {
            Self::Read(value) => Cow::Borrowed(value),
            Self::Unread(bytes) => Cow::Owned(serde_json::from_slice(bytes).unwrap_or_default()),
        }
    }
}

impl From<Value> for Live {
    fn from(value: Value) -> Self {
        Self::Read(value)
    }
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

/// The Google objects that the plan asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Google {
    pub accounts: BTreeMap<ServiceAccount, Seen<()>>,
    pub datasets: BTreeMap<(ProjectId, DatasetId), Seen<LiveDataset>>,
    /// Unconditional role and member, as the policy writes them, by resource.
    pub policies: BTreeMap<Resource, Seen<BTreeSet<(String, String)>>>,
    pub connections: BTreeMap<ConnectionName, Seen<LiveConnection>>,
}

/// The answer to a question about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    Found(T),
    Missing,
    /// It may exist; the reason is for a person.
    Unreadable(String),
}

impl<T> Seen<T> {
    /// The same answer about something that follows from the thing.
    pub fn map<U>(self, follows: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Found(found) => Seen::Found(follows(found)),
            Self::Missing => Seen::Missing,
            Self::Unreadable(why) => Seen::Unreadable(why),
        }
    }

    /// The same, where what follows may not be readable.
    pub fn and_then<U>(self, follows: impl FnOnce(T) -> Result<U, String>) -> Seen<U> {
        match self {
            Self::Found(found) => follows(found).map_or_else(Seen::Unreadable, Seen::Found),
            Self::Missing => Seen::Missing,
            Self::Unreadable(why) => Seen::Unreadable(why),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDataset {
    pub location: Location,
}

/// A connection as BigQuery holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConnection {
    pub instance: InstanceName,
    pub database: PgName,
}

/// What to read at Google: asked for by key, never listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    pub accounts: BTreeSet<ServiceAccount>,
    pub datasets: BTreeSet<(ProjectId, DatasetId)>,
    pub policies: BTreeSet<Resource>,
    pub connections: BTreeSet<ConnectionName>,
}
