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
        let lift = format!("ALTER DATABASE {} RESET default_transaction_read_only", live.source.name);
        let status = ["status", "--target", &live.target_conninfo()];
        let text = migrator(status).ok().stdout;
        assert!(
            text.contains("fence        the source is read-only for new sessions") && text.contains(&lift),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&migrator(status).arg("--json").ok().stdout).unwrap();
        assert_eq!(json["migration"]["fence"], lift.as_str(), "{json}");
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

#[test]
fn a_prepared_transaction_is_not_left_behind_without_a_fence() {
    let live = Live::with(15, 15, TABLE);
    let mut running = live.command().spawn();
    running.wait_for(CAUGHT_UP);
    live.source.psql(&format!("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION '{}'", live.name));
    // One that is about to be ended is waited for by nobody.
    std::thread::sleep(Duration::from_secs(4));
    running.signal("INT");
    let run = running.wait();
    live.source.psql(&format!("COMMIT PREPARED '{}'", live.name));
    run.expect_code(1).expect_said(&["prepared transactions can still write", &live.name, "COMMIT PREPARED"]);
    goes_on(&live);
    assert_same_rows(&live.source, &live.target);
}

/// What reads on the target keeps an identity column from being GENERATED ALWAYS again: the fence does not stand for that.
#[test]
fn a_reader_on_the_target_does_not_hold_a_fenced_source_up_for_ever() {
    let live = Live::with(
        15,
        17,
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int); INSERT INTO t (v) VALUES (1)",
    );
    let mut running = live.command().args(["--fence-source", "--drain-timeout-secs", "2"]).spawn();
    running.wait_for(CAUGHT_UP);
    let reader = live.target.hold("BEGIN; SELECT FROM t");
    running.signal("INT");
    let run = running.wait();
    assert_eq!(live.source.psql(READ_ONLY), "off");
    drop(reader);
    run.expect_code(4).expect_said(&[
        "identity column id of public.t",
        "55P03",
        "SELECT FROM t",
        "the fence is down again",
    ]);
    live.source.psql("INSERT INTO t (v) VALUES (2)");
    goes_on(&live);
    assert_same_rows(&live.source, &live.target);
}

/// A filter knows a table by the name it had: it stays the one that was copied; what is new and does not fit is said.
#[test]
fn tables_that_get_another_name_under_a_filter() {
    let live = Live::with(
        15,
        15,
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE ev (k int) PARTITION BY LIST (k); \
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES IN (1)",
    );
    let mut running = live
        .command()
        .args(["--include-table", "t", "--include-table", "ev", "--include-table", "ev_1"])
        .spawn();
    running.wait_for(CAUGHT_UP);
    live.source.psql("INSERT INTO t VALUES (1)");
    live.drained();
    live.target.psql("ALTER TABLE t RENAME TO t2");
    live.source.psql("ALTER TABLE t RENAME TO t2; INSERT INTO t2 VALUES (2); CREATE TABLE ev_2 PARTITION OF ev FOR VALUES IN (2); INSERT INTO ev VALUES (2)");
    let run = live.cut_over(running);
    run.expect_said(&["public.ev_2", "takes no part in the migration"]);
    assert_eq!(live.target.psql("SELECT id FROM t2 ORDER BY id"), "1\n2");
}

/// A subscription that is kept does not know tables that came later.
#[test]
fn a_kept_subscription_says_what_it_would_pass_over() {
    let live = Live::with(15, 15, TABLE);
    live.source.psql(&format!("CREATE PUBLICATION {} FOR ALL TABLES", live.name));
    let mut running = live.command().arg("--keep-subscription").spawn();
    running.wait_for(CAUGHT_UP);
    live.target.psql("CREATE TABLE n (id int PRIMARY KEY)");
    live.source.psql("CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (1)");
    live.drained();
    running.signal("INT");
    running.wait().expect_code(0).expect_said(&["would pass over: public.n", "REFRESH PUBLICATION"]);
    assert_eq!(live.target.psql("SELECT id FROM n"), "1");
    let name = &live.name;
    live.target.psql(&format!("ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}"));
    live.source.psql(&format!("SELECT pg_drop_replication_slot('{name}'); DROP PUBLICATION {name}"));
}

/// Only the operator cuts over: a reboot, a service manager or a lost terminal ends a run that another goes on with.
#[test]
fn what_stops_the_process_does_not_cut_over() {
    let live = Live::with(15, 15, TABLE);
    for signal in ["TERM", "HUP"] {
        let mut running = live.command().spawn();
        running.wait_for(CAUGHT_UP);
        running.signal(signal);
        running.wait().expect_code(5).expect_said(&["without cutting over", "the same command"]);
        assert_eq!(live.slots(), live.name);
        live.source.psql("INSERT INTO t SELECT max(id) + 1 FROM t");
    }
    goes_on(&live);
    assert_same_rows(&live.source, &live.target);
}
