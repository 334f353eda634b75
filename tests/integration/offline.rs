//! Whole migrations of everything we carry: the target's schema and rows are the source's.

use crate::harness::{
    Cluster, Options, assert_same, assert_same_rows, assert_same_schema, cluster, migrator, rows,
};
use crate::moves::{Move, WATCHED, assert_not_watched, assert_untouched_source, offline, pair, pair_with};

fn kitchen_sink(from: u32, to: u32) {
    let pair = pair(from, to, &["kitchen_sink.sql"]);
    let before = rows(&pair.source);
    pair.offline().arg("--drop-target-first").ok();
    assert_same(&pair.source, &pair.target);
    assert_eq!(before, rows(&pair.source), "the source is as it was");
    assert_untouched_source(&pair.source);
    // Again over itself: what is there is dropped first.
    pair.offline().arg("--drop-target-first").ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn kitchen_sink_13_to_18() {
    kitchen_sink(13, 18);
}

#[test]
fn kitchen_sink_15_to_15() {
    kitchen_sink(15, 15);
}

#[test]
fn kitchen_sink_16_to_18() {
    kitchen_sink(16, 18);
}

#[test]
fn kitchen_sink_17_to_18() {
    kitchen_sink(17, 18);
}

#[test]
fn kitchen_sink_18_to_18() {
    kitchen_sink(18, 18);
}

/// Shapes that the kitchen sink has no room for.
fn odd_combinations(from: u32, to: u32) {
    let pair = pair(from, to, &["odd_combinations.sql"]);
    // Twice, because several bundles at once have to get past each other's locks.
    for _ in 0..2 {
        pair.offline().arg("--drop-target-first").ok();
    }
    assert_same(&pair.source, &pair.target);
    let inherited = "SELECT count(*) FROM pg_stats WHERE inherited AND schemaname = 'h' AND tablename = 'p1'";
    assert_ne!(pair.target.psql(inherited).trim(), "0", "statistics of a parent with its children");
}

#[test]
fn odd_combinations_13_to_18() {
    odd_combinations(13, 18);
}

#[test]
fn odd_combinations_15_to_15() {
    odd_combinations(15, 15);
}

#[test]
fn odd_combinations_18_to_18() {
    odd_combinations(18, 18);
}

fn nasty_data(from: u32, to: u32) {
    let pair = pair(from, to, &["nasty_data.sql"]);
    pair.offline().arg("--split-bytes").arg("64kB").ok();
    assert_same(&pair.source, &pair.target);
    assert_verified(&pair);
}

fn assert_verified(pair: &Move) {
    migrator(["verify", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()]).ok();
}

#[test]
fn nasty_data_13_to_18() {
    nasty_data(13, 18);
}

#[test]
fn nasty_data_15_to_15() {
    nasty_data(15, 15);
}

#[test]
fn nasty_data_18_to_18() {
    nasty_data(18, 18);
}

#[test]
fn verify_names_what_differs() {
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE a (id int, t text); INSERT INTO a VALUES (1, 'x'), (2, NULL); CREATE TABLE b AS TABLE a",
    );
    pair.offline().ok();
    assert_verified(&pair);
    pair.target.psql("UPDATE a SET t = 'y' WHERE id = 1; DELETE FROM b WHERE id = 2");
    migrator(["verify", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()])
        .run()
        .expect_code(1)
        .expect_said(&["public.a", "public.b"]);
}

#[test]
fn verify_never_finds_nothing_equal_to_nothing() {
    let pair = pair_with(15, 15, "CREATE TABLE a (id int); INSERT INTO a VALUES (1)");
    pair.offline().ok();
    let (source, target) = (pair.source.conninfo(), pair.target.conninfo());
    let verify = |source: &str, target: &str, more: &[&str]| {
        let run =
            migrator(["verify", "--source", source, "--target", target]).args(more).run().expect_code(1);
        assert!(!run.stdout.contains("equal"), "{run:?}");
        run
    };
    for flag in ["--include-schema", "--include-table"] {
        verify(&source, &target, &[flag, "nosuch"]).expect_said(&["nosuch", "[pattern-fits-nothing]"]);
    }
    verify(&source, &source, &[]).expect_said(&[&pair.source.name, "[same-database]"]);
    let empty = cluster(15).database("empty");
    verify(&empty.conninfo(), &target, &[]).expect_said(&[&empty.name, "[nothing-to-compare]"]);
    verify(&source, &target, &["--exclude-table", "a"]).expect_said(&["[nothing-to-compare]"]);
    migrator(["verify", "--source", &source, "--target", &target, "--exclude-table", "other"]).ok();
}

