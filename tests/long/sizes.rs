//! Larger than `make test` has time for.

use std::time::Duration;

use crate::harness::{Cluster, Options, assert_same_rows};
use crate::moves::{offline, pair_with};

/// Client memory that no table size may pass, in kilobytes.
const MEMORY_KB: u64 = 100 * 1024;

#[test]
fn two_gigabytes_wide_and_narrow() {
    let pair = pair_with(
        13,
        18,
        "CREATE TABLE wide (id bigint PRIMARY KEY, t text, j jsonb, b bytea);
         INSERT INTO wide SELECT g, repeat(md5(g::text), 30), jsonb_build_object('k', g, 'm', md5(g::text)), decode(repeat(md5(g::text), 20), 'hex')
           FROM generate_series(1, 600000) g;
         CREATE TABLE narrow (id int); INSERT INTO narrow SELECT generate_series(1, 20000000)",
    );
    let run = pair.offline().limit(Duration::from_secs(900)).ok();
    println!("2 GB: {:?}, {} kB", run.elapsed, run.peak_kb);
    assert_same_rows(&pair.source, &pair.target);
    assert!(run.peak_kb < MEMORY_KB, "{} kB", run.peak_kb);
}

#[test]
fn two_thousand_partitions_with_indexes_and_keys() {
    let locks = || Options::new().set("max_locks_per_transaction", "512");
    let (source, target) = (Cluster::start(15, &locks()), Cluster::start(18, &locks()));
    let (source, target) = (source.database("source"), target.database("target"));
    source.psql(
        "CREATE TABLE p (id int, at int NOT NULL, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE INDEX ON p (t);
         SELECT format('CREATE TABLE p%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', g, g * 10, g * 10 + 10) FROM generate_series(0, 1999) g \\gexec
         INSERT INTO p SELECT g, g % 20000, 't' || g FROM generate_series(1, 200000) g",
    );
    let run = offline(&source.conninfo(), &target.conninfo()).limit(Duration::from_secs(600)).ok();
    println!("2,000 partitions: {:?}, {} kB", run.elapsed, run.peak_kb);
    assert_same_rows(&source, &target);
    let indexes = "SELECT count(*), bool_and(indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid \
                   WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(source.psql(indexes), "4002|t");
    assert_eq!(target.psql(indexes), "4002|t");
}

#[test]
fn thirteen_thousand_large_objects() {
    let pair = pair_with(
        15,
        15,
        "SELECT count(lo_from_bytea(g + 1000000, decode(md5(g::text), 'hex'))) FROM generate_series(1, 3000) g",
    );
    for _ in 0..5 {
        pair.source.psql("SELECT count(lo_from_bytea(0, '\\x01')) FROM generate_series(1, 2000)");
    }
    pair.offline().limit(Duration::from_secs(600)).ok();
    let all = "SELECT count(*), sum(oid::bigint), md5(string_agg(md5(lo_get(oid)), '' ORDER BY oid)) FROM pg_largeobject_metadata";
    assert_eq!(pair.source.psql(all), pair.target.psql(all));
}
