//! The local comparison: which of the fields we own differ from what they shall be.
//!
//! A server's dry run of an unchanged object costs it as much as creating one, so it is
//! never asked. Fields of other managers are not looked at.

use serde_json::{Map, Value};

use crate::object::Kind;

/// The field by which the server says that somebody has deleted an object, and something keeps
/// it. What is written to it then goes with it.
///
/// Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/>
pub const LEAVING: &str = "metadata.deletionTimestamp";

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Dots between the keys.
    pub field: String,
    /// Absent: it is not there.
    pub live: Option<Value>,
    /// Absent: it shall go.
    pub desired: Option<Value>,
}

/// The fields of `desired` that `live` has otherwise, and the fields that `manager` owns
/// in `live` and that are no longer desired; and [`LEAVING`], which nobody desires.
pub fn differences(desired: &Value, live: &Value, manager: &str) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    wanted(desired, live, "", &mut changes);
    for owned in owned_fields(live, manager) {
        unwanted(owned, desired, live, "", &mut changes);
    }
    if let Some(since) = live.pointer("/metadata/deletionTimestamp") {
        changes.push(FieldChange {
            field: LEAVING.to_owned(),
            live: Some(since.clone()),
            desired: None,
        });
    }
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    changes.dedup_by(|a, b| a.field == b.field);
    changes
}

/// Why the server does not let this field (dots between the keys) of `live` be changed, if it
/// does not: [`LEAVING`], a RoleBinding's `roleRef`, and the data of a ConfigMap that somebody
/// has made immutable. There is no other such field in the kinds.
///
/// Sources: <https://kubernetes.io/docs/reference/access-authn-authz/rbac/> (a binding's role
/// can not be changed), <https://kubernetes.io/docs/concepts/configuration/configmap/>
/// (immutable ConfigMaps).
pub fn immutable(kind: Kind, live: &Value, field: &str) -> Option<&'static str> {
    let is_in = |whole: &str| {
        let rest = field.strip_prefix(whole);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match kind {
        _ if field == LEAVING => Some("somebody deletes it"),
        Kind::RoleBinding if is_in("roleRef") => Some("a binding's role can not be changed"),
        Kind::ConfigMap
            if ["data", "binaryData", "immutable"].into_iter().any(is_in)
                && live.get("immutable") == Some(&Value::Bool(true)) =>
        {
            Some("somebody has made it immutable")
        }
        _ => None,
    }
}

/// Maps are compared key by key; everything else whole, because lists without a declared
/// key are atomic to the API server.
fn wanted(desired: &Value, live: &Value, path: &str, changes: &mut Vec<FieldChange>) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            for (key, value) in desired {
                let path = join(path, key);
                match live.get(key) {
                    Some(there) => wanted(value, there, &path, changes),
                    None => changes.push(FieldChange {
                        field: path,
                        live: None,
                        desired: Some(value.clone()),
                    }),
                }
            }
        }
        (Value::Array(desired), Value::Array(live)) if same_list(desired, live) => {}
        _ if desired == live => {}
        _ => changes.push(FieldChange {
            field: path.to_owned(),
            live: Some(live.clone()),
            desired: Some(desired.clone()),
        }),
    }
}

/// A list that the server completed with defaults is still ours: each item has what we want.
fn same_list(desired: &[Value], live: &[Value]) -> bool {
    desired.len() == live.len()
        && desired.iter().zip(live).all(|(desired, live)| {
            let mut changes = Vec::new();
            wanted(desired, live, "", &mut changes);
            changes.is_empty()
        })
}

/// The `fieldsV1` of every entry of `manager`. Not only of what it applied: before a deletion
/// it suspends by a patch, and if the pipeline comes back, that field must go again.
fn owned_fields<'v>(live: &'v Value, manager: &str) -> Vec<&'v Map<String, Value>> {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager))
        .filter_map(|entry| entry.get("fieldsV1").and_then(Value::as_object))
        .collect()
}

/// Walks `f:key` entries; list items (`k:`, `v:`) belong to the list above them.
fn unwanted(
    owned: &Map<String, Value>,
    desired: &Value,
    live: &Value,
    path: &str,
    changes: &mut Vec<FieldChange>,
) {
    for (entry, below) in owned {
        let Some(key) = entry.strip_prefix("f:") else {
            continue;
        };
        let path = join(path, key);
        match (desired.get(key), live.get(key)) {
            (Some(desired), Some(live)) => {
                if let Some(below) = below.as_object() {
                    unwanted(below, desired, live, &path, changes);
                }
            }
            (None, Some(live)) => changes.push(FieldChange {
                field: path,
                live: Some(live.clone()),
                desired: None,
            }),
            (_, None) => {}
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(desired: Value, live: Value) -> Vec<String> {
        differences(&desired, &live, "pipewright")
            .into_iter()
            .map(|change| change.field)
            .collect()
    }

    #[test]
    fn only_our_fields_count() {
        let desired = json!({"spec": {"a": 1, "list": [{"x": 1}]}});
        let live =
            json!({"spec": {"a": 1, "b": 2, "list": [{"x": 1, "defaulted": true}]}, "status": {}});
        assert_eq!(fields(desired, live), Vec::<String>::new());
    }

    #[test]
    fn changed_missing_and_lists() {
        let desired = json!({"spec": {"a": 1, "b": {"c": 2}, "list": [1, 2]}});
        let live = json!({"spec": {"a": 3, "b": {}, "list": [2, 1]}});
        assert_eq!(fields(desired, live), ["spec.a", "spec.b.c", "spec.list"]);
    }

    #[test]
    fn what_can_not_be_changed_is_known() {
        let (plain, frozen) = (json!({}), json!({"immutable": true}));
        for (kind, live, field, is_immutable) in [
            (Kind::RoleBinding, &plain, "roleRef.name", true),
            (Kind::RoleBinding, &plain, "roleRef", true),
            (Kind::RoleBinding, &plain, "roleReference", false),
            (Kind::RoleBinding, &plain, "subjects", false),
            (Kind::ConfigMap, &frozen, "data.runs", true),
            (Kind::ConfigMap, &frozen, "data", true),
            (Kind::ConfigMap, &frozen, "metadata.labels.a", false),
            (Kind::ConfigMap, &plain, "data.runs", false),
            (
                Kind::ConfigMap,
                &json!({"immutable": false}),
                "data.runs",
                false,
            ),
            (Kind::CronWorkflow, &frozen, "roleRef", false),
            (Kind::CronWorkflow, &plain, LEAVING, true),
        ] {
            let found = immutable(kind, live, field).is_some();
            assert_eq!(found, is_immutable, "{kind:?} {field}");
        }
    }

    #[test]
    fn what_is_being_deleted_differs() {
        let desired = json!({"spec": {"a": 1}});
        let live = json!({
            "spec": {"a": 1}, "metadata": {"deletionTimestamp": "2026-11-23T10:00:02Z"},
        });
        assert_eq!(fields(desired, live), [LEAVING]);
    }

    #[test]
    fn what_we_own_and_no_longer_want_goes() {
        let desired = json!({"spec": {"a": 1}});
        let live = json!({
            "spec": {"a": 1, "suspend": true, "theirs": 1},
            "metadata": {"managedFields": [
                {"manager": "pipewright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}, "f:suspend": {}}}},
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:theirs": {}}}},
            ]},
        });
        assert_eq!(fields(desired, live), ["spec.suspend"]);
    }
}
