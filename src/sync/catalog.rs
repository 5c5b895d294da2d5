//! What a schema holds: one query for PostgreSQL's catalog, and what its rows say.
//!
//! `pg_catalog` and not `information_schema`: it tells partitions from tables, shows what the
//! role may not read, has materialized views, and types by OID.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::PgName;

use super::text::PgText;

/// One row of an answer: every cell is text, or null. BigQuery answers so, numbers included.
pub type Cells = BTreeMap<String, Option<String>>;

/// What the query found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    pub schema: SchemaState,
    /// In the order of their names.
    pub tables: Vec<Table>,
    /// Tables whose names are no [`PgName`], shown without control characters.
    pub unnameable: BTreeSet<String>,
}

/// Zero tables have three reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    Missing,
    /// It is there, and the connection's role has no USAGE on it.
    Unusable,
    Usable,
}

/// A relation that can be read. Partitions are not listed: their parent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: PgName,
    pub kind: Kind,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// Whether the role may select every column.
    pub readable: bool,
    /// The planner's estimate, partitions included; unknown for views and for what was never
    /// analyzed.
    pub estimated_rows: Option<u64>,
    /// On disk without indexes, partitions included.
    pub bytes: u64,
    /// Whether row-level security leaves out rows for this role.
    pub row_security: bool,
    /// Columns of each unique index that identifies every row: no predicate, no expression,
    /// none nullable. The primary key comes first.
    pub unique_keys: Vec<Vec<String>>,
}

/// `pg_class.relkind`, of what can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Table,
    Partitioned,
    View,
    MaterializedView,
    Foreign,
}

/// A column with its type resolved through domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the catalog holds it, whatever it is.
    pub name: String,
    /// `attnum`: kept for life, never used twice.
    pub ordinal: u32,
    /// The type's OID; of a domain, its base type's.
    pub oid: u32,
    /// The type's modifier (precision, length); -1 without.
    pub typmod: i32,
    pub category: Category,
    /// The type as it was declared, for people.
    pub type_sql: String,
    pub not_null: bool,
    /// Whether the role may select it.
    pub readable: bool,
}

/// What the OID does not say, for types that are not built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Array,
    Composite,
    Other,
}

/// Why the answer is not a catalog's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("the answer of the catalog has no row about the schema")]
    NoSchemaRow,
    #[error("the catalog answered `{value}` as {cell}")]
    Cell { cell: &'static str, value: String },
}

/// The query for everything about `schema`. Legal as `SELECT … FROM (<query>) t`, needs
/// PostgreSQL 11, and answers in text, int8 and bool only.
///
/// Row kinds: one `schema`, one `table` for each relation, one `column` for each column.
pub fn catalog_query(schema: &PgName) -> PgText {
    PgText::new()
        .sql(BEFORE_SCHEMA)
        .literal(schema.as_str())
        .sql(AFTER_SCHEMA)
}

/// The cells of a row, in order. The wrapper asks for them by these names.
pub const CELLS: &[&str] = &[
    "row_kind",
    "table_name",
    "relkind",
    "readable",
    "estimated_rows",
    "bytes",
    "row_security",
    "unique_keys",
    "column_name",
    "ordinal",
    "type_oid",
    "typmod",
    "category",
    "type_sql",
    "not_null",
    "schema_exists",
];

