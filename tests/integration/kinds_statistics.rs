//! Extended statistics: every kind, and that they are filled.

use crate::harness::assert_same_schema;
use crate::kinds_types::{carried_between, kind, pairs};
use crate::moves::pair_with;

#[test]
fn extended_statistics() {
    // How many there are with how many of the two sorts of data that every version has.
    for (from, to) in pairs() {
        let pair = carried_between(from, to, &kind("statistics"));
        let filled = |version: u32| match version {
            ..12 => {
                "SELECT string_agg(stxname, ',' ORDER BY stxname) FROM pg_statistic_ext WHERE stxndistinct IS NOT NULL OR stxdependencies IS NOT NULL"
            }
            _ => {
                "SELECT string_agg(stxname, ',' ORDER BY stxname) FROM pg_statistic_ext JOIN pg_statistic_ext_data ON oid = stxoid WHERE stxdndistinct IS NOT NULL OR stxddependencies IS NOT NULL OR stxdmcv IS NOT NULL"
            }
        };
        let (there, here) = (pair.source.psql(filled(from)), pair.target.psql(filled(to)));
        for name in there.split(',') {
            assert!(here.split(',').any(|n| n == name), "{from} → {to}: {name} is not filled: {here}");
        }
        assert!(here.contains("on_late") && here.contains("on_m") && here.contains("all_kinds"), "{here}");
    }
}

#[test]
fn statistics_follow_their_table_through_filters() {
    let pair = pair_with(
        18,
        18,
        "CREATE SCHEMA s; CREATE SCHEMA t; CREATE TABLE s.a (x int, y int); CREATE TABLE s.b (x int, y int);
         CREATE STATISTICS t.on_a ON x, y FROM s.a; CREATE STATISTICS s.on_b ON x, y FROM s.b",
    );
    pair.offline().args(["--include-table", "s.a"]).ok();
    assert_eq!(pair.target.psql("SELECT stxname FROM pg_statistic_ext"), "on_a");
    pair.offline().arg("--drop-target-first").ok();
    assert_same_schema(&pair.source, &pair.target);
}
