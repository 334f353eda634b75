//! From old versions to new ones: what the target lacks or calls otherwise is put in its words, or named before anything is changed.

use crate::harness::{
    Cluster, Database, Migrator, Options, Run, assert_same, assert_same_rows, assert_same_schema, cluster,
    fixture, migrator,
};
use crate::moves::{Move, assert_untouched_source, offline, pair_with};

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

/// A role that may make databases' objects and is no superuser: its connection string.
fn ordinary(target: &Database, name: &str) -> String {
    target.psql(&format!(
        "DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN; GRANT app_owner, app_reader TO {name};
         GRANT ALL ON DATABASE {} TO {name}; GRANT ALL ON SCHEMA public TO {name}",
        target.name
    ));
    target.conninfo_as(name, target.cluster.port)
}

#[test]
fn locales_that_the_targets_machine_lacks_are_named_with_who_uses_them() {
    // Both servers of the test are on one machine: the source's catalog is told of a locale that it lacks.
    let pair = pair_with(
        16,
        18,
        "CREATE COLLATION german (provider = libc, locale = 'C.utf8'); CREATE COLLATION here (provider = libc, locale = 'C.utf8');
         CREATE COLLATION icu (provider = icu, locale = 'de-DE'); CREATE TABLE plain (a text COLLATE here, b text COLLATE icu);
         CREATE TABLE sorted (a text COLLATE german); CREATE INDEX by_german ON plain (a COLLATE german);
         CREATE DOMAIN spoken AS text COLLATE german; CREATE VIEW ordered AS SELECT a FROM plain WHERE a < 'x' COLLATE german;
         INSERT INTO plain VALUES ('1', '2');
         UPDATE pg_collation SET collcollate = 'de_DE.utf8', collctype = 'de_DE.utf8' WHERE collname = 'german'",
    );
    let run = pair.offline().run().expect_code(1).expect_said(&[
        "[locale-missing]",
        "COLLATION public.german needs locale 'de_DE.utf8'",
        "DOMAIN public.spoken, INDEX public.by_german, TABLE public.sorted, VIEW public.ordered",
        "locale-gen",
    ]);
    assert!(!run.stderr.contains("public.here") && !run.stderr.contains("public.icu"), "{}", run.stderr);
    assert_eq!(
        pair.target.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    assert_untouched_source(&pair.source);
    // Left out on request: the rest arrives.
    pair.offline().arg("--allow-restore-errors").run().expect_code(1).expect_said(&["public.sorted"]);
    assert_eq!(pair.target.psql("SELECT * FROM plain"), "1|2");
    // Looking left nothing behind and set nothing.
    pair.source.psql(
        "UPDATE pg_collation SET collcollate = 'C.utf8', collctype = 'C.utf8' WHERE collname = 'german'",
    );
    pair.offline().arg("--drop-target-first").ok();
    assert_same_rows(&pair.source, &pair.target);
}

#[test]
fn builtin_collations_and_rules_for_older_servers_are_named() {
    let pair = pair_with(
        18,
        15,
        "CREATE COLLATION fast (provider = builtin, locale = 'PG_UNICODE_FAST'); CREATE COLLATION c (provider = builtin, locale = 'C');
         CREATE COLLATION ruled (provider = icu, locale = 'und', rules = '&V << w <<< W'); CREATE TABLE t (a text COLLATE c)",
    );
    pair.offline().run().expect_code(1).expect_said(&[
        "COLLATION public.fast has locale 'PG_UNICODE_FAST' of provider builtin",
        "from PostgreSQL 18 on; nothing uses it",
        "COLLATION public.c has locale 'C' of provider builtin",
        "from PostgreSQL 17 on; used by TABLE public.t",
        "COLLATION public.ruled has rules of its own",
    ]);
}

#[test]
fn privileges_on_the_servers_own_objects_are_told_before() {
    let pair = pair_with(
        14,
        18,
        "CREATE TABLE t (a int); GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app_reader;
         GRANT EXECUTE ON FUNCTION pg_start_backup(text, boolean, boolean) TO app_reader; GRANT SELECT ON pg_authid TO app_reader",
    );
    let gone = "FUNCTION pg_catalog.pg_start_backup(";
    // A superuser gives what is there; what the version lacks is named, and stops nothing.
    let run = check(&pair, &pair.target.conninfo()).expect_code(0).expect_said(&["server-object-gone", gone]);
    assert!(!run.stdout.contains("server-privileges-left"), "{}", run.stdout);
    pair.offline().ok().expect_said(&["pg_start_backup"]);
    assert_eq!(
        pair.target.psql("SELECT has_function_privilege('app_reader', 'pg_read_file(text)', 'EXECUTE'), has_table_privilege('app_reader', 'pg_authid', 'SELECT')"),
        "t|t"
    );
    pair.target.psql("DROP TABLE t; REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM app_reader; REVOKE SELECT ON pg_authid FROM app_reader");
    // Anybody else is told so before.
    let target = ordinary(&pair.target, "bridges_grants");
    let run = check(&pair, &target).expect_code(0);
    run.expect_said(&["server-privileges-left", "pg_catalog.pg_authid", "pg_catalog.pg_read_file("]);
    let no_privileges = offline_check(&pair, &target).arg("--no-privileges").ok();
    assert!(!no_privileges.stdout.contains("server-"), "{}", no_privileges.stdout);
    offline(&pair.source.conninfo(), &target).arg("--no-owner").ok().expect_said(&["pg_catalog.pg_authid"]);
    assert_eq!(pair.target.psql("SELECT has_table_privilege('app_reader', 'pg_authid', 'SELECT')"), "f");
}

fn offline_check(pair: &Move, target: &str) -> Migrator {
    migrator(["check", "--source", &pair.source.conninfo(), "--target", target, "--no-owner"])
}

fn check(pair: &Move, target: &str) -> Run {
    offline_check(pair, target).run()
}

#[test]
fn dictionaries_whose_files_the_target_lacks_are_named() {
    let words = "x\ny\n";
    let with = Cluster::start(15, &Options::new().extension("search_files", ""));
    std::fs::write(with.socket_dir().join("install/share/postgresql/tsearch_data/our_own.stop"), words)
        .expect("a stop word file");
    let source = with.database("source");
    let target = cluster(18).database("target");
    target.psql_file(&fixture("roles.sql"));
    source.psql_file(&fixture("roles.sql"));
    source.psql(
        "CREATE TEXT SEARCH DICTIONARY own (TEMPLATE = snowball, language = 'english', stopwords = 'our_own');
         CREATE TEXT SEARCH DICTIONARY usual (TEMPLATE = snowball, language = 'german', stopwords = 'german');
         CREATE TEXT SEARCH CONFIGURATION searched (PARSER = default); ALTER TEXT SEARCH CONFIGURATION searched ADD MAPPING FOR word WITH own;
         CREATE TABLE t (a int)",
    );
    let said = ["TEXT SEARCH DICTIONARY public.own reads our_own.stop", "tsearch_data"];
    let run = offline(&source.conninfo(), &target.conninfo()).run().expect_code(1).expect_said(&said);
    assert!(run.stderr.contains("does not have") && !run.stderr.contains("german.stop"), "{}", run.stderr);
    // Who may not look is told what to look for.
    let ordinary = ordinary(&target, "bridges_search");
    let args = ["check", "--no-owner", "--source", &source.conninfo(), "--target", &ordinary];
    let run = migrator(args).ok().expect_said(&said);
    assert!(run.stdout.contains("may not look"), "{}", run.stdout);
    offline(&source.conninfo(), &target.conninfo()).arg("--allow-restore-errors").run().expect_code(1);
    assert_eq!(target.psql("SELECT to_regclass('t') IS NOT NULL"), "t");
}

#[test]
fn roles_and_privileges_of_newer_servers_are_left_out_of_grants_and_told() {
    let (source, target) = (Cluster::start(18, &Options::new()), Cluster::start(16, &Options::new()));
    let (from, to) = (source.database("source"), target.database("target"));
    from.psql(
        "CREATE ROLE keeper; CREATE ROLE reader; GRANT pg_maintain, pg_monitor TO keeper; CREATE TABLE t (a int); CREATE TABLE u (a int);
         GRANT SELECT ON t TO pg_maintain, reader; GRANT SELECT, MAINTAIN ON u TO keeper; GRANT ALL ON t TO keeper;
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_signal_autovacuum_worker",
    );
    let said = [
        "role pg_maintain: not known to the target's version, left out of the grants on TABLE public.t",
        "role pg_signal_autovacuum_worker: not known",
        "privilege MAINTAIN: not known to the target's version, left out of the grants on TABLE public.u",
        "[membership-left-out]",
        "role pg_maintain is the server's own and the target's version does not have it: its members are made without it: keeper",
    ];
    let args = ["check", "--roles", "--source", &from.conninfo(), "--target", &to.conninfo()];
    migrator(args).ok().expect_said(&said);
    offline(&from.conninfo(), &to.conninfo()).arg("--roles").ok().expect_said(&said[..3]);
    let rights = "SELECT has_table_privilege('keeper', 'u', 'SELECT'), has_table_privilege('keeper', 't', 'TRUNCATE'), \
         has_table_privilege('reader', 't', 'SELECT'), pg_has_role('keeper', 'pg_monitor', 'MEMBER')";
    assert_eq!(to.psql(rights), "t|t|t|t");
    // What would be open to others than on the source is refused.
    from.psql("CREATE POLICY p ON t TO pg_maintain USING (true)");
    let args = ["--roles", "--drop-target-first"];
    let run = offline(&from.conninfo(), &to.conninfo()).args(args).run().expect_code(1);
    run.expect_said(&["[role-missing]", "role pg_maintain is named in policies"]);
}

#[test]
fn settings_of_databases_and_roles_that_are_gone_or_renamed() {
    let (source, target) = (Cluster::start(13, &Options::new()), Cluster::start(18, &Options::new()));
    source.maintenance().psql("CREATE DATABASE app; CREATE ROLE app_user LOGIN; ALTER ROLE app_user SET vacuum_cleanup_index_scale_factor = 0.2;
         ALTER ROLE app_user SET work_mem = '7MB'; ALTER ROLE app_user IN DATABASE app SET force_parallel_mode = on;
         ALTER DATABASE app SET operator_precedence_warning = on; ALTER DATABASE app SET jit = off");
    source.existing("app").psql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO app_user");
    let at = |cluster: &Cluster| format!("host=127.0.0.1 port={} user=postgres dbname=app", cluster.port);
    let (from, to) = (at(&source), at(&target));
    let said = [
        "DATABASE app: does not set operator_precedence_warning on the target",
        "DATABASE app: for role app_user: sets debug_parallel_query, which was force_parallel_mode",
    ];
    migrator(["check", "--create-database", "--roles", "--source", &from, "--target", &to])
        .ok()
        .expect_said(&said);
    let run = offline(&from, &to).args(["--create-database", "--roles"]).ok().expect_said(&said);
    run.expect_said(&["role app_user", "does not set vacuum_cleanup_index_scale_factor on the target"]);
    let set = "SELECT setdatabase <> 0, coalesce(setrole::regrole::text, ''), setconfig FROM pg_db_role_setting ORDER BY 1, 2";
    let wanted = "f|app_user|{work_mem=7MB}\nt|-|{jit=off}\nt|app_user|{debug_parallel_query=on}";
    assert_eq!(target.existing("app").psql(set), wanted);
}

#[test]
fn login_event_triggers_do_not_stand_in_the_way_of_what_makes_them() {
    // It refuses every session but the first: one that is made later than the trigger would fail.
    let pair = pair_with(
        18,
        18,
        "CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 1000) g; CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM t; CREATE INDEX ON t (a);
         CREATE FUNCTION nobody() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END';
         CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.t VALUES (-1); END';
         CREATE EVENT TRIGGER a_note ON login EXECUTE FUNCTION noted(); ALTER EVENT TRIGGER a_note DISABLE;
         CREATE EVENT TRIGGER refusing ON login EXECUTE FUNCTION nobody(); ALTER EVENT TRIGGER refusing ENABLE REPLICA",
    );
    pair.offline().ok();
    assert_same(&pair.source, &pair.target);
    let enabled = "SELECT evtname, evtevent, evtenabled FROM pg_event_trigger ORDER BY 1";
    assert_eq!(pair.target.psql(enabled), "a_note|login|D\nrefusing|login|R");
    // Enabled, it fires for our sessions on the source as for anybody's; on the target it is there when all else is done, so that it
    // notes none of ours.
    pair.source
        .psql("ALTER EVENT TRIGGER a_note ENABLE; ALTER TABLE t ADD at text DEFAULT current_database()");
    pair.offline().arg("--drop-target-first").ok();
    let mut silent = std::process::Command::new(crate::harness::tools("psql"));
    let conninfo = format!("{} options='-c event_triggers=off'", pair.target.conninfo());
    silent.args(["-XAtd", &conninfo, "-c", "SELECT count(*) FROM t WHERE at = current_database()"]);
    let out = silent.output().expect("psql");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "0", "{out:?}");
}

#[test]
fn partitions_by_ranges_of_text_that_is_sorted_otherwise_get_their_own_rows() {
    let pair = pair_with(
        15,
        18,
        "CREATE TABLE p (a text, n int, CONSTRAINT in_order CHECK (a >= '')) PARTITION BY RANGE (a);
         CREATE TABLE p_early PARTITION OF p FOR VALUES FROM ('a') TO ('m'); CREATE TABLE p_late PARTITION OF p FOR VALUES FROM ('m') TO ('z');
         CREATE TABLE p_else PARTITION OF p DEFAULT; INSERT INTO p SELECT c || g, g FROM unnest(ARRAY['b', 'B', 'n', 'N', 'ä']) c, generate_series(1, 9000) g;
         CREATE TABLE in_c (a text COLLATE \"C\", CONSTRAINT fine CHECK (a > '' COLLATE \"C\")) PARTITION BY RANGE (a); CREATE TABLE in_c_all PARTITION OF in_c DEFAULT;
         INSERT INTO in_c VALUES ('b'), ('B')",
    );
    // Every row of the source's p_else belongs to one of the others on a target that sorts as people do.
    let name = crate::harness::unique("sorted");
    pair.target.cluster.maintenance().psql(&format!(
        "CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C.UTF-8'"
    ));
    let target = pair.target.cluster.existing(&name);
    let run = offline(&pair.source.conninfo(), &target.conninfo()).ok();
    let run = run.expect_said(&[
        "rest on its order: TABLE public.p, CONSTRAINT in_order ON public.p;",
        "find their partitions anew",
    ]);
    assert!(!run.stderr.contains("in_c") && !run.stderr.contains("fine"), "{}", run.stderr);
    let rows = "SELECT count(*), sum(n), count(DISTINCT a) FROM p; SELECT count(*) FROM in_c";
    assert_eq!(pair.source.psql(rows), target.psql(rows));
    assert_eq!(pair.source.psql("SELECT count(*) FROM p_else"), "27000");
    assert_eq!(target.psql("SELECT count(*) FROM p_else"), "0");
    migrator(["verify", "--source", &pair.source.conninfo(), "--target", &target.conninfo()]).ok();
    drop(target);
    pair.target.cluster.maintenance().psql(&format!("DROP DATABASE {name}"));
}

#[test]
fn owners_that_may_not_create_in_a_schema_are_named_before_an_ordinary_role_fails_on_them() {
    let pair = pair_with(
        13,
        18,
        "CREATE TABLE t (a int); ALTER TABLE t OWNER TO app_owner; CREATE SCHEMA s AUTHORIZATION app_reader;
         CREATE TABLE s.u (a serial); ALTER TABLE s.u OWNER TO app_owner; GRANT CREATE ON SCHEMA s TO app_owner; CREATE VIEW s.v AS SELECT 1 AS x;
         ALTER VIEW s.v OWNER TO app_reader; ALTER SCHEMA public OWNER TO app_reader",
    );
    let target = ordinary(&pair.target, "bridges_owner");
    pair.target.psql(&format!(
        "GRANT CREATE ON DATABASE {} TO app_reader; ALTER SCHEMA public OWNER TO bridges_owner",
        pair.target.name
    ));
    pair.source.psql("GRANT USAGE ON SCHEMA s, public TO PUBLIC");
    let run = offline(&pair.source.conninfo(), &target).run().expect_code(1);
    run.expect_said(&[
        "[owner-no-create]",
        "role app_owner owns objects in schema public on the source and may not create any there",
        "GRANT CREATE ON SCHEMA public TO app_owner;",
        "role app_owner owns objects in schema s",
        "GRANT app_reader TO app_owner; -- until the migration is done",
    ]);
    // A superuser needs nothing of it.
    migrator(["check", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()]).ok();
    // As the remedies say, it goes.
    pair.target.psql("GRANT CREATE ON SCHEMA public TO app_owner; GRANT app_reader TO app_owner");
    let done = offline(&pair.source.conninfo(), &target).run();
    pair.target.psql("REVOKE app_reader FROM app_owner; REVOKE CREATE ON SCHEMA public FROM app_owner");
    done.expect_code(0);
    assert_same_schema(&pair.source, &pair.target);
}
