//! What a write must get past before its object is even looked at: identity, decoding,
//! a namespace that is alive, and the preconditions that it names itself.

use serde_json::{Value, json};

use super::body::{drop_nulls, meta, set_meta};
use super::kinds::{self, Scope};
use super::shape;
use super::status::{Cause, Refusal, Result};
use super::store::{self, Key, Store};
use super::writes::{Context, Unknown};

impl Context<'_> {
    /// Fills in what the path says, and refuses a body that says otherwise.
    pub(super) fn check_identity(&self, body: &mut Value, name: Option<&str>) -> Result<()> {
        let (kind, version) = (self.resource.kind, self.resource.api_version());
        let Some(map) = body.as_object_mut() else {
            return Err(Refusal::bad_request("the body is not an object"));
        };
        for (key, expected) in [("apiVersion", version.as_str()), ("kind", kind)] {
            let found = map.entry(key).or_insert_with(|| json!(expected));
            if found != expected {
                return Err(Refusal::bad_request(format!(
                    "the object provided is unrecognized (must be of type {kind}): {key} is {found}, not {expected:?}"
                )));
            }
        }
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if !metadata.is_object() {
            return Err(Refusal::bad_request("metadata is not an object"));
        }
        if let Some(name) = name {
            match meta(body, "name") {
                "" => set_meta(body, "name", json!(name)),
                found if found != name => {
                    return Err(Refusal::bad_request(format!(
                        "the name of the object ({found}) does not match the name on the URL ({name})"
                    )));
                }
                _ => {}
            }
        }
        match (self.resource.scope, meta(body, "namespace")) {
            (Scope::Namespaced, "") => set_meta(body, "namespace", json!(self.namespace)),
            (_, found) if found != self.namespace => {
                return Err(Refusal::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn decode(&self, name: &str, body: &mut Value) -> Result<()> {
        let flaws = shape::flaws(self.resource.schema, body);
        if self.unknown == Unknown::Refuse
            && let Some(error) = shape::strict_error(&flaws)
        {
            let (kind, version) = (self.resource.kind, self.resource.version);
            return Err(Refusal::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"
            )));
        }
        shape::types(self.resource, name, &flaws)?;
        shape::prune(self.resource.schema, body);
        drop_nulls(body);
        Ok(())
    }

    pub(super) fn check_namespace(&self, store: &Store, name: &str) -> Result<()> {
        if self.resource.scope == Scope::Cluster {
            return Ok(());
        }
        let namespace = self.namespace;
        let Some(namespaces) = kinds::by_kind("Namespace") else {
            return Ok(());
        };
        let Some(found) = store.get(&Key::new(namespaces, "", namespace)) else {
            return Err(Refusal::not_found(namespaces, namespace));
        };
        if found.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(());
        }
        let cause = Cause::new(
            "NamespaceTerminating",
            "metadata.namespace",
            format!("namespace {namespace} is being terminated"),
        );
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        Err(Refusal::forbidden(self.resource, name, &why, cause))
    }

    pub(super) fn check_preconditions(&self, name: &str, live: &Value, body: &Value) -> Result<()> {
        let uid = meta(body, "uid");
        if !uid.is_empty() && store::uid(live) != Some(uid) {
            return Err(self.other_uid(name, uid, live));
        }
        let version = meta(body, "resourceVersion");
        if !version.is_empty() && version != meta(live, "resourceVersion") {
            return Err(Refusal::stale(self.resource, name));
        }
        Ok(())
    }

    fn other_uid(&self, name: &str, uid: &str, live: &Value) -> Refusal {
        let found = store::uid(live).unwrap_or_default();
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {found}",
            self.resource.plural, self.namespace
        );
        Refusal::conflict(self.resource, name, &why)
    }
}
