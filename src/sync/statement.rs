//! The statements that BigQuery runs.

use crate::name::{ConnectionName, DatasetId, PgName, ProjectId};

use super::catalog::{CELLS, catalog_query};
use super::columns::{Copied, TableCopy};
use super::select::{Rows, inner_name, inner_select_or_sign, qualified};
use super::text::{GoogleText, PgText};
use super::types::BigQueryType;

/// BigQuery's limit for the text of a statement, in bytes.
pub const LONGEST_STATEMENT: usize = 1_000_000;

/// A table of BigQuery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    pub project: ProjectId,
    pub dataset: DatasetId,
    pub table: String,
}

/// A column of the destination that the source does not have (any more).
pub type NullColumn = (String, BigQueryType);

/// Everything about `schema`, in the cells that [`super::Catalog::from_rows`] reads.
pub fn catalog_statement(connection: &ConnectionName, schema: &PgName) -> GoogleText {
    let cells = CELLS.iter().map(|cell| GoogleText::new().ident(cell));
    GoogleText::new()
        .sql("SELECT ")
        .joined(cells, ", ")
        .sql(" FROM ")
        .then(&external_query(connection, &catalog_query(schema)))
}

/// The rows of an inner SELECT with the destination's names, and a NULL for each of `nulls`.
pub fn select_statement(
    connection: &ConnectionName,
    inner: &PgText,
    copy: &TableCopy,
    nulls: &[NullColumn],
) -> GoogleText {
    let columns = copy.columns.iter().map(|copied| {
        let column = GoogleText::new().ident(&inner_name(copied));
        aliased(&copied.treatment.cast.outer(&column), copied)
    });
    GoogleText::new()
        .sql("SELECT ")
        .joined(columns.chain(null_columns(nulls)), ", ")
        .sql(" FROM ")
        .then(&external_query(connection, inner))
}

/// The same for a destination that has rows: if the source has none (any more), it fails with
/// [`EMPTY_SOURCE`] and the destination keeps what it has.
pub fn select_unless_empty_statement(
    connection: &ConnectionName,
    schema: &PgName,
    copy: &TableCopy,
    rows: &Rows,
    nulls: &[NullColumn],
) -> GoogleText {
    let inner = inner_select_or_sign(schema, copy, rows);
    select_statement(connection, &inner, copy, nulls)
        .sql(" WHERE IF(`c0`, ERROR(")
        .literal(EMPTY_SOURCE)
        .sql("), TRUE)")
}

/// What the job's message holds if the source was found empty.
pub const EMPTY_SOURCE: &str =
    "The source has no rows, and the destination has some: nothing was written";

/// All rows of the tables that chunks were staged in, which have the copy's columns.
pub fn union_statement(
    staged: &[Destination],
    copy: &TableCopy,
    nulls: &[NullColumn],
) -> GoogleText {
    let selects = staged.iter().map(|table| {
        let columns = copy
            .columns
            .iter()
            .map(|c| GoogleText::new().ident(&c.name));
        GoogleText::new()
            .sql("SELECT ")
            .joined(columns.chain(null_columns(nulls)), ", ")
            .sql(" FROM ")
            .then(&path(table))
    });
    GoogleText::new().joined(selects, " UNION ALL ")
}

/// Writes what changed: rows of a known key are updated, others inserted. Columns of the
/// destination that are not copied keep what they hold.
pub fn merge_statement(
    connection: &ConnectionName,
    inner: &PgText,
    copy: &TableCopy,
    destination: &Destination,
    key: &[String],
) -> GoogleText {
    let new = GoogleText::new;
    let of = |side: &'static str, name: &str| new().sql(side).ident(name);
    let same = key
        .iter()
        .map(|name| of("t.", name).sql(" = ").then(&of("s.", name)));
    let statement = new()
        .sql("MERGE INTO ")
        .then(&path(destination))
        .sql(" AS t USING (")
        .then(&select_statement(connection, inner, copy, &[]))
        .sql(") AS s ON ")
        .joined(same, " AND ");
    let changed: Vec<GoogleText> = copy
        .columns
        .iter()
        .filter(|copied| !key.contains(&copied.name))
        .map(|copied| {
            new()
                .ident(&copied.name)
                .sql(" = ")
                .then(&of("s.", &copied.name))
        })
        .collect();
    let statement = if changed.is_empty() {
        statement
    } else {
        statement
            .sql(" WHEN MATCHED THEN UPDATE SET ")
            .joined(changed, ", ")
    };
    let names = copy.columns.iter().map(|copied| new().ident(&copied.name));
    let values = copy.columns.iter().map(|copied| of("s.", &copied.name));
    statement
        .sql(" WHEN NOT MATCHED BY TARGET THEN INSERT (")
        .joined(names, ", ")
        .sql(") VALUES (")
        .joined(values, ", ")
        .sql(")")
}

