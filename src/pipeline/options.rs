//! How a pipeline's tables are copied, where that is not simply whole: what stands under
//! `tables`, and what happens when the source changes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::rule;
use crate::name::PgName;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::reader::Reader;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// How old a full copy may get, where the file does not say.
const FULL_EVERY: u64 = 7 * DAY;
/// Rows that were deleted at the source stay for as long.
const FULL_EVERY_RANGE: (u64, u64) = (HOUR, 90 * DAY);

/// How one table is copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// A condition as a person wrote it; `sync::filter` decides whether it is one.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub columns: ColumnSelection,
}

/// Whether a table is written whole or by what changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mode {
    #[default]
    Full,
    Incremental {
        /// Columns of a unique index, none of them nullable.
        key: Vec<PgName>,
        /// A column that grows with every change of a row.
        cursor: PgName,
        /// How far before the highest cursor a run reads again. Absent: an hour where the
        /// cursor is a time, and nothing where it is a number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lookback_seconds: Option<u64>,
        /// How old the last full copy may get; a full copy is what finds deleted rows.
        full_every_seconds: u64,
    },
}

/// Which columns of a table leave PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnSelection {
    #[default]
    All,
    Include(BTreeSet<PgName>),
    Exclude(BTreeSet<PgName>),
}

impl ColumnSelection {
    /// Whether a column of this name leaves PostgreSQL.
    pub fn contains(&self, column: &str) -> bool {
        let named = |names: &BTreeSet<PgName>| names.iter().any(|name| name.as_str() == column);
        match self {
            Self::All => true,
            Self::Include(names) => named(names),
            Self::Exclude(names) => !named(names),
        }
    }
}

/// What happens when the source's columns are no longer those of the destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChanges {
    #[default]
    Evolve,
    Freeze,
}

/// What happens to a table or a column that the destination does not have yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    #[default]
    Copy,
    Hold,
}

/// `true` if the value need not be written down.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn schema_changes(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<SchemaChanges> {
    let choices = [
        ("evolve", SchemaChanges::Evolve),
        ("freeze", SchemaChanges::Freeze),
    ];
    reader.choice(field, &choices)
}

pub(super) fn arrival(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Arrival> {
    reader.choice(field, &[("copy", Arrival::Copy), ("hold", Arrival::Hold)])
}

/// Reads a table's keys, but for its schedule.
pub(super) fn table_options(reader: &mut Reader<'_>, keys: &mut Fields<'_>) -> TableOptions {
    let columns = keys.take("columns").and_then(|f| columns(reader, &f));
    let columns = columns.unwrap_or_default();
    TableOptions {
        mode: mode(reader, keys, &columns).unwrap_or_default(),
        filter: keys.take("where").and_then(|f| reader.text(&f)),
        columns,
    }
}

fn columns(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<ColumnSelection> {
    let mut keys = reader.fields(field)?;
    let (include, exclude) = (keys.take("include"), keys.take("exclude"));
    reader.end(keys);
    match (include, exclude) {
        (Some(include), None) => {
            let names = reader.names(&include)?;
            if names.is_empty() {
                let message = "`include` names no column, so nothing would be copied";
                reader.deny(rule::TABLE_SETTINGS, Some(include.place), message);
            }
            Some(ColumnSelection::Include(names))
        }
        (None, Some(exclude)) => reader.names(&exclude).map(ColumnSelection::Exclude),
        (None, None) => None,
        (Some(_), Some(exclude)) => {
            let message = "`include` and `exclude` are both set: keep one of them";
            reader.deny(rule::TABLE_SETTINGS, Some(exclude.place), message);
            None
        }
    }
}

fn mode(reader: &mut Reader<'_>, keys: &mut Fields<'_>, columns: &ColumnSelection) -> Option<Mode> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Full,
        Incremental,
    }
    let place = keys.take("mode");
    let choices = [("full", Word::Full), ("incremental", Word::Incremental)];
    let word = place.as_ref().map(|field| reader.choice(field, &choices));
    let parts = ["key", "cursor", "lookback", "full_every"].map(|part| (part, keys.take(part)));
    let [(_, key), (_, cursor), (_, lookback), (_, full_every)] = &parts;
    if word != Some(Some(Word::Incremental)) {
        // An unreadable mode has its own finding.
        if word != Some(None) {
            for (part, field) in &parts {
                let Some(field) = field else { continue };
                let message =
                    format!("`{part}` is for `mode: incremental`, and this table is copied whole");
                reader.deny(rule::TABLE_SETTINGS, Some(field.place), message);
            }
        }
        return None;
    }
    let at = place.map(|field| field.span());
    for (part, field) in parts.iter().take(2) {
        if field.is_none() {
            let message = format!("`mode: incremental` needs `{part}`");
            reader.deny(rule::MISSING_KEY, at, message);
        }
    }
    let lookback_field = lookback;
    let full_every_field = full_every;
    let key = key.as_ref().and_then(|field| {
        let names: Option<Vec<PgName>> = reader
            .list(field)?
            .iter()
            .map(|item| reader.name(item))
            .collect();
        let names = names?;
        if names.is_empty() {
            reader.deny(
                rule::TABLE_SETTINGS,
                Some(field.place),
                "`key` names no column",
            );
        }
        Some(names)
    });
    let cursor_name: Option<PgName> = cursor.as_ref().and_then(|field| reader.name(field));
    let lookback = lookback_field
        .as_ref()
        .and_then(|field| duration(reader, field, (0, FULL_EVERY_RANGE.1)));
    let full_every = full_every_field.as_ref().map_or(Some(FULL_EVERY), |field| {
        duration(reader, field, FULL_EVERY_RANGE)
    });
    for name in key.iter().flatten().chain(&cursor_name) {
        if !columns.contains(name.as_str()) {
            let message =
                format!("`{name}` is needed for `mode: incremental`, and `columns` leaves it out");
            reader.deny(rule::TABLE_SETTINGS, at, message);
        }
    }
    Some(Mode::Incremental {
        key: key?,
        cursor: cursor_name?,
        lookback_seconds: lookback,
        full_every_seconds: full_every?,
    })
}

