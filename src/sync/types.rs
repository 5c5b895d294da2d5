//! What becomes of each PostgreSQL type.
//!
//! BigQuery takes a short list of types from a federated query and fails the whole query for
//! any other one, at analysis
//! (<https://docs.cloud.google.com/bigquery/docs/reference/standard-sql/federated_query_functions>).
//! So what is on the list goes through, by OID, and everything else is cast inside PostgreSQL.

use serde::{Deserialize, Serialize};

use super::catalog::{Category, Column};
use super::text::{GoogleText, PgText};

/// The OIDs that BigQuery takes from a federated query (`pg_type.dat` names them).
pub const TAKEN: &[u32] = &[
    16, 17, 20, 21, 23, 25, 114, 142, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1560, 1562,
    1700,
];

/// A column's type in BigQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BigQueryType {
    Bool,
    Bytes,
    Date,
    Datetime,
    Float64,
    Int64,
    Numeric,
    BigNumeric,
    String,
    Time,
    Timestamp,
}

/// How one column crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Treatment {
    pub cast: Cast,
    pub bigquery: BigQueryType,
    /// What does not survive, if anything.
    pub loss: Option<Loss>,
}

/// What the inner SELECT makes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// As it is.
    None,
    /// `::text`, what PostgreSQL prints.
    Text,
    /// `to_json(…)::text`.
    Json,
    /// `::numeric`
    Numeric,
    /// `::bigint`
    Integer,
    /// A `numeric` without its NaN.
    Finite,
    /// The same, as text: the outer SELECT makes it a BIGNUMERIC.
    FiniteText,
    /// Null outside of BigQuery's years 1 to 9999.
    DateInRange,
    DatetimeInRange,
    TimestampInRange,
    /// Null for 24:00:00.
    TimeInRange,
}

/// What does not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `date`, `timestamp`, `timestamptz`.
    YearsOutOfRange,
    /// `time`.
    EndOfDay,
    /// `numeric` with precision.
    NotANumber,
    /// `money`.
    Currency,
    /// Arrays.
    ArrayBounds,
}

impl Loss {
    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::YearsOutOfRange => {
                "infinity, dates before year 1 and dates after year 9999 become NULL."
            }
            Self::EndOfDay => "24:00:00 becomes NULL.",
            Self::NotANumber => "NaN becomes NULL.",
            Self::Currency => "The currency is left out: only the amount is copied.",
            Self::ArrayBounds => {
                "Arrays become JSON arrays: lower bounds other than 1 are left out."
            }
        }
    }

    /// Whether a value may become NULL: such a column can not identify rows.
    pub fn nulls(self) -> bool {
        match self {
            Self::YearsOutOfRange | Self::EndOfDay | Self::NotANumber => true,
            Self::Currency | Self::ArrayBounds => false,
        }
    }
}

/// Decides by the resolved type; total, because everything has a text.
pub fn treat(column: &Column) -> Treatment {
    use BigQueryType as B;
    use Cast as C;
    let (cast, bigquery, loss) = match (column.oid, column.category) {
        (16, _) => (C::None, B::Bool, None),
        (20 | 21 | 23, _) => (C::None, B::Int64, None),
        // oid also names large objects; their contents stay where they are.
        (26, _) => (C::Integer, B::Int64, None),
        (700 | 701, _) => (C::None, B::Float64, None),
        // bpchar: a cast to text would strip its blanks.
        (25 | 114 | 142 | 1042 | 1043, _) => (C::None, B::String, None),
        (17, _) => (C::None, B::Bytes, None),
        (1082, _) => (C::DateInRange, B::Date, Some(Loss::YearsOutOfRange)),
        (1083, _) => (C::TimeInRange, B::Time, Some(Loss::EndOfDay)),
        (1114, _) => (C::DatetimeInRange, B::Datetime, Some(Loss::YearsOutOfRange)),
        (1184, _) => (
            C::TimestampInRange,
            B::Timestamp,
            Some(Loss::YearsOutOfRange),
        ),
        (790, _) => (C::Numeric, B::Numeric, Some(Loss::Currency)),
        (1700, _) => match decimal(column.typmod) {
            Decimal::Numeric => (C::Finite, B::Numeric, Some(Loss::NotANumber)),
            Decimal::BigNumeric => (C::FiniteText, B::BigNumeric, Some(Loss::NotANumber)),
            Decimal::Text => (C::Text, B::String, None),
        },
        (_, Category::Array) => (C::Json, B::String, Some(Loss::ArrayBounds)),
        (_, Category::Composite) => (C::Json, B::String, None),
        // bit and varbit are on BigQuery's list, as BYTES of an order that it does not say.
        _ => (C::Text, B::String, None),
    };
    Treatment {
        cast,
        bigquery,
        loss,
    }
}

enum Decimal {
    Numeric,
    BigNumeric,
    Text,
}

