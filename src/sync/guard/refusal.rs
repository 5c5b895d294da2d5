//! Why a `where` is refused.

/// The longest condition, in bytes.
pub(super) const LONGEST: usize = 2_000;

/// Why a text is not such a condition: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("`where` is longer than {LONGEST} bytes")]
    TooLong,
    #[error("`where` can not be read as one condition: {0}")]
    Syntax(String),
    #[error("`where` goes on after its condition, at `{0}`")]
    Trailing(String),
    #[error("`where` names `{0}`, which is not a column of the table")]
    UnknownColumn(String),
    #[error("`where` names `{0}`, which the connection's role may not read")]
    UnreadableColumn(String),
    #[error("`where` uses the function `{0}`; it may use {FUNCTIONS}")]
    Function(String),
    #[error("`where` casts to `{0}`; it may cast to {TYPES}")]
    Type(String),
    #[error("`where` may not hold {0}")]
    NotAllowed(&'static str),
}

const FUNCTIONS: &str = "now(), current_date, current_timestamp, lower, upper, length and coalesce";
const TYPES: &str = "text, smallint, integer, bigint, numeric, real, double precision, boolean, date, time, timestamp, timestamptz, interval and uuid, without a length";
