//! What an unkind world does to a migration: statements that pile up on both sides, warnings in the middle of a
//! copy, a tool killed at any moment, links cut at any byte, rows that the target refuses, locks that others hold.

use std::time::Duration;

use crate::harness::{Database, Proxy, assert_same, assert_same_rows, cluster, rows};
use crate::moves::{Move, assert_untouched_source, eventually, filled, offline, pair_with};

/// The offline migration over so many connections.
fn with_jobs(source: &str, target: &str, jobs: u32) -> crate::harness::Migrator {
    let jobs = jobs.to_string();
    crate::harness::migrator(["--mode", "offline", "--jobs", &jobs, "--source", source, "--target", target])
}

/// As [`Move::offline`], over the servers' unix sockets: their buffers are small.
fn over_sockets(pair: &Move) -> crate::harness::Migrator {
    let info = |d: &Database| {
        let (dir, port) = (d.cluster.socket_dir().display().to_string(), d.cluster.port);
        format!("host={dir} port={port} user=postgres dbname={}", d.name)
    };
    with_jobs(&info(&pair.source), &info(&pair.target), 1).limit(Duration::from_secs(60))
}

#[test]
fn statements_that_fill_the_buffers_of_both_directions() {
    // Each chunk of DDL is much larger than a unix socket's buffer, and so are the answers to it; each bundle's COPY
    // statements are, and so are the rows that the first of them sends.
    let pair = pair_with(
        15,
        15,
        "SELECT format('CREATE TABLE wide%s (%s)', g, (SELECT string_agg(format('column_number_%s_of_this_wide_table int', c), ', ') FROM generate_series(1, 100) c)) FROM generate_series(1, 200) g \\gexec
         SELECT format('COMMENT ON COLUMN wide%s.column_number_%s_of_this_wide_table IS ''the %s. column''', g, c, c) FROM generate_series(1, 200) g, generate_series(1, 3) c \\gexec
         SELECT format('INSERT INTO wide%s (column_number_1_of_this_wide_table) SELECT c FROM generate_series(1, 600) c', g) FROM generate_series(1, 200) g \\gexec",
    );
    over_sockets(&pair).ok();
    assert_same(&pair.source, &pair.target);
    // The first statement fails, and hundreds of others that were sent with it fail with it.
    pair.target.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE SCHEMA guard; CREATE FUNCTION guard.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no tables here'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION guard.refuse()");
    let run = over_sockets(&pair).run().expect_code(4);
    assert!(run.stderr.contains("public.wide") || run.stderr.contains("no tables here"), "{}", run.stderr);
    assert_untouched_source(&pair.source);
}

#[test]
fn a_target_that_warns_all_through_a_copy() {
    let pair = pair_with(
        15,
        15,
        "CREATE FUNCTION told(i int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'row % %', i, repeat('-', 200); RETURN true; END $$;
         SET client_min_messages = error;
         CREATE TABLE small (id int CHECK (told(id))); INSERT INTO small SELECT generate_series(1, 2000);
         CREATE TABLE large (id int CHECK (told(id)), t text); INSERT INTO large SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g",
    );
    over_sockets(&pair).ok();
    assert_same(&pair.source, &pair.target);
}

/// A database with something of most kinds, and rows enough to be in the middle of.
const VARIED: &[&str] = &["kitchen_sink.sql", "loops.sql"];
const ROWS: &str = "CREATE SCHEMA bulk; CREATE TABLE bulk.big (id int PRIMARY KEY, t text);
    INSERT INTO bulk.big SELECT g, repeat(md5(g::text), 4) FROM generate_series(1, 60000) g; CREATE INDEX ON bulk.big (t);
    CREATE TABLE bulk.child (id int REFERENCES bulk.big, t text); INSERT INTO bulk.child SELECT g, 'o' FROM generate_series(1, 1000) g";