/// `90s`, `15m`, `2h` or `7d`, in seconds.
fn duration(reader: &mut Reader<'_>, field: &Field<'_>, range: (u64, u64)) -> Option<u64> {
    let text = reader.text(field)?;
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let number: u64 = text.get(..at)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => HOUR,
            'd' => DAY,
            _ => return None,
        };
        number.checked_mul(seconds)
    });
    let message = match parsed {
        Some(seconds) if (range.0..=range.1).contains(&seconds) => return Some(seconds),
        Some(_) => format!(
            "a duration here is between {} and {}",
            said(range.0),
            said(range.1)
        ),
        None => "a duration is a number and a unit: `90s`, `15m`, `2h` or `7d`".to_owned(),
    };
    reader.deny(rule::ILLEGAL_VALUE, Some(field.span()), message);
    None
}

fn said(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        seconds if seconds % DAY == 0 => format!("{}d", seconds / DAY),
        seconds => format!("{}h", seconds / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::snapshot::{Entry, Tree};

    fn parsed(rest: &str) -> super::super::Parsed {
        let text = format!(
            "bq_project_id: acme-orders\nbq_connection_id: orders-db\nbq_dataset_name: d\n\
             service_name: orders\ndb_catalog_name: db1\ndb_schema_name: s\n{rest}"
        );
        let entry = (
            "pipelines/orders.yaml".to_owned(),
            Entry::File(text.into_bytes()),
        );
        parse(&Tree {
            entries: [entry].into(),
        })
    }

    fn options(rest: &str) -> TableOptions {
        let found = parsed(&format!("tables:\n  a: {{{rest}}}\n"));
        assert_eq!(found.findings, vec![]);
        let pipeline = found.pipelines.into_values().next().unwrap();
        pipeline.table_options.into_values().next().unwrap()
    }

    #[test]
    fn a_table_by_what_changed() {
        let options = options(
            "mode: incremental, key: [id, part], cursor: at, lookback: 90s, full_every: 2d, \
             where: 'x = 1', columns: {exclude: [email]}",
        );
        let name = |text: &str| text.parse::<PgName>().unwrap();
        let expected = TableOptions {
            mode: Mode::Incremental {
                key: vec![name("id"), name("part")],
                cursor: name("at"),
                lookback_seconds: Some(90),
                full_every_seconds: 172_800,
            },
            filter: Some("x = 1".to_owned()),
            columns: ColumnSelection::Exclude([name("email")].into()),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn what_readers_can_see_waits_for_its_name() {
        let arrivals = |rest: &str| {
            let pipeline = parsed(rest).pipelines.into_values().next().unwrap();
            (pipeline.new_tables, pipeline.new_columns)
        };
        assert_eq!(arrivals(""), (Arrival::Copy, Arrival::Copy));
        let read = "readers: ['group:bi@acme.example']\n";
        assert_eq!(arrivals(read), (Arrival::Hold, Arrival::Hold));
        let said = format!("{read}new_tables: copy\n");
        assert_eq!(arrivals(&said), (Arrival::Copy, Arrival::Hold));
    }

    #[test]
    fn settings_that_contradict_each_other() {
        let cases = [
            (
                "key: [id]",
                "`key` is for `mode: incremental`, and this table is copied whole",
            ),
            (
                "mode: full, full_every: 1d",
                "`full_every` is for `mode: incremental`",
            ),
            (
                "mode: incremental, key: [id]",
                "`mode: incremental` needs `cursor`",
            ),
            (
                "mode: incremental, key: [], cursor: at",
                "`key` names no column",
            ),
            ("mode: sometimes", "sometimes"),
            (
                "mode: incremental, key: [id], cursor: at, columns: {include: [id]}",
                "`at` is needed for `mode: incremental`, and `columns` leaves it out",
            ),
            (
                "columns: {include: [a], exclude: [b]}",
                "`include` and `exclude` are both set",
            ),
            (
                "mode: incremental, key: [id], cursor: at, lookback: 1w",
                "a duration is a number and a unit",
            ),
            (
                "mode: incremental, key: [id], cursor: at, full_every: 1m",
                "a duration here is between 1h and 90d",
            ),
            (
                "mode: incremental, key: [id], cursor: at, lookback: 99999999999999999999d",
                "a duration is a number and a unit",
            ),
        ];
        for (rest, message) in cases {
            let found = parsed(&format!("tables:\n  a: {{{rest}}}\n")).findings;
            let said: Vec<&str> = found.iter().map(|f| f.message.as_str()).collect();
            assert!(
                said.len() == 1 && said[0].contains(message),
                "{rest}: {said:?}"
            );
        }
    }
}
