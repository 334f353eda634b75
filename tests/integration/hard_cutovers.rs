//! Cutovers while the source is written to, fenced, or holds commits that are not flushed: nothing is lost, and a cutover that fails leaves
//! a source that can be written to and a migration that goes on.

use std::time::Duration;

use crate::harness::{Cluster, Ledger, Options, Running, assert_same_rows, migrator};
use crate::live::{CAUGHT_UP, Live, STREAMS};
use crate::moves::eventually;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v int DEFAULT 0); INSERT INTO t VALUES (1)";
const READ_ONLY: &str = "SHOW default_transaction_read_only";

/// Started anew, it goes on and ends well.
fn goes_on(live: &Live) {
    live.cut_over(live.command().spawn());
}

#[test]
fn writes_after_the_drain_are_reported_and_applied_by_the_same_command() {
    let live = Live::new(15, 18);
    Ledger::open(&live.source);
    live.source.psql("CREATE SEQUENCE ledger.held");
    // Slowly, so that it can be caught up with on a busy machine too.
    let ledger = Ledger::start_at(live.source.conninfo(), 31, 4, Duration::from_millis(40));
    let mut running = live.start();
    ledger.truncate_too();
    running.wait_for(CAUGHT_UP);
    ledger.wait_for(100);
    // Nobody stopped the writers, and setting a sequence has to wait for this, so that they surely write.
    let held = live.target.hold("BEGIN; ALTER SEQUENCE ledger.held CACHE 1");
    running.signal("INT");
    running.wait_for("Cutover: drained");
    ledger.wait_for(20);
    drop(held);
    running.wait().expect_code(1).expect_said(&[
        "the source was written to after",
        "not on the target: ledger.",
        "run the same command again",
    ]);
    assert_eq!(live.slots(), live.name);
    ledger.wait_for(100);
    let books = ledger.stop();
    goes_on(&live);
    books.check_both(&live.source, &live.target);
    live.assert_same_schema();
}

/// A source that does not flush by itself what commits asynchronously.
#[test]
fn commits_that_are_not_flushed_are_on_the_target() {
    let lazy = Cluster::start(
        15,
        &Options::online(15).set("synchronous_commit", "off").set("wal_writer_delay", "10s"),
    );
    let target = crate::harness::online_cluster(15);
    let live = Live::on(&lazy, target);
    live.source.psql(TABLE);
    let mut running = live.command().spawn();
    // Who waits for the snapshot's transactions waits for the flush, too.
    let flusher = || live.source.psql("SET synchronous_commit = on; UPDATE t SET v = v + 1");
    running.wait_for(STREAMS);
    flusher();
    running.wait_for(CAUGHT_UP);
    live.source.psql("INSERT INTO t SELECT generate_series(2, 100)");
    live.source.psql("UPDATE t SET v = 7 WHERE id = 50");
    running.signal("INT");
    running.wait().expect_code(0);
    live.assert_finished();
    assert_eq!(live.target.psql("SELECT count(*), sum(v) FROM t WHERE id > 1"), "99|7");
    assert_same_rows(&live.source, &live.target);
}

/// A migration that has been asked to cut over behind a fence, and that cannot drain.
fn stuck(live: &Live, arguments: &[&str]) -> (Running, impl Sized + use<>) {
    let mut running = live.command().arg("--fence-source").args(arguments).spawn();
    running.wait_for(CAUGHT_UP);
    let held = live.target.hold("BEGIN; LOCK TABLE t");
    live.source.psql("INSERT INTO t VALUES (2)");
    running.signal("INT");
    running.wait_for("Cutover: asked for by");
    (running, held)
}

#[test]
fn a_cutover_that_fails_takes_the_fence_down() {
    let live = Live::with(15, 15, TABLE);
    let (running, held) = stuck(&live, &["--drain-timeout-secs", "1"]);
    running.wait().expect_code(1).expect_said(&["the fence is down again"]);
    assert_eq!(live.source.psql(READ_ONLY), "off");
    assert_eq!(live.slots(), live.name);
    live.source.psql("INSERT INTO t VALUES (3)");
    drop(held);
    goes_on(&live);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn a_fence_that_a_killed_run_left_is_taken_down_by_the_next_or_by_cleanup() {
    for by_cleanup in [false, true] {
        let live = Live::with(15, 18, TABLE);
        let (running, held) = stuck(&live, &[]);
        eventually(|| live.source.psql(READ_ONLY), |on| on == "on", "no fence");
        running.signal("KILL");
        drop(running);
        drop(held);
        assert!(live.source.try_psql("INSERT INTO t VALUES (3)").is_err());
        if by_cleanup {
            let (source, target) = (live.source_conninfo(), live.target_conninfo());
            let cleanup = || {
                migrator([
                    "cleanup",
                    "--source",
                    &source,
                    "--target",
                    &target,
                    "--subscription-name",
                    &live.name,
                ])
                .run()
            };
            let run = eventually(cleanup, |run| !run.stderr.contains("is under way"), "never let go");
            run.expect_code(0).expect_said(&["can be written to again", "slot", "dropped", "journal"]);
            live.assert_finished();
        } else {
            let running = live.command().spawn();
            eventually(|| live.source.psql(READ_ONLY), |on| on == "off", "the fence stands");
            live.source.psql("INSERT INTO t VALUES (4)");
            live.cut_over(running);
            assert_same_rows(&live.source, &live.target);
        }
        assert_eq!(live.source.psql(READ_ONLY), "off");
        live.source.psql("INSERT INTO t VALUES (5)");
    }
}

#[test]
fn a_fence_says_how_it_is_lowered() {
    let live = Live::with(13, 15, TABLE);
    let mut running = live.command().arg("--fence-source").spawn();
    running.wait_for(CAUGHT_UP);
    running.signal("INT");
    let lower = format!("ALTER DATABASE {} RESET default_transaction_read_only", live.source.name);
    running.wait().expect_code(0).expect_said(&[&lower]);
    assert!(live.source.try_psql("INSERT INTO t VALUES (2)").unwrap_err().contains("read-only"));
    live.source.psql(&format!("SET default_transaction_read_only = off; {lower}"));
    live.source.psql("INSERT INTO t VALUES (2)");
    // The target is not fenced with it.
    live.target.psql("INSERT INTO t VALUES (2)");
}

#[test]
fn a_prepared_transaction_keeps_the_fence_from_standing() {
    let live = Live::with(15, 15, TABLE);
    let mut running = live.command().arg("--fence-source").spawn();
    running.wait_for(CAUGHT_UP);
    live.source.psql(&format!("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION '{}'", live.name));
    running.signal("INT");
    let run = running.wait();
    live.source.psql(&format!("COMMIT PREPARED '{}'", live.name));
    run.expect_code(1).expect_said(&[
        "prepared transactions can still write",
        &live.name,
        "ROLLBACK PREPARED",
    ]);
    assert_eq!(live.source.psql(READ_ONLY), "off");
    goes_on(&live);
    assert_same_rows(&live.source, &live.target);
}
