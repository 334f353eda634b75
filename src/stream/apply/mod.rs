//! Apply: batches of changes become set-based statements on the target.
//!
//! ```text
//! Batch ─► target relations (columns by name) ─► COPY, UPDATE, DELETE over arrays ─┐
//!                                     └─ on any error: change by change, in order ─┴─► journal's LSN ─► COMMIT
//! ```
//!
//! Invariants: whole source transactions become visible at once, together with the LSN they reach; every statement's result is read and
//! checked; what fails is rolled back whole.

mod applier;
mod encode;
mod error;
mod jobs;
mod lane;
#[doc(hidden)]
pub mod measured;
mod order;
mod route;
mod rows;
mod segment;
mod serial;
mod session;
mod shown;
mod splits;
mod spread;
mod statement;
mod suspend;
mod target_relation;
mod tree;
mod unfound;

pub use applier::Applier;
pub use error::ApplyError;
pub(crate) use jobs::default_jobs;
pub use suspend::suspend;

use crate::journal::Progress;
use crate::progress::Reporter;

/// How to apply.
#[derive(Clone, Debug)]
pub struct ApplySetup {
    /// The migration's name in the journal.
    pub name: String,
    /// Where each lane stands in the journal; at least one.
    pub lanes: Vec<Progress>,
    /// How many lanes there shall be; 0: by the target's processors. While they stand apart there are as many as the journal has.
    pub jobs: usize,
    /// Changes of a batch from which on it is spread over them.
    pub spread_from: usize,
    /// The encoding that values come in: `UTF8`, or `SQL_ASCII` where the source knows none.
    pub encoding: String,
    /// Whether values come in binary format.
    pub binary: bool,
    /// Hears of rows that were missing and the like.
    pub reporter: Reporter,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows inserted, as the source did.
    pub inserts: u64,
    /// Rows updated, as the source did.
    pub updates: u64,
    /// Rows deleted, as the source did.
    pub deletes: u64,
    /// Tables truncated.
    pub truncates: u64,
    /// Changes that found no row, by relation.
    pub missing: Vec<Missing>,
    /// Segments that had to be applied change by change.
    pub serial: u64,
}

impl Applied {
    /// Adds what a further batch did.
    pub fn add(&mut self, more: Applied) {
        self.inserts += more.inserts;
        self.updates += more.updates;
        self.deletes += more.deletes;
        self.truncates += more.truncates;
        self.missing.extend(more.missing);
        self.serial += more.serial;
    }
}

/// Changes of one relation that found no row on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `schema.table`, quoted.
    pub relation: String,
    /// Updates.
    pub updates: u64,
    /// Deletes.
    pub deletes: u64,
}