const BEFORE_SCHEMA: &str = "\
WITH RECURSIVE place AS (
  SELECT (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = ";

const AFTER_SCHEMA: &str = ") AS oid
), relations AS (
  SELECT c.oid, c.relname, c.relkind
  FROM place p JOIN pg_catalog.pg_class c ON c.relnamespace = p.oid
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
), members AS (
  SELECT r.oid AS root, r.oid FROM relations r
  UNION
  SELECT m.root, i.inhrelid FROM members m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid
), sizes AS (
  SELECT m.root,
    sum(c.reltuples) FILTER (WHERE c.reltuples >= 0 AND c.relkind IN ('r', 'm', 'f')
      AND (c.reltuples > 0 OR c.relpages > 0))::bigint AS estimated_rows,
    coalesce(sum(pg_catalog.pg_table_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm')), 0)::bigint AS bytes
  FROM members m JOIN pg_catalog.pg_class c ON c.oid = m.oid
  GROUP BY m.root
), keys AS (
  SELECT i.indrelid, pg_catalog.json_agg(
    (SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
     FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
     WHERE k.place <= i.indnkeyatts)
    ORDER BY i.indisprimary DESC, i.indexrelid)::text AS unique_keys
  FROM relations r JOIN pg_catalog.pg_index i ON i.indrelid = r.oid
  WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
      SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      WHERE k.place <= i.indnkeyatts AND NOT a.attnotnull)
    AND (r.relkind <> 'r' OR NOT EXISTS (
      SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = r.oid))
  GROUP BY i.indrelid
), domains AS (
  SELECT t.oid, t.typbasetype AS base, t.typtypmod AS typmod
  FROM pg_catalog.pg_type t WHERE t.typtype = 'd'
  UNION ALL
  SELECT d.oid, t.typbasetype, t.typtypmod
  FROM domains d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype = 'd'
)
SELECT 'schema'::text AS row_kind, NULL::text AS table_name, NULL::text AS relkind,
  coalesce(pg_catalog.has_schema_privilege(p.oid, 'USAGE'), false) AS readable,
  NULL::bigint AS estimated_rows, NULL::bigint AS bytes, NULL::boolean AS row_security,
  NULL::text AS unique_keys, NULL::text AS column_name, NULL::bigint AS ordinal,
  NULL::bigint AS type_oid, NULL::bigint AS typmod, NULL::text AS category,
  NULL::text AS type_sql, NULL::boolean AS not_null, p.oid IS NOT NULL AS schema_exists
FROM place p
UNION ALL
SELECT 'table', r.relname::text, r.relkind::text,
  coalesce(pg_catalog.has_table_privilege(r.oid, 'SELECT'), false), s.estimated_rows, s.bytes,
  pg_catalog.row_security_active(r.oid), k.unique_keys,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM relations r JOIN sizes s ON s.root = r.oid LEFT JOIN keys k ON k.indrelid = r.oid
UNION ALL
SELECT 'column', r.relname::text, NULL,
  coalesce(pg_catalog.has_column_privilege(r.oid, a.attnum, 'SELECT'), false), NULL, NULL, NULL, NULL,
  a.attname::text, a.attnum::bigint, t.oid::bigint,
  CASE WHEN d.oid IS NULL THEN a.atttypmod ELSE d.typmod END::bigint,
  CASE WHEN t.typtype = 'c' THEN 'composite' WHEN t.typcategory = 'A' THEN 'array' ELSE 'other' END,
  pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, NULL
FROM relations r
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN (SELECT d.oid, d.base, d.typmod FROM domains d
  JOIN pg_catalog.pg_type b ON b.oid = d.base WHERE b.typtype <> 'd') d ON d.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = coalesce(d.base, a.atttypid)";

impl Catalog {
    /// Reads the rows of [`catalog_query`], in any order.
    pub fn from_rows(rows: &[Cells]) -> Result<Self, CatalogError> {
        let mut schema = None;
        let mut tables: BTreeMap<&str, Option<Table>> = BTreeMap::new();
        let mut columns: BTreeMap<&str, Vec<Column>> = BTreeMap::new();
        for row in rows {
            let row = Row(row);
            match row.text("row_kind")? {
                "schema" => schema = Some(row.schema_state()?),
                "table" => {
                    tables.insert(row.text("table_name")?, row.table()?);
                }
                "column" => {
                    let column = row.column()?;
                    columns
                        .entry(row.text("table_name")?)
                        .or_default()
                        .push(column);
                }
                _ => return Err(row.wrong("row_kind")),
            }
        }
        let mut catalog = Self {
            schema: schema.ok_or(CatalogError::NoSchemaRow)?,
            tables: Vec::new(),
            unnameable: BTreeSet::new(),
        };
        for (name, table) in tables {
            let Some(mut table) = table else {
                catalog.unnameable.insert(crate::name::excerpt(name, 63));
                continue;
            };
            table.columns = columns.remove(name).unwrap_or_default();
            table.columns.sort_by_key(|column| column.ordinal);
            table.readable |=
                !table.columns.is_empty() && table.columns.iter().all(|column| column.readable);
            catalog.tables.push(table);
        }
        Ok(catalog)
    }

    pub fn table(&self, name: &PgName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }
}

struct Row<'a>(&'a Cells);

