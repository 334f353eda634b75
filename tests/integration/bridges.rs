//! From old versions to new ones: what the target lacks or calls otherwise is put in its words, or named before anything is changed.

use crate::harness::assert_same_rows;
use crate::moves::{assert_untouched_source, pair_with};

#[test]
fn settings_of_functions_that_are_gone_or_renamed() {
    for (from, to) in [(10, 18), (13, 16)] {
        let pair = pair_with(
            from,
            to,
            "CREATE FUNCTION gone(a int) RETURNS int LANGUAGE sql SET operator_precedence_warning = on SET work_mem = '3MB' AS 'SELECT 1';
             CREATE FUNCTION renamed() RETURNS int LANGUAGE plpgsql SET force_parallel_mode = on AS ' BEGIN RETURN 2; END ';
             CREATE TABLE t (a int DEFAULT gone(1)); INSERT INTO t VALUES (1)",
        );
        pair.offline().ok().expect_said(&[
            "operator_precedence_warning",
            "gone(a integer)",
            "sets debug_parallel_query, which was force_parallel_mode",
        ]);
        let set =
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1";
        assert_eq!(pair.target.psql(set), "gone|{work_mem=3MB}\nrenamed|{debug_parallel_query=on}");
        assert_eq!(pair.target.psql("SELECT a FROM t"), "1");
    }
}

#[test]
fn aggregates_over_functions_whose_signature_changed() {
    let pair = pair_with(
        12,
        18,
        "CREATE AGGREGATE collect(anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{}');
         CREATE AGGREGATE join_all(anyarray) (SFUNC = array_cat, STYPE = anyarray, INITCOND = '{}');
         COMMENT ON AGGREGATE collect(anyelement) IS 'kept'; GRANT EXECUTE ON FUNCTION collect(anyelement) TO app_reader;
         CREATE TABLE t AS SELECT generate_series(1, 3) AS a; CREATE VIEW v AS SELECT collect(a) AS all_of_it FROM t",
    );
    pair.offline().ok().expect_said(&["collect(anyelement)", "anycompatible"]);
    assert_eq!(pair.target.psql("SELECT all_of_it FROM v"), "{1,2,3}");
    assert_eq!(pair.target.psql("SELECT join_all(ARRAY[a]) FROM t"), "{1,2,3}");
    assert_eq!(pair.target.psql("SELECT obj_description('collect(anycompatible)'::regprocedure)"), "kept");
}

#[test]
fn types_and_functions_that_are_gone_are_named_before_anything_is_changed() {
    let pair = pair_with(
        11,
        18,
        "CREATE TABLE old_times (id int, at abstime, for_so_long reltime);
         CREATE TABLE fine (a int); INSERT INTO fine VALUES (1);
         CREATE VIEW in_backup AS SELECT pg_is_in_backup() AS yes;
         CREATE FUNCTION names_it() RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM pg_start_backup(''x''); RETURN 1; END'",
    );
    let run = pair.offline().run().expect_code(1).expect_said(&[
        "[retired-in-target]",
        "TABLE public.old_times uses type abstime",
        "timestamp with time zone",
        "uses type reltime",
        "VIEW public.in_backup calls pg_is_in_backup()",
        "FUNCTION public.names_it() names pg_start_backup()",
    ]);
    assert!(!run.stderr.contains("fine"), "{}", run.stderr);
    assert_eq!(
        pair.target.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    assert_untouched_source(&pair.source);
    // Left out on request: the rest arrives.
    pair.offline()
        .arg("--allow-restore-errors")
        .run()
        .expect_code(1)
        .expect_said(&["old_times", "in_backup"]);
    assert_eq!(pair.target.psql("SELECT a FROM fine"), "1");
    // Mended on the source, all of it does.
    pair.source.psql("DROP VIEW in_backup; ALTER TABLE old_times ALTER at TYPE timestamptz, ALTER for_so_long TYPE interval");
    pair.offline().arg("--drop-target-first").ok();
    assert_eq!(pair.target.psql("SELECT count(*) FROM old_times"), "0");
}

#[test]
fn an_identity_of_a_partition_becomes_a_default() {
    let pair = pair_with(
        13,
        18,
        "CREATE TABLE p (k int, id int NOT NULL) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
         ALTER TABLE p1 ALTER id ADD GENERATED ALWAYS AS IDENTITY (START 40 INCREMENT 2); INSERT INTO p1 (k) VALUES (1), (1)",
    );
    pair.offline().ok().expect_said(&["p1_id_seq", "by a default"]);
    pair.target.psql("INSERT INTO p1 (k) VALUES (1)");
    assert_eq!(pair.target.psql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM p"), "40 42 44");
    assert_eq!(pair.target.psql("SELECT pg_get_serial_sequence('p1', 'id')"), "public.p1_id_seq");
}

#[test]
fn a_column_that_may_be_null_under_one_that_may_not() {
    let script = "CREATE TABLE above (a int NOT NULL, b text); CREATE TABLE below () INHERITS (above);
         ALTER TABLE below ALTER a DROP NOT NULL; INSERT INTO below VALUES (NULL, 'x')";
    // Before 18 it arrives as it is (pg_dump's script makes it NOT NULL, and its rows fail).
    let pair = pair_with(13, 16, script);
    pair.offline().ok();
    assert_same_rows(&pair.source, &pair.target);
    // From 18 on no server has such a column: it is said.
    let pair = pair_with(13, 18, script);
    pair.offline()
        .run()
        .expect_code(4)
        .expect_said(&["column a may be NULL although its parent's may not", "public.below"]);
}

#[test]
fn tables_with_oids_are_named() {
    let pair = pair_with(11, 18, "CREATE TABLE t (a int) WITH OIDS; INSERT INTO t VALUES (7)");
    pair.offline().run().expect_code(1).expect_said(&["WITH OIDS of table", "public.t"]);
    pair.offline().arg("--allow-unsupported").ok();
    assert_eq!(pair.target.psql("SELECT * FROM t"), "7");
}
