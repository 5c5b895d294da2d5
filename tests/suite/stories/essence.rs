//! What must not depend on how often the bot died or what it was told: everything that it
//! leaves behind in every system, each with its count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use pipewright::sandbox::stage::Stage;
use serde_json::Value;

use super::People;

/// What there is, and how often.
pub type Essence = BTreeMap<String, usize>;

/// How two ends differ, one line for each thing that is not there equally often.
pub fn difference(end: &Essence, undisturbed: &Essence) -> Vec<String> {
    let all = end.keys().chain(undisturbed.keys());
    let mut lines: Vec<String> = all
        .filter_map(|thing| {
            let count = |of: &Essence| of.get(thing).copied().unwrap_or_default();
            let (is, should) = (count(end), count(undisturbed));
            (is != should).then(|| format!("{is} instead of {should}: {thing}"))
        })
        .collect();
    lines.dedup();
    lines
}

/// What a story left behind.
pub fn essence(stage: &Stage, people: &People) -> Essence {
    let objects = stage.kubernetes.objects().into_iter().filter_map(object);
    let all = objects
        .chain(policies(stage))
        .chain(datasets(stage))
        .chain(said(stage, people));
    let mut essence = Essence::new();
    for thing in all {
        *essence.entry(neutral(&thing, people)).or_default() += 1;
    }
    essence
}

/// An object without what the server counts and dates.
fn object(mut object: Value) -> Option<String> {
    // Who works at the moment is not what is left behind.
    if object["kind"] == "Lease" {
        return None;
    }
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
    }
    Some(object.to_string())
}

/// Every grant: resource, role, condition and member.
fn policies(stage: &Stage) -> Vec<String> {
    let projects = ["acme-billing", "acme-orders", "acme-identities"];
    let projects = projects.iter().map(|project| format!("projects/{project}"));
    let connections = stage.google.connections().into_iter().map(|(name, _)| name);
    let accounts = stage.google.service_accounts().into_iter();
    let accounts = accounts.map(|email| {
        let project = email.split(['@', '.']).nth(1).unwrap_or_default();
        format!("projects/{project}/serviceAccounts/{email}")
    });
    let mut grants = Vec::new();
    for resource in projects.chain(connections).chain(accounts) {
        grants.push(format!("{resource} is there"));
        let policy = stage.google.policy(&resource);
        for binding in policy["bindings"].as_array().into_iter().flatten() {
            for member in binding["members"].as_array().into_iter().flatten() {
                let (role, condition) = (&binding["role"], &binding["condition"]);
                grants.push(format!("{resource} {role} {condition} {member}"));
            }
        }
    }
    grants
}

/// Every dataset that was ever spoken of, and every entry of its access.
fn datasets(stage: &Stage) -> Vec<String> {
    let mut named: Vec<(String, String)> = Vec::new();
    for exchange in stage.google.wire().traffic() {
        let path = exchange.uri.split('?').next().unwrap_or_default();
        let mut parts = path.split('/').skip_while(|part| *part != "projects");
        let project = parts.nth(1).unwrap_or_default();
        let id = match (parts.next(), parts.next()) {
            (Some("datasets"), Some(id)) => id.to_owned(),
            (Some("datasets"), None) => {
                let made: Value = serde_json::from_slice(&exchange.request).unwrap_or_default();
                let id = made["datasetReference"]["datasetId"].as_str();
                id.unwrap_or_default().to_owned()
            }
            _ => continue,
        };
        named.push((project.to_owned(), id));
    }
    named.sort();
    named.dedup();
    let mut found = Vec::new();
    for (project, id) in named {
        let Some(dataset) = stage.google.dataset(&project, &id) else {
            continue;
        };
        let (location, labels) = (&dataset["location"], &dataset["labels"]);
        found.push(format!("dataset {project}.{id} {location} {labels}"));
        for entry in dataset["access"].as_array().into_iter().flatten() {
            found.push(format!("dataset {project}.{id} {entry}"));
        }
    }
    found
}

/// Comments with their reactions, and check runs.
fn said(stage: &Stage, people: &People) -> Vec<String> {
    let mut said = Vec::new();
    for (branch, number) in people.pulls() {
        for comment in stage.github.comments(*number) {
            let (login, body) = (&comment.login, without_folds(&comment.body));
            said.push(format!("comment on {branch} by {login}: {body}"));
            for reaction in &comment.reactions {
                let (who, what) = (&reaction.login, &reaction.content);
                said.push(format!("{what} of {who} on {branch}, {login}: {body}"));
            }
        }
    }
    for (commit, head) in people.heads() {
        for run in stage.github.check_runs(commit) {
            said.push(format!(
                "check on {head}: {} {} {:?} {:?} {:?} {:?}",
                run.name, run.status, run.conclusion, run.title, run.text, run.annotations
            ));
        }
    }
    said
}

/// The folds are left out: the list of Steps is of the passage that ended it, and a bot
/// that died on the way had only the rest to do.
fn without_folds(body: &str) -> String {
    let mut parts = body.split("<details>");
    let before = parts.next().unwrap_or_default().to_owned();
    let left = parts.fold(before, |text, fold| {
        text + fold.split_once("</details>").map_or("", |(_, after)| after)
    });
    // One that had nothing left to do has no fold, and no gap in its place.
    let paragraphs = left.split("\n\n").map(str::trim);
    let paragraphs: Vec<&str> = paragraphs.filter(|text| !text.is_empty()).collect();
    without_what_was_mended(&paragraphs.join("\n\n"))
}

/// Of what drifted, a bot that died on the way had only the rest to mend, and tells of that.
fn without_what_was_mended(body: &str) -> String {
    let mended = "**mended**";
    let mut parts = body.split(mended);
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |text, part| {
        let (_, after) = part.split_once("; as it was applied").unwrap_or(("", part));
        text + mended + after
    })
}

/// Instants, commits and uids are counted up by every write, of a dead bot too: all of
/// one kind are the same here.
fn neutral(text: &str, people: &People) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
    let mut neutral = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        neutral.push_str(kind_of(word, people).unwrap_or(word));
        let gap = after.find(is_word).unwrap_or(after.len());
        neutral.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    neutral
}

/// An instant; or its day or hour alone, as people read it.
fn is_moment(word: &str) -> bool {
    let is_day = word.len() == 10 && word.parse::<Date>().is_ok();
    let is_hour = word.len() == 8 && word.parse::<Time>().is_ok();
    word.parse::<Timestamp>().is_ok() || is_day || is_hour
}

fn kind_of(word: &str, people: &People) -> Option<&'static str> {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let dashed: Vec<usize> = word.split('-').map(str::len).collect();
    if people.made(word.trim_end_matches(['.', ':'])) || (word.len() == 40 && is_hex(word)) {
        Some("COMMIT")
    } else if word.len() > 3 && word.bytes().all(|b| b.is_ascii_digit()) {
        // A comment's id, in a claim.
        Some("ID")
    } else if word.contains("-rerun-") {
        Some("RUN")
    } else if word.contains(":answer-") {
        Some("ANSWER")
    } else if word.contains(":refusal-") {
        Some("REFUSAL")
    } else if is_moment(word) {
        Some("TIME")
    } else if dashed == [8, 4, 4, 4, 12] && is_hex(&word.replace('-', "")) {
        Some("UID")
    } else {
        None
    }
}
