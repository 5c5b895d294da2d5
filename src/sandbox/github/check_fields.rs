//! The fields of a check run as requests carry them, with the limits that a renderer has to stay within.

use serde_json::{Map, Value};

use super::answer::{Refusal, text};
use super::world::CheckRun;

const ANNOTATIONS_PER_REQUEST: usize = 50;
const TEXT_LIMIT: usize = 65_535;
const ANNOTATION_LIMIT: usize = 64 * 1024;
const CONCLUSIONS: &[&str] = &[
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "timed_out",
];

/// Carries the fields of a request over, each within its limits; `output_needs` differs by request.
pub(super) fn set(
    run: &mut CheckRun,
    fields: &Map<String, Value>,
    output_needs: &[&str],
) -> Result<(), Refusal> {
    if let Some(url) = text(fields, "details_url")? {
        run.details_url = Some(url);
    }
    if let Some(id) = text(fields, "external_id")? {
        run.external_id = Some(id);
    }
    if let Some(at) = text(fields, "started_at")? {
        run.started_at = Some(at);
    }
    if let Some(at) = text(fields, "completed_at")? {
        run.completed_at = Some(at);
    }
    if let Some(status) = text(fields, "status")? {
        one_of(&status, &["queued", "in_progress", "completed"])?;
        if status != "completed" {
            (run.conclusion, run.completed_at) = (None, None);
        }
        run.status = status;
    }
    if let Some(conclusion) = text(fields, "conclusion")? {
        one_of(&conclusion, CONCLUSIONS)?;
        run.conclusion = Some(conclusion);
        run.status = "completed".to_owned();
    }
    if run.conclusion.is_none() && (run.status == "completed" || run.completed_at.is_some()) {
        return Err(Refusal::invalid_request("\"conclusion\" wasn't supplied."));
    }
    match fields.get("output") {
        None | Some(Value::Null) => {}
        Some(Value::Object(output)) => set_output(run, output, output_needs)?,
        Some(_) => return Err(Refusal::invalid_request("\"output\" is not an object.")),
    }
    if let Some(Value::Array(actions)) = fields.get("actions") {
        at_most(actions.len(), 3)?;
        for action in actions {
            let action = action
                .as_object()
                .ok_or_else(|| Refusal::invalid_request("An action is not an object."))?;
            for (name, limit) in [("label", 20), ("description", 40), ("identifier", 20)] {
                within(&needed(action, name)?, limit)?;
            }
        }
        run.actions.clone_from(actions);
    }
    Ok(())
}

fn set_output(
    run: &mut CheckRun,
    output: &Map<String, Value>,
    needs: &[&str],
) -> Result<(), Refusal> {
    for name in needs {
        needed(output, name)?;
    }
    for (name, limit, place) in [
        ("title", 255, &mut run.title),
        ("summary", TEXT_LIMIT, &mut run.summary),
        ("text", TEXT_LIMIT, &mut run.text),
    ] {
        if let Some(text) = text(output, name)? {
            within(&text, limit)?;
            *place = Some(text);
        }
    }
    let Some(Value::Array(annotations)) = output.get("annotations") else {
        return Ok(());
    };
    at_most(annotations.len(), ANNOTATIONS_PER_REQUEST)?;
    for annotation in annotations {
        let annotation = annotation
            .as_object()
            .ok_or_else(|| Refusal::invalid_request("An annotation is not an object."))?;
        check_annotation(annotation)?;
        run.annotations.push(annotation.clone());
    }
    Ok(())
}

fn check_annotation(annotation: &Map<String, Value>) -> Result<(), Refusal> {
    let line = |name: &str| {
        annotation
            .get(name)
            .and_then(Value::as_u64)
            .ok_or_else(|| Refusal::invalid_request(format!("\"{name}\" wasn't supplied.")))
    };
    needed(annotation, "path")?;
    let (start, end) = (line("start_line")?, line("end_line")?);
    let columns = ["start_column", "end_column"];
    let has_columns = columns.iter().any(|name| annotation.contains_key(*name));
    if has_columns && start != end {
        return Err(Refusal::invalid_request(
            "\"start_column\" and \"end_column\" need equal \"start_line\" and \"end_line\".",
        ));
    }
    let level = needed(annotation, "annotation_level")?;
    one_of(&level, &["notice", "warning", "failure"])?;
    // These two are limited in bytes, the title in characters.
    let mut long = vec![needed(annotation, "message")?];
    long.extend(text(annotation, "raw_details")?);
    if long.iter().any(|text| text.len() > ANNOTATION_LIMIT) {
        return Err(Refusal::invalid_request("An annotation is over 64 KB."));
    }
    within(&text(annotation, "title")?.unwrap_or_default(), 255)
}

fn needed(fields: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    text(fields, name)?
        .ok_or_else(|| Refusal::invalid_request(format!("\"{name}\" wasn't supplied.")))
}

fn within(text: &str, limit: usize) -> Result<(), Refusal> {
    let length = text.chars().count();
    if length <= limit {
        return Ok(());
    }
    Err(Refusal::invalid_request(format!(
        "Only {limit} characters are allowed; {length} were supplied."
    )))
}

fn at_most(count: usize, limit: usize) -> Result<(), Refusal> {
    if count <= limit {
        return Ok(());
    }
    Err(Refusal::invalid_request(format!(
        "No more than {limit} items are allowed; {count} were supplied."
    )))
}

fn one_of(word: &str, words: &[&str]) -> Result<(), Refusal> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(Refusal::invalid_request(format!(
        "{word} is not a member of {words:?}."
    )))
}
