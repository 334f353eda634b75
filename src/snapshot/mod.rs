//! PrepareSnapshot: one view of the source that every reader shares.
//!
//! Offline, a plain transaction exports its snapshot (`pg_export_snapshot`); online, the slot's creation does. The readers
//! import it (`SET TRANSACTION SNAPSHOT`). Invariant: the snapshot lives at least as long as the [`Snapshot`]: a transaction that
//! has it stays open inside, and dropping it ends the transaction and leaves nothing on the source.

mod holders;
mod slot;

pub use holders::lock_holders;
pub use slot::{ReplicationSlot, SlotError, drop_slot, take_slot_over};

mod publication;

pub use publication::{drop_publication, make_publication, uncovered};

use crate::pg::{Session, SqlError};

/// An exported snapshot and the session whose open transaction keeps it alive.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    id: String,
}

impl Snapshot {
    /// Exports the snapshot of the transaction that is open in `session`.
    ///
    /// # Errors
    /// [`SqlError`] when the source refuses, or when the connection breaks.
    pub async fn export(session: Session) -> Result<Self, SqlError> {
        let id: String = session
            .value("exporting a snapshot", "SELECT pg_catalog.pg_export_snapshot() AS id")
            .await?
            .unwrap_or_default();
        Ok(Snapshot { session, id })
    }

    /// A snapshot that was exported elsewhere, and a session whose open transaction has imported it.
    pub fn adopt(session: Session, id: String) -> Self {
        Snapshot { session, id }
    }

    /// The session that holds the snapshot: its transaction sees the same state as every importer.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The identifier to import, such as `00000003-0000001B-1`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends the exporting transaction. Readers that have imported the snapshot keep it.
    pub async fn release(self) -> Result<(), SqlError> {
        self.session.batch("ending the snapshot's transaction", "COMMIT").await
    }
}
