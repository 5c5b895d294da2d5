//! Hostile names: none of them changes the shape of a statement, and each is read right.

use pipewright::name::ConnectionName;
use pipewright::pipeline::ColumnSelection;
use pipewright::sync::{
    Destination, Rows, catalog_query, catalog_statement, copy_of, inner_select, merge_statement,
    select_statement,
};

use crate::server::{Server, server};
use crate::shape;

/// Each is legal in PostgreSQL.
const HOSTILE: &[&str] = &[
    "plain",
    "select",
    "Mixed Case",
    "a\"b",
    "\"",
    "\"\"",
    "'",
    "''",
    "'''",
    "\"\"\"",
    "\\",
    "\\\\",
    "a\\\"b",
    "\\'",
    "\\\"; --",
    "`",
    "\\`",
    "`.`x`; DROP TABLE y; --",
    "x\"; DROP TABLE \"y\"; --",
    "x') t; SELECT 1; --",
    "x\") AS s ON TRUE; --",
    "/* x",
    "*/ x",
    "-- x",
    "#",
    ";",
    "$$",
    "$q$",
    "{{workflow.name}}",
    "{{=1+1}}",
    "%s",
    ":name",
    ":'name'",
    "@p",
    "?",
    "ü",
    "名前",
    "🙂",
    "e\u{301}",
    "\u{202e}rtl",
    "\u{2028}",
    "\u{feff}",
    "\u{a0}",
    "r'x'",
    "E'\\'",
    "U&'\\0041'",
    "\\u0022",
    "\\x22",
    "\\042",
    "NULL",
    "0",
    "-1",
    " lead",
    "trail ",
];

pub fn connection() -> ConnectionName {
    ConnectionName {
        project: "acme-orders".parse().unwrap(),
        location: "eu".parse().unwrap(),
        id: "main".parse().unwrap(),
    }
}

/// One schema, with a table and in it a column, all of the same name. `format` does the
/// quoting, on names between dollars.
fn make(server: &Server, database: &str) {
    let mut sql = String::from("CREATE ROLE namer; DO $do$ BEGIN ");
    for name in HOSTILE {
        let quoted = format!("$name${name}$name$");
        sql.push_str(&format!(
            "EXECUTE format('CREATE SCHEMA %1$I CREATE TABLE %1$I (%1$I text)', {quoted});
             EXECUTE format('INSERT INTO %1$I.%1$I VALUES (%1$L)', {quoted});
             EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO reader', {quoted});
             EXECUTE format('GRANT SELECT ON %1$I.%1$I TO reader', {quoted}); ",
        ));
    }
    sql.push_str("END $do$");
    server.run(database, &sql);
}

#[test]
fn no_name_leaves_its_place() {
    let server = server();
    server.database("names");
    make(&server, "names");
    let mut shapes = Vec::new();
    for name in HOSTILE {
        let schema = name.parse().unwrap();
        let catalog = server.catalog("names", name);
        assert_eq!(catalog.tables.len(), 1, "{name}");
        let table = &catalog.tables[0];
        assert_eq!(table.name.as_str(), *name);
        assert_eq!(table.columns[0].name, *name);

        let copy = copy_of(table, &ColumnSelection::All).unwrap();
        let inner = inner_select(&schema, &copy, &Rows::default());
        let rows = server.wrapped("names", &inner, &["c1".to_owned()]).unwrap();
        assert_eq!(rows, [vec![Some((*name).to_owned())]], "{name}");

        let destination = Destination {
            project: "acme-orders".parse().unwrap(),
            dataset: "orders".parse().unwrap(),
            table: copy.table_id.clone(),
        };
        let key = [copy.columns[0].name.clone()];
        let select = select_statement(&connection(), &inner, &copy, &[]);
        let merge = merge_statement(&connection(), &inner, &copy, &destination, &key);
        let discover = catalog_statement(&connection(), &schema);
        let query = catalog_query(&schema);
        for (statement, sent) in [(&select, &inner), (&merge, &inner), (&discover, &query)] {
            let (_, texts) = shape::google(statement.as_str());
            assert_eq!(
                texts,
                [connection().to_string().as_str(), sent.as_str()],
                "{name}"
            );
        }
        let google = [&select, &merge, &discover].map(|s| shape::google(s.as_str()).0);
        let inner = [
            shape::postgres(inner.as_str()),
            shape::postgres(query.as_str()),
        ];
        shapes.push((name, google, inner));
    }
    for (name, google, inner) in &shapes {
        assert_eq!((google, inner), (&shapes[0].1, &shapes[0].2), "{name}");
    }
}
