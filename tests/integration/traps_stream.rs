//! Traps of a change's way from the source's WAL to the target, each with a test of its name, in whole online migrations.

use crate::harness::{assert_same_rows, migrator};
use crate::live::Live;

const TEXTS: &str = "SET client_encoding = 'UTF8'; CREATE SCHEMA \"schön\"; CREATE TYPE \"schön\".\"größe\" AS ENUM ('groß', 'klein');
    CREATE TABLE \"schön\".\"straße\" (\"schlüssel\" text PRIMARY KEY, \"größe\" \"schön\".\"größe\", t text, j jsonb, a text[]);
    CREATE TABLE \"schön\".voll (\"wörter\" text, x int); ALTER TABLE \"schön\".voll REPLICA IDENTITY FULL;
    INSERT INTO \"schön\".\"straße\" SELECT 'ä' || g, 'groß', 'Ærø', '{\"ä\": \"ö\"}', ARRAY['ü', NULL] FROM generate_series(1, 20) g;
    INSERT INTO \"schön\".voll VALUES ('grün', 1), ('grün', 1), ('blau', 2)";

const CHANGES: &str = "SET client_encoding = 'UTF8'; SET search_path = \"schön\";
    INSERT INTO \"straße\" VALUES ('ß', 'klein', E'tab\\té\\\\', NULL, '{ÿ}'); UPDATE \"straße\" SET t = t || 'ý', \"größe\" = 'klein' WHERE \"schlüssel\" LIKE 'ä1%';
    UPDATE \"straße\" SET \"schlüssel\" = 'ö2' WHERE \"schlüssel\" = 'ä2'; DELETE FROM \"straße\" WHERE \"schlüssel\" = 'ä3';
    UPDATE voll SET x = 7 WHERE ctid = '(0,1)'; DELETE FROM voll WHERE \"wörter\" = 'blau'; INSERT INTO voll VALUES ('weiß', NULL)";

#[test]
fn trap_encodings_that_differ() {
    let read = "SET client_encoding = 'UTF8'; SELECT * FROM \"schön\".\"straße\" ORDER BY convert_to(\"schlüssel\", 'UTF8'); SELECT * FROM \"schön\".voll ORDER BY x";
    for (from, to) in
        [((13, "LATIN1"), (18, "UTF8")), ((15, "WIN1252"), (15, "UTF8")), ((18, "LATIN1"), (18, "LATIN1"))]
    {
        let live = Live::encoded(from, to);
        live.source.psql(TEXTS);
        let running = live.start();
        live.source.psql(CHANGES);
        live.drained();
        live.cut_over(running);
        assert_eq!(live.source.psql(read), live.target.psql(read), "{from:?} → {to:?}");
        let (source, target) = (live.source_conninfo(), live.target_conninfo());
        migrator(["verify", "--source", &source, "--target", &target]).ok();
    }
}

#[test]
fn trap_bytes_of_no_known_encoding() {
    let live = Live::encoded((15, "SQL_ASCII"), (18, "SQL_ASCII"));
    live.source.psql(
        "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, E'\\xe4'), (2, 'plain')",
    );
    let running = live.start();
    live.source.psql(
        "INSERT INTO t VALUES (3, convert_from('\\xff80e4', 'SQL_ASCII')); UPDATE t SET a = a || E'\\xfe' WHERE id < 3; UPDATE t SET id = 10 WHERE id = 1",
    );
    live.drained();
    live.cut_over(running);
    let bytes = "SELECT id, convert_to(a, 'SQL_ASCII') FROM t ORDER BY id";
    assert_eq!(live.source.psql(bytes), live.target.psql(bytes));
}

#[test]
fn trap_subtransactions() {
    for (from, to) in [(13, 18), (18, 18)] {
        let live = Live::with(from, to, "CREATE TABLE t (id int PRIMARY KEY, v text)");
        let running = live.start();
        // Rolled back, released, one inside the other, and more than a backend remembers (64).
        live.source.psql(
            "BEGIN; INSERT INTO t VALUES (1, 'stays'); SAVEPOINT a; INSERT INTO t VALUES (2, 'goes'); UPDATE t SET v = 'spoilt'; ROLLBACK TO a;
             INSERT INTO t VALUES (2, 'stays'); SAVEPOINT b; DELETE FROM t WHERE id = 1; SAVEPOINT c; INSERT INTO t VALUES (3, 'goes'); RELEASE c; ROLLBACK TO b;
             SAVEPOINT d; INSERT INTO t VALUES (4, 'stays'); RELEASE d; COMMIT;
             DO $$ BEGIN FOR i IN 100..299 LOOP BEGIN INSERT INTO public.t VALUES (i, 'one'); IF i % 3 = 0 THEN PERFORM 1 / 0; END IF;
               EXCEPTION WHEN division_by_zero THEN INSERT INTO public.t VALUES (i + 1000, 'instead'); END; END LOOP; END $$;
             BEGIN; SAVEPOINT a; INSERT INTO t VALUES (5, 'goes'); ROLLBACK TO a; COMMIT; BEGIN; INSERT INTO t VALUES (6, 'goes'); ROLLBACK",
        );
        live.drained();
        live.cut_over(running);
        assert_eq!(
            live.target.psql("SELECT count(*), count(*) FILTER (WHERE v = 'stays') FROM t WHERE v <> 'goes'"),
            "203|3"
        );
        assert_same_rows(&live.source, &live.target);
    }
}

#[test]
fn trap_dropped_columns() {
    let live = Live::with(
        15,
        18,
        "CREATE TABLE t (x int, id int, y text, v text, z int, w text); ALTER TABLE t DROP x, DROP y; ALTER TABLE t ADD PRIMARY KEY (id);
         CREATE TABLE f (a int, b int, c text); ALTER TABLE f DROP a; ALTER TABLE f REPLICA IDENTITY FULL;
         INSERT INTO t SELECT g, 'v', g, 'w' FROM generate_series(1, 10) g; INSERT INTO f VALUES (1, NULL), (1, NULL), (NULL, 'c')",
    );
    let running = live.start();
    live.source.psql(
        "UPDATE t SET v = 'new' WHERE id < 4; UPDATE t SET id = -id WHERE id = 5; DELETE FROM t WHERE id = 6;
        DELETE FROM f WHERE ctid = '(0,1)'; UPDATE f SET b = 3 WHERE c = 'c'",
    );
    live.drained();
    // On the source first: the target's column stays as it was until the operator drops it, too.
    live.source
        .psql("ALTER TABLE t DROP z; INSERT INTO t VALUES (11, 'v', 'w'); UPDATE t SET w = 'x' WHERE id = 1");
    live.drained();
    live.target.psql("ALTER TABLE t DROP z");
    live.source.psql("INSERT INTO t VALUES (12, 'v', 'w'); UPDATE t SET w = 'y' WHERE id = 2");
    live.drained();
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}
