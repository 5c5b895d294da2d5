//! Tables for the tests of this module.

use super::catalog::{Category, Column, Kind, Table};
use super::run_spec::RunSpec;

pub(super) const SPEC: &str = r#"{"connection":"projects/acme-orders/locations/eu/connections/main","database":"orders","dataset":"orders","instance":"acme-orders:europe-west1:main","location":"eu","pipeline":"orders","project":"acme-orders","schema":"public","service":"orders","tables":"all","version":1}"#;

pub(super) fn spec() -> RunSpec {
    RunSpec::from_environment(SPEC).unwrap()
}

pub(super) fn column(name: &str, oid: u32) -> Column {
    Column {
        name: name.to_owned(),
        ordinal: 1,
        oid,
        typmod: -1,
        category: Category::Other,
        type_sql: "some type".to_owned(),
        not_null: true,
        readable: true,
    }
}

/// A readable table with columns numbered as they come.
pub(super) fn table(name: &str, mut columns: Vec<Column>) -> Table {
    for (ordinal, column) in (1..).zip(&mut columns) {
        column.ordinal = ordinal;
    }
    Table {
        name: name.parse().unwrap(),
        kind: Kind::Table,
        readable: columns.iter().all(|column| column.readable),
        columns,
        estimated_rows: Some(10),
        bytes: 8192,
        row_security: false,
        unique_keys: Vec::new(),
    }
}
