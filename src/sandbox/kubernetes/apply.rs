//! Who owns which field: server-side apply, and what every other write does to owners.

use serde_json::{Map, Value, json};

use super::fields::{self, FieldSet, ListKind, Path, Step};
use super::status::{Cause, Refusal, Result};

/// How an entry of `managedFields` came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of `managedFields`.
#[derive(Debug, Clone)]
struct Managed {
    name: String,
    operation: Operation,
    api_version: String,
    time: String,
    fields: FieldSet,
}

impl Managed {
    fn read(entry: &Value) -> Option<Self> {
        let text = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            name: text("manager")?,
            operation: match text("operation")?.as_str() {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            },
            api_version: text("apiVersion")?,
            time: text("time").unwrap_or_default(),
            fields: FieldSet::from_json(entry.get("fieldsV1")?),
        })
    }

    fn json(&self) -> Value {
        json!({
            "manager": self.name, "operation": self.operation.name(),
            "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        })
    }

    /// Only those who did not apply are named with a version.
    fn display(&self) -> String {
        match self.operation {
            Operation::Apply => format!("{:?}", self.name),
            Operation::Update => format!("{:?} using {}", self.name, self.api_version),
        }
    }
}

/// What to do about fields that someone else owns with another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflicts {
    Refuse,
    TakeOver,
}

/// The one who writes, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    pub(super) manager: &'a str,
    pub(super) now: &'a str,
}

/// Merges `config` into `live` (`{}` if there is none yet) and returns the whole new object.
///
/// # Errors
/// If others own fields that would change and the conflicts are not to be taken over.
pub(super) fn apply(
    live: &Value,
    config: &Value,
    author: Author<'_>,
    conflicts: Conflicts,
) -> Result<Value> {
    let mut others = managers(live);
    if others.is_empty() && live.get("metadata").is_some() {
        // Somebody wiped the managers; the server then invents one for what was there before.
        others.push(Managed {
            name: "before-first-apply".to_owned(),
            operation: Operation::Update,
            api_version: api_version(live),
            time: author.now.to_owned(),
            fields: fields::compare(&json!({}), live).touched,
        });
    }
    let own = take(&mut others, author.manager, Operation::Apply);
    let mine = FieldSet::claimed_by(config);
    let mut merged = live.clone();
    merge(&mut merged, config, &mut Path::new());

    let changes = fields::compare(live, &merged);
    let mut disputed = Vec::new();
    for other in &mut others {
        let overlap = other.fields.intersection(&changes.touched);
        for path in overlap.iter() {
            disputed.push((other.display(), fields::display(path)));
        }
        other.fields = other.fields.without(&overlap);
    }
    if conflicts == Conflicts::Refuse && !disputed.is_empty() {
        return Err(conflict(disputed));
    }

    if let Some(own) = &own {
        // Deepest first, so that what becomes empty goes too.
        for path in own.fields.without(&mine).iter().rev() {
            let shared = others.iter().any(|other| other.fields.reaches_into(path));
            if !shared && !mine.reaches_into(path) {
                fields::remove(&mut merged, path);
            }
        }
    }
    let gone = fields::compare(live, &merged).removed;
    for other in &mut others {
        other.fields = other.fields.without(&gone);
    }
    let time = match &own {
        Some(own) if own.fields == mine => own.time.clone(),
        _ => author.now.to_owned(),
    };
    others.push(Managed {
        name: author.manager.to_owned(),
        operation: Operation::Apply,
        api_version: api_version(config),
        time,
        fields: mine,
    });
    write(&mut merged, others);
    Ok(merged)
}

/// Records in `new` that `author` turned `live` into it by any write that is not an apply.
///
/// A body may bring its own `managedFields`: a list replaces the live one (`[{}]` empties it).
pub(super) fn update(live: &Value, new: &mut Value, author: Author<'_>) {
    let brought = new
        .pointer("/metadata/managedFields")
        .is_some_and(Value::is_array);
    let mut others = managers(if brought { new } else { live });
    if others.is_empty() && live.get("metadata").is_some() {
        // Somebody wiped the managers, and only an apply begins to keep them again.
        write(new, others);
        return;
    }
    let own = take(&mut others, author.manager, Operation::Update);
    let changes = fields::compare(live, new);
    for other in &mut others {
        other.fields = other
            .fields
            .without(&changes.touched)
            .without(&changes.removed);
    }
    let before = own.as_ref().map(|own| own.fields.clone());
    let fields = before
        .clone()
        .unwrap_or_default()
        .without(&changes.removed)
        .union(&changes.touched);
    let time = match own {
        Some(own) if before.as_ref() == Some(&fields) => own.time,
        _ => author.now.to_owned(),
    };
    others.push(Managed {
        name: author.manager.to_owned(),
        operation: Operation::Update,
        api_version: api_version(new),
        time,
        fields,
    });
    write(new, others);
}

