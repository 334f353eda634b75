//! Sizes that break naive copies: one enormous value, very many tables, very many rows.

use std::time::Duration;

use crate::harness::{Cluster, Options, assert_same, assert_same_rows};
use crate::moves::{Move, offline, pair_with};

/// Client memory that no table size may pass, in kilobytes: a debug build's code and stacks included.
const MEMORY_KB: u64 = 100 * 1024;

#[test]
fn values_of_200_megabytes() {
    let pair = pair_with(
        13,
        18,
        "CREATE TABLE huge (id int PRIMARY KEY, b bytea, t text);
         ALTER TABLE huge ALTER b SET STORAGE EXTERNAL, ALTER t SET STORAGE EXTERNAL;
         INSERT INTO huge VALUES (1, decode(repeat('00ff5c0a', 50000000), 'hex'), NULL), (2, NULL, repeat(E'\\\\.\\n\\té', 33333333)), (3, 'x', 'y');
         -- text format: a regclass column makes binary unsafe
         CREATE TABLE huge_as_text (r regclass, t text); ALTER TABLE huge_as_text ALTER t SET STORAGE EXTERNAL;
         INSERT INTO huge_as_text VALUES ('huge', repeat(E'\\\\.\\n\\té', 33333333))",
    );
    let run = pair.offline().ok();
    assert_same(&pair.source, &pair.target);
    assert!(run.peak_kb < MEMORY_KB, "{} kB", run.peak_kb);
}

#[test]
fn ten_thousand_tiny_tables() {
    let source = Cluster::start(15, &Options::new().set("max_locks_per_transaction", "256"));
    let target = Cluster::start(15, &Options::new());
    let (source, target) = (source.database("source"), target.database("target"));
    source.psql(
        "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, t text)', g) FROM generate_series(1, 10000) g \\gexec
         SELECT format('INSERT INTO t%s VALUES (%s, ''x'')', g, g) FROM generate_series(1, 10000) g \\gexec",
    );
    let run = offline(&source.conninfo(), &target.conninfo()).limit(Duration::from_secs(400)).ok();
    println!("10,000 tables: {:?}, {} kB", run.elapsed, run.peak_kb);
    assert_same_rows(&source, &target);
    let keys =
        "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace";
    assert_eq!(target.psql(keys), "10000");
}

#[test]
fn five_million_rows() {
    let pair = pair_with(
        16,
        18,
        "CREATE TABLE many (id bigint, a int, t text, at timestamptz);
         INSERT INTO many SELECT g, g % 1000, 'row ' || g, timestamptz '2020-01-01' + g * interval '1 second' FROM generate_series(1, 5000000) g;
         ALTER TABLE many ADD PRIMARY KEY (id); CREATE INDEX ON many (a)",
    );
    let run = pair.offline().arg("--split-bytes").arg("50MB").ok();
    println!("5,000,000 rows: {:?}, {} kB", run.elapsed, run.peak_kb);
    assert_same(&pair.source, &pair.target);
    assert!(run.peak_kb < MEMORY_KB, "{} kB", run.peak_kb);
}

#[test]
fn a_table_is_split_on_every_version() {
    for major in [13, 15, 18] {
        let pair: Move = pair_with(
            major,
            18,
            "CREATE TABLE s (id int PRIMARY KEY, t text); INSERT INTO s SELECT g, repeat('x', g % 500) FROM generate_series(1, 50000) g;
             DELETE FROM s WHERE id % 3 = 0; CREATE TABLE no_key (t text); INSERT INTO no_key SELECT t FROM s;
             CREATE TABLE gaps (id bigint PRIMARY KEY); INSERT INTO gaps VALUES (-9223372036854775808), (0), (9223372036854775807);
             INSERT INTO gaps SELECT g FROM generate_series(1, 30000) g; ANALYZE",
        );
        pair.offline().arg("--split-bytes").arg("256kB").ok();
        assert_same_rows(&pair.source, &pair.target);
    }
}
