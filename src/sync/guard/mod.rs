//! `where`: a condition that a person wrote, taken apart and printed anew.
//!
//! The text is parsed as one expression, every part must be on the list below, and what goes
//! to PostgreSQL is printed from the parts by our own quoting. Nothing of the text itself
//! gets there, so it can not leave the place where it stands.
//!
//! On the list: columns of the table, literals, comparisons, AND, OR, NOT, IS NULL, IN with a
//! list, BETWEEN, LIKE, arithmetic, casts to plain types, intervals, and a few functions.

mod parts;

use sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Interval, ObjectNamePart, TypedString, UnaryOperator,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::name::excerpt;

use parts::{compares, is_comparison, literal, operator, plain_type, text_literal};

use super::catalog::{Column, Table};
use super::text::PgText;

/// The longest condition, in bytes.
const LONGEST: usize = 2_000;
/// How deep its parts may stand in each other.
const DEPTH: usize = 40;

/// A condition that was taken apart and printed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(PgText);

impl Filter {
    pub fn sql(&self) -> &PgText {
        &self.0
    }
}

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

/// Reads `text` as a condition on the rows of `table`.
pub fn filter(text: &str, table: &Table) -> Result<Filter, FilterError> {
    if text.len() > LONGEST {
        return Err(FilterError::TooLong);
    }
    let syntax = |error: sqlparser::parser::ParserError| {
        FilterError::Syntax(excerpt(&error.to_string(), 200))
    };
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(DEPTH)
        .try_with_sql(text)
        .map_err(syntax)?;
    let expression = parser.parse_expr().map_err(syntax)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(FilterError::Trailing(excerpt(&next.to_string(), 40)));
    }
    Printer {
        columns: &table.columns,
    }
    .print(&expression)
    .map(Filter)
}

struct Printer<'a> {
    columns: &'a [Column],
}

type Printed = Result<PgText, FilterError>;

