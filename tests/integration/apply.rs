//! The applier on real servers: what it does with ordinary changes, and what it does when something is in the way.

use std::time::Duration;

use pg_migrator::error::ExitCode;
use pg_migrator::stream::{ApplyError, Limits};

use crate::harness::{fixture, unique};
use crate::pair::{PAIRS, Pair};

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, b numeric(8,2));";

#[tokio::test]
async fn changes_arrive_set_by_set() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, T).await;
        let applied =
            pair.go("INSERT INTO t SELECT i, 'row ' || i, i / 7.0 FROM generate_series(1, 5000) i").await;
        assert_eq!((applied.inserts, applied.serial), (5000, 0));
        let applied = pair
            .go("UPDATE t SET a = NULL WHERE id % 3 = 0; UPDATE t SET b = b + 1, a = E'\\t\\\\N\\n\"{}' WHERE id % 5 = 0; \
                 DELETE FROM t WHERE id % 7 = 0; INSERT INTO t VALUES (-1, '', 0), (-2, '\\.', NULL)")
            .await;
        assert_eq!((applied.inserts, applied.updates, applied.deletes), (2, 1666 + 1000, 714));
        assert_eq!((applied.serial, applied.missing.len()), (0, 0));
        pair.assert_same();
        let before = pair.progress().await;
        assert_eq!(pair.sync().await.unwrap().inserts, 0);
        assert_eq!(pair.progress().await, before);
        let applied = pair.go("BEGIN; UPDATE t SET id = -id WHERE id BETWEEN 3 AND 99; COMMIT").await;
        assert_eq!(applied.serial, 0);
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_transactions_larger_than_memory_come_in_pieces_and_are_seen_at_once() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, &format!("{T} INSERT INTO t VALUES (1, 'old', 1)")).await;
        pair.limits = Limits { bytes: 1 << 20, changes: 500 };
        pair.source.psql(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 100), i FROM generate_series(2, 6000) i; UPDATE t SET b = 2 WHERE id % 2 = 0; \
             DELETE FROM t WHERE id = 5000; COMMIT",
        );
        let applied = pair.sync().await.unwrap();
        assert_eq!((applied.inserts, applied.serial), (5999, 0));
        pair.assert_same();
        // A piece that fails is replayed, and those before it stay.
        pair.source.psql(
            "UPDATE t SET b = id; ALTER TABLE t ADD UNIQUE (b) DEFERRABLE; INSERT INTO t VALUES (7001, '', 7001), (7002, '', 7002)",
        );
        pair.sync().await.unwrap();
        pair.target.psql("ALTER TABLE t ADD UNIQUE (b)");
        pair.source.psql(
            "BEGIN; INSERT INTO t SELECT i, '', i FROM generate_series(8000, 9000) i; \
             UPDATE t SET b = -1 WHERE id = 7001; UPDATE t SET b = 7001 WHERE id = 7002; UPDATE t SET b = 7002 WHERE id = 7001; COMMIT",
        );
        let applied = pair.sync().await.unwrap();
        assert_eq!(applied.serial, 1);
        pair.assert_same();
    }
}

#[tokio::test]
async fn a_unique_swap_is_replayed_in_order() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        )
        .await;
        let applied = pair
            .go("BEGIN; UPDATE t SET u = 0 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 2; UPDATE t SET u = 2 WHERE id = 1; COMMIT")
            .await;
        assert_eq!((applied.updates, applied.serial), (3, 1));
        pair.assert_same();
        // The session is none the worse for it.
        let applied = pair.go("UPDATE t SET u = u + 10; INSERT INTO t VALUES (4, 4)").await;
        assert_eq!(applied.serial, 0);
        pair.assert_same();
    }
}

#[tokio::test]
async fn what_the_target_refuses_is_halved_until_it_is_small() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE); CREATE TABLE other (id int PRIMARY KEY); \
             INSERT INTO t VALUES (1, 1), (2, 2)",
        )
        .await;
        let many = |from: u32| {
            format!(
                "DO $$ BEGIN FOR i IN {from}..{from} + 999 LOOP INSERT INTO t VALUES (i, i); COMMIT; END LOOP; END $$"
            )
        };
        pair.source.psql(&many(1000));
        pair.source.psql("BEGIN; UPDATE t SET u = 0 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 2; UPDATE t SET u = 2 WHERE id = 1; COMMIT");
        pair.source.psql(&many(2000));
        pair.source.psql("TRUNCATE other");
        let applied = pair.sync().await.unwrap();
        assert_eq!((applied.inserts, applied.updates, applied.truncates), (2000, 3, 1));
        assert_eq!(applied.serial, 1, "only the part with the swap");
        pair.assert_same();
        // What was taken is committed: a half, a quarter and so on, and never a transaction in part.
        let parts: u32 = pair.target.psql("SELECT count(DISTINCT xmin::text) FROM t").trim().parse().unwrap();
        assert!((4..40).contains(&parts), "{parts}");
        let applied = pair.go("UPDATE t SET u = u + 100000").await;
        assert_eq!((applied.updates, applied.serial), (2002, 0));
        pair.assert_same();
    }
}

