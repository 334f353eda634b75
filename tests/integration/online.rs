//! Online migrations end to end: the source is written to while it is copied, streamed and cut over, and nothing is lost
//! or repeated.

use std::time::{Duration, Instant};

use crate::harness::{Ledger, Running, assert_same_rows, migrator};
use crate::live::{CAUGHT_UP, GOES_ON, Live};
use crate::moves::{WATCHED, assert_not_watched, eventually};
use crate::trials::{every_type, fenced, ledger};

#[test]
fn the_ledger_13_to_18() {
    ledger(13, 18, 1);
}

#[test]
fn the_ledger_15_to_15() {
    ledger(15, 15, 2);
}

#[test]
fn the_ledger_17_to_18() {
    ledger(17, 18, 3);
}

#[test]
fn writers_run_into_the_fence() {
    fenced(15, 15, 4);
}

#[test]
fn writers_run_into_the_fence_of_13() {
    fenced(13, 18, 5);
}

#[test]
fn pgbench_runs_through_it() {
    let live = Live::new(15, 18);
    let pgbench = |args: &[&str]| live.source.pgbench(args).spawn().unwrap();
    let made = pgbench(&["-i", "-q", "-s", "2"]).wait_with_output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let load = pgbench(&["-n", "-c", "4", "-j", "2", "-T", "8", "--random-seed=7"]);
    let running = live.start();
    let load = load.wait_with_output().unwrap();
    println!("{}", String::from_utf8_lossy(&load.stdout));
    assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    let written: u64 = live.source.psql("SELECT count(*) FROM pgbench_history").parse().unwrap();
    assert!(written > 100, "{written}");
    let run = live.cut_over(running);
    println!("{}", run.stdout);
    assert_same_rows(&live.source, &live.target);
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), \
                (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(tbalance) FROM pgbench_tellers)";
    assert_eq!(live.target.psql(sums), "t|t");
    live.assert_same_schema();
}

#[test]
fn event_triggers_do_not_fire_for_the_end_of_the_journal() {
    let live = Live::with(15, 18, WATCHED);
    let running = live.start();
    // On the source they fire for us as for anybody, and our publication would have to stay.
    live.source.psql("ALTER EVENT TRIGGER usual DISABLE; ALTER EVENT TRIGGER a_note DISABLE");
    live.cut_over(running);
    assert_not_watched(&live.target);
}

