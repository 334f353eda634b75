//! What takes longer than `make test` may: every pair of versions, and larger sizes. Run by `make test-long`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::doc_lazy_continuation
)]

#[path = "../integration/harness/mod.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../integration/moves.rs"]
mod moves;

#[allow(dead_code)]
#[path = "../integration/live.rs"]
mod live;
#[allow(dead_code)]
#[path = "../integration/random/mod.rs"]
mod random;
#[path = "../integration/random_schemas.rs"]
mod random_schemas;
#[path = "../integration/trials.rs"]
mod trials;

mod online;
mod pairs;
mod schemas;
mod sizes;
