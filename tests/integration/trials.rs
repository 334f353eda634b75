//! Whole online migrations under load, as functions of versions and seed: `make test` tries a few, `make test-long` many.

#![allow(dead_code)]

use std::time::{Duration, Instant};

use crate::harness::{Chance, Cluster, Ledger, Options, Proxy, Running, assert_same_rows, fixture};
use crate::live::{CAUGHT_UP, GOES_ON, Live, SLOT, STREAMS, lanes};

/// The ledger runs through everything; the writers stop before the cutover.
pub fn ledger(from: u32, to: u32, seed: u64) {
    ledger_over(lanes(), from, to, seed);
}

/// The same over so many lanes. What is to be spread over several is a backlog: the tool stands still for a while.
pub fn ledger_over(lanes: usize, from: u32, to: u32, seed: u64) {
    let live = Live::new(from, to).over(lanes);
    Ledger::open(&live.source);
    let ledger = Ledger::start(&live.source, seed, 8);
    ledger.wait_for(50);
    let mut running = live.command().limit(Duration::from_secs(300)).spawn();
    running.wait_for(SLOT);
    ledger.truncate_too();
    running.wait_for(STREAMS);
    ledger.wait_for(400);
    if lanes > 1 {
        running.signal("STOP");
        ledger.wait_for(500);
        running.signal("CONT");
    }
    let books = ledger.stop();
    live.cut_over(running);
    books.check_both(&live.source, &live.target);
    live.assert_same_schema();
}

/// Nobody stops the writers but the fence; each acknowledged commit is on the target.
pub fn fenced(from: u32, to: u32, seed: u64) {
    fenced_over(lanes(), from, to, seed);
}

/// The same over so many lanes.
pub fn fenced_over(lanes: usize, from: u32, to: u32, seed: u64) {
    let live = Live::new(from, to).over(lanes);
    Ledger::open(&live.source);
    // Slowly, so that a debug build on a busy machine keeps up.
    let ledger = Ledger::start_at(live.source.conninfo(), seed, 8, Duration::from_millis(60));
    let mut running = live.command().arg("--fence-source").spawn();
    running.wait_for(SLOT);
    ledger.truncate_too();
    running.wait_for(STREAMS);
    ledger.wait_for(200);
    running.wait_for(CAUGHT_UP);
    running.signal("INT");
    let run = running.wait().expect_code(0);
    println!("fenced: {:?} in all", run.elapsed);
    let ended = Instant::now();
    // The clients go on trying, in vain.
    std::thread::sleep(Duration::from_millis(500));
    assert!(ledger.last_acknowledged() < ended, "a write was accepted after the cutover");
    let books = ledger.stop();
    books.check_both(&live.source, &live.target);
    live.target.psql("UPDATE ledger.account SET balance = balance WHERE id = 1");
}

/// Every type of column, inserted, updated, deleted and given other keys through the stream.
pub fn every_type(from: u32, to: u32) {
    let live = Live::new(from, to);
    live.source.psql_file(&fixture("every_type.sql"));
    // None is forgotten, but for the server's own and what no column can be filled with.
    let forgotten = "SET search_path = every, public; SELECT string_agg(format_type(t.oid, NULL), ' ') FROM pg_type t \
        WHERE typtype IN ('b', 'd', 'e', 'r', 'm') AND typcategory <> 'A' AND NOT EXISTS (SELECT FROM kinds k WHERE to_regtype(k.type) = t.oid) \
        AND typname NOT IN ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', \
          'gtsvector', 'ghstore', 'ltree_gist', 'intbig_gkey')";
    assert_eq!(live.source.psql(forgotten), "");
    let running = live.start();
    live.source.psql_file(&fixture("every_type_changes.sql"));
    live.drained();
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}