impl Printer<'_> {
    /// Every part in parentheses of its own, so that no rule of precedence matters.
    fn print(&self, expression: &Expr) -> Printed {
        let new = PgText::new;
        Ok(match expression {
            Expr::Identifier(name) => self.column(name)?,
            Expr::Value(value) => literal(&value.value)?,
            Expr::Nested(inner) => self.print(inner)?,
            Expr::BinaryOp { left, op, right } => {
                if compares(op) && [left, right].into_iter().any(|side| is_comparison(side)) {
                    return Err(FilterError::NotAllowed(
                        "a chain of comparisons: put parentheses around one of them",
                    ));
                }
                self.between(left, operator(op)?, right)?
            }
            Expr::UnaryOp { op, expr } => {
                let op = match op {
                    UnaryOperator::Not => "NOT ",
                    UnaryOperator::Minus => "- ",
                    UnaryOperator::Plus => "+ ",
                    _ => return Err(FilterError::NotAllowed("this operator")),
                };
                new().sql("(").sql(op).then(&self.print(expr)?).sql(")")
            }
            Expr::IsNull(expr) => self.after(expr, " IS NULL")?,
            Expr::IsNotNull(expr) => self.after(expr, " IS NOT NULL")?,
            Expr::IsTrue(expr) => self.after(expr, " IS TRUE")?,
            Expr::IsNotTrue(expr) => self.after(expr, " IS NOT TRUE")?,
            Expr::IsFalse(expr) => self.after(expr, " IS FALSE")?,
            Expr::IsNotFalse(expr) => self.after(expr, " IS NOT FALSE")?,
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                if list.is_empty() {
                    return Err(FilterError::NotAllowed("an empty list"));
                }
                let items = list
                    .iter()
                    .map(|item| self.print(item))
                    .collect::<Result<Vec<_>, _>>()?;
                new()
                    .sql("(")
                    .then(&self.print(expr)?)
                    .sql(if *negated { " NOT IN (" } else { " IN (" })
                    .joined(items, ", ")
                    .sql("))")
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => new()
                .sql("(")
                .then(&self.print(expr)?)
                .sql(if *negated {
                    " NOT BETWEEN "
                } else {
                    " BETWEEN "
                })
                .then(&self.print(low)?)
                .sql(" AND ")
                .then(&self.print(high)?)
                .sql(")"),
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.between(
                expr,
                if *negated { " NOT LIKE " } else { " LIKE " },
                pattern,
            )?,
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.between(
                expr,
                if *negated { " NOT ILIKE " } else { " ILIKE " },
                pattern,
            )?,
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => self.cast(&self.print(expr)?, data_type)?,
            Expr::TypedString(TypedString {
                data_type,
                value,
                uses_odbc_syntax: false,
            }) => self.cast(&text_literal(&value.value)?, data_type)?,
            Expr::Interval(interval) => self.interval(interval)?,
            Expr::Function(function) => self.function(function)?,
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                return Err(FilterError::NotAllowed("a query of its own"));
            }
            Expr::CompoundIdentifier(_) => {
                return Err(FilterError::NotAllowed(
                    "a name with a dot: columns are named alone",
                ));
            }
            Expr::Case { .. } => return Err(FilterError::NotAllowed("CASE")),
            _ => {
                return Err(FilterError::NotAllowed(
                    "anything but columns, literals, comparisons, AND, OR, NOT, IS NULL, IN, BETWEEN, LIKE, arithmetic, casts and a few functions",
                ));
            }
        })
    }

    fn between(&self, left: &Expr, operator: &'static str, right: &Expr) -> Printed {
        Ok(PgText::new()
            .sql("(")
            .then(&self.print(left)?)
            .sql(operator)
            .then(&self.print(right)?)
            .sql(")"))
    }

    fn after(&self, expression: &Expr, suffix: &'static str) -> Printed {
        let inner = self.print(expression)?;
        Ok(PgText::new().sql("(").then(&inner).sql(suffix).sql(")"))
    }

    /// PostgreSQL folds a name that is not quoted to lowercase.
    fn column(&self, ident: &Ident) -> Printed {
        let name = match ident.quote_style {
            None => ident.value.to_ascii_lowercase(),
            Some('"') => ident.value.clone(),
            Some(_) => return Err(FilterError::NotAllowed("a name in other quotes than `\"`")),
        };
        match self.columns.iter().find(|column| column.name == name) {
            Some(column) if column.readable => Ok(PgText::new().ident(&column.name)),
            Some(_) => Err(FilterError::UnreadableColumn(excerpt(&name, 63))),
            None => Err(FilterError::UnknownColumn(excerpt(&name, 63))),
        }
    }

    fn cast(&self, inner: &PgText, data_type: &DataType) -> Printed {
        let name = plain_type(data_type)
            .ok_or_else(|| FilterError::Type(excerpt(&data_type.to_string(), 40)))?;
        Ok(PgText::new()
            .sql("CAST(")
            .then(inner)
            .sql(" AS ")
            .sql(name)
            .sql(")"))
    }

    fn interval(&self, interval: &Interval) -> Printed {
        match interval {
            Interval {
                value,
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            } => {
                let Expr::Value(value) = value.as_ref() else {
                    return Err(FilterError::NotAllowed("an interval that is computed"));
                };
                let text = text_literal(&value.value)?;
                Ok(PgText::new()
                    .sql("CAST(")
                    .then(&text)
                    .sql(" AS pg_catalog.interval)"))
            }
            _ => Err(FilterError::NotAllowed(
                "an interval with fields: write `interval '1 day'`",
            )),
        }
    }

    fn function(&self, function: &Function) -> Printed {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            within_group,
            filter,
            null_treatment,
            over,
        } = function;
        let refused = || FilterError::Function(excerpt(&name.to_string(), 63));
        let called = match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] if ident.quote_style.is_none() => {
                ident.value.to_ascii_lowercase()
            }
            _ => return Err(refused()),
        };
        let plain = !*uses_odbc_syntax
            && *parameters == FunctionArguments::None
            && within_group.is_empty()
            && filter.is_none()
            && null_treatment.is_none()
            && over.is_none();
        if !plain {
            return Err(refused());
        }
        let list = match args {
            FunctionArguments::None => {
                return match called.as_str() {
                    "current_date" => Ok(PgText::new().sql("current_date")),
                    "current_timestamp" => Ok(PgText::new().sql("current_timestamp")),
                    _ => Err(refused()),
                };
            }
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                list.args.iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                        self.print(expression)
                    }
                    _ => Err(refused()),
                })
            }
            _ => return Err(refused()),
        };
        let args = list.collect::<Result<Vec<_>, _>>()?;
        let begin = match (called.as_str(), args.len()) {
            ("now", 0) => "pg_catalog.now(",
            ("lower", 1) => "pg_catalog.lower(",
            ("upper", 1) => "pg_catalog.upper(",
            ("length", 1) => "pg_catalog.length(",
            ("coalesce", 1..) => "coalesce(",
            _ => return Err(refused()),
        };
        Ok(PgText::new().sql(begin).joined(args, ", ").sql(")"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{column, table};
    use super::*;

    fn said(text: &str) -> String {
        let mut secret = column("secret", 25);
        secret.readable = false;
        let columns = vec![
            column("id", 20),
            column("Weird\"Name", 25),
            column("at", 1184),
            column("who", 25),
            secret,
        ];
        match filter(text, &table("t", columns)) {
            Ok(filter) => filter.sql().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_allowed_is_printed_anew() {
        for (text, printed) in [
            ("ID > 5 -- all", r#"("id" > 5)"#),
            (
                "\"Weird\"\"Name\" = 'it''s \\'",
                r#"("Weird""Name" = E'it''s \\')"#,
            ),
            (
                "id=1 or id = -2.5e3 and not at is null",
                r#"(("id" = 1) OR (("id" = (- 2.5e3)) AND (NOT ("at" IS NULL))))"#,
            ),
            (
                "at >= now() - interval '7 days'",
                r#"("at" >= (pg_catalog.now() - CAST('7 days' AS pg_catalog.interval)))"#,
            ),
            (
                "at::date between date '2024-01-01' and current_date",
                r#"(CAST("at" AS pg_catalog.date) BETWEEN CAST('2024-01-01' AS pg_catalog.date) AND current_date)"#,
            ),
            (
                "id in (1, 2) and who not like 'a%'",
                r#"(("id" IN (1, 2)) AND ("who" NOT LIKE 'a%'))"#,
            ),
            (
                "coalesce(lower(who), '') <> '{{x}}'",
                r#"(coalesce(pg_catalog.lower("who"), '') <> '{{x}}')"#,
            ),
        ] {
            assert_eq!(said(text), printed, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, part) in [
            ("1=1) or (1=1", "goes on after its condition, at `)`"),
            ("id = 1; drop table t", "at `;`"),
            ("id = (select 1)", "a query of its own"),
            ("exists (select 1)", "a query of its own"),
            ("id in (select 1)", "a query of its own"),
            ("pg_sleep(10) is null", "the function `pg_sleep`"),
            ("\"now\"() is null", "the function `\"now\"`"),
            ("public.now() is null", "the function `public.now`"),
            ("count(id) over () > 1", "the function `count`"),
            ("current_user = 'x'", "the function `current_user`"),
            ("user = 'x'", "the function `user`"),
            ("t.id = 1", "a name with a dot"),
            ("nope = 1", "`nope`, which is not a column"),
            ("secret = 'x'", "may not read"),
            ("`id` = 1", ""),
            ("id = $$x$$", "a literal that is neither"),
            ("who = E'\\''", "a literal that is neither"),
            ("who = U&'x'", "a literal that is neither"),
            ("id::regclass is null", "casts to `REGCLASS`"),
            ("id::varchar(3) = 'x'", "casts to `VARCHAR(3)`"),
            ("who ~ '(a+)+'", "this operator"),
            ("who || 'x' = 'y'", "this operator"),
            ("id = $1", "a literal that is neither"),
            ("1 < id < 3", "a chain of comparisons"),
            ("id =", "can not be read"),
            ("", "can not be read"),
            ("case when id = 1 then true end", "CASE"),
            ("array[id] = array[1]", "anything but"),
            ("at at time zone 'utc' > now()", "anything but"),
        ] {
            let said = said(text);
            assert!(
                said.starts_with("`where`") && said.contains(part),
                "{text}: {said}"
            );
        }
        assert_eq!(
            said(&"(".repeat(2_001)),
            "`where` is longer than 2000 bytes"
        );
        let deep = format!("{}id = 1{}", "(".repeat(900), ")".repeat(900));
        assert!(said(&deep).contains("can not be read"));
        let long = vec!["id = 1"; 190].join(" or ");
        assert!(said(&long).starts_with("((("));
    }
}
