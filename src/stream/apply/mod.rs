//! Apply: batches of changes become set-based statements on the target.
//!
//! ```text
//! Batch ─► target relations (columns by name) ─► COPY, UPDATE, DELETE over arrays ─┐
//!                                     └─ on any error: change by change, in order ─┴─► journal's LSN ─► COMMIT
//! ```
//!
//! Invariants: whole source transactions become visible at once, together with the LSN they reach; every statement's result is read and
//! checked; what fails is rolled back whole.

mod error;

pub use error::ApplyError;

use super::batch::Batch;
use crate::journal::Progress;
use crate::pg::Server;
use crate::progress::Reporter;

/// How to apply.
#[derive(Clone, Debug)]
pub struct ApplySetup {
    /// The migration's name in the journal.
    pub name: String,
    /// Where each lane stands in the journal; at least one.
    pub lanes: Vec<Progress>,
    /// The encoding that values come in: `UTF8`, or `SQL_ASCII` where the source knows none.
    pub encoding: String,
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

/// The sessions that apply, and what they know of the target's tables.
#[derive(Debug)]
pub struct Applier {
    setup: ApplySetup,
}

impl Applier {
    /// Connects and makes durable what an earlier run may have left unflushed: what the journal says is true when this
    /// returns.
    ///
    /// # Errors
    /// The target cannot be reached, or lacks the journal's rows.
    pub async fn open(target: &Server, setup: ApplySetup) -> Result<Applier, ApplyError> {
        target.connect_wire("UTF8").await?;
        Ok(Applier { setup })
    }

    /// Applies a batch. With [`Batch::ends`] the target's transaction commits, and if `durable` everything so far is flushed
    /// when this returns; without, it stays open for the next batch. Not safe to cancel: a call that was given up leaves the applier
    /// unusable.
    ///
    /// # Errors
    /// See [`ApplyError`]. After any error the applier is to be thrown away; the journal says where a new one goes on.
    pub async fn apply(&mut self, batch: Batch, durable: bool) -> Result<Applied, ApplyError> {
        let _ = (&self.setup, batch, durable);
        Err(ApplyError::Unusable)
    }

    /// Flushes everything that was committed so far; nothing to do inside an unfinished source transaction.
    ///
    /// # Errors
    /// A broken connection, mostly.
    pub async fn make_durable(&mut self) -> Result<(), ApplyError> {
        Err(ApplyError::Unusable)
    }

    /// Ends the sessions politely; an unfinished transaction is rolled back.
    pub async fn close(self) {}
}
