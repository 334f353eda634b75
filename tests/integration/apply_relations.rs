//! Tables that change while their rows come: attached to others, with further columns, wider types, other identities; and what a
//! target may have of its own.

use pg_migrator::journal;
use pg_migrator::stream::apply::suspend;

use crate::harness::unique;
use crate::pair::{PAIRS, Pair};

/// Rows that came under a table's own name change under that of the whole it was attached to, in one transaction and in several.
#[tokio::test]
async fn a_table_that_is_attached_to_a_partitioned_one() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
        CREATE TABLE t0 PARTITION OF t FOR VALUES FROM (5000) TO (100000); CREATE TABLE p (id int PRIMARY KEY, v text)";
    let attach = "ALTER TABLE t ATTACH PARTITION p FOR VALUES FROM (0) TO (5000)";
    let steps = [
        "INSERT INTO t VALUES (5000, 'r')",
        "INSERT INTO p VALUES (1, 'one'), (2, 'two')",
        attach,
        "UPDATE t SET v = 'changed' WHERE id = 1",
        "DELETE FROM t WHERE id = 2",
    ];
    for majors in PAIRS {
        for script in [format!("BEGIN; {}; COMMIT", steps.join("; ")), steps.join(";\n")] {
            let mut pair = Pair::new(majors, schema).await;
            pair.go("INSERT INTO t VALUES (5001, 's'); INSERT INTO p VALUES (7, 'seven')").await;
            pair.target.psql(attach);
            let applied = pair.go(&script).await;
            assert!(applied.missing.is_empty(), "{:?}", applied.missing);
            assert_eq!(pair.target.psql("SELECT * FROM t ORDER BY id"), "1|changed\n7|seven\n5000|r\n5001|s");
            pair.assert_same();
        }
    }
}

/// However many versions of a table one batch has.
#[tokio::test]
async fn a_table_that_changes_several_times_in_one_transaction() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL UNIQUE); INSERT INTO t VALUES (1, 'a')",
        )
        .await;
        pair.target.psql("ALTER TABLE t ADD a int, ADD b int, ADD c int");
        pair.go(
            "BEGIN; INSERT INTO t (id, v) VALUES (2, 'b'); ALTER TABLE t ADD a int; UPDATE t SET a = 1; ALTER TABLE t ADD b int; UPDATE t SET b = 2; \
             ALTER TABLE t ADD c int; UPDATE t SET c = 3; COMMIT",
        )
        .await;
        pair.go(
            "BEGIN; UPDATE t SET c = 4; ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET c = 5; \
             ALTER TABLE t REPLICA IDENTITY USING INDEX t_v_key; UPDATE t SET c = 6 WHERE id = 1; DELETE FROM t WHERE id = 2; COMMIT",
        )
        .await;
        pair.assert_same();
    }
}

/// What came before the operator widened the type on both sides is applied all the same.
#[tokio::test]
async fn a_type_that_is_widened_on_both_sides() {
    for majors in PAIRS {
        for binary in [false, true] {
            let schema =
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(10), n numeric(6, 2), i int, w varchar(5))";
            let mut pair = Pair::new(majors, schema).await;
            pair.binary &= binary;
            let alter = "ALTER TABLE t ALTER v TYPE varchar(20), ALTER n TYPE numeric(9, 3), ALTER i TYPE bigint, ALTER w TYPE text";
            pair.target.psql(alter);
            pair.go(&format!(
                "BEGIN; INSERT INTO t VALUES (1, 'a', 1.25, 7, 'w'), (2, 'b', 2, 8, 'w'); UPDATE t SET i = 9 WHERE id = 2; {alter}; \
                 INSERT INTO t VALUES (3, repeat('c', 15), 3.125, 3000000000, 'longer than five'); UPDATE t SET i = i + 1; COMMIT"
            ))
            .await;
            pair.assert_same();
        }
    }
}

/// A range key WITHOUT OVERLAPS has an index of GiST, which names no operator of a B-tree.
#[tokio::test]
async fn tables_with_temporal_keys() {
    let schema = "CREATE TABLE rooms (pk int PRIMARY KEY, during daterange NOT NULL, r int4range, UNIQUE (r, during WITHOUT OVERLAPS)); \
        CREATE TABLE stays (r int4range, during daterange, v text, PRIMARY KEY (r, during WITHOUT OVERLAPS))";
    let mut pair = Pair::new((18, 18), schema).await;
    pair.go(
        "INSERT INTO rooms VALUES (1, '[2020-01-01,2020-02-01)', '[1,2)'), (2, '[2020-02-01,2020-03-01)', '[1,2)'); \
         INSERT INTO stays VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'a'), ('[1,2)', '[2020-02-01,2020-03-01)', 'b')",
    )
    .await;
    pair.go(
        "UPDATE rooms SET during = '[2021-01-01,2021-02-01)' WHERE pk = 1; UPDATE stays SET v = 'c' WHERE v = 'a'; DELETE FROM stays WHERE v = 'b'; \
         UPDATE stays SET during = '[2022-01-01,2022-02-01)'; DELETE FROM rooms WHERE pk = 2",
    )
    .await;
    pair.assert_same();
}

