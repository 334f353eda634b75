//! What can go wrong while the catalogs are read.

use thiserror::Error;

use crate::error::ExitCode;
use crate::pg::SqlError;

/// The schema could not be read.
#[derive(Debug, Error)]
pub enum DumpError {
    /// A catalog query failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Tables could not be locked against being changed or dropped.
    #[error("cannot lock {tables} in ACCESS SHARE MODE: {error}; {remedy}")]
    Lock {
        /// The table, or the tables asked for in one statement.
        tables: String,
        /// What the server said.
        error: SqlError,
        /// What to do.
        remedy: &'static str,
    },
}

impl DumpError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            DumpError::Sql(e) | DumpError::Lock { error: e, .. } => e.exit_code(),
        }
    }
}

impl From<DumpError> for ExitCode {
    fn from(e: DumpError) -> Self {
        e.exit_code()
    }
}
