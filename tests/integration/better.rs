//! Where pg_dump's own round trip loses something or fails, and ours does not: each test shows both.

use crate::harness::{
    Cluster, Database, Options, assert_same_schema, migrator, reference_target, schema_dump,
};
use crate::moves::{offline, pair_with};

/// What a query says on the source, after `pg_dump | psql`, and after a migration.
fn three(major: u32, script: &str, query: &str) -> [String; 3] {
    let pair = pair_with(major, major, script);
    let reference = reference_target(&pair.source, pair.target.cluster, false);
    pair.offline().ok();
    [&pair.source, &reference, &pair.target].map(|d: &Database| d.psql(query))
}

#[test]
fn columns_of_inheriting_tables_stay_in_their_order() {
    let [source, pg_dump, ours] = three(
        18,
        "CREATE TABLE above (a int, b text NOT NULL); CREATE TABLE below (own int) INHERITS (above);
         ALTER TABLE above ADD late date CONSTRAINT not_old CHECK (late > '2000-01-01'); CREATE TABLE joined (own int, late date CONSTRAINT not_old CHECK (late > '2000-01-01'), b text NOT NULL, a int);
         ALTER TABLE joined INHERIT above; ALTER TABLE joined ADD x int GENERATED ALWAYS AS (a * 2) STORED",
        "SELECT attrelid::regclass, attnum, attname, attislocal, attinhcount FROM pg_attribute \
         WHERE attrelid IN ('below'::regclass, 'joined'::regclass) AND attnum > 0 ORDER BY 1, 2",
    );
    assert_ne!(source, pg_dump);
    assert_eq!(source, ours);
}

#[test]
fn a_default_that_a_child_dropped_does_not_come_back_to_its_children() {
    let [source, pg_dump, ours] = three(
        15,
        "CREATE TABLE a (x int DEFAULT 1); CREATE TABLE b () INHERITS (a); ALTER TABLE b ALTER x DROP DEFAULT; CREATE TABLE c () INHERITS (b)",
        "SELECT adrelid::regclass, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid IN ('b'::regclass, 'c'::regclass) ORDER BY 1",
    );
    assert_ne!(source, pg_dump);
    assert_eq!(source, ours);
}

#[test]
fn a_childs_column_that_may_be_null() {
    let [source, pg_dump, ours] = three(
        15,
        "CREATE TABLE above (a int NOT NULL); CREATE TABLE below () INHERITS (above); ALTER TABLE below ALTER a DROP NOT NULL",
        "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'below'::regclass AND attname = 'a'",
    );
    assert_eq!([source.as_str(), pg_dump.as_str(), ours.as_str()], ["f", "t", "f"]);
}

#[test]
fn an_identity_whose_sequence_has_another_type_than_its_column() {
    let [source, pg_dump, ours] = three(
        18,
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY); ALTER SEQUENCE t_id_seq AS bigint MAXVALUE 2147483647",
        "SELECT seqtypid::regtype, seqmax FROM pg_sequence",
    );
    assert_eq!(source, "bigint|2147483647");
    assert_eq!(source, ours);
    assert_ne!(source, pg_dump);
}

#[test]
fn a_domain_over_one_that_got_a_default_later() {
    for major in [13, 18] {
        let [source, pg_dump, ours] = three(
            major,
            "CREATE DOMAIN below AS text; CREATE DOMAIN d AS below NOT NULL; ALTER DOMAIN below SET DEFAULT 'it''s \\ here'",
            "SELECT typname, typdefault FROM pg_type WHERE typname IN ('below', 'd') ORDER BY 1",
        );
        assert_eq!(source, "below|'it''s \\ here'::text\nd|");
        assert_eq!(source, ours);
        assert_ne!(source, pg_dump);
    }
}

#[test]
fn extended_statistics_of_an_inheriting_table_keep_the_order_of_their_columns() {
    let [source, pg_dump, ours] = three(
        15,
        "CREATE TABLE above (a int); CREATE TABLE below (own int) INHERITS (above); ALTER TABLE above ADD late int;
         CREATE STATISTICS s ON late, own FROM below",
        "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext",
    );
    assert_eq!(source, "CREATE STATISTICS public.s ON own, late FROM below");
    assert_eq!(source, ours);
    assert_ne!(source, pg_dump);
}

