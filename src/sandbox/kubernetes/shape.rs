//! Whether an object has the shape of its schema, in the words of each door that asks.

use serde_json::Value;

use super::kinds::{Origin, Resource};
use super::schema::Schema;
use super::status::{Cause, Refusal, Result};
use super::validate::refuse_if_any;

/// A place where an object departs from its schema.
#[derive(Debug)]
pub(super) enum Flaw {
    Unknown(String),
    Type {
        path: String,
        expected: &'static str,
        found: Value,
    },
}

/// Everything that does not fit the schema.
pub(super) fn flaws(schema: &Schema, object: &Value) -> Vec<Flaw> {
    let mut out = Vec::new();
    survey(schema, object, "", &mut out);
    out
}

fn survey(schema: &Schema, value: &Value, path: &str, out: &mut Vec<Flaw>) {
    let expected = match (schema, value) {
        (Schema::Any, _)
        | (_, Value::Null)
        | (Schema::Text, Value::String(_))
        | (Schema::Flag, Value::Bool(_))
        | (Schema::WholeOrText, Value::String(_)) => return,
        (Schema::Whole | Schema::WholeOrText, Value::Number(number))
            if number.is_i64() || number.is_u64() =>
        {
            return;
        }
        (Schema::Object(fields) | Schema::Needs(_, fields), Value::Object(map)) => {
            for (key, inner) in map {
                let at = join(path, key);
                match fields.iter().find(|(name, _)| name == key) {
                    Some((_, schema)) => survey(schema, inner, &at, out),
                    None => out.push(Flaw::Unknown(at)),
                }
            }
            return;
        }
        (Schema::Texts, Value::Object(map)) => {
            for (key, inner) in map {
                survey(&Schema::Text, inner, &join(path, key), out);
            }
            return;
        }
        (Schema::List(item), Value::Array(items)) => {
            for (index, inner) in items.iter().enumerate() {
                survey(item, inner, &format!("{path}[{index}]"), out);
            }
            return;
        }
        (Schema::Text, _) => "string",
        (Schema::Flag, _) => "boolean",
        (Schema::Whole | Schema::WholeOrText, _) => "integer",
        (Schema::Object(_) | Schema::Needs(..) | Schema::Texts, _) => "object",
        (Schema::List(_), _) => "array",
    };
    out.push(Flaw::Type {
        path: path.to_owned(),
        expected,
        found: value.clone(),
    });
}

/// The paths of the fields that must be there and are not.
pub(super) fn missing(schema: &Schema, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    search(schema, value, "", &mut out);
    out
}

fn search(schema: &Schema, value: &Value, path: &str, out: &mut Vec<String>) {
    match (schema, value) {
        (Schema::Object(fields) | Schema::Needs(_, fields), Value::Object(map)) => {
            if let Schema::Needs(needed, _) = schema {
                let absent = needed.iter().filter(|key| !map.contains_key(**key));
                out.extend(absent.map(|key| join(path, key)));
            }
            for (key, inner) in map {
                if let Some((_, schema)) = fields.iter().find(|(name, _)| name == key) {
                    search(schema, inner, &join(path, key), out);
                }
            }
        }
        (Schema::List(item), Value::Array(items)) => {
            for (index, inner) in items.iter().enumerate() {
                search(item, inner, &format!("{path}[{index}]"), out);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// Drops what the schema does not know, as the server does unless it is told to be strict.
pub(super) fn prune(schema: &Schema, value: &mut Value) {
    match (schema, value) {
        (Schema::Object(fields) | Schema::Needs(_, fields), Value::Object(map)) => {
            map.retain(|key, _| fields.iter().any(|(name, _)| name == key));
            for (key, inner) in map {
                if let Some((_, schema)) = fields.iter().find(|(name, _)| name == key) {
                    prune(schema, inner);
                }
            }
        }
        (Schema::List(item), Value::Array(items)) => {
            for inner in items {
                prune(item, inner);
            }
        }
        _ => {}
    }
}

/// The words of the strict decoder for the unknown fields, if there are any.
pub(super) fn strict_error(flaws: &[Flaw]) -> Option<String> {
    let unknown: Vec<_> = flaws
        .iter()
        .filter_map(|flaw| match flaw {
            Flaw::Unknown(path) => Some(format!("unknown field {path:?}")),
            Flaw::Type { .. } => None,
        })
        .collect();
    (!unknown.is_empty()).then(|| format!("strict decoding error: {}", unknown.join(", ")))
}

/// Wrong types, in the way that each origin reports them.
///
/// # Errors
/// If a value has another type than its field.
pub(super) fn types(resource: &Resource, name: &str, flaws: &[Flaw]) -> Result<()> {
    let mut causes = Vec::new();
    for flaw in flaws {
        let Flaw::Type {
            path,
            expected,
            found,
        } = flaw
        else {
            continue;
        };
        if resource.origin == Origin::BuiltIn || path.starts_with("metadata") {
            return Err(Refusal::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {expected}",
                kind = resource.kind,
                version = resource.version,
                path = without_key(resource.schema, path),
                found = match found {
                    Value::Number(_) => "number",
                    found => type_name(found),
                },
            )));
        }
        let found = type_name(found);
        causes.push(Cause::new(
            "FieldValueTypeInvalid",
            path.clone(),
            format!(
                "Invalid value: \"{found}\": {path} in body must be of type {expected}: \"{found}\""
            ),
        ));
    }
    refuse_if_any(resource, name, &causes)
}

/// Server-side apply meets a bad shape before any other check does.
/// The real server forgot to give that error a code, so it is a 500 without a reason.
///
/// # Errors
/// If the applied configuration does not fit the schema; `fieldValidation` plays no part.
pub(super) fn applied_shape(
    resource: &Resource,
    namespace: &str,
    name: &str,
    config: &Value,
) -> Result<()> {
    let lines: Vec<_> = flaws(resource.schema, config)
        .iter()
        .map(|flaw| match flaw {
            Flaw::Unknown(path) => format!(".{path}: field not declared in schema"),
            Flaw::Type {
                path,
                expected,
                found,
            } => {
                let expected = match *expected {
                    "integer" => "numeric (int or float)",
                    "object" => "map",
                    "array" => "list",
                    other => other,
                };
                let found = match (resource.origin, found) {
                    (Origin::BuiltIn, found) => format!("value.valueUnstructured{{Value:{found}}}"),
                    (Origin::Argo, Value::String(text)) => format!("{{{text}}}"),
                    (Origin::Argo, found) => format!("{{{found}}}"),
                };
                format!(".{path}: expected {expected}, got &{found}")
            }
        })
        .collect();
    let text = match lines.as_slice() {
        [] => return Ok(()),
        [line] => line.clone(),
        lines => format!("errors:\n  {}", lines.join("\n  ")),
    };
    let kind = resource.kind;
    let version = resource.api_version();
    let version = match resource.group {
        "" => format!("/{version}"),
        _ => version,
    };
    Err(Refusal::new(
        500,
        "",
        format!(
            "failed to create typed patch object ({namespace}/{name}; {version}, Kind={kind}): {text}"
        ),
    ))
}

/// A map's field is named without the key.
fn without_key<'p>(schema: &Schema, path: &'p str) -> &'p str {
    match (schema, path.split_once('.')) {
        (Schema::Object(fields), Some((field, _)))
            if fields
                .iter()
                .any(|(name, schema)| *name == field && matches!(schema, Schema::Texts)) =>
        {
            field
        }
        _ => path,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
