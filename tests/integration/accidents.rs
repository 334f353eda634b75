//! What happens to a migration on the way: servers die, links break, disks fill up, people press Ctrl+C. It ends soon,
//! says whose fault it was, leaves nothing on the source, and the same command succeeds afterwards.

use std::time::Duration;

use crate::harness::{Cluster, Database, Options, Proxy, Running, assert_same, cluster, migrator};
use crate::moves::{assert_untouched_source, eventually, filled, offline, pair_with};

/// About 24 MB in one table, an index and a view on it, and a few small ones.
const LOAD: &str = "CREATE TABLE big (id int PRIMARY KEY, t text);
    INSERT INTO big SELECT g, repeat(md5(g::text), 7) FROM generate_series(1, 100000) g;
    CREATE INDEX ON big (t);
    CREATE TABLE other (id int REFERENCES big, t text); INSERT INTO other SELECT g, 'o' FROM generate_series(1, 1000) g;
    CREATE VIEW v AS SELECT count(*) FROM big; SELECT lo_from_bytea(0, '\\x0102')";

/// A source of its own behind a proxy that holds everything back in the middle of the copy.
struct Held {
    source: Cluster,
    target: Cluster,
    proxy: Proxy,
}

impl Held {
    fn start() -> Held {
        let source = Cluster::start(15, &Options::new());
        let target = Cluster::start(15, &Options::new());
        let proxy = Proxy::start(source.port, Duration::ZERO);
        Held { source, target, proxy }
    }

    fn databases(&self) -> (Database<'_>, Database<'_>) {
        let source = filled(self.source.database_named("source"), &[]);
        source.psql(LOAD);
        (source, filled(self.target.database_named("target"), &[]))
    }

    /// The migration, stuck in the middle of the copy.
    fn stuck(&self, source: &Database, target: &Database) -> Running {
        let through = source.conninfo_as("postgres", self.proxy.port);
        self.proxy.hold_after(8_000_000);
        let running = offline(&through, &target.conninfo()).limit(Duration::from_secs(60)).spawn();
        self.proxy.wait_until_held();
        running
    }

    /// The same command succeeds now that nothing is in its way.
    fn again(&self, source: &Database, target: &Database) {
        self.proxy.swallow(false);
        let through = source.conninfo_as("postgres", self.proxy.port);
        offline(&through, &target.conninfo()).ok();
        assert_same(source, target);
        assert_untouched_source(source);
    }
}

