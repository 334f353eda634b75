//! What is applied together: whole source transactions, or a piece of one that is too large for memory.
//!
//! Invariants: a batch without [`Batch::ends`] is followed by more of the same source transaction, and the target's transaction
//! stays open until a batch that has it; a batch may be cut only where a source transaction ends.

use std::sync::Arc;

use super::change::Change;
use super::relation::Relation;
use super::tuple::Tuple;
use crate::lsn::Lsn;

/// Consecutive changes, in commit order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Pieces to be applied one after the other.
    pub segments: Vec<Segment>,
    /// The last whole transaction in it; `None`: the transaction goes on in the next batch.
    pub ends: Option<Commit>,
    /// Transactions that end in it, empty ones not counted.
    pub transactions: u64,
    /// The memory its changes take, bytes.
    pub bytes: usize,
    /// Where its transactions end, ascending; the last one is known by `ends`, and a transaction that changed nothing is not told.
    pub seams: Vec<Seam>,
}

/// The end of a transaction inside a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seam {
    /// Segments up to there, the one it ends in too.
    pub segments: usize,
    /// Changes of that one up to there.
    pub in_last: usize,
    /// Changes of all rows up to there.
    pub changes: usize,
    /// The transaction that ends.
    pub commit: Commit,
}

/// Where a transaction ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Start of its commit record: what transactions are ordered and skipped by.
    pub commit_lsn: Lsn,
    /// End of its commit record: what is confirmed to the source.
    pub end_lsn: Lsn,
    /// When the source committed: microseconds since 2000-01-01 UTC.
    pub time: i64,
}

/// A piece of a batch.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Row changes.
    Rows {
        /// As the source made them, in order: what the serial fallback replays.
        changes: Vec<Change>,
        /// Their net effect, relation by relation; relations are independent of each other.
        net: Vec<RelationNet>,
    },
    /// TRUNCATE.
    Truncate {
        /// All tables that were truncated, by CASCADE too.
        relations: Vec<Arc<Relation>>,
        /// `RESTART IDENTITY`
        restart_identity: bool,
    },
}

/// The net effect of a segment on one relation.
#[derive(Clone, Debug)]
pub struct RelationNet {
    /// The table.
    pub relation: Arc<Relation>,
    /// What is left to do.
    pub net: Net,
}

/// What is left to do to a relation once changes to one row are folded into one.
#[derive(Clone, Debug)]
pub enum Net {
    /// In any order within each list; deletes first, then updates, then inserts.
    Rows {
        /// Rows to be deleted, by their identity columns.
        deletes: Vec<Tuple>,
        /// Rows to be changed; their identity stays.
        updates: Vec<Update>,
        /// Rows to be inserted: no value is `Unchanged`.
        inserts: Vec<Tuple>,
    },
    /// Only the changes themselves, one by one in order, are right: FULL identity with updates or deletes, or a key change whose
    /// row is not known whole. Indexes into the segment's changes.
    Serial(Vec<u32>),
}

/// A row that changes and keeps its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The row as it shall be, identity columns included; `Unchanged` values stay as they are.
    pub new: Tuple,
}