#[tokio::test]
async fn deferrable_constraints_and_key_circles() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED); \
             CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t DEFERRABLE INITIALLY DEFERRED); \
             INSERT INTO t VALUES (1, 1), (2, 2), (3, 3); INSERT INTO child VALUES (1, 1)",
        )
        .await;
        pair.go("BEGIN; UPDATE t SET u = 2 WHERE id = 1; UPDATE t SET u = 1 WHERE id = 2; COMMIT").await;
        pair.go("BEGIN; INSERT INTO child VALUES (9, 9); INSERT INTO t VALUES (9, 9); COMMIT").await;
        pair.go("BEGIN; UPDATE t SET id = 100 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = 100; COMMIT")
            .await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_changes_that_touch_no_row_are_counted_and_told_once() {
    for majors in PAIRS {
        let mut pair =
            Pair::new(majors, &format!("{T} INSERT INTO t SELECT i, '', 0 FROM generate_series(1, 9) i"))
                .await;
        pair.target.psql("DELETE FROM t WHERE id < 4");
        let applied = pair.go("UPDATE t SET a = 'x' WHERE id < 6; DELETE FROM t WHERE id IN (3, 9)").await;
        let missing = &applied.missing;
        assert_eq!(missing.iter().map(|m| m.updates + m.deletes).sum::<u64>(), 4 - 1, "{missing:?}");
        assert!(pair.warned("public.t", "updated") && pair.warned("public.t", "deleted"));
        let warnings = pair.warnings.lock().unwrap().len();
        pair.go("UPDATE t SET a = 'y' WHERE id = 1").await;
        assert_eq!(pair.warnings.lock().unwrap().len(), warnings);
        pair.applier.take().unwrap().close().await;
        assert!(pair.warned("public.t", "in all"));
    }
}

#[tokio::test]
async fn another_session_in_the_way_is_waited_for_and_deadlocks_are_tried_again() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, &format!("{T} INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)")).await;
        let other = pair.session().await;
        other
            .batch("locking", "SET deadlock_timeout = '1h'; BEGIN; UPDATE public.t SET b = b WHERE id = 2")
            .await
            .unwrap();
        pair.source.psql("UPDATE t SET a = 'z' WHERE id = 1; UPDATE t SET a = 'z' WHERE id = 2");
        // The applier has row 1 and waits for row 2; the other one has row 2 and waits for row 1: the applier is told.
        let (applied, locked) = tokio::join!(pair.sync(), async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let locked = other.batch("waiting", "UPDATE public.t SET b = b WHERE id = 1").await;
            other.batch("ending", "COMMIT").await.unwrap();
            locked
        });
        locked.unwrap();
        applied.unwrap();
        pair.assert_same();
    }
}

/// The change that cannot be applied is named, nothing of its transaction is there, and the same goes on once it can.
#[tokio::test]
async fn what_cannot_be_applied_stops_and_goes_on_when_mended() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, T).await;
        let cases = [
            (
                "23502",
                "ALTER TABLE t ALTER a SET NOT NULL",
                "ALTER TABLE t ALTER a DROP NOT NULL",
                "NOT NULL",
            ),
            (
                "23514",
                "ALTER TABLE t ADD CONSTRAINT c CHECK (b < 100) NOT VALID",
                "ALTER TABLE t DROP CONSTRAINT c",
                "Mend the CHECK",
            ),
            (
                "23505",
                "INSERT INTO t VALUES (22, 'in the way', 0)",
                "DELETE FROM t WHERE a = 'in the way'",
                "in the way",
            ),
        ];
        for (i, (state, spoil, mend, remedy)) in cases.into_iter().enumerate() {
            let base = i * 10;
            pair.target.psql(spoil);
            let before = pair.progress().await;
            pair.source.psql(&format!(
                "BEGIN; INSERT INTO t VALUES ({}, 'x', 1); INSERT INTO t VALUES ({}, NULL, 100); COMMIT",
                base + 1,
                base + 2
            ));
            let error = pair.sync().await.unwrap_err();
            let ApplyError::Change { kind, relation, key, lsn, source } = &error else { panic!("{error}") };
            assert_eq!(
                (*kind, relation.as_str(), key.clone()),
                ("INSERT", "public.t", format!("id={}", base + 2))
            );
            assert!(lsn.0 > 0 && source.sqlstate.as_deref() == Some(state), "{error}");
            assert!(error.to_string().contains(remedy), "{error}");
            assert_eq!((error.exit_code(), error.is_retryable()), (ExitCode::Target, false));
            assert_eq!(pair.progress().await, before);
            pair.target.psql(mend);
            pair.sync().await.unwrap();
            pair.assert_same();
        }
    }
}

