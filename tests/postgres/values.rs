//! Every value of every type, compared with what PostgreSQL itself prints.

use std::collections::{BTreeMap, BTreeSet};

use pipewright::pipeline::{ColumnSelection, Mode};
use pipewright::sync::{
    Cast, Category, Chunk, Copied, GoogleText, Incremental, Loss, Rows, TAKEN, Table, TableCopy,
    bounds_statement, chunk_key, copy_of, filter, inner_select, select_unless_empty_statement,
};

use crate::names::connection;
use crate::shape;

use crate::server::{FIXTURE, OWNER, READER, Row, SCHEMA, Server, server};

const TABLES: &[&str] = &[
    "everything",
    "made_up",
    "decimals",
    "edges",
    "Weird\"Table",
    "parts",
];

const JSON_ARRAY: u32 = 199;

fn inner_names(copy: &TableCopy) -> Vec<String> {
    let columns = copy.columns.iter();
    columns
        .map(|copied| format!("c{}", copied.column.ordinal))
        .collect()
}

fn copied(server: &Server, name: &str) -> (Table, TableCopy) {
    let catalog = server.catalog(FIXTURE, SCHEMA);
    let table = catalog.table(&name.parse().unwrap()).unwrap().clone();
    let copy = copy_of(&table, &ColumnSelection::All).unwrap();
    (table, copy)
}

/// What PostgreSQL prints for each column, without our help.
fn printed(server: &Server, name: &str) -> Vec<Row> {
    let query = format!(
        "SELECT * FROM \"{SCHEMA}\".\"{}\" ORDER BY 1",
        name.replace('"', "\"\"")
    );
    server.rows(OWNER, FIXTURE, &query).unwrap()
}

fn copied_rows(server: &Server, copy: &TableCopy, rows: &Rows) -> Vec<Row> {
    let inner = inner_select(&SCHEMA.parse().unwrap(), copy, rows);
    server.wrapped(FIXTURE, &inner, &inner_names(copy)).unwrap()
}