/// pg_dump's script fails on this; ours arrives whole.
#[track_caller]
fn pg_dump_fails(major: u32, script: &str) {
    let pair = pair_with(major, major, script);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = reference_target(&pair.source, pair.target.cluster, false);
    }));
    assert!(failed.is_err(), "pg_dump's script runs");
    pair.offline().ok();
    assert_eq!(schema_dump(&pair.source), schema_dump(&pair.target));
}

#[test]
fn exclusion_constraints_of_partitions() {
    pg_dump_fails(
        18,
        "CREATE TABLE p (k int, CONSTRAINT \"all of it\" EXCLUDE USING btree (k WITH =)) PARTITION BY LIST (k);
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (k);
         CREATE TABLE p21 PARTITION OF p2 FOR VALUES IN (2)",
    );
}

#[test]
fn an_index_of_a_whole_with_a_foreign_partition_is_valid() {
    let script = "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER none FOREIGN DATA WRAPPER nowhere;
         CREATE TABLE p (k int, v text) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2) PARTITION BY LIST (v);
         CREATE TABLE p21 PARTITION OF p2 FOR VALUES IN ('a'); CREATE FOREIGN TABLE p22 PARTITION OF p2 FOR VALUES IN ('b') SERVER none;
         CREATE FOREIGN TABLE p3 PARTITION OF p FOR VALUES IN (3) SERVER none; CREATE TABLE p4 PARTITION OF p FOR VALUES IN (4) PARTITION BY LIST (v); CREATE TABLE p41 PARTITION OF p4 DEFAULT;
         CREATE INDEX a ON p1 (v); CREATE INDEX \"second\"\" ON ONLY\" ON p (v) WHERE v <> 'x'; CREATE INDEX third ON p (v) WHERE v <> 'x'; CREATE INDEX z ON p1 (v) WHERE v <> 'x';
         CREATE INDEX ON p (k, v); CREATE INDEX incomplete ON ONLY p (v, k); ALTER INDEX third RENAME TO first; CREATE STATISTICS s ON k, v FROM p;
         INSERT INTO p VALUES (1, 'a'), (2, 'a'), (4, 'c')";
    let query = "SELECT indexrelid::regclass, indisvalid, inhparent::regclass FROM pg_index LEFT JOIN pg_inherits ON inhrelid = indexrelid \
         WHERE indrelid >= 16384 AND indrelid::regclass::text ~ '^p[0-9]*$' ORDER BY indexrelid::regclass::text";
    let [source, pg_dump, ours] = three(18, script, query);
    assert_eq!(source.lines().filter(|line| line.contains("|f|")).count(), 1, "{source}");
    assert_ne!(source, pg_dump);
    assert_eq!(source, ours);
    let pair = pair_with(13, 18, script);
    pair.offline().ok();
    pair.offline().arg("--drop-target-first").ok();
    assert_eq!(pair.source.psql(query), pair.target.psql(query));
    assert_same_schema(&pair.source, &pair.target);
}

#[test]
fn an_exclusion_constraint_that_only_later_partitions_have() {
    pg_dump_fails(
        18,
        "CREATE TABLE p (k int, r int4range, id int GENERATED ALWAYS AS IDENTITY) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
         ALTER TABLE ONLY p ADD CONSTRAINT \"all of it\" EXCLUDE USING btree (k WITH =); CREATE TABLE p2 PARTITION OF p (id DEFAULT 1) FOR VALUES IN (2);
         CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3) PARTITION BY LIST (k); CREATE TABLE p31 PARTITION OF p3 FOR VALUES IN (3);
         ALTER TABLE ONLY p ADD CONSTRAINT late EXCLUDE USING btree (k WITH =, id WITH =); CREATE TABLE p4 PARTITION OF p FOR VALUES IN (4);
         ALTER TABLE p4 RENAME CONSTRAINT p4_k_id_excl TO \"of p4\"; CREATE INDEX ON p (r); ALTER TABLE p ADD UNIQUE (k);
         CREATE TABLE alone (k int) PARTITION BY LIST (k); CREATE TABLE a1 PARTITION OF alone FOR VALUES IN (1); ALTER TABLE ONLY alone ADD EXCLUDE USING btree (k WITH =);
         INSERT INTO p VALUES (1, '[1,2)'), (2, '[1,2)'), (3, '[1,2)'), (4, '[1,2)')",
    );
}

