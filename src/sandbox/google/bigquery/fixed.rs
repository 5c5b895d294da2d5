//! A small fixed database, for those who have no PostgreSQL at hand.
//!
//! It is no PostgreSQL: three tables of plain values that every schema holds. It knows the
//! query that reads a catalog by the columns that it asks for, and a SELECT of one whole table
//! by its shape; whatever else is asked, it says that it does not know it, and what would.

use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::source::{Answer, Want};

struct Table {
    name: &'static str,
    columns: &'static [Column],
    rows: &'static [&'static [Option<&'static str>]],
}

/// Name, OID, modifier, the type's name; the first column is the key.
type Column = (&'static str, u32, i32, &'static str);

const BIGINT: (u32, i32, &str) = (20, -1, "bigint");
const TEXT: (u32, i32, &str) = (25, -1, "text");

const fn column(name: &'static str, (oid, modifier, kind): (u32, i32, &'static str)) -> Column {
    (name, oid, modifier, kind)
}

/// `numeric(10,2)`: precision in the upper half, scale in the lower one, and four.
const PRICE: (u32, i32, &str) = (1700, (10 << 16 | 2) + 4, "numeric(10,2)");

static TABLES: [Table; 3] = [
    Table {
        name: "customers",
        columns: &[
            column("id", BIGINT),
            column("name", TEXT),
            column("country", TEXT),
            column("since", (1082, -1, "date")),
        ],
        rows: &[
            &[
                Some("1"),
                Some("Ada Bakery"),
                Some("NL"),
                Some("2023-03-01"),
            ],
            &[
                Some("2"),
                Some("Böhm & Söhne"),
                Some("DE"),
                Some("2024-07-15"),
            ],
            &[Some("3"), Some("Chez Camille"), None, Some("2025-01-31")],
        ],
    },
    Table {
        name: "orders",
        columns: &[
            column("id", BIGINT),
            column("customer_id", BIGINT),
            column("total", PRICE),
            column("paid", (16, -1, "boolean")),
            column("placed_at", (1184, -1, "timestamp with time zone")),
        ],
        rows: &[
            &[
                Some("10"),
                Some("1"),
                Some("19.90"),
                Some("t"),
                Some("2026-01-05 08:30:00+00"),
            ],
            &[
                Some("11"),
                Some("1"),
                Some("7.50"),
                Some("t"),
                Some("2026-01-12 09:00:00+00"),
            ],
            &[
                Some("12"),
                Some("2"),
                Some("240.00"),
                Some("f"),
                Some("2026-02-01 17:45:00+00"),
            ],
            &[
                Some("13"),
                Some("3"),
                Some("0.99"),
                None,
                Some("2026-02-02 06:10:00+00"),
            ],
        ],
    },
    Table {
        name: "products",
        columns: &[
            column("id", BIGINT),
            column("name", TEXT),
            column("price", PRICE),
        ],
        rows: &[
            &[Some("100"), Some("Rye bread"), Some("4.20")],
            &[Some("101"), Some("Croissant"), Some("1.95")],
        ],
    },
];

/// Answers `query` with `columns` of its result.
///
/// # Errors
/// If it is none that it knows.
pub(super) fn ask(query: &str, columns: &[String], want: Want) -> Result<Answer, String> {
    let (known, rows) = match columns.iter().any(|name| name == "row_kind") {
        true => catalog(),
        false => whole_table(query)?,
    };
    let mut places = Vec::new();
    for name in columns {
        let place = known.iter().position(|(known, _)| known == name);
        places.push(place.ok_or_else(|| unknown(&format!("it has no column {name}")))?);
    }
    let of = |place: &usize| known.get(*place).cloned().unwrap_or_default();
    let kept = match want {
        Want::Columns => 0,
        Want::Rows { most } => most,
    };
    Ok(Answer {
        columns: places.iter().map(of).collect(),
        rows: rows
            .iter()
            .take(kept)
            .map(|row| {
                let cell = |place: &usize| row.get(*place).cloned().flatten();
                places.iter().map(cell).collect()
            })
            .collect(),
        ..Answer::default()
    })
}

fn unknown(why: &str) -> String {
    format!(
        "The sandbox's fixed database answers SELECTs of its three whole tables only ({why}): \
         start the sandbox with --postgres to have a real PostgreSQL behind the connections"
    )
}

type Rows = (Vec<(String, u32)>, Vec<Vec<Option<String>>>);