impl<'a> Row<'a> {
    fn cell(&self, cell: &str) -> Option<&'a str> {
        self.0.get(cell).and_then(Option::as_deref)
    }

    fn wrong(&self, cell: &'static str) -> CatalogError {
        let value = crate::name::excerpt(self.cell(cell).unwrap_or("nothing"), 80);
        CatalogError::Cell { cell, value }
    }

    fn text(&self, cell: &'static str) -> Result<&'a str, CatalogError> {
        self.cell(cell).ok_or_else(|| self.wrong(cell))
    }

    fn truth(&self, cell: &'static str) -> Result<bool, CatalogError> {
        self.number(cell)
    }

    fn number<T: std::str::FromStr>(&self, cell: &'static str) -> Result<T, CatalogError> {
        self.text(cell)?.parse().map_err(|_| self.wrong(cell))
    }

    fn schema_state(&self) -> Result<SchemaState, CatalogError> {
        Ok(
            match (self.truth("schema_exists")?, self.truth("readable")?) {
                (false, _) => SchemaState::Missing,
                (true, false) => SchemaState::Unusable,
                (true, true) => SchemaState::Usable,
            },
        )
    }

    /// Nothing, if the name is not one that the product can carry.
    fn table(&self) -> Result<Option<Table>, CatalogError> {
        let Ok(name) = self.text("table_name")?.parse() else {
            return Ok(None);
        };
        let kind = match self.text("relkind")? {
            "r" => Kind::Table,
            "p" => Kind::Partitioned,
            "v" => Kind::View,
            "m" => Kind::MaterializedView,
            "f" => Kind::Foreign,
            _ => return Err(self.wrong("relkind")),
        };
        let estimated_rows = match self.cell("estimated_rows") {
            Some(_) => Some(self.number("estimated_rows")?),
            None => None,
        };
        let unique_keys = match self.cell("unique_keys") {
            Some(json) => serde_json::from_str(json).map_err(|_| self.wrong("unique_keys"))?,
            None => Vec::new(),
        };
        Ok(Some(Table {
            name,
            kind,
            columns: Vec::new(),
            readable: self.truth("readable")?,
            estimated_rows,
            bytes: self.number("bytes")?,
            row_security: self.truth("row_security")?,
            unique_keys,
        }))
    }

    fn column(&self) -> Result<Column, CatalogError> {
        Ok(Column {
            name: self.text("column_name")?.to_owned(),
            ordinal: self.number("ordinal")?,
            oid: self.number("type_oid")?,
            typmod: self.number("typmod")?,
            category: match self.text("category")? {
                "array" => Category::Array,
                "composite" => Category::Composite,
                _ => Category::Other,
            },
            type_sql: self.text("type_sql")?.to_owned(),
            not_null: self.truth("not_null")?,
            readable: self.truth("readable")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Cells {
        cells
            .iter()
            .map(|(cell, value)| ((*cell).to_owned(), Some((*value).to_owned())))
            .collect()
    }

    fn schema(exists: &str, usable: &str) -> Cells {
        row(&[
            ("row_kind", "schema"),
            ("schema_exists", exists),
            ("readable", usable),
        ])
    }

    fn table(name: &str) -> Cells {
        row(&[
            ("row_kind", "table"),
            ("table_name", name),
            ("relkind", "r"),
            ("readable", "false"),
            ("bytes", "8192"),
            ("row_security", "false"),
            ("unique_keys", r#"[["id"]]"#),
        ])
    }

    fn column(table: &str, ordinal: &str) -> Cells {
        row(&[
            ("row_kind", "column"),
            ("table_name", table),
            ("column_name", "id"),
            ("ordinal", ordinal),
            ("type_oid", "20"),
            ("typmod", "-1"),
            ("category", "other"),
            ("type_sql", "bigint"),
            ("not_null", "true"),
            ("readable", "true"),
        ])
    }

    #[test]
    fn missing_unusable_and_empty_are_told_apart() {
        let state = |exists, usable| {
            Catalog::from_rows(&[schema(exists, usable)])
                .unwrap()
                .schema
        };
        assert_eq!(state("false", "false"), SchemaState::Missing);
        assert_eq!(state("true", "false"), SchemaState::Unusable);
        assert_eq!(state("true", "true"), SchemaState::Usable);
        assert_eq!(Catalog::from_rows(&[]), Err(CatalogError::NoSchemaRow));
    }

    #[test]
    fn rows_in_any_order_make_tables() {
        let rows = [
            column("b", "2"),
            table("b"),
            column("b", "1"),
            schema("true", "true"),
            table("a"),
            table("a\nb"),
        ];
        let catalog = Catalog::from_rows(&rows).unwrap();
        let names: Vec<_> = catalog.tables.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(catalog.unnameable, ["a\u{fffd}b".to_owned()].into());
        let b = catalog.table(&"b".parse().unwrap()).unwrap();
        let ordinals: Vec<_> = b.columns.iter().map(|column| column.ordinal).collect();
        assert_eq!((ordinals, b.readable), (vec![1, 2], true));
        assert!(!catalog.tables[0].readable);
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let mut broken = column("a", "x");
        let error = Catalog::from_rows(&[schema("true", "true"), broken.clone()]).unwrap_err();
        assert_eq!(error.to_string(), "the catalog answered `x` as ordinal");
        broken.remove("row_kind");
        assert!(Catalog::from_rows(&[broken]).is_err());
    }
}
