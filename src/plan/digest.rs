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
    let Contents {
        objects,
        prune,
        adopt,
        denies,
    } = contents;
    let objects: Vec<_> = objects.iter().collect();
    let text = json!({
        "version": VERSION,
        "objects": objects,
        "prune": prune,
        "adopt": adopt,
        "denies": denies,
    })
    .to_string();
    Digest::of(text.as_bytes())
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