#[test]
fn an_interrupt_during_the_copy_leaves_no_slot() {
    let live = Live::with(
        15,
        15,
        "CREATE TABLE t (id int PRIMARY KEY, t text); INSERT INTO t SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 200000) g",
    );
    let mut running = live.command().spawn();
    running.wait_for("Restore: started");
    assert_eq!(live.slots(), live.name);
    running.signal("INT");
    running.wait().expect_code(5).expect_said(&["interrupted"]);
    assert_eq!(live.slots(), "");
    // The same command begins again.
    live.cut_over(live.start());
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn an_idle_source_is_caught_up_with_and_lag_is_zero() {
    let live = Live::with(
        15,
        18,
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT FROM generate_series(1, 5)",
    );
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    // WAL that holds nothing of ours must not leave a lag either.
    live.source
        .cluster
        .maintenance()
        .psql("CREATE TABLE IF NOT EXISTS other AS SELECT generate_series(1, 10000); DROP TABLE other");
    running.wait_for_next("replication lag 0 bytes");
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
    // A sequence that was set goes on where the source's would have.
    assert_eq!(live.target.psql("INSERT INTO t DEFAULT VALUES RETURNING id"), "6");
}

#[test]
fn cutover_from_another_process() {
    let live = Live::with(15, 15, "CREATE TABLE t (id int PRIMARY KEY)");
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    live.source.psql("INSERT INTO t VALUES (1)");
    let target = live.target_conninfo();
    migrator(["cutover", "--target", &target, "--subscription-name", &live.name]).ok();
    running.wait().expect_code(0).expect_said(&["Cutover: asked for by"]);
    live.assert_finished();
    assert_same_rows(&live.source, &live.target);
    live.assert_same_schema();
    // There is nothing to ask any more.
    let again = migrator(["cutover", "--target", &target, "--subscription-name", &live.name]).run();
    assert_ne!(again.code, 0, "{again:?}");
}

#[test]
fn a_second_interrupt_ends_at_once_and_the_same_command_goes_on() {
    let live = Live::new(15, 15);
    Ledger::open(&live.source);
    let ledger = Ledger::start(&live.source, 6, 4);
    let mut running = live.start();
    ledger.wait_for(100);
    // The drain has to wait for this.
    let held = live.target.hold("BEGIN; LOCK TABLE ledger.numbered");
    ledger.wait_for(50);
    running.signal("INT");
    running.wait_for("Cutover: asked for by");
    running.signal("INT");
    let asked = Instant::now();
    running.wait().expect_code(5).expect_said(&["interrupted"]);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(held);
    assert_eq!(live.slots(), live.name);
    ledger.wait_for(100);
    let mut running = live.command().spawn();
    running.wait_for(GOES_ON);
    ledger.wait_for(100);
    let books = ledger.stop();
    live.cut_over(running);
    books.check_both(&live.source, &live.target);
}

#[test]
fn every_type_13_to_18() {
    every_type(13, 18);
}

#[test]
fn every_type_15_to_15() {
    every_type(15, 15);
}

#[test]
fn every_type_18_to_18() {
    every_type(18, 18);
}

/// The options that the walsender was started with.
fn options(live: &Live) -> String {
    live.source.psql(
        "SELECT regexp_replace(query, '.*LOGICAL', '') FROM pg_stat_activity WHERE backend_type = 'walsender' \
         AND datname = current_database() AND query ~ 'START_REPLICATION'",
    )
}

#[track_caller]
fn comes_in_binary(live: &Live) {
    eventually(|| options(live), |o| o.contains("binary"), "never in binary format");
}

#[track_caller]
fn comes_in_text(live: &Live) {
    eventually(|| options(live), |o| !o.is_empty() && !o.contains("binary"), "never in text format");
}

/// The migration goes on in text format, to its end.
#[track_caller]
fn ends_in_text(live: &Live, running: Running) {
    live.drained();
    comes_in_text(live);
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn values_come_in_binary_format_where_that_suits_until_a_column_comes_that_it_does_not() {
    let live = Live::with(
        17,
        18,
        "CREATE TYPE mood AS ENUM ('fine', 'so so'); CREATE DOMAIN small AS int CHECK (VALUE < 1000); \
         CREATE TABLE t (id int PRIMARY KEY, n numeric, at timestamptz, m mood, s small, j jsonb, o text); \
         INSERT INTO t SELECT i, i / 7.0, now(), 'fine', i, to_jsonb(i), NULL FROM generate_series(1, 100) i",
    );
    let running = live.start();
    comes_in_binary(&live);
    live.source.psql(
        "UPDATE t SET n = n * 2, m = 'so so', at = 'infinity', o = 'o' WHERE id < 50; DELETE FROM t WHERE id > 90; \
         UPDATE t SET id = -id WHERE id % 10 = 3; INSERT INTO t SELECT i FROM generate_series(200, 300) i",
    );
    live.drained();
    assert_same_rows(&live.source, &live.target);
    for side in [&live.target, &live.source] {
        side.psql("ALTER TABLE t ADD more int[]");
    }
    live.source.psql("UPDATE t SET o = 'more', more = ARRAY[id, NULL] WHERE id % 2 = 0");
    ends_in_text(&live, running);
}

#[test]
fn the_source_itself_gives_up_on_a_binary_format_and_the_stream_goes_on_in_text() {
    let live =
        Live::with(14, 18, "CREATE TABLE t (id int PRIMARY KEY, o text); INSERT INTO t VALUES (1, 'one')");
    let running = live.start();
    comes_in_binary(&live);
    for side in [&live.target, &live.source] {
        side.psql("ALTER TABLE t ADD more aclitem[]");
    }
    live.source
        .psql("INSERT INTO t VALUES (2, 'two', ARRAY['=r/postgres'::aclitem]); UPDATE t SET o = 'changed'");
    ends_in_text(&live, running);
}

#[test]
fn values_come_in_text_format_where_that_is_asked_for() {
    let live = Live::with(17, 18, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let mut running = live.command().args(["--no-binary", "--apply-memory", "4MB"]).spawn();
    running.wait_for(crate::live::STREAMS);
    comes_in_text(&live);
    live.source.psql("INSERT INTO t SELECT generate_series(2, 1000)");
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}
