//! Migrations of schemas whose dependencies no plain order satisfies.

use crate::harness::assert_same;
use crate::moves::{pair, pair_with};

fn loops(from: u32, to: u32) {
    let pair = pair(from, to, &["loops.sql"]);
    pair.offline().ok();
    assert_same(&pair.source, &pair.target);
    // What is made in loops must be dropped in loops.
    pair.offline().arg("--drop-target-first").ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn loops_13_to_18() {
    loops(13, 18);
}

#[test]
fn loops_15_to_15() {
    loops(15, 15);
}

#[test]
fn loops_16_to_18() {
    loops(16, 18);
}

/// pg_dump sets the state before the trigger is there.
#[test]
fn a_trigger_that_is_off_on_a_partition_of_a_partition() {
    let pair = pair_with(
        15,
        15,
        "CREATE SCHEMA a; CREATE SCHEMA z;
         CREATE FUNCTION z.trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TABLE z.pt (a int, b int) PARTITION BY LIST (a);
         CREATE TABLE z.pt2 PARTITION OF z.pt FOR VALUES IN (1) PARTITION BY RANGE (b);
         CREATE TABLE a.pt21 PARTITION OF z.pt2 FOR VALUES FROM (0) TO (10);
         CREATE TRIGGER row_trg AFTER INSERT ON z.pt FOR EACH ROW EXECUTE FUNCTION z.trg();
         ALTER TABLE a.pt21 DISABLE TRIGGER row_trg;",
    );
    pair.offline().ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn a_materialized_view_that_cannot_be_refreshed_is_a_warning() {
    let pair = pair_with(
        15,
        15,
        "CREATE MATERIALIZED VIEW below AS SELECT 1 AS i;
         CREATE MATERIALIZED VIEW above AS SELECT i FROM below;
         REFRESH MATERIALIZED VIEW below WITH NO DATA;",
    );
    pair.offline().run().expect_said(&["public.above", "left empty"]);
}

#[test]
fn drop_target_first_does_not_take_a_partition_in_another_schema_along() {
    let pair = pair_with(15, 15, "CREATE SCHEMA s; CREATE TABLE s.p (i int) PARTITION BY LIST (i);");
    pair.target.psql(
        "CREATE SCHEMA s; CREATE SCHEMA other; CREATE TABLE s.p (i int) PARTITION BY LIST (i);
         CREATE TABLE other.part PARTITION OF s.p FOR VALUES IN (1); INSERT INTO s.p VALUES (1);",
    );
    let run = pair.offline().arg("--drop-target-first").arg("--include-schema").arg("s").run();
    run.expect_said(&["other.part", "is a partition of s.p"]);
    assert_eq!(pair.target.psql("SELECT count(*) FROM other.part").trim(), "1");
}
