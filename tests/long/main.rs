//! What takes longer than `make test` may: every pair of versions, and larger sizes. Run by `make test-long`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::doc_lazy_continuation
)]

/// The pairs of majors that every kind is moved between.
const KIND_PAIRS: &[(u32, u32)] =
    &[(10, 18), (11, 18), (12, 18), (13, 18), (14, 18), (15, 15), (16, 17), (17, 18), (18, 18)];

#[path = "../integration/harness/mod.rs"]
mod harness;
#[path = "../integration/kinds/mod.rs"]
mod kinds;
#[allow(dead_code)]
#[path = "../integration/moves.rs"]
mod moves;

#[allow(dead_code)]
#[path = "../integration/live.rs"]
mod live;
#[path = "../integration/mirror/mod.rs"]
mod mirror;
#[allow(dead_code)]
#[path = "../integration/random/mod.rs"]
mod random;
#[path = "../integration/random_schemas.rs"]
mod random_schemas;
#[path = "../integration/random_truth.rs"]
mod random_truth;
#[path = "../integration/trials.rs"]
mod trials;

mod lanes;
mod model;
mod online;
mod pairs;
mod schemas;
mod sizes;
