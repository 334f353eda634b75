//! Publications in whole online migrations: the one that `--create-publication` makes and takes back, and those of the operator.

use crate::harness::{Database, assert_same_rows, migrator, online_cluster};
use crate::live::{CAUGHT_UP, Live, STREAMS};
use crate::moves::eventually;

const PUBLICATIONS: &str = "SELECT pubname FROM pg_publication ORDER BY 1";

/// Partitions two deep, a table whose rows are only inserted, one that a filter leaves out.
const TABLES: &str = "CREATE TABLE whole (i int, v text, PRIMARY KEY (i)) PARTITION BY RANGE (i);
     CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (100) PARTITION BY LIST (i);
     CREATE TABLE zero PARTITION OF low FOR VALUES IN (0); CREATE TABLE others PARTITION OF low DEFAULT;
     CREATE TABLE high PARTITION OF whole FOR VALUES FROM (100) TO (1000000);
     CREATE TABLE log (t text); CREATE TABLE left_out (i int);
     INSERT INTO whole SELECT g, 'v' || g FROM generate_series(0, 200) g; INSERT INTO log VALUES ('first')";

/// Rows of every partition come, change partitions, change and go.
const CHANGES: &str = "INSERT INTO whole SELECT g, 'new' FROM generate_series(300, 310) g; UPDATE whole SET v = v || '!' WHERE i % 2 = 0;
     UPDATE whole SET i = i + 1000 WHERE i < 5; DELETE FROM whole WHERE i = 150; DELETE FROM whole WHERE i = 50; INSERT INTO log VALUES ('second');
     INSERT INTO left_out VALUES (1)";

#[test]
fn the_publication_is_made_for_what_takes_part_and_goes_at_the_end() {
    for (from, to) in [(12, 13), (13, 18), (18, 18)] {
        let live = Live::new(from, to);
        live.source.psql(TABLES);
        let mut running = live.command().args(["--exclude-table", "left_out"]).spawn();
        running.wait_for(STREAMS);
        let published = live.source.psql("SELECT string_agg(prrelid::regclass::text, ' ' ORDER BY 1) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid \
            WHERE p.puballtables IS FALSE");
        let expected =
            if from < 13 { ["high", "log", "others", "zero"].to_vec() } else { vec!["log", "whole"] };
        let mut published: Vec<&str> = published.split(' ').collect();
        published.sort_unstable();
        assert_eq!(published, expected);
        live.source.psql(CHANGES);
        live.drained();
        live.cut_over(running);
        assert_eq!(live.source.psql(PUBLICATIONS), "");
        live.source.psql("DROP TABLE left_out");
        assert_same_rows(&live.source, &live.target);
    }
}

#[test]
fn the_operators_publication_via_the_root_is_honoured_and_stays() {
    let live = Live::with(15, 18, TABLES);
    let mine = format!(
        "CREATE PUBLICATION {} FOR TABLE whole, log, left_out WITH (publish_via_partition_root)",
        live.name
    );
    live.source.psql(&mine);
    let running = live.start();
    live.source.psql(CHANGES);
    live.source.psql("TRUNCATE whole; INSERT INTO whole VALUES (500, 'after'), (7, 'too')");
    live.drained();
    live.cut_over(running);
    assert_eq!(live.source.psql(PUBLICATIONS), live.name);
    assert_same_rows(&live.source, &live.target);
}

