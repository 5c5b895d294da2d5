//! What is there: everything that a plan needs of the world, read before it is made.

use std::collections::{BTreeMap, BTreeSet};

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
    pub objects: BTreeMap<(Kind, String), serde_json::Value>,
    pub records: BTreeMap<PipelineName, Record>,
    /// Records that can not be read: name of the ConfigMap, and why.
    pub broken_records: BTreeMap<String, String>,
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
