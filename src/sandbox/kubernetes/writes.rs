//! The writes: create, replace, patch, apply, delete.
//!
//! Each one builds the object that would be, has it checked, and only then stores it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::apply::{self, Author, Conflicts};
use super::body::{differ_in_content, drop_nulls, merge, meta, normalise, set, set_meta};
use super::kinds::{self, Farewell, Origin, Resource};
use super::status::{self, Cause, Refusal, Result};
use super::store::{self, Key, Store};
use super::{shape, validate};

/// Whether a write is for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Persist,
    DryRun,
}

/// What happens to fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Prune,
    Refuse,
}

/// What all writes have in common.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) resource: &'static Resource,
    pub(super) namespace: &'a str,
    pub(super) manager: &'a str,
    pub(super) effect: Effect,
    pub(super) unknown: Unknown,
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum Outcome {
    Created(Arc<Value>),
    /// Or left as it was.
    Updated(Arc<Value>),
}

impl Context<'_> {
    pub(super) fn create(&self, store: &mut Store, mut body: Value) -> Result<Outcome> {
        self.check_identity(&mut body, None)?;
        let name = match meta(&body, "name") {
            "" => match meta(&body, "generateName") {
                "" => String::new(),
                prefix => {
                    let prefix: String = prefix.chars().take(58).collect();
                    format!("{prefix}{}", store.next_suffix())
                }
            },
            name => name.to_owned(),
        };
        if !meta(&body, "resourceVersion").is_empty() {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::new(500, "", message));
        }
        set_meta(&mut body, "name", json!(name));
        self.decode(&name, &mut body)?;
        self.check_namespace(store, &name)?;
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        self.birth(store, &mut body);
        normalise(self.resource, &mut body);
        let now = store.now();
        apply::update(&json!({}), &mut body, self.author(&now));
        validate::object(self.resource, &body, None)?;
        let key = self.key(&name);
        if store.get(&key).is_some() {
            return Err(Refusal::already_exists(self.resource, &name));
        }
        Ok(Outcome::Created(self.store(store, key, body)))
    }

    pub(super) fn replace(
        &self,
        store: &mut Store,
        name: &str,
        mut body: Value,
    ) -> Result<Outcome> {
        self.check_identity(&mut body, Some(name))?;
        self.decode(name, &mut body)?;
        let live = self.live(store, name)?;
        if self.resource.origin == Origin::Argo && meta(&body, "resourceVersion").is_empty() {
            let message = "Invalid value: 0: must be specified for an update";
            let cause = Cause::invalid("metadata.resourceVersion", message);
            return Err(Refusal::unconditional(self.resource, name, &cause));
        }
        self.update(store, name, &live, body)
    }

    /// Also stands in for a strategic merge, which differs only in lists.
    pub(super) fn merge_patch(
        &self,
        store: &mut Store,
        name: &str,
        patch: &Value,
    ) -> Result<Outcome> {
        let live = self.live(store, name)?;
        let mut body = Value::clone(&live);
        // The patch is unconditional unless it names a version itself.
        set_meta(&mut body, "resourceVersion", json!(""));
        merge(&mut body, patch);
        self.check_identity(&mut body, Some(name))?;
        let flaws = shape::flaws(self.resource.schema, &body);
        if self.unknown == Unknown::Refuse
            && let Some(error) = shape::strict_error(&flaws)
        {
            let message = format!("Invalid value: {:?}: {error}", body.to_string());
            return Err(Refusal::invalid(
                "",
                "",
                "",
                &[Cause::invalid("patch", message)],
            ));
        }
        self.decode(name, &mut body)?;
        self.update(store, name, &live, body)
    }

    pub(super) fn apply(
        &self,
        store: &mut Store,
        name: &str,
        mut config: Value,
        conflicts: Conflicts,
    ) -> Result<Outcome> {
        let missing = ["apiVersion", "kind"]
            .into_iter()
            .find(|key| config.get(key).is_none());
        if let Some(key) = missing {
            let message = format!("invalid object: {key} is missing");
            return Err(Refusal::bad_request(message));
        }
        // Its message names the namespace only if the body does.
        let namespace = meta(&config, "namespace").to_owned();
        self.check_identity(&mut config, Some(name))?;
        if config.pointer("/metadata/managedFields").is_some() {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        drop_nulls(&mut config);
        shape::applied_shape(self.resource, &namespace, name, &config)?;
        let key = self.key(name);
        let live = store.get(&key);
        if let Some(live) = &live {
            let uid = meta(&config, "uid");
            if !uid.is_empty() && store::uid(live) != Some(uid) {
                let message = format!("Invalid value: {uid:?}: field is immutable");
                validate::refuse_if_any(
                    self.resource,
                    name,
                    &[Cause::invalid("metadata.uid", message)],
                )?;
            }
            self.check_preconditions(name, live, &config)?;
        } else {
            self.check_namespace(store, name)?;
            for field in ["uid", "resourceVersion"] {
                if !meta(&config, field).is_empty() {
                    return Err(Refusal::stale(self.resource, name));
                }
            }
        }
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove(field);
            }
        }
        let now = store.now();
        let absent = json!({});
        let base = live.as_deref().unwrap_or(&absent);
        let mut new = apply::apply(base, &config, self.author(&now), conflicts)?;
        let Some(live) = live else {
            self.birth(store, &mut new);
            normalise(self.resource, &mut new);
            validate::object(self.resource, &new, None)?;
            return Ok(Outcome::Created(self.store(store, key, new)));
        };
        normalise(self.resource, &mut new);
        self.finish(store, key, &live, new)
    }

    /// Answers with the body of the reply.
    pub(super) fn delete(&self, store: &mut Store, name: &str, options: &Value) -> Result<Value> {
        let live = self.live(store, name)?;
        let precondition = |field| {
            options
                .pointer(&format!("/preconditions/{field}"))
                .and_then(Value::as_str)
        };
        if let Some(uid) = precondition("uid")
            && store::uid(&live) != Some(uid)
        {
            let found = store::uid(&live).unwrap_or_default();
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
            );
            return Err(Refusal::precondition(self.resource, name, &why));
        }
        if let Some(version) = precondition("resourceVersion")
            && meta(&live, "resourceVersion") != version
        {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
                meta(&live, "resourceVersion")
            );
            return Err(Refusal::precondition(self.resource, name, &why));
        }
        let uid = store::uid(&live).unwrap_or_default().to_owned();
        let reply = match self.resource.farewell {
            Farewell::Status => status::deleted(self.resource, name, &uid),
            Farewell::Object => Value::clone(&live),
        };
        let key = self.key(name);
        if store::has_finalizers(&live) {
            if live.pointer("/metadata/deletionTimestamp").is_some() {
                return Ok(Value::clone(&live));
            }
            let mut marked = Value::clone(&live);
            store::mark_deleted(&mut marked, &store.now());
            if self.resource.kind == "Namespace" {
                set(&mut marked, "status", json!({"phase": "Terminating"}));
            }
            return Ok(Value::clone(&self.store(store, key, marked)));
        }
        if self.effect == Effect::Persist {
            if options.get("propagationPolicy").and_then(Value::as_str) == Some("Orphan") {
                orphan_dependants(store, &uid);
            }
            store.remove(&key);
        }
        Ok(reply)
    }

    fn update(
        &self,
        store: &mut Store,
        name: &str,
        live: &Value,
        mut new: Value,
    ) -> Result<Outcome> {
        self.check_preconditions(name, live, &new)?;
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ] {
            match live.pointer(&format!("/metadata/{field}")) {
                Some(value) => set_meta(&mut new, field, value.clone()),
                None => {
                    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
                        metadata.remove(field);
                    }
                }
            }
        }
        normalise(self.resource, &mut new);
        let now = store.now();
        apply::update(live, &mut new, self.author(&now));
        self.finish(store, self.key(name), live, new)
    }

    fn finish(&self, store: &mut Store, key: Key, live: &Value, mut new: Value) -> Result<Outcome> {
        validate::object(self.resource, &new, Some(live))?;
        if &new == live {
            return Ok(Outcome::Updated(Arc::new(new)));
        }
        let generation = live.pointer("/metadata/generation").and_then(Value::as_i64);
        if let Some(generation) = generation
            && differ_in_content(live, &new)
        {
            set_meta(&mut new, "generation", json!(generation + 1));
        }
        let dying = new.pointer("/metadata/deletionTimestamp").is_some();
        if dying && !store::has_finalizers(&new) {
            if self.effect == Effect::Persist {
                store.remove(&key);
            }
            return Ok(Outcome::Updated(Arc::new(new)));
        }
        Ok(Outcome::Updated(self.store(store, key, new)))
    }

    fn store(&self, store: &mut Store, key: Key, object: Value) -> Arc<Value> {
        match self.effect {
            Effect::Persist => store.put(key, object),
            Effect::DryRun => Arc::new(object),
        }
    }

    fn author<'a>(&'a self, now: &'a str) -> Author<'a> {
        Author {
            manager: self.manager,
            now,
        }
    }

    fn key(&self, name: &str) -> Key {
        Key::new(self.resource, self.namespace, name)
    }

    fn live(&self, store: &Store, name: &str) -> Result<Arc<Value>> {
        store
            .get(&self.key(name))
            .ok_or_else(|| Refusal::not_found(self.resource, name))
    }

    fn birth(&self, store: &Store, object: &mut Value) {
        set_meta(object, "uid", json!(store.next_uid()));
        set_meta(object, "creationTimestamp", json!(store.now()));
        if self.resource.origin == Origin::Argo {
            set_meta(object, "generation", json!(1));
        }
        if self.resource.kind == "Namespace" && object.get("status").is_none() {
            set(object, "status", json!({"phase": "Active"}));
        }
    }
}

fn orphan_dependants(store: &mut Store, uid: &str) {
    let is_owner = |owner: &Value| owner.get("uid").and_then(Value::as_str) == Some(uid);
    let dependants: Vec<_> = store
        .all()
        .filter(|object| store::owners(object).iter().any(is_owner))
        .map(|object| Value::clone(object))
        .collect();
    for mut object in dependants {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
        let Some(resource) = kinds::by_kind(kind) else {
            continue;
        };
        let key = Key::new(resource, meta(&object, "namespace"), meta(&object, "name"));
        if let Some(owners) = object
            .pointer_mut("/metadata/ownerReferences")
            .and_then(Value::as_array_mut)
        {
            owners.retain(|owner| !is_owner(owner));
        }
        normalise(resource, &mut object);
        store.put(key, object);
    }
}
