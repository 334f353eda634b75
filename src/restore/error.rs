//! What Restore can fail with, and whose fault it is.

use thiserror::Error;

use crate::error::ExitCode;
use crate::journal::JournalError;
use crate::pg::{ConnectError, SqlError};

/// Restore could not go on.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// A server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement of ours failed, or a connection broke.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An object could not be made on the target.
    #[error("{source}\n  statement: {statement}")]
    Object {
        /// In pg_dump's words.
        kind: String,
        /// Quoted identity.
        object: String,
        /// The statement that failed, shortened.
        statement: String,
        /// The server's answer.
        #[source]
        source: SqlError,
    },
    /// Another session waits for a lock that keeps readers out.
    #[error(
        "reading tables: {source}\n  \
         Another session on the source waits for a lock on a table that is still to be read, and would wait until the migration has ended: {}\n  \
         It keeps all others from that table meanwhile. Have it end, or let it come first; then run the same command again.",
        .waiting.join("; ")
    )]
    Locked {
        /// The table, the session and what it runs.
        waiting: Vec<String>,
        /// The server's answer, 55P03.
        #[source]
        source: SqlError,
    },
    /// A table's rows could not be copied.
    #[error("{source}")]
    Copy {
        /// Quoted identity.
        table: String,
        /// The server's answer.
        #[source]
        source: SqlError,
    },
}

impl RestoreError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            RestoreError::Connect(e) => e.exit_code(),
            RestoreError::Sql(e)
            | RestoreError::Object { source: e, .. }
            | RestoreError::Copy { source: e, .. }
            | RestoreError::Locked { source: e, .. } => e.exit_code(),
            RestoreError::Journal(e) => e.exit_code(),
        }
    }

    /// Whether `--allow-restore-errors` may turn it into a warning: one object's failure, with the servers well.
    pub fn is_tolerable(&self) -> bool {
        match self {
            // A function's library is not there.
            RestoreError::Object { source, .. } if source.sqlstate.as_deref() == Some("58P01") => true,
            RestoreError::Object { source, .. } | RestoreError::Copy { source, .. } => {
                // Class 08: connection; 53: out of disk, memory, connections; 57: the server is being stopped; 58:
                // I/O error; XX: corruption. None of these is one object's own trouble.
                source
                    .sqlstate
                    .as_deref()
                    .is_some_and(|s| !["08", "53", "57", "58", "XX"].iter().any(|c| s.starts_with(c)))
            }
            _ => false,
        }
    }
}