#[test]
fn killed_at_any_moment_the_same_command_succeeds() {
    let source = filled(cluster(15).database("source"), VARIED);
    source.psql(ROWS);
    let target = cluster(15).database("target");
    target.psql_file(&crate::harness::fixture("roles.sql"));
    let command = || offline(&source.conninfo(), &target.conninfo()).arg("--split-bytes=1MB");
    let whole = command().ok().elapsed;
    assert_same(&source, &target);
    command().arg("--drop-target-first").ok();
    assert_same(&source, &target);
    // An empty target again, then a kill at each twelfth of the way, each run starting where the last one was killed.
    target.cluster.maintenance().psql(&format!(
        "DROP DATABASE {0} WITH (FORCE); CREATE DATABASE {0} TEMPLATE template0",
        target.name
    ));
    for twelfth in 1..12u32 {
        let mut running = command().spawn();
        std::thread::sleep(whole * twelfth / 12);
        if running.has_ended() {
            assert_eq!(running.wait().expect_code(0).code, 0);
            target.cluster.maintenance().psql(&format!(
                "DROP DATABASE {0} WITH (FORCE); CREATE DATABASE {0} TEMPLATE template0",
                target.name
            ));
            continue;
        }
        running.signal("KILL");
        drop(running);
    }
    command().ok();
    assert_same(&source, &target);
    assert_untouched_source(&source);
}

#[test]
fn interrupted_at_any_moment_the_same_command_succeeds() {
    let source = filled(cluster(18).database("source"), VARIED);
    source.psql(ROWS);
    let target = cluster(18).database("target");
    target.psql_file(&crate::harness::fixture("roles.sql"));
    let command = || offline(&source.conninfo(), &target.conninfo()).arg("--drop-target-first");
    let whole = command().ok().elapsed;
    for eighth in 1..8u32 {
        let mut running = command().spawn();
        std::thread::sleep(whole * eighth / 8);
        if running.has_ended() {
            running.wait().expect_code(0);
            continue;
        }
        running.signal("INT");
        let run = running.wait();
        assert!([0, 5].contains(&run.code), "{run:?}");
        assert_untouched_source(&source);
    }
    let run = offline(&source.conninfo(), &target.conninfo()).run();
    if run.code != 0 {
        // The last one may have come to its end.
        run.expect_code(1).expect_said(&["--drop-target-first"]);
        command().ok();
    }
    assert_same(&source, &target);
}

#[test]
fn links_cut_at_any_byte() {
    let source = cluster(15).database("source");
    source.psql(ROWS);
    let target = cluster(15).database("target");
    for (n, bytes) in [200u64, 3_000, 20_000, 90_000, 700_000, 5_000_000].into_iter().enumerate() {
        let proxy = Proxy::start(source.cluster.port, Duration::ZERO);
        proxy.cut_after(bytes);
        let through = source.conninfo_as("postgres", proxy.port);
        let run = offline(&through, &target.conninfo()).limit(Duration::from_secs(60)).run();
        let run = run.expect_code(3).expect_said(&["source"]);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
        drop(proxy);
        let proxy = Proxy::start(target.cluster.port, Duration::ZERO);
        // The target says little: its answers alone count.
        proxy.cut_after([100, 1_000, 8_000, 14_000, 18_000, 20_000][n]);
        let through = target.conninfo_as("postgres", proxy.port);
        let run = offline(&source.conninfo(), &through).limit(Duration::from_secs(60)).run();
        if run.code != 0 {
            run.expect_code(4).expect_said(&["target"]);
        } else {
            target.psql("DROP SCHEMA bulk CASCADE");
        }
        assert_untouched_source(&source);
    }
    offline(&source.conninfo(), &target.conninfo()).ok();
    assert_same(&source, &target);
}

