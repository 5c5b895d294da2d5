//! Sets of fields, and the FieldsV1 form in which `managedFields` keeps them.
//!
//! Maps are granular and lists are atomic, but for `metadata.ownerReferences` (keyed by uid),
//! `metadata.finalizers` (a set) and a RoleBinding's `roleRef` (an atomic map).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// One step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Field(String),
    /// The item of a keyed list, by its key fields as compact JSON.
    Key(String),
    /// The member of a set, as compact JSON.
    Member(String),
}

pub(super) type Path = Vec<Step>;

/// What a list means to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    Atomic,
    KeyedBy(&'static str),
    Set,
}

pub(super) fn list_kind(at: &[Step]) -> ListKind {
    match names(at).as_slice() {
        ["metadata", "ownerReferences"] => ListKind::KeyedBy("uid"),
        ["metadata", "finalizers"] => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

pub(super) fn is_atomic_map(at: &[Step]) -> bool {
    names(at).as_slice() == ["roleRef"]
}

/// Identity and bookkeeping, which nobody owns.
pub(super) fn is_unowned(at: &[Step]) -> bool {
    matches!(
        names(at).as_slice(),
        ["apiVersion" | "kind" | "metadata"]
            | [
                "metadata",
                "name"
                    | "namespace"
                    | "creationTimestamp"
                    | "deletionTimestamp"
                    | "deletionGracePeriodSeconds"
                    | "selfLink"
                    | "uid"
                    | "generation"
                    | "managedFields"
                    | "resourceVersion"
            ]
    )
}

fn names(at: &[Step]) -> Vec<&str> {
    at.iter()
        .map(|step| match step {
            Step::Field(name) => name.as_str(),
            Step::Key(_) | Step::Member(_) => "",
        })
        .collect()
}

/// The step to an item of a list that is not atomic.
pub(super) fn step_to(item: &Value, kind: ListKind) -> Option<Step> {
    match kind {
        ListKind::Atomic => None,
        ListKind::KeyedBy(key) => {
            let value = item.get(key)?;
            Some(Step::Key(json!({ key: value }).to_string()))
        }
        ListKind::Set => Some(Step::Member(item.to_string())),
    }
}

/// Prints a path the way conflict messages do: `.metadata.labels.app`.
pub(super) fn display(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        // Writing to a String cannot fail.
        let _ = match step {
            Step::Field(name) => write!(text, ".{name}"),
            Step::Member(value) => write!(text, "[={value}]"),
            Step::Key(key) => {
                let inner = key.trim_start_matches("{\"").trim_end_matches('}');
                write!(text, "[{}]", inner.replacen("\":", "=", 1))
            }
        };
    }
    text
}

/// Every path in a value that can be owned: leaves with their value, maps and lists with None.
type Places<'a> = BTreeMap<Path, Option<&'a Value>>;

fn places<'a>(value: &'a Value, at: &mut Path, out: &mut Places<'a>) {
    let mut put = |at: &Path, value: Option<&'a Value>| {
        if !at.is_empty() && !is_unowned(at) {
            out.insert(at.clone(), value);
        }
    };
    match value {
        Value::Object(map) if !is_atomic_map(at) => {
            put(at, None);
            for (key, value) in map {
                at.push(Step::Field(key.clone()));
                // Of metadata only its parts are looked at; the rest of the unowned has none.
                if !is_unowned(at) || at.len() == 1 {
                    places(value, at, out);
                }
                at.pop();
            }
        }
        Value::Array(items) if list_kind(at) != ListKind::Atomic => {
            put(at, None);
            for item in items {
                if let Some(step) = step_to(item, list_kind(at)) {
                    at.push(step);
                    put(at, Some(item));
                    at.pop();
                }
            }
        }
        leaf => put(at, Some(leaf)),
    }
}

/// A set of owned fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet(BTreeSet<Path>);

