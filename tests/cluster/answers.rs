//! Requests, and what a real API server answers: the simulated one must say the same, but for
//! what is known to differ.
//!
//! The requests are in `answers.yaml`, the real answers, which the tests on the cluster compare
//! with a living server, in `answers.json`. In a body `$version`, `$first` and `$uid` are those of the
//! object of that name as it was answered last, or first.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use pipewright::sandbox::kubernetes::{Kubernetes, Options};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Api, client, text};

/// One request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub what: String,
    /// Method, kind and name.
    pub ask: String,
    /// The form of the body, and whose it is.
    #[serde(default, rename = "as")]
    form: String,
    #[serde(default)]
    query: String,
    /// How much of the object is to be told; everything, if nothing is said.
    #[serde(default)]
    part: Option<Part>,
    #[serde(default)]
    body: Value,
    /// Why the answers differ, and stay so.
    pub differs: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Metadata,
}

impl Step {
    fn accept(&self) -> &'static str {
        match self.part {
            None => "application/json",
            Some(Part::Metadata) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        }
    }

    fn kind(&self) -> &str {
        self.ask.split(' ').nth(1).unwrap()
    }

    fn name(&self) -> &str {
        self.ask.split(' ').nth(2).unwrap_or_default()
    }

    fn content(&self) -> &'static str {
        match self.form.split(" by ").next().unwrap() {
            "" => "",
            "json" => "application/json",
            "merge" => "application/merge-patch+json",
            "strategic merge" => "application/strategic-merge-patch+json",
            "apply" => "application/apply-patch+yaml",
            form => panic!("{form} is no form of a body"),
        }
    }

    fn query(&self) -> String {
        let who = match self.form.split(" by ").nth(1) {
            None => "",
            Some("bot") => "fieldManager=pipewright&fieldValidation=Strict",
            Some("force") => "fieldManager=pipewright&fieldValidation=Strict&force=true",
            Some("hand") => "fieldManager=kubectl-edit",
            Some(who) => panic!("{who} is nobody"),
        };
        format!("{who}&{}", self.query)
    }

    /// A body that names its object is whole.
    fn body(&self) -> Value {
        let is_whole = self.body.pointer("/metadata/name").is_some();
        if !is_whole || self.content().contains("merge") {
            return self.body.clone();
        }
        let kind = self.kind();
        let mut whole = match kind {
            "ConfigMap" | "ServiceAccount" => json!({"apiVersion": "v1"}),
            "Role" | "RoleBinding" => json!({"apiVersion": "rbac.authorization.k8s.io/v1"}),
            "Lease" => json!({"apiVersion": "coordination.k8s.io/v1"}),
            _ => json!({
                "apiVersion": "argoproj.io/v1alpha1",
                // Another controller's: ours leaves it alone.
                "metadata": {"labels": {"workflows.argoproj.io/controller-instanceid": "none"}},
                "spec": {"schedules": ["0 2 * * *"], "workflowSpec": {
                    "entrypoint": "e",
                    "templates": [{
                        "name": "e",
                        "container": {"image": "i", "env": [{"name": "A", "value": "1"}]},
                    }],
                }},
            }),
        };
        whole["kind"] = json!(kind);
        merge(&mut whole, &self.body);
        if text(&whole, "/metadata/name").is_empty() {
            whole["metadata"].as_object_mut().unwrap().remove("name");
        }
        whole
    }
}

/// Maps key by key, everything else whole. Nulls stay.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// First version, last version and uid of each object, by kind and name.
type Seen = BTreeMap<(String, String), [String; 3]>;