#[test]
fn who_holds_a_table_is_named_while_its_lock_is_waited_for() {
    let pair = pair_with(
        15,
        15,
        "CREATE SCHEMA \"S\"; CREATE TABLE \"S\".t (id int); INSERT INTO \"S\".t VALUES (1)",
    );
    let held = pair.source.hold("BEGIN; LOCK TABLE \"S\".t IN ACCESS EXCLUSIVE MODE");
    let mut running = pair.offline().spawn();
    running.wait_for("\"S\".t");
    running.wait_for("LOCK TABLE \"S\".t IN ACCESS EXCLUSIVE MODE");
    drop(held);
    running.wait().expect_code(0).expect_said(&["process ", "open for", "idle in transaction"]);
    assert_same(&pair.source, &pair.target);
    // Prepared transactions have no process, and who stands before us in the queue waits for another one.
    let pair = pair_with(15, 15, "CREATE TABLE t (id int)");
    let reader = pair.source.hold("BEGIN; SELECT count(*) AS slow_report FROM t");
    std::thread::scope(|scope| {
        let locking =
            scope.spawn(|| pair.source.psql("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; COMMIT"));
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        eventually(|| pair.source.psql(waiting), |n| n == "1", "nobody waits");
        let mut running = pair.offline().spawn();
        running.wait_for("slow_report");
        drop(reader);
        running.wait().expect_code(0).expect_said(&["LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "public.t"]);
        locking.join().unwrap();
    });
    assert_same(&pair.source, &pair.target);
}

#[test]
fn the_source_is_killed_in_the_middle() {
    let held = Held::start();
    let (source, target) = held.databases();
    let running = held.stuck(&source, &target);
    held.source.stop("immediate");
    held.proxy.swallow(false);
    running.wait().expect_code(3).expect_said(&["source"]);
    held.source.start_again();
    assert_untouched_source(&source);
    held.again(&source, &target);
}

#[test]
fn the_target_is_killed_in_the_middle() {
    let held = Held::start();
    let (source, target) = held.databases();
    let running = held.stuck(&source, &target);
    held.target.stop("immediate");
    held.proxy.swallow(false);
    running.wait().expect_code(4).expect_said(&["target"]);
    assert_untouched_source(&source);
    held.target.start_again();
    held.again(&source, &target);
}

#[test]
fn the_link_to_the_source_breaks() {
    let held = Held::start();
    let (source, target) = held.databases();
    held.proxy.cut_after(8_000_000);
    let through = source.conninfo_as("postgres", held.proxy.port);
    let run = offline(&through, &target.conninfo()).limit(Duration::from_secs(60)).run();
    run.expect_code(3).expect_said(&["source"]);
    assert_untouched_source(&source);
    offline(&source.conninfo(), &target.conninfo()).ok();
    assert_same(&source, &target);
}

#[test]
fn the_link_to_the_target_breaks() {
    let held = Held::start();
    let (source, target) = held.databases();
    let proxy = Proxy::start(held.target.port, Duration::ZERO);
    let through = target.conninfo_as("postgres", proxy.port);
    let mut running = offline(&source.conninfo(), &through).limit(Duration::from_secs(60)).spawn();
    while proxy.moved() < 8_000_000 && !running.has_ended() {
        std::thread::sleep(Duration::from_millis(1));
    }
    proxy.cut();
    running.wait().expect_code(4).expect_said(&["target"]);
    assert_untouched_source(&source);
    offline(&source.conninfo(), &through).ok();
    assert_same(&source, &target);
}

#[test]
fn interrupts_end_it_soon_even_when_a_server_is_silent() {
    for signal in ["INT", "TERM", "HUP"] {
        let held = Held::start();
        let (source, target) = held.databases();
        let running = held.stuck(&source, &target);
        running.signal(signal);
        let run = running.wait().expect_code(5).expect_said(&["interrupted"]);
        assert!(run.elapsed < Duration::from_secs(40), "{run:?}");
        held.proxy.swallow(false);
        assert_untouched_source(&source);
        held.again(&source, &target);
    }
}

/// Who waits for a table alone waits for the snapshot's session, and readers behind it wait for both: a circle that no server sees.
#[test]
fn whoever_wants_a_table_alone_is_not_waited_for() {
    const ALTER: &str = "ALTER TABLE other ADD x int";
    for patience in ["3s", "0"] {
        let held = Held::start();
        let (source, target) = held.databases();
        held.proxy.hold_after(8_000_000);
        let through = source.conninfo_as("postgres", held.proxy.port);
        let target_conninfo = target.conninfo();
        let running = migrator([
            "--mode",
            "offline",
            "--jobs",
            "1",
            "--source",
            &through,
            "--target",
            &target_conninfo,
        ])
        .limit(Duration::from_secs(60))
        .spawn();
        held.proxy.wait_until_held();
        std::thread::scope(|scope| {
            let altered =
                scope.spawn(|| source.try_psql(&format!("SET lock_timeout = '{patience}'; {ALTER}")));
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'other'::regclass";
            eventually(|| source.psql(waits), |n| n == "1", "nobody waits");
            held.proxy.swallow(false);
            let run = running.wait();
            if patience == "0" {
                run.expect_code(3).expect_said(&["public.other: pid", ALTER, "run the same command again"]);
                assert_eq!(altered.join().unwrap(), Ok(String::new()));
            } else {
                run.expect_code(0);
                assert!(altered.join().unwrap().unwrap_err().contains("lock timeout"));
            }
        });
        assert_untouched_source(&source);
        offline(&through, &target.conninfo()).arg("--drop-target-first").ok();
        assert_same(&source, &target);
    }
}

#[test]
fn killed_outright_it_starts_over() {
    let held = Held::start();
    let (source, target) = held.databases();
    let running = held.stuck(&source, &target);
    running.signal("KILL");
    assert_eq!(running.wait().code, -1);
    held.proxy.swallow(false);
    assert_untouched_source(&source);
    held.again(&source, &target);
}

#[test]
fn sessions_ended_by_an_operator() {
    let held = Held::start();
    let (source, target) = held.databases();
    let running = held.stuck(&source, &target);
    target.terminate_sessions();
    held.proxy.swallow(false);
    running.wait().expect_code(4).expect_said(&["target"]);
    assert_untouched_source(&source);
    held.again(&source, &target);
}

#[test]
fn a_full_disk_on_the_target() {
    // No file of the target may pass 32 MB: what a full disk does, for a user who may not mount one.
    let target = Cluster::start(15, &Options::new().file_size_limit(32 << 20));
    let source = cluster(15).database("source");
    source.psql(
        "CREATE TABLE big (id int, t text); ALTER TABLE big ALTER t SET STORAGE PLAIN;
         INSERT INTO big SELECT g, repeat('x', 1000) FROM generate_series(1, 60000) g;
         CREATE TABLE small (id int PRIMARY KEY); INSERT INTO small VALUES (1)",
    );
    let database = target.database("target");
    let command = || offline(&source.conninfo(), &database.conninfo());
    command().run().expect_code(4).expect_said(&["target", "big", "could not extend file"]);
    assert_untouched_source(&source);
    source.psql("DELETE FROM big WHERE id > 1000; VACUUM FULL big");
    command().ok();
    assert_same(&source, &database);
}

#[test]
fn a_really_full_disk_on_the_target() {
    // Needs the right to mount; without it the test above is what can be had.
    let target = Cluster::start(15, &Options::new());
    let space = target.new_folder("space");
    let mount = |args: &[&str]| {
        std::process::Command::new("mount").args(args).arg(&space).output().is_ok_and(|o| o.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=40m,mode=0777", "tmpfs"]) {
        eprintln!("no right to mount a small disk: not shown here");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let owned = space.join("tablespace");
        target.make_folder(&owned);
        let source = cluster(15).database("source");
        source.psql("CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 30) AS t FROM generate_series(1, 50000) g; ALTER TABLE big ADD PRIMARY KEY (id)");
        target.maintenance().psql(&format!("CREATE TABLESPACE small LOCATION '{}'", owned.display()));
        let database = target.database("target");
        target.maintenance().psql(&format!("ALTER DATABASE {} SET TABLESPACE small", database.name));
        let command = || offline(&source.conninfo(), &database.conninfo());
        command().run().expect_code(4).expect_said(&["target", "big", "no space left on device", "53100"]);
        assert_untouched_source(&source);
        assert!(mount(&["-o", "remount,size=300m"]));
        command().ok();
        assert_same(&source, &database);
    });
    target.stop("immediate");
    assert!(std::process::Command::new("umount").arg(&space).status().unwrap().success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_slow_link_moves_many_small_tables_without_waiting_for_each() {
    let source = cluster(15).database("source");
    let target = cluster(15).database("target");
    source.psql(
        "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, a text UNIQUE, b int DEFAULT 5 CHECK (b > 0))', g) FROM generate_series(1, 300) g \\gexec
         SELECT format('INSERT INTO t%s SELECT g, g FROM generate_series(1, 10) g', g) FROM generate_series(1, 300) g \\gexec",
    );
    // 10 ms of round trip on both links.
    let proxies = [&source, &target].map(|d| Proxy::start(d.cluster.port, Duration::from_millis(5)));
    let run = offline(
        &source.conninfo_as("postgres", proxies[0].port),
        &target.conninfo_as("postgres", proxies[1].port),
    )
    .ok();
    assert_same(&source, &target);
    // pg_dump | psql takes 53 s here; the goal is a tenth of it on an idle machine.
    assert!(run.elapsed < Duration::from_secs(20), "{:?}", run.elapsed);
}

#[test]
fn a_second_run_knows_the_work_of_the_first_across_versions() {
    // Servers from 14 on write the arguments of a procedure differently than 13 does.
    let script = "CREATE PROCEDURE p(a int, INOUT b int, VARIADIC c int[]) LANGUAGE plpgsql AS 'BEGIN END';
        CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
        CREATE MATERIALIZED VIEW m AS SELECT boom() AS a;
        CREATE OR REPLACE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''boom''; END'";
    let pair = pair_with(13, 18, script);
    for _ in 0..2 {
        pair.offline().run().expect_code(4).expect_said(&["public.m", "boom"]);
    }
}

#[test]
fn a_session_that_is_about_to_end_may_still_hold_the_claim() {
    // As that of `--drop-target-first`, which has taken an earlier migration back, or of a run that was killed.
    let pair = pair_with(15, 15, "CREATE TABLE t AS SELECT 1 AS a");
    let held = pair.target.hold("SELECT pg_advisory_lock(1885826409, 1)");
    let mut running = pair.offline().spawn();
    running.wait_for("Restore: started");
    std::thread::sleep(Duration::from_millis(300));
    drop(held);
    running.wait().expect_code(0);
    assert_same(&pair.source, &pair.target);
}

#[test]
fn killed_between_a_shell_type_and_its_type() {
    // Many, so that the shells are committed before the functions are made.
    let script = "DO $$ BEGIN FOR i IN 1..450 LOOP
           EXECUTE format('CREATE TYPE t%s', i);
           EXECUTE format('CREATE FUNCTION t%s_in(cstring) RETURNS t%s LANGUAGE internal IMMUTABLE STRICT AS %L', i, i, 'int4in');
           EXECUTE format('CREATE FUNCTION t%s_out(t%s) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS %L', i, i, 'int4out');
           EXECUTE format('CREATE TYPE t%s (INPUT = t%s_in, OUTPUT = t%s_out, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4)', i, i, i);
         END LOOP; END $$; CREATE TYPE only_a_shell; CREATE TABLE t (a t1, b t450); INSERT INTO t VALUES ('1', '2')";
    let pair = crate::moves::pair_with(15, 18, script);
    pair.target.psql(
        "CREATE SCHEMA guard; CREATE FUNCTION guard.slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c JOIN pg_proc p ON p.oid = c.objid WHERE p.proname = 't300_out') THEN PERFORM pg_sleep(60); END IF; END $$;
         CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION guard.slow()",
    );
    let running = pair.offline().spawn();
    let asleep =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually(|| pair.target.psql(asleep), |n| n == "1", "the function is not being made");
    let shells = "SELECT count(*) > 100 FROM pg_type WHERE NOT typisdefined AND typname ~ '^t[0-9]'";
    eventually(|| pair.target.psql(shells), |many| many == "t", "no shells are there");
    running.signal("KILL");
    drop(running);
    pair.target.psql("DROP EVENT TRIGGER slow; DROP SCHEMA guard CASCADE");
    eventually(|| pair.target.psql(asleep), |n| n == "0", "its session is still there");
    pair.offline().ok();
    assert_same(&pair.source, &pair.target);
}
