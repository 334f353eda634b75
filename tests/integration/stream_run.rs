//! The stream through the library: receiver, decoder and applier on real servers, without the rest of a migration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pg_migrator::config::OnlineOptions;
use pg_migrator::error::{ExitCode, Side};
use pg_migrator::journal;
use pg_migrator::lsn::Lsn;
use pg_migrator::pg::{Server, Session};
use pg_migrator::progress::Reporter;
use pg_migrator::snapshot::ReplicationSlot;
use pg_migrator::stream::{self, Input, Order, Status, StreamError, Taken};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{Cluster, Database, Options, Proxy, assert_same_rows, online_cluster};

const LONG: Duration = Duration::from_secs(60);

/// Two databases with the same tables, a publication, a slot, and a journal that says that the copy is done.
pub struct Rig<'a> {
    pub source: Database<'a>,
    pub target: Database<'a>,
    from: Server,
    to: Server,
    pub slot: String,
    pub options: OnlineOptions,
}

/// A stream under way.
pub struct Running {
    orders: watch::Sender<Order>,
    pub status: Arc<Status>,
    pub task: JoinHandle<Result<(), StreamError>>,
}

impl<'a> Rig<'a> {
    pub async fn new(source: &'a Cluster, target: &'a Cluster, schema: &str) -> Rig<'a> {
        let (source, target) = (source.database("stream"), target.database("stream"));
        source.psql(&format!("{schema}; CREATE PUBLICATION \"It's \"\"p\"\"\" FOR ALL TABLES"));
        target.psql(schema);
        let from = Server::parse(Side::Source, &source.conninfo()).unwrap();
        let to = Server::parse(Side::Target, &target.conninfo()).unwrap();
        let slot = ReplicationSlot::create(&from, &source.name, LONG, &Reporter::default()).await.unwrap();
        let session = to.connect().await.unwrap();
        let origin = journal::Origin {
            name: "m".into(),
            mode: "online",
            system_identifier: "1".into(),
            database: source.name.clone(),
            snapshot: slot.snapshot().into(),
            snapshot_lsn: slot.consistent_point().to_string(),
            slot: Some((slot.name().into(), "p".into())),
        };
        journal::begin(&session, &origin).await.unwrap();
        journal::stream_begun(&session, "m", 1, slot.consistent_point(), &[]).await.unwrap();
        let name = slot.name().to_owned();
        slot.release().await;
        Rig { source, target, from, to, slot: name, options: OnlineOptions::default() }
    }

    pub async fn start(&self) -> Running {
        let session = self.to.connect().await.unwrap();
        let record = journal::stream_record(&session, "m").await.unwrap().unwrap();
        let input = Input {
            source: self.from.clone(),
            target: self.to.clone(),
            slot: self.slot.clone(),
            publication: "It's \"p\"".into(),
            name: "m".into(),
            lanes: record.lanes,
            options: self.options.clone(),
            relations: Taken::everything(),
            reporter: Reporter::default(),
        };
        let status = Arc::new(Status::default());
        let (orders, listening) = watch::channel(Order::Go);
        let task = tokio::spawn(stream::run(input, listening, Arc::clone(&status)));
        Running { orders, status, task }
    }

    pub fn flush_lsn(&self) -> Lsn {
        self.source.psql("SELECT pg_current_wal_flush_lsn()").parse().unwrap()
    }

    pub fn confirmed(&self) -> Lsn {
        let sql =
            format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}'", self.slot);
        self.source.psql(&sql).parse().unwrap()
    }
}

impl Running {
    /// Waits until everything before `at` is durable on the target.
    pub async fn durable(&self, at: Lsn) {
        self.until(&format!("durable at {at}"), || self.status.durable.get() >= at).await;
    }