/// A value that is no text at all is not the empty one, where the type has no equality.
#[tokio::test]
async fn trap_null_and_empty_in_full_identity() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE f (a int, x xml); ALTER TABLE f REPLICA IDENTITY FULL; INSERT INTO f VALUES (1, NULL), (1, ''), (2, ''), (2, NULL)",
        )
        .await;
        pair.go("DELETE FROM f WHERE x IS NOT NULL AND a = 1; UPDATE f SET x = '<a/>' WHERE x IS NOT NULL")
            .await;
        pair.assert_same();
    }
}

/// A key that changes is no new row to a column that only the target has.
#[tokio::test]
async fn a_column_of_the_target_alone_keeps_its_value() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)",
        )
        .await;
        pair.target.psql("ALTER TABLE t ADD extra text DEFAULT 'd'; UPDATE t SET extra = 'mine'");
        pair.go("UPDATE t SET id = id + 100 WHERE id = 1; UPDATE t SET v = 3 WHERE id = 2; INSERT INTO t VALUES (5, 5)").await;
        assert_eq!(pair.target.psql("SELECT * FROM t ORDER BY id"), "2|3|mine\n5|5|d\n101|1|mine");
    }
}

/// Without the right to set session_replication_role foreign keys are gone until the end: what their actions did on the source
/// comes by itself, and no order of single changes satisfies what was checked at the end of a statement.
#[tokio::test]
async fn trap_foreign_keys_act_once_without_the_replica_role() {
    let schema = "CREATE TABLE p (id int PRIMARY KEY, v text); \
        CREATE TABLE c (pid int REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, n int, cnt int DEFAULT 0, PRIMARY KEY (pid, n)); \
        COMMENT ON CONSTRAINT c_pid_fkey ON c IS 'it''s'; \
        CREATE TABLE s (id int PRIMARY KEY, up int REFERENCES s ON UPDATE CASCADE ON DELETE CASCADE); \
        CREATE TABLE late (id int PRIMARY KEY, up int CONSTRAINT \"Late\" REFERENCES late DEFERRABLE INITIALLY DEFERRED); \
        CREATE TABLE t (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k); \
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200); \
        CREATE TABLE u (cid int PRIMARY KEY, id int, k int, FOREIGN KEY (id, k) REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE); \
        CREATE TABLE part (id int REFERENCES p, k int) PARTITION BY LIST (k); CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);";
    let trigger = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.cnt := NEW.cnt + 1; RETURN NEW; END $$; \
        CREATE TRIGGER tr BEFORE UPDATE ON c FOR EACH ROW EXECUTE FUNCTION f();";
    let keys = "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint') \
        FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text !~ '_pg_migrator' ORDER BY 1, 2";
    let tables = ["p", "c", "s", "late", "t", "u", "part"].map(|t| ("public".to_owned(), t.to_owned()));
    for (n, majors) in PAIRS.into_iter().enumerate() {
        let role = format!("{}_{n}", unique("apply_keyed"));
        let mut pair = Pair::of_role(majors, schema, &role).await;
        pair.source.psql(trigger);
        let before = pair.target.psql(keys);
        let session = pair.session().await;
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 5);
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 0);
        assert_eq!(pair.target.psql(keys), "");
        pair.go(
            "INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO c VALUES (1, 1), (1, 2), (2, 1), (3, 1); \
             INSERT INTO s VALUES (1, NULL), (2, 1); INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'); INSERT INTO u VALUES (10, 1, 1), (11, 2, 2); \
             INSERT INTO part VALUES (1, 1); TRUNCATE part",
        )
        .await;
        // A parent that is loaded anew with its actions off keeps its children.
        pair.go(
            "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM p WHERE id = 3; INSERT INTO p VALUES (3, 'reloaded'); COMMIT",
        )
        .await;
        // The source's cascade fired a trigger there.
        pair.go("UPDATE p SET id = 100 WHERE id = 1").await;
        assert_eq!(pair.target.psql("SELECT * FROM c WHERE pid = 100 ORDER BY n"), "100|1|1\n100|2|1");
        // A row that moves to another partition is no row that goes.
        if majors.0 >= 15 {
            pair.go("UPDATE t SET k = 150 WHERE id = 1").await;
        }
        // Checked by the source at the end of its statements and transactions.
        pair.go("UPDATE s SET id = id + 100").await;
        pair.go("BEGIN; DELETE FROM p WHERE id = 2; INSERT INTO s VALUES (4, 3), (3, NULL); COMMIT").await;
        pair.go("BEGIN; INSERT INTO late VALUES (2, 1); INSERT INTO late VALUES (1, NULL); COMMIT").await;
        let applied = pair.go("DELETE FROM s WHERE up IS NULL; DELETE FROM late").await;
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        pair.assert_same();
        for (object, resume) in journal::resume_statements(&session, "move").await.unwrap() {
            session.batch(&object, &resume).await.unwrap();
        }
        assert_eq!(pair.target.psql(keys), before);
    }
}
