//! Databases whose encodings differ: text is converted, names included, or the migration says that it cannot be.

use crate::harness::{assert_same_schema, cluster, migrator};
use crate::moves::offline;

const TEXTS: &str = "SET client_encoding = 'UTF8';
    CREATE SCHEMA \"schön\"; CREATE TYPE \"schön\".\"größe\" AS ENUM ('groß', 'klein');
    CREATE TABLE \"schön\".\"straße\" (id int PRIMARY KEY, \"größe\" \"schön\".\"größe\" DEFAULT 'groß', t text, j jsonb, b bytea, a text[]);
    INSERT INTO \"schön\".\"straße\" VALUES (1, 'groß', 'Ærøskøbing', '{\"ä\": \"ö\"}', '\\xe4f6', ARRAY['ü', NULL]), (2, 'klein', E'tab\\té\\\\', NULL, NULL, NULL);
    COMMENT ON TABLE \"schön\".\"straße\" IS 'für ß';
    CREATE FUNCTION \"schön\".f() RETURNS text LANGUAGE sql AS 'SELECT ''grün''::text'";

const READ: &str =
    "SET client_encoding = 'UTF8'; SELECT * FROM \"schön\".\"straße\" ORDER BY id; SELECT \"schön\".f()";

#[test]
fn latin1_becomes_utf8_and_the_other_way_where_it_can() {
    for (from, to) in [("LATIN1", "UTF8"), ("WIN1252", "UTF8"), ("UTF8", "UTF8"), ("LATIN1", "LATIN1")] {
        let source = cluster(13).database_encoded("source", from);
        let target = cluster(18).database_encoded("target", to);
        source.psql(TEXTS);
        offline(&source.conninfo(), &target.conninfo()).ok();
        assert_eq!(source.psql(READ), target.psql(READ), "{from} → {to}");
        migrator(["verify", "--source", &source.conninfo(), "--target", &target.conninfo()]).ok();
    }
}

#[test]
fn the_schema_is_the_same_in_one_encoding() {
    let source = cluster(15).database_encoded("source", "LATIN1");
    let target = cluster(15).database_encoded("target", "LATIN1");
    source.psql(TEXTS);
    offline(&source.conninfo(), &target.conninfo()).ok();
    assert_same_schema(&source, &target);
}

#[test]
fn what_would_lose_characters_is_refused() {
    let source = cluster(15).database_encoded("source", "UTF8");
    let target = cluster(15).database_encoded("target", "LATIN1");
    source.psql("SET client_encoding = 'UTF8'; CREATE TABLE t (a text); INSERT INTO t VALUES ('日本')");
    offline(&source.conninfo(), &target.conninfo()).run().expect_code(1).expect_said(&["encoding", "LATIN1"]);
}

#[test]
fn bytes_of_no_known_encoding_go_as_they_are() {
    let source = cluster(15).database_encoded("source", "SQL_ASCII");
    let target = cluster(15).database_encoded("target", "SQL_ASCII");
    source.psql("CREATE TABLE t (id int, a text); INSERT INTO t VALUES (1, E'\\\\xe4'), (2, 'plain'), (3, convert_from('\\xff80e4', 'SQL_ASCII'))");
    offline(&source.conninfo(), &target.conninfo()).ok();
    let bytes = "SELECT id, convert_to(a, 'SQL_ASCII') FROM t ORDER BY id";
    assert_eq!(source.psql(bytes), target.psql(bytes));
}