#[test]
fn what_others_made_in_between_is_not_cleared() {
    let pair = pair_with(15, 15, ROWS);
    let command = || pair.offline();
    // Killed as soon as there is something of it on the target.
    let mut running = command().spawn();
    eventually(
        || pair.target.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'bulk'"),
        |n| n == "1",
        "nothing is made",
    );
    assert!(!running.has_ended());
    running.signal("KILL");
    drop(running);
    let run = command().arg("--exclude-table=bulk.big").run();
    run.expect_code(1).expect_said(&["other filters", "bulk.big", "same filters"]);
    pair.target.psql("CREATE TABLE bulk.mine (a int); INSERT INTO bulk.mine VALUES (7)");
    command().run().expect_code(1).expect_said(&["bulk.mine", "not made by it", "--drop-target-first"]);
    assert_eq!(pair.target.psql("SELECT a FROM bulk.mine"), "7");
    pair.target.psql(
        "ALTER TABLE bulk.mine SET SCHEMA public; CREATE SCHEMA keep; ALTER TABLE mine SET SCHEMA keep",
    );
    command().ok();
    assert_eq!(pair.target.psql("SELECT a FROM keep.mine"), "7");
    pair.target.psql("DROP SCHEMA keep CASCADE");
    assert_same(&pair.source, &pair.target);
}

#[test]
fn the_same_command_twice_at_once() {
    let pair = pair_with(15, 15, ROWS);
    let proxy = Proxy::start(pair.source.cluster.port, Duration::ZERO);
    proxy.hold_after(4_000_000);
    let through = pair.source.conninfo_as("postgres", proxy.port);
    let first = offline(&through, &pair.target.conninfo()).spawn();
    proxy.wait_until_held();
    for more in [&[][..], &["--drop-target-first"]] {
        pair.offline().args(more).run().expect_code(1).expect_said(&["another run", "under way"]);
    }
    proxy.swallow(false);
    first.wait().expect_code(0);
    assert_same(&pair.source, &pair.target);
}

