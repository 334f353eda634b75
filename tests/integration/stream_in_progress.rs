//! Transactions that the source sends while they are in progress: nothing of them is applied before they commit, nothing that was
//! rolled back ever, and whatever breaks off in between, they end whole.

use pg_migrator::pg::Session;

use crate::harness::{Cluster, Options, assert_same_rows, online_cluster};
use crate::live::{GOES_ON, Live, STREAMS};
use crate::moves::eventually;
use crate::stream_run::{Rig, session};
use crate::trials::{Blow, survives_on};

/// A server that sends a transaction of some hundred rows while it runs.
fn source(major: u32) -> Cluster {
    Cluster::start(major, &Options::online(major).set("logical_decoding_work_mem", "64kB"))
}

const TABLES: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0); CREATE TABLE u (LIKE t INCLUDING ALL);
    CREATE TABLE w (LIKE t INCLUDING ALL); CREATE TABLE x (LIKE t INCLUDING ALL); CREATE TABLE small (id int PRIMARY KEY)";

async fn run(session: &Session, sql: &str) {
    session.batch("writing", sql).await.unwrap();
}

/// Rows of 128 bytes; more than a hundred are too many for one block.
fn rows(table: &str, from: u32, to: u32) -> String {
    format!(
        "INSERT INTO public.{table} (id, v) SELECT g, repeat(md5(g::text), 4) FROM generate_series({from}, {to}) g"
    )
}

