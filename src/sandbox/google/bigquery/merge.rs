//! MERGE: rows of a known key are updated, others inserted, all at once.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Shared;
use super::run::{WRITE, Work, place};
use super::statement::{Merge, TableName};
use super::tables::{Column, Failed};

/// Merges rows into a table, and says how many it changed.
pub(super) fn merged(
    world: &Shared,
    work: &Work,
    merge: &Merge,
    columns: &[Column],
    rows: Vec<Vec<Option<String>>>,
) -> Result<usize, Failed> {
    let mut world = world.lock();
    let name = &merge.into;
    place(&world, work, name, &WRITE)?;
    let Some(table) = world.tables.get(name) else {
        let TableName {
            project,
            dataset,
            table,
        } = name;
        return Err((
            "notFound",
            format!("Not found: Table {project}:{dataset}.{table}"),
        ));
    };
    // DML is not counted among the day's writes.
    let mut next = table.clone();
    let of_target = |column: &String| {
        let at = next
            .columns
            .iter()
            .position(|known| known.name.eq_ignore_ascii_case(column));
        at.ok_or_else(|| ("invalidQuery", format!("Unrecognized name: {column}")))
    };
    let of_source = |column: &String| {
        let at = columns
            .iter()
            .position(|known| known.name.eq_ignore_ascii_case(column));
        at.ok_or_else(|| ("invalidQuery", format!("Name {column} not found inside s")))
    };
    let pairs = |names: &[String]| -> Result<Vec<(usize, usize)>, Failed> {
        names
            .iter()
            .map(|name| Ok((of_target(name)?, of_source(name)?)))
            .collect()
    };
    let (key, updated, inserted) = (
        pairs(&merge.key)?,
        pairs(&merge.updated)?,
        pairs(&merge.inserted)?,
    );
    let width = next.columns.len();
    let key_of =
        |row: &[Option<String>], side: fn(&(usize, usize)) -> usize| -> Option<Vec<String>> {
            key.iter()
                .map(|pair| row.get(side(pair))?.clone())
                .collect()
        };
    let mut known: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (at, row) in next.rows.iter().enumerate() {
        if let Some(key) = key_of(row, |pair| pair.0) {
            known.insert(key, at);
        }
    }
    let mut seen = BTreeSet::new();
    let changed = rows.len();
    let mut fresh = Vec::new();
    for row in rows {
        let key = key_of(&row, |pair| pair.1);
        let at = key.as_ref().and_then(|key| known.get(key)).copied();
        let (pairs, mut target) = match at.and_then(|at| next.rows.get(at)) {
            Some(target) => (&updated, target.clone()),
            None => (&inserted, vec![None; width]),
        };
        if let Some(at) = at
            && !seen.insert(at)
        {
            let message = "UPDATE/MERGE must match at most one source row for each target row";
            return Err(("invalidQuery", message.to_owned()));
        }
        for (to, from) in pairs {
            if let (Some(place), Some(cell)) = (target.get_mut(*to), row.get(*from)) {
                *place = cell.clone();
            }
        }
        match at.and_then(|at| next.rows.get_mut(at)) {
            Some(place) => *place = target,
            None => fresh.push(target),
        }
    }
    next.rows.extend(fresh);
    next.writes += 1;
    world.tables.insert(name.clone(), next);
    Ok(changed)
}
