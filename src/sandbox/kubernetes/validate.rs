//! What the server checks in an object whose shape is right: names, labels, the rules of its kind.
//!
//! Like the real server it takes a CronWorkflow with a name of 60 characters or with minute 61:
//! Argo's controller refuses those, later, in its own log.

use serde_json::Value;

use super::kinds::{Origin, Resource, Scope};
use super::shape;
use super::status::{Cause, Refusal, Result};

/// Names, labels and the rules of the kind.
///
/// # Errors
/// With every rule that `new` breaks, `old` being what is stored now.
pub(super) fn object(resource: &Resource, new: &Value, old: Option<&Value>) -> Result<()> {
    let name = text(new, "/metadata/name");
    let mut causes = Vec::new();
    name_causes(resource, name, &mut causes);
    metadata_causes(new, old, &mut causes);
    if resource.origin == Origin::Argo {
        let missing = shape::missing(resource.schema, new);
        causes.extend(missing.into_iter().map(|path| Cause::required(path, "")));
    }
    match resource.kind {
        "CronWorkflow" => cron_workflow_causes(new, &mut causes),
        "ConfigMap" => config_map_causes(new, old, &mut causes),
        "Lease" => lease_causes(new, &mut causes),
        "Role" => role_causes(new, &mut causes),
        "RoleBinding" => role_binding_causes(new, old, &mut causes),
        _ => {}
    }
    refuse_if_any(resource, name, &causes)
}

