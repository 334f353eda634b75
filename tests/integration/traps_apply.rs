//! The traps of applying changes, each with a test of its name: what the stream must get right although the obvious way gets
//! it wrong.

use pg_migrator::journal;
use pg_migrator::stream::{ApplyError, suspend};

use crate::harness::unique;
use crate::pair::{PAIRS, Pair};

#[tokio::test]
async fn trap_unchanged_toast_is_never_null() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, n int, w text, v text); ALTER TABLE t ALTER w SET STORAGE EXTERNAL, ALTER v SET STORAGE EXTERNAL; \
             INSERT INTO t SELECT i, 0, repeat('w' || i, 3000), repeat('v' || i, 3000) FROM generate_series(1, 20) i",
        )
        .await;
        pair.go("UPDATE t SET n = id; UPDATE t SET w = repeat('new', 3000) WHERE id % 3 = 0; UPDATE t SET v = NULL WHERE id % 4 = 0; \
                 UPDATE t SET v = 'short', n = -1 WHERE id % 5 = 0")
            .await;
        pair.assert_same();
        assert_eq!(pair.target.psql("SELECT count(*) FROM t WHERE w IS NULL"), "0");
    }
}

#[tokio::test]
async fn trap_unchanged_toast_in_a_key_change() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, n int, w text); ALTER TABLE t ALTER w SET STORAGE EXTERNAL; \
             INSERT INTO t SELECT i, 0, repeat('w' || i, 3000) FROM generate_series(1, 9) i",
        )
        .await;
        pair.go("UPDATE t SET id = id + 100").await;
        pair.go("BEGIN; UPDATE t SET n = 1; UPDATE t SET id = -id; UPDATE t SET n = 2 WHERE id < -105; DELETE FROM t WHERE id = -101; COMMIT")
            .await;
        // An indexed key that is itself out of line.
        pair.assert_same();
        assert_eq!(pair.target.psql("SELECT count(*) FROM t WHERE w IS NULL"), "0");
    }
}

#[tokio::test]
async fn trap_replica_identity_full_with_nulls_and_duplicates() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (a int, b text, c numeric); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t SELECT NULL, 'dup', 1 FROM generate_series(1, 3); INSERT INTO t SELECT 1, NULL, NULL FROM generate_series(1, 4); \
             INSERT INTO t VALUES (NULL, NULL, NULL), (NULL, NULL, NULL), (2, 'x', 1.0), (2, 'x', 1.00)",
        )
        .await;
        let applied = pair
            .go("DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE b = 'dup'); \
                 UPDATE t SET b = 'one' WHERE ctid = (SELECT max(ctid) FROM t WHERE a = 1); \
                 UPDATE t SET c = 9 WHERE ctid = (SELECT min(ctid) FROM t WHERE b IS NULL AND a IS NULL); \
                 DELETE FROM t WHERE c::text = '1.0'")
            .await;
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        pair.assert_same();
        pair.go("BEGIN; INSERT INTO t VALUES (5, 'n', 1); UPDATE t SET a = 6 WHERE a = 5; INSERT INTO t VALUES (5, 'n', 1); DELETE FROM t WHERE a = 6; COMMIT")
            .await;
        pair.go("UPDATE t SET b = coalesce(b, 'was null')").await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_json_and_float_in_full_identity() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TYPE c AS (x int, j json); CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN d AS float8; \
             CREATE TABLE t (j json, x xml, p point, f4 float4, f8 float8, d d, js json[], c c, m mood, b box, r numrange, ch char(5), i interval, \
               pl polygon, bits bit(3), n name, jb jsonb, cid cid, ts tsvector); ALTER TABLE t REPLICA IDENTITY FULL; \
             INSERT INTO t SELECT '{\"a\" : 1}', ('<a>' || i || '</a>')::xml, point(i, 0.1), 'NaN', 0.1 + i, 'Infinity', ARRAY['1'::json], ROW(NULL, '2')::c, 'bad', \
               box(point(1, 2), point(3, 4)), numrange(1, i), 'c', '1 mon', polygon(box(point(0, 0), point(1, 1))), '101', 'n', '[1.0]', '7', 'a b' \
             FROM generate_series(1, 3) i; INSERT INTO t (f8) VALUES ('-0'), ('0'), ('NaN'), (NULL); INSERT INTO t (i) VALUES ('24:00'), ('1 day'); \
             INSERT INTO t (c) VALUES (ROW(NULL, NULL)), (NULL)",
        )
        .await;
        let applied = pair
            .go("UPDATE t SET j = '{\"b\": 2}' WHERE f8 > 1.5 AND f8 < 3; DELETE FROM t WHERE f8 = 0 AND f8::text = '0'; \
                 UPDATE t SET f4 = 1 WHERE f8 = 'NaN'; DELETE FROM t WHERE i::text = '24:00:00'; UPDATE t SET ch = 'x' WHERE c::text = '(,)'; \
                 DELETE FROM t WHERE x::text = '<a>3</a>'")
            .await;
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        assert!(applied.updates >= 3 && applied.deletes == 3, "{applied:?}");
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_no_identity_takes_inserts() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, "CREATE TABLE t (a int); CREATE TABLE empty ()").await;
        pair.go("INSERT INTO t SELECT 1 FROM generate_series(1, 10); INSERT INTO empty DEFAULT VALUES").await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_always_and_replica_triggers() {
    let schema = "CREATE TABLE log (what text); CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id); \
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); \
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (TG_NAME); RETURN NULL; END $$; \
        CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := 'spoilt'; RETURN NEW; END $$; ";
    let triggers = "CREATE TRIGGER origin AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f(); \
        CREATE TRIGGER \"Always\" BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g(); ALTER TABLE t ENABLE ALWAYS TRIGGER \"Always\"; \
        CREATE TRIGGER repl AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t ENABLE REPLICA TRIGGER repl; \
        CREATE TRIGGER off BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g(); ALTER TABLE t DISABLE TRIGGER off; \
        CREATE TRIGGER part AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE p1 ENABLE ALWAYS TRIGGER part; \
        CREATE RULE ru AS ON DELETE TO t DO ALSO INSERT INTO log VALUES ('rule'); ALTER TABLE t ENABLE ALWAYS RULE ru; \
        CREATE RULE ro AS ON DELETE TO t DO ALSO INSERT INTO log VALUES ('origin rule');";
    let states = "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger UNION ALL SELECT ev_class::regclass, rulename, ev_enabled FROM pg_rewrite \
        WHERE rulename IN ('ru', 'ro') ORDER BY 1, 2";
    let tables = ["t", "p", "log"].map(|t| ("public".to_owned(), t.to_owned()));
    for majors in PAIRS {
        let mut pair = Pair::new(majors, schema).await;
        pair.target.psql(triggers);
        let before = pair.target.psql(states);
        let session = pair.session().await;
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 4);
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 0);
        pair.go("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO p VALUES (1, 'a')").await;
        pair.go("UPDATE t SET a = a || 'x' WHERE id < 3; DELETE FROM t WHERE id = 2").await;
        pair.assert_same();
        for (object, resume) in journal::resume_statements(&session, "move").await.unwrap() {
            session.batch(&object, &resume).await.unwrap();
        }
        assert_eq!(pair.target.psql(states), before);
    }
}

