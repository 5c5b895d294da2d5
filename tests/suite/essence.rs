//! The essence of a world: what must be there once, however it came about.
//!
//! Left out is what says when or in which order something happened: ids, instants, versions
//! and commits' names (a merge's depends on its second), and the folds of a comment, which
//! tell the Steps of the passage that ended it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pipewright::sandbox::stage::Stage;
use serde_json::Value;

/// Every fact with how often it is there.
pub type Essence = BTreeMap<String, usize>;

/// What one has and the other has not, for a person.
pub fn difference(undisturbed: &Essence, other: &Essence) -> Vec<String> {
    let facts = undisturbed.keys().chain(other.keys());
    let mut different: Vec<String> = facts
        .filter(|fact| undisturbed.get(*fact) != other.get(*fact))
        .map(|fact| {
            let count = |essence: &Essence| essence.get(fact).copied().unwrap_or(0);
            format!("{} instead of {}: {fact}", count(other), count(undisturbed))
        })
        .collect();
    different.dedup();
    different
}

pub fn essence(stage: &Stage) -> Essence {
    let mut essence = Essence::new();
    let facts = objects(stage)
        .into_iter()
        .chain(grants(stage))
        .chain(said(stage));
    for fact in facts {
        *essence.entry(fact).or_default() += 1;
    }
    essence
}

fn objects(stage: &Stage) -> Vec<String> {
    let objects = stage.kubernetes.objects().into_iter();
    objects
        // The Lease is about who acts, not about what was done.
        .filter(|object| object["kind"] != "Lease")
        .map(|mut object| {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                for noise in [
                    "uid",
                    "resourceVersion",
                    "creationTimestamp",
                    "generation",
                    "managedFields",
                ] {
                    metadata.remove(noise);
                }
                if let Some(owners) = metadata.get_mut("ownerReferences") {
                    for owner in owners.as_array_mut().into_iter().flatten() {
                        owner["uid"] = Value::Null;
                    }
                }
            }
            // Argo's own bookkeeping, but for how a run ended.
            object["status"] = object["status"]["phase"].clone();
            without_numbers(&without_the_second(&object.to_string()))
        })
        .collect()
}

fn grants(stage: &Stage) -> Vec<String> {
    let projects =
        ["acme-billing", "acme-orders", "acme-identities"].map(|one| format!("projects/{one}"));
    let connection = "projects/acme-billing/locations/asia-northeast1/connections/billing-db";
    let accounts = stage.google.service_accounts().into_iter();
    let of_accounts =
        accounts.map(|email| format!("projects/acme-identities/serviceAccounts/{email}"));
    let policies = projects
        .into_iter()
        .chain([connection.to_owned()])
        .chain(of_accounts)
        .map(|resource| {
            let bindings = stage.google.policy(&resource)["bindings"].clone();
            format!("{resource} {}", sorted(&bindings))
        });
    let datasets = ["dataplatform_crm", "dataplatform_sales"]
        .into_iter()
        .filter_map(|id| {
            let dataset = stage.google.dataset("acme-billing", id)?;
            Some(format!("{id} {}", sorted(&dataset["access"])))
        });
    policies.chain(datasets).collect()
}

fn said(stage: &Stage) -> Vec<String> {
    let pulls = (1..20).filter_map(|number| stage.github.pull_request(number));
    pulls
        .flat_map(|pull| {
            let number = pull.number;
            let comments = stage
                .github
                .comments(number)
                .into_iter()
                .map(move |comment| {
                    let mut reactions: Vec<String> = comment
                        .reactions
                        .iter()
                        .map(|one| format!("{} by {}", one.content, one.login))
                        .collect();
                    reactions.sort();
                    let body = without_numbers(without_folds(&comment.body));
                    format!("#{number} {}: {body} {reactions:?}", comment.login)
                });
            let checks = stage.github.check_runs(&pull.head_sha).into_iter();
            let checks = checks.map(move |run| {
                format!(
                    "#{number} {:?} {:?} {:?}",
                    run.conclusion, run.title, run.annotations
                )
            });
            comments.chain(checks).collect::<Vec<_>>()
        })
        .collect()
}

fn without_folds(body: &str) -> &str {
    let end = ["<details>", "As of commit", "At head"]
        .iter()
        .filter_map(|mark| body.find(mark))
        .min();
    &body[..end.unwrap_or(body.len())]
}

/// A run is called after its comment's id, which depends on what was numbered before.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('9') => {}
            '0'..='9' => out.push('9'),
            _ => out.push(c),
        }
    }
    out
}

fn without_the_second(text: &str) -> String {
    text.split('"')
        .map(|part| {
            let part = part.trim_end_matches('\\');
            let is_commit = part.len() == 40 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let is_time = part.parse::<Timestamp>().is_ok();
            match (is_commit, is_time) {
                (true, _) => "COMMIT",
                (_, true) => "TIME",
                _ => part,
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn sorted(list: &Value) -> String {
    let mut entries: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    entries.sort();
    entries.join(" ")
}
