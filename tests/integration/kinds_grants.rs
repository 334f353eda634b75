//! Privileges without a superuser and through psql, security labels, tablespaces.

use crate::harness::{
    Cluster, Database, Options, assert_same_schema, cluster, fixture, migrator, schema_dump,
};
use crate::kinds::kind;
use crate::moves::{offline, pair_with};

#[test]
fn the_script_makes_the_same_privileges_through_psql() {
    let pair = pair_with(18, 18, &kind("grants"));
    let run = migrator(["schema", "--source", &pair.source.conninfo()]).ok();
    pair.target.psql(&run.stdout);
    assert_same_schema(&pair.source, &pair.target);
}

#[test]
fn no_privileges_leaves_off_those_of_the_servers_own_too() {
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE t (a int); GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_reader",
    );
    pair.offline().arg("--no-privileges").ok();
    assert!(!schema_dump(&pair.target).contains("app_reader"));
    pair.offline().arg("--drop-target-first").ok();
    assert_same_schema(&pair.source, &pair.target);
    // A filter takes nothing that is the server's.
    let other = pair_with(
        15,
        15,
        "CREATE SCHEMA a; CREATE TABLE a.t (a int); GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_reader",
    );
    other.offline().arg("--include-schema").arg("a").ok();
    assert!(!schema_dump(&other.target).contains("app_reader"));
}

#[test]
fn grants_of_others_without_a_superuser() {
    let pair = pair_with(
        15,
        17,
        "CREATE SCHEMA own AUTHORIZATION app_owner; SET SESSION AUTHORIZATION app_owner; CREATE TABLE own.t (a int);
         GRANT SELECT ON own.t TO app_reader WITH GRANT OPTION; GRANT USAGE ON SCHEMA own TO app_reader;
         SET SESSION AUTHORIZATION app_reader; GRANT SELECT ON own.t TO app_writer",
    );
    pair.target.psql(&format!(
        "DO $$ BEGIN CREATE ROLE grants_mover LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT app_owner TO grants_mover; ALTER DATABASE \"{}\" OWNER TO grants_mover",
        pair.target.name
    ));
    let target = pair.target.conninfo_as("grants_mover", pair.target.cluster.port);
    let args = ["--include-schema", "own"];
    let run = offline(&pair.source.conninfo(), &target).args(args).run().expect_code(1);
    run.expect_said(&["target-not-member", "GRANT app_reader TO grants_mover;"]);
    pair.target.psql("GRANT app_reader TO grants_mover");
    offline(&pair.source.conninfo(), &target).args(args).ok();
    let acl = "SELECT relacl FROM pg_class WHERE oid = 'own.t'::regclass";
    let wanted = "{app_owner=arwdDxtm/app_owner,app_reader=r*/app_owner,app_writer=r/app_reader}";
    assert_eq!(pair.target.psql(acl), wanted);
    pair.target.psql("REVOKE app_reader, app_owner FROM grants_mover");
}

#[test]
fn the_last_privilege_on_a_column_taken_back() {
    for (from, to) in [(18, 18), (15, 15), (13, 18)] {
        let pair = pair_with(from, to, "REVOKE SELECT (subname) ON pg_catalog.pg_subscription FROM PUBLIC");
        pair.offline().ok();
        let rights = "SELECT has_column_privilege('app_reader', 'pg_subscription', 'subname', 'SELECT'), \
             has_column_privilege('app_reader', 'pg_subscription', 'subowner', 'SELECT')";
        assert_eq!([pair.source.psql(rights), pair.target.psql(rights)], ["f|t", "f|t"]);
        assert_same_schema(&pair.source, &pair.target);
    }
    // And one that an extension's script had given.
    let script = "CREATE TABLE @extschema@.\"T t\" (a int, b int); GRANT SELECT (a), SELECT (b) ON @extschema@.\"T t\" TO PUBLIC;";
    let (source, target) =
        [15, 18].map(|major| Cluster::start(major, &Options::new().extension("open", script))).into();
    let (from, to) = (source.database("source"), target.database("target"));
    from.psql("CREATE SCHEMA \"E x\"; CREATE EXTENSION open SCHEMA \"E x\"; REVOKE SELECT (a) ON \"E x\".\"T t\" FROM PUBLIC");
    offline(&from.conninfo(), &to.conninfo()).ok();
    let acl = "SELECT attname, attacl FROM pg_attribute WHERE attrelid = '\"E x\".\"T t\"'::regclass AND attnum > 0 ORDER BY 1";
    assert_eq!([from.psql(acl), to.psql(acl)], ["a|\nb|{=r/postgres}", "a|\nb|{=r/postgres}"]);
}