    pub async fn until(&self, what: &str, good: impl Fn() -> bool) {
        let started = Instant::now();
        while !good() {
            assert!(!self.task.is_finished(), "the stream has ended before it was {what}");
            assert!(started.elapsed() < LONG, "not {what}: {:?}", self.status);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn stop(self) -> Arc<Status> {
        let asked = Instant::now();
        self.orders.send(Order::Stop).unwrap();
        self.task.await.unwrap().unwrap();
        // The farewell's own limit is two seconds: the source must have answered before.
        assert!(asked.elapsed() < Duration::from_millis(1900), "{:?}", asked.elapsed());
        self.status
    }

    async fn error(self) -> StreamError {
        tokio::time::timeout(LONG, self.task).await.unwrap().unwrap().unwrap_err()
    }
}

pub async fn session(database: &Database<'_>) -> Session {
    Server::parse(Side::Source, &database.conninfo()).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_order_by_commit_of_transactions_that_interleave() {
    for (from, to) in [(10, 13), (13, 18), (15, 15), (18, 18)] {
        let schema = "CREATE TABLE t (id int PRIMARY KEY, by text, n int)";
        let rig = Rig::new(online_cluster(from), online_cluster(to), schema).await;
        rig.source.psql("INSERT INTO t VALUES (0, 'before', 0)");
        let running = rig.start().await;
        let (a, b) = (session(&rig.source).await, session(&rig.source).await);
        let run = async |session: &Session, sql: &str| session.batch("writing", sql).await.unwrap();
        // The first to begin is the last to commit; the other's commits lie in between.
        for round in 1..=20 {
            run(&a, &format!("BEGIN; INSERT INTO public.t VALUES ({round}, 'a', 0)")).await;
            run(&b, &format!("BEGIN; UPDATE public.t SET n = n + 1, by = 'b' WHERE id < {round}")).await;
            run(
                &a,
                &format!(
                    "SAVEPOINT s; INSERT INTO public.t VALUES ({}, 'gone', 0); ROLLBACK TO s",
                    round + 100
                ),
            )
            .await;
            run(&b, "COMMIT").await;
            run(&b, "DELETE FROM public.t WHERE id = 0; INSERT INTO public.t VALUES (0, 'again', 0)").await;
            run(&a, "UPDATE public.t SET by = 'a' WHERE id <= 3").await;
            run(&a, "COMMIT").await;
        }
        running.durable(rig.flush_lsn()).await;
        assert_same_rows(&rig.source, &rig.target);
        let status = running.stop().await;
        assert_eq!(status.transactions.get(), 1 + 3 * 20, "{from}: {status:?}");
        assert_eq!(status.inserts.get(), 1 + 2 * 20);
        assert_eq!((status.deletes.get(), status.missing.get()), (20, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_applied_and_confirmed_at_once() {
    let rig = Rig::new(online_cluster(15), online_cluster(18), "CREATE TABLE t (i int PRIMARY KEY)").await;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (0)");
    running.durable(rig.flush_lsn()).await;
    let writer = session(&rig.source).await;
    let mut slowest = Duration::ZERO;
    for i in 1..=20 {
        writer.batch("writing", &format!("INSERT INTO public.t VALUES ({i})")).await.unwrap();
        let committed = Instant::now();
        running.until("applied", || running.status.inserts.get() > i).await;
        slowest = slowest.max(committed.elapsed());
    }
    // A batch is not waited for; the limit leaves room for a machine that does other things.
    assert!(slowest < Duration::from_millis(1000), "{slowest:?}");
    let at = rig.flush_lsn();
    running.until("confirmed", || running.status.confirmed.get() >= at).await;
    let started = Instant::now();
    while rig.confirmed() < at {
        assert!(started.elapsed() < Duration::from_secs(5), "the source was not told");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_empty_transactions_and_an_idle_source_are_confirmed_to_the_end() {
    for major in [10, 15, 18] {
        let schema = "CREATE TABLE t (i int PRIMARY KEY)";
        let rig = Rig::new(online_cluster(major), online_cluster(18), schema).await;
        let running = rig.start().await;
        rig.source.psql("INSERT INTO t VALUES (1)");
        running.durable(rig.flush_lsn()).await;
        // WAL that holds nothing for us, and empty transactions: lag returns to 0 and the slot goes along.
        for _ in 0..3 {
            rig.source.psql(
                "SELECT pg_logical_emit_message(true, 'not', repeat('for us', 10000)); CREATE TABLE elsewhere (i int); \
                 DROP TABLE elsewhere; BEGIN; SELECT txid_current(); COMMIT; CHECKPOINT",
            );
            let end = rig.flush_lsn();
            running.durable(end).await;
            running.until("confirmed", || running.status.confirmed.get() >= end).await;
        }
        let status = running.stop().await;
        assert_eq!((status.transactions.get() >= 1, status.inserts.get() >= 1), (true, true));
        assert!(rig.confirmed() >= status.applied.get(), "the last position was told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trap_wal_sender_timeout_while_a_batch_is_slow() {
    let source = Cluster::start(15, &Options::online(15).set("wal_sender_timeout", "1s"));
    let schema = "CREATE TABLE t (i int PRIMARY KEY, t text)";
    let mut rig = Rig::new(&source, online_cluster(15), schema).await;
    // Small, so that the channel is full long before the lock goes.
    rig.options.apply_memory = 4 << 20;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (0, '')");
    running.durable(rig.flush_lsn()).await;
    let pid = || rig.source.psql("SELECT active_pid FROM pg_replication_slots WHERE active");
    let walsender = pid();
    let blocker = session(&rig.target).await;
    blocker.batch("blocking", "BEGIN; LOCK TABLE public.t").await.unwrap();
    rig.source.psql("INSERT INTO t SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 100000) g");
    rig.source.psql("UPDATE t SET t = t || i WHERE i % 10 = 0");
    let end = rig.flush_lsn();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(pid(), walsender, "the walsender was not answered");
    assert!(running.status.applied.get() < end);
    blocker.batch("unblocking", "COMMIT").await.unwrap();
    running.durable(end).await;
    assert_eq!(pid(), walsender);
    assert_same_rows(&rig.source, &rig.target);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_after_the_limit_is_counted_and_not_applied() {
    let schema = "CREATE TABLE t (i int PRIMARY KEY); CREATE TABLE u (i int)";
    let rig = Rig::new(online_cluster(15), online_cluster(15), schema).await;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)");
    running.durable(rig.flush_lsn()).await;
    let limit = rig.flush_lsn();
    running.orders.send(Order::Drain { limit, reach: limit }).unwrap();
    rig.source.psql(
        "BEGIN; INSERT INTO t VALUES (2), (3); INSERT INTO u VALUES (2); COMMIT; DELETE FROM t WHERE i = 1",
    );
    running.until("late", || running.status.late().transactions == 2).await;
    let late = running.status.late();
    let counts: Vec<(&str, u64)> = late.changes.iter().map(|(t, n)| (t.as_str(), *n)).collect();
    assert_eq!(counts, [("public.t", 3), ("public.u", 1)]);
    running.durable(limit).await;
    assert_eq!(rig.target.psql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"), "1|1");
    running.stop().await;
    // The slot still has them.
    let running = rig.start().await;
    running.durable(rig.flush_lsn()).await;
    running.stop().await;
    assert_same_rows(&rig.source, &rig.target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_reaches_the_end_of_wal_quickly() {
    let rig = Rig::new(online_cluster(18), online_cluster(18), "CREATE TABLE t (i int PRIMARY KEY)").await;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t SELECT generate_series(1, 100)");
    running.durable(rig.flush_lsn()).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        rig.source.psql("CREATE TABLE elsewhere (i int); DROP TABLE elsewhere");
        let reach = rig.flush_lsn();
        let asked = Instant::now();
        running.orders.send(Order::Drain { limit: Lsn(u64::MAX), reach }).unwrap();
        running.durable(reach).await;
        slowest = slowest.max(asked.elapsed());
        running.orders.send(Order::Go).unwrap();
    }
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_that_is_stopped_in_the_middle_begins_again() {
    let schema = "CREATE TABLE t (i int PRIMARY KEY, t text)";
    let mut rig = Rig::new(online_cluster(15), online_cluster(15), schema).await;
    rig.options.apply_memory = 4 << 20;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (0, 'first')");
    rig.source.psql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 300000) g");
    let end = rig.flush_lsn();
    running.until("received in part", || running.status.inserts.get() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = running.stop().await;
    let part = rig.target.psql("SELECT count(*) FROM t");
    assert!(part == "1" || status.applied.get() >= end, "all or nothing: {part}");
    let running = rig.start().await;
    running.durable(end).await;
    running.stop().await;
    assert_same_rows(&rig.source, &rig.target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_future_is_dropped_ends_and_another_goes_on() {
    let rig = Rig::new(online_cluster(15), online_cluster(15), "CREATE TABLE t (i int PRIMARY KEY)").await;
    for round in 0..5 {
        let running = rig.start().await;
        rig.source.psql(&format!("INSERT INTO t SELECT generate_series({round}000, {round}999)"));
        running.until("applied", || running.status.inserts.get() > 0).await;
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        // The walsender sees the end of its connection before long.
        let started = Instant::now();
        while rig
            .source
            .psql("SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()")
            != "0"
        {
            assert!(started.elapsed() < Duration::from_secs(10), "the connection is still open");
        }
    }
    let running = rig.start().await;
    running.durable(rig.flush_lsn()).await;
    running.stop().await;
    assert_same_rows(&rig.source, &rig.target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_an_error_to_try_again_after() {
    let mut rig =
        Rig::new(online_cluster(15), online_cluster(15), "CREATE TABLE t (i int PRIMARY KEY)").await;
    let proxy = Proxy::start(rig.source.cluster.port, Duration::ZERO);
    rig.from = Server::parse(Side::Source, &rig.source.conninfo_as("postgres", proxy.port)).unwrap();
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (1)");
    running.durable(rig.flush_lsn()).await;
    proxy.cut();
    let error = running.error().await;
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Source);
    rig.from = Server::parse(Side::Source, &rig.source.conninfo()).unwrap();
    let ended = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()";
    rig.source.psql(ended);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO t VALUES (2)");
    running.durable(rig.flush_lsn()).await;
    rig.source.psql(ended);
    let error = running.error().await;
    assert!(error.is_retryable(), "{error}");
    assert_same_rows(&rig.source, &rig.target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_or_slot_that_is_gone_is_told() {
    for major in [13, 15, 18] {
        let schema = "CREATE TABLE t (i int PRIMARY KEY)";
        let rig = Rig::new(online_cluster(major), online_cluster(18), schema).await;
        let running = rig.start().await;
        rig.source.psql("INSERT INTO t VALUES (1)");
        running.durable(rig.flush_lsn()).await;
        rig.source.psql("DROP PUBLICATION \"It's \"\"p\"\"\"; INSERT INTO t VALUES (2)");
        let error = running.error().await;
        assert!(matches!(error, StreamError::Publication { .. }), "{major}: {error}");
        assert!(
            !error.is_retryable() && error.to_string().contains("\"It's \\\"p\\\"\""),
            "{major}: {error}"
        );

        let session = session(&rig.source).await;
        pg_migrator::snapshot::take_slot_over(&session, &rig.slot).await.unwrap();
        assert!(pg_migrator::snapshot::drop_slot(&session, &rig.slot).await.unwrap());
        let error = rig.start().await.error().await;
        assert!(matches!(error, StreamError::SlotMissing { .. }), "{major}: {error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_wal_is_removed_is_told() {
    for major in [13, 15, 18] {
        let options = Options::online(major)
            .set("max_slot_wal_keep_size", "1MB")
            .set("max_wal_size", "32MB")
            .set("min_wal_size", "32MB");
        let source = Cluster::start(major, &options);
        let rig = Rig::new(&source, online_cluster(18), "CREATE TABLE t (i int PRIMARY KEY)").await;
        for _ in 0..3 {
            rig.source.psql(
                "CREATE TABLE elsewhere AS SELECT repeat('x', 1000) FROM generate_series(1, 40000); DROP TABLE elsewhere; \
                 SELECT pg_switch_wal(); CHECKPOINT",
            );
        }
        let error = rig.start().await.error().await;
        assert!(matches!(error, StreamError::SlotLost { .. }), "{major}: {error}");
        assert!(!error.is_retryable() && error.to_string().contains("max_slot_wal_keep_size"), "{error}");
    }
}
