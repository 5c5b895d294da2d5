//! What there is to ask for: `/version`, `/api`, `/apis` and the resource lists below them.

use serde_json::{Value, json};

use super::kinds::{RESOURCES, Resource, Scope};

const VERBS: [&str; 7] = [
    "create", "delete", "get", "list", "patch", "update", "watch",
];

/// The answer to a discovery path, given which kinds are installed.
pub(super) fn answer(segments: &[&str], served: impl Fn(&Resource) -> bool) -> Option<Value> {
    let resources: Vec<_> = RESOURCES.iter().filter(|one| served(one)).collect();
    match segments {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => {
            let mut groups: Vec<_> = resources
                .iter()
                .filter(|one| !one.group.is_empty())
                .collect();
            groups.dedup_by_key(|one| one.group);
            let groups: Vec<_> = groups.iter().map(|one| group(one)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let found = resources.iter().find(|one| one.group == *name)?;
            let mut group = group(found);
            if let Some(map) = group.as_object_mut() {
                map.insert("kind".to_owned(), json!("APIGroup"));
                map.insert("apiVersion".to_owned(), json!("v1"));
            }
            Some(group)
        }
        ["api", version] => list(&resources, "", version),
        ["apis", group, version] if !group.is_empty() => list(&resources, group, version),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.2", "gitCommit": "0", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
    })
}

fn group(resource: &Resource) -> Value {
    let version = json!({
        "groupVersion": resource.api_version(), "version": resource.version,
    });
    json!({"name": resource.group, "versions": [version], "preferredVersion": version})
}

fn list(resources: &[&Resource], group: &str, version: &str) -> Option<Value> {
    let found: Vec<_> = resources
        .iter()
        .filter(|one| one.group == group && one.version == version)
        .collect();
    let group_version = found.first()?.api_version();
    let entries: Vec<_> = found.iter().map(|one| entry(one)).collect();
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": entries,
    }))
}

fn entry(resource: &Resource) -> Value {
    let short: &[&str] = match resource.kind {
        "ConfigMap" => &["cm"],
        "Namespace" => &["ns"],
        "Pod" => &["po"],
        "ServiceAccount" => &["sa"],
        "CronWorkflow" => &["cwf", "cronwf"],
        "Workflow" => &["wf"],
        _ => &[],
    };
    let singular = resource.kind.to_ascii_lowercase();
    json!({
        "name": resource.plural, "singularName": singular, "kind": resource.kind,
        "namespaced": resource.scope == Scope::Namespaced,
        "verbs": VERBS, "shortNames": short,
    })
}
