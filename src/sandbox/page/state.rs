//! Everything that the page shows, read off the simulators at one moment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::sandbox::github::Permission;
use crate::sandbox::stage::Stage;

use super::day::Day;
use super::events::Happened;
use super::guide::Step;
use super::pulls::Pull;
use super::reach::{Reach, ShownReach};
use super::runs::Run;

/// The page's state.
#[derive(Debug, Serialize)]
pub(super) struct State {
    /// Rises with each change.
    pub version: u64,
    /// Whether the bot has something to do.
    pub working: bool,
    pub people: Vec<Person>,
    /// What the default branch holds, for the editor.
    pub files: BTreeMap<String, String>,
    pub pulls: Vec<Pull>,
    pub reach: ShownReach,
    pub day: Day,
    pub runs: Vec<Run>,
    pub objects: Vec<Object>,
    pub guide: Vec<Step>,
    pub log: Vec<Happened>,
}

/// Somebody to be.
#[derive(Debug, Serialize)]
pub(super) struct Person {
    pub login: String,
    /// A word or two for the switch.
    pub role: String,
}

/// An object in the cluster.
#[derive(Debug, Serialize)]
pub(super) struct Object {
    pub kind: String,
    pub name: String,
    pub mark: &'static str,
    pub yaml: String,
}

/// What the world was like before the last act, to mark what changed since.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub reach: Reach,
    versions: BTreeMap<(String, String), String>,
}

impl Before {
    /// As it is now.
    pub(super) fn now(stage: &Stage) -> Self {
        let objects = stage.kubernetes.objects();
        let versions = objects.iter().map(|object| {
            let version = text(object, "/metadata/resourceVersion").to_owned();
            (named(object), version)
        });
        Self {
            reach: Reach::of(stage),
            versions: versions.collect(),
        }
    }

    /// The cluster's objects, with what became of them; namespaces and what stands for the
    /// bot's own turn are left out.
    pub(super) fn objects(&self, objects: &[Value]) -> Vec<Object> {
        let here: BTreeSet<_> = objects.iter().map(named).collect();
        let shown = objects.iter().map(|object| {
            let (kind, name) = named(object);
            let version = text(object, "/metadata/resourceVersion");
            let mark = match self.versions.get(&(kind.clone(), name.clone())) {
                None => "new",
                Some(before) if before != version => "changed",
                Some(_) => "",
            };
            let yaml = yaml(object);
            Object {
                kind,
                name,
                mark,
                yaml,
            }
        });
        let gone = self.versions.keys().filter(|key| !here.contains(*key));
        let gone = gone.map(|(kind, name)| Object {
            kind: kind.clone(),
            name: name.clone(),
            mark: "gone",
            yaml: String::new(),
        });
        let of_interest = |object: &Object| !matches!(object.kind.as_str(), "Namespace" | "Lease");
        shown.chain(gone).filter(of_interest).collect()
    }
}

/// The people, each with what they stand for: the author first, the stranger last.
pub(super) fn people(stage: &Stage, stranger: &str) -> Vec<Person> {
    let teams = stage.github.teams();
    let cast = &stage.cast;
    let role = |login: &str, permission: Permission| {
        let lower = login.to_ascii_lowercase();
        let own: Vec<&str> = teams
            .iter()
            .filter(|(_, members)| members.contains(&lower))
            .map(|(team, _)| team.as_str())
            .collect();
        if login == cast.author {
            "author".to_owned()
        } else if login == cast.owner {
            format!("owner of {}", cast.project)
        } else if !own.is_empty() {
            format!("speaks for {}", own.join(", "))
        } else if permission < Permission::Write {
            "stranger, may only read".to_owned()
        } else {
            "may write".to_owned()
        }
    };
    let place = |login: &str| {
        if login == cast.author {
            0
        } else if login == cast.owner {
            1
        } else if login == stranger {
            3
        } else {
            2
        }
    };
    let mut people = stage.github.people();
    people.sort_by_key(|(login, _)| place(login));
    let person = |(login, permission): (String, Permission)| Person {
        role: role(&login, permission),
        login,
    };
    people.into_iter().map(person).collect()
}

/// What of the default branch the bot reads, as text.
pub(super) fn files(stage: &Stage) -> BTreeMap<String, String> {
    let paths = stage.github.paths("main").into_iter();
    let read = |path: String| {
        let text = stage.github.file("main", &path)?;
        Some((path, text))
    };
    paths
        .filter(|path| path.starts_with("pipelines/") || path.starts_with("policies/"))
        .filter_map(read)
        .collect()
}

/// When it is day for the schedules.
pub(super) fn day(objects: &[Value], now: Timestamp) -> Day {
    Day::of(objects, now)
}

fn named(object: &Value) -> (String, String) {
    let kind = text(object, "/kind").to_owned();
    (kind, text(object, "/metadata/name").to_owned())
}

/// The object without what only the server cares for.
fn yaml(object: &Value) -> String {
    let mut object = object.clone();
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        for field in ["managedFields", "uid", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
    }
    serde_yaml::to_string(&object).unwrap_or_else(|_| json!(object).to_string())
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}