#[test]
fn privileges_on_members_whose_names_must_be_quoted() {
    let script = "CREATE SCHEMA \"E x\"; CREATE EXTENSION citext SCHEMA \"E x\"; REVOKE USAGE ON TYPE \"E x\".citext FROM PUBLIC;
         REVOKE EXECUTE ON FUNCTION \"E x\".citext_eq(\"E x\".citext, \"E x\".citext) FROM PUBLIC;
         CREATE TABLE \"E x\".t (a int); REVOKE USAGE ON TYPE pg_catalog.\"char\" FROM PUBLIC";
    let member = "SELECT has_type_privilege('app_reader', '\"E x\".citext', 'USAGE'), \
         has_function_privilege('app_reader', '\"E x\".citext_eq(\"E x\".citext, \"E x\".citext)', 'EXECUTE')";
    for (from, to) in [(15, 15), (12, 18)] {
        let pair = pair_with(from, to, script);
        let run = pair.offline().ok();
        assert!(!run.stderr.contains("server-object-gone") && !run.stderr.contains("char"), "{}", run.stderr);
        assert_same_schema(&pair.source, &pair.target);
        assert_eq!(pair.target.psql(member), "f|f");
        assert_eq!(pair.target.psql("SELECT has_type_privilege('app_reader', '\"char\"', 'USAGE')"), "f");
        // A filter goes by the name as it is.
        let other = cluster(to).database("filtered");
        other.psql_file(&fixture("roles.sql"));
        let args = ["--include-schema", "E x"];
        offline(&pair.source.conninfo(), &other.conninfo()).args(args).ok();
        assert_eq!(other.psql(member), "f|f");
    }
}

#[test]
fn what_was_changed_on_members_that_newer_versions_lack_is_left_out_and_told() {
    let script = "CREATE TABLE t (a int); CREATE EXTENSION pg_stat_statements; GRANT EXECUTE ON FUNCTION pg_stat_statements_reset TO app_reader;
         GRANT SELECT (query) ON pg_stat_statements TO app_reader; COMMENT ON VIEW pg_stat_statements IS 'kept'; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_reader";
    let old = "GRANT SELECT (total_time) ON pg_stat_statements TO app_writer; COMMENT ON FUNCTION pg_stat_statements_reset() IS 'mine';
         GRANT SELECT (relhasoids), SELECT (relname) ON pg_class TO app_reader";
    for (from, to) in [(10, 18), (13, 18), (16, 17)] {
        let pair = pair_with(from, to, script);
        let mut said = vec!["GRANT ALL ON FUNCTION public.pg_stat_statements_reset("];
        if from == 10 {
            pair.source.psql(old);
            said.extend([
                "GRANT SELECT(total_time) ON TABLE public.pg_stat_statements TO app_writer;",
                "COMMENT ON FUNCTION public.pg_stat_statements_reset() IS 'mine';",
                "GRANT SELECT(relhasoids) ON TABLE pg_catalog.pg_class TO app_reader;",
            ]);
        }
        for args in [&[][..], &["--drop-target-first", "--allow-restore-errors"]] {
            pair.offline().args(args).ok().expect_said(&said);
            let there = "SELECT has_column_privilege('app_reader', 'pg_stat_statements', 'query', 'SELECT'), obj_description('pg_stat_statements'::regclass), \
                 has_function_privilege('app_reader', 'pg_read_file(text)', 'EXECUTE'), \
                 (SELECT attacl FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attname = 'relname')";
            let named = if from == 10 { "{app_reader=r/postgres}" } else { "" };
            assert_eq!(pair.target.psql(there), format!("t|kept|t|{named}"));
        }
    }
}

