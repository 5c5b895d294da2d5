//! Discovery: what is there, what the role may read of it, and what the types really are.

use std::collections::BTreeSet;

use pipewright::pipeline::TableSelection;
use pipewright::sync::{
    CELLS, Catalog, Category, Column, Kind, SchemaState, Table, catalog_query, choose,
};

use crate::server::{FIXTURE, OWNER, READER, SCHEMA, server};

fn table<'a>(catalog: &'a Catalog, name: &str) -> &'a Table {
    catalog.table(&name.parse().unwrap()).unwrap()
}

fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    table.columns.iter().find(|c| c.name == name).unwrap()
}

#[test]
fn missing_closed_and_empty_schemas_are_told_apart() {
    let server = server();
    for (schema, state) in [
        ("nowhere", SchemaState::Missing),
        ("my_schema$1", SchemaState::Missing),
        ("closed", SchemaState::Unusable),
        ("empty", SchemaState::Usable),
        (SCHEMA, SchemaState::Usable),
    ] {
        let catalog = server.catalog(FIXTURE, schema);
        assert_eq!(catalog.schema, state, "{schema}");
        let none = TableSelection::All;
        let chosen = choose(&catalog, &schema.parse().unwrap(), &none, &BTreeSet::new());
        assert_eq!(chosen.is_ok(), schema == SCHEMA, "{schema}");
    }
}

#[test]
fn relations_are_found_with_what_the_role_may_do() {
    let server = server();
    let catalog = server.catalog(FIXTURE, SCHEMA);
    let readable = |kind: Kind| -> Vec<&str> {
        let tables = catalog.tables.iter();
        tables
            .filter(|table| table.kind == kind && table.readable)
            .map(|table| table.name.as_str())
            .collect()
    };
    assert_eq!(readable(Kind::Partitioned), ["parts"]);
    assert_eq!(readable(Kind::View), ["looking"]);
    assert_eq!(readable(Kind::MaterializedView), ["kept"]);
    assert_eq!(
        readable(Kind::Table),
        [
            "Weird\"Table",
            "ancestor",
            "by_columns",
            "decimals",
            "dropped",
            "edges",
            "everything",
            "filtered",
            "heir",
            "keys",
            "made_up",
            "no_columns",
        ]
    );
    let unreadable: Vec<&str> = catalog
        .tables
        .iter()
        .filter(|table| !table.readable)
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(unreadable, ["half", "hidden", "only_insert"]);
    let half = table(&catalog, "half");
    assert!(column(half, "a").readable && !column(half, "b").readable);
    assert!(table(&catalog, "filtered").row_security);
    assert!(!table(&catalog, "keys").row_security);
    assert!(table(&catalog, "no_columns").columns.is_empty());
    let ordinals: Vec<u32> = table(&catalog, "dropped")
        .columns
        .iter()
        .map(|column| column.ordinal)
        .collect();
    assert_eq!(ordinals, [1, 3]);
}

#[test]
fn sizes_are_those_of_all_partitions() {
    let server = server();
    let parts = server.catalog(FIXTURE, SCHEMA);
    let parts = table(&parts, "parts");
    let sum = format!(
        "SELECT sum(pg_table_size(relid)) FROM pg_partition_tree('\"{SCHEMA}\".parts') WHERE isleaf"
    );
    let sum = server.rows(OWNER, FIXTURE, &sum).unwrap();
    assert_eq!(Some(parts.bytes.to_string()), sum[0][0]);
    assert!(parts.bytes > 0);
    assert_eq!(parts.estimated_rows, Some(500));
}

#[test]
fn only_keys_that_identify_every_row_count() {
    let server = server();
    let catalog = server.catalog(FIXTURE, SCHEMA);
    assert_eq!(
        table(&catalog, "keys").unique_keys,
        [vec!["d".to_owned()], vec!["b".to_owned(), "a".to_owned()]]
    );
    assert_eq!(table(&catalog, "parts").unique_keys, [["day", "id"]]);
    // What it shows are its heirs' rows too, and its index knows nothing of them.
    assert!(table(&catalog, "ancestor").unique_keys.is_empty());
}

#[test]
fn types_are_resolved_through_domains() {
    let server = server();
    let catalog = server.catalog(FIXTURE, SCHEMA);
    let made_up = table(&catalog, "made_up");
    let resolved = |name: &str| {
        let column = column(made_up, name);
        (column.oid, column.typmod, column.category)
    };
    assert_eq!(resolved("deep"), (23, -1, Category::Other));
    assert_eq!(
        resolved("fee"),
        (1700, ((10 << 16) | 2) + 4, Category::Other)
    );
    assert_eq!(resolved("tags"), (1009, -1, Category::Array));
    assert_eq!(resolved("moods").2, Category::Array);
    assert_eq!(resolved("pair").2, Category::Composite);
    assert_eq!(resolved("pairs").2, Category::Composite);
    assert_eq!(resolved("large").0, 26);
    assert_eq!(column(made_up, "fee").type_sql, format!("\"{SCHEMA}\".fee"));
}

/// The catalog goes through the same door as the data: one bad output type would close it.
#[test]
fn the_answer_is_of_types_that_bigquery_takes() {
    let server = server();
    let query = catalog_query(&SCHEMA.parse().unwrap());
    let types: Vec<String> = CELLS
        .iter()
        .map(|cell| format!("min(pg_typeof(\"{cell}\")::text)"))
        .collect();
    let query = format!("SELECT {} FROM ({query}) t", types.join(","));
    let types = server.rows(READER, FIXTURE, &query).unwrap().remove(0);
    let taken = ["text", "bigint", "boolean"];
    for (cell, of) in CELLS.iter().zip(types) {
        assert!(taken.contains(&of.as_deref().unwrap()), "{cell}: {of:?}");
    }
    // Nothing in the query is alive after the wrapper's end.
    let whole = format!(
        "SELECT \"table_name\" FROM ({}) t; /* Federated query from BigQuery. */",
        catalog_query(&SCHEMA.parse().unwrap())
    );
    server.psql(READER, FIXTURE, &["-c", &whole]).unwrap();
}
