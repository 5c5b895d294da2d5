//! Copying what changed: which tables it is possible for, and from where on.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp};

use crate::name::PgName;

use super::catalog::Table;
use super::columns::{Copied, TableCopy};
use super::guard::Filter;
use super::run_spec::RunSpec;
use super::text::PgText;
use super::types::BigQueryType;
use crate::pipeline::Mode;

/// A table that can be copied by what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incremental {
    /// Names in BigQuery.
    pub key: Vec<String>,
    pub cursor: Copied,
    pub lookback_seconds: u64,
    /// How old the last full copy may get.
    pub full_every_seconds: u64,
}

/// The highest cursor that the destination has, less the lookback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The column's name in PostgreSQL.
    column: String,
    from: Watermark,
}

/// A point of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    Integer(i64),
    Date(Date),
    Datetime(DateTime),
    Timestamp(Timestamp),
}

/// Why a table can not be copied by what changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncrementalError {
    #[error("`key` or `cursor` names `{0}`, which is not a copied column of the table")]
    Unknown(PgName),
    #[error(
        "the key {0} is not that of a unique index without a predicate on columns that are NOT NULL"
    )]
    NotUnique(String),
    #[error("the key's column `{0}` can not identify rows: {1}")]
    LossyKey(String, &'static str),
    #[error("the key's column `{0}` is {1} in BigQuery, which can not be compared surely")]
    InexactKey(String, &'static str),
    #[error("the cursor `{0}` may be NULL: rows without one would be missed")]
    NullableCursor(String),
    #[error("the cursor `{0}` is neither a time nor a whole number")]
    UnorderedCursor(String),
    #[error("`lookback` is a time, and the cursor `{0}` is a number")]
    LookbackOfNumbers(String),
}

impl Incremental {
    /// Checks `mode` against the table; `None` for a full copy.
    pub fn of(
        table: &Table,
        copy: &TableCopy,
        mode: &Mode,
    ) -> Result<Option<Self>, IncrementalError> {
        let Mode::Incremental {
            key,
            cursor,
            lookback_seconds,
            full_every_seconds,
        } = mode
        else {
            return Ok(None);
        };
        let find = |name: &PgName| {
            copy.column(name.as_str())
                .ok_or_else(|| IncrementalError::Unknown(name.clone()))
        };
        let key_columns: Vec<&Copied> = key.iter().map(find).collect::<Result<_, _>>()?;
        let mut wanted: Vec<&str> = key.iter().map(PgName::as_str).collect();
        wanted.sort_unstable();
        let unique = table.unique_keys.iter().any(|index| {
            let mut index: Vec<&str> = index.iter().map(String::as_str).collect();
            index.sort_unstable();
            index == wanted
        });
        if !unique {
            return Err(IncrementalError::NotUnique(wanted.join(", ")));
        }
        for copied in &key_columns {
            identifies(copied)?;
        }
        let cursor = find(cursor)?.clone();
        let name = cursor.column.name.clone();
        if !cursor.column.not_null {
            return Err(IncrementalError::NullableCursor(name));
        }
        match cursor.treatment.bigquery {
            BigQueryType::Date | BigQueryType::Datetime | BigQueryType::Timestamp => {}
            BigQueryType::Int64 if cursor.column.oid == OID => {
                return Err(IncrementalError::UnorderedCursor(name));
            }
            BigQueryType::Int64 if lookback_seconds.is_some_and(|seconds| seconds > 0) => {
                return Err(IncrementalError::LookbackOfNumbers(name));
            }
            BigQueryType::Int64 => {}
            _ => return Err(IncrementalError::UnorderedCursor(name)),
        }
        let usual = match cursor.treatment.bigquery {
            BigQueryType::Int64 => 0,
            _ => LOOKBACK,
        };
        Ok(Some(Self {
            key: key_columns.iter().map(|c| c.name.clone()).collect(),
            cursor,
            lookback_seconds: lookback_seconds.unwrap_or(usual),
            full_every_seconds: *full_every_seconds,
        }))
    }

    /// Whether deleted rows have to be looked for: the last full copy is too old, or unknown.
    pub fn full_is_due(&self, last_full: Option<Timestamp>, now: Timestamp) -> bool {
        let seconds = i64::try_from(self.full_every_seconds).unwrap_or(i64::MAX);
        last_full.is_none_or(|last| now.duration_since(last) >= SignedDuration::from_secs(seconds))
    }

    /// From the highest cursor in the destination, as
    /// [`super::watermark_statement`] answers it. `None` if it is no such value.
    pub fn since(&self, highest: &str) -> Option<Since> {
        let watermark = Watermark::parse(self.cursor.treatment.bigquery, highest)?;
        Some(Since {
            column: self.cursor.column.name.clone(),
            from: watermark.less(self.lookback_seconds),
        })
    }
}

/// How far a run reads back, where the file does not say: a transaction that took an hour
/// writes rows with the time of its beginning.
const LOOKBACK: u64 = 3_600;

/// What an incremental copy must have in common with the one before it: source, condition,
/// key, cursor and columns with their types. Another one: a full copy comes first. Sixteen
/// hexadecimal digits, so that a table's label can hold it.
pub fn fingerprint(
    spec: &RunSpec,
    copy: &TableCopy,
    filter: Option<&Filter>,
    incremental: &Incremental,
) -> String {
    use sha2::{Digest as _, Sha256};
    let columns: Vec<(&str, &str)> = copy
        .columns
        .iter()
        .map(|copied| (copied.name.as_str(), copied.treatment.bigquery.sql()))
        .collect();
    let condition = filter.map(|filter| filter.sql().as_str());
    let cursor = &incremental.cursor.name;
    let source = [
        spec.instance.as_str(),
        spec.database.as_str(),
        spec.schema.as_str(),
        copy.table.as_str(),
    ];
    let all = serde_json::json!([source, columns, condition, incremental.key, cursor]);
    let mut digits = hex::encode(Sha256::digest(all.to_string()));
    digits.truncate(16);
    digits
}

/// `pg_type`'s own OID: its values wrap around.
const OID: u32 = 26;

fn identifies(copied: &Copied) -> Result<(), IncrementalError> {
    let name = || copied.column.name.clone();
    if let Some(loss) = copied.treatment.loss
        && loss.nulls()
    {
        return Err(IncrementalError::LossyKey(name(), loss.sentence()));
    }
    match copied.treatment.bigquery {
        kind @ BigQueryType::Float64 => Err(IncrementalError::InexactKey(name(), kind.sql())),
        _ => Ok(()),
    }
}

impl Watermark {
    fn parse(kind: BigQueryType, text: &str) -> Option<Self> {
        match kind {
            BigQueryType::Int64 => text.parse().ok().map(Self::Integer),
            BigQueryType::Date => text.parse().ok().map(Self::Date),
            BigQueryType::Datetime => text.parse().ok().map(Self::Datetime),
            BigQueryType::Timestamp => text.parse().ok().map(Self::Timestamp),
            _ => None,
        }
    }

    /// Earlier by this long; at the beginning of time it stays there.
    fn less(self, seconds: u64) -> Self {
        let duration = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        match self {
            Self::Integer(_) => self,
            Self::Date(date) => {
                let days = i64::try_from(seconds.div_ceil(86_400)).unwrap_or(i64::MAX);
                let span = Span::new().try_days(days).ok();
                let earlier = span.and_then(|span| date.checked_sub(span).ok());
                Self::Date(earlier.unwrap_or(Date::MIN))
            }
            Self::Datetime(at) => Self::Datetime(at.checked_sub(duration).unwrap_or(DateTime::MIN)),
            Self::Timestamp(at) => {
                Self::Timestamp(at.checked_sub(duration).unwrap_or(Timestamp::MIN))
            }
        }
    }
}

impl Since {
    pub(super) fn condition(&self) -> PgText {
        let column = PgText::new().ident(&self.column).sql(" >= ");
        match self.from {
            Watermark::Integer(number) => column.integer(number),
            Watermark::Date(date) if date.year() < 1 => column.sql("'-infinity'::date"),
            Watermark::Date(date) => column.literal(&date.to_string()).sql("::date"),
            Watermark::Datetime(at) if at.year() < 1 => column.sql("'-infinity'::timestamp"),
            Watermark::Datetime(at) => column.literal(&at.to_string()).sql("::timestamp"),
            Watermark::Timestamp(at) if at < YEAR_ONE => column.sql("'-infinity'::timestamptz"),
            Watermark::Timestamp(at) => column.literal(&at.to_string()).sql("::timestamptz"),
        }
    }
}

const YEAR_ONE: Timestamp = Timestamp::constant(-62_135_596_800, 0);

#[cfg(test)]
mod tests {
    use super::super::columns::copy_of;
    use super::super::testing::{column, table};
    use super::*;
    use crate::pipeline::ColumnSelection;

    fn orders() -> Table {
        let mut table = table(
            "orders",
            vec![
                column("id", 20),
                column("at", 1184),
                column("day", 1082),
                column("n", 23),
            ],
        );
        table.unique_keys = vec![
            vec!["id".to_owned()],
            vec!["n".to_owned(), "day".to_owned()],
        ];
        table
    }

    fn incremental(
        table: &Table,
        key: &[&str],
        cursor: &str,
        lookback: u64,
    ) -> Result<Incremental, IncrementalError> {
        let copy = copy_of(table, &ColumnSelection::All).unwrap();
        let mode = Mode::Incremental {
            key: key.iter().map(|name| name.parse().unwrap()).collect(),
            cursor: cursor.parse().unwrap(),
            lookback_seconds: Some(lookback),
            full_every_seconds: 1,
        };
        Incremental::of(table, &copy, &mode).map(Option::unwrap)
    }

    #[test]
    fn the_watermark_is_a_literal_less_the_lookback() {
        let condition = |cursor: &str, lookback, highest: &str| {
            let incremental = incremental(&orders(), &["id"], cursor, lookback).unwrap();
            incremental
                .since(highest)
                .map(|since| since.condition().to_string())
        };
        assert_eq!(
            condition("at", 3600, "2024-03-01T00:30:00.000001+00:00").unwrap(),
            r#""at" >= '2024-02-29T23:30:00.000001Z'::timestamptz"#
        );
        assert_eq!(
            condition("day", 1, "2024-03-01").unwrap(),
            r#""day" >= '2024-02-29'::date"#
        );
        assert_eq!(condition("n", 0, "-7").unwrap(), r#""n" >= (-7)"#);
        assert_eq!(
            condition("at", u64::MAX, "0001-01-01T00:00:00Z").unwrap(),
            r#""at" >= '-infinity'::timestamptz"#
        );
        assert_eq!(
            condition("day", u64::MAX, "2024-03-01").unwrap(),
            r#""day" >= '-infinity'::date"#
        );
        assert_eq!(condition("n", 0, "1 OR 1=1"), None);
    }

    #[test]
    fn a_full_copy_comes_first_and_again() {
        let incremental = incremental(&orders(), &["id"], "at", 0).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2024-03-01T00:00:01Z");
        assert!(incremental.full_is_due(None, now));
        assert!(incremental.full_is_due(Some(at("2024-03-01T00:00:00Z")), now));
        assert!(!incremental.full_is_due(Some(at("2024-03-01T00:00:00.5Z")), now));

        let table = orders();
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let filter = |text| super::super::filter(text, &table).unwrap();
        let mut spec = super::super::testing::spec();
        let print = |copy: &TableCopy, filter: Option<&Filter>| {
            fingerprint(&spec, copy, filter, &incremental)
        };
        let plain = print(&copy, None);
        let filtered = print(&copy, Some(&filter("id > 1")));
        assert_ne!(plain, filtered);
        assert_eq!(filtered, print(&copy, Some(&filter("ID  >  1"))));
        let fewer = copy.clone().without(&["n".to_owned()].into());
        assert_ne!(plain, print(&fewer, None));
        spec.schema = "another".parse().unwrap();
        assert_ne!(plain, fingerprint(&spec, &copy, None, &incremental));
    }

    #[test]
    fn a_table_must_be_fit_for_it() {
        let mut table = orders();
        table.columns[1].not_null = false;
        let said = |key: &[&str], cursor: &str, lookback| {
            incremental(&table, key, cursor, lookback)
                .unwrap_err()
                .to_string()
        };
        assert!(said(&["n"], "day", 0).starts_with("the key n is not"));
        assert!(said(&["day", "n"], "day", 0).contains("can not identify rows"));
        assert!(said(&["id"], "at", 0).contains("may be NULL"));
        assert!(said(&["id"], "n", 5).contains("is a number"));
        assert!(said(&["gone"], "n", 0).contains("names `gone`"));
    }
}
