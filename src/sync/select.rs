//! The inner SELECT: what PostgreSQL runs, wrapped by BigQuery as a derived table.
//!
//! Its columns are called `c1`, `c2`, … after their ordinals: whatever a column is called at
//! the source, the shape of what BigQuery sees stays plain. The outer SELECT names them.

use crate::name::PgName;

use super::catalog::Table;
use super::columns::{Copied, TableCopy};
use super::guard::Filter;
use super::incremental::Since;
use super::text::PgText;

/// A range of a whole-number key: `from <= key < to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The column's name in PostgreSQL.
    pub column: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// Which rows. Everything given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub filter: Option<Filter>,
    pub chunk: Option<Chunk>,
    pub since: Option<Since>,
}

/// The SELECT for one table, or for a part of its rows.
pub fn inner_select(schema: &PgName, copy: &TableCopy, rows: &Rows) -> PgText {
    let columns = copy.columns.iter().map(|copied| {
        let column = PgText::new().ident(&copied.column.name);
        copied
            .treatment
            .cast
            .inner(&column)
            .sql(" AS ")
            .ident(&inner_name(copied))
    });
    PgText::new()
        .sql("SELECT ")
        .joined(columns, ", ")
        .sql(" FROM ")
        .then(&qualified(schema, &copy.table))
        .then(&rows.restriction())
}

/// The same, and one row more if there are none: with `c0` true, and nothing else in it. So
/// the outer statement sees an emptied source in the very snapshot that it copies.
pub(super) fn inner_select_or_sign(schema: &PgName, copy: &TableCopy, rows: &Rows) -> PgText {
    let nulls = copy.columns.iter().map(|_| PgText::new().sql("NULL"));
    let any = PgText::new()
        .sql("SELECT FROM ")
        .then(&qualified(schema, &copy.table))
        .then(&rows.restriction());
    PgText::new()
        .sql("SELECT r.*, false AS \"c0\" FROM (")
        .then(&inner_select(schema, copy, rows))
        .sql(") r UNION ALL SELECT ")
        .joined(nulls, ", ")
        .sql(", true WHERE NOT EXISTS (")
        .then(&any)
        .sql(")")
}

/// A column to cut the table's rows by: the first of a key, and a whole number.
pub fn chunk_key<'a>(table: &Table, copy: &'a TableCopy) -> Option<&'a Copied> {
    let firsts = table.unique_keys.iter().filter_map(|key| key.first());
    firsts
        .filter_map(|name| copy.column(name))
        .find(|copied| INTEGERS.contains(&copied.column.oid))
}

/// int2, int4, int8. Not oid: it has no negative half, and its order is nobody's.
const INTEGERS: [u32; 3] = [21, 23, 20];

/// What a column is called between the two SELECTs.
pub(super) fn inner_name(copied: &Copied) -> String {
    format!("c{}", copied.column.ordinal)
}

/// A table with its schema.
pub(super) fn qualified(schema: &PgName, table: &PgName) -> PgText {
    PgText::new()
        .ident(schema.as_str())
        .sql(".")
        .ident(table.as_str())
}

impl Rows {
    /// ` WHERE` and the conditions, or nothing without any.
    pub(super) fn restriction(&self) -> PgText {
        let conditions = self.conditions();
        if conditions.is_empty() {
            return PgText::new();
        }
        PgText::new().sql(" WHERE ").joined(conditions, " AND ")
    }

    fn conditions(&self) -> Vec<PgText> {
        let filter = self.filter.as_ref().map(|filter| filter.sql().clone());
        let chunk = self.chunk.iter().flat_map(Chunk::conditions);
        let since = self.since.as_ref().map(Since::condition);
        filter
            .into_iter()
            .chain(chunk)
            .chain(since)
            .map(|condition| PgText::new().sql("(").then(&condition).sql(")"))
            .collect()
    }
}

impl Chunk {
    /// Cuts the keys from `low` to `high` into at most `parts` ranges of one width. The first
    /// and the last one are open, so that no row is lost that came meanwhile.
    pub fn split(column: &str, low: i64, high: i64, parts: u32) -> Vec<Self> {
        let width = (i128::from(high) - i128::from(low) + 1)
            .div_euclid(i128::from(parts.max(1)))
            .max(1);
        let mut bounds = Vec::new();
        for part in 1..i128::from(parts) {
            match i64::try_from(i128::from(low) + part * width) {
                Ok(bound) if bound <= high => bounds.push(bound),
                _ => break,
            }
        }
        let starts = std::iter::once(None).chain(bounds.iter().copied().map(Some));
        let ends = bounds.iter().copied().map(Some).chain([None]);
        starts
            .zip(ends)
            .map(|(from, to)| Self {
                column: column.to_owned(),
                from,
                to,
            })
            .collect()
    }

    fn conditions(&self) -> Vec<PgText> {
        let column = PgText::new().ident(&self.column);
        let from = self
            .from
            .map(|from| column.clone().sql(" >= ").integer(from));
        let to = self.to.map(|to| column.clone().sql(" < ").integer(to));
        from.into_iter().chain(to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::copy_of;
    use super::super::testing::{column, table};
    use super::*;
    use crate::pipeline::ColumnSelection;

    #[test]
    fn every_column_by_name() {
        let table = table(
            "a\".\"b",
            vec![column("id", 20), column("when\"", 1082), column("u", 2950)],
        );
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        let chunk = Chunk {
            column: "id".to_owned(),
            from: Some(-5),
            to: Some(7),
        };
        let rows = Rows {
            chunk: Some(chunk),
            ..Rows::default()
        };
        assert_eq!(
            inner_select(&"s".parse().unwrap(), &copy, &rows).as_str(),
            r#"SELECT "id" AS "c1", CASE WHEN "when""" BETWEEN '0001-01-01'::date AND '9999-12-31'::date THEN "when""" END AS "c2", "u"::text AS "c3" FROM "s"."a"".""b" WHERE ("id" >= (-5)) AND ("id" < 7)"#
        );
    }

    #[test]
    fn a_table_is_cut_by_a_number_that_leads_a_key() {
        let mut table = table(
            "t",
            vec![column("uuid", 2950), column("id", 20), column("n", 23)],
        );
        let copy = copy_of(&table, &ColumnSelection::All).unwrap();
        assert_eq!(chunk_key(&table, &copy), None);
        let key = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        table.unique_keys = vec![key(&["uuid"]), key(&["uuid", "id"]), key(&["n", "uuid"])];
        let found = chunk_key(&table, &copy).map(|copied| copied.name.as_str());
        assert_eq!(found, Some("n"));
    }

    #[test]
    fn chunks_leave_no_gap() {
        for (low, high, parts) in [
            (0, 9, 3),
            (5, 5, 4),
            (i64::MIN, i64::MAX, 7),
            (i64::MAX - 1, i64::MAX, 10),
            (1, 0, 3),
            (0, 99, 0),
        ] {
            let chunks = Chunk::split("id", low, high, parts);
            assert!((1..=parts.max(1) as usize).contains(&chunks.len()));
            assert_eq!(chunks.first().unwrap().from, None);
            assert_eq!(chunks.last().unwrap().to, None);
            for pair in chunks.windows(2) {
                assert!(pair[0].to.is_some() && pair[0].to == pair[1].from);
                assert!(pair[0].from < pair[0].to);
            }
        }
        assert_eq!(Chunk::split("id", 0, 9, 3).len(), 3);
    }
}
