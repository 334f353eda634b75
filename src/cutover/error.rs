//! How a step of the cutover can fail.
//!
//! Invariant: a message names the step, the object and the server, and says what to do; after any of them the slot and the
//! journal are still there, so the same command can try again.

use thiserror::Error;

use crate::error::ExitCode;
use crate::journal::JournalError;
use crate::pg::SqlError;

/// A step of the cutover failed.
#[derive(Debug, Error)]
pub enum CutoverError {
    /// A statement failed.
    #[error("{error}\n  → {remedy}")]
    Sql {
        /// What failed, on which server.
        error: Box<SqlError>,
        /// What the operator can do.
        remedy: String,
    },
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Writers that nothing ends, so that what they write would be lost.
    #[error(
        "cutting over: on the source, {what} can still write: {}\n  → {remedy}", .holders.join("; ")
    )]
    Held {
        /// `sessions` or `prepared transactions`.
        what: &'static str,
        /// Each of them, for a person.
        holders: Vec<String>,
        /// What the operator can do.
        remedy: String,
    },
    /// The cutover failed and the fence could not be taken down again.
    #[error(
        "{cause}\n  the source's database is still read-only, because taking the fence down failed too: {error}\n  → run on the source: {lower}"
    )]
    FenceStands {
        /// Why the fence was to go.
        cause: String,
        /// Why it did not.
        error: Box<SqlError>,
        /// The statement that takes it down.
        lower: String,
        /// What the first failure ends the process with.
        code: ExitCode,
    },
}

impl CutoverError {
    pub(super) fn sql(error: SqlError, remedy: impl Into<String>) -> Self {
        CutoverError::Sql { error: Box::new(error), remedy: remedy.into() }
    }

    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CutoverError::Sql { error, .. } => error.exit_code(),
            CutoverError::Journal(error) => error.exit_code(),
            CutoverError::Held { .. } => ExitCode::OperatorMustAct,
            CutoverError::FenceStands { code, .. } => *code,
        }
    }

    /// Whether a connection broke, so that new sessions may do it.
    pub fn is_broken(&self) -> bool {
        match self {
            CutoverError::Sql { error, .. } => error.is_broken(),
            CutoverError::Journal(error) => error.0.is_broken(),
            CutoverError::Held { .. } | CutoverError::FenceStands { .. } => false,
        }
    }
}