/// NUMERIC has 29 digits before the point and 9 after it, BIGNUMERIC surely 38 and 38.
///
/// BigQuery's own choice, `default_type_for_decimal_columns`, is for all columns of a query:
/// one new column would change the type of all others. So BIGNUMERIC crosses as text.
fn decimal(typmod: i32) -> Decimal {
    if typmod < 4 {
        return Decimal::Text;
    }
    let packed = typmod - 4;
    let precision = (packed >> 16) & 0xffff;
    // Eleven bits with a sign, since PostgreSQL 15; the same as before for what was legal then.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    match (precision - scale, scale) {
        (whole, fraction) if whole <= 29 && fraction <= 9 => Decimal::Numeric,
        (whole, fraction) if whole <= 38 && fraction <= 38 => Decimal::BigNumeric,
        _ => Decimal::Text,
    }
}

impl Cast {
    /// The expression that the inner SELECT puts in the column's place.
    pub fn inner(self, column: &PgText) -> PgText {
        let new = PgText::new;
        let between = |from: &'static str| {
            new()
                .sql("CASE WHEN ")
                .then(column)
                .sql(from)
                .sql(" THEN ")
                .then(column)
                .sql(" END")
        };
        match self {
            Self::None => column.clone(),
            Self::Text => new().then(column).sql("::text"),
            Self::Json => new().sql("pg_catalog.to_json(").then(column).sql(")::text"),
            Self::Numeric => new().then(column).sql("::numeric"),
            Self::Integer => new().then(column).sql("::bigint"),
            Self::Finite => between(" <> 'NaN'::numeric"),
            Self::FiniteText => new()
                .sql("CASE WHEN ")
                .then(column)
                .sql(" <> 'NaN'::numeric THEN ")
                .then(column)
                .sql("::text END"),
            Self::DateInRange => between(" BETWEEN '0001-01-01'::date AND '9999-12-31'::date"),
            Self::DatetimeInRange => between(
                " BETWEEN '0001-01-01 00:00:00'::timestamp AND '9999-12-31 23:59:59.999999'::timestamp",
            ),
            Self::TimestampInRange => between(
                " BETWEEN '0001-01-01 00:00:00+00'::timestamptz AND '9999-12-31 23:59:59.999999+00'::timestamptz",
            ),
            Self::TimeInRange => between(" < '24:00:00'::time"),
        }
    }

    /// What the outer SELECT makes of the inner column.
    pub fn outer(self, column: &GoogleText) -> GoogleText {
        match self {
            Self::FiniteText => GoogleText::new()
                .sql("CAST(")
                .then(column)
                .sql(" AS BIGNUMERIC)"),
            _ => column.clone(),
        }
    }
}

impl BigQueryType {
    /// As GoogleSQL writes it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Bytes => "BYTES",
            Self::Date => "DATE",
            Self::Datetime => "DATETIME",
            Self::Float64 => "FLOAT64",
            Self::Int64 => "INT64",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::String => "STRING",
            Self::Time => "TIME",
            Self::Timestamp => "TIMESTAMP",
        }
    }

    /// As `tables.get` writes it: some types have an older name there.
    pub fn from_api(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" | "BOOLEAN" => Self::Bool,
            "BYTES" => Self::Bytes,
            "DATE" => Self::Date,
            "DATETIME" => Self::Datetime,
            "FLOAT" | "FLOAT64" => Self::Float64,
            "INTEGER" | "INT64" => Self::Int64,
            "NUMERIC" => Self::Numeric,
            "BIGNUMERIC" => Self::BigNumeric,
            "STRING" => Self::String,
            "TIME" => Self::Time,
            "TIMESTAMP" => Self::Timestamp,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(oid: u32, typmod: i32, category: Category) -> Column {
        Column {
            name: "c".to_owned(),
            ordinal: 1,
            oid,
            typmod,
            category,
            type_sql: String::new(),
            not_null: false,
            readable: true,
        }
    }

    fn numeric(precision: i32, scale: i32) -> BigQueryType {
        let typmod = ((precision << 16) | (scale & 0x7ff)) + 4;
        treat(&column(1700, typmod, Category::Other)).bigquery
    }

    #[test]
    fn decimals_go_by_what_they_can_hold() {
        assert_eq!(numeric(38, 9), BigQueryType::Numeric);
        assert_eq!(numeric(30, 0), BigQueryType::BigNumeric);
        assert_eq!(numeric(12, 10), BigQueryType::BigNumeric);
        assert_eq!(numeric(76, 38), BigQueryType::BigNumeric);
        assert_eq!(numeric(77, 38), BigQueryType::String);
        assert_eq!(numeric(5, -2), BigQueryType::Numeric);
        assert_eq!(numeric(28, -2), BigQueryType::BigNumeric);
        assert_eq!(
            treat(&column(1700, -1, Category::Other)).bigquery,
            BigQueryType::String
        );
    }

    #[test]
    fn what_nobody_knows_has_a_text() {
        let unknown = treat(&column(99_999, -1, Category::Other));
        let name = PgText::new().ident("a\"");
        assert_eq!(unknown.cast.inner(&name).as_str(), "\"a\"\"\"::text");
        let array = treat(&column(99_998, -1, Category::Array));
        assert_eq!(
            array.cast.inner(&name).as_str(),
            "pg_catalog.to_json(\"a\"\"\")::text"
        );
        assert_eq!(unknown.bigquery, BigQueryType::String);
    }
}
