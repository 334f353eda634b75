//! What can go wrong while the catalogs are read.

use thiserror::Error;

use crate::error::{ExitCode, Side};
use crate::pg::SqlError;

/// The schema could not be read.
#[derive(Debug, Error)]
pub enum DumpError {
    /// A catalog query failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl DumpError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            DumpError::Sql(e) => e.exit_code(),
        }
    }
}
impl From<DumpError> for ExitCode {
    fn from(e: DumpError) -> Self {
        let _ = Side::Source;
        e.exit_code()
    }
}
