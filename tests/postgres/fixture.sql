-- A database as teams have them, and worse. `reader` is the role of the connection.
CREATE ROLE reader LOGIN;
CREATE SCHEMA "My_Schema$1";
CREATE SCHEMA empty;
CREATE SCHEMA closed;
CREATE TABLE closed.t (id int);
GRANT USAGE ON SCHEMA "My_Schema$1", empty TO reader;
SET search_path TO "My_Schema$1", public;

CREATE EXTENSION hstore SCHEMA public;
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION ltree SCHEMA public;
CREATE EXTENSION cube SCHEMA public;
CREATE EXTENSION isn SCHEMA public;
CREATE EXTENSION lo SCHEMA public;

CREATE TYPE mood AS ENUM ('happy', 'it''s "so"');
CREATE TYPE pair AS (x int, "Y y" text);
CREATE DOMAIN amount AS numeric(10, 2);
CREATE DOMAIN fee AS amount;
CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE DOMAIN deep AS posint;
CREATE DOMAIN tags AS text[];
CREATE DOMAIN pairs AS pair;
CREATE TYPE span AS RANGE (subtype = timestamptz);

-- Every built-in type, once alone and once as an array. A type that this list does not know
-- fails the fixture: a new server brings new types.
CREATE TEMP TABLE samples (type text, value text);
INSERT INTO samples VALUES
  ('bool', 'true'), ('bytea', '\x00ff27225c'), ('char', 'x'), ('name', 'a name'),
  ('int8', '-9223372036854775808'), ('int2', '-32768'), ('int4', '2147483647'),
  ('regproc', 'pg_catalog.now'), ('text', E'it''s "quoted" \\ ''''''\n\t{{x}} \U0001F642'),
  ('oid', '4294967295'), ('tid', '(1,2)'), ('xid', '4294967295'), ('cid', '7'),
  ('json', '{"a": 1, "a": [1.50, "\u0000"]}'), ('xml', '<a b="c">d</a>'),
  ('point', '(1,2)'), ('lseg', '[(0,0),(1,1)]'), ('path', '[(0,0),(1,1)]'),
  ('box', '(1,1),(0,0)'), ('polygon', '((0,0),(1,1),(1,0))'), ('line', '{1,2,3}'),
  ('cidr', '10.0.0.0/8'), ('float4', '-0.1'), ('float8', '1.7976931348623157e308'),
  ('circle', '<(0,0),1>'), ('macaddr8', '08:00:2b:01:02:03:04:05'), ('money', '-12.34'),
  ('macaddr', '08:00:2b:01:02:03'), ('inet', '::1/128'), ('aclitem', 'reader=r/postgres'),
  ('bpchar', 'ab   '), ('varchar', ''), ('date', '2024-02-29'), ('time', '23:59:59.999999'),
  ('timestamp', '9999-12-31 23:59:59.999999'), ('timestamptz', '0001-01-01 00:00:00+00'),
  ('interval', '1 year -2 days 03:04:05.000006'), ('timetz', '12:00:00+05:45'),
  ('bit', '1'), ('varbit', '10110'), ('numeric', '-123456789012345678901234567890.000000000100'),
  ('refcursor', 'c'), ('regprocedure', 'pg_catalog.lower(text)'),
  ('regoper', 'pg_catalog.||/'), ('regoperator', '+(integer,integer)'),
  ('regclass', 'pg_catalog.pg_class'), ('regtype', 'integer[]'),
  ('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('txid_snapshot', '10:20:10,14'),
  ('pg_lsn', '16/B374D848'), ('tsvector', 'a:1 ''it''''s'':2'), ('tsquery', 'a & !b'),
  ('jsonb', '{"b": [1.50, null, "\\"], "a": "it''s"}'), ('int4range', '[1,5)'),
  ('numrange', '(0.5,]'), ('tsrange', '[2024-01-01,infinity)'),
  ('tstzrange', '[2024-01-01 00:00+00,2024-01-02 00:00+00]'), ('daterange', 'empty'),
  ('int8range', '(,3)'), ('regconfig', 'simple'), ('regdictionary', 'simple'),
  ('jsonpath', '$."a"[*]'), ('regnamespace', 'pg_catalog'), ('regrole', 'reader'),
  ('regcollation', '"C"'), ('int4multirange', '{[1,3),[5,7)}'), ('nummultirange', '{[1.5,2]}'),
  ('tsmultirange', '{}'), ('tstzmultirange', '{[2024-01-01 00:00+00,)}'),
  ('datemultirange', '{[2024-01-01,2024-02-01)}'), ('int8multirange', '{(,3)}'),
  ('pg_snapshot', '10:20:10,14'), ('xid8', '18446744073709551615');

DO $$
DECLARE
  one record;
  made text := 'id bigint PRIMARY KEY';
  into_columns text := 'id';
  scalars text := '2';