/// Kinds: SecurityLabels. There is no label provider in these servers, so the catalog is written by hand, and the script is what is compared.
#[test]
fn security_labels_are_in_the_script_as_pg_dump_has_them() {
    let pair = pair_with(
        15,
        15,
        "CREATE SCHEMA l; CREATE TABLE l.\"T t\" (a int, \"B\" text); CREATE FUNCTION l.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE VIEW l.v AS SELECT 1 AS x; CREATE DOMAIN l.d AS int; SELECT lo_create(4711);
         SET allow_system_table_mods = on;
         INSERT INTO pg_seclabel VALUES ('l.\"T t\"'::regclass, 'pg_class'::regclass, 0, 'dummy', 'it''s secret'),
           ('l.\"T t\"'::regclass, 'pg_class'::regclass, 2, 'Du mmy', 'column'), ('l.v'::regclass, 'pg_class'::regclass, 0, 'dummy', 'v'),
           ('l.v'::regclass, 'pg_class'::regclass, 1, 'dummy', 'vx'), ('l.d'::regtype, 'pg_type'::regclass, 0, 'dummy', 'd'),
           ('l.f(int)'::regprocedure, 'pg_proc'::regclass, 0, 'dummy', 'f'), ('l'::regnamespace, 'pg_namespace'::regclass, 0, 'dummy', 's'),
           (4711, 'pg_largeobject'::regclass, 0, 'dummy', 'lo')",
    );
    let run = migrator([
        "schema",
        "--source",
        &pair.source.conninfo(),
        "--section",
        "pre-data",
        "--section",
        "data",
        "--section",
        "post-data",
    ])
    .ok();
    let labels = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|l| l.starts_with("SECURITY LABEL")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut expected = labels(&schema_dump(&pair.source));
    expected.push("SECURITY LABEL FOR dummy ON LARGE OBJECT 4711 IS 'lo';".to_owned());
    expected.sort();
    assert_eq!(expected.len(), 8, "{expected:?}");
    assert_eq!(labels(&run.stdout), expected);
    // That a server lacks the provider is told before anything is changed; left out on request, each is told by name.
    let run = pair.offline().run().expect_code(1);
    run.expect_said(&[
        "[label-provider-missing]",
        "labels on",
        "TABLE l.\"T t\"",
        "provider dummy",
        "provider \"Du mmy\"",
    ]);
    pair.offline()
        .arg("--allow-restore-errors")
        .run()
        .expect_code(1)
        .expect_said(&["SECURITY LABEL FOR dummy ON VIEW l.v"]);
}

#[test]
fn tablespaces() {
    let (source, target) = (Cluster::start(15, &Options::new()), Cluster::start(15, &Options::new()));
    let (source, target) = (source.database("source"), target.database("target"));
    let make = |database: &Database<'_>, name: &str| {
        let folder = database.psql("SHOW data_directory");
        database.psql(&format!(
            "SET client_min_messages = error; COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir -p \"{folder}_{}\"'; CREATE TABLESPACE \"{name}\" LOCATION '{folder}_{}'",
            name.len(),
            name.len()
        ));
    };
    source.psql_file(&fixture("roles.sql"));
    target.psql_file(&fixture("roles.sql"));
    make(&source, "S pace");
    make(&source, "other");
    source.psql(
        "CREATE SCHEMA s; CREATE TABLE s.t (a int PRIMARY KEY USING INDEX TABLESPACE other, b text,
            CONSTRAINT u UNIQUE (b) WITH (fillfactor = 50) USING INDEX TABLESPACE \"S pace\" DEFERRABLE,
            EXCLUDE USING btree (b WITH =) USING INDEX TABLESPACE other WHERE (a > 0)) TABLESPACE \"S pace\";
         INSERT INTO s.t SELECT g, g::text FROM generate_series(1, 1000) g;
         CREATE INDEX i ON s.t (b) TABLESPACE \"S pace\" WHERE b <> ' WHERE (';
         CREATE UNIQUE INDEX j ON s.t ((b || ')')) WITH (fillfactor = 70) TABLESPACE other;
         CREATE MATERIALIZED VIEW s.m WITH (fillfactor = 60) TABLESPACE other AS SELECT * FROM s.t; CREATE INDEX ON s.m (a) TABLESPACE other;
         CREATE TABLE s.p (a int, PRIMARY KEY (a) USING INDEX TABLESPACE other) PARTITION BY RANGE (a) TABLESPACE \"S pace\";
         CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES FROM (0) TO (10);
         CREATE TABLE s.p2 PARTITION OF s.p FOR VALUES FROM (10) TO (20) TABLESPACE pg_default;
         CREATE INDEX ON s.p (a) TABLESPACE \"S pace\"",
    );
    let run = offline(&source.conninfo(), &target.conninfo()).run().expect_code(1);
    run.expect_said(&["tablespace-missing", "CREATE TABLESPACE \"S pace\" LOCATION", "--no-tablespaces"]);
    offline(&source.conninfo(), &target.conninfo()).arg("--no-tablespaces").ok();
    let used =
        "SELECT count(*) FROM pg_class WHERE reltablespace <> 0 AND relnamespace::regnamespace::text = 's'";
    assert_eq!(target.psql(used), "0");
    make(&target, "S pace");
    make(&target, "other");
    offline(&source.conninfo(), &target.conninfo()).arg("--drop-target-first").ok();
    let spaces = "SELECT relname, spcname FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = reltablespace \
                  WHERE relnamespace::regnamespace::text = 's' ORDER BY 1";
    assert_eq!(source.psql(spaces), target.psql(spaces));
    assert_same_schema(&source, &target);
}