impl FieldSet {
    /// What someone who applies `config` claims: the leaves, and maps that are empty.
    pub(super) fn claimed_by(config: &Value) -> Self {
        let mut found = Places::new();
        places(config, &mut Path::new(), &mut found);
        let claimed = found
            .iter()
            .filter(|(path, value)| value.is_some() || !has_below(&found, path))
            .map(|(path, _)| path.clone())
            .collect();
        Self(claimed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Path> {
        self.0.iter()
    }

    /// Whether the field itself or anything in it is in the set.
    pub(super) fn reaches_into(&self, path: &Path) -> bool {
        self.0
            .range(path.clone()..)
            .next()
            .is_some_and(|found| found.starts_with(path))
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The FieldsV1 form.
    pub(super) fn to_json(&self) -> Value {
        let mut root = Node::default();
        for path in &self.0 {
            let mut node = &mut root;
            for step in path {
                let key = match step {
                    Step::Field(name) => format!("f:{name}"),
                    Step::Key(key) => format!("k:{key}"),
                    Step::Member(value) => format!("v:{value}"),
                };
                node = node.below.entry(key).or_default();
            }
            node.owned = true;
        }
        root.to_json()
    }

    /// Reads FieldsV1; what it does not know it leaves out.
    pub(super) fn from_json(fields: &Value) -> Self {
        let mut set = BTreeSet::new();
        read(fields, &mut Path::new(), &mut set);
        Self(set)
    }
}

/// Whether some place is strictly inside `path`: in path order it would come right after it.
fn has_below(found: &Places<'_>, path: &Path) -> bool {
    found
        .range(path.clone()..)
        .nth(1)
        .is_some_and(|(next, _)| next.starts_with(path))
}

#[derive(Default)]
struct Node {
    owned: bool,
    below: BTreeMap<String, Node>,
}

impl Node {
    fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.owned && !self.below.is_empty() {
            map.insert(".".to_owned(), json!({}));
        }
        for (key, node) in &self.below {
            map.insert(key.clone(), node.to_json());
        }
        Value::Object(map)
    }
}

fn read(fields: &Value, at: &mut Path, out: &mut BTreeSet<Path>) {
    let Some(map) = fields.as_object() else {
        return;
    };
    if map.is_empty() && !at.is_empty() {
        out.insert(at.clone());
    }
    for (key, below) in map {
        let step = match key.split_once(':') {
            Some(("f", name)) => Step::Field(name.to_owned()),
            Some(("k", key)) => Step::Key(key.to_owned()),
            Some(("v", value)) => Step::Member(value.to_owned()),
            _ if key == "." => {
                out.insert(at.clone());
                continue;
            }
            _ => continue,
        };
        at.push(step);
        read(below, at, out);
        at.pop();
    }
}

/// How one version of an object differs from another.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Added or given another value.
    pub(super) touched: FieldSet,
    pub(super) removed: FieldSet,
}

pub(super) fn compare(old: &Value, new: &Value) -> Changes {
    let (mut before, mut after) = (Places::new(), Places::new());
    places(old, &mut Path::new(), &mut before);
    places(new, &mut Path::new(), &mut after);
    // Where the spec is no map but part of the type, it is there even if nothing is in it.
    let is_part_of_the_type = |path: &[Step]| {
        names(path).as_slice() == ["spec"] && new.get("kind") == Some(&json!("Lease"))
    };
    let touched = after
        .iter()
        .filter(|(path, value)| before.get(*path) != Some(*value))
        .filter(|(path, _)| !is_part_of_the_type(path))
        .map(|(path, _)| path.clone())
        .collect();
    let removed = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .cloned()
        .collect();
    Changes {
        touched: FieldSet(touched),
        removed: FieldSet(removed),
    }
}

/// Takes a field out, and with it the maps and lists that are empty without it.
pub(super) fn remove(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    match (value, step) {
        (Value::Object(map), Step::Field(name)) => {
            if rest.is_empty() {
                map.remove(name);
            } else if let Some(inner) = map.get_mut(name) {
                remove(inner, rest);
                let empty = match inner {
                    Value::Object(map) => map.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                if empty {
                    map.remove(name);
                }
            }
        }
        (Value::Array(items), Step::Member(_)) => {
            items.retain(|item| step_to(item, ListKind::Set).as_ref() != Some(step));
        }
        (Value::Array(items), Step::Key(key)) => {
            let wanted: Value = serde_json::from_str(key).unwrap_or_default();
            items.retain(|item| {
                let matches = wanted.as_object().is_some_and(|wanted| {
                    wanted
                        .iter()
                        .all(|(name, value)| item.get(name) == Some(value))
                });
                !matches
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_form() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "b", "labels": {"x/y": "1"}, "annotations": {},
                "finalizers": ["f/g"], "ownerReferences": [{"uid": "u", "name": "n"}],
            },
            "data": {"k": "v"}, "list": [{"a": 1}], "roleRef": {"name": "r"},
        });
        let set = FieldSet::claimed_by(&object);
        let form = json!({
            "f:metadata": {
                "f:labels": {"f:x/y": {}}, "f:annotations": {},
                "f:finalizers": {"v:\"f/g\"": {}},
                "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}},
            },
            "f:data": {"f:k": {}}, "f:list": {}, "f:roleRef": {},
        });
        assert_eq!(set.to_json(), form);
        assert_eq!(FieldSet::from_json(&form), set);
        let shown: Vec<_> = set.iter().map(|path| display(path)).collect();
        assert!(shown.contains(&".metadata.ownerReferences[uid=\"u\"]".to_owned()));
        assert!(shown.contains(&".metadata.finalizers[=\"f/g\"]".to_owned()));
    }

    #[test]
    fn a_new_map_is_a_change_of_its_own() {
        let changes = compare(&json!({}), &json!({"data": {"k": "v"}}));
        assert_eq!(
            changes.touched.to_json(),
            json!({"f:data": {".": {}, "f:k": {}}})
        );
    }
}
