//! Slots on real servers: made with a snapshot that readers share, held up by old transactions, refused, taken over, dropped.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pg_migrator::error::{ExitCode, Side};
use pg_migrator::pg::{BEGIN_READER, Server, Session, import_snapshot};
use pg_migrator::progress::{Event, Reporter};
use pg_migrator::snapshot::{ReplicationSlot, SlotError, Snapshot, drop_slot, take_slot_over};

use crate::harness::{Cluster, Database, Options};
use crate::moves::eventually;

const LONG: Duration = Duration::from_secs(60);

/// A server of the test's own: the creation of a slot waits for every transaction of the server.
fn source_cluster(major: u32) -> Cluster {
    Cluster::start(major, &Options::online(major))
}

fn source(database: &Database) -> Server {
    Server::parse(Side::Source, &database.conninfo()).unwrap()
}

/// A reporter and what it heard.
fn listener() -> (Reporter, Arc<Mutex<Vec<Event>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    (Reporter::new(move |event| ears.lock().unwrap().push(event)), heard)
}

fn waits(heard: &Mutex<Vec<Event>>) -> Vec<Vec<String>> {
    let events = heard.lock().unwrap();
    let holders = events.iter().filter_map(|event| match event {
        Event::SlotWaits { holders, .. } => Some(holders.clone()),
        _ => None,
    });
    holders.collect()
}

fn slots(database: &Database) -> String {
    database.psql("SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots")
}

/// A session whose transaction has a number, and is idle.
async fn open_transaction(server: &Server) -> Session {
    let session = server.connect().await.unwrap();
    session.batch("opening", "BEGIN; INSERT INTO public.t VALUES (100)").await.unwrap();
    session
}

