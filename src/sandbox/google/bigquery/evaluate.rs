//! The expressions of a SELECT: what they read, what kind they are, and what they come to.

use super::statement::{Expression, Select};
use super::tables::{Column, Failed};
use super::values::cast;

/// The columns that a SELECT needs, each once, in the order that it names them.
pub(super) fn needed(select: &Select) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |name: &String| {
        if !all.contains(name) {
            all.push(name.clone());
        }
    };
    for item in &select.items {
        let mut what = &item.what;
        loop {
            match what {
                Expression::Column(name) | Expression::Max(name) => {
                    add(name);
                    break;
                }
                Expression::Cast(inner, _) | Expression::Formatted(inner) => what = inner,
                Expression::Null => break,
            }
        }
    }
    if let Some((name, _)) = &select.fails_if {
        add(name);
    }
    all
}

pub(super) fn holds_max(what: &Expression) -> bool {
    match what {
        Expression::Max(_) => true,
        Expression::Cast(inner, _) | Expression::Formatted(inner) => holds_max(inner),
        Expression::Column(_) | Expression::Null => false,
    }
}

pub(super) fn kind_of(
    what: &Expression,
    columns: &[Column],
    column: &impl Fn(&str) -> Result<usize, Failed>,
) -> Result<String, Failed> {
    match what {
        Expression::Column(name) | Expression::Max(name) => {
            let at = column(name)?;
            Ok(columns
                .get(at)
                .map(|column| column.kind.clone())
                .unwrap_or_default())
        }
        Expression::Cast(_, to) => Ok(to.clone()),
        Expression::Null => Ok("INT64".to_owned()),
        Expression::Formatted(_) => Ok("STRING".to_owned()),
    }
}

pub(super) fn value(
    what: &Expression,
    rows: &[Vec<Option<String>>],
    columns: &[Column],
    column: &impl Fn(&str) -> Result<usize, Failed>,
) -> Result<Option<String>, Failed> {
    match what {
        Expression::Null => Ok(None),
        Expression::Column(name) => {
            let at = column(name)?;
            Ok(rows.first().and_then(|row| row.get(at)).cloned().flatten())
        }
        Expression::Cast(inner, to) => {
            let text = value(inner, rows, columns, column)?;
            text.map(|text| cast(&text, to))
                .transpose()
                .map_err(|message| ("invalidQuery", message))
        }
        Expression::Formatted(inner) => value(inner, rows, columns, column),
        Expression::Max(name) => {
            let at = column(name)?;
            let is_number = columns.get(at).is_some_and(|column| column.kind == "INT64");
            let cells = rows.iter().filter_map(|row| row.get(at)?.clone());
            Ok(if is_number {
                cells.max_by_key(|text| text.parse::<i64>().unwrap_or(i64::MIN))
            } else {
                cells.max()
            })
        }
    }
}
