//! Where an online migration stops for the operator: nothing is lost, and what to do next is said.

use crate::harness::{Cluster, Options, Run, Running, assert_same_rows, migrator, online_cluster};
use crate::live::{CAUGHT_UP, GOES_ON, Live};
use crate::moves::eventually;

const TABLE: &str = "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT g FROM generate_series(1, 100) g";

/// Kills the tool as a power cut would.
fn kill(running: Running) {
    running.signal("KILL");
    let _ = running.wait();
}

#[test]
fn writes_after_the_drain_are_reported_and_the_same_command_applies_them() {
    let live = Live::with(15, 18, TABLE);
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    // Setting the sequence has to wait for this, so that there is time to write.
    let held = live.target.hold("BEGIN; ALTER SEQUENCE t_id_seq CACHE 1");
    running.signal("INT");
    running.wait_for("Cutover: drained");
    live.source.psql("INSERT INTO t (v) VALUES ('late'), ('later')");
    drop(held);
    running.wait().expect_code(1).expect_said(&["public.t (2)", "run the same command again"]);
    assert_eq!(live.slots(), live.name, "the slot is kept");
    assert_eq!(live.target.psql("SELECT count(*) FROM t WHERE v LIKE 'late%'"), "0", "not applied yet");
    let mut running = live.command().spawn();
    running.wait_for(GOES_ON);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
    assert_eq!(live.target.psql("SELECT nextval('t_id_seq')"), "103");
}

#[test]
fn a_drain_that_takes_too_long_is_given_up_and_can_be_repeated() {
    let live = Live::with(15, 15, TABLE);
    let mut running = live.command().args(["--drain-timeout-secs", "1"]).spawn();
    running.wait_for(CAUGHT_UP);
    let held = live.target.hold("BEGIN; LOCK TABLE t");
    live.source.psql("UPDATE t SET v = 'x'");
    running.signal("INT");
    running.wait().expect_code(1).expect_said(&["did not reach", "--drain-timeout-secs"]);
    drop(held);
    assert_eq!(live.slots(), live.name);
    let mut running = live.command().spawn();
    running.wait_for(GOES_ON);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn a_slot_that_holds_too_much_is_given_up_during_the_stream() {
    // Its own source: what other tests write beside it would be held back too.
    let source = Cluster::start(15, &Options::online(15));
    let live = Live::on(&source, online_cluster(15));
    live.source.psql(TABLE);
    let mut running = live.command().args(["--max-slot-wal", "20MB"]).spawn();
    running.wait_for(CAUGHT_UP);
    let held = live.target.hold("BEGIN; LOCK TABLE t");
    live.source.psql("INSERT INTO t (v) SELECT repeat('x', 1000) FROM generate_series(1, 40000)");
    running.wait().expect_code(1).expect_said(&["--max-slot-wal", "--drop-target-first"]);
    drop(held);
    assert_eq!(live.slots(), "");
    // The changes are gone, and nobody is left to believe otherwise.
    live.command().run().expect_code(3).expect_said(&["not there any more", "--drop-target-first"]);
    let mut running = live.command().arg("--drop-target-first").spawn();
    running.wait_for(CAUGHT_UP);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn a_slot_that_holds_too_much_is_given_up_during_the_copy() {
    // Its own source: what other tests write beside it would be held back too. Two servers: the slot waits for all transactions of its own.
    let source = Cluster::start(15, &Options::online(15));
    let live = Live::on(&source, online_cluster(18));
    live.source.psql(TABLE);
    // The copy's CREATE TABLE has to wait for the end of this one.
    let held = live.target.hold("BEGIN; CREATE TABLE t ()");
    let mut running = live.command().args(["--max-slot-wal", "20MB"]).spawn();
    running.wait_for("Restore: started");
    live.source.psql("INSERT INTO t (v) SELECT repeat('x', 1000) FROM generate_series(1, 40000)");
    running.wait().expect_code(1).expect_said(&["--max-slot-wal", "start over"]);
    assert_eq!(live.slots(), "");
    drop(held);
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

/// A migration that was killed while it was streaming.
fn killed() -> Live<'static> {
    let live = Live::with(15, 15, &format!("{TABLE}; CREATE TABLE u (id int PRIMARY KEY)"));
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    kill(running);
    live
}

/// Runs the command of [`killed`] with some of it said otherwise; it must be refused.
fn refused(live: &Live, more: &[&str], said: &[&str]) -> Run {
    live.command().args(more).run().expect_code(1).expect_said(said)
}

#[test]
fn going_on_with_another_command_than_it_began_with_is_refused() {
    let live = killed();
    let command = |more: &[&str]| {
        migrator(["--source", &live.source_conninfo(), "--target", &live.target_conninfo()])
            .args(["--subscription-name", &live.name])
            .args(more)
            .run()
    };
    let name = live.name.as_str();
    refused(&live, &["--exclude-table", "u"], &["public.u", "same filters"]);
    let other = ["--mode", "online", "--slot-name", "another", "--publication", name];
    command(&other).expect_code(1).expect_said(&["journal-of-another-migration", name]);
    // An offline run does not take it for its own interrupted one, and clears nothing away.
    command(&["--mode", "offline"]).expect_code(1).expect_said(&["journal-of-another-migration", "online"]);
    live.source.psql("INSERT INTO u VALUES (1)");
    let mut running = live.command().spawn();
    running.wait_for(GOES_ON);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn a_slot_that_someone_dropped_is_said() {
    let live = killed();
    let drop = format!("SELECT pg_drop_replication_slot('{}')", live.name);
    eventually(
        || live.source.try_psql(&drop).map_or_else(|e| e, |_| String::new()),
        String::is_empty,
        "still active",
    );
    live.command().run().expect_code(3).expect_said(&[&live.name, "not there any more", "cleanup"]);
    let (source, target) = (live.source_conninfo(), live.target_conninfo());
    migrator(["cleanup", "--source", &source, "--target", &target, "--subscription-name", &live.name]).ok();
    live.assert_finished();
}

/// Without its journal nobody knows what is applied: that is said, and how the slot goes that holds WAL for it.
#[test]
fn a_journal_that_someone_dropped_or_emptied_is_said() {
    for gone in ["DROP SCHEMA _pg_migrator CASCADE", "DELETE FROM _pg_migrator.lane"] {
        let live = Live::with(15, 15, "CREATE TABLE t (id int PRIMARY KEY)");
        let mut running = live.command().spawn();
        running.wait_for(CAUGHT_UP);
        live.target.psql(&format!("SET client_min_messages = error; {gone}"));
        live.source.psql("INSERT INTO t VALUES (1)");
        let run = running.wait().expect_code(1);
        run.expect_said(&[
            "[journal-gone]",
            "the journal of migration",
            &format!("--slot-name {} --force-slot", live.name),
        ]);
        live.source.psql(&format!("SELECT pg_drop_replication_slot('{}')", live.name));
    }
}