BEGIN
  FOR one IN
    SELECT t.typname, s.value FROM pg_type t LEFT JOIN samples s ON s.type = t.typname
    WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm')
      AND t.typcategory <> 'A' ORDER BY t.oid
  LOOP
    IF one.value IS NULL AND one.typname !~ '^(pg_node_tree|pg_ndistinct|pg_dependencies|pg_mcv_list|gtsvector|pg_brin_.*_summary)$' THEN
      RAISE EXCEPTION 'no sample for the type %', one.typname;
    END IF;
    made := made || format(', %I pg_catalog.%I', one.typname, one.typname);
    into_columns := into_columns || format(', %I', one.typname);
    scalars := scalars || format(', %L::pg_catalog.%I', one.value, one.typname);
    IF to_regtype(format('pg_catalog.%I[]', one.typname)) IS NOT NULL THEN
      made := made || format(', %I pg_catalog.%I[]', one.typname || ' array', one.typname);
      into_columns := into_columns || format(', %I', one.typname || ' array');
      scalars := scalars || CASE WHEN one.value IS NULL THEN ', NULL'
        ELSE format(', ARRAY[%L, NULL]::pg_catalog.%I[]', one.value, one.typname) END;
    END IF;
  END LOOP;
  EXECUTE format('CREATE TABLE everything (%s)', made);
  INSERT INTO everything (id) VALUES (1);
  EXECUTE format('INSERT INTO everything (%s) SELECT %s', into_columns, scalars);
END $$;

CREATE TABLE made_up (
  id bigint PRIMARY KEY, mood mood, moods mood[], pair pair, pairs pairs, fee fee, deep deep,
  tags tags, span span, h hstore, ci citext, tree ltree, cube cube, isbn isbn, large lo,
  vector int2vector, chars char(5), bits bit(3)
);
INSERT INTO made_up VALUES (1, 'it''s "so"', '{happy,NULL}', '(1,"a ""b")', '(2,)', 12.5, 7,
  '[2:3]={a,"b,c"}', '[2024-01-01 00:00+00,)', 'a=>1, "b c"=>NULL', 'MiXed', 'a.b.c', '(1,2)',
  '9780393040029', 4294967295, '1 2', 'ab', '101');

CREATE TABLE decimals (
  id int PRIMARY KEY, plain numeric(38, 9), whole numeric(29, 0), wide numeric(40, 20),
  widest numeric(76, 38), wider numeric(77, 38), free numeric, hundreds numeric(5, -2)
);
INSERT INTO decimals VALUES
  (1, 99999999999999999999999999999.999999999, -99999999999999999999999999999,
   12345678901234567890.12345678901234567890, -99999999999999999999999999999999999999.99999999999999999999999999999999999999,
   1, 1e-1000, 12345),
  (2, 'NaN', 'NaN', 'NaN', 'NaN', 'NaN', 'Infinity', 'NaN');

CREATE TABLE edges (
  id int PRIMARY KEY, d date, t time, ts timestamp, tz timestamptz, f float8, n numeric(5, 2)
);
INSERT INTO edges VALUES
  (1, 'infinity', '24:00:00', 'infinity', 'infinity', 'Infinity', 'NaN'),
  (2, '-infinity', '24:00:00', '-infinity', '-infinity', '-Infinity', 'NaN'),
  (3, '0001-12-31 BC', '24:00:00', '0001-12-31 23:59:59 BC', '0001-12-31 23:59:59+00 BC', 'NaN', 'NaN'),
  (4, '10000-01-01', '24:00:00', '10000-01-01 00:00', '10000-01-01 00:00+00', '-0', 'NaN'),
  (5, '0001-01-01', '00:00:00', '0001-01-01 00:00', '0001-01-01 00:00+00', '5e-324', -999.99),
  (6, '9999-12-31', '23:59:59.999999', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', 0, 0);

CREATE TABLE "Weird""Table" ("Weird""Name" int, "select" text, "größe" int, "_PARTITIONTIME" int, "a.b" int);
INSERT INTO "Weird""Table" VALUES (1, 'x', 2, 3, 4);

CREATE TABLE parts (id int NOT NULL, day date NOT NULL, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE parts_2023 PARTITION OF parts FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') PARTITION BY RANGE (id);
CREATE TABLE parts_2023_low PARTITION OF parts_2023 FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parts SELECT n, '2023-01-01'::date + n FROM generate_series(0, 499) n;
ANALYZE parts;

CREATE TABLE keys (a int NOT NULL, b int NOT NULL, c int, d int NOT NULL, e int NOT NULL);
CREATE UNIQUE INDEX ON keys (b, a) INCLUDE (c);
CREATE UNIQUE INDEX ON keys (a, c);
CREATE UNIQUE INDEX ON keys (d) WHERE d > 0;
CREATE UNIQUE INDEX ON keys ((a + 1));
CREATE INDEX ON keys (e);
ALTER TABLE keys ADD PRIMARY KEY (d);
CREATE TABLE ancestor (id int PRIMARY KEY);
CREATE TABLE heir () INHERITS (ancestor);

CREATE VIEW looking AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM parts;
CREATE TABLE hidden (id int);
CREATE TABLE only_insert (id int);
CREATE TABLE half (a int, b int);
CREATE TABLE by_columns (a int, b int);
CREATE TABLE no_columns ();
CREATE TABLE filtered (id int, owner text);
INSERT INTO filtered VALUES (1, 'reader'), (2, 'else');
ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON filtered USING (owner = current_user);
CREATE TABLE dropped (a int, gone int, b int);
ALTER TABLE dropped DROP COLUMN gone;

GRANT SELECT ON everything, made_up, decimals, edges, "Weird""Table", parts, keys, ancestor, heir,
  looking, kept, no_columns, filtered, dropped TO reader;
GRANT INSERT ON only_insert TO reader;
GRANT SELECT (a) ON half TO reader;
GRANT SELECT (a, b) ON by_columns TO reader;