#[tokio::test]
async fn a_slot_comes_with_a_snapshot_that_readers_share() {
    for major in [10, 13, 15, 18] {
        let cluster = source_cluster(major);
        let db = cluster.database("slots");
        db.psql("CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
        let server = source(&db);
        let (reporter, heard) = listener();
        let slot = ReplicationSlot::create(&server, "It's", LONG, &reporter).await;
        assert!(matches!(slot, Err(SlotError::Refused { .. })), "the server's rule for names: {slot:?}");
        let slot = ReplicationSlot::create(&server, "made", LONG, &reporter).await.unwrap();
        assert_eq!(slot.name(), "made");
        let point = db.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE plugin = 'pgoutput'");
        assert_eq!(slot.consistent_point().to_string(), point);
        db.psql("INSERT INTO t VALUES (2)");

        let session = server.connect().await.unwrap();
        let import = format!("{BEGIN_READER}; {}", import_snapshot(slot.snapshot()));
        session.batch("importing", &import).await.unwrap();
        let snapshot = Snapshot::adopt(session, slot.snapshot().to_owned());
        let count = "SELECT count(*) AS n FROM public.t";
        let rows = snapshot.session().query("counting", count).await.unwrap();
        assert_eq!(rows[0].get::<i64>("n").unwrap(), 1, "the snapshot is older than the second row");

        slot.release().await;
        assert_eq!(slots(&db), "made", "the slot outlives its session");
        let session = server.connect().await.unwrap();
        assert!(drop_slot(&session, "made").await.unwrap());
        assert!(!drop_slot(&session, "made").await.unwrap(), "it is gone already");
        assert!(matches!(&heard.lock().unwrap()[..], [Event::SlotCreated { .. }]), "{heard:?}");
    }
}

#[tokio::test]
async fn what_holds_a_slot_up_is_named() {
    for major in [10, 13, 15, 18] {
        let cluster = source_cluster(major);
        let (db, elsewhere) = (cluster.database("slots"), cluster.database("elsewhere"));
        for db in [&db, &elsewhere] {
            db.psql("CREATE TABLE t (i int)");
        }
        // Transactions of other databases count, and prepared ones.
        let blocker = open_transaction(&source(&elsewhere)).await;
        db.psql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s ready'");
        let (reporter, heard) = listener();
        let server = source(&db);
        let creation =
            tokio::spawn(async move { ReplicationSlot::create(&server, "held", LONG, &reporter).await });
        let started = Instant::now();
        while waits(&heard).is_empty() {
            assert!(started.elapsed() < Duration::from_secs(20), "{major}: nobody is named");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let named = waits(&heard)[0].join("\n");
        for part in [
            "role postgres, database elsewhere",
            "idle in transaction",
            "INSERT INTO public.t VALUES (100)",
            "prepared transaction 'it's ready'",
        ] {
            assert!(named.contains(part), "{major}: {part}: {named}");
        }
        assert_eq!(waits(&heard)[0].len(), 2, "{major}: {named}");
        blocker.batch("ending", "COMMIT").await.unwrap();
        db.psql("COMMIT PREPARED 'it''s ready'");
        creation.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_waits_too_long_is_given_up_and_leaves_nothing() {
    for major in [10, 13, 18] {
        let cluster = source_cluster(major);
        let db = cluster.database("slots");
        db.psql("CREATE TABLE t (i int)");
        let server = source(&db);
        let _blocker = open_transaction(&server).await;
        let deadline = Duration::from_secs(2);
        let started = Instant::now();
        let error =
            ReplicationSlot::create(&server, "late", deadline, &Reporter::default()).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        assert_eq!(error.exit_code(), ExitCode::Source);
        let text = error.to_string();
        for part in ["\"late\"", "idle in transaction", "process ", "--slot-timeout-secs"] {
            assert!(text.contains(part), "{major}: {part}: {text}");
        }
        eventually(|| slots(&db), String::is_empty, "a slot was left");
    }
}

#[tokio::test]
async fn a_creation_that_is_abandoned_leaves_no_slot() {
    let cluster = source_cluster(15);
    let db = cluster.database("slots");
    db.psql("CREATE TABLE t (i int)");
    let server = source(&db);
    let _blocker = open_transaction(&server).await;
    let reporter = Reporter::default();
    let creation = ReplicationSlot::create(&server, "abandoned", LONG, &reporter);
    assert!(tokio::time::timeout(Duration::from_millis(1500), creation).await.is_err());
    // In the background, without the transaction's end.
    let slots = || db.psql("SELECT count(*) FROM pg_replication_slots");
    for _ in 0..100 {
        if slots() == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the creation goes on");
}

#[tokio::test]
async fn a_slot_of_that_name_is_refused_with_what_to_do() {
    let cluster = Cluster::start(15, &Options::online(15).set("max_replication_slots", "1"));
    let db = cluster.database("slots");
    let server = source(&db);
    db.psql("SELECT pg_create_physical_replication_slot('taken')");
    let reporter = Reporter::default();
    let create = |name| ReplicationSlot::create(&server, name, LONG, &reporter);
    let error = create("taken").await.unwrap_err().to_string();
    assert!(
        error.contains("exists already") && error.contains("pg_drop_replication_slot('taken')"),
        "{error}"
    );
    let error = create("other").await.unwrap_err().to_string();
    assert!(error.contains("max_replication_slots"), "{error}");
    assert_eq!(slots(&db), "taken");
}

#[tokio::test]
async fn a_source_that_cannot_decode_says_what_to_set() {
    let cluster = Cluster::start(15, &Options::new());
    let db = cluster.database("slots");
    let reporter = Reporter::default();
    let error = ReplicationSlot::create(&source(&db), "s", LONG, &reporter).await.unwrap_err().to_string();
    assert!(error.contains("wal_level"), "{error}");
    db.psql("CREATE ROLE plain LOGIN");
    let server = Server::parse(Side::Source, &db.conninfo_as("plain", cluster.port)).unwrap();
    let error = ReplicationSlot::create(&server, "s", LONG, &reporter).await.unwrap_err();
    assert!(matches!(error, SlotError::Connect(_)), "{error}");
    assert!(error.to_string().to_lowercase().contains("replication"), "{error}");
}

#[tokio::test]
async fn a_slot_in_use_is_dropped_only_once_it_is_taken_over() {
    for major in [10, 18] {
        let cluster = source_cluster(major);
        let db = cluster.database("slots");
        db.psql("CREATE PUBLICATION p");
        let server = source(&db);
        let slot = ReplicationSlot::create(&server, "used", LONG, &Reporter::default()).await.unwrap();
        slot.release().await;
        let mut wire = server.connect_replication("UTF8").await.unwrap();
        let start = "START_REPLICATION SLOT \"used\" LOGICAL 0/0 (\"proto_version\" '1', \"publication_names\" '\"p\"')";
        wire.start_replication("starting", start).await.unwrap();
        let session = server.connect().await.unwrap();
        let error = drop_slot(&session, "used").await.unwrap_err();
        assert_eq!(error.sqlstate.as_deref(), Some("55006"), "{error}");
        assert!(take_slot_over(&session, "used").await.unwrap());
        assert!(!take_slot_over(&session, "used").await.unwrap(), "nobody uses it");
        assert!(drop_slot(&session, "used").await.unwrap());
    }
}
