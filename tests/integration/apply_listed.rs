//! Rows that are found by a list of their keys: every type that may be one, many rows and few, and the plans that the server makes.

use crate::pair::{PAIRS, Pair};

/// Types of keys, and such a key of the number `i`.
const KEYS: [(&str, &str); 14] = [
    ("int2", "i - 300"),
    ("int4", "i * 1000003 - 300000000"),
    ("int8", "i::bigint * 10000000019 - 3000000000000"),
    ("oid", "i::bigint * 7000003"),
    ("text", "'key ''' || i || '\" ,{}\\'"),
    ("text COLLATE \"C\"", "'clé ' || i"),
    ("varchar(30)", "'v' || i"),
    ("bytea", "decode(lpad(to_hex(i), 8, '0'), 'hex')"),
    ("numeric", "i * 1.50 - 100"),
    ("date", "date '1999-06-01' + i"),
    ("time(3)", "time '00:00:00.001' + i * interval '17 s'"),
    ("timestamp", "timestamp '1999-12-31 23:55' + i * interval '1 min'"),
    ("timestamptz", "timestamptz '1999-12-31 23:55+00' + i * interval '1 min'"),
    ("uuid", "md5(i::text)::uuid"),
];

fn tables() -> String {
    let each = KEYS.iter().enumerate().map(|(n, (kind, _))| {
        format!("CREATE TABLE k{n} (v int, k {kind} PRIMARY KEY, w text) WITH (autovacuum_enabled = off);")
    });
    each.collect()
}

/// The statement for each table, `{}` its key of the number `i`.
fn everywhere(sql: &str) -> String {
    let each = KEYS.iter().enumerate();
    let each = each.map(|(n, (kind, key))| {
        let key = format!("({key})::{}", kind.split(" COLLATE").next().unwrap());
        sql.replace("TABLE", &format!("k{n}")).replace("KEY", &key)
    });
    format!("BEGIN; {}; COMMIT", each.collect::<Vec<_>>().join("; "))
}

#[tokio::test]
async fn rows_are_found_whatever_type_their_key_is_of() {
    for majors in PAIRS {
        for (binary, jobs) in [(false, 1), (true, 1), (true, 4)] {
            let mut pair = Pair::new(majors, &tables()).await;
            (pair.binary, pair.jobs) = (binary && majors.0 >= 14, jobs);
            let all = KEYS.len() as u64;
            pair.go(&everywhere("INSERT INTO TABLE SELECT i, KEY, 'w' FROM generate_series(1, 600) i")).await;
            for _ in 0..2 {
                let many = pair.go(&everywhere("UPDATE TABLE SET v = v + 1, w = v || 'x'")).await;
                assert_eq!((many.updates, many.serial, many.missing.len()), (600 * all, 0, 0));
                let few = pair
                    .go(&everywhere(
                        "UPDATE TABLE SET v = -v WHERE k IN (SELECT KEY FROM generate_series(5, 14) i)",
                    ))
                    .await;
                assert_eq!((few.updates, few.serial, few.missing.len()), (10 * all, 0, 0));
                // What the server planned is planned anew.
                pair.target.psql("ANALYZE");
            }
            pair.assert_same();
            let gone = pair.go(&everywhere("DELETE FROM TABLE WHERE v % 2 = 0")).await;
            assert!(gone.deletes >= 290 * all && gone.serial == 0 && gone.missing.is_empty(), "{gone:?}");
            pair.assert_same();
            // Rows that are not there are counted, and no others taken for them.
            pair.target.psql("DELETE FROM k1 WHERE v % 3 = 0");
            let left = pair.target.psql("SELECT count(*) FROM k1").parse::<u64>().unwrap();
            let rows = pair.source.psql("SELECT count(*) FROM k1").parse::<u64>().unwrap();
            let missing = pair.go("UPDATE k1 SET w = 'some'; DELETE FROM k1").await.missing;
            let missing: u64 = missing.iter().map(|m| m.updates + m.deletes).sum();
            assert!(left < rows && missing >= rows - left, "{missing} of {rows} - {left}");
            pair.assert_same();
        }
    }
}

#[tokio::test]
async fn many_updates_do_not_descend_the_index_for_each_from_17_on() {
    for (majors, descends) in [((16, 16), true), ((17, 17), false), ((18, 18), false)] {
        let mut pair = Pair::new(
            majors,
            "CREATE TABLE t (id bigint PRIMARY KEY, v int) WITH (autovacuum_enabled = off)",
        )
        .await;
        pair.go("INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i").await;
        for analyzed in [false, true] {
            if analyzed {
                pair.target.psql("VACUUM ANALYZE t");
            }
            pair.target.psql("SELECT pg_stat_reset()");
            pair.go("UPDATE t SET v = v + 1").await;
            pair.applier.take().unwrap().close().await;
            let mut found = String::new();
            for _ in 0..50 {
                found = pair.target.psql(
                    "SELECT seq_scan, idx_scan, n_tup_upd FROM pg_stat_user_tables WHERE relname = 't'",
                );
                if found.ends_with("|20000") {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            let scans: Vec<u64> = found.split('|').map(|n| n.parse().unwrap()).collect();
            assert_eq!((scans[0], scans[2]), (0, 20_000), "{majors:?}");
            assert_eq!(scans[1] >= 20_000, descends, "{majors:?}: {found}");
        }
        pair.assert_same();
    }
}
