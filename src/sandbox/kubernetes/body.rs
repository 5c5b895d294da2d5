//! Small work on the JSON of an object.

use serde_json::{Value, json};

use super::kinds::{Origin, Resource};

/// What makes the generation count on: with no status subresource, status does too.
pub(super) fn differ_in_content(old: &Value, new: &Value) -> bool {
    let content = |object: &Value| {
        let mut content = object.clone();
        if let Some(map) = content.as_object_mut() {
            map.remove("metadata");
        }
        content
    };
    content(old) != content(new)
}

/// Empty maps and lists that the server's own types leave out when they answer.
pub(super) fn normalise(resource: &Resource, object: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let mut drop_empty = |pointer: &str, keys: &[&str]| {
        if let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
            for key in keys {
                if map.get(*key).is_some_and(is_empty) {
                    map.remove(*key);
                }
            }
        }
    };
    let of_metadata = ["labels", "annotations", "finalizers", "ownerReferences"];
    drop_empty("/metadata", &of_metadata);
    if resource.origin == Origin::BuiltIn {
        let of_kinds = [
            "data",
            "binaryData",
            "subjects",
            "secrets",
            "imagePullSecrets",
        ];
        drop_empty("", &of_kinds);
    }
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Some(map) = target.as_object_mut() {
        for (key, value) in patch {
            if value.is_null() {
                map.remove(key);
            } else {
                merge(map.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn set_meta(object: &mut Value, field: &str, value: Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert(field.to_owned(), value);
    }
}

pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}
