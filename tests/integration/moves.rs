//! A source, a target and the command between them: what most tests begin with.

use std::time::{Duration, Instant};

use crate::harness::{Database, Migrator, cluster, fixture, migrator};

/// A database filled by these files of `tests/fixtures`, its roles on both servers.
pub fn filled<'a>(database: Database<'a>, files: &[&str]) -> Database<'a> {
    database.psql_file(&fixture("roles.sql"));
    for file in files {
        database.psql_file(&fixture(file));
    }
    database
}

/// Two databases of which the second should become the first.
pub struct Move {
    pub source: Database<'static>,
    pub target: Database<'static>,
}

/// Databases on the shared servers of these majors, the source filled from fixtures.
pub fn pair(from: u32, to: u32, files: &[&str]) -> Move {
    let source = filled(cluster(from).database("source"), files);
    let target = cluster(to).database("target");
    target.psql_file(&fixture("roles.sql"));
    Move { source, target }
}

/// As [`pair`], the source filled by this script.
pub fn pair_with(from: u32, to: u32, script: &str) -> Move {
    let pair = pair(from, to, &[]);
    pair.source.psql(script);
    pair
}

/// The offline migration of one into the other, without further flags.
pub fn offline(source: &str, target: &str) -> Migrator {
    migrator(["--mode", "offline", "--jobs", "4", "--source", source, "--target", target])
}

/// An offline migration over so many connections that drops what is there first, and ends well.
#[track_caller]
pub fn offline_with(jobs: &str, source: &Database, target: &Database) {
    let (source, target) = (source.conninfo(), target.conninfo());
    let ends = ["--source", &source, "--target", &target];
    migrator(["--mode", "offline", "--drop-target-first", "--jobs", jobs]).args(ends).ok();
}

impl Move {
    /// The offline migration, without further flags.
    pub fn offline(&self) -> Migrator {
        offline(&self.source.conninfo(), &self.target.conninfo())
    }
}

/// Nothing of ours is left on a source: no session, lock, slot, or object.
#[track_caller]
pub fn assert_untouched_source(source: &Database) {
    let left = "SELECT 'session ' || query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND backend_type IN ('client backend', 'parallel worker') \
                UNION ALL SELECT 'lock ' || relation::regclass FROM pg_locks \
                  WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                  AND pid <> pg_backend_pid() AND pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker') \
                UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts WHERE database = current_database() \
                UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database() \
                UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^_?pg_migrator'";
    // A server needs a moment to see that its client is gone.
    eventually(|| source.psql(left), String::is_empty, "left behind on the source");
}

/// Polls `look` until its result is `good`, for at most ten seconds.
#[track_caller]
pub fn eventually<T: std::fmt::Debug>(look: impl Fn() -> T, good: impl Fn(&T) -> bool, what: &str) -> T {
    let started = Instant::now();
    loop {
        let seen = look();
        if good(&seen) {
            return seen;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Event triggers that note what is dropped, or refuse to have it dropped, also for who replays changes.
pub const WATCHED: &str = "CREATE TABLE dropped (what text PRIMARY KEY); CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS
       'BEGIN INSERT INTO public.dropped SELECT object_identity FROM pg_event_trigger_dropped_objects(); END';
     CREATE FUNCTION refused() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''nothing is dropped here''; END';
     CREATE EVENT TRIGGER a_note ON sql_drop EXECUTE PROCEDURE noted(); CREATE EVENT TRIGGER \"no drops\" ON ddl_command_end WHEN TAG IN ('DROP SCHEMA') EXECUTE PROCEDURE refused();
     CREATE EVENT TRIGGER usual ON sql_drop EXECUTE PROCEDURE refused(); CREATE EVENT TRIGGER subscribed ON ddl_command_start WHEN TAG IN ('CREATE SUBSCRIPTION') EXECUTE PROCEDURE refused();
     ALTER EVENT TRIGGER a_note ENABLE ALWAYS; ALTER EVENT TRIGGER subscribed ENABLE ALWAYS; ALTER EVENT TRIGGER \"no drops\" ENABLE REPLICA";

/// They are as [`WATCHED`] made them, and have seen nothing.
#[track_caller]
pub fn assert_not_watched(target: &Database) {
    let enabled = "SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY 1";
    assert_eq!(target.psql(enabled), "a_note|A\nno drops|R\nsubscribed|A\nusual|O");
    assert_eq!(target.psql("SELECT * FROM dropped"), "");
    assert_eq!(target.psql("SELECT count(*) FROM pg_namespace WHERE nspname = '_pg_migrator'"), "0");
}