#[test]
fn the_schema_script_makes_the_same_schema_through_psql() {
    for (from, to) in [(13, 18), (15, 15), (18, 18)] {
        let pair = pair(from, to, &["kitchen_sink.sql"]);
        let run = migrator(["schema", "--source", &pair.source.conninfo()]).ok();
        pair.target.psql(&run.stdout);
        assert_same_schema(&pair.source, &pair.target);
    }
}

#[test]
fn check_says_nothing_stops_a_good_pair_and_changes_nothing() {
    let pair = pair(13, 18, &["kitchen_sink.sql"]);
    let before = rows(&pair.target);
    let args = ["check", "--json", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()];
    let run = migrator(args).ok();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("one JSON object on stdout");
    assert_eq!(report["ok"], true);
    assert_eq!(report["errors"], 0);
    assert_eq!(before, rows(&pair.target));
    assert_untouched_source(&pair.source);
}

#[test]
fn works_with_an_empty_path() {
    let pair = pair_with(15, 15, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
    pair.offline().env("PATH", "").env("HOME", "/nonexistent").ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn events_are_one_json_object_per_line() {
    let pair = pair_with(15, 15, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
    let run = pair.offline().arg("--log-format").arg("json").arg("-v").ok();
    let events: Vec<serde_json::Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let phases: Vec<&str> =
        events.iter().filter(|e| e["event"] == "phase_started").filter_map(|e| e["phase"].as_str()).collect();
    assert_eq!(phases, ["Validate", "PrepareSnapshot", "Dump", "Restore"]);
    assert!(events.iter().any(|e| e["event"] == "table_finished" && e["rows"] == 1000), "{}", run.stderr);
}

#[test]
fn rows_of_hash_partitions_by_enum_find_their_new_partition() {
    // The hash of an enum value is that of its OID, which differs on the target.
    let script = "CREATE TYPE color AS ENUM ('red', 'green', 'blue', 'grey', 'pink');
        CREATE TABLE by_enum (c color, n int) PARTITION BY HASH (c);
        CREATE TABLE by_enum_0 PARTITION OF by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 0);
        CREATE TABLE by_enum_1 PARTITION OF by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 1);
        CREATE TABLE by_enum_2 PARTITION OF by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 2);
        INSERT INTO by_enum SELECT c, g FROM unnest(enum_range(NULL::color)) c, generate_series(1, 20000) g;
        CREATE INDEX ON by_enum (n); CREATE INDEX ON by_enum_1 (c); ALTER TABLE by_enum_2 ADD CHECK (n > 0);
        CREATE TABLE below (c color[], n int) PARTITION BY LIST (n);
        CREATE TABLE below_1 PARTITION OF below FOR VALUES IN (1) PARTITION BY HASH (c);
        CREATE TABLE below_1_0 PARTITION OF below_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE below_1_1 PARTITION OF below_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE below_2 PARTITION OF below FOR VALUES IN (2);
        INSERT INTO below SELECT ARRAY[c, 'red'], 1 + g % 2 FROM unnest(enum_range(NULL::color)) c, generate_series(1, 5) g";
    let pair = pair_with(15, 18, script);
    // OIDs on the target that differ from the source's.
    pair.target.psql("CREATE TYPE other AS ENUM ('a', 'b', 'c'); DROP TYPE other");
    pair.offline().ok();
    let all = "SELECT c, n FROM by_enum ORDER BY 1, 2; SELECT c, n FROM below ORDER BY 1, 2";
    assert_eq!(pair.source.psql(all), pair.target.psql(all));
    assert_verified(&pair);
}

#[test]
fn roles_of_other_names_than_postgres_may_migrate_their_own() {
    let pair =
        pair_with(15, 15, "CREATE TABLE t (id serial PRIMARY KEY, x text); INSERT INTO t (x) VALUES ('a')");
    for database in [&pair.source, &pair.target] {
        database.psql(&format!(
            "DO $$ BEGIN CREATE ROLE mover LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; \
             ALTER DATABASE {0} OWNER TO mover; GRANT ALL ON SCHEMA public TO mover; GRANT SELECT ON ALL TABLES IN SCHEMA public TO mover; \
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO mover",
            database.name
        ));
    }
    let port = pair.source.cluster.port;
    let target = pair.target.conninfo_as("mover", port);
    crate::moves::offline(&pair.source.conninfo_as("mover", port), &target)
        .arg("--no-owner")
        .arg("--no-privileges")
        .ok();
    assert_same_rows(&pair.source, &pair.target);
}

