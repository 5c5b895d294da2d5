//! The access list of a dataset: what an entry may be, and how Google writes it back.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::policy::hidden_role;
use super::reply::{Kind, Refusal};
use super::world::World;

/// Fields that say who an entry is for, and whether it then needs a role.
const GRANTEES: [(&str, bool); 8] = [
    ("userByEmail", true),
    ("groupByEmail", true),
    ("domain", true),
    ("specialGroup", true),
    ("iamMember", true),
    ("view", false),
    ("routine", false),
    ("dataset", false),
];
const SPECIAL_GROUPS: [&str; 4] = [
    "projectOwners",
    "projectReaders",
    "projectWriters",
    "allAuthenticatedUsers",
];
const OWNER: &str = "OWNER";

/// What a dataset gets when nobody says who may reach it; the order is as recorded.
pub(super) fn default_list(creator: &str) -> Vec<Value> {
    vec![
        json!({"role": OWNER, "specialGroup": "projectOwners"}),
        json!({"role": OWNER, "userByEmail": creator}),
        json!({"role": "READER", "specialGroup": "projectReaders"}),
        json!({"role": "WRITER", "specialGroup": "projectWriters"}),
    ]
}

/// Checks a list as sent, and gives it back as Google keeps it. Repeated entries stay repeated, as recorded.
pub(super) fn accept(
    world: &mut World,
    dataset: &str,
    list: &[Value],
    version: u64,
) -> Result<Vec<Value>, Refusal> {
    let mut kept = Vec::new();
    let mut emails = BTreeSet::new();
    for entry in list {
        let entry = check(entry)?;
        if entry.contains_key("condition") && version < 3 {
            return Err(invalid(
                "A conditional access entry needs access policy version 3.",
            ));
        }
        if let Some(email) = entry.get("userByEmail").and_then(Value::as_str) {
            emails.insert(email.to_owned());
        }
        kept.push(Value::Object(entry));
    }
    if let Some(email) = world.first_missing_account(&emails) {
        return Err(invalid(format!(
            "IAM setPolicy failed for Dataset {dataset}: Service account {email} does not exist."
        )));
    }
    Ok(kept)
}

fn check(entry: &Value) -> Result<Map<String, Value>, Refusal> {
    let Some(entry) = entry.as_object() else {
        return Err(invalid("An access entry must be an object."));
    };
    let named: Vec<(&str, bool)> = GRANTEES
        .into_iter()
        .filter(|(field, _)| entry.contains_key(*field))
        .collect();
    let [(field, needs_role)] = named.as_slice() else {
        return Err(invalid(
            "An access entry must have exactly one of userByEmail, groupByEmail, domain, specialGroup defined, view, routine, or dataset.",
        ));
    };
    if let Some(stranger) = entry
        .keys()
        .find(|key| !matches!(key.as_str(), "role" | "condition") && key.as_str() != *field)
    {
        return Err(invalid(format!(
            "Unknown name {stranger:?} in an access entry."
        )));
    }
    let role = entry.get("role").and_then(Value::as_str).unwrap_or("");
    if *needs_role && role.is_empty() {
        return Err(invalid("An access entry must have a role."));
    }
    if !*needs_role && !role.is_empty() {
        return Err(invalid(format!(
            "An access entry with {field} must not have a role."
        )));
    }
    let short = short_role(role);
    let custom = short.starts_with("roles/")
        || short.starts_with("projects/")
        || short.starts_with("organizations/");
    let basic = matches!(short, OWNER | "WRITER" | "READER");
    if *needs_role && (!(custom || basic) || short.contains("_withcond_")) {
        return Err(invalid(format!("Invalid value for role: {role}")));
    }
    check_grantee(field, entry.get(*field))?;
    let mut kept = entry.clone();
    if *needs_role {
        kept.insert("role".into(), json!(short));
    }
    Ok(kept)
}

fn check_grantee(field: &str, value: Option<&Value>) -> Result<(), Refusal> {
    let text = value.and_then(Value::as_str).unwrap_or("");
    let well_formed = match field {
        "userByEmail" | "groupByEmail" => text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.')),
        "domain" => text.contains('.') && !text.contains('@'),
        "specialGroup" => SPECIAL_GROUPS.contains(&text),
        "iamMember" => !text.is_empty(),
        _ => value.is_some_and(Value::is_object),
    };
    if well_formed {
        return Ok(());
    }
    Err(invalid(format!("Invalid value for {field}: {text:?}")))
}

/// The old names of the three dataset roles: the new ones go in, these come out.
fn short_role(role: &str) -> &str {
    match role {
        "roles/bigquery.dataOwner" => OWNER,
        "roles/bigquery.dataEditor" => "WRITER",
        "roles/bigquery.dataViewer" => "READER",
        other => other,
    }
}

/// Whether anyone owns the dataset without a condition.
pub(super) fn has_owner(list: &[Value]) -> bool {
    list.iter().any(|entry| {
        entry.get("role").and_then(Value::as_str) == Some(OWNER) && entry.get("condition").is_none()
    })
}

pub(super) fn is_conditional(list: &[Value]) -> bool {
    list.iter().any(|entry| entry.get("condition").is_some())
}

/// The list as a reader of this version sees it: before 3, a condition hides behind a made-up role.
pub(super) fn view(list: &[Value], version: u64) -> Vec<Value> {
    if version >= 3 {
        return list.to_vec();
    }
    list.iter()
        .map(|entry| {
            let mut entry = entry.clone();
            if let Some(fields) = entry.as_object_mut()
                && let Some(condition) = fields.remove("condition")
            {
                let role = fields.get("role").and_then(Value::as_str).unwrap_or("");
                let hidden = hidden_role(role, &condition);
                fields.insert("role".into(), json!(hidden));
            }
            entry
        })
        .collect()
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Kind::BigQueryInvalid, message)
}