#[tokio::test]
async fn a_revoked_privilege_stops_and_goes_on_when_granted() {
    for (n, majors) in PAIRS.into_iter().enumerate() {
        let role = format!("{}_{n}", unique("apply_owner"));
        let mut pair = Pair::of_role(majors, T, &role).await;
        pair.go("INSERT INTO t VALUES (1, 'a', 1)").await;
        pair.target.psql(&format!("ALTER TABLE t OWNER TO postgres; GRANT SELECT, INSERT ON t TO {role}"));
        pair.source.psql("UPDATE t SET a = 'b'");
        let error = pair.sync().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("UPDATE of public.t (id=1)") && text.contains("42501") && text.contains("Grant"),
            "{text}"
        );
        assert_eq!(error.exit_code(), ExitCode::Target);
        pair.target.psql(&format!("GRANT UPDATE, DELETE ON t TO {role}"));
        pair.sync().await.unwrap();
        pair.assert_same();
    }
}

#[tokio::test]
async fn a_broken_connection_is_told_as_such_and_a_new_one_goes_on() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, T).await;
        pair.go("INSERT INTO t VALUES (1, 'a', 1)").await;
        pair.target.terminate_sessions();
        pair.source.psql("INSERT INTO t SELECT i, '', 0 FROM generate_series(2, 100000) i");
        let error = pair.sync().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        pair.sync().await.unwrap();
        pair.assert_same();
    }
}

/// A second session ends the first, whose transaction is gone with it.
#[tokio::test]
async fn one_session_at_a_time_applies() {
    let mut pair = Pair::new((18, 18), T).await;
    pair.go("INSERT INTO t VALUES (1, 'a', 1)").await;
    let first = pair.applier.take();
    pair.go("INSERT INTO t VALUES (2, 'a', 1)").await;
    pair.assert_same();
    let mut first = first.unwrap();
    let error = first.apply(Default::default(), true).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

/// Also where a type's cast from text is not its input function, has no equality, or is an extension's.
#[tokio::test]
async fn every_type_is_changed_as_on_the_source() {
    let read = |name: &str| std::fs::read_to_string(fixture(name)).unwrap();
    for majors in [(13, 13), (18, 18)] {
        let mut pair = Pair::new(majors, &read("every_type.sql")).await;
        let applied = pair.go(&read("every_type_changes.sql")).await;
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        assert_eq!(applied.serial, 0);
        pair.assert_same();
    }
}

#[tokio::test]
async fn every_type_of_one_binary_format_is_changed_in_it() {
    let read = |name: &str| std::fs::read_to_string(fixture(name)).unwrap();
    for majors in [(14, 18), (18, 18)] {
        let schema = format!("{}\n{}", read("every_type.sql"), read("every_type_binary.sql"));
        let mut pair = Pair::new(majors, &schema).await;
        let applied = pair.go(&read("every_type_changes.sql")).await;
        assert!(pair.binary, "a type was refused");
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        assert_eq!(applied.serial, 0);
        pair.assert_same();
    }
}

#[tokio::test]
async fn a_column_that_has_no_common_binary_format_brings_the_stream_back_to_text() {
    let mut pair = Pair::new((18, 18), "CREATE TABLE t (id int PRIMARY KEY, a text)").await;
    pair.go("INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 100) n").await;
    assert!(pair.binary);
    pair.target.psql("ALTER TABLE t ADD l int[]");
    // In one go with changes that came before it.
    pair.go("UPDATE t SET a = 'changed' WHERE id < 50; ALTER TABLE t ADD l int[]; UPDATE t SET l = ARRAY[id, NULL] WHERE id > 40").await;
    assert!(!pair.binary);
    pair.assert_same();
}
