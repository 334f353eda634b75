//! The commands beside an online migration: `status`, `cutover`, `slots`, `cleanup`.

use serde_json::Value;

use crate::harness::{assert_same_rows, cluster, migrator};
use crate::live::{CAUGHT_UP, Live};
use crate::moves::eventually;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn cutover_from_another_terminal() {
    let live = Live::with(15, 18, TABLE);
    let target = live.target_conninfo();
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    let status = migrator(["status", "--json", "--target", &target]).ok();
    let standing = &json(&status.stdout)["migration"];
    assert_eq!((&standing["name"], &standing["mode"]), (&live.name.as_str().into(), &"online".into()));
    assert!(standing["run_pid"].is_number() && standing["slot"] == live.name.as_str(), "{standing}");
    let text = migrator(["status", "--target", &target]).ok();
    assert!(text.stdout.contains("run          under way"), "{text:?}");

    migrator(["cutover", "--target", &target])
        .run()
        .expect_code(1)
        .expect_said(&[&live.name, "--subscription-name"]);
    live.source.psql("INSERT INTO t VALUES (0)");
    migrator(["cutover", "--target", &target, "--subscription-name", &live.name])
        .ok()
        .expect_said(&["asked for", "the migration is finished"]);
    running.wait().expect_code(0).expect_said(&["Cutover: asked for by pg_migrator cutover"]);
    assert_same_rows(&live.source, &live.target);
    live.assert_finished();
    let text = migrator(["status", "--target", &target]).ok();
    assert!(text.stdout.contains("No unfinished migration"), "{text:?}");
    let args = ["cutover", "--target", &target, "--subscription-name", &live.name];
    migrator(args)
        .run()
        .expect_code(1)
        .expect_said(&["no migration into the target's database is under way"]);
}

#[test]
fn a_journal_that_goes_while_it_is_read_is_none() {
    let target = cluster(15).database("going");
    target.psql(
        "CREATE SCHEMA _pg_migrator; CREATE TABLE _pg_migrator.object (); CREATE TABLE _pg_migrator.lane (); \
         CREATE TABLE _pg_migrator.migration (name text, mode text, system_identifier text, database text, phase text, started_at timestamptz)",
    );
    let dropping = std::thread::scope(|scope| {
        // Whoever has seen it waits for the lock, and then finds it gone.
        let dropping = scope
            .spawn(|| target.psql("BEGIN; DROP SCHEMA _pg_migrator CASCADE; SELECT pg_sleep(2); COMMIT"));
        eventually(
            || {
                target.psql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation'")
            },
            |locks| locks != "0",
            "never dropped",
        );
        let status = migrator(["status", "--target", &target.conninfo()]).ok();
        assert!(status.stdout.contains("No unfinished migration"), "{status:?}");
        dropping.join()
    });
    dropping.unwrap();
}

#[test]
fn what_a_killed_run_left_is_listed_and_cleaned_up() {
    let live = Live::with(15, 15, TABLE);
    let (source, target) = (live.source_conninfo(), live.target_conninfo());
    let ends = ["--source", &source, "--target", &target];
    let running = live.start();
    migrator(["cleanup", "--subscription-name", &live.name])
        .args(ends)
        .run()
        .expect_code(1)
        .expect_said(&["is under way"]);
    running.signal("KILL");
    running.wait();
    let ask = ["cutover", "--target", &target, "--subscription-name", &live.name];
    let ended = || migrator(ask).run();
    eventually(ended, |run| run.stderr.contains("no run of the migration is under way"), "never ended");

    let listed = migrator(["slots", "--json"]).args(ends).ok();
    let slots = &json(&listed.stdout)["slots"];
    assert_eq!(
        (&slots[0]["name"], &slots[0]["migration"]),
        (&live.name.as_str().into(), &live.name.as_str().into())
    );
    let unknown = migrator(["slots", "--source", &source]).ok();
    assert!(unknown.stdout.contains("whose is not known without --target"), "{unknown:?}");
    migrator(["slots", "--source", &source, "--drop", &live.name])
        .run()
        .expect_code(1)
        .expect_said(&["no journal knows", "--force-slot"]);

    let cleanup = ["cleanup", "--target-objects", "drop", "--subscription-name", &live.name];
    migrator(cleanup).args(ends).ok().expect_said(&["dropped"]);
    live.assert_finished();
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(live.target.psql(left), "0");
    migrator(cleanup).args(ends).ok().expect_said(&["nothing to clean up"]);
    migrator(["slots"]).args(ends).ok().expect_said(&["No logical replication slots"]);
}

#[test]
fn a_slot_is_dropped_by_name() {
    let live = Live::with(15, 15, TABLE);
    let source = live.source_conninfo();
    let make = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", live.name);
    live.source.psql(&make);
    let drop = ["slots", "--source", &source, "--drop", &live.name, "--force-slot"];
    migrator(drop).ok().expect_said(&["dropped"]);
    assert_eq!(live.slots(), "");
    migrator(drop).ok().expect_said(&["is not there"]);
}

#[test]
fn a_target_out_of_reach_is_the_targets_failure() {
    let nowhere = "host=127.0.0.1 port=1 user=u dbname=d";
    for args in [["status", "--target", nowhere], ["cutover", "--target", nowhere]] {
        migrator(args).run().expect_code(4);
    }
    let source = cluster(15).database("commands");
    migrator(["cleanup", "--source", nowhere, "--target", &source.conninfo()]).run().expect_code(3);
}
