//! Base types and what is made around types: casts, transforms, ranges and their multiranges, collations, conversions,
//! languages, access methods, and the privileges on types, functions and languages.

use crate::harness::{assert_same_schema, fixture, schema_dump};
use crate::moves::{Move, assert_untouched_source, pair_with};

/// Source and target majors that every kind is moved between.
const PAIRS: [(u32, u32); 5] = [(10, 18), (13, 18), (15, 15), (16, 17), (18, 18)];

/// The pairs in `PG_MIGRATOR_TEST_PAIRS` (`11-18 12-18`), or the usual ones.
pub fn pairs() -> Vec<(u32, u32)> {
    let Ok(list) = std::env::var("PG_MIGRATOR_TEST_PAIRS") else { return PAIRS.to_vec() };
    let pair = |pair: &str| {
        let (from, to) = pair.split_once('-').expect("FROM-TO");
        (from.parse().expect("a major"), to.parse().expect("a major"))
    };
    list.split_whitespace().map(pair).collect()
}

/// What scripts may ask of the source's version.
const VERSIONS: &str = "SELECT current_setting('server_version_num')::int >= 110000 AS v11,
    current_setting('server_version_num')::int >= 120000 AS v12, current_setting('server_version_num')::int >= 130000 AS v13,
    current_setting('server_version_num')::int >= 140000 AS v14, current_setting('server_version_num')::int >= 150000 AS v15,
    current_setting('server_version_num')::int >= 160000 AS v16, current_setting('server_version_num')::int >= 170000 AS v17,
    current_setting('server_version_num')::int >= 180000 AS v18 \\gset\n";

/// A script of `tests/fixtures/kinds`, which may ask psql's `:v11` to `:v18` of the server's version.
pub fn kind(name: &str) -> String {
    let path = fixture("kinds").join(format!("{name}.sql"));
    let script = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    format!("{VERSIONS}{script}")
}

/// Moves what `script` makes between these majors, and once more over what is then there; the schema arrives as it was.
#[track_caller]
pub fn carried_between(from: u32, to: u32, script: &str) -> Move {
    let pair = pair_with(from, to, script);
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
    pair.offline().arg("--drop-target-first").ok();
    assert_same_schema(&pair.source, &pair.target);
    assert_untouched_source(&pair.source);
    pair
}

/// As [`carried_between`] a script of `tests/fixtures/kinds`, between all [`pairs`].
#[track_caller]
pub fn carried(name: &str) {
    let script = kind(name);
    for (from, to) in pairs() {
        eprintln!("{name}: {from} → {to}");
        carried_between(from, to, &script);
    }
}

#[test]
fn base_types() {
    carried("base_types");
}

#[test]
fn rows_of_base_types_arrive() {
    let pair = carried_between(15, 15, &kind("base_types"));
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
fn casts() {
    carried("casts");
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

#[test]
fn ranges_and_multiranges() {
    carried("ranges");
}

#[test]
fn collations() {
    carried("collations");
}

#[test]
fn conversions() {
    carried("conversions");
}

#[test]
fn languages_and_transforms() {
    carried("languages");
}

#[test]
fn access_methods() {
    carried("access_methods");
}

#[test]
fn privileges_on_types_and_functions() {
    carried("privileges");
}

/// What leans on extensions that have members of the same kinds comes once, and so do the extensions.
#[test]
fn kinds_that_lean_on_extensions() {
    carried("on_extensions");
}
