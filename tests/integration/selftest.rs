//! The harness holds what it promises: servers start, die with us, and the oracles see a difference.

use std::time::{Duration, Instant};

use crate::harness::{
    Cluster, Ledger, Options, Proxy, cluster, diff, online_cluster, reference_target, rows, schema_dump,
};

#[test]
fn a_shared_server_runs_sql_and_the_oracles_agree_with_themselves() {
    let source = cluster(13).database("selftest");
    source.psql(
        "CREATE TABLE t (t text, \"T t\" int); INSERT INTO t VALUES ('a', 1), (NULL, 2); CREATE SEQUENCE s",
    );
    let target = reference_target(&source, cluster(18), true);
    assert_eq!(rows(&source), rows(&target));
    assert!(schema_dump(&source).contains("CREATE TABLE public.t"));
    target.psql("UPDATE t SET t = 'b'");
    assert_ne!(rows(&source), rows(&target));
    assert!(diff("a\nb\n", "a\nc\n").contains("+c"));
}

#[test]
fn a_private_server_crashes_recovers_and_goes_away() {
    let server = Cluster::start(15, &Options::new().set("wal_level", "minimal").set("max_wal_senders", "0"));
    let db = server.database("selftest");
    db.psql("CREATE TABLE t AS SELECT 1");
    server.crash_and_recover();
    assert_eq!(db.psql("SELECT count(*) FROM t; SHOW wal_level"), "1\nminimal");
    drop(db);
    let folder = server.socket_dir().to_owned();
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn the_proxy_delays_cuts_and_swallows() {
    let server = cluster(18);
    let proxy = Proxy::start(server.port, Duration::from_millis(20));
    let through = server.maintenance().conninfo_as("postgres", proxy.port);
    let psql = |sql: &str| {
        let mut command = server.maintenance().psql_command();
        command.args(["-d", &through, "-c", sql]).output().unwrap()
    };
    let started = Instant::now();
    assert!(psql("SELECT 1").status.success());
    assert!(started.elapsed() > Duration::from_millis(80));
    // Bandwidth is not the delay's: 32 MB take nothing like 500 chunks of 20 ms each.
    let started = Instant::now();
    assert_eq!(psql("SELECT repeat('x', 32000000)").stdout.len(), 32_000_001);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    proxy.cut_after(100_000);
    assert!(!psql("SELECT repeat('x', 32000000)").status.success());
}

#[test]
fn a_database_with_slots_subscriptions_and_prepared_transactions_can_be_dropped() {
    for major in [13, 18] {
        let server = online_cluster(major);
        let (source, target) = (server.database("selftest"), server.database("selftest"));
        source.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES");
        target.psql("CREATE TABLE t (id int PRIMARY KEY)");
        let slot = format!("slot_{}", source.name);
        source.psql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
        target.psql(&format!(
            "CREATE SUBSCRIPTION {slot} CONNECTION '{}' PUBLICATION p WITH (create_slot = false, slot_name = '{slot}', copy_data = false)",
            source.conninfo().replace('\'', "''")
        ));
        source.psql(
            "INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'selftest'",
        );
        let names = format!("('{}', '{}')", source.name, target.name);
        drop((source, target));
        let left = format!(
            "SELECT (SELECT count(*) FROM pg_database WHERE datname IN {names}) + (SELECT count(*) FROM pg_replication_slots WHERE database IN {names}) \
             + (SELECT count(*) FROM pg_prepared_xacts WHERE database IN {names}) + (SELECT count(*) FROM pg_subscription WHERE subname = '{slot}')"
        );
        assert_eq!(server.maintenance().psql(&left), "0");
    }
}

#[test]
fn the_ledger_keeps_right_books_even_when_its_server_crashes() {
    for major in [13, 18] {
        let server = Cluster::start(major, &Options::online(major));
        let source = server.database("selftest");
        Ledger::open(&source);
        let ledger = Ledger::start(&source, u64::from(major), 8);
        ledger.wait_for(300);
        server.crash_and_recover();
        ledger.wait_for(300);
        let books = ledger.stop();
        books.check(&source);
        let forged = "DELETE FROM ledger.log WHERE ctid = (SELECT ctid FROM ledger.log LIMIT 1)";
        source.psql(forged);
        let check = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| books.check(&source)));
        assert!(check.is_err(), "a lost row is not seen");
    }
}
