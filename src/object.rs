//! Objects: what is rendered for a plane, and the keys that tell them apart.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::name::{ConnectionName, DatasetId, Location, ProjectId, Reader};

/// What tells one object from every other, in both planes.
/// The order is the order in which objects are applied; they are pruned in reverse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKey {
    ServiceAccount(ServiceAccount),
    Dataset {
        project: ProjectId,
        dataset: DatasetId,
    },
    Grant(Grant),
    Kubernetes {
        kind: Kind,
        name: String,
    },
}

/// The kinds of Kubernetes objects that are rendered. Closed: nothing else is ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    ServiceAccount,
    Role,
    RoleBinding,
    ConfigMap,
    CronWorkflow,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ConfigMap,
        Self::CronWorkflow,
    ];

    pub fn api_version(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::ConfigMap => "v1",
            Self::Role | Self::RoleBinding => "rbac.authorization.k8s.io/v1",
            Self::CronWorkflow => "argoproj.io/v1alpha1",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::ConfigMap => "ConfigMap",
            Self::CronWorkflow => "CronWorkflow",
        }
    }

    /// The name in a request's path.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccounts",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
            Self::ConfigMap => "configmaps",
            Self::CronWorkflow => "cronworkflows",
        }
    }
}

/// A Google service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceAccount {
    pub project: ProjectId,
    /// The part of the e-mail address before the `@`.
    pub account: String,
}

impl ServiceAccount {
    pub fn email(&self) -> String {
        // A domain-scoped project `example.com:thing` turns around in addresses.
        match self.project.as_str().split_once(':') {
            Some((domain, id)) => format!("{}@{id}.{domain}.iam.gserviceaccount.com", self.account),
            None => format!("{}@{}.iam.gserviceaccount.com", self.account, self.project),
        }
    }
}

/// The unit of IAM: one role on one resource for one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub resource: Resource,
    pub role: Role,
    pub member: Member,
}

/// What a policy hangs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    ServiceAccount(ServiceAccount),
    Project(ProjectId),
    Connection(ConnectionName),
    Dataset {
        project: ProjectId,
        dataset: DatasetId,
    },
}

/// The roles that are ever granted. Closed: a role outside of it can not be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    #[serde(rename = "roles/iam.workloadIdentityUser")]
    WorkloadIdentityUser,
    #[serde(rename = "roles/bigquery.jobUser")]
    JobUser,
    #[serde(rename = "roles/bigquery.connectionUser")]
    ConnectionUser,
    /// A dataset's `WRITER`, which is `roles/bigquery.dataEditor` on it.
    #[serde(rename = "WRITER")]
    Writer,
    /// A dataset's `READER`, which is `roles/bigquery.dataViewer` on it.
    #[serde(rename = "READER")]
    Reader,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkloadIdentityUser => "roles/iam.workloadIdentityUser",
            Self::JobUser => "roles/bigquery.jobUser",
            Self::ConnectionUser => "roles/bigquery.connectionUser",
            Self::Writer => "WRITER",
            Self::Reader => "READER",
        }
    }

    /// What the role lets its member do, for a table that people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::WorkloadIdentityUser => "acts as",
            Self::JobUser => "runs jobs in",
            Self::ConnectionUser => "reads through",
            Self::Writer => "writes",
            Self::Reader => "reads",
        }
    }
}

/// Who is granted a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    ServiceAccount(ServiceAccount),
    /// A Kubernetes service account, through the cluster's workload pool.
    Workload {
        pool: String,
        namespace: String,
        account: String,
    },
    Reader(Reader),
}

impl Member {
    /// As an IAM policy writes it.
    pub fn iam(&self) -> String {
        match self {
            Self::ServiceAccount(account) => format!("serviceAccount:{}", account.email()),
            Self::Workload {
                pool,
                namespace,
                account,
            } => {
                format!("serviceAccount:{pool}[{namespace}/{account}]")
            }
            Self::Reader(reader) => reader.to_string(),
        }
    }
}

/// What an object shall be. Only fields that we own: nobody else's are touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// A whole manifest, namespace included.
    Kubernetes(Manifest),
    ServiceAccount {
        display_name: String,
    },
    Grant,
    Dataset {
        location: Location,
    },
}

/// A Kubernetes object as it shall be: JSON, keys sorted. It is text, because plans hold
/// thousands of them and hand them on as they are: a tree of values takes ten times the room,
/// and time to copy and to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest(Arc<str>);

impl Manifest {
    /// What it says.
    pub fn value(&self) -> Value {
        // It was made of one.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Value> for Manifest {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount(account) => write!(f, "service account {}", account.email()),
            Self::Project(project) => write!(f, "project {project}"),
            Self::Connection(connection) => write!(
                f,
                "connection {}.{}.{}",
                connection.project, connection.location, connection.id
            ),
            Self::Dataset { project, dataset } => write!(f, "dataset {project}.{dataset}"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount(account) => f.write_str(&account.email()),
            Self::Workload {
                namespace, account, ..
            } => write!(f, "{namespace}/{account}"),
            Self::Reader(reader) => write!(f, "{reader}"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} for {} on {}",
            self.role.as_str(),
            self.member,
            self.resource
        )
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount(account) => write!(f, "service account {}", account.email()),
            Self::Dataset { project, dataset } => write!(f, "dataset {project}.{dataset}"),
            Self::Grant(grant) => write!(f, "{grant}"),
            Self::Kubernetes { kind, name } => write!(f, "{} {name}", kind.as_str()),
        }
    }
}