pub(super) fn refuse_if_any(resource: &Resource, name: &str, causes: &[Cause]) -> Result<()> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(
        resource.group,
        resource.kind,
        name,
        causes,
    ))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn name_causes(resource: &Resource, name: &str, causes: &mut Vec<Cause>) {
    let field = "metadata.name";
    if name.is_empty() {
        causes.push(Cause::required(field, "name or generateName is required"));
    } else if resource.group == "rbac.authorization.k8s.io" {
        // Their names are path segments: `system:node` is one.
        if name == "." || name == ".." || name.contains(['/', '%']) {
            let message =
                format!("Invalid value: {name:?}: may not be '.', '..' or contain '/' or '%'");
            causes.push(Cause::invalid(field, message));
        }
    } else {
        let limit = match resource.scope {
            Scope::Cluster => 63,
            Scope::Namespaced => 253,
        };
        if name.len() > limit {
            let message =
                format!("Invalid value: {name:?}: must be no more than {limit} characters");
            causes.push(Cause::invalid(field, message));
        }
        if !is_subdomain(name) {
            causes.push(Cause::invalid(field, format!(
                "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            )));
        }
    }
}

fn metadata_causes(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for (key, value) in entries(new, "/metadata/labels") {
        key_causes("metadata.labels", key, causes);
        if value.len() > 63 {
            let message = format!("Invalid value: {value:?}: must be no more than 63 characters");
            causes.push(Cause::invalid("metadata.labels", message));
        }
        if !value.is_empty() && !is_word(value) {
            causes.push(Cause::invalid("metadata.labels", format!(
                "Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )));
        }
    }
    let mut total = 0;
    for (key, value) in entries(new, "/metadata/annotations") {
        key_causes("metadata.annotations", key, causes);
        total += key.len() + value.len();
    }
    if total > 256 << 10 {
        let message = "Too long: may not be more than 262144 bytes";
        causes.push(Cause::new(
            "FieldValueTooLong",
            "metadata.annotations",
            message,
        ));
    }
    for (index, finalizer) in list(new, "/metadata/finalizers").iter().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        let standard = ["foregroundDeletion", "orphan", "kubernetes"].contains(&finalizer);
        if !standard && !finalizer.contains('/') {
            causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), format!(
                "Invalid value: {finalizer:?}: name is neither a standard finalizer name nor is it fully qualified"
            )));
        }
    }
    let dying = old.is_some_and(|old| old.pointer("/metadata/deletionTimestamp").is_some());
    let before = old.map_or(&[][..], |old| list(old, "/metadata/finalizers"));
    let added = list(new, "/metadata/finalizers").iter();
    let added: Vec<String> = added
        .filter(|one| !before.contains(one))
        .map(Value::to_string)
        .collect();
    if dying && !added.is_empty() {
        let message = format!(
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        causes.push(Cause::new(
            "FieldValueForbidden",
            "metadata.finalizers",
            message,
        ));
    }
}

fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

/// A label or annotation key: an optional DNS prefix, a slash, a word of at most 63 characters.
fn key_causes(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let (prefix, word) = match key.split_once('/') {
        Some((prefix, word)) => (Some(prefix), word),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|prefix| prefix.len() <= 253 && is_subdomain(prefix));
    if !prefix_fits {
        let message = format!(
            "Invalid value: {key:?}: prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        );
        causes.push(Cause::invalid(field, message));
    }
    if word.len() > 63 {
        let message =
            format!("Invalid value: {key:?}: name part must be no more than 63 characters");
        causes.push(Cause::invalid(field, message));
    } else if word.contains('/') {
        let message = format!(
            "Invalid value: {key:?}: a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        );
        causes.push(Cause::invalid(field, message));
    } else if !is_word(&word.to_ascii_lowercase()) {
        let message = format!(
            "Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        );
        causes.push(Cause::invalid(field, message));
    }
}

fn is_word(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    })
}

const SCHEDULE_PATTERN: &str = r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|@every\s+([0-9]+(ns|us|µs|ms|s|m|h))+|([0-9a-zA-Z*,/?-]+\s+){4}[0-9a-zA-Z*,/?-]+)$";

fn cron_workflow_causes(new: &Value, causes: &mut Vec<Cause>) {
    let Some(spec) = new.get("spec") else {
        return;
    };
    match spec.get("schedules").and_then(Value::as_array) {
        None => {}
        Some(schedules) if schedules.is_empty() => causes.push(Cause::invalid(
            "spec.schedules",
            "Invalid value: 0: spec.schedules in body should have at least 1 items",
        )),
        Some(schedules) => {
            for (index, schedule) in schedules.iter().enumerate() {
                let schedule = schedule.as_str().unwrap_or_default();
                if !is_schedule(schedule) {
                    let field = format!("spec.schedules[{index}]");
                    let message = format!(
                        "Invalid value: {schedule:?}: {field} in body should match '{SCHEDULE_PATTERN}'"
                    );
                    causes.push(Cause::invalid(field, message));
                }
            }
        }
    }
    if let Some(policy) = spec.get("concurrencyPolicy").and_then(Value::as_str)
        && !["Allow", "Forbid", "Replace"].contains(&policy)
    {
        causes.push(Cause::new(
            "FieldValueNotSupported",
            "spec.concurrencyPolicy",
            format!(
                "Unsupported value: {policy:?}: supported values: \"Allow\", \"Forbid\", \"Replace\""
            ),
        ));
    }
    for key in [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        let value = spec.get(key).and_then(Value::as_i64).unwrap_or(0);
        if value < 0 {
            let field = format!("spec.{key}");
            let message = format!(
                "Invalid value: {value}: {field} in body should be greater than or equal to 0"
            );
            causes.push(Cause::invalid(field, message));
        }
    }
}

/// Only what the CRD's pattern can tell: 61 is a minute to it, a time zone prefix is not.
fn is_schedule(text: &str) -> bool {
    if let Some(every) = text.strip_prefix("@every") {
        return every.starts_with(char::is_whitespace) && is_duration(every.trim_start());
    }
    if let Some(name) = text.strip_prefix('@') {
        return [
            "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
        ]
        .contains(&name);
    }
    let trimmed = text.trim() == text;
    trimmed
        && text.split_whitespace().count() == 5
        && text
            .split_whitespace()
            .flat_map(str::chars)
            .all(|c| c.is_ascii_alphanumeric() || "*,/?-".contains(c))
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if unit.len() == rest.len() {
            return false;
        }
        let after = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .iter()
            .find_map(|name| unit.strip_prefix(name));
        match after {
            Some(after) => rest = after,
            None => return false,
        }
    }
    !text.is_empty()
}

fn lease_causes(new: &Value, causes: &mut Vec<Cause>) {
    let seconds = new.pointer("/spec/leaseDurationSeconds");
    if let Some(seconds) = seconds.and_then(Value::as_i64).filter(|it| *it <= 0) {
        let message = format!("Invalid value: {seconds}: must be greater than 0");
        causes.push(Cause::invalid("spec.leaseDurationSeconds", message));
    }
}

fn config_map_causes(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    if let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) {
        let message = "Forbidden: field is immutable when `immutable` is set";
        for field in ["immutable", "data", "binaryData"] {
            if old.get(field) != new.get(field) {
                causes.push(Cause::new("FieldValueForbidden", field, message));
            }
        }
    }
    let mut total = 0;
    for (key, value) in entries(new, "/data").chain(entries(new, "/binaryData")) {
        total += value.len();
        let legal = key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if key.is_empty() || key.len() > 253 || !legal {
            causes.push(Cause::invalid(format!("data[{key}]"), format!(
                "Invalid value: {key:?}: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )));
        }
    }
    if total > 1 << 20 {
        let message = "Too long: may not be more than 1048576 bytes";
        causes.push(Cause::new("FieldValueTooLong", "[]", message));
    }
}

fn role_causes(new: &Value, causes: &mut Vec<Cause>) {
    for (index, rule) in list(new, "/rules").iter().enumerate() {
        for (key, why) in [
            ("verbs", "verbs must contain at least one value"),
            (
                "apiGroups",
                "resource rules must supply at least one api group",
            ),
            (
                "resources",
                "resource rules must supply at least one resource",
            ),
        ] {
            if list(rule, &format!("/{key}")).is_empty() {
                causes.push(Cause::required(format!("rules[{index}].{key}"), why));
            }
        }
    }
}

/// A field's text in quotes.
fn field(object: &Value, key: &str) -> Value {
    object.get(key).cloned().unwrap_or_else(|| Value::from(""))
}

fn role_binding_causes(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let role = new.get("roleRef").cloned().unwrap_or_default();
    if let Some(old) = old
        && old.get("roleRef") != Some(&role)
    {
        let message = format!(
            "Invalid value: {{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}: cannot change roleRef",
            field(&role, "apiGroup"),
            field(&role, "kind"),
            field(&role, "name")
        );
        causes.push(Cause::invalid("roleRef", message));
    }
    let kind = text(&role, "/kind");
    if !["Role", "ClusterRole"].contains(&kind) {
        causes.push(Cause::new(
            "FieldValueNotSupported",
            "roleRef.kind",
            format!("Unsupported value: {kind:?}: supported values: \"Role\", \"ClusterRole\""),
        ));
    }
    if text(&role, "/name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (index, subject) in list(new, "/subjects").iter().enumerate() {
        // An account without a namespace is taken, and is nobody.
        if text(subject, "/name").is_empty() {
            causes.push(Cause::required(format!("subjects[{index}].name"), ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_match_the_pattern_only() {
        for good in [
            "0 2 * * *",
            "61 2 * * *",
            "@daily",
            "@every 1h30m",
            "*/5 1,2 ? jan MON-FRI",
        ] {
            assert!(is_schedule(good), "{good}");
        }
        for bad in [
            "0 2 * *",
            "0 0 2 * * *",
            "@often",
            "@every",
            "@every 5",
            "TZ=UTC 0 2 * * *",
            "0 2 * * L#1",
            " 0 2 * * *",
        ] {
            assert!(!is_schedule(bad), "{bad}");
        }
    }
}