/// The README's own recipe: the publication is the source's business, to the target it would do harm.
#[test]
fn the_operators_publication_does_not_come_along() {
    let live = Live::with(
        15,
        17,
        "CREATE TABLE t (i int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one'); CREATE TABLE log (v text);
         CREATE PUBLICATION theirs FOR TABLE t",
    );
    live.source.psql(&format!(
        "CREATE PUBLICATION {0} FOR ALL TABLES; COMMENT ON PUBLICATION {0} IS 'for the move'",
        live.name
    ));
    let role = format!("{}_role", live.name);
    live.target
        .psql(&format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}", live.target.name));
    let target = live.target.conninfo_as(&role, live.target.cluster.port);
    let flags = ["--no-owner", "--no-privileges"];
    // Offline it is an object as any other, and only a superuser makes it.
    migrator(["--mode", "offline", "--source", &live.source_conninfo(), "--target", &target])
        .args(flags)
        .run()
        .expect_code(1)
        .expect_said(&["[target-needs-superuser]", &live.name]);
    let mut running = live.command_to(&target).args(flags).spawn();
    running.wait_for(STREAMS);
    live.source.psql("UPDATE t SET v = 'uno'; INSERT INTO log VALUES ('one')");
    live.drained();
    live.cut_over(running);
    assert_eq!(live.target.psql(PUBLICATIONS), "theirs");
    assert_eq!(live.source.psql(PUBLICATIONS), format!("{}\ntheirs", live.name));
    // Where nobody streams from, tables without a key can be written to.
    live.target.psql("UPDATE log SET v = 'two'; DELETE FROM log");
    live.target
        .psql(&format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// A role that is nobody special: it owns what it moves, row security included, and may replicate.
#[test]
fn a_role_that_owns_its_tables_is_enough() {
    let live = Live::with(15, 18, "");
    let role = format!("{}_role", live.name);
    let grants = |db: &Database<'_>| {
        db.psql(&format!(
            "CREATE ROLE {role} LOGIN REPLICATION; GRANT CREATE ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role}",
            db.name
        ));
    };
    grants(&live.source);
    grants(&live.target);
    live.source.psql(&format!(
        "SET ROLE {role}; CREATE TABLE t (i int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one'), (2, 'two');
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (i > 1)"
    ));
    let (from, to) = (
        live.source.conninfo_as(&role, live.source.cluster.port),
        live.target.conninfo_as(&role, live.target.cluster.port),
    );
    let mut running = migrator(["--mode", "online", "--create-publication", "--cutover-poll-secs", "1"])
        .args(["--source", &from, "--target", &to, "--slot-name", &live.name, "--publication", &live.name])
        .args(["--subscription-name", &live.name, "--no-privileges", "--exclude-schema", "none_such"])
        .spawn();
    running.wait_for(STREAMS);
    live.source.psql("INSERT INTO t VALUES (0, 'hidden'); UPDATE t SET v = 'changed' WHERE i = 1; DELETE FROM t WHERE i = 2");
    live.drained();
    running.wait_for(CAUGHT_UP);
    running.signal("INT");
    running.wait().expect_code(0);
    live.assert_finished();
    assert_eq!(live.target.psql("SELECT * FROM t ORDER BY i"), "0|hidden\n1|changed");
    assert_eq!(live.source.psql(PUBLICATIONS), "");
    for db in [&live.source, &live.target] {
        db.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
    }
}

#[test]
fn an_abort_before_the_stream_takes_slot_and_publication_back() {
    let live = Live::with(15, 15, TABLES);
    live.source.psql(
        "BEGIN; INSERT INTO log VALUES ('held'); PREPARE TRANSACTION 'holds the slot of publication tests'",
    );
    let mut running = live.command().spawn();
    running.wait_for("holds the slot of publication tests");
    eventually(|| live.source.psql(PUBLICATIONS), |p| *p == live.name, "no publication");
    running.signal("INT");
    let run = running.wait();
    live.source.psql("ROLLBACK PREPARED 'holds the slot of publication tests'");
    let run = run.expect_code(5);
    assert_eq!(live.source.psql(PUBLICATIONS), "", "{run:?}");
    live.assert_finished();
    // One that is not ours stays.
    live.source.psql(&format!("CREATE PUBLICATION {} FOR ALL TABLES", live.name));
    live.source.psql(
        "BEGIN; INSERT INTO log VALUES ('held'); PREPARE TRANSACTION 'holds the slot of publication tests'",
    );
    let mut running = live.command().spawn();
    running.wait_for("holds the slot of publication tests");
    running.signal("INT");
    let run = running.wait();
    live.source.psql("ROLLBACK PREPARED 'holds the slot of publication tests'");
    run.expect_code(5);
    assert_eq!(live.source.psql(PUBLICATIONS), live.name);
}

#[test]
fn one_that_a_killed_attempt_left_is_made_anew() {
    let live = Live::with(13, 15, TABLES);
    // As an attempt would have left it before a table was added.
    live.source.psql(&format!(
        "CREATE PUBLICATION {0} FOR TABLE whole; COMMENT ON PUBLICATION {0} IS 'made by pg_migrator for {0}'",
        live.name
    ));
    let running = live.start();
    live.source.psql(CHANGES);
    live.drained();
    live.cut_over(running);
    assert_eq!(live.source.psql(PUBLICATIONS), "");
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn what_validate_refuses_leaves_nothing() {
    let server = online_cluster(15);
    let live = Live::on(server, server);
    live.source.psql(TABLES);
    live.source.psql(&format!("CREATE PUBLICATION {} FOR TABLE whole", live.name));
    let run = live.command().run().expect_code(1);
    run.expect_said(&[
        "tables-not-published",
        "public.left_out, public.log",
        "ADD TABLE ONLY public.left_out, ONLY public.log",
    ]);
    live.assert_finished();
    assert_eq!(live.source.psql(PUBLICATIONS), live.name);
    assert_eq!(live.target.psql("SELECT count(*) FROM pg_class WHERE oid >= 16384"), "0");
}

/// A hash of an enum is another one on the target: so are the partitions of its rows.
const BY_ENUM: &str = "CREATE TYPE padding AS ENUM ('p', 'q'); CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'wild', 'calm', 'odd');
     CREATE TABLE felt (id int, m mood, v text, PRIMARY KEY (id, m)) PARTITION BY HASH (m);
     CREATE TABLE felt_0 PARTITION OF felt FOR VALUES WITH (MODULUS 3, REMAINDER 0); CREATE TABLE felt_1 PARTITION OF felt FOR VALUES WITH (MODULUS 3, REMAINDER 1);
     CREATE TABLE felt_2 PARTITION OF felt FOR VALUES WITH (MODULUS 3, REMAINDER 2);
     INSERT INTO felt SELECT g, (enum_range(NULL::mood))[1 + g % 6], 'v' FROM generate_series(1, 300) g";

#[test]
fn partitions_by_a_hash_of_enums_are_sent_under_the_name_of_the_whole() {
    for (from, to) in [(13, 18), (18, 18)] {
        let live = Live::with(from, to, BY_ENUM);
        // The OIDs of enum values are not the source's, whatever else was made in between.
        live.target
            .psql("CREATE SCHEMA other; CREATE TYPE other.many AS ENUM ('1', '2', '3', '4', '5', '6', '7')");
        live.source.psql("CREATE PUBLICATION by_name FOR TABLE felt");
        migrator([
            "check",
            "--mode",
            "online",
            "--source",
            &live.source_conninfo(),
            "--target",
            &live.target_conninfo(),
        ])
        .args(["--publication", "by_name"])
        .run()
        .expect_code(1)
        .expect_said(&["[partitions-by-name]", "publish_via_partition_root = true"]);
        live.source.psql("DROP PUBLICATION by_name");
        let running = live.start();
        live.source.psql(
            "INSERT INTO felt SELECT g, (enum_range(NULL::mood))[1 + g % 6], 'new' FROM generate_series(301, 400) g;
             UPDATE felt SET v = v || '!' WHERE id % 3 = 0; UPDATE felt SET m = 'calm' WHERE id % 10 = 0; DELETE FROM felt WHERE id % 7 = 0",
        );
        live.drained();
        live.cut_over(running);
        for database in [&live.source, &live.target] {
            assert_eq!(database.psql("SELECT count(*) FROM felt"), "343");
        }
        let rows = "SELECT md5(string_agg(felt::text, ' ' ORDER BY id, m)) FROM felt";
        assert_eq!(live.source.psql(rows), live.target.psql(rows));
    }
}

#[test]
fn partitions_by_a_hash_of_enums_cannot_come_from_before_13() {
    let live = Live::with(12, 15, BY_ENUM);
    live.command().run().expect_code(1).expect_said(&["[partitions-by-name]", "--exclude-table"]);
}
