//! How a benchmark can end other than well.

use std::path::PathBuf;

use thiserror::Error;

use super::contender::Name;
use crate::cutover::CutoverError;
use crate::error::{ExitCode, Side};
use crate::journal::JournalError;
use crate::migration;
use crate::pg::{ConnectError, PumpError, SqlError};
use crate::stream::{ApplyError, StreamError};

/// A benchmark that did not reach its end.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The stream failed.
    #[error("pg_migrator's stream: {0}")]
    Stream(#[from] StreamError),
    /// Preparing the target for the stream failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The subscription could not be dropped.
    #[error(transparent)]
    Cutover(#[from] CutoverError),
    /// The migration failed, or the comparison of the rows.
    #[error(transparent)]
    Migration(#[from] Box<migration::Error>),
    /// A throwaway server does not start.
    #[error("{side}: a server from {} does not start: {why}", .bin.display())]
    Start {
        /// Which side.
        side: Side,
        /// The folder of its programs.
        bin: PathBuf,
        /// What happened, with the end of its log.
        why: String,
    },
    /// A contender stood still.
    #[error("{contender} made no progress for {seconds} seconds with {left} bytes of WAL left")]
    Stuck {
        /// Who.
        contender: Name,
        /// How long.
        seconds: u64,
        /// What was left, bytes.
        left: u64,
    },
    /// Interrupted by the operator.
    #[error("interrupted: the benchmark was not finished")]
    Interrupted,
}

impl BenchError {
    /// What ended a COPY that was pumped by hand.
    pub(super) fn of_pump(error: PumpError, what: &str) -> BenchError {
        match error {
            PumpError::Sql(error) => BenchError::from(*error),
            PumpError::Refused => SqlError::local(Side::Target, what, "the target takes no more").into(),
        }
    }

    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            BenchError::Connect(e) => e.exit_code(),
            BenchError::Sql(e) => e.exit_code(),
            BenchError::Journal(e) => e.exit_code(),
            BenchError::Stream(e) => e.exit_code(),
            BenchError::Apply(_) => ExitCode::Target,
            BenchError::Cutover(e) => e.exit_code(),
            BenchError::Migration(e) => e.exit_code(),
            BenchError::Start { side, .. } => ExitCode::of(*side),
            BenchError::Stuck { .. } => ExitCode::OperatorMustAct,
            BenchError::Interrupted => ExitCode::Interrupted,
        }
    }
}

impl From<migration::Error> for BenchError {
    fn from(error: migration::Error) -> Self {
        BenchError::Migration(Box::new(error))
    }
}
