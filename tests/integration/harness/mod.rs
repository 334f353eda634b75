//! Throwaway PostgreSQL servers, oracles and a misbehaving network for tests, the demo and benchmarks.
//!
//! What it guarantees: it touches no server that it did not start, and it leaves no process and no folder
//! behind, not even when the test process is killed with `kill -9`.
#![allow(dead_code)]

mod cluster;
mod database;
mod entries;
mod ledger;
mod migrator;
mod oracle;
mod proxy;

#[allow(unused_imports)]
pub use {
    cluster::{Cluster, Options, cluster, online_cluster, pg_dump_for, server_bin, tools, unique},
    database::Database,
    entries::Chance,
    ledger::{Books, Ledger},
    migrator::{Migrator, Run, Running, migrator},
    oracle::{
        assert_same, assert_same_rows, assert_same_schema, assert_schema, comparable, diff, expected_schema,
        fixture, lenient_reference_target, reference_target, rows, schema_dump,
    },
    proxy::Proxy,
};
