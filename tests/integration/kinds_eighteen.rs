//! What came with 18: NOT NULL constraints as objects of the catalog, virtual generated columns, temporal constraints, constraints
//! that are not enforced; and constraints on partitioned tables that pg_dump's own script loses.

use std::process::Stdio;

use crate::harness::{Database, assert_same, assert_same_rows, tools};
use crate::kinds::{carried_between, kind};
use crate::moves::pair_with;

#[test]
fn rows_of_what_came_with_18_arrive() {
    let pair = pair_with(18, 18, &kind("eighteen"));
    pair.offline().ok();
    assert_same_rows(&pair.source, &pair.target);
    // As they are computed where they are read.
    let generated = "SELECT tableoid::regclass, * FROM e.gen ORDER BY a";
    assert_eq!(pair.source.psql(generated), pair.target.psql(generated));
}

/// What `pg_dump | psql` says to a database's own copy.
fn round_trip(database: &Database) -> Result<String, String> {
    let copy = database.cluster.database("round_trip");
    let dump = std::process::Command::new(tools("pg_dump"))
        .args(["--schema-only", "-d", &database.conninfo()])
        .stdin(Stdio::null())
        .output()
        .expect("pg_dump");
    assert!(dump.status.success());
    copy.try_psql(&String::from_utf8(dump.stdout).unwrap())
}

#[test]
fn constraints_that_exclude_reach_partitions_where_pg_dump_fails() {
    for major in [17, 18] {
        let pair = carried_between(major, major, &kind("excluding_partitions"));
        assert_same_rows(&pair.source, &pair.target);
        let error = round_trip(&pair.source).expect_err("pg_dump has learnt it");
        assert!(error.contains("cannot attach index"), "{error}");
        // They are what they were: one constraint with its parts.
        let clash = pair.target.try_psql("INSERT INTO x.e VALUES (1, '[4,6)')").unwrap_err();
        assert!(clash.contains("Own name"), "{clash}");
    }
}

#[test]
fn a_not_null_constraint_that_is_not_valid_waits_for_the_rows_of_children() {
    // Many children, so that some are copied after the parent.
    let script = "CREATE TABLE p (a int, b int); INSERT INTO p VALUES (NULL, 0);
        SELECT format('CREATE TABLE c%s () INHERITS (p); INSERT INTO c%s VALUES (NULL, %s)', i, i, i) FROM generate_series(1, 40) i \\gexec
        ALTER TABLE p ADD CONSTRAINT there NOT NULL a NOT VALID";
    let pair = pair_with(18, 18, script);
    for _ in 0..3 {
        pair.offline().arg("--drop-target-first").ok();
    }
    assert_same(&pair.source, &pair.target);
}