#[test]
fn an_interrupt_while_a_lock_is_waited_for() {
    let pair = pair_with(15, 15, "CREATE TABLE t AS SELECT 1 AS a");
    let hold = |database: &Database| {
        let mut command = database.psql_command();
        let sql = "SET application_name = 'holder'; BEGIN; LOCK TABLE t; SELECT pg_sleep(60)";
        command.args(["-c", sql]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let child = command.spawn().unwrap();
        let held = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE mode = 'AccessExclusiveLock' AND granted AND application_name = 'holder' AND l.relation = 't'::regclass";
        eventually(|| database.psql(held), |n| n == "1", "not locked");
        child
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_migrator' AND wait_event_type = 'Lock'";
    // On the source, where the tables are locked to be read.
    let mut holder = hold(&pair.source);
    let running = pair.offline().limit(Duration::from_secs(30)).spawn();
    eventually(|| pair.source.psql(waiting), |n| n == "1", "nobody waits for the lock");
    running.signal("INT");
    running.wait().expect_code(5).expect_said(&["interrupted"]);
    eventually(|| pair.source.psql(waiting), |n| n == "0", "left waiting on the source");
    holder.kill().unwrap();
    holder.wait().unwrap();
    pair.source.terminate_sessions();
    pair.offline().ok();
    // On the target, where what is there is dropped first.
    let mut holder = hold(&pair.target);
    let running = pair.offline().arg("--drop-target-first").limit(Duration::from_secs(30)).spawn();
    eventually(|| pair.target.psql(waiting), |n| n == "1", "nobody waits for the lock");
    running.signal("INT");
    running.wait().expect_code(5).expect_said(&["interrupted"]);
    eventually(|| pair.target.psql(waiting), |n| n == "0", "left waiting on the target");
    assert_untouched_source(&pair.source);
    holder.kill().unwrap();
    holder.wait().unwrap();
    pair.target.terminate_sessions();
    pair.offline().arg("--drop-target-first").ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn rows_that_the_target_refuses() {
    // What the checks and the index mean differs between the two servers.
    let pair = pair_with(
        15,
        15,
        "CREATE FUNCTION strict() RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT current_database() LIKE ''target%''';
         CREATE FUNCTION key_of(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN public.strict() THEN i / 2 ELSE i END; END';
         CREATE DOMAIN careful AS int CHECK (VALUE < 3 OR NOT public.strict());
         CREATE TABLE by_domain (id int, c careful); INSERT INTO by_domain VALUES (1, 1), (2, 2), (3, 3);
         CREATE TABLE by_check (id int CHECK (id < 3 OR NOT public.strict())); INSERT INTO by_check VALUES (1), (2), (3);
         CREATE TABLE by_index (id int PRIMARY KEY); INSERT INTO by_index VALUES (1), (2), (3); CREATE UNIQUE INDEX collides ON by_index (key_of(id));
         CREATE TABLE fine (id int PRIMARY KEY); INSERT INTO fine VALUES (1), (2)",
    );
    let run = pair.offline().run().expect_code(4).expect_said(&["target", "SQLSTATE 23"]);
    assert!(["by_domain", "by_check", "collides"].iter().any(|n| run.stderr.contains(n)), "{}", run.stderr);
    let run = pair.offline().arg("--allow-restore-errors").run().expect_code(1);
    run.expect_said(&[
        "public.by_domain",
        "by_domain, line 3",
        "public.by_check",
        "by_check, line 3",
        "collides",
        "(1)",
    ]);
    let counts = "SELECT (SELECT count(*) FROM by_domain), (SELECT count(*) FROM by_check), (SELECT count(*) FROM by_index), (SELECT count(*) FROM fine), \
                  (SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid::regclass::text IN ('by_index', 'fine')), to_regclass('_pg_migrator.migration') IS NULL";
    assert_eq!(pair.target.psql(counts), "0|0|3|2|by_index_pkey fine_pkey|t");
    assert_untouched_source(&pair.source);
}

#[test]
fn large_objects_of_all_sizes() {
    let pair = pair_with(
        15,
        18,
        "SELECT lo_create(1001); SELECT lo_from_bytea(1002, decode(repeat('00ff5c', 1000000), 'hex')); SELECT lo_create(1003);
         SELECT lo_put(1003, 9000000, '\\x01'); SELECT lo_from_bytea(1004, decode(repeat('ab', 65536), 'hex'));
         SELECT lo_from_bytea(1005, decode(repeat('cd', 65537), 'hex'));
         SELECT lo_from_bytea((2000 + g)::oid, decode(repeat('0a', g), 'hex')) FROM generate_series(0, 1299) g;
         ALTER LARGE OBJECT 1002 OWNER TO app_owner; GRANT SELECT ON LARGE OBJECT 1002 TO app_reader; COMMENT ON LARGE OBJECT 1003 IS 'it''s sparse'",
    );
    pair.offline().ok();
    let of = |d: &Database| {
        let owners = "SELECT oid, lomowner::regrole, lomacl, obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata ORDER BY 1";
        rows(d) + &d.psql(owners)
    };
    assert!(
        of(&pair.source) == of(&pair.target),
        "{}",
        crate::harness::diff(&of(&pair.source), &of(&pair.target))
    );
}

#[test]
fn row_security_is_never_mistaken_for_the_whole_table() {
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2); CREATE POLICY half ON t USING (id = 1); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         DO $$ BEGIN CREATE ROLE row_reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; GRANT SELECT ON t TO row_reader",
    );
    let source = pair.source.conninfo_as("row_reader", pair.source.cluster.port);
    let run = offline(&source, &pair.target.conninfo()).run().expect_said(&["public.t", "row"]);
    assert!([1, 3].contains(&run.code), "{run:?}");
    assert_eq!(pair.target.psql("SELECT to_regclass('public.t') IS NULL"), "t");
    assert_untouched_source(&pair.source);
}

#[test]
fn foreign_keys_every_way_with_many_jobs() {
    let pair = pair_with(
        15,
        18,
        "CREATE TABLE p (id int PRIMARY KEY, up int REFERENCES p) PARTITION BY RANGE (id);
         SELECT format('CREATE TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s) PARTITION BY HASH (id)', g, g * 100, g * 100 + 100) FROM generate_series(0, 4) g \\gexec
         SELECT format('CREATE TABLE p%s_%s PARTITION OF p%s FOR VALUES WITH (MODULUS 2, REMAINDER %s)', g, h, g, h) FROM generate_series(0, 4) g, generate_series(0, 1) h \\gexec
         INSERT INTO p SELECT g, nullif(g / 2, 0) FROM generate_series(1, 499) g;
         CREATE TABLE q (id int PRIMARY KEY REFERENCES p, self int REFERENCES q) PARTITION BY RANGE (id);
         SELECT format('CREATE TABLE q%s PARTITION OF q FOR VALUES FROM (%s) TO (%s)', g, g * 100, g * 100 + 100) FROM generate_series(0, 4) g \\gexec
         INSERT INTO q SELECT g, g FROM generate_series(1, 499) g;
         CREATE TABLE plain (id int PRIMARY KEY, self int REFERENCES plain, p int REFERENCES p, q int REFERENCES q);
         INSERT INTO plain SELECT g, 1, g, g FROM generate_series(1, 499) g; ALTER TABLE p ADD FOREIGN KEY (up) REFERENCES plain;
         SELECT format('CREATE TABLE f%s (id int PRIMARY KEY, a int REFERENCES p, b int REFERENCES q, c int REFERENCES plain, d int REFERENCES f%s)', g, greatest(g - 1, 1)) FROM generate_series(1, 30) g \\gexec
         CREATE INDEX ON p (up); CREATE INDEX ON q (self)",
    );
    for jobs in [8, 16] {
        with_jobs(&pair.source.conninfo(), &pair.target.conninfo(), jobs).arg("--drop-target-first").ok();
        assert_same(&pair.source, &pair.target);
    }
}

#[test]
fn split_tables_with_large_keys_and_holes() {
    for major in [13, 15] {
        let pair = pair_with(
            major,
            15,
            "CREATE TABLE keyed (id bigint PRIMARY KEY, t text); ALTER TABLE keyed ALTER t SET STORAGE PLAIN;
             INSERT INTO keyed SELECT g, repeat('x', 1500) FROM generate_series(-10000, 10000) g; DELETE FROM keyed WHERE id BETWEEN -5000 AND 2000;
             INSERT INTO keyed SELECT g, 'edge' FROM unnest(ARRAY[-9223372036854775808, 9223372036854775807, 9223372036854775806]) g;
             CREATE TABLE narrow (id int PRIMARY KEY, t text); ALTER TABLE narrow ALTER t SET STORAGE EXTERNAL;
             INSERT INTO narrow SELECT g, repeat('y', 2000000) FROM unnest(ARRAY[-2147483648, 2147483647, 0, 1, -1, 2, 3, 4, 5, 6, 7, 8]) g;
             CREATE UNLOGGED TABLE quick (id int, t text); INSERT INTO quick SELECT g, repeat('z', 1000) FROM generate_series(1, 20000) g; ANALYZE",
        );
        for jobs in [4, 16] {
            let run = with_jobs(&pair.source.conninfo(), &pair.target.conninfo(), jobs)
                .args(["--split-bytes=64kB", "-v", "--log-format=json", "--drop-target-first"])
                .ok();
            let split = |line: &&str| line.contains("table_started") && line.contains("keyed");
            let line = run.stderr.lines().find(split).unwrap_or_default().to_owned();
            assert!(!line.contains("\"parts\":1,") && !line.contains("\"parts\":1}"), "not split: {line}");
            assert_same(&pair.source, &pair.target);
        }
    }
}

#[test]
fn an_empty_database() {
    let pair = pair_with(15, 18, "");
    pair.offline().ok();
    pair.offline().ok();
    assert_same_rows(&pair.source, &pair.target);
}

#[test]
fn materialized_views_on_each_other() {
    let pair = pair_with(
        13,
        18,
        "CREATE TABLE t (id int, grp int); INSERT INTO t SELECT g, g % 10 FROM generate_series(1, 1000) g;
         CREATE MATERIALIZED VIEW zz AS SELECT grp, count(*) AS n FROM t GROUP BY grp; CREATE UNIQUE INDEX ON zz (grp); CREATE INDEX ON zz (n);
         CREATE MATERIALIZED VIEW aa AS SELECT sum(n) AS total FROM zz; CREATE UNIQUE INDEX ON aa (total);
         CREATE MATERIALIZED VIEW never AS SELECT * FROM aa WITH NO DATA; CREATE INDEX ON never (total);
         CREATE VIEW between_them AS SELECT * FROM aa, zz; CREATE MATERIALIZED VIEW last AS SELECT * FROM between_them",
    );
    with_jobs(&pair.source.conninfo(), &pair.target.conninfo(), 8).ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn a_source_that_is_being_written_and_altered() {
    let pair = pair_with(15, 15, ROWS);
    let proxy = Proxy::start(pair.source.cluster.port, Duration::ZERO);
    proxy.hold_after(2_000_000);
    let before = rows(&pair.source);
    let running = offline(&pair.source.conninfo_as("postgres", proxy.port), &pair.target.conninfo()).spawn();
    proxy.wait_until_held();
    pair.source.psql("UPDATE bulk.big SET t = 'changed'; DELETE FROM bulk.child; INSERT INTO bulk.big SELECT g, 'new' FROM generate_series(100001, 110000) g; CREATE TABLE bulk.more (a int)");
    for blocked in [
        "DROP TABLE bulk.child",
        "ALTER TABLE bulk.big ADD more int",
        "TRUNCATE bulk.big, bulk.child",
        "VACUUM FULL bulk.big",
        "DROP SCHEMA bulk CASCADE",
    ] {
        let error = pair.source.try_psql(&format!("SET lock_timeout = '300ms'; {blocked}")).unwrap_err();
        assert!(error.contains("lock timeout"), "{blocked}: {error}");
    }
    proxy.swallow(false);
    running.wait().expect_code(0);
    assert_eq!(before, rows(&pair.target), "the target is not the snapshot");
}

/// A database in another encoding than UTF8.
fn encoded(major: u32, encoding: &str) -> Database<'static> {
    let database = cluster(major).database(&encoding.to_lowercase());
    database.cluster.maintenance().psql(&format!(
        "DROP DATABASE {0}; CREATE DATABASE {0} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'",
        database.name
    ));
    database
}

const ACCENTS: &str = "SET client_encoding = 'UTF8'; CREATE TABLE \"café\" (\"prénom\" text DEFAULT 'é', n int); INSERT INTO \"café\" VALUES ('Zoë', 1), (E'\\\\.\\té', 2);
    CREATE TABLE as_text (r regclass, t text); INSERT INTO as_text VALUES ('\"café\"', 'ñ'); COMMENT ON TABLE \"café\" IS 'à la carte'";

#[test]
fn other_encodings_become_utf8() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let (source, target) = (encoded(15, encoding), cluster(15).database("target"));
        source.psql(ACCENTS);
        offline(&source.conninfo(), &target.conninfo()).ok();
        let all = "SET client_encoding = 'UTF8'; SELECT * FROM \"café\"; SELECT * FROM as_text; SELECT obj_description('\"café\"'::regclass)";
        assert_eq!(source.psql(all), target.psql(all), "{encoding}");
    }
}