pub async fn play(api: &Api, steps: &[Step]) -> Vec<Value> {
    let mut seen = Seen::new();
    let mut answers = Vec::new();
    for step in steps {
        let mut body = step.body().to_string();
        let key = (step.kind().to_owned(), step.name().to_owned());
        if let Some([first, version, uid]) = seen.get(&key) {
            for (word, value) in [("$first", first), ("$version", version), ("$uid", uid)] {
                body = body.replace(word, value);
            }
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        let path = format!("{}?{}", api.path(step.kind(), step.name()), step.query());
        let method = step.ask.split(' ').next().unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let forms = [step.content(), step.accept()];
        let mut answer = match api.ask_for(method, &path, forms, &body).await {
            Ok(object) => object,
            Err(status) => serde_json::to_value(status).unwrap(),
        };
        let version = text(&answer, "/metadata/resourceVersion").to_owned();
        let uid = text(&answer, "/metadata/uid").to_owned();
        if !uid.is_empty() {
            let name = text(&answer, "/metadata/name").to_owned();
            let known = seen.entry((key.0, name));
            let known = known.or_insert_with(|| [version.clone(), String::new(), String::new()]);
            known[1] = version;
            known[2] = uid;
        }
        normalize(&mut answer, &seen, &api.namespace);
        answers.push(answer);
    }
    answers
}

/// Times, versions, uids and the namespace are each server's own.
fn normalize(value: &mut Value, seen: &Seen, namespace: &str) {
    match value {
        Value::Object(map) => {
            let own = [
                "resourceVersion",
                "uid",
                "time",
                "creationTimestamp",
                "deletionTimestamp",
            ];
            for key in own {
                if let Some(value @ Value::String(_)) = map.get_mut(key) {
                    *value = json!("…");
                }
            }
            if let Some(Value::Array(causes)) = map.get_mut("causes") {
                // Some are found by two of its checks.
                causes.dedup();
            }
            map.values_mut()
                .for_each(|value| normalize(value, seen, namespace));
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| normalize(value, seen, namespace)),
        Value::String(text) => {
            *text = text.replace(namespace, "…");
            for [first, version, uid] in seen.values() {
                for own in [first, version] {
                    *text = text.replace(&format!("({own})"), "(…)");
                }
                if !uid.is_empty() {
                    *text = text.replace(uid.as_str(), "…");
                }
            }
            // A whole object, in the order in which its fields were declared.
            if let Some((before, after)) = text.split_once("\"{\\\"apiVersion")
                && let Some((_, after)) = after.split_once("}\": strict")
            {
                *text = format!("{before}…: strict{after}");
            }
        }
        _ => {}
    }
}

/// Where two answers differ.
fn compare(found: Option<&Value>, expected: Option<&Value>, path: &str, out: &mut Vec<String>) {
    match (found, expected) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let path = format!("{path}/{key}");
                compare(one.get(key), other.get(key), &path, out);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
            let (one, other) = (shown(one), shown(other));
            out.push(format!(
                "    {path}\n      found    {one}\n      expected {other}"
            ));
        }
    }
}

/// In words, where the answers to a step differ; empty if they do not.
pub fn difference(step: &Step, found: &Value, expected: &Value) -> String {
    let mut out = Vec::new();
    compare(Some(found), Some(expected), "", &mut out);
    match out.is_empty() {
        true => String::new(),
        false => format!("{} ({})\n{}\n", step.what, step.ask, out.join("\n")),
    }
}

pub fn steps() -> Vec<Step> {
    serde_yaml::from_str(include_str!("answers.yaml")).unwrap()
}

/// The real answers, by step.
pub fn recorded() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("answers.json")).unwrap()
}

#[tokio::test]
async fn the_simulated_server_answers_as_the_real_one_did() {
    // Whoever comes first decides; all would decide the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = Options {
        namespaces: vec!["played".to_owned()],
        ..Options::default()
    };
    let kubernetes = Kubernetes::start(options).await.unwrap();
    let client = client(&kubernetes.kubeconfig()).await;
    let steps = steps();
    let answers = play(&Api::new(client, "played"), &steps).await;
    let recorded = recorded();
    let mut told = String::new();
    for (step, answer) in steps.iter().zip(&answers) {
        let difference = difference(step, answer, &recorded[&step.what]);
        match (&step.differs, difference.is_empty()) {
            (Some(_), true) => told += &format!("{}: differs no more\n", step.what),
            (Some(_), false) => {}
            (None, _) => told += &difference,
        }
    }
    assert!(told.is_empty(), "\n{told}");
}