/// Where the role may not set session_replication_role: user triggers are off, and foreign keys gone, until they are brought back.
#[tokio::test]
async fn trap_triggers_and_foreign_keys_without_the_replica_role() {
    let schema = "CREATE TABLE zparent (id int PRIMARY KEY, a text); \
        CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES zparent ON DELETE CASCADE ON UPDATE CASCADE); \
        CREATE TABLE grandchild (id int PRIMARY KEY, c int REFERENCES child); CREATE TABLE log (what text);";
    let trigger = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES ('fired'); RETURN NULL; END $$; \
        CREATE TRIGGER tr AFTER INSERT OR UPDATE OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION f();";
    let tables = ["zparent", "child", "grandchild", "log"].map(|t| ("public".to_owned(), t.to_owned()));
    for (n, majors) in PAIRS.into_iter().enumerate() {
        let role = format!("{}_{n}", unique("apply_plain"));
        let mut pair = Pair::of_role(majors, schema, &role).await;
        pair.target.psql(&format!("SET SESSION AUTHORIZATION {role}; {trigger}"));
        let session = pair.session().await;
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 3);
        pair.go("BEGIN; INSERT INTO zparent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1), (2, 2); INSERT INTO grandchild VALUES (2, 2); COMMIT")
            .await;
        let applied = pair
            .go("BEGIN; DELETE FROM grandchild; DELETE FROM child WHERE id = 2; DELETE FROM zparent; COMMIT")
            .await;
        assert!(applied.missing.is_empty(), "{:?}", applied.missing);
        pair.go("BEGIN; INSERT INTO zparent VALUES (7, 'a'); INSERT INTO child VALUES (7, 7); UPDATE zparent SET a = 'z'; DELETE FROM child; COMMIT")
            .await;
        // A key change is no delete that takes the child along.
        pair.go("BEGIN; INSERT INTO zparent VALUES (8, 'a'); INSERT INTO child VALUES (8, 8); COMMIT").await;
        pair.go("UPDATE zparent SET id = 80 WHERE id = 8").await;
        assert_eq!(pair.target.psql("SELECT p FROM child WHERE id = 8"), "80");
        pair.assert_same();
        assert!(pair.warned("target", "session_replication_role"));
        for (object, resume) in journal::resume_statements(&session, "move").await.unwrap() {
            session.batch(&object, &resume).await.unwrap();
        }
        assert_eq!(pair.target.psql("SELECT tgenabled FROM pg_trigger WHERE tgname = 'tr'"), "O");
    }
}