/// So many transactions of the slot were sent while they ran: without it these tests would show nothing.
#[track_caller]
fn assert_streamed(rig: &Rig<'_>, transactions: u32) {
    let sql = format!(
        "SELECT stream_txns >= {transactions} AND stream_count > stream_txns FROM pg_stat_replication_slots WHERE slot_name = '{}'",
        rig.slot
    );
    eventually(|| rig.source.psql(&sql), |enough| enough == "t", "not streamed while in progress");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_progress_interleave_and_roll_back_in_part_and_whole() {
    for (from, to) in [(14, 18), (17, 14), (18, 18)] {
        let source = source(from);
        let mut rig = Rig::new(&source, online_cluster(to), TABLES).await;
        // The least there is: what waits is in a file soon.
        rig.options.apply_memory = 1 << 20;
        rig.target.psql("ALTER TABLE t ADD COLUMN extra text");
        let running = rig.start().await;
        let [a, b, c] = [session(&rig.source).await, session(&rig.source).await, session(&rig.source).await];

        run(&a, &format!("BEGIN; {}", rows("t", 1, 8000))).await;
        rig.source.psql("INSERT INTO small VALUES (1)");
        run(&b, &format!("BEGIN; {}", rows("u", 1, 2000))).await;
        // Subtransactions: rolled back with one that was released inside it; released; described for the first time.
        run(&a, "SAVEPOINT s; UPDATE public.t SET n = n + 1; SAVEPOINT inner_one").await;
        run(&a, &format!("DELETE FROM public.t WHERE id % 2 = 0; {}", rows("w", 20_001, 21_000))).await;
        run(&a, &format!("RELEASE inner_one; {}", rows("t", 20_001, 21_000))).await;
        run(&b, &format!("SAVEPOINT s; {}; RELEASE s", rows("u", 2001, 4000))).await;
        run(&a, &format!("ROLLBACK TO s; {}", rows("w", 10_001, 11_000))).await;
        rig.source.psql("INSERT INTO small VALUES (2)");
        // Columns: of a subtransaction that is rolled back, and to stay.
        run(&a, "SAVEPOINT s; ALTER TABLE public.t ADD COLUMN gone int").await;
        run(&a, &format!("{}; UPDATE public.t SET gone = 1", rows("t", 20_001, 21_000))).await;
        run(&a, "ROLLBACK TO s; ALTER TABLE public.t ADD COLUMN extra text").await;
        run(
            &a,
            &format!("{}; UPDATE public.t SET extra = 'x' || id WHERE id % 3 = 0", rows("t", 8001, 9000)),
        )
        .await;
        // A whole one that is rolled back, and one that empties what it has filled.
        run(&c, &format!("BEGIN; {}; {}; ROLLBACK", rows("u", 9001, 10_000), rows("x", 1, 1000))).await;
        let again = rows("x", 500, 1500);
        run(&c, &format!("BEGIN; {}; TRUNCATE public.x, public.small; {again}; COMMIT", rows("x", 1, 1000)))
            .await;
        rig.source.psql("INSERT INTO small VALUES (3)");

        running.durable(rig.flush_lsn()).await;
        assert_streamed(&rig, 3);
        let counts = "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u), (SELECT count(*) FROM w), (SELECT count(*) FROM x), (SELECT sum(id) FROM small)";
        assert_eq!(rig.target.psql(counts), "0|0|0|1001|3", "{from}: before they commit");
        // The second to begin is the first to commit.
        run(&b, "COMMIT").await;
        rig.source.psql("INSERT INTO small VALUES (4)");
        run(&a, "COMMIT").await;
        // Described by that transaction, not again.
        rig.source.psql("UPDATE t SET n = 7, extra = 'y' WHERE id < 10; DELETE FROM t WHERE id = 10; UPDATE u SET n = 1 WHERE id = 5");
        running.durable(rig.flush_lsn()).await;
        assert_eq!(rig.target.psql(counts), "8999|4000|1000|1001|7", "{from}");
        assert_same_rows(&rig.source, &rig.target);
        let status = running.stop().await;
        assert_eq!((status.missing.get(), status.truncates.get()), (0, 2), "{from}: {status:?}");
        assert_eq!(status.transactions.get(), 10, "{from}: {status:?}");
    }
}

/// The source forgets nothing of a transaction in progress, although a later position was confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_past_the_beginning_of_a_transaction_in_progress_loses_nothing_of_it() {
    for from in [14, 18] {
        let source = source(from);
        let mut rig = Rig::new(&source, online_cluster(18), TABLES).await;
        rig.options.apply_memory = 1 << 20;
        let writer = session(&rig.source).await;
        run(&writer, &format!("BEGIN; {}", rows("t", 1, 8000))).await;
        for (round, table) in ["t", "u", "w"].into_iter().enumerate() {
            let running = rig.start().await;
            run(&writer, &format!("SAVEPOINT s; {}; ROLLBACK TO s", rows(table, 50_001, 52_000))).await;
            run(&writer, &rows(table, 10_001, 12_000)).await;
            rig.source.psql(&format!("INSERT INTO small VALUES ({round}); CHECKPOINT"));
            let here = rig.flush_lsn();
            running.durable(here).await;
            running.until("confirmed", || running.status.confirmed.get() >= here).await;
            assert_streamed(&rig, 1);
            let counts = "SELECT (SELECT count(*) FROM small), (SELECT count(*) FROM t)";
            assert_eq!(rig.target.psql(counts), format!("{}|0", round + 1));
            // As if it were killed.
            running.task.abort();
            assert!(running.task.await.unwrap_err().is_cancelled());
        }
        run(&writer, "COMMIT").await;
        let running = rig.start().await;
        running.durable(rig.flush_lsn()).await;
        assert_eq!(running.stop().await.inserts.get(), 14_000);
        assert_same_rows(&rig.source, &rig.target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_while_it_is_read_back_begins_again() {
    let source = source(15);
    let mut rig = Rig::new(&source, online_cluster(15), TABLES).await;
    rig.options.apply_memory = 1 << 20;
    let running = rig.start().await;
    rig.source.psql("INSERT INTO small VALUES (1)");
    rig.source.psql(&rows("t", 1, 100_000));
    let end = rig.flush_lsn();
    running.until("received", || running.status.received.get() >= end).await;
    let status = running.stop().await;
    let part = rig.target.psql("SELECT count(*) FROM t");
    assert!(part == "0" || status.applied.get() >= end, "all or nothing: {part}");
    assert_streamed(&rig, 1);
    let running = rig.start().await;
    running.durable(end).await;
    running.stop().await;
    assert_same_rows(&rig.source, &rig.target);
}

/// Every change of every transaction comes in a block of its own.
fn immediate(major: u32) -> Options {
    Options::online(major).set("debug_logical_replication_streaming", "immediate")
}

#[test]
fn a_ledger_of_which_all_is_sent_while_in_progress() {
    survives_on(&immediate(18), 2, 18, 18, 32, &[Blow::Tool, Blow::Source]);
}

#[test]
fn a_cutover_does_not_wait_for_transactions_in_progress() {
    let source = source(16);
    let live = Live::on(&source, online_cluster(18));
    live.source.psql(TABLES);
    let running = live.start();
    let open = live.source.hold(&format!("BEGIN; {}", rows("t", 1, 5000)));
    live.source.psql("INSERT INTO small VALUES (1)");
    live.drained();
    live.cut_over(running);
    drop(open);
    assert_same_rows(&live.source, &live.target);
}

#[test]
fn a_folder_without_room_stops_the_stream_and_loses_nothing() {
    let source = source(18);
    let live = Live::on(&source, online_cluster(18));
    live.source.psql(TABLES);
    // A quarter of it is for transactions in progress.
    let little = live.command().args(["--apply-memory", "16MB"]);
    let mut running = little.env("TMPDIR", "/no/such/folder").spawn();
    running.wait_for(STREAMS);
    live.source.psql("INSERT INTO small VALUES (1)");
    // More than is kept in memory.
    live.source.psql(&rows("t", 1, 150_000));
    let said = [
        "transaction that is still in progress",
        "/no/such/folder: No such file",
        "TMPDIR",
        "the same command",
    ];
    running.wait().expect_code(1).expect_said(&said);
    assert_eq!(live.slots(), live.name, "the slot");
    let mut running = live.command().spawn();
    running.wait_for(GOES_ON);
    live.drained();
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}
