//! The digest: what a reviewer approves, in 64 digits.
//!
//! It covers what the pipeline would become, shared objects included, and what it would
//! prune or adopt, and its denies. It does not cover the commit (unknown at review), nor
//! whether an object is created or already there (different after a crash), nor anything
//! of a neighbour's: a neighbour's merge does not void a review.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::name::Digest;
use crate::object::{Object, ObjectKey};

/// Changes when the meaning of a digest does.
const VERSION: u32 = 1;

/// What goes into one pipeline's digest.
pub(super) struct Contents<'a> {
    pub objects: &'a BTreeMap<ObjectKey, Object>,
    pub prune: &'a BTreeSet<ObjectKey>,
    pub adopt: &'a BTreeSet<ObjectKey>,
    pub denies: &'a BTreeSet<String>,
}

/// Hashes canonical JSON: keys sorted, no spaces.
pub(super) fn digest(contents: &Contents<'_>) -> Digest {
    Digest::of(canonical(contents).as_bytes())
}

/// What [`serde_json::Value`] would write, without making values of manifests, which are
/// canonical text already.
fn canonical(contents: &Contents<'_>) -> String {
    let Contents {
        objects,
        prune,
        adopt,
        denies,
    } = contents;
    let objects: Vec<String> = objects
        .iter()
        .map(|(key, object)| match object {
            Object::Kubernetes(manifest) => {
                format!(r#"[{},{{"kubernetes":{manifest}}}]"#, json!(key))
            }
            object => json!([key, object]).to_string(),
        })
        .collect();
    format!(
        r#"{{"adopt":{},"denies":{},"objects":[{}],"prune":{},"version":{VERSION}}}"#,
        json!(adopt),
        json!(denies),
        objects.join(","),
        json!(prune),
    )
}

/// What is pruned at once, whatever pipelines it is of.
pub(super) fn of_prunes(keys: &BTreeSet<ObjectKey>) -> Digest {
    let text = json!({"version": VERSION, "prunes": keys}).to_string();
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_sorted_whatever_a_dependency_asks_of_serde_json() {
        let map = json!({"b": 1, "a": 2});
        assert_eq!(map.to_string(), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn it_is_the_text_of_a_tree_of_values() {
        let manifest = json!({"spec": {"b": [1, "\"\n\u{e9}"], "a": null}, "kind": "Role"});
        let key = ObjectKey::Kubernetes {
            kind: crate::object::Kind::Role,
            name: "x".into(),
        };
        let account = crate::object::ServiceAccount {
            project: "acme-orders".parse().unwrap(),
            account: "sync".into(),
        };
        let made = Object::ServiceAccount {
            display_name: "one \"two\"".into(),
        };
        let objects = BTreeMap::from([
            (key.clone(), Object::Kubernetes(manifest.into())),
            (ObjectKey::ServiceAccount(account), made),
        ]);
        let denies = BTreeSet::from(["no \"no\"".to_owned()]);
        let prune = BTreeSet::from([key]);
        let tree = json!({
            "version": VERSION,
            "objects": objects.iter().collect::<Vec<_>>(),
            "prune": prune,
            "adopt": BTreeSet::<ObjectKey>::new(),
            "denies": denies,
        });
        let contents = Contents {
            objects: &objects,
            prune: &prune,
            adopt: &BTreeSet::new(),
            denies: &denies,
        };
        assert_eq!(canonical(&contents), tree.to_string());
    }

    #[test]
    fn every_part_counts() {
        let (empty, key) = (BTreeSet::new(), |name: &str| {
            BTreeSet::from([ObjectKey::Kubernetes {
                kind: crate::object::Kind::Role,
                name: name.into(),
            }])
        });
        let objects = BTreeMap::from([(key("x").pop_first().unwrap(), Object::Grant)]);
        let none = BTreeMap::new();
        let denies = BTreeSet::from(["no".to_owned()]);
        let all = [
            digest(&Contents {
                objects: &none,
                prune: &empty,
                adopt: &empty,
                denies: &BTreeSet::new(),
            }),
            digest(&Contents {
                objects: &objects,
                prune: &empty,
                adopt: &empty,
                denies: &BTreeSet::new(),
            }),
            digest(&Contents {
                objects: &none,
                prune: &key("x"),
                adopt: &empty,
                denies: &BTreeSet::new(),
            }),
            digest(&Contents {
                objects: &none,
                prune: &empty,
                adopt: &key("x"),
                denies: &BTreeSet::new(),
            }),
            digest(&Contents {
                objects: &none,
                prune: &empty,
                adopt: &empty,
                denies: &denies,
            }),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
