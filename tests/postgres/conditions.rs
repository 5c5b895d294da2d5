//! `where`: what is printed means what was written, and nothing else gets through.

use pipewright::pipeline::ColumnSelection;
use pipewright::sync::{Rows, copy_of, filter, inner_select};

use crate::server::{OWNER, server};
use crate::shape;

const DATABASE: &str = "conditions";

const MAKE: &str = "
CREATE TABLE t (id int, who text, at timestamptz, day date, amount numeric, ok boolean, \"A b\"\"c\" int);
INSERT INTO t SELECT n, CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN 'it''s' WHEN 2 THEN 'a\\b%' ELSE 'Plain' END,
  now() - n * interval '6 hours', date '2024-01-01' + n, n / 8.0 - 1, CASE n % 3 WHEN 0 THEN true WHEN 1 THEN false END, n % 5
FROM generate_series(-20, 40) n;
GRANT SELECT ON t TO reader;";

/// Written as a person would, with everything that precedence could get wrong.
const LEGAL: &[&str] = &[
    "id > 5",
    "ID > 5 and Who is not null",
    "id = 1 or id = 2 and who = 'it''s'",
    "not id = 1 or ok",
    "not ok is null",
    "not (ok and id > 3)",
    "(not ok) = (id > 3)",
    "(- id) % 3 = 1",
    "id between 1 and 5 and ok",
    "id not between 1 and 5 or id in (2, 3)",
    "id in (1, 2, 3) = ok",
    "id = 3 is not true",
    "ok is not false and id <> 3",
    "- id > - 5",
    "id - -3 > 2 - 1 - 1",
    "id + 2 * 3 > 10 - 4 / 2",
    "id % 3 = -1",
    "- id % 3 = 1",
    "amount > 1.5e0 or amount < -.5",
    "amount * 2 = id / 4",
    "who like 'a\\%' or who ilike 'PL%'",
    "who not like '%s' and id > 0",
    "who = 'a\\b%'",
    "lower(who) = 'plain' or coalesce(who, 'none') = 'none'",
    "length(who) > 3",
    "upper(who) < 'J'",
    "at > now() - interval '2 days'",
    "at >= current_timestamp - interval '1 day' * 2",
    "at::date = current_date or id::text = '7'",
    "cast(id as bigint) > 3",
    "day >= date '2024-01-10' and day < '2024-01-20'",
    "day + 1 > date '2024-01-20'",
    "at < timestamp '2099-01-01 00:00'",
    "- id::int > 3",
    "\"A b\"\"c\" = 2",
    "id > 5 -- the rest",
    "id > /* not 5 */ 6",
    "true",
    "ok",
    "id = 1\n  or id = 2",
    "(id < 3) = ok",
    "ok = (id >= 1)",
    "ok = false or ok",
    "id is null or who > 'I' and not ok",
];

/// Written by somebody who wants more than a condition. Refused, or harmless.
const HOSTILE: &[&str] = &[
    "1=1) or (1=1",
    "id = 1); drop table t; --",
    "id = 1; drop table t",
    "id = 1 union select 1, 2, null, null, null, null, null",
    "id = 1 order by 1 limit 1",
    "id in (select id from t)",
    "exists (select 1)",
    "(select true)",
    "pg_sleep(1) is not null",
    "pg_read_file('x') is null",
    "lo_import('x') > 0",
    "current_setting('x') = 'y'",
    "set_config('x', 'y', false) = 'y'",
    "query_to_xml('drop table t', true, false, '') is not null",
    "id::regclass = 't'::regclass",
    "id = 'x'::unknown",
    "who = U&'\\0027'",
    "who = E'\\' or true --'",
    "who = '\\' or true --'",
    "who = '''' or true --'",
    "who = $$x$$",
    "who = $a$'$a$",
    "who = b'1'",
    "who = x'1f'",
    "who = n'x'",
    "who = \"x",
    "who = 'x",
    "\"id\"\" = 1 or \"\"1\" = 1",
    "id = :x",
    "id = $1",
    "id = ?",
    "id = @@version",
    "{{workflow.parameters.x}} = id",
    "who = '{{workflow.name}}'",
    "who = '\"'",
    "who = '\"\"\"'",
    "who = '\"); drop table t; --'",
    "who = '`'",
    "who = '/* x'",
    "who = '*/ -- \\'",
    "who = '\u{2019}\u{ff07}'",
    "who = '\n; --'",
    "id = 1 /* /* nested */ or true */",
    "/* open",
    "id = 1 -- \r or true",
    "id operator(pg_catalog.=) 1",
    "(id, who) = (1, 'x')",
    "row(id) = row(1)",
    "id = any(array[1])",
    "t.id = 1",
    "t is not null",
    "ctid = '(0,1)'",
    "xmin is null",
    "tableoid > 0",
    "current_user = 'reader'",
    "id < 3 = ok",
    "1 < id < 3",
    "case when id = 1 then true end",
    "who collate \"C\" = 'x'",
    "at at time zone 'utc' > now()",
    "extract(year from at) = 2024",
    "id = 1 window w as ()",
    "id = 1 for update",
    "id = 1 into outfile 'x'",
    "not",
    "",
    " ",
    ";",
    "*",
    "id",
    "1",
];

#[test]
fn what_is_printed_means_what_was_written() {
    let server = server();
    server.database(DATABASE);
    server.run(DATABASE, MAKE);
    let catalog = server.catalog(DATABASE, "public");
    let table = &catalog.tables[0];
    let copy = copy_of(table, &ColumnSelection::All).unwrap();
    let schema = "public".parse().unwrap();
    let cells = ["c1".to_owned()];
    let everything = Rows {
        filter: Some(filter("true", table).unwrap()),
        ..Rows::default()
    };
    let frame = shape::postgres(inner_select(&schema, &copy, &everything).as_str());
    let (before, after) = frame.rsplit_once("TRUE").unwrap();
    let mut found_some = 0;
    let printed = |text: &str| {
        let filter = filter(text, table).map_err(|error| error.to_string())?;
        let rows = Rows {
            filter: Some(filter),
            ..Rows::default()
        };
        Ok::<_, String>(inner_select(&schema, &copy, &rows))
    };
    for text in LEGAL {
        let inner = printed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut found = server.wrapped(DATABASE, &inner, &cells).unwrap();
        let written = format!("SELECT id FROM t WHERE {text}\n");
        let mut meant = server
            .rows(OWNER, DATABASE, &written)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        found.sort();
        meant.sort();
        assert_eq!(found, meant, "{text}\n{inner}");
        found_some += usize::from((1..61).contains(&found.len()));
    }
    assert!(found_some > LEGAL.len() * 3 / 4, "{found_some}");
    let mut passed = Vec::new();
    for text in HOSTILE {
        let Ok(inner) = printed(text) else { continue };
        // Within the parentheses of the condition: those that open there close there.
        let shape = shape::postgres(inner.as_str());
        let condition = shape
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .unwrap_or_else(|| panic!("{text}: {shape}"));
        let mut depth = 0_i32;
        for c in condition.chars() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            assert!(depth >= 0, "{text}: {condition}");
            assert!(!";$\\".contains(c), "{text}: {condition}");
        }
        assert_eq!(depth, 0, "{text}: {condition}");
        assert!(
            !condition.contains("--") && !condition.contains("/*"),
            "{text}"
        );
        // What is left can only be a condition of the wrong type.
        if let Err(error) = server.wrapped(DATABASE, &inner, &cells) {
            assert!(error.contains("must be type boolean"), "{text}: {error}");
        }
        passed.push(*text);
    }
    assert_eq!(
        passed,
        [
            "who = '\\' or true --'",
            "who = '''' or true --'",
            "who = '{{workflow.name}}'",
            "who = '\"'",
            "who = '\"\"\"'",
            "who = '\"); drop table t; --'",
            "who = '`'",
            "who = '/* x'",
            "who = '*/ -- \\'",
            "who = '\u{2019}\u{ff07}'",
            "who = '\n; --'",
            "id = 1 /* /* nested */ or true */",
            "id = 1 -- \r or true",
            "id",
            "1",
        ]
    );
}