#[test]
fn bytes_that_are_no_text_in_the_targets_encoding() {
    let (source, target) = (encoded(15, "SQL_ASCII"), cluster(15).database("target"));
    source.psql("CREATE TABLE fine (t text); INSERT INTO fine VALUES ('ok'); CREATE TABLE garbled (id int, t text); INSERT INTO garbled VALUES (1, 'ok'), (2, E'caf\\xe9')");
    offline(&source.conninfo(), &target.conninfo())
        .run()
        .expect_code(4)
        .expect_said(&["public.garbled", "22021"]);
    offline(&source.conninfo(), &target.conninfo())
        .arg("--allow-restore-errors")
        .run()
        .expect_code(1)
        .expect_said(&["public.garbled"]);
    assert_eq!(target.psql("SELECT t FROM fine"), "ok");
    source.psql("DROP TABLE garbled; CREATE TABLE named (a int); COMMENT ON TABLE named IS E'caf\\xe9'");
    let run = offline(&source.conninfo(), &target.conninfo()).arg("--drop-target-first").run();
    assert!([1, 3, 4].contains(&run.code) && !run.stderr.contains("panicked"), "{run:?}");
    assert_untouched_source(&source);
}

#[test]
fn roles_with_little_rights_on_either_side() {
    let pair = pair_with(
        15,
        15,
        "DO $$ BEGIN CREATE ROLE hermit_reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE hermit_writer LOGIN IN ROLE app_owner, app_writer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         CREATE SCHEMA s; ALTER SCHEMA s OWNER TO app_owner; CREATE TABLE s.t (id serial PRIMARY KEY, t text); INSERT INTO s.t (t) VALUES ('a'), ('b');
         CREATE TABLE s.u (id int REFERENCES s.t); INSERT INTO s.u VALUES (1); ALTER TABLE s.t OWNER TO app_owner; ALTER TABLE s.u OWNER TO app_owner;
         GRANT CREATE, USAGE ON SCHEMA s TO app_writer; GRANT REFERENCES ON s.t TO app_writer; GRANT SELECT ON s.t TO app_reader;
         CREATE VIEW s.v AS SELECT * FROM s.t; ALTER VIEW s.v OWNER TO app_owner; CREATE MATERIALIZED VIEW s.m AS SELECT * FROM s.t; ALTER MATERIALIZED VIEW s.m OWNER TO app_owner;
         GRANT USAGE ON SCHEMA s TO hermit_reader; GRANT SELECT ON ALL TABLES IN SCHEMA s TO hermit_reader; GRANT SELECT ON ALL SEQUENCES IN SCHEMA s TO hermit_reader;
         REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC",
    );
    pair.target.psql(&format!("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC; GRANT CREATE ON DATABASE {} TO hermit_writer, app_owner", pair.target.name));
    let port = pair.source.cluster.port;
    let (source, target) =
        (pair.source.conninfo_as("hermit_reader", port), pair.target.conninfo_as("hermit_writer", port));
    let run = offline(&source, &target).arg("--allow-unsupported").ok();
    run.expect_said(&["pg_catalog.pg_control_system()", "only a superuser may"]);
    assert_same(&pair.source, &pair.target);
    // And once more over what is there.
    offline(&source, &target).args(["--allow-unsupported", "--drop-target-first"]).ok();
    assert_same(&pair.source, &pair.target);
}

#[test]
fn the_source_may_go_once_all_rows_are_read() {
    let pair = pair_with(15, 15, ROWS);
    pair.target.psql(
        "CREATE SCHEMA guard; CREATE FUNCTION guard.slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); END $$;
         CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION guard.slow()",
    );
    let running = pair.offline().spawn();
    let asleep =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    // Of both tables at once, where they are in at the same time.
    eventually(|| pair.target.psql(asleep), |n| n != "0", "no index is built");
    // Both tables are in by now: one is the index's own, the other is small.
    eventually(|| pair.target.psql("SELECT count(*) FROM bulk.child"), |n| n == "1000", "the other table");
    pair.source.terminate_sessions();
    running.wait().expect_code(0);
    pair.target.psql("DROP EVENT TRIGGER slow; DROP SCHEMA guard CASCADE");
    assert_same(&pair.source, &pair.target);
}
