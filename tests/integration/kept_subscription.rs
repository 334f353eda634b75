//! A subscription that is kept after cutover: PostgreSQL's own worker goes on from the exact position, without a gap or a
//! repeat.

use pg_migrator::cutover::subscription::{self, Made, Make};
use pg_migrator::cutover::{flush_lsn, subscription_conninfo};
use pg_migrator::error::Side;

use crate::cutover_steps::{server, sessions};
use crate::harness::{Cluster, Ledger, Options, online_cluster, unique};
use crate::live::{CAUGHT_UP, Live, STREAMS};
use crate::moves::eventually;

/// No key: a change that came twice would be there twice.
const TABLES: &str = "CREATE TABLE numbers (n bigint); CREATE TABLE balances (id int PRIMARY KEY, v bigint)";

const BOOKS: &str = "SELECT count(*), count(DISTINCT n), min(n), max(n), \
    (SELECT string_agg(id || '=' || v, ' ' ORDER BY id) FROM balances) FROM numbers";

async fn goes_on(from: u32, to: &Cluster, crash: bool) {
    let (source, target) = (online_cluster(from).database("kept"), to.database("kept_target"));
    let slot = unique("kept");
    let (s, t) = sessions(&source, &target).await;
    for database in [&source, &target] {
        database.psql(TABLES);
    }
    source.psql(&format!(
        "CREATE PUBLICATION kept FOR ALL TABLES; SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    let conninfo = subscription_conninfo(server(Side::Source, &source).info(), t.version());
    let make =
        Make { source: &s, target: &t, name: "Kept", conninfo: &conninfo, publication: "kept", slot: &slot };
    let Made::There(there) = subscription::create(make).await.unwrap() else { panic!("no subscription") };
    assert!(there.is_of(&slot, "kept"), "{there:?}");
    // What the stream would have applied; the slot itself still stands before all of it.
    let first = "INSERT INTO numbers SELECT generate_series(1, 1000); INSERT INTO balances SELECT g, 0 FROM generate_series(1, 10) g";
    source.psql(first);
    target.psql(first);
    let at = flush_lsn(&s).await.unwrap();
    // Written between the cutover and the moment when somebody enables it.
    source.psql("INSERT INTO numbers SELECT generate_series(1001, 1500); UPDATE balances SET v = v + 1");
    subscription::keep(&t, "Kept", at).await.unwrap();
    assert!(subscription::find(&t, "Kept").await.unwrap().unwrap().is_of(&slot, "kept"));
    assert_eq!(target.psql("SELECT remote_lsn FROM pg_replication_origin_status s JOIN pg_subscription u ON s.external_id = 'pg_' || u.oid \
        WHERE subname = 'Kept'"), at.to_string());
    if crash {
        to.crash_and_recover();
    }
    target.psql("ALTER SUBSCRIPTION \"Kept\" ENABLE");
    source.psql("INSERT INTO numbers SELECT generate_series(1501, 2000); UPDATE balances SET v = v + 1; DELETE FROM balances WHERE id = 3");
    let expected = source.psql(BOOKS);
    eventually(|| target.psql(BOOKS), |seen| *seen == expected, "PostgreSQL's worker does not go on");
    assert!(expected.starts_with("2000|2000|1|2000|1=2 2=2 4=2"), "{expected}");
    // As an operator does it: with the slot.
    target.psql("DROP SUBSCRIPTION \"Kept\"");
    assert_eq!(
        source.psql(&format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'")),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresqls_own_worker_goes_on_15_to_15() {
    goes_on(15, online_cluster(15), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresqls_own_worker_goes_on_17_to_18() {
    goes_on(17, online_cluster(18), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresqls_own_worker_goes_on_13_to_18() {
    goes_on(13, online_cluster(18), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_position_survives_a_crash_of_the_target() {
    for major in [15, 18] {
        goes_on(15, &Cluster::start(major, &Options::online(major)), true).await;
    }
}

/// The tool leaves it, after a migration under load; an operator enables it.
fn left_by_a_migration(from: u32, to: u32, seed: u64) {
    let live = Live::with(from, to, TABLES);
    Ledger::open(&live.source);
    let ledger = Ledger::start(&live.source, seed, 4);
    let mut running = live.command().arg("--keep-subscription").spawn();
    running.wait_for(STREAMS);
    ledger.truncate_too();
    let numbers = |from: u32, to: u32| {
        for n in (from..to).step_by(50) {
            live.source.psql(&format!("INSERT INTO numbers SELECT generate_series({n}, {})", n + 49));
        }
    };
    numbers(1, 1001);
    live.source.psql(
        "INSERT INTO balances SELECT g, 0 FROM generate_series(1, 10) g; UPDATE balances SET v = v + 1",
    );
    ledger.wait_for(100);
    let books = ledger.stop();
    running.wait_for(CAUGHT_UP);
    running.signal("INT");
    let enable = format!("ALTER SUBSCRIPTION {} ENABLE", live.name);
    running.wait().expect_code(0).expect_said(&[&enable, &format!("DROP PUBLICATION {}", live.name)]);
    books.check_both(&live.source, &live.target);
    assert_eq!(live.slots(), live.name);
    let left = "SELECT subname || ' ' || subenabled::text || ' ' || subslotname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid \
        WHERE datname = current_database() UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ '^_pg_migrator'";
    assert_eq!(live.target.psql(left), format!("{0} false {0}", live.name));
    // Written before it is enabled, and after.
    numbers(1001, 1501);
    live.source.psql("UPDATE balances SET v = v + 1");
    live.target.psql(&enable);
    numbers(1501, 2001);
    live.source.psql("UPDATE balances SET v = v + 1; DELETE FROM balances WHERE id = 3");
    let expected = live.source.psql(BOOKS);
    eventually(|| live.target.psql(BOOKS), |seen| *seen == expected, "PostgreSQL's worker does not go on");
    assert!(expected.starts_with("2000|2000|1|2000|1=3 2=3 4=3"), "{expected}");
    live.target.psql(&format!("DROP SUBSCRIPTION {}", live.name));
    assert_eq!(live.slots(), "");
}

#[test]
fn left_by_a_migration_under_load_15_to_15() {
    left_by_a_migration(15, 15, 21);
}

#[test]
fn left_by_a_migration_under_load_17_to_18() {
    left_by_a_migration(17, 18, 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_cannot_be_kept() {
    let target = online_cluster(15).database("none_kept");
    let t = server(Side::Target, &target).connect().await.unwrap();
    let said = subscription::keep(&t, "Kept", pg_migrator::lsn::Lsn(7)).await.unwrap_err().to_string();
    assert!(said.contains("no subscription \"Kept\""), "{said}");
}