fn managers(object: &Value) -> Vec<Managed> {
    object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .map(|entries| entries.iter().filter_map(Managed::read).collect())
        .unwrap_or_default()
}

fn take(managers: &mut Vec<Managed>, name: &str, operation: Operation) -> Option<Managed> {
    let at = managers
        .iter()
        .position(|manager| manager.name == name && manager.operation == operation)?;
    Some(managers.remove(at))
}

/// Appliers first, then by age, then by name; who owns nothing is not listed.
fn write(object: &mut Value, mut managers: Vec<Managed>) {
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by(|a, b| (a.operation, &a.time, &a.name).cmp(&(b.operation, &b.time, &b.name)));
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.remove("managedFields");
    if !managers.is_empty() {
        let entries = managers.iter().map(Managed::json).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

fn api_version(object: &Value) -> String {
    object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn merge(live: &mut Value, config: &Value, at: &mut Path) {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !fields::is_atomic_map(at) => {
            for (key, value) in config {
                at.push(Step::Field(key.clone()));
                let slot = live.entry(key.clone()).or_insert_with(|| match value {
                    Value::Object(_) => Value::Object(Map::new()),
                    _ => Value::Null,
                });
                merge(slot, value, at);
                at.pop();
            }
        }
        (Value::Array(live), Value::Array(config)) if fields::list_kind(at) != ListKind::Atomic => {
            let kind = fields::list_kind(at);
            for item in config {
                let step = fields::step_to(item, kind);
                match live
                    .iter_mut()
                    .find(|old| fields::step_to(old, kind) == step)
                {
                    Some(old) => *old = item.clone(),
                    None => live.push(item.clone()),
                }
            }
        }
        (live, config) => *live = config.clone(),
    }
}

fn conflict(mut disputed: Vec<(String, String)>) -> Refusal {
    let causes: Vec<_> = disputed
        .iter()
        .map(|(manager, field)| {
            Cause::new(
                "FieldManagerConflict",
                field.clone(),
                format!("conflict with {manager}"),
            )
        })
        .collect();
    let message = match disputed.as_slice() {
        [(manager, field)] => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {field}")
        }
        many => {
            let count = many.len();
            disputed.sort();
            let mut lines = vec![];
            let mut last = None;
            for (manager, field) in &disputed {
                if last != Some(manager) {
                    lines.push(format!("conflicts with {manager}:"));
                    last = Some(manager);
                }
                lines.push(format!("- {field}"));
            }
            format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
        }
    };
    Refusal::field_managers(message, &causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by<'a>(manager: &'a str) -> Author<'a> {
        Author {
            manager,
            now: "2026-01-01T00:00:00Z",
        }
    }

    fn config(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
    }

    #[test]
    fn a_field_that_others_share_stays_when_one_drops_it() {
        let refuse = Conflicts::Refuse;
        let both = config(json!({"x": "1", "y": "1"}));
        let live = apply(&json!({}), &both, by("a"), refuse).unwrap();
        let live = apply(&live, &config(json!({"x": "1"})), by("b"), refuse).unwrap();
        let live = apply(&live, &config(json!({})), by("a"), refuse).unwrap();
        assert_eq!(live["data"], json!({"x": "1"}));
        let live = apply(&live, &config(json!({"z": "2"})), by("b"), refuse).unwrap();
        assert_eq!(live["data"], json!({"z": "2"}));
    }

    #[test]
    fn an_edit_takes_fields_and_apply_then_conflicts() {
        let both = config(json!({"x": "1", "y": "1"}));
        let live = apply(&json!({}), &both, by("bot"), Conflicts::Refuse).unwrap();
        let mut edited = live.clone();
        edited["data"] = json!({"x": "2", "y": "2"});
        update(&live, &mut edited, by("human"));
        let refusal = apply(&edited, &both, by("bot"), Conflicts::Refuse).unwrap_err();
        assert_eq!(
            refusal.body()["message"],
            "Apply failed with 2 conflicts: conflicts with \"human\" using v1:\n- .data.x\n- .data.y"
        );
        let won = apply(&edited, &both, by("bot"), Conflicts::TakeOver).unwrap();
        assert_eq!(won["data"], both["data"]);
        assert_eq!(
            won["metadata"]["managedFields"].as_array().unwrap().len(),
            1
        );
    }
}