/// What the catalog of such a schema would say.
fn catalog() -> Rows {
    const CELLS: [(&str, u32); 16] = [
        ("row_kind", 25),
        ("table_name", 25),
        ("relkind", 25),
        ("readable", 16),
        ("estimated_rows", 20),
        ("bytes", 20),
        ("row_security", 16),
        ("unique_keys", 25),
        ("column_name", 25),
        ("ordinal", 20),
        ("type_oid", 20),
        ("typmod", 20),
        ("category", 25),
        ("type_sql", 25),
        ("not_null", 16),
        ("schema_exists", 16),
    ];
    let row = |said: &[(&str, String)]| -> Vec<Option<String>> {
        let of = |(cell, _): &(&str, u32)| {
            let found = said.iter().find(|(name, _)| name == cell);
            found.map(|(_, text)| text.clone())
        };
        CELLS.iter().map(of).collect()
    };
    let text = str::to_owned;
    let mut rows = vec![row(&[
        ("row_kind", text("schema")),
        ("readable", text("t")),
        ("schema_exists", text("t")),
    ])];
    for table in &TABLES {
        rows.push(row(&[
            ("row_kind", text("table")),
            ("table_name", text(table.name)),
            ("relkind", text("r")),
            ("readable", text("t")),
            ("estimated_rows", table.rows.len().to_string()),
            ("bytes", text("8192")),
            ("row_security", text("f")),
            ("unique_keys", text(r#"[["id"]]"#)),
        ]));
        for (at, (name, oid, modifier, kind)) in table.columns.iter().enumerate() {
            rows.push(row(&[
                ("row_kind", text("column")),
                ("table_name", text(table.name)),
                ("readable", text("t")),
                ("column_name", text(name)),
                ("ordinal", (at + 1).to_string()),
                ("type_oid", oid.to_string()),
                ("typmod", modifier.to_string()),
                ("category", text("other")),
                ("type_sql", text(kind)),
                ("not_null", text(if at == 0 { "t" } else { "f" })),
            ]));
        }
    }
    (CELLS.map(|(name, oid)| (name.to_owned(), oid)).into(), rows)
}

/// One table's rows, under the names that the SELECT gives its columns.
fn whole_table(query: &str) -> Result<Rows, String> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, query);
    let parsed = parsed.map_err(|error| unknown(&error.to_string()))?;
    let [sqlparser::ast::Statement::Query(query)] = parsed.as_slice() else {
        return Err(unknown("it is no query"));
    };
    let (select, has_sign) = select(query).ok_or_else(|| unknown("it is no plain SELECT"))?;
    let [from] = select.from.as_slice() else {
        return Err(unknown("it is not from one table"));
    };
    let TableFactor::Table { name, .. } = &from.relation else {
        return Err(unknown("it is not from a table"));
    };
    if select.selection.is_some() || !from.joins.is_empty() {
        return Err(unknown("it has a condition"));
    }
    let name = name.0.last().and_then(|part| part.as_ident());
    let name = name.map(|name| name.value.as_str()).unwrap_or_default();
    let table = TABLES.iter().find(|table| table.name == name);
    let table = table.ok_or_else(|| unknown(&format!("there is no table {name}")))?;
    let mut columns = Vec::new();
    let mut places = Vec::new();
    for item in &select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else {
            return Err(unknown("a column has no name"));
        };
        let (place, column) = source(expr, table).ok_or_else(|| unknown(&expr.to_string()))?;
        columns.push((alias.value.clone(), column.1));
        places.push(place);
    }
    let mut rows: Vec<Vec<Option<String>>> = table
        .rows
        .iter()
        .map(|row| {
            let cell = |place: &usize| row.get(*place).copied().flatten().map(str::to_owned);
            places.iter().map(cell).collect()
        })
        .collect();
    if has_sign {
        columns.push(("c0".to_owned(), 16));
        for row in &mut rows {
            row.push(Some("f".to_owned()));
        }
    }
    Ok((columns, rows))
}

/// The SELECT itself, and whether it stands in one that adds a sign for an empty table.
fn select(query: &Query) -> Option<(&Select, bool)> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some((select, false)),
        SetExpr::SetOperation { left, .. } => {
            let SetExpr::Select(outer) = left.as_ref() else {
                return None;
            };
            let TableFactor::Derived { subquery, .. } = &outer.from.first()?.relation else {
                return None;
            };
            let (inner, _) = self::select(subquery)?;
            Some((inner, true))
        }
        _ => None,
    }
}

/// The column that an expression is of: every value here passes through it as it is.
fn source<'t>(expr: &Expr, table: &'t Table) -> Option<(usize, &'t Column)> {
    let text = expr.to_string();
    let name = text.split('"').nth(1)?;
    let mut columns = table.columns.iter().enumerate();
    columns.find(|(_, column)| column.0 == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Want = Want::Rows { most: usize::MAX };

    #[test]
    fn a_whole_table_and_nothing_else() {
        let query = r#"SELECT "id" AS "c1", CASE WHEN "price" = 'NaN' THEN NULL ELSE "price" END AS "c2" FROM "s"."products""#;
        let names = ["c2", "c1"].map(str::to_owned);
        let answer = ask(query, &names, ALL).unwrap();
        assert_eq!(answer.columns[0], ("c2".to_owned(), 1700));
        assert_eq!(
            answer.rows[1],
            [Some("1.95".to_owned()), Some("101".to_owned())]
        );
        let signed = format!(
            r#"SELECT r.*, false AS "c0" FROM ({query}) r UNION ALL SELECT NULL, NULL, true WHERE NOT EXISTS (SELECT FROM "s"."products")"#
        );
        let answer = ask(&signed, &["c0".to_owned()], ALL).unwrap();
        assert_eq!(answer.rows[0], [Some("f".to_owned())]);
        for other in [
            format!(r#"{query} WHERE "id" > 100"#),
            query.replace("products", "salaries"),
            query.replace("\"id\"", "\"secret\""),
            "DROP TABLE products".to_owned(),
        ] {
            let said = ask(&other, &names, ALL).unwrap_err();
            assert!(said.contains("--postgres"), "{other}: {said}");
        }
    }
}