#[test]
fn marks_of_cycles() {
    let r = |marks: &str| {
        format!(
            "WITH RECURSIVE r AS (SELECT a, b FROM g UNION ALL SELECT g.a, g.b FROM g, r WHERE g.a = r.b) CYCLE a, b SET \"is it\" {marks} USING path SELECT a, \"is it\" FROM r"
        )
    };
    let view = |(i, marks): (usize, &str)| format!("CREATE VIEW v{i} AS {};", r(marks));
    let marks = [
        "TO 'y' DEFAULT 'n'",
        "TO 3 DEFAULT 0",
        "",
        "TO s.e 'it''s' DEFAULT NULL",
        "TO interval '1' hour DEFAULT '2 d'",
        "TO char(2) 'y' DEFAULT 'n'",
    ];
    let views: String = marks.into_iter().enumerate().map(view).collect();
    let yes = r("TO text 'yes' DEFAULT 'no'");
    let script = format!(
        "CREATE SCHEMA s; CREATE TYPE s.e AS ENUM ('it''s', 'n'); CREATE TABLE g (a int, b int); INSERT INTO g VALUES (1, 2), (2, 1); {views}
         CREATE MATERIALIZED VIEW m AS {yes}; CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM ({yes}) AS x WHERE \"is it\" = 'yes'; END;
         CREATE TABLE t (a int, b text); CREATE RULE r AS ON INSERT TO g DO ALSO INSERT INTO t {yes}"
    );
    pg_dump_fails(18, &script);
}

#[test]
fn a_view_on_itself() {
    pg_dump_fails(15, "CREATE VIEW v AS SELECT 1 AS a; CREATE OR REPLACE VIEW v AS SELECT a FROM v");
}

#[test]
fn an_index_over_a_function_in_a_schema_that_the_tables_owner_may_only_use() {
    pg_dump_fails(
        18,
        "CREATE SCHEMA util; CREATE FUNCTION util.g(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
         CREATE FUNCTION util.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT util.g($1)';
         CREATE TABLE t (a int); ALTER TABLE t OWNER TO app_owner; GRANT USAGE ON SCHEMA util TO app_owner; CREATE INDEX ON t (util.f(a))",
    );
}

