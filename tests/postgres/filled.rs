//! Which tables have rows, asked of all of them at once.

use pipewright::name::PgName;
use pipewright::sync::{filled_query, filter};

use crate::server::server;

#[test]
fn empty_tables_are_told_from_filled_ones_whatever_they_are_called() {
    let server = server();
    server.database("filled");
    server.run(
        "filled",
        r#"CREATE SCHEMA "s'""; --";
           CREATE TABLE "s'""; --"."it's ""it""" (id bigint, secret text);
           CREATE TABLE "s'""; --".empty (id bigint);
           CREATE TABLE "s'""; --".parted (id bigint) PARTITION BY RANGE (id);
           CREATE TABLE "s'""; --".part PARTITION OF "s'""; --".parted FOR VALUES FROM (0) TO (9);
           INSERT INTO "s'""; --"."it's ""it""" VALUES (1);
           INSERT INTO "s'""; --".parted VALUES (1);
           GRANT USAGE ON SCHEMA "s'""; --" TO reader;
           GRANT SELECT ON "s'""; --".empty, "s'""; --".parted TO reader;
           GRANT SELECT (id) ON "s'""; --"."it's ""it""" TO reader"#,
    );
    let schema = "s'\"; --";
    let catalog = server.catalog("filled", schema);
    let names: Vec<PgName> = catalog
        .tables
        .iter()
        .map(|table| table.name.clone())
        .collect();
    let one = |name: &str, condition: Option<&str>| {
        let name: PgName = name.parse().unwrap();
        let table = catalog.table(&name).unwrap();
        let condition = condition.map(|text| filter(text, table).unwrap());
        let query = filled_query(&schema.parse().unwrap(), &[(&name, condition.as_ref())]);
        let cells = ["name", "filled"].map(str::to_owned);
        server.wrapped("filled", &query, &cells).unwrap()
    };
    let all: Vec<_> = names.iter().map(|name| (name, None)).collect();
    let query = filled_query(&schema.parse().unwrap(), &all);
    let cells = ["name", "filled"].map(str::to_owned);
    let rows = server.wrapped("filled", &query, &cells).unwrap();
    let told: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row[0].as_deref().unwrap(), row[1].as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [("empty", "f"), ("it's \"it\"", "t"), ("parted", "t")]
    );
    // No row that the condition takes is no row to copy.
    assert_eq!(one("parted", Some("id > 1"))[0][1].as_deref(), Some("f"));
    assert_eq!(
        one("parted", Some("id > 0 OR id < 0"))[0][1].as_deref(),
        Some("t")
    );
}
