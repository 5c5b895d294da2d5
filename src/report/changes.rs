//! One pipeline's part of a plan: what would happen to each of its objects, and why.

use crate::name::PipelineName;
use crate::object::{Object, ObjectKey};
use crate::plan::compare::LEAVING;
use crate::plan::{Change, Intent, PipelinePlan};

use super::budget::Detail;
use super::diff;
use super::facts::{Facts, Fate};
use super::markdown::{code, count, details, html_code, list, table};
use super::words;

/// Bytes that one pipeline's table may take.
const ROOM: usize = 30_000;

/// The folded section of a pipeline.
pub(super) fn section(
    facts: &Facts<'_>,
    name: &PipelineName,
    pipeline: &PipelinePlan,
    detail: Detail,
) -> String {
    let head = format!(
        "{}: {}",
        html_code(name.as_str()),
        words::intent(pipeline.intent)
    );
    let path = code(&pipeline.path);
    // What is blocked can not be approved, so its digest would only mislead.
    let (summary, first) = match pipeline.intent {
        Intent::Blocked => (head, path),
        _ => (
            format!("{head}, digest {}", html_code(pipeline.digest.short())),
            format!("{path}, digest {}", code(pipeline.digest.as_str())),
        ),
    };
    let mut body = vec![first];
    body.extend(notes(facts, name, pipeline));
    let changes = facts.changes_of(name);
    let (moving, still): (Vec<_>, Vec<_>) = changes
        .iter()
        .map(|(key, change)| (*key, *change, facts.fate(change)))
        .partition(|(_, _, fate)| *fate != Fate::Unchanged);
    if !moving.is_empty() {
        let rows = moving.iter().map(|(key, _, fate)| {
            [
                verb(*fate).to_owned(),
                words::object(key),
                remark(facts, name, key, *fate),
            ]
        });
        let (table, left_out) = table(["Change", "Object", "Remark"], rows, ROOM);
        body.push(words::with_more(table, left_out));
    }
    // What pipelines share is shown whole once, with the first of them.
    let first: Vec<_> = moving
        .iter()
        .filter(|(_, change, _)| change.pipelines.first() == Some(name))
        .collect();
    if detail.tells(Detail::NoManifests) {
        body.extend(
            first
                .iter()
                .filter_map(|(key, _, fate)| difference(key, *fate)),
        );
    }
    if detail.tells(Detail::Whole) {
        body.extend(manifests(&first));
    }
    let still = still.iter().map(|(key, _, _)| *key);
    body.extend(unchanged(still, detail, moving.is_empty()));
    details(&summary, &body.join("\n\n"))
}

/// One line for a pipeline.
pub(super) fn line(facts: &Facts<'_>, name: &PipelineName, pipeline: &PipelinePlan) -> [String; 4] {
    let changes = facts.changes_of(name);
    let number = |wanted: &str| {
        changes
            .iter()
            .filter(|(_, change)| verb(facts.fate(change)) == wanted)
            .count()
    };
    let parts: Vec<String> = ["create", "configure", "replace", "adopt", "prune", "stays"]
        .into_iter()
        .map(|verb| (number(verb), verb))
        .filter(|(number, _)| *number > 0)
        .map(|(number, verb)| format!("{number} {verb}"))
        .collect();
    let what = if parts.is_empty() {
        "nothing to write".to_owned()
    } else {
        parts.join(", ")
    };
    [
        code(name.as_str()),
        words::intent(pipeline.intent).to_owned(),
        what,
        match pipeline.intent {
            Intent::Blocked => String::new(),
            _ => code(pipeline.digest.short()),
        },
    ]
}

/// What a reader of the table has to know beforehand.
fn notes(facts: &Facts<'_>, name: &PipelineName, pipeline: &PipelinePlan) -> Vec<String> {
    let mut notes = Vec::new();
    match pipeline.intent {
        Intent::Blocked => {
            let holds = match pipeline.recorded.len() {
                0 => "It holds nothing yet.".to_owned(),
                n => format!(
                    "Everything it holds stays as it is: {}.",
                    count(n, "object or grant", "objects and grants")
                ),
            };
            notes.push(format!("This file can not be used as it is. {holds}"));
        }
        Intent::Remove => notes.push(
            "Its schedule and its grants go. Data is never deleted: the dataset and its tables \
             stay."
                .to_owned(),
        ),
        Intent::Keep if facts.plan.is_pending(name) => {
            notes.push(match words::drift(facts.plan, name) {
                drift if drift.is_empty() => {
                    "It was applied as it stands here, and is not finished.".to_owned()
                }
                drift => format!("It was applied as it stands here, and has drifted: {drift}."),
            });
        }
        Intent::Create | Intent::Change | Intent::Keep => {}
    }
    if let Some(old) = &pipeline.renamed_from {
        notes.push(format!(
            "It was {}: what it held under that name is taken over.",
            code(old.as_str())
        ));
    }
    notes
}

