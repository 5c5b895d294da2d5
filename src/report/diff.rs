//! Manifests and differences as YAML.

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::plan::compare::FieldChange;

use super::markdown::fenced;

/// A manifest as a block.
pub(super) fn manifest(manifest: &Value) -> String {
    let shown = unfolded(manifest);
    let block = fenced("yaml", &yaml(&shown));
    if shown == *manifest {
        return block;
    }
    format!("{block}\n\n{UNFOLDED}")
}

/// The fields that differ, before and after, as a block.
pub(super) fn difference(fields: &[FieldChange]) -> String {
    let raw = sides(fields, Clone::clone);
    let (before, after) = sides(fields, unfolded);
    // If both are the same, the difference lies in how a JSON text is written.
    if before == after || (&before, &after) == (&raw.0, &raw.1) {
        return lines(&raw.0, &raw.1);
    }
    format!("{}\n\n{UNFOLDED}", lines(&before, &after))
}

/// Said where a string is shown as what it holds.
const UNFOLDED: &str = "JSON that stands in a string is shown opened up.";

/// Field and value, for each side that has it.
fn sides(fields: &[FieldChange], shown: impl Fn(&Value) -> Value) -> (String, String) {
    let mut before = Map::new();
    let mut after = Map::new();
    for FieldChange {
        field,
        live,
        desired,
    } in fields
    {
        if let Some(live) = live {
            let live = match desired {
                Some(desired) => masked(live, desired),
                None => live.clone(),
            };
            before.insert(field.clone(), shown(&live));
        }
        if let Some(desired) = desired {
            after.insert(field.clone(), shown(desired));
        }
    }
    (yaml(&Value::Object(before)), yaml(&Value::Object(after)))
}

/// What is live, without what is not ours: keys that we never send are no difference, and
/// what a person put among them (a variable with a password) must not reach a comment.
fn masked(live: &Value, desired: &Value) -> Value {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => live
            .iter()
            .filter_map(|(key, value)| {
                let wanted = desired.get(key)?;
                Some((key.clone(), masked(value, wanted)))
            })
            .collect(),
        (Value::Array(live), Value::Array(desired)) => live
            .iter()
            .enumerate()
            .map(|(index, item)| match counterpart(index, item, desired) {
                Some(wanted) => masked(item, wanted),
                None => name_only(item),
            })
            .collect(),
        _ => live.clone(),
    }
}

/// The desired item that a live one stands for: of the same name, else in the same place.
fn counterpart<'v>(index: usize, item: &Value, desired: &'v [Value]) -> Option<&'v Value> {
    match item.get("name") {
        Some(name) => desired.iter().find(|one| one.get("name") == Some(name)),
        None => desired.get(index),
    }
}

fn name_only(item: &Value) -> Value {
    match (item, item.get("name")) {
        (Value::Object(_), Some(name)) => {
            let mut only = Map::new();
            only.insert("name".to_owned(), name.clone());
            Value::Object(only)
        }
        _ => Value::String("(not ours)".to_owned()),
    }
}

/// JSON objects that stand in strings, such as a run's spec, opened up: otherwise one long
/// line would differ.
fn unfolded(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('{') => {
            match serde_json::from_str::<Map<String, Value>>(text) {
                Ok(map) => Value::Object(map),
                Err(_) => value.clone(),
            }
        }
        Value::Array(items) => items.iter().map(unfolded).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), unfolded(value)))
            .collect(),
        _ => value.clone(),
    }
}

fn yaml(value: &Value) -> String {
    if value.as_object().is_some_and(Map::is_empty) {
        return String::new();
    }
    serde_yaml::to_string(value).unwrap_or_else(|_| format!("{value:#}\n"))
}

fn lines(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut out = String::new();
    for (index, hunk) in diff.unified_diff().iter_hunks().enumerate() {
        if index > 0 {
            out.push_str("@@ further down @@\n");
        }
        for change in hunk.iter_changes() {
            out.push_str(match change.tag() {
                ChangeTag::Equal => "  ",
                ChangeTag::Delete => "- ",
                ChangeTag::Insert => "+ ",
            });
            out.push_str(change.value().trim_end_matches('\n'));
            out.push('\n');
        }
    }
    fenced("diff", &out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(field: &str, live: Option<Value>, desired: Option<Value>) -> FieldChange {
        FieldChange {
            field: field.to_owned(),
            live,
            desired,
        }
    }

    #[test]
    fn fields_before_and_after() {
        let shown = difference(&[
            change(
                "spec.schedules",
                Some(json!(["0 3 * * *"])),
                Some(json!(["0 5 * * *"])),
            ),
            change("spec.suspend", Some(json!(true)), None),
        ]);
        assert_eq!(
            shown,
            "```diff\n  spec.schedules:\n- - 0 3 * * *\n- spec.suspend: true\n+ - 0 5 * * *\n```"
        );
    }

    #[test]
    fn a_run_spec_is_opened_up() {
        let env = |tables: &str| json!([{"name": "SPEC", "value": format!("{{\"schema\":\"public\",\"tables\":{tables}}}")}]);
        let shown = difference(&[change(
            "env",
            Some(env("[\"a\"]")),
            Some(env("[\"a\",\"b\"]")),
        )]);
        let block = "```diff\n      schema: public\n      tables:\n      - a\n+     - b\n```";
        assert_eq!(shown, format!("{block}\n\n{UNFOLDED}"));
        let shown = difference(&[change(
            "s",
            Some(json!("{\"a\":1}")),
            Some(json!("{\"a\": 1}")),
        )]);
        assert!(shown.contains("- ") && shown.contains("+ "), "{shown}");
    }

    #[test]
    fn what_somebody_else_put_there_is_not_told() {
        let live = json!([
            {"name": "PASSWORD", "value": "hunter2"},
            {"name": "SPEC", "value": "old", "valueFrom": "hunter2"},
        ]);
        let desired = json!([{"name": "SPEC", "value": "new"}]);
        let shown = difference(&[change("env", Some(live), Some(desired))]);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("PASSWORD") && shown.contains("old"),
            "{shown}"
        );
    }
}
