//! The words for objects, owners and counts, so that every report has the same ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::name::{Owner, PipelineName, ProjectId};
use crate::object::{Grant, Member, ObjectKey, Resource, Role};
use crate::plan::compare::LEAVING;
use crate::plan::drift::{Drift, Touch};
use crate::plan::{Intent, Plan};

use super::facts::Intents;
use super::markdown::{all_of, code, count, list, one_of, prose, table};

/// Bytes that a list of findings may take.
const FINDINGS_ROOM: usize = 20_000;

/// Names that one sentence lists.
const MOST_NAMES: usize = 20;

/// `2 pipelines: 1 to create, 1 to change`.
pub(super) fn pipelines(intents: Intents) -> String {
    let Intents {
        create,
        change,
        remove,
        keep,
        blocked,
    } = intents;
    let parts: Vec<String> = [
        (create, "to create"),
        (change, "to change"),
        (remove, "to remove"),
        (keep, "to keep"),
        (blocked, "blocked"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, words)| format!("{number} {words}"))
    .collect();
    let all = count(
        create + change + remove + keep + blocked,
        "pipeline",
        "pipelines",
    );
    format!("{all}: {}", parts.join(", "))
}

pub(super) fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::Create => "create",
        Intent::Change => "change",
        Intent::Keep => "keep",
        Intent::Remove => "remove",
        Intent::Blocked => "blocked",
    }
}

/// An object, in a few words.
pub(super) fn object(key: &ObjectKey) -> String {
    match key {
        ObjectKey::ServiceAccount(account) => {
            format!("service account {}", code(&account.email()))
        }
        ObjectKey::Dataset { project, dataset } => {
            format!("dataset {}", code(&format!("{project}.{dataset}")))
        }
        ObjectKey::Grant(grant) => format!("grant: {}", sentence(grant)),
        ObjectKey::Kubernetes { kind, name } => format!("{} {}", kind.as_str(), code(name)),
    }
}

/// Who can do what, as a sentence.
pub(super) fn sentence(grant: &Grant) -> String {
    format!(
        "{} {} {}",
        member(&grant.member),
        grant.role.words(),
        resource(&grant.resource)
    )
}

pub(super) fn member(who: &Member) -> String {
    match who {
        Member::Workload { .. } => format!("workload {}", code(&who.to_string())),
        Member::ServiceAccount(_) | Member::Reader(_) => code(&who.to_string()),
    }
}

pub(super) fn role(role: Role) -> String {
    format!("{} ({})", role.words(), code(role.as_str()))
}

pub(super) fn resource(what: &Resource) -> String {
    match what {
        Resource::ServiceAccount(account) => {
            format!("service account {}", code(&account.email()))
        }
        Resource::Project(project) => format!("project {}", code(project.as_str())),
        Resource::Connection(connection) => format!(
            "connection {}",
            code(&format!(
                "{}.{}.{}",
                connection.project, connection.location, connection.id
            ))
        ),
        Resource::Dataset { project, dataset } => {
            format!("dataset {}", code(&format!("{project}.{dataset}")))
        }
    }
}

/// Names as code, at most as many as a sentence bears.
pub(super) fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut all: Vec<String> = names.into_iter().map(|name| code(name.as_ref())).collect();
    let more = all.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        all.truncate(MOST_NAMES);
        all.push(format!("{more} more"));
    }
    all_of(&all)
}

/// What of a pipeline's objects somebody has changed, and who; nothing, if nobody has. The
/// managers are code, so that nobody is notified.
pub(super) fn drift(plan: &Plan, name: &PipelineName) -> String {
    let who = |touch: &Option<Touch>| match touch {
        Some(touch) => format!(" by {} at {}", code(&touch.manager), code(&touch.at)),
        None => String::new(),
    };
    let mut all: Vec<String> = plan
        .drift_of(name)
        .map(|(key, drift)| match drift {
            Drift::Gone => format!("{} was taken away", object(key)),
            Drift::Changed(fields) => {
                let mut fields: Vec<String> = fields
                    .iter()
                    .map(|(field, touch)| match field.as_str() {
                        LEAVING => "somebody deletes it".to_owned(),
                        _ => format!("{} was changed{}", code(field), who(touch)),
                    })
                    .collect();
                let more = fields.len().saturating_sub(MOST_NAMES);
                if more > 0 {
                    fields.truncate(MOST_NAMES);
                    fields.push(format!("{more} more"));
                }
                format!("{}: {}", object(key), fields.join(", "))
            }
        })
        .collect();
    let more = all.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        all.truncate(MOST_NAMES);
        all.push(format!("{more} more"));
    }
    all.join("; ")
}

/// `@acme/orders (owners of acme-orders)` for each group of owners, one of whom is meant.
/// The names are code, so that nobody is notified.
pub(super) fn one_of_each(projects: &BTreeMap<ProjectId, BTreeSet<Owner>>) -> Vec<String> {
    let mut groups: BTreeMap<&BTreeSet<Owner>, Vec<&str>> = BTreeMap::new();
    for (project, owners) in projects {
        groups.entry(owners).or_default().push(project.as_str());
    }
    groups
        .into_iter()
        .map(|(owners, projects)| {
            let who: Vec<String> = owners
                .iter()
                .take(MOST_NAMES)
                .map(|owner| code(owner.as_str()))
                .collect();
            format!("{} (owners of {})", one_of(&who), names(projects))
        })
        .collect()
}

/// Denies as a table: where, which rule, what, and what to do.
pub(super) fn denies<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> String {
    let rows = findings.into_iter().map(|finding| {
        [
            place(finding),
            code(&finding.rule),
            prose(&finding.message),
            finding.help.as_deref().map(prose).unwrap_or_default(),
        ]
    });
    let header = ["Place", "Rule", "What is wrong", "Next step"];
    let (table, left_out) = table(header, rows, FINDINGS_ROOM);
    with_rest(table, left_out, "of the check run, on their lines")
}

/// Warnings as a list.
pub(super) fn warns<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> String {
    let items = findings.into_iter().map(|finding| {
        let help = match &finding.help {
            Some(help) => format!(". Next step: {}", prose(help)),
            None => String::new(),
        };
        format!(
            "{}, {}: {}{help}",
            place(finding),
            code(&finding.rule),
            prose(&finding.message)
        )
    });
    let (list, left_out) = list(items, FINDINGS_ROOM / 2);
    with_rest(list, left_out, "of the check run, on their lines")
}

/// Says how many did not fit, and where they are.
pub(super) fn with_rest(text: String, left_out: usize, place: &str) -> String {
    if left_out == 0 {
        text
    } else {
        format!("{text}\n\nAnd {left_out} more: see the annotations {place}.")
    }
}

/// Says how many did not fit into a list that is nowhere else.
pub(super) fn with_more(text: String, left_out: usize) -> String {
    if left_out == 0 {
        text
    } else {
        format!("{text}\n\nAnd {left_out} more.")
    }
}

fn place(finding: &Finding) -> String {
    match finding.span {
        Some(span) => code(&format!("{}:{}", finding.path, span.line)),
        None => code(&finding.path),
    }
}

/// The denies of a plan.
pub(super) fn all_denies(plan: &Plan) -> impl Iterator<Item = &Finding> {
    plan.findings.iter().filter(|finding| finding.is_deny())
}