#[test]
fn what_does_not_need_a_missing_extension_arrives_and_the_rest_is_listed() {
    let script = "CREATE FUNCTION @extschema@.its(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT i';
        CREATE TYPE @extschema@.kind AS ENUM ('a', 'b');";
    let with = Cluster::start(15, &Options::new().extension("only_here", script));
    let without = Cluster::start(18, &Options::new());
    let (source, target) = (with.database("source"), without.database("target"));
    source.psql(
        "CREATE SCHEMA ext; CREATE EXTENSION only_here SCHEMA ext; CREATE TABLE fine (id int PRIMARY KEY, t text);
         INSERT INTO fine VALUES (1, 'x'); CREATE TABLE of_kind (id int PRIMARY KEY REFERENCES fine, k ext.kind); INSERT INTO of_kind VALUES (1, 'a');
         CREATE INDEX by_its ON fine (ext.its(id)); CREATE INDEX by_text ON fine (t); CREATE VIEW on_kind AS SELECT k FROM of_kind;
         CREATE VIEW on_view AS SELECT * FROM on_kind; CREATE VIEW on_fine AS SELECT t FROM fine;
         CREATE DOMAIN its_domain AS int CHECK (ext.its(VALUE) > 0); CREATE TABLE of_domain (d its_domain);
         CREATE FUNCTION of_table(of_kind) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    offline(&source.conninfo(), &target.conninfo())
        .run()
        .expect_code(1)
        .expect_said(&["extension-missing", "only_here"]);
    let run =
        offline(&source.conninfo(), &target.conninfo()).arg("--allow-restore-errors").run().expect_code(1);
    run.expect_said(&[
        "EXTENSION only_here",
        "public.of_kind",
        "public.by_its",
        "public.on_kind",
        "public.on_view",
        "public.its_domain",
        "public.of_domain",
        "public.of_table",
    ]);
    let there = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(target.psql(there), "by_text fine fine_pkey on_fine");
    assert_eq!(target.psql("SELECT t FROM on_fine"), "x");
}

#[test]
fn materialized_views_that_read_each_other_through_functions() {
    let script = "CREATE MATERIALIZED VIEW z AS SELECT g FROM generate_series(1, 4) g;
         CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT sum(g) FROM public.z';
         CREATE MATERIALIZED VIEW m AS SELECT total() AS t;
         CREATE FUNCTION twice() RETURNS numeric LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT 2 * t FROM public.m); END';
         CREATE MATERIALIZED VIEW a AS SELECT twice() AS t; CREATE UNIQUE INDEX ON a (t); CREATE MATERIALIZED VIEW on_a AS SELECT t FROM a;
         CREATE TABLE fine (x int)";
    let pair = pair_with(15, 18, script);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = reference_target(&pair.source, pair.target.cluster, true);
    }));
    assert!(failed.is_err(), "pg_dump's script runs");
    for jobs in ["1", "4"] {
        let (from, to) = (pair.source.conninfo(), pair.target.conninfo());
        let args =
            ["--mode", "offline", "--jobs", jobs, "--drop-target-first", "--source", &from, "--target", &to];
        migrator(args).ok();
        assert_eq!(pair.target.psql("SELECT a.t, on_a.t FROM a, on_a"), "20|20");
    }
    // One that no order helps is an error of its own, once, and the others are there.
    pair.source.psql(
        "CREATE MATERIALIZED VIEW never AS SELECT 1 AS x; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT x FROM public.never';
         CREATE MATERIALIZED VIEW reads AS SELECT f() AS x; REFRESH MATERIALIZED VIEW never WITH NO DATA",
    );
    let run = pair.offline().args(["--drop-target-first", "--allow-restore-errors"]).run().expect_code(1);
    run.expect_said(&["MATERIALIZED VIEW DATA public.reads", "has not been populated"]);
    assert_eq!(pair.target.psql("SELECT a.t, on_a.t FROM a, on_a"), "20|20");
    pair.offline().arg("--drop-target-first").run().expect_code(4).expect_said(&["public.reads"]);
}

#[test]
fn comments_and_grants_on_objects_of_extensions() {
    let script = "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION pg_stat_statements SCHEMA ext;
         COMMENT ON FUNCTION ext.akeys(ext.hstore) IS 'keys, it''s said'; COMMENT ON TYPE ext.hstore IS 'ours'; COMMENT ON OPERATOR ext.-> (ext.hstore, text) IS 'of';
         COMMENT ON VIEW ext.pg_stat_statements IS 'watched'; COMMENT ON COLUMN ext.pg_stat_statements.query IS 'its text';
         COMMENT ON CAST (ext.hstore AS json) IS 'to json'; COMMENT ON OPERATOR CLASS ext.gin_hstore_ops USING gin IS 'quick';
         GRANT SELECT (query), UPDATE (calls) ON ext.pg_stat_statements TO app_reader; REVOKE EXECUTE ON FUNCTION ext.akeys(ext.hstore) FROM PUBLIC";
    let comments = "SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384 \
         AND description IN ('keys, it''s said', 'ours', 'of', 'watched', 'its text', 'to json', 'quick') ORDER BY 1";
    let [source, pg_dump, ours] = three(16, script, comments);
    assert_eq!(source.lines().count(), 7, "{source}");
    assert_eq!(pg_dump, "");
    assert_eq!(source, ours);
    // What was granted, pg_dump has as well.
    let grants = "SELECT attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid = 'ext.pg_stat_statements'::regclass ORDER BY 1; \
         SELECT proacl FROM pg_proc WHERE proname = 'akeys'";
    let [source, pg_dump, ours] = three(16, script, grants);
    assert_eq!([&source, &source], [&pg_dump, &ours]);
    // Between versions, in the script, and once more over what is there.
    let pair = pair_with(12, 18, script);
    pair.offline().ok();
    pair.offline().arg("--drop-target-first").ok();
    assert_eq!(pair.source.psql(comments), pair.target.psql(comments));
}

