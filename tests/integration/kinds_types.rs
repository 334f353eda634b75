//! Base types and casts where something outside uses them, and under filters.

use crate::harness::schema_dump;
use crate::kinds::kind;
use crate::moves::pair_with;

#[test]
fn rows_of_base_types_arrive() {
    let pair = pair_with(15, 15, &kind("base_types"));
    pair.offline().ok();
    let rows = "SELECT u::text FROM a.uses u";
    assert_eq!(pair.source.psql(rows), pair.target.psql(rows));
}

#[test]
fn a_base_type_that_something_outside_uses_is_not_dropped_with_it() {
    let pair = pair_with(15, 15, &kind("base_types"));
    pair.offline().ok();
    pair.target.psql(r#"CREATE SCHEMA outside; CREATE TABLE outside.uses (b z."Base")"#);
    let before = schema_dump(&pair.target);
    let run = pair.offline().arg("--drop-target-first").run().expect_code(4);
    run.expect_said(&[r#"cannot drop type z."Base""#]);
    assert!(schema_dump(&pair.target).contains("CREATE TABLE outside.uses"), "{before}");
}

#[test]
fn a_filter_takes_the_casts_between_what_it_takes() {
    let pair = pair_with(
        18,
        18,
        "CREATE SCHEMA s; CREATE SCHEMA t; CREATE TYPE s.a AS (i int); CREATE TYPE s.b AS (i int); CREATE TYPE t.c AS (i int);
         CREATE CAST (s.a AS s.b) WITH INOUT; CREATE CAST (s.a AS int) WITH INOUT; CREATE CAST (t.c AS int) WITH INOUT;
         CREATE CAST (s.a AS t.c) WITH INOUT; CREATE CAST (text AS bytea) WITHOUT FUNCTION",
    );
    let run = pair.offline().args(["--include-schema", "s"]).ok();
    run.expect_said(&["CAST (s.a AS t.c) is left out"]);
    let casts = "SELECT string_agg(format_type(castsource, NULL) || ' ' || format_type(casttarget, NULL), ',' ORDER BY oid) \
                 FROM pg_cast WHERE oid >= 16384";
    assert_eq!(pair.target.psql(casts), "s.a integer,s.a s.b");
}
