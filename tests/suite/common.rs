//! What several tests share: the example tree, and a house.

use std::collections::BTreeMap;
use std::path::Path;

use pipewright::render::House;
use pipewright::snapshot::{Entry, Snapshot, Tree};

pub fn house() -> House {
    House {
        namespace: "pipelines".into(),
        runner_image: format!("example.invalid/pipewright@sha256:{}", "0".repeat(64)),
        identity_project: "acme-identities".parse().unwrap(),
        workload_pool: "acme-cluster.svc.id.goog".into(),
    }
}

/// The example's files, as text.
pub fn repository() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    let mut folders = vec![root.join("pipelines"), root.join("policies")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

pub fn tree_of(files: &BTreeMap<String, String>) -> Tree {
    Tree {
        entries: files
            .iter()
            .map(|(path, text)| (path.clone(), Entry::File(text.clone().into_bytes())))
            .collect(),
    }
}

/// A default branch that holds these files.
pub fn snapshot_of(files: &BTreeMap<String, String>) -> Snapshot {
    Snapshot {
        base: tree_of(files),
        proposed: None,
        base_commit: None,
    }
}

/// A pull request from one set of files to another.
pub fn proposal_of(
    base: &BTreeMap<String, String>,
    proposed: &BTreeMap<String, String>,
) -> Snapshot {
    Snapshot {
        base: tree_of(base),
        proposed: Some(tree_of(proposed)),
        base_commit: None,
    }
}
