//! How a migration can end other than well.

use thiserror::Error;

use crate::dump::DumpError;
use crate::error::ExitCode;
use crate::journal::JournalError;
use crate::pg::{ConnectError, SqlError};
use crate::progress::{Phase, Summary};
use crate::restore::RestoreError;
use crate::validate::Report;
use crate::verify::VerifyError;

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
    Snapshot(#[source] SqlError),
    /// A schema could not be read.
    #[error("reading the schema: {0}")]
    Dump(#[from] DumpError),
    /// Validate found errors; nothing was changed.
    #[error("Validate: {}", .0.errors_in_words())]
    Refused(Box<Report>),
    /// Restore failed; the same command clears what was made and starts over.
    #[error("Restore: {0}")]
    Restore(#[from] RestoreError),
    /// The comparison broke off.
    #[error("verify: {0}")]
    Verify(#[from] VerifyError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is on the target could not be dropped.
    #[error(
        "Restore: what is on the target cannot be dropped: {0}{detail}; drop what depends on it, or leave it out with a filter",
        detail = .0.detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default()
    )]
    Clear(#[source] SqlError),
    /// Interrupted by the operator.
    #[error(
        "{phase}: interrupted; nothing is left on the source, and the same command clears the target and starts over"
    )]
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
            Error::Refused(report) => report.exit_code(),
            Error::Restore(e) => e.exit_code(),
            Error::Verify(e) => e.exit_code(),
            Error::Journal(e) => e.exit_code(),
            Error::Clear(e) => e.exit_code(),
            Error::Interrupted { .. } => ExitCode::Interrupted,
        }
    }
}