#[test]
fn rows_of_extensions_configuration_tables() {
    // Two tables of an extension, of which one is all the user's and one partly; a third is not marked at all.
    let script =
        "CREATE TABLE @extschema@.\"Con fig\" (k text PRIMARY KEY, v text, own boolean DEFAULT true);
        INSERT INTO @extschema@.\"Con fig\" VALUES ('built in', 'x', false);
        CREATE TABLE @extschema@.all_of_it (id serial, t text);
        CREATE TABLE @extschema@.internal (a int); INSERT INTO @extschema@.internal VALUES (1);
        SELECT pg_catalog.pg_extension_config_dump('@extschema@.\"Con fig\"', 'WHERE own');
        SELECT pg_catalog.pg_extension_config_dump('@extschema@.all_of_it', '');
        SELECT pg_catalog.pg_extension_config_dump('@extschema@.all_of_it_id_seq', '');
        CREATE FUNCTION @extschema@.member() RETURNS int LANGUAGE sql AS 'SELECT 1';";
    let options = Options::new().extension("with_data", script);
    let (source, target) = (Cluster::start(15, &options), Cluster::start(18, &options));
    let (source, target) = (source.database("source"), target.database("target"));
    source.psql(
        "CREATE SCHEMA ext; CREATE EXTENSION with_data SCHEMA ext; INSERT INTO ext.\"Con fig\" VALUES ('mine', 'y'), ('\\.', NULL);
         INSERT INTO ext.all_of_it (t) VALUES ('a'), ('b'); INSERT INTO ext.internal VALUES (2);
         CREATE TABLE public.users (k text REFERENCES ext.\"Con fig\"); INSERT INTO public.users VALUES ('mine')",
    );
    offline(&source.conninfo(), &target.conninfo()).ok();
    assert_same_schema(&source, &target);
    let all = "SELECT * FROM ext.\"Con fig\" ORDER BY k COLLATE \"C\"; SELECT * FROM ext.all_of_it ORDER BY id; SELECT last_value, is_called FROM ext.all_of_it_id_seq";
    assert_eq!(source.psql(all), target.psql(all));
    assert_eq!(target.psql("SELECT a FROM ext.internal"), "1", "not marked: it comes with the extension");
    // Again over itself.
    offline(&source.conninfo(), &target.conninfo()).arg("--drop-target-first").ok();
    assert_eq!(source.psql(all), target.psql(all));
}

#[test]
fn partitioned_indexes_over_partitions_that_are_foreign() {
    let script = "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE TABLE p (k int, t text) PARTITION BY LIST (k); CREATE TABLE p_near PARTITION OF p FOR VALUES IN (1);
         CREATE FOREIGN TABLE p_far PARTITION OF p FOR VALUES IN (2) SERVER files OPTIONS (filename '/dev/null');
         CREATE TABLE p_deep PARTITION OF p FOR VALUES IN (3, 4) PARTITION BY LIST (k); CREATE TABLE p_deep_3 PARTITION OF p_deep FOR VALUES IN (3);
         CREATE FOREIGN TABLE p_deep_4 PARTITION OF p_deep FOR VALUES IN (4) SERVER files OPTIONS (filename '/dev/null');
         CREATE INDEX by_t ON p (t); CREATE INDEX by_both ON p_deep (t, k); CREATE INDEX alone ON ONLY p (k); INSERT INTO p VALUES (1, 'a'), (3, 'b');
         ANALYZE p_near";
    for (from, to) in [(11, 18), (18, 18)] {
        let pair = pair_with(from, to, script);
        pair.offline().ok();
        assert_same(&pair.source, &pair.target);
        // Also where pg_dump's own script leaves it invalid.
        let valid = "SELECT indexrelid::regclass, indisvalid FROM pg_index i JOIN pg_class c ON c.oid = indrelid \
             WHERE relnamespace = 'public'::regnamespace ORDER BY indexrelid::regclass::text";
        assert_eq!(pair.source.psql(valid), pair.target.psql(valid));
        pair.offline().arg("--drop-target-first").ok();
        assert_same(&pair.source, &pair.target);
    }
}

#[test]
fn event_triggers_do_not_fire_for_the_end_of_the_journal() {
    for (from, to) in [(13, 18), (15, 15)] {
        let pair = pair_with(from, to, WATCHED);
        pair.offline().ok();
        assert_same(&pair.source, &pair.target);
        assert_not_watched(&pair.target);
    }
}
