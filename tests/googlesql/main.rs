//! Every kind of statement that the sync sends, read by a GoogleSQL analyzer: the emulator
//! of BigQuery whose program `GOOGLESQL_EMULATOR` names; `.ci/run` builds it.
//!
//! It has BigQuery's own parser and analyzer, and no EXTERNAL_QUERY. So a statement is shown
//! to it twice: as it is, where that function must be the only thing it does not know, at
//! its very place; and with a stand-in of the same columns, where nothing may be wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub
)]

mod analyzer;

use pipewright::name::{ConnectionName, PgName};
use pipewright::pipeline::{ColumnSelection, Mode};
use pipewright::sync::{
    BigQueryType, CELLS, Category, Column, Destination, Incremental, Kind, Rows, TAKEN, Table,
    TableCopy, bounds_statement, catalog_statement, copy_of, inner_select, merge_statement,
    select_statement, select_unless_empty_statement, source_watermark_statement, table_id,
    union_statement, watermark_statement,
};

use analyzer::Analyzer;

const PROJECT: &str = "acme-orders";
const DATASET: &str = "copies";

/// Types that are cast inside PostgreSQL, and numerics of each kind.
const OTHERS: [(u32, i32); 9] = [
    (1700, -1),
    // (12,2), (38,9), (60,20): precision and scale as PostgreSQL packs them.
    (1700, (12 << 16) + 2 + 4),
    (1700, (38 << 16) + 9 + 4),
    (1700, (50 << 16) + 20 + 4),
    (790, -1),
    (2950, -1),
    (3802, -1),
    (1186, -1),
    (869, -1),
];

const NAMES: [&str; 12] = [
    "plain",
    "select",
    "Mixed Case",
    "a\"b",
    "`",
    "\\`",
    "'''",
    "\\",
    "名前",
    "{{workflow.name}}",
    "-- x",
    "_TABLE_x",
];

fn connection() -> ConnectionName {
    ConnectionName {
        project: PROJECT.parse().unwrap(),
        location: "eu".parse().unwrap(),
        id: "orders-db".parse().unwrap(),
    }
}

fn schema() -> PgName {
    "My_Schema$1".parse().unwrap()
}