/// Lowest and highest key of a table, as `low` and `high`; null if it has no rows.
pub fn bounds_statement(
    connection: &ConnectionName,
    schema: &PgName,
    table: &PgName,
    column: &str,
) -> GoogleText {
    let inner = PgText::new()
        .sql("SELECT pg_catalog.min(")
        .ident(column)
        .sql(")::bigint AS \"low\", pg_catalog.max(")
        .ident(column)
        .sql(")::bigint AS \"high\" FROM ")
        .then(&qualified(schema, table));
    GoogleText::new()
        .sql("SELECT `low`, `high` FROM ")
        .then(&external_query(connection, &inner))
}

/// The destination's highest cursor as text in one column, `highest`; null if it has no rows.
pub fn watermark_statement(destination: &Destination, cursor: &Copied) -> GoogleText {
    let highest = GoogleText::new().sql("MAX(").ident(&cursor.name).sql(")");
    as_text(cursor.treatment.bigquery, &highest).then(&path(destination))
}

/// The same of the source: of those `rows` that are copied, and as BigQuery would hold it.
pub fn source_watermark_statement(
    connection: &ConnectionName,
    schema: &PgName,
    table: &PgName,
    cursor: &Copied,
    rows: &Rows,
) -> GoogleText {
    let column = PgText::new().ident(&cursor.column.name);
    let inner = PgText::new()
        .sql("SELECT pg_catalog.max(")
        .then(&cursor.treatment.cast.inner(&column))
        .sql(") AS \"highest\" FROM ")
        .then(&qualified(schema, table))
        .then(&rows.restriction());
    as_text(
        cursor.treatment.bigquery,
        &GoogleText::new().ident("highest"),
    )
    .then(&external_query(connection, &inner))
}

/// `SELECT`s a cursor's value as text that can be read again, from what is to follow.
fn as_text(kind: BigQueryType, value: &GoogleText) -> GoogleText {
    let (before, after) = match kind {
        BigQueryType::Timestamp => ("FORMAT_TIMESTAMP('%E4Y-%m-%dT%H:%M:%E6SZ', ", ", 'UTC')"),
        BigQueryType::Datetime => ("FORMAT_DATETIME('%E4Y-%m-%dT%H:%M:%E6S', ", ")"),
        BigQueryType::Date => ("FORMAT_DATE('%E4Y-%m-%d', ", ")"),
        _ => ("CAST(", " AS STRING)"),
    };
    GoogleText::new()
        .sql("SELECT ")
        .sql(before)
        .then(value)
        .sql(after)
        .sql(" AS `highest` FROM ")
}

/// The table function, with both its arguments as literals: parameters are not taken there.
pub(super) fn external_query(connection: &ConnectionName, inner: &PgText) -> GoogleText {
    GoogleText::new()
        .sql("EXTERNAL_QUERY(")
        .literal(&connection.to_string())
        .sql(", ")
        .literal(inner.as_str())
        .sql(")")
}

/// The full name of a table, each part quoted by itself.
fn path(table: &Destination) -> GoogleText {
    GoogleText::new()
        .ident(table.project.as_str())
        .sql(".")
        .ident(table.dataset.as_str())
        .sql(".")
        .ident(&table.table)
}

fn aliased(expression: &GoogleText, copied: &Copied) -> GoogleText {
    expression.clone().sql(" AS ").ident(&copied.name)
}

