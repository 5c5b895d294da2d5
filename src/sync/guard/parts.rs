//! The leaves of a condition: which operators, literals and types are on the list.

use sqlparser::ast::{
    BinaryOperator, DataType, ExactNumberInfo as Exact, Expr, TimezoneInfo, Value,
};

use super::super::text::PgText;
use super::{FilterError, Printed};

/// PostgreSQL has no `a < b < c`; the parser has one.
pub(super) fn is_comparison(expression: &Expr) -> bool {
    matches!(expression, Expr::BinaryOp { op, .. } if compares(op))
}

pub(super) fn compares(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

pub(super) fn operator(operator: &BinaryOperator) -> Result<&'static str, FilterError> {
    Ok(match operator {
        BinaryOperator::And => " AND ",
        BinaryOperator::Or => " OR ",
        BinaryOperator::Eq => " = ",
        BinaryOperator::NotEq => " <> ",
        BinaryOperator::Lt => " < ",
        BinaryOperator::LtEq => " <= ",
        BinaryOperator::Gt => " > ",
        BinaryOperator::GtEq => " >= ",
        BinaryOperator::Plus => " + ",
        BinaryOperator::Minus => " - ",
        BinaryOperator::Multiply => " * ",
        BinaryOperator::Divide => " / ",
        BinaryOperator::Modulo => " % ",
        _ => return Err(FilterError::NotAllowed("this operator")),
    })
}

pub(super) fn literal(value: &Value) -> Printed {
    match value {
        Value::Number(number, false) => PgText::new()
            .number(number)
            .ok_or(FilterError::NotAllowed("such a number")),
        Value::Boolean(true) => Ok(PgText::new().sql("TRUE")),
        Value::Boolean(false) => Ok(PgText::new().sql("FALSE")),
        Value::Null => Ok(PgText::new().sql("NULL")),
        value => text_literal(value),
    }
}

pub(super) fn text_literal(value: &Value) -> Printed {
    match value {
        Value::SingleQuotedString(text) if text.contains('\0') => {
            Err(FilterError::NotAllowed("the character U+0000"))
        }
        Value::SingleQuotedString(text) => Ok(PgText::new().literal(text)),
        _ => Err(FilterError::NotAllowed(
            "a literal that is neither a number nor a text in single quotes",
        )),
    }
}

pub(super) fn plain_type(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Text => "pg_catalog.text",
        DataType::SmallInt(None) => "pg_catalog.int2",
        DataType::Integer(None) | DataType::Int(None) => "pg_catalog.int4",
        DataType::BigInt(None) => "pg_catalog.int8",
        DataType::Numeric(Exact::None) | DataType::Decimal(Exact::None) => "pg_catalog.numeric",
        DataType::Real => "pg_catalog.float4",
        DataType::DoublePrecision => "pg_catalog.float8",
        DataType::Boolean | DataType::Bool => "pg_catalog.bool",
        DataType::Date => "pg_catalog.date",
        DataType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            "pg_catalog.time"
        }
        DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            "pg_catalog.timestamp"
        }
        DataType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            "pg_catalog.timestamptz"
        }
        DataType::Interval {
            fields: None,
            precision: None,
        } => "pg_catalog.interval",
        DataType::Uuid => "pg_catalog.uuid",
        _ => return None,
    })
}