/// One transaction of many rows: memory does not grow with it. Returns the peak, in kilobytes.
pub fn huge_transaction(from: u32, to: u32, rows: u64) -> u64 {
    let live = Live::with(from, to, "CREATE TABLE t (id bigint PRIMARY KEY, v int)");
    let mut running = live.command().limit(Duration::from_secs(3000)).spawn();
    running.wait_for(STREAMS);
    live.source.psql(&format!(
        "BEGIN; INSERT INTO t SELECT g, 0 FROM generate_series(1, {rows}) g; UPDATE t SET v = 1 WHERE id <= {rows} / 10; COMMIT"
    ));
    let here = live.source.psql("SELECT pg_current_wal_flush_lsn()");
    let confirmed = format!(
        "SELECT confirmed_flush_lsn >= '{here}' FROM pg_replication_slots WHERE slot_name = '{}'",
        live.name
    );
    while live.source.psql(&confirmed) != "t" {
        assert!(!running.has_ended(), "{:?}", running.wait());
        std::thread::sleep(Duration::from_millis(200));
    }
    let run = live.cut_over(running);
    println!("{rows} rows in one transaction: {:?}, {} kB", run.elapsed, run.peak_kb);
    assert_same_rows(&live.source, &live.target);
    run.peak_kb
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blow {
    /// kill -9 of the tool.
    Tool,
    /// The source crashes and comes back.
    Source,
    /// The target crashes and comes back.
    Target,
    /// Every connection to the source breaks.
    SourceLink,
    /// Every connection to the target breaks.
    TargetLink,
    /// The replication connection is ended.
    Walsender,
    /// The other sessions on the source are ended.
    SourceSessions,
    /// The sessions on the target are ended.
    TargetSessions,
}

/// Every kind of blow.
pub const ALL_BLOWS: [Blow; 8] = [
    Blow::Tool,
    Blow::Source,
    Blow::Target,
    Blow::SourceLink,
    Blow::TargetLink,
    Blow::Walsender,
    Blow::SourceSessions,
    Blow::TargetSessions,
];

/// A migration under load takes these blows, each after a random number of transactions.
pub fn survives(from: u32, to: u32, seed: u64, blows: &[Blow]) {
    survives_over(lanes(), from, to, seed, blows);
}

/// The same over so many lanes.
pub fn survives_over(lanes: usize, from: u32, to: u32, seed: u64, blows: &[Blow]) {
    survives_on(&Options::online(from), lanes, from, to, seed, blows);
}

/// The same, the source with these settings.
pub fn survives_on(settings: &Options, lanes: usize, from: u32, to: u32, seed: u64, blows: &[Blow]) {
    println!("{from} → {to}, seed {seed}: {blows:?}");
    let mut chance = Chance::new(seed);
    let (source, target) = (Cluster::start(from, settings), Cluster::start(to, &Options::online(to)));
    let links = [&source, &target].map(|server| Proxy::start(server.port, Duration::ZERO));
    let live = Live::on(&source, &target).through(links[0].port, links[1].port).over(lanes);
    Ledger::open(&live.source);
    let ledger = Ledger::start(&live.source, seed, 6);
    let mut running = live.start();
    ledger.truncate_too();
    for blow in blows {
        ledger.wait_for(chance.between(20, 250) as u64);
        std::thread::sleep(Duration::from_millis(chance.between(0, 300) as u64));
        strike(*blow, &live, &links, &mut running);
        ledger.wait_for(50);
        revive(&live, &mut running);
    }
    ledger.wait_for(100);
    let books = ledger.stop();
    // What was struck last may just be ending the tool, or it is being connected again.
    while !caught_up(&live, &running) {
        std::thread::sleep(Duration::from_millis(50));
        revive(&live, &mut running);
    }
    running.signal("INT");
    running.wait().expect_code(0);
    live.assert_finished();
    books.check_both(&live.source, &live.target);
}

fn strike(blow: Blow, live: &Live, links: &[Proxy; 2], running: &mut Running) {
    let sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name ~ 'pg_migrator' AND backend_type = 'client backend'";
    match blow {
        Blow::Tool => running.signal("KILL"),
        Blow::Source => live.source.cluster.crash_and_recover(),
        Blow::Target => live.target.cluster.crash_and_recover(),
        Blow::SourceLink => links[0].cut(),
        Blow::TargetLink => links[1].cut(),
        Blow::Walsender => {
            live.source
                .psql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
        }
        Blow::SourceSessions => {
            live.source.psql(sessions);
        }
        Blow::TargetSessions => {
            live.target.psql(sessions);
        }
    }
}

/// Starts the same command again where it has ended; it may only have ended as one that can go on.
fn revive(live: &Live, running: &mut Running) {
    if running.has_ended() {
        let mut again = live.command().spawn();
        again.wait_for(GOES_ON);
        let ended = std::mem::replace(running, again).wait();
        assert!([-1, 3, 4].contains(&ended.code), "{}:\n{}", ended.code, ended.stderr);
        println!("ended with {}, and went on", ended.code);
    }
}

/// Whether all that the source has written is durable on the target.
fn caught_up(live: &Live, running: &Running) -> bool {
    assert!(running.age() < Duration::from_secs(100), "it never caught up");
    let look = "SELECT count(*) FROM pg_replication_slots WHERE active AND confirmed_flush_lsn >= pg_current_wal_flush_lsn()";
    live.source.try_psql(look).is_ok_and(|n| n == "1")
}
