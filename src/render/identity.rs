//! What the pipelines of one Cloud SQL instance share: the identity they run as.
//!
//! One pair for each instance: a Google service account, and the Kubernetes service account
//! that may act as it. Neither ever reaches another instance's connection.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::name::InstanceName;
use crate::object::{Grant, Kind, Member, Object, ObjectKey, Resource, Role, ServiceAccount};
use crate::policy::Defaults;

use super::House;
use super::labels::manifest;

/// The Role that Argo's executor needs in each pod: it reports a run's outputs.
const TASK_RESULTS_ROLE: &str = "pipewright-taskresults";

/// The pair that belongs to an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub instance: InstanceName,
    pub google: ServiceAccount,
    /// Name of the Kubernetes service account.
    pub kubernetes: String,
}

impl Identity {
    pub fn of(instance: &InstanceName, house: &House) -> Self {
        let account = super::account_of(instance);
        Self {
            instance: instance.clone(),
            google: ServiceAccount {
                project: house.identity_project.clone(),
                account: account.clone(),
            },
            kubernetes: account,
        }
    }

    /// The ConfigMap that says how many runs an instance bears, and its key.
    pub(super) fn semaphore(&self) -> (String, &'static str) {
        (format!("{}-semaphore", self.kubernetes), "runs")
    }

    pub(super) fn objects(
        &self,
        defaults: &Defaults,
        house: &House,
    ) -> BTreeMap<ObjectKey, Object> {
        let (semaphore, key) = self.semaphore();
        let instance = || BTreeMap::from([("pipewright.dev/instance", self.instance.to_string())]);
        let email = self.google.email();

        let mut account_notes = instance();
        account_notes.insert("iam.gke.io/gcp-service-account", email);
        let account = self.manifest(Kind::ServiceAccount, &self.kubernetes, account_notes, house);

        let mut role = self.manifest(Kind::Role, TASK_RESULTS_ROLE, BTreeMap::new(), house);
        put(
            &mut role,
            "rules",
            json!([{
                "apiGroups": ["argoproj.io"],
                "resources": ["workflowtaskresults"],
                "verbs": ["create", "patch"],
            }]),
        );

        let mut binding = self.manifest(Kind::RoleBinding, &self.kubernetes, instance(), house);
        put(
            &mut binding,
            "roleRef",
            json!({
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": TASK_RESULTS_ROLE,
            }),
        );
        put(
            &mut binding,
            "subjects",
            json!([{
                "kind": "ServiceAccount", "name": self.kubernetes, "namespace": house.namespace,
            }]),
        );

        let mut limits = self.manifest(Kind::ConfigMap, &semaphore, instance(), house);
        put(
            &mut limits,
            "data",
            json!({ key: defaults.runs_per_instance.to_string() }),
        );

        let kubernetes = [
            (Kind::ServiceAccount, self.kubernetes.clone(), account),
            (Kind::Role, TASK_RESULTS_ROLE.to_owned(), role),
            (Kind::RoleBinding, self.kubernetes.clone(), binding),
            (Kind::ConfigMap, semaphore, limits),
        ];
        kubernetes
            .into_iter()
            .map(|(kind, name, manifest)| {
                (
                    ObjectKey::Kubernetes { kind, name },
                    Object::Kubernetes(manifest.into()),
                )
            })
            .chain([
                (
                    ObjectKey::ServiceAccount(self.google.clone()),
                    Object::ServiceAccount {
                        display_name: display_name(&self.instance),
                    },
                ),
                (ObjectKey::Grant(self.workload_grant(house)), Object::Grant),
            ])
            .collect()
    }

    fn manifest(
        &self,
        kind: Kind,
        name: &str,
        annotations: BTreeMap<&str, String>,
        house: &House,
    ) -> Value {
        manifest(kind, &house.namespace, name, BTreeMap::new(), annotations)
    }

    fn workload_grant(&self, house: &House) -> Grant {
        Grant {
            resource: Resource::ServiceAccount(self.google.clone()),
            role: Role::WorkloadIdentityUser,
            member: Member::Workload {
                pool: house.workload_pool.clone(),
                namespace: house.namespace.clone(),
                account: self.kubernetes.clone(),
            },
        }
    }
}

/// IAM allows 100 bytes.
fn display_name(instance: &InstanceName) -> String {
    format!("pipewright {instance}").chars().take(100).collect()
}

fn put(manifest: &mut Value, key: &str, value: Value) {
    if let Some(manifest) = manifest.as_object_mut() {
        manifest.insert(key.to_owned(), value);
    }
}
