//! What the source says in its stream, one value per message.
//!
//! Invariant: row changes and truncates carry the relation as the source last described it, so nothing below looks one up by OID.
//! A transaction is `Begin`, its changes, `Commit`; transactions come whole, one after the other, in commit order, as they do in protocol 1
//! (PostgreSQL manual, "Logical Replication Message Formats"); of later ones, [`super::in_progress`] makes that.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::Commit;
use super::change::Change;
use super::relation::Relation;
use crate::lsn::Lsn;

/// One pgoutput message.
#[derive(Clone, Debug)]
pub enum Message {
    /// A transaction begins.
    Begin(Begin),
    /// It ends: all of it has been sent.
    Commit(Commit),
    /// A table's columns, before its first change and whenever they may have changed.
    Relation(Arc<Relation>),
    /// The name of a type that is not built in, before the relation that uses it.
    Type {
        /// Its OID on the source.
        oid: u32,
        /// The schema of the type or, for a domain, of its base type.
        namespace: String,
        /// The name of the same.
        name: String,
    },
    /// The transaction was itself replicated to the source from elsewhere.
    Origin {
        /// Its commit there.
        commit_lsn: Lsn,
        /// The origin's name on the source.
        name: String,
    },
    /// A row change.
    Change(Change),
    /// TRUNCATE.
    Truncate(Truncate),
    /// What `pg_logical_emit_message` wrote; sent only to who asks for it.
    Logical {
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Its position.
        lsn: Lsn,
        /// Its prefix.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
}

/// The beginning of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Start of its commit record: equal to [`Commit::commit_lsn`].
    pub final_lsn: Lsn,
    /// When the source committed: microseconds since 2000-01-01 UTC.
    pub time: i64,
    /// Its transaction id.
    pub xid: u32,
}

/// One TRUNCATE.
#[derive(Clone, Debug)]
pub struct Truncate {
    /// All published tables that it emptied, those reached by CASCADE too.
    pub relations: Vec<Arc<Relation>>,
    /// Whether CASCADE was said.
    pub cascade: bool,
    /// Whether RESTART IDENTITY was said.
    pub restart_identity: bool,
}
