//! Changes over several lanes: where they go, what happens when one lane fails, and when the lanes stand apart.

use crate::pair::{PAIRS, Pair};

const TABLES: &str = "
    CREATE TABLE apart (id int PRIMARY KEY, t text);
    CREATE TABLE \"two Keys\" (a text, b int, v text, PRIMARY KEY (a, b));
    CREATE TABLE also_unique (id int PRIMARY KEY, u int UNIQUE);
    CREATE TABLE numbers (n numeric PRIMARY KEY, v int);
    CREATE TABLE no_key (v int);
    CREATE TABLE whole_row (v int, w text); ALTER TABLE whole_row REPLICA IDENTITY FULL;
    CREATE TABLE p (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
    CREATE TABLE fk (id int PRIMARY KEY, apart int REFERENCES apart);";

/// A pair whose changes go over so many lanes.
async fn pair(majors: (u32, u32), lanes: usize) -> Pair {
    let mut pair = Pair::new(majors, TABLES).await;
    pair.jobs = lanes;
    pair
}

const FILL: &str = "BEGIN; INSERT INTO apart SELECT i, 'row ' || i FROM generate_series(1, 500) i; \
     INSERT INTO \"two Keys\" SELECT 'a' || i % 7, i, repeat('x', i) FROM generate_series(1, 300) i; \
     INSERT INTO also_unique SELECT i, i FROM generate_series(1, 50) i; INSERT INTO numbers SELECT i, i FROM generate_series(1, 50) i; \
     INSERT INTO no_key SELECT generate_series(1, 50); INSERT INTO whole_row SELECT i, 'w' FROM generate_series(1, 50) i; \
     INSERT INTO p SELECT i, 1 + i % 2, 'v' FROM generate_series(1, 200) i; INSERT INTO fk SELECT i, i FROM generate_series(1, 100) i; COMMIT";

/// Transactions of the target whose rows are in the table.
fn transactions(pair: &Pair, table: &str) -> String {
    pair.target.psql(&format!("SELECT count(DISTINCT xmin::text) FROM {table}"))
}

#[tokio::test]
async fn rows_of_one_batch_go_to_all_lanes_where_nothing_ties_them() {
    for majors in PAIRS {
        let mut pair = pair(majors, 4).await;
        let applied = pair.go(FILL).await;
        assert_eq!((applied.inserts, applied.serial), (1300, 0));
        pair.assert_same();
        let spread = ["apart", "\"two Keys\"", "fk", "p"].map(|table| transactions(&pair, table));
        assert_eq!(spread, ["4", "4", "4", "4"]);
        // Neighbours share a lane, as they share pages.
        let ranges = "SELECT count(*) FROM (SELECT lag(xmin::text) OVER (ORDER BY id) <> xmin::text AS begins FROM apart) AS r WHERE begins";
        assert_eq!(pair.target.psql(ranges), "3");
        let whole = ["also_unique", "numbers", "no_key", "whole_row"].map(|table| transactions(&pair, table));
        assert_eq!(whole, ["1", "1", "1", "1"]);
        let lanes = pair.progress().await;
        assert!(lanes.len() == 4 && lanes.iter().all(|lane| *lane == lanes[0]), "{lanes:?}");
        // Changes of all kinds, to rows that other lanes have.
        let applied = pair
            .go("BEGIN; UPDATE apart SET t = NULL WHERE id % 3 = 0; DELETE FROM fk WHERE id % 2 = 0; DELETE FROM \"two Keys\" WHERE b % 5 = 0; \
                 UPDATE p SET v = 'w' WHERE id % 2 = 0; UPDATE also_unique SET u = u + 1000; DELETE FROM numbers WHERE n < 9; \
                 INSERT INTO no_key VALUES (7); COMMIT; UPDATE apart SET t = t || '!' WHERE id % 5 = 0")
            .await;
        assert_eq!((applied.serial, applied.missing.len()), (0, 0));
        pair.assert_same();
        // What ties rows together comes as one: identities that change, values that are swapped, TRUNCATE.
        pair.go("BEGIN; UPDATE apart SET id = id + 1000 WHERE id > 400; INSERT INTO apart VALUES (401, 'again'); COMMIT").await;
        let applied = pair
            .go("BEGIN; UPDATE also_unique SET u = -1 WHERE id = 1; UPDATE also_unique SET u = 1001 WHERE id = 2; \
                 UPDATE also_unique SET u = 1002 WHERE id = 1; UPDATE apart SET t = 'both' WHERE id < 9; COMMIT")
            .await;
        assert_eq!(applied.serial, 1, "one lane's part fails, and all is applied as one");
        pair.go("BEGIN; INSERT INTO no_key VALUES (8); TRUNCATE p; INSERT INTO p VALUES (1, 1, 'new'), (2, 2, 'new'); DELETE FROM whole_row WHERE v < 9; COMMIT")
            .await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn a_change_that_the_target_refuses_is_named_and_leaves_nothing_on_any_lane() {
    let mut pair = pair(PAIRS[0], 4).await;
    pair.go(FILL).await;
    let before = pair.progress().await;
    pair.target.psql("ALTER TABLE apart ADD CHECK (t <> 'bad')");
    pair.source.psql(
        "BEGIN; UPDATE apart SET t = 'good' WHERE id < 400; UPDATE apart SET t = 'bad' WHERE id = 77; COMMIT",
    );
    let error = pair.sync().await.unwrap_err().to_string();
    assert!(error.contains("UPDATE of public.apart") && error.contains("id=77"), "{error}");
    assert_eq!(pair.progress().await, before);
    assert_eq!(pair.target.psql("SELECT count(*) FROM apart WHERE t = 'good'"), "0");
    pair.target.psql("ALTER TABLE apart DROP CONSTRAINT apart_t_check");
    pair.sync().await.unwrap();
    pair.assert_same();
}

/// Takes back what this lane did in its last transaction, as if the tool had been killed before that one's COMMIT.
fn take_back(pair: &Pair, lane: usize, before: &str) {
    let took = pair.target.psql(&format!("SELECT xmin FROM _pg_migrator.lane WHERE lane = {lane}"));
    let tables =
        [("apart", "id"), ("p", "id, k"), ("no_key", "v"), ("also_unique", "id"), ("whole_row", "v")];
    for (table, key) in tables {
        pair.target.psql(&format!(
            "WITH gone AS (DELETE FROM {table} WHERE xmin::text = '{took}' RETURNING {key}) \
             INSERT INTO {table} SELECT o.* FROM old_{table} o JOIN gone USING ({key})"
        ));
    }
    pair.target.psql(&format!(
        "UPDATE _pg_migrator.lane SET commit_lsn = '{before}', end_lsn = '{before}' WHERE lane = {lane}"
    ));
}

#[tokio::test]
async fn trap_lanes_that_stand_apart_get_what_they_lack_and_nothing_twice() {
    for (back, jobs) in [(vec![0], 4), (vec![1, 3], 4), (vec![0, 1, 2], 2), (vec![2], 1), (vec![3], 16)] {
        let mut pair = pair((15, 15), 4).await;
        pair.go(FILL).await;
        let before = pair.progress().await[0].end_lsn.to_string();
        pair.target.psql(
            "CREATE TABLE old_apart AS TABLE apart; CREATE TABLE old_p AS TABLE p; CREATE TABLE old_no_key AS TABLE no_key; \
             CREATE TABLE old_also_unique AS TABLE also_unique; CREATE TABLE old_whole_row AS TABLE whole_row",
        );
        pair.source.psql(
            "BEGIN; INSERT INTO apart SELECT i, 'more' FROM generate_series(1001, 1300) i; UPDATE apart SET t = t || '!' WHERE id % 3 = 0; \
             INSERT INTO p SELECT i, 1 + i % 2, 'more' FROM generate_series(1001, 1100) i; UPDATE p SET v = v || '!' WHERE id % 7 = 0; \
             INSERT INTO no_key SELECT generate_series(100, 150); UPDATE also_unique SET u = u + 500; \
             INSERT INTO whole_row SELECT i, 'more' FROM generate_series(100, 150) i; COMMIT; \
             INSERT INTO apart VALUES (2000, 'second transaction'); UPDATE apart SET t = 'twice' WHERE id IN (1, 2, 3, 1001)",
        );
        let applied = pair.sync().await.unwrap();
        assert_eq!(applied.serial, 0);
        for &lane in &back {
            take_back(&pair, lane, &before);
        }
        // By then the target's indexes would send them elsewhere, the command asks for other lanes, and there is more to come.
        pair.target.psql("DROP TABLE old_apart, old_p, old_no_key, old_also_unique, old_whole_row; CREATE UNIQUE INDEX ON apart (id, t)");
        pair.close();
        pair.jobs = jobs;
        pair.source.psql("UPDATE apart SET t = 'after' WHERE id < 100; INSERT INTO no_key VALUES (-1)");
        let applied = pair.sync().await.unwrap();
        assert_eq!(applied.missing, [], "{back:?}");
        pair.assert_same();
        pair.go("UPDATE p SET v = 'end'; DELETE FROM apart WHERE id > 1000").await;
        pair.assert_same();
        // Level again, there are as many lanes as were asked for when it is opened once more.
        pair.close();
        pair.go("INSERT INTO no_key VALUES (-2)").await;
        assert_eq!(pair.progress().await.len(), jobs);
        pair.assert_same();
    }
}

#[tokio::test]
async fn what_one_lane_waits_for_does_not_stop_the_others_for_good() {
    let mut pair = pair((15, 15), 4).await;
    pair.go(FILL).await;
    // Someone reads and locks a row on the target for longer than a lane waits.
    let held = pair.target.hold("BEGIN; SELECT FROM apart WHERE id = 5 FOR UPDATE");
    pair.source.psql("UPDATE apart SET t = 'through'");
    let release = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(12));
        drop(held);
    });
    let applied = pair.sync().await.unwrap();
    release.join().unwrap();
    assert_eq!((applied.updates, applied.missing.len()), (500, 0));
    pair.assert_same();
}
