//! Extended statistics under filters.

use crate::harness::assert_same_schema;
use crate::moves::pair_with;

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
