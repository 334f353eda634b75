//! PrepareSnapshot: one view of the source that every reader shares.
//!
//! Offline, a plain transaction exports its snapshot (`pg_export_snapshot`); the readers import it
//! (`SET TRANSACTION SNAPSHOT`). Invariant: the snapshot lives exactly as long as the [`Snapshot`]: the exporting
//! transaction stays open inside it, and dropping it ends the transaction and leaves nothing on the source.

use crate::pg::{ConnectError, Server, Session, SqlError};

/// What a snapshot can fail with.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The source cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The source refused.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl SnapshotError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> crate::error::ExitCode {
        match self {
            SnapshotError::Connect(e) => e.exit_code(),
            SnapshotError::Sql(e) => e.exit_code(),
        }
    }
}

/// An exported snapshot and the session whose open transaction keeps it alive.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    id: String,
}

/// Begins the transaction in which readers of the source see one state and change nothing.
pub const BEGIN_READER: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Snapshot {
    /// Exports a snapshot from a plain transaction on `source`.
    pub async fn export(source: &Server) -> Result<Self, SnapshotError> {
        let session = source.connect().await?;
        session.batch("beginning the snapshot's transaction", BEGIN_READER).await?;
        let rows =
            session.query("exporting a snapshot", "SELECT pg_catalog.pg_export_snapshot() AS id").await?;
        let id: String = rows.first().map(|row| row.get("id")).transpose()?.unwrap_or_default();
        Ok(Snapshot { session, id })
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
    pub async fn release(self) -> Result<(), SnapshotError> {
        Ok(self.session.batch("ending the snapshot's transaction", "COMMIT").await?)
    }
}
