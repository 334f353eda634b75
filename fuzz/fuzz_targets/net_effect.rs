//! The net effect of any changes that a source can make leaves the rows that the changes leave.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::net::fold;
use pg_migrator::stream::{Change, ChangeKind, Column, Datum, Net, Relation, ReplicaIdentity, Tuple};

#[path = "../../src/stream/net/model.rs"]
mod model;

fuzz_target!(|data: &[u8]| {
    let [first, second, before, acts @ ..] = data else { return };
    let (acts, _) = acts.as_chunks::<5>();
    model::check((*first, *second), usize::from(*before) % 32, acts);
});
