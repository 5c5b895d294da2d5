//! Which tables of the source have rows at all.
//!
//! A table that is empty all of a sudden is more often a mistake than a wish, and a full copy
//! of it would take the rows that BigQuery holds.

use std::collections::BTreeSet;

use crate::name::{ConnectionName, PgName};

use super::catalog::Cells;
use super::guard::Filter;
use super::select::qualified;
use super::statement::external_query;
use super::text::{GoogleText, PgText};

/// One row for each of `tables`: its `name`, and whether it is `filled` with rows that the
/// filter takes. At least one table.
pub fn filled_query(schema: &PgName, tables: &[(&PgName, Option<&Filter>)]) -> PgText {
    let selects = tables.iter().map(|(table, filter)| {
        let select = PgText::new()
            .sql("SELECT ")
            .literal(table.as_str())
            .sql("::text AS \"name\", EXISTS (SELECT 1 FROM ")
            .then(&qualified(schema, table));
        match filter {
            Some(filter) => select.sql(" WHERE ").then(filter.sql()),
            None => select,
        }
        .sql(") AS \"filled\"")
    });
    PgText::new().joined(selects, " UNION ALL ")
}

/// The answer of [`filled_query`], as [`empty_tables`] reads it.
pub fn filled_statement(
    connection: &ConnectionName,
    schema: &PgName,
    tables: &[(&PgName, Option<&Filter>)],
) -> GoogleText {
    GoogleText::new()
        .sql("SELECT `name`, `filled` FROM ")
        .then(&external_query(connection, &filled_query(schema, tables)))
}

/// The names of the tables that have no such row.
pub fn empty_tables(rows: &[Cells]) -> BTreeSet<String> {
    let cell = |row: &'_ Cells, name: &str| row.get(name).cloned().flatten();
    rows.iter()
        .filter(|row| cell(row, "filled").as_deref() == Some("false"))
        .filter_map(|row| cell(row, "name"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_for_each_table() {
        let connection = ConnectionName {
            project: "acme-orders".parse().unwrap(),
            location: "eu".parse().unwrap(),
            id: "main".parse().unwrap(),
        };
        let (schema, quoted): (PgName, PgName) = ("s".parse().unwrap(), "it's\"".parse().unwrap());
        let other: PgName = "b".parse().unwrap();
        let tables = [(&quoted, None), (&other, None)];
        assert_eq!(
            filled_statement(&connection, &schema, &tables).as_str(),
            r#"SELECT `name`, `filled` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT 'it''s\"'::text AS \"name\", EXISTS (SELECT 1 FROM \"s\".\"it's\"\"\") AS \"filled\" UNION ALL SELECT 'b'::text AS \"name\", EXISTS (SELECT 1 FROM \"s\".\"b\") AS \"filled\"")"#
        );
        let row = |name: &str, filled: &str| -> Cells {
            [("name", name), ("filled", filled)]
                .map(|(cell, value)| (cell.to_owned(), Some(value.to_owned())))
                .into()
        };
        let rows = [row("a", "true"), row("b", "false")];
        assert_eq!(empty_tables(&rows), ["b".to_owned()].into());
    }
}