fn verb(fate: Fate<'_>) -> &'static str {
    match fate {
        Fate::Create => "create",
        Fate::Configure(_) => "configure",
        Fate::Replace(..) => "replace",
        Fate::Adopt(_) => "adopt",
        Fate::Prune => "prune",
        Fate::Stays(_) | Fate::StillHeld => "stays",
        Fate::Unchanged => "unchanged",
    }
}

fn remark(facts: &Facts<'_>, name: &PipelineName, key: &ObjectKey, fate: Fate<'_>) -> String {
    let number = facts.others(key, name);
    let other_pipelines = count(number, "other pipeline", "other pipelines");
    let others = match number {
        0 => String::new(),
        _ => format!("shared with {other_pipelines}"),
    };
    let own = match fate {
        Fate::Configure(fields) => words::names(fields.iter().map(|change| change.field.as_str())),
        Fate::Replace(fields, why) => {
            let fields = fields.iter().map(|change| change.field.as_str());
            let fields: Vec<&str> = fields.filter(|field| *field != LEAVING).collect();
            let changes = match fields.as_slice() {
                [] => String::new(),
                fields => format!("; changes {}", words::names(fields)),
            };
            format!("it is deleted and made again, because {why}{changes}")
        }
        Fate::Adopt([]) => "it is there already, and nobody's".to_owned(),
        Fate::Adopt(fields) => format!(
            "it is there already, and nobody's; changes {}",
            words::names(fields.iter().map(|change| change.field.as_str()))
        ),
        Fate::Stays(why) => why.to_owned(),
        Fate::StillHeld => return format!("still held by {other_pipelines}"),
        Fate::Create | Fate::Prune | Fate::Unchanged => String::new(),
    };
    match (own.is_empty(), others.is_empty()) {
        (false, false) => format!("{own}; {others}"),
        _ => format!("{own}{others}"),
    }
}

/// What stays as it is: named, or only counted.
fn unchanged<'k>(
    keys: impl ExactSizeIterator<Item = &'k ObjectKey>,
    detail: Detail,
    nothing_moves: bool,
) -> Option<String> {
    let number = keys.len();
    if number == 0 {
        return None;
    }
    let head = format!(
        "{} unchanged",
        count(number, "object or grant", "objects and grants")
    );
    let head = if nothing_moves {
        format!("Nothing to write: {head}")
    } else {
        head
    };
    if !detail.tells(Detail::NoDiffs) {
        return Some(format!("{head}."));
    }
    let (keys, _) = list(keys.map(words::object), usize::MAX);
    Some(details(&head, &keys))
}

fn difference(key: &ObjectKey, fate: Fate<'_>) -> Option<String> {
    let (Fate::Configure(fields) | Fate::Replace(fields, _) | Fate::Adopt(fields)) = fate else {
        return None;
    };
    if fields.is_empty() {
        return None;
    }
    Some(format!(
        "{}, before and after:\n\n{}",
        words::object(key),
        diff::difference(fields)
    ))
}

/// The manifests of new objects, folded.
fn manifests(moving: &[&(&ObjectKey, &Change, Fate<'_>)]) -> Option<String> {
    let blocks: Vec<String> = moving
        .iter()
        .filter(|(_, _, fate)| *fate == Fate::Create)
        .filter_map(|(key, change, _)| match &change.object {
            Some(Object::Kubernetes(manifest)) => Some(format!(
                "{}:\n\n{}",
                words::object(key),
                diff::manifest(&manifest.value())
            )),
            _ => None,
        })
        .collect();
    if blocks.is_empty() {
        return None;
    }
    let summary = count(blocks.len(), "manifest", "manifests");
    Some(details(&summary, &blocks.join("\n\n")))
}