fn column(name: &str, ordinal: u32, (oid, typmod): (u32, i32)) -> Column {
    Column {
        name: name.to_owned(),
        ordinal,
        oid,
        typmod,
        category: Category::Other,
        type_sql: "a type".to_owned(),
        not_null: true,
        readable: true,
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table {
        name: name.parse().unwrap(),
        kind: Kind::Table,
        readable: true,
        unique_keys: vec![vec![columns[0].name.clone()]],
        columns,
        estimated_rows: Some(10),
        bytes: 8192,
        row_security: false,
    }
}

/// A table with a column of every type, and one with a column of every name.
fn tables() -> Vec<Table> {
    let types = TAKEN.iter().map(|oid| (*oid, -1)).chain(OTHERS);
    let typed = (2..).zip(types).map(|(ordinal, kind)| {
        let name = format!("of_{}_{ordinal}", kind.0);
        column(&name, ordinal, kind)
    });
    let first = || column("id", 1, (20, -1));
    let named = (2..)
        .zip(NAMES)
        .map(|(ordinal, name)| column(&format!("{name}{ordinal}"), ordinal, (25, -1)));
    vec![
        table("types", [first()].into_iter().chain(typed).collect()),
        table("na\"me`s", [first()].into_iter().chain(named).collect()),
    ]
}

fn copy(table: &Table) -> TableCopy {
    copy_of(table, &ColumnSelection::All).unwrap()
}

fn destination(table: &Table) -> Destination {
    Destination {
        project: PROJECT.parse().unwrap(),
        dataset: DATASET.parse().unwrap(),
        table: table_id(&table.name),
    }
}

/// What the connection would answer: the inner columns, as BigQuery takes them.
fn stand_in(copy: &TableCopy) -> String {
    let columns = copy.columns.iter().map(|copied| {
        // What crosses as text is cast outside.
        let kind = match copied.treatment.bigquery {
            BigQueryType::BigNumeric => "STRING",
            kind => kind.sql(),
        };
        format!("CAST(NULL AS {kind}) AS c{}", copied.column.ordinal)
    });
    let columns: Vec<String> = columns.chain(["FALSE AS c0".to_owned()]).collect();
    format!("(SELECT {})", columns.join(", "))
}

/// Makes the destination.
fn make(analyzer: &Analyzer, table: &Table, copy: &TableCopy) {
    let columns: Vec<(String, &str)> = copy
        .columns
        .iter()
        .map(|copied| (copied.name.clone(), copied.treatment.bigquery.sql()))
        .collect();
    analyzer.make_table(&destination(table).table, &columns);
}

#[test]
fn every_statement_is_googlesql() {
    let analyzer = Analyzer::start(PROJECT, DATASET);
    let (connection, schema) = (connection(), schema());
    let statements = std::cell::Cell::new(0);
    let check = |statement: &str, stand_in: &str| {
        analyzer.knows_all_but_the_function(statement);
        analyzer.accepts(&replaced(statement, stand_in));
        statements.set(statements.get() + 1);
    };
    let cells: Vec<String> = CELLS
        .iter()
        .map(|cell| format!("CAST(NULL AS STRING) AS `{cell}`"))
        .collect();
    check(
        catalog_statement(&connection, &schema).as_str(),
        &format!("(SELECT {})", cells.join(", ")),
    );
    for table in tables() {
        let (copy, rows) = (copy(&table), Rows::default());
        make(&analyzer, &table, &copy);
        let inner = inner_select(&schema, &copy, &rows);
        let nulls = [("gone".to_owned(), BigQueryType::Date)];
        let stand_in = stand_in(&copy);
        for nulls in [&nulls[..0], &nulls[..]] {
            check(
                select_statement(&connection, &inner, &copy, nulls).as_str(),
                &stand_in,
            );
            let unless = select_unless_empty_statement(&connection, &schema, &copy, &rows, nulls);
            check(unless.as_str(), &stand_in);
        }
        let bounds = bounds_statement(&connection, &schema, &table.name, "id");
        check(bounds.as_str(), "(SELECT 1 AS low, 2 AS high)");
        let into = destination(&table);
        let merge = merge_statement(&connection, &inner, &copy, &into, &["id".to_owned()]);
        check(merge.as_str(), &stand_in);
        // These two read BigQuery alone.
        let union = union_statement(&[into.clone(), into.clone()], &copy, &nulls);
        analyzer.accepts(union.as_str());
        statements.set(statements.get() + 1);
        for copied in &copy.columns {
            let mode = Mode::Incremental {
                key: vec!["id".parse().unwrap()],
                cursor: copied.column.name.parse().unwrap(),
                lookback_seconds: None,
                full_every_seconds: 1,
            };
            let Ok(Some(incremental)) = Incremental::of(&table, &copy, &mode) else {
                continue;
            };
            analyzer.accepts(watermark_statement(&into, &incremental.cursor).as_str());
            statements.set(statements.get() + 1);
            let cursor = &incremental.cursor;
            let source =
                source_watermark_statement(&connection, &schema, &table.name, cursor, &rows);
            let kind = cursor.treatment.bigquery.sql();
            check(
                source.as_str(),
                &format!("(SELECT CAST(NULL AS {kind}) AS highest)"),
            );
        }
    }
    println!("googlesql: {} statements", statements.get());
    assert!(statements.get() >= 20);
}

#[test]
fn what_is_no_googlesql_is_found() {
    let analyzer = Analyzer::start(PROJECT, DATASET);
    assert!(analyzer.refusal("SELECT `a FROM x").contains("Unclosed"));
    assert!(
        analyzer
            .refusal("SELECT nothing")
            .contains("Unrecognized name")
    );
}

/// The statement with the stand-in in the function's place.
fn replaced(statement: &str, stand_in: &str) -> String {
    let from = statement.find("EXTERNAL_QUERY(").unwrap();
    let mut escaped = false;
    let mut quoted = false;
    for (at, c) in statement[from..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ')' if !quoted => {
                let rest = &statement[from + at + 1..];
                return format!("{}{stand_in}{rest}", &statement[..from]);
            }
            _ => {}
        }
    }
    panic!("the function does not end: {statement}");
}
