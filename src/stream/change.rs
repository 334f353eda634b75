//! One row change from WAL.

use std::sync::Arc;

use super::relation::Relation;
use super::tuple::Tuple;

/// A change to one row, as the source made it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The table, in the version of its columns that the tuples have.
    pub relation: Arc<Relation>,
    /// What happened.
    pub kind: ChangeKind,
    /// The end-of-WAL position the source named with it: for messages only, never compared.
    pub lsn: crate::lsn::Lsn,
}

/// What happened to the row. Every tuple has all of the relation's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new row.
    Insert {
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// What the row was: the identity columns (others NULL) where they changed; the whole row with FULL; `None` where
        /// the new row's identity is the old one's.
        old: Option<Tuple>,
        /// What it is now; may hold `Unchanged`.
        new: Tuple,
    },
    /// A row that is gone.
    Delete {
        /// The identity columns (others NULL); the whole row with FULL.
        old: Tuple,
    },
}