#[tokio::test]
async fn trap_generated_columns_and_identity_always() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, g int GENERATED ALWAYS AS (n * 2) STORED); \
             CREATE TABLE u (k text PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, n int, v int UNIQUE)",
        )
        .await;
        let session = pair.session().await;
        let tables = ["t", "u"].map(|t| ("public".to_owned(), t.to_owned()));
        assert_eq!(suspend(&session, "move", &tables).await.unwrap(), 2);
        pair.go(
            "INSERT INTO t (n) VALUES (1), (2), (3); INSERT INTO u (k, n, v) VALUES ('a', 1, 1), ('b', 2, 2)",
        )
        .await;
        pair.go("UPDATE t SET n = n + 1; UPDATE u SET n = n + 1; UPDATE u SET id = DEFAULT WHERE k = 'a'; UPDATE t SET id = DEFAULT WHERE n = 2").await;
        // One by one as well.
        let applied = pair
            .go("BEGIN; UPDATE u SET v = 0 WHERE k = 'a'; UPDATE u SET v = 1 WHERE k = 'b'; UPDATE u SET v = 2, id = DEFAULT WHERE k = 'a'; \
                 INSERT INTO u (k, n, v) VALUES ('c', 1, 3); COMMIT")
            .await;
        assert_eq!(applied.serial, 1);
        pair.assert_same();
        for (object, resume) in journal::resume_statements(&session, "move").await.unwrap() {
            session.batch(&object, &resume).await.unwrap();
        }
        assert_eq!(
            pair.target.psql("SELECT string_agg(attidentity, '') FROM pg_attribute WHERE attidentity <> '' AND attrelid IN ('t'::regclass, 'u'::regclass)"),
            "aa"
        );
    }
}

