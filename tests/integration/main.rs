//! The one integration test binary: every test that needs a real PostgreSQL server lives in a module of it, so that
//! servers are started once per process and major, and linking happens once.
//!
//! Servers come from `scripts/servers`; see [`harness`].
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::doc_lazy_continuation
)]

/// The pairs of majors that every kind is moved between here; `tests/long` has all of them.
const KIND_PAIRS: &[(u32, u32)] = &[(10, 18), (13, 18), (15, 15), (18, 18)];

mod accidents;
mod apply;
mod apply_lanes;
mod apply_listed;
mod apply_relations;
mod bad_input;
mod bench;
mod better;
mod bridges;
mod check;
mod cleanup;
mod cli;
mod commands;
mod connections;
mod cutover_steps;
mod encodings;
mod extension_rows;
mod fixtures;
mod flags;
mod hard_cutovers;
mod harness;
mod hostile;
mod kept_subscription;
mod kinds;
mod kinds_database;
mod kinds_eighteen;
mod kinds_foreign;
mod kinds_grants;
mod kinds_operators;
mod kinds_statistics;
mod kinds_tables;
mod kinds_types;
mod library;
mod live;
mod loops;
mod mirror;
mod model;
mod moves;
mod offline;
mod online;
mod online_check;
mod online_kills;
mod online_publication;
mod online_refusals;
mod online_stops;
mod pair;
mod random;
mod random_few;
mod random_schemas;
mod random_truth;
mod reading_functions;
mod scale;
mod selftest;
mod slots;
mod statistics;
mod stream_in_progress;
mod stream_run;
mod traps_apply;
mod traps_stream;
mod trials;
mod wire;