fn null_columns(nulls: &[NullColumn]) -> impl Iterator<Item = GoogleText> {
    nulls.iter().map(|(name, kind)| {
        GoogleText::new()
            .sql("CAST(NULL AS ")
            .sql(kind.sql())
            .sql(") AS ")
            .ident(name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::columns::copy_of;
    use super::super::select::inner_select;
    use super::super::testing::{column, table};
    use super::*;
    use crate::pipeline::ColumnSelection;

    fn connection() -> ConnectionName {
        ConnectionName {
            project: "acme-orders".parse().unwrap(),
            location: "eu".parse().unwrap(),
            id: "main".parse().unwrap(),
        }
    }

    fn destination(table: &str) -> Destination {
        Destination {
            project: "acme-orders".parse().unwrap(),
            dataset: "orders".parse().unwrap(),
            table: table.to_owned(),
        }
    }

    fn copy() -> TableCopy {
        let mut total = column("total", 1700);
        total.typmod = ((40 << 16) | 20) + 4;
        let table = table("a\"b", vec![column("id", 20), column("it's", 25), total]);
        copy_of(&table, &ColumnSelection::All).unwrap()
    }

    #[test]
    fn quoted_twice() {
        let copy = copy();
        let inner = inner_select(&"s".parse().unwrap(), &copy, &Rows::default());
        let nulls = [("gone".to_owned(), BigQueryType::Date)];
        assert_eq!(
            select_statement(&connection(), &inner, &copy, &nulls).as_str(),
            r#"SELECT `c1` AS `id`, `c2` AS `it_s`, CAST(`c3` AS BIGNUMERIC) AS `total`, CAST(NULL AS DATE) AS `gone` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT \"id\" AS \"c1\", \"it's\" AS \"c2\", CASE WHEN \"total\" <> 'NaN'::numeric THEN \"total\"::text END AS \"c3\" FROM \"s\".\"a\"\"b\"")"#
        );
    }

    #[test]
    fn an_emptied_source_is_seen_in_the_same_snapshot() {
        let table = table("t", vec![column("id", 20)]);
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let schema = "s".parse().unwrap();
        let rows = Rows::default();
        assert_eq!(
            select_unless_empty_statement(&connection(), &schema, &copy, &rows, &[]).as_str(),
            r#"SELECT `c1` AS `id` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT r.*, false AS \"c0\" FROM (SELECT \"id\" AS \"c1\" FROM \"s\".\"t\") r UNION ALL SELECT NULL, true WHERE NOT EXISTS (SELECT FROM \"s\".\"t\")") WHERE IF(`c0`, ERROR("The source has no rows, and the destination has some: nothing was written"), TRUE)"#
        );
    }

    #[test]
    fn one_merge() {
        let copy = copy();
        let inner = PgText::new().sql("SELECT");
        let key = ["id".to_owned()];
        assert_eq!(
            merge_statement(&connection(), &inner, &copy, &destination("t`"), &key).as_str(),
            r#"MERGE INTO `acme-orders`.`orders`.`t\`` AS t USING (SELECT `c1` AS `id`, `c2` AS `it_s`, CAST(`c3` AS BIGNUMERIC) AS `total` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT")) AS s ON t.`id` = s.`id` WHEN MATCHED THEN UPDATE SET `it_s` = s.`it_s`, `total` = s.`total` WHEN NOT MATCHED BY TARGET THEN INSERT (`id`, `it_s`, `total`) VALUES (s.`id`, s.`it_s`, s.`total`)"#
        );
        let all = ["id", "it_s", "total"].map(str::to_owned);
        let keys_only = merge_statement(&connection(), &inner, &copy, &destination("t"), &all);
        assert!(!keys_only.as_str().contains("UPDATE"));
    }

    #[test]
    fn the_watermark_is_text_that_can_be_read() {
        let table = table("t", vec![column("at", 1184), column("n", 20)]);
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let said =
            |at: usize| watermark_statement(&destination("t"), &copy.columns[at]).to_string();
        assert_eq!(
            said(0),
            "SELECT FORMAT_TIMESTAMP('%E4Y-%m-%dT%H:%M:%E6SZ', MAX(`at`), 'UTC') AS `highest` FROM `acme-orders`.`orders`.`t`"
        );
        assert_eq!(
            said(1),
            "SELECT CAST(MAX(`n`) AS STRING) AS `highest` FROM `acme-orders`.`orders`.`t`"
        );
    }

    #[test]
    fn the_sources_highest_cursor_is_that_of_the_copied_rows() {
        let table = table("t", vec![column("day", 1082), column("n", 20)]);
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let rows = Rows {
            filter: Some(super::super::filter("n > 1", &table).unwrap()),
            ..Rows::default()
        };
        let schema = "s".parse().unwrap();
        let said = source_watermark_statement(
            &connection(),
            &schema,
            &copy.table,
            &copy.columns[0],
            &rows,
        );
        assert_eq!(
            said.as_str(),
            r#"SELECT FORMAT_DATE('%E4Y-%m-%d', `highest`) AS `highest` FROM EXTERNAL_QUERY("projects/acme-orders/locations/eu/connections/main", "SELECT pg_catalog.max(CASE WHEN \"day\" BETWEEN '0001-01-01'::date AND '9999-12-31'::date THEN \"day\" END) AS \"highest\" FROM \"s\".\"t\" WHERE ((\"n\" > 1))")"#
        );
    }

    #[test]
    fn chunks_are_put_together() {
        let staged = [destination("t_1"), destination("t_2")];
        assert_eq!(
            union_statement(&staged, &copy(), &[]).as_str(),
            "SELECT `id`, `it_s`, `total` FROM `acme-orders`.`orders`.`t_1` UNION ALL SELECT `id`, `it_s`, `total` FROM `acme-orders`.`orders`.`t_2`"
        );
    }
}