#[tokio::test]
async fn trap_truncate_cascade_restart_identity() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY, a int REFERENCES a); \
             CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE c_child () INHERITS (c); \
             INSERT INTO a SELECT FROM generate_series(1, 3); INSERT INTO b (a) VALUES (1), (2); INSERT INTO c VALUES (1); INSERT INTO c_child VALUES (2)",
        )
        .await;
        let applied = pair.go("BEGIN; INSERT INTO a DEFAULT VALUES; TRUNCATE a RESTART IDENTITY CASCADE; INSERT INTO a DEFAULT VALUES; COMMIT").await;
        assert_eq!((applied.truncates, applied.serial), (2, 0));
        pair.go("TRUNCATE ONLY c").await;
        pair.assert_same();
        assert_eq!(pair.target.psql("SELECT count(*) FROM c"), "1");
        // A table that only the target has refers to it.
        pair.target.psql("CREATE TABLE elsewhere (c int REFERENCES a)");
        pair.go("TRUNCATE a CASCADE").await;
        pair.target.psql("DROP TABLE elsewhere");
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_partitions() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE p (id int, k text, n int, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a'); \
             CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b') PARTITION BY RANGE (id); CREATE TABLE p_b1 PARTITION OF p_b FOR VALUES FROM (0) TO (1000); \
             CREATE TABLE f (a int, b int) PARTITION BY LIST (a); CREATE TABLE f_1 PARTITION OF f FOR VALUES IN (1); CREATE TABLE f_2 PARTITION OF f FOR VALUES IN (2); \
             ALTER TABLE f REPLICA IDENTITY FULL; ALTER TABLE f_1 REPLICA IDENTITY FULL; ALTER TABLE f_2 REPLICA IDENTITY FULL",
        )
        .await;
        pair.go("INSERT INTO p SELECT i, CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, i FROM generate_series(1, 100) i; INSERT INTO f VALUES (1, 1), (1, 1), (2, NULL)")
            .await;
        pair.go("UPDATE p SET n = -n; UPDATE p SET k = 'a' WHERE id = 1; DELETE FROM p WHERE id > 90; UPDATE f SET b = 7 WHERE a = 2; UPDATE f SET a = 2 WHERE ctid = '(0,1)'")
            .await;
        pair.assert_same();
        pair.go("TRUNCATE p").await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_columns_matched_by_name_quoted_and_not_ascii() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, "CREATE SCHEMA \"Sch é\"").await;
        pair.source.psql(
            "CREATE TABLE \"Sch é\".\"T\"\"q\" (dropped int, id int PRIMARY KEY, \"Ünï\" text, \"select\" int); ALTER TABLE \"Sch é\".\"T\"\"q\" DROP dropped",
        );
        pair.target.psql(
            "CREATE TABLE \"Sch é\".\"T\"\"q\" (\"select\" int, gone text, \"Ünï\" text, id int PRIMARY KEY); ALTER TABLE \"Sch é\".\"T\"\"q\" DROP gone",
        );
        pair.go("INSERT INTO \"Sch é\".\"T\"\"q\" VALUES (1, 'ä', 2), (2, 'ö', 3)").await;
        pair.go("UPDATE \"Sch é\".\"T\"\"q\" SET \"Ünï\" = 'ß' WHERE id = 1; DELETE FROM \"Sch é\".\"T\"\"q\" WHERE id = 2").await;
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_ddl_on_the_source_stops_before_the_first_wrong_change() {
    for majors in PAIRS {
        let mut pair = Pair::new(majors, "CREATE TABLE t (id int PRIMARY KEY, a int)").await;
        pair.go("INSERT INTO t VALUES (1, 1)").await;
        pair.source.psql("INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD b text; ALTER TABLE t ALTER a TYPE bigint; INSERT INTO t VALUES (3, 3, 'b')");
        let error = pair.sync().await.unwrap_err();
        let ApplyError::Mismatch { relation, problems, lsn } = &error else { panic!("{error}") };
        assert_eq!(relation, "public.t");
        assert_eq!(
            problems.join("|"),
            "column a is bigint on the source and integer on the target|column b (text) is not on the target"
        );
        assert!(lsn.0 > 0 && error.to_string().contains("same command again"), "{error}");
        pair.target.psql("ALTER TABLE t ADD b text; ALTER TABLE t ALTER a TYPE bigint");
        pair.sync().await.unwrap();
        pair.assert_same();
        // Added ahead of the source: no trouble, but told.
        pair.target.psql("ALTER TABLE t ADD c int DEFAULT 5");
        pair.go("INSERT INTO t VALUES (4, 4, 'b')").await;
        pair.applier = None;
        pair.go("UPDATE t SET b = 'c'").await;
        assert!(pair.warned("public.t", "column c"), "{:?}", pair.warnings);
        pair.go("ALTER TABLE t ADD c int DEFAULT 5; INSERT INTO t VALUES (5, 5, 'b', 6)").await;
        pair.assert_same();
        pair.source.psql("CREATE TABLE new (id int PRIMARY KEY); INSERT INTO new VALUES (1)");
        let error = pair.sync().await.unwrap_err();
        assert!(
            error.to_string().contains("public.new") && error.to_string().contains("no such table"),
            "{error}"
        );
        pair.target.psql("CREATE TABLE new (id int PRIMARY KEY)");
        pair.sync().await.unwrap();
        pair.assert_same();
    }
}

#[tokio::test]
async fn trap_fresh_unanalysed_target_uses_the_index() {
    for majors in PAIRS {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id int PRIMARY KEY, v varchar(20), n int) WITH (autovacuum_enabled = off); \
             CREATE TABLE u (k varchar(20), l char(4), n int, PRIMARY KEY (k, l)) WITH (autovacuum_enabled = off)",
        )
        .await;
        pair.go("INSERT INTO t SELECT i, i, i FROM generate_series(1, 3000) i; INSERT INTO u SELECT i, 'x', i FROM generate_series(1, 3000) i").await;
        pair.go("UPDATE t SET n = -n; UPDATE u SET n = -n WHERE n % 2 = 0; DELETE FROM t WHERE id % 10 = 0; DELETE FROM u WHERE n % 10 = 3").await;
        let mut two = "BEGIN;".to_owned();
        for i in 1..9 {
            two += &format!("UPDATE t SET n = {i} WHERE id = {i};");
        }
        pair.go(&(two + "COMMIT")).await;
        // Statistics of a session that goes on are sent late: end it.
        pair.applier.take().unwrap().close().await;
        let scans = "SELECT coalesce(sum(seq_scan), 0), coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname IN ('t', 'u')";
        let mut found = String::new();
        for _ in 0..50 {
            found = pair.target.psql(scans);
            if !found.ends_with("|0") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let (seq, idx) = found.split_once('|').unwrap();
        // Building its index is one scan of each table; every row that was changed was found by its index.
        assert!(
            seq.parse::<u64>().unwrap() <= 2 && idx.parse::<u64>().unwrap() >= 4800,
            "seq {seq}, idx {idx}"
        );
        pair.assert_same();
    }
}
