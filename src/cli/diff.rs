//! What differs between two manifests, as lines of YAML.

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

/// Lines of YAML around each difference.
const AROUND: usize = 2;

/// The lines that differ, each with `+`, `-` or a space before it, and what stands around
/// them. A string that holds a JSON object is opened up: a run's spec would be one long line.
pub(super) fn lines(before: &Value, after: &Value) -> Vec<String> {
    let (opened, raw) = (
        (yaml(&opened(before)), yaml(&opened(after))),
        (yaml(before), yaml(after)),
    );
    // If nothing is left of it, the difference lies in how the JSON is written.
    let (before, after) = if opened.0 == opened.1 { raw } else { opened };
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for (index, hunk) in diff
        .unified_diff()
        .context_radius(AROUND)
        .iter_hunks()
        .enumerate()
    {
        if index > 0 {
            lines.push("  ...".to_owned());
        }
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            lines.push(format!("{sign} {}", change.value().trim_end_matches('\n')));
        }
    }
    lines
}

fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| format!("{value:#}\n"))
}

fn opened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str::<Map<String, Value>>(text)
                .map_or_else(|_| value.clone(), Value::Object)
        }
        Value::Array(items) => items.iter().map(opened).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), opened(value)))
            .collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_near_a_difference() {
        let before = json!({"a": 1, "b": 2, "c": 3, "d": 4, "z": [1]});
        let after = json!({"a": 1, "b": 2, "c": 3, "d": 5, "z": [1]});
        assert_eq!(
            lines(&before, &after),
            ["  b: 2", "  c: 3", "- d: 4", "+ d: 5", "  z:", "  - 1"]
        );
    }

    #[test]
    fn json_in_a_string_is_opened_up_unless_only_its_writing_differs() {
        let spec = |text: &str| json!({ "spec": text });
        assert_eq!(
            lines(&spec("{\"t\":1}"), &spec("{\"t\":2}")),
            ["  spec:", "-   t: 1", "+   t: 2"]
        );
        assert_eq!(lines(&spec("{\"t\":1}"), &spec("{\"t\": 1}")).len(), 2);
    }
}
