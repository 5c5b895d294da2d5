//! Who reaches what, before and after, and what proves that instances stay apart.

use crate::plan::access::{Isolation, Movement};

use super::facts::Facts;
use super::markdown::{count, details, prose, table};
use super::words;

/// Bytes that the matrix may take.
const ROOM: usize = 24_000;

/// `3 grants gained, 1 lost`.
pub(super) fn counts(facts: &Facts<'_>) -> String {
    let gained = facts.moved(Movement::Gained);
    let lost = facts.moved(Movement::Lost);
    match (gained, lost) {
        (0, 0) => "no grant gained or lost".to_owned(),
        (gained, 0) => format!("{} gained", count(gained, "grant", "grants")),
        (0, lost) => format!("{} lost", count(lost, "grant", "grants")),
        (gained, lost) => format!("{} gained, {lost} lost", count(gained, "grant", "grants")),
    }
}

/// The folded matrix; empty if no grant is concerned.
pub(super) fn matrix(facts: &Facts<'_>) -> String {
    let rows = &facts.plan.access.rows;
    if rows.is_empty() {
        return String::new();
    }
    let kept = facts.moved(Movement::Kept);
    let moved = rows.iter().filter_map(|row| {
        let change = match row.movement {
            Movement::Gained => "no → **yes**",
            Movement::Lost => "yes → **no**",
            Movement::Kept => return None,
        };
        Some([
            words::member(&row.grant.member),
            words::role(row.grant.role),
            words::resource(&row.grant.resource),
            change.to_owned(),
        ])
    });
    let mut body = Vec::new();
    if rows.len() > kept {
        let (table, left_out) = table(["Who", "Can", "What", "Before → after"], moved, ROOM);
        body.push(words::with_more(table, left_out));
    }
    if kept > 0 {
        let stay = if kept == 1 { "stays" } else { "stay" };
        let before = if body.is_empty() { "" } else { "other " };
        body.push(format!(
            "{} {stay} as before.",
            count(kept, &format!("{before}grant"), &format!("{before}grants"))
        ));
    }
    let summary = format!("Who reaches what: {}", counts(facts));
    details(&summary, &body.join("\n\n"))
}

/// The proof of isolation, or what contradicts it; empty if no identity is concerned.
pub(super) fn isolation(isolation: &Isolation) -> String {
    let Isolation {
        identities,
        connections,
        violations,
    } = isolation;
    if let Some(first) = violations.first() {
        let more = match violations.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        return format!("**Isolation is broken:** {}{more}.", prose(&first.text));
    }
    if *identities == 0 {
        return String::new();
    }
    format!(
        "**Isolation:** {}, {}, over all pipelines: no identity reaches another instance's \
         connection, and no dataset is written by two identities.",
        count(*identities, "identity", "identities"),
        count(*connections, "connection", "connections"),
    )
}
