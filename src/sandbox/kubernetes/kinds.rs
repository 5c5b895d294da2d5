//! The kinds that are served, and how each differs from the others.

use super::schema::{self, Schema};
use super::schema_argo;

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Namespaced,
    Cluster,
}

/// Where a kind comes from: the real server treats the two quite differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    BuiltIn,
    /// A custom resource: has a generation, no strategic merge, no unconditional PUT.
    Argo,
}

/// What DELETE answers once the object is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    Status,
    Object,
}

/// One kind.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) scope: Scope,
    pub(super) origin: Origin,
    pub(super) farewell: Farewell,
    pub(super) schema: &'static Schema,
}

impl Resource {
    pub(super) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `Role.rbac.authorization.k8s.io`.
    pub(super) fn qualified_kind(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// `roles.rbac.authorization.k8s.io`, the way messages name a kind.
    pub(super) fn qualified_plural(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

const fn core(kind: &'static str, plural: &'static str, schema: &'static Schema) -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind,
        plural,
        scope: Scope::Namespaced,
        origin: Origin::BuiltIn,
        farewell: Farewell::Status,
        schema,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// Every kind, with the group-versions in the order of discovery.
pub(super) static RESOURCES: [Resource; 9] = [
    core("ConfigMap", "configmaps", &schema::CONFIG_MAP),
    Resource {
        scope: Scope::Cluster,
        farewell: Farewell::Object,
        ..core("Namespace", "namespaces", &schema::NAMESPACE)
    },
    Resource {
        farewell: Farewell::Object,
        ..core("Pod", "pods", &schema::POD)
    },
    Resource {
        farewell: Farewell::Object,
        ..core(
            "ServiceAccount",
            "serviceaccounts",
            &schema::SERVICE_ACCOUNT,
        )
    },
    Resource {
        group: "coordination.k8s.io",
        ..core("Lease", "leases", &schema::LEASE)
    },
    Resource {
        group: RBAC,
        ..core("Role", "roles", &schema::ROLE)
    },
    Resource {
        group: RBAC,
        ..core("RoleBinding", "rolebindings", &schema::ROLE_BINDING)
    },
    argo("CronWorkflow", "cronworkflows", &schema_argo::CRON_WORKFLOW),
    argo("Workflow", "workflows", &schema_argo::WORKFLOW),
];

const fn argo(kind: &'static str, plural: &'static str, schema: &'static Schema) -> Resource {
    Resource {
        group: "argoproj.io",
        version: "v1alpha1",
        origin: Origin::Argo,
        ..core(kind, plural, schema)
    }
}

/// The kind of that name; no two groups here share one.
pub(super) fn by_kind(kind: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.kind == kind)
}

/// The kind behind a path.
pub(super) fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| {
        resource.group == group && resource.version == version && resource.plural == plural
    })
}