#[test]
fn every_output_is_of_a_type_that_bigquery_takes() {
    let server = server();
    let mut seen = BTreeSet::new();
    for name in TABLES {
        let (_, copy) = copied(&server, name);
        let inner = inner_select(&SCHEMA.parse().unwrap(), &copy, &Rows::default());
        let types = server.described(FIXTURE, &format!("SELECT * FROM ({inner}) t"));
        assert_eq!(types.len(), copy.columns.len());
        for (copied, oid) in copy.columns.iter().zip(types) {
            assert!(TAKEN.contains(&oid), "{name}.{}: {oid}", copied.column.name);
            seen.insert(oid);
        }
    }
    // Bits are taken, and are cast nevertheless.
    let never = [1560, 1562];
    let expected: BTreeSet<u32> = TAKEN
        .iter()
        .copied()
        .filter(|o| !never.contains(o))
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_value_is_what_postgres_prints_or_a_listed_loss() {
    let server = server();
    let mut lost: BTreeMap<Loss, usize> = BTreeMap::new();
    let mut compared = 0;
    for name in TABLES {
        let (_, copy) = copied(&server, name);
        let mut rows = copied_rows(&server, &copy, &Rows::default());
        rows.sort_by_key(|row| row[0].clone().unwrap().parse::<i64>().ok());
        let printed = printed(&server, name);
        if *name == "parts" {
            // Its first column is not unique in print order; the sets must be the same.
            let set = |rows: &[Row]| rows.iter().cloned().collect::<BTreeSet<Row>>();
            assert_eq!((set(&rows), rows.len()), (set(&printed), printed.len()));
            continue;
        }
        assert_eq!(rows.len(), printed.len(), "{name}");
        for (row, as_printed) in rows.iter().zip(&printed) {
            for ((copied, value), raw) in copy.columns.iter().zip(row).zip(as_printed) {
                compared += 1;
                if let Some(loss) = check(&server, copied, value.as_deref(), raw.as_deref()) {
                    *lost.entry(loss).or_default() += 1;
                }
            }
        }
    }
    assert!(compared > 300, "{compared}");
    let expected = [
        (Loss::YearsOutOfRange, 12),
        (Loss::EndOfDay, 4),
        (Loss::NotANumber, 9),
        (Loss::Currency, 1),
        (Loss::ArrayBounds, 1),
    ];
    assert_eq!(lost, expected.into());
}

/// Compares one value; the loss, where it is not what PostgreSQL prints.
fn check(server: &Server, copied: &Copied, value: Option<&str>, raw: Option<&str>) -> Option<Loss> {
    let name = &copied.column.name;
    let Some(raw) = raw else {
        assert_eq!(value, None, "{name}");
        return None;
    };
    let loss = copied.treatment.loss;
    match (copied.treatment.cast, value) {
        (Cast::Json, Some(value)) => json(server, copied, value, raw),
        (Cast::Numeric, Some(value)) => {
            assert_eq!((value, raw), ("-12.34", "-$12.34"), "{name}");
            loss
        }
        // PostgreSQL's text of an address has its mask, always; its output only if needed.
        (Cast::Text, Some("::1/128")) => {
            assert_eq!((name.as_str(), raw), ("inet", "::1"));
            None
        }
        (_, Some(value)) => {
            assert_eq!(value, raw, "{name}");
            None
        }
        (_, None) => {
            assert!(loss.is_some_and(Loss::nulls), "{name}: {raw} is lost");
            let beyond = ["infinity", "BC", "10000", "24:00:00", "NaN"];
            assert!(
                beyond.iter().any(|word| raw.contains(word)),
                "{name}: {raw}"
            );
            loss
        }
    }
}

/// PostgreSQL makes the value again from the JSON, and must print the same.
fn json(server: &Server, copied: &Copied, value: &str, raw: &str) -> Option<Loss> {
    let name = &copied.column.name;
    if copied.column.category == Category::Composite {
        let expected = match raw {
            "(1,\"a \"\"b\")" => r#"{"x":1,"Y y":"a \"b"}"#,
            "(2,)" => r#"{"x":2,"Y y":null}"#,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(value, expected);
        return None;
    }
    if copied.column.oid == JSON_ARRAY {
        // PostgreSQL itself can not take this one apart again: it holds \u0000.
        assert_eq!(value, r#"[{"a": 1, "a": [1.50, "\u0000"]},null]"#);
        return None;
    }
    let (element, whole) = match copied.column.type_sql.as_str() {
        // Printed without braces, though it is an array.
        "int2vector" => {
            assert_eq!((value, raw), ("[1,2]", "1 2"));
            return None;
        }
        declared if declared.ends_with("tags") => ("text", "text[]"),
        declared => (declared.strip_suffix("[]").unwrap(), declared),
    };
    let made = format!(
        "SELECT coalesce(array_agg(e.value::{element} ORDER BY e.place), '{{}}')::{whole} FROM json_array_elements_text($json${value}$json$) WITH ORDINALITY AS e(value, place)",
    );
    let again = server
        .rows(OWNER, FIXTURE, &made)
        .unwrap()
        .remove(0)
        .remove(0);
    let again = again.unwrap();
    if again == raw {
        return None;
    }
    assert_eq!(
        (raw, again.as_str()),
        ("[2:3]={a,\"b,c\"}", "{a,\"b,c\"}"),
        "{name}"
    );
    copied.treatment.loss
}

#[test]
fn chunks_are_the_whole_table_once() {
    let server = server();
    let (_, copy) = copied(&server, "parts");
    let mut all = Vec::new();
    for chunk in Chunk::split("id", 0, 499, 7) {
        let rows = Rows {
            chunk: Some(chunk),
            ..Rows::default()
        };
        let part = copied_rows(&server, &copy, &rows);
        assert!((1..499).contains(&part.len()));
        all.extend(part);
    }
    let mut whole = printed(&server, "parts");
    all.sort();
    whole.sort();
    assert_eq!(all, whole);
}

/// What a statement sends to PostgreSQL, read back from its GoogleSQL.
fn sent(statement: &GoogleText) -> String {
    shape::google(statement.as_str()).1.remove(1)
}

#[test]
fn an_emptied_source_sends_a_sign_and_a_full_one_its_rows() {
    let server = server();
    let schema = SCHEMA.parse().unwrap();
    for name in TABLES {
        let (table, copy) = copied(&server, name);
        let mut cells = inner_names(&copy);
        cells.push("c0".to_owned());
        let cells: Vec<String> = cells.iter().map(|cell| format!("\"{cell}\"")).collect();
        let asked = |rows: &Rows| {
            let statement = select_unless_empty_statement(&connection(), &schema, &copy, rows, &[]);
            let query = format!("SELECT {} FROM ({}) t", cells.join(","), sent(&statement));
            (server.rows(READER, FIXTURE, &query).unwrap(), query)
        };
        let (full, query) = asked(&Rows::default());
        assert_eq!(full.len(), printed(&server, name).len());
        assert!(
            full.iter()
                .all(|row| row.last() == Some(&Some("f".to_owned())))
        );
        let types = server.described(FIXTURE, &query);
        assert!(
            types.iter().all(|oid| TAKEN.contains(oid)),
            "{name}: {types:?}"
        );
        let none = Rows {
            filter: Some(filter("false", &table).unwrap()),
            ..Rows::default()
        };
        let mut sign: Row = vec![None; copy.columns.len()];
        sign.push(Some("t".to_owned()));
        assert_eq!(asked(&none).0, [sign]);
    }
}

#[test]
fn a_watermark_reads_on_from_where_it_was() {
    let server = server();
    let (table, copy) = copied(&server, "cursors");
    let read = |cursor: &str, lookback_seconds, highest: &str| {
        let mode = Mode::Incremental {
            key: vec!["id".parse().unwrap()],
            cursor: cursor.parse().unwrap(),
            lookback_seconds: Some(lookback_seconds),
            full_every_seconds: 1,
        };
        let incremental = Incremental::of(&table, &copy, &mode).unwrap().unwrap();
        let rows = Rows {
            since: Some(incremental.since(highest).unwrap()),
            ..Rows::default()
        };
        let mut found: Vec<i64> = copied_rows(&server, &copy, &rows)
            .into_iter()
            .map(|row| row[0].as_deref().unwrap().parse().unwrap())
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(read("tz", 0, "2024-03-01T00:00:00.000001Z"), [2, 3, 4]);
    assert_eq!(read("tz", 1, "2024-03-01T00:00:00.000001Z"), [1, 2, 3, 4]);
    assert_eq!(read("ts", 0, "2024-03-01T00:00:00.000001"), [2, 3, 4]);
    assert_eq!(read("d", 0, "2024-03-02"), [3, 4]);
    assert_eq!(read("d", 1, "2024-03-02"), [1, 2, 3, 4]);
    assert_eq!(read("n", 0, "-1"), [2, 3, 4]);
    // Before the first year there is only everything.
    assert_eq!(
        read("tz", u64::MAX, "0001-01-01T00:00:00.000000Z"),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(read("d", u64::MAX, "0001-01-01"), [0, 1, 2, 3, 4]);
    assert_eq!(
        read("ts", u64::MAX, "0001-01-01T00:00:00.000000"),
        [0, 1, 2, 3, 4]
    );
}

#[test]
fn bounds_are_those_of_the_key() {
    let server = server();
    let schema = SCHEMA.parse().unwrap();
    let (table, copy) = copied(&server, "cursors");
    let key = chunk_key(&table, &copy).unwrap();
    for (table, column, low, high) in [
        ("cursors", key.column.name.as_str(), Some("0"), Some("4")),
        ("keys", "d", None, None),
    ] {
        let table = table.parse().unwrap();
        let inner = sent(&bounds_statement(&connection(), &schema, &table, column));
        let query = format!("SELECT \"low\",\"high\" FROM ({inner}) t");
        let bounds = server.rows(READER, FIXTURE, &query).unwrap();
        assert_eq!(bounds, [[low, high].map(|b| b.map(str::to_owned))]);
        assert_eq!(server.described(FIXTURE, &query), [20, 20]);
    }
}

#[test]
fn an_excluded_column_is_not_even_named() {
    let server = server();
    let catalog = server.catalog(FIXTURE, SCHEMA);
    let half = catalog.table(&"half".parse().unwrap()).unwrap();
    assert!(copy_of(half, &ColumnSelection::All).is_err());
    let exclude = ColumnSelection::Exclude(["b".parse().unwrap()].into());
    let copy = copy_of(half, &exclude).unwrap();
    assert!(copied_rows(&server, &copy, &Rows::default()).is_empty());
}

#[test]
fn row_security_leaves_out_what_the_role_may_not_see() {
    let server = server();
    let (table, copy) = copied(&server, "filtered");
    assert!(table.row_security);
    assert_eq!(copied_rows(&server, &copy, &Rows::default()).len(), 1);
    assert_eq!(printed(&server, "filtered").len(), 2);
}
