//! How a migration can end other than well.

use thiserror::Error;

use crate::dump::DumpError;
use crate::error::ExitCode;
use crate::pg::{ConnectError, SqlError};
use crate::progress::{Phase, Summary};
use crate::snapshot::SnapshotError;

/// A migration that did not reach its end.
#[derive(Debug, Error)]
pub enum Error {
    /// A server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement of the state machine itself failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// PrepareSnapshot failed.
    #[error("PrepareSnapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// Dump failed.
    #[error("Dump: {0}")]
    Dump(#[from] DumpError),
    /// Interrupted by the operator.
    #[error("{phase}: interrupted; {}", .summary.tables)]
    Interrupted {
        /// Where it was.
        phase: Phase,
        /// What had been done.
        summary: Box<Summary>,
    },
}

impl Error {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Connect(e) => e.exit_code(),
            Error::Sql(e) => e.exit_code(),
            Error::Snapshot(e) => e.exit_code(),
            Error::Dump(e) => e.exit_code(),
            Error::Interrupted { .. } => ExitCode::Interrupted,
        }
    }
}
