//! Label and field selectors of LIST and WATCH.

use serde_json::Value;

use super::status::{Refusal, Result};

#[derive(Debug, Clone)]
enum Want {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    want: Want,
}

/// A field selector can only name these here.
#[derive(Debug, Clone)]
struct FieldRequirement {
    pointer: &'static str,
    value: String,
    equal: bool,
}

/// Everything that an object must satisfy; the empty one takes all.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

impl Selector {
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self> {
        Ok(Self {
            labels: terms(labels).map(requirement).collect::<Result<Vec<_>>>()?,
            fields: fields
                .split(',')
                .filter(|term| !term.trim().is_empty())
                .map(field_requirement)
                .collect::<Result<Vec<_>>>()?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let labels_match = self.labels.iter().all(|requirement| {
            let value = labels
                .and_then(|labels| labels.get(&requirement.key))
                .and_then(Value::as_str);
            match (&requirement.want, value) {
                (Want::In(values), Some(value)) => values.iter().any(|one| one == value),
                (Want::NotIn(values), Some(value)) => values.iter().all(|one| one != value),
                (Want::Exists, value) => value.is_some(),
                (Want::Absent, value) => value.is_none(),
                (Want::In(_), None) => false,
                // An object without the label is not in the set either.
                (Want::NotIn(_), None) => true,
            }
        });
        labels_match
            && self.fields.iter().all(|field| {
                let value = object
                    .pointer(field.pointer)
                    .and_then(Value::as_str)
                    .unwrap_or("");
                (value == field.value) == field.equal
            })
    }
}

/// Splits at the commas that are not inside parentheses.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
}

fn requirement(term: &str) -> Result<Requirement> {
    let (key, want) = if let Some(key) = term.strip_prefix('!') {
        (key, Want::Absent)
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, Want::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, Want::In(vec![value.trim().to_owned()]))
    } else if let Some((head, set)) = term.split_once('(') {
        let values = set
            .strip_suffix(')')
            .ok_or_else(|| unparsable(term))?
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        match head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => (*key, Want::In(values)),
            [key, "notin"] => (*key, Want::NotIn(values)),
            _ => return Err(unparsable(term)),
        }
    } else {
        (term, Want::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "()!=".contains(c)) {
        return Err(unparsable(term));
    }
    Ok(Requirement {
        key: key.to_owned(),
        want,
    })
}

fn field_requirement(term: &str) -> Result<FieldRequirement> {
    let (key, value, equal) = if let Some((key, value)) = term.split_once("!=") {
        (key, value, false)
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, value, true)
    } else {
        return Err(Refusal::bad_request(format!(
            "invalid selector: '{term}'; can't understand '{term}'"
        )));
    };
    let pointer = match key.trim() {
        "metadata.name" => "/metadata/name",
        "metadata.namespace" => "/metadata/namespace",
        other => {
            return Err(Refusal::bad_request(format!(
                "\"{other}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )));
        }
    };
    Ok(FieldRequirement {
        pointer,
        value: value.trim().to_owned(),
        equal,
    })
}

fn unparsable(term: &str) -> Refusal {
    Refusal::bad_request(format!("unable to parse requirement: {term}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selects_by_label_and_field() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "x", "tier": ""}}});
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=x", "metadata.name=a", true),
            ("app==x,tier", "", true),
            ("app!=x", "", false),
            ("gone!=x", "", true),
            ("app in (y, x),tier notin (z)", "", true),
            ("app in (y,z)", "", false),
            ("gone notin (y)", "", true),
            ("!app", "", false),
            ("!gone", "metadata.name!=a", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&object), expected, "{labels} {fields}");
        }
        for (labels, fields) in [("app in x", ""), ("app in (x", ""), ("", "spec.x=1")] {
            assert!(Selector::parse(labels, fields).is_err(), "{labels}{fields}");
        }
    }
}