#[test]
fn the_state_of_clones_of_a_renamed_trigger() {
    // Before 15 the clones on partitions keep the name that the trigger had.
    for (from, to) in [(11, 18), (13, 18), (14, 15)] {
        let pair = pair_with(
            from,
            to,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TABLE tp (a int, b int) PARTITION BY LIST (a); CREATE TABLE tp1 PARTITION OF tp FOR VALUES IN (1) PARTITION BY LIST (b);
             CREATE TABLE tp11 PARTITION OF tp1 FOR VALUES IN (1); CREATE TABLE tp2 PARTITION OF tp FOR VALUES IN (2);
             CREATE TRIGGER ta AFTER INSERT ON tp FOR EACH ROW EXECUTE PROCEDURE f();
             ALTER TABLE tp11 DISABLE TRIGGER ta; ALTER TABLE tp2 ENABLE ALWAYS TRIGGER ta; ALTER TRIGGER ta ON tp RENAME TO \"t b\"",
        );
        pair.offline().ok();
        let state = "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger ORDER BY 1";
        assert_eq!(pair.target.psql(state), "tp|t b|O\ntp1|t b|O\ntp2|t b|A\ntp11|t b|D");
    }
}

#[test]
fn comments_on_constraints_that_come_with_another_object() {
    let script = "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TABLE r1 (a int PRIMARY KEY);
         CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON r1 DEFERRABLE FOR EACH ROW EXECUTE PROCEDURE tf(); COMMENT ON CONSTRAINT ct ON r1 IS 'of a trigger';
         CREATE TABLE p (a int REFERENCES r1) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); COMMENT ON CONSTRAINT p_a_fkey ON p1 IS 'of a partition';
         CREATE TABLE above (a int); INSERT INTO above VALUES (-1); ALTER TABLE above ADD CONSTRAINT k CHECK (a > 0) NOT VALID;
         CREATE TABLE below () INHERITS (above); CREATE TABLE further (CHECK (a < 9)) INHERITS (below);
         COMMENT ON CONSTRAINT k ON below IS 'of a child'; COMMENT ON CONSTRAINT k ON further IS 'it''s of its child'; COMMENT ON CONSTRAINT further_a_check ON further IS 'own';
         CREATE TABLE ref (a int PRIMARY KEY) PARTITION BY LIST (a); CREATE TABLE ref1 PARTITION OF ref FOR VALUES IN (1); CREATE TABLE r (a int REFERENCES ref);
         DO $$ BEGIN EXECUTE (SELECT format('COMMENT ON CONSTRAINT %I ON r IS %L', conname, 'the server') FROM pg_constraint WHERE conrelid = 'r'::regclass AND conparentid <> 0); END $$";
    let later = "CREATE TABLE nn (a int, b int); ALTER TABLE nn ADD CONSTRAINT there NOT NULL a NOT VALID; CREATE TABLE nn1 () INHERITS (nn);
         ALTER TABLE nn ADD CONSTRAINT c CHECK (b > 0) NOT ENFORCED; COMMENT ON CONSTRAINT there ON nn1 IS 'not null'; COMMENT ON CONSTRAINT c ON nn1 IS 'not enforced'";
    let said = "SELECT conrelid::regclass, conname, description FROM pg_description d JOIN pg_constraint k ON k.oid = objoid \
         WHERE classoid = 'pg_constraint'::regclass AND conrelid >= 16384 AND description <> 'the server' ORDER BY 3";
    for (from, to) in [(13, 18), (15, 15), (18, 18)] {
        let pair = pair_with(from, to, script);
        if from >= 18 {
            pair.source.psql(later);
        }
        pair.offline()
            .ok()
            .expect_said(&["comment on CONSTRAINT r_a_fkey", "is not carried, nor is it by pg_dump"]);
        assert_eq!(pair.source.psql(said).lines().count(), if from < 18 { 5 } else { 7 });
        assert_eq!(pair.source.psql(said), pair.target.psql(said));
        let filtered = pair.target.cluster.database("filtered");
        let args = ["--include-table", "public.p*", "--include-table", "public.r1"];
        let run = offline(&pair.source.conninfo(), &filtered.conninfo()).args(args).ok();
        assert!(!run.stderr.contains("r_a_fkey"), "{}", run.stderr);
        assert_eq!(filtered.psql(said), "p1|p_a_fkey|of a partition\nr1|ct|of a trigger");
    }
}
