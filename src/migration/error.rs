//! How a migration can end other than well.

use std::time::Duration;

use thiserror::Error;

use super::cleanup::CleanupError;
use crate::cutover::CutoverError;
use crate::dump::DumpError;
use crate::error::ExitCode;
use crate::journal::JournalError;
use crate::lsn::Lsn;
use crate::pg::{ConnectError, SqlError};
use crate::progress::{Phase, Summary};
use crate::restore::RestoreError;
use crate::snapshot::SlotError;
use crate::stream::StreamError;
use crate::validate::{Finding, Report};
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
    #[error("Validate: nothing was changed, because:{}", .0.errors_in_words())]
    Refused(Box<Report>),
    /// A comparison would tell nothing.
    #[error("verify: nothing was compared, because:{}", .0.errors_in_words())]
    Incomparable(Box<Report>),
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
    /// The slot could not be made.
    #[error("PrepareSnapshot: {0}")]
    Slot(#[from] SlotError),
    /// StreamApply could not go on.
    #[error("StreamApply: {0}")]
    Stream(#[source] StreamError),
    /// A step of Cutover failed; the stream can be gone on with.
    #[error("Cutover: {0}")]
    Cutover(#[source] CutoverError),
    /// What an earlier migration left could not be taken back.
    #[error("PrepareSnapshot: {0}")]
    Cleanup(#[from] CleanupError),
    /// The slot held back more WAL on the source than `--max-slot-wal`; it is dropped.
    #[error(
        "slot {slot:?} held back {held} bytes of WAL on the source, more than --max-slot-wal ({limit}): it was dropped to spare the source's disk; {}",
        if *.started_over {
            "run the same command again, with more room, to start over"
        } else {
            "changes since then are lost to this migration: start over with --drop-target-first"
        }
    )]
    SlotWal {
        /// The slot.
        slot: String,
        /// WAL that it held back, bytes.
        held: u64,
        /// What it was allowed to, bytes.
        limit: u64,
        /// StreamApply had not begun: the same command starts over by itself.
        started_over: bool,
    },
    /// The slot is of no use any more.
    #[error(
        "StreamApply: source: slot {slot:?}: {why}; changes are lost to this migration: start over with --drop-target-first, \
         or give it up with `pg_migrator cleanup`"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// What happened to it.
        why: String,
    },
    /// `--keep-subscription`, and none can be made.
    #[error(
        "StreamApply: target: subscription {name:?} cannot be made, and --keep-subscription asks for it: {why}; \
         mend that, or leave the flag out, and run the same command again"
    )]
    NoSubscription {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The drain took longer than `--drain-timeout-secs`.
    #[error(
        "Cutover: the target did not reach the source's position {to} within {} s: {left} bytes of WAL are left from {applied} on; \
         nothing is lost and nothing was cut over: run the same command again and cut over when lag is lower, or give it longer with --drain-timeout-secs",
        .limit.as_secs()
    )]
    NotDrained {
        /// What it was given.
        limit: Duration,
        /// Where the source stood.
        to: Lsn,
        /// Where the target stands.
        applied: Lsn,
        /// What is between them, bytes.
        left: u64,
    },
    /// The source was written to after it had been drained.
    #[error("Cutover: {text}{}", .next_steps.iter().map(|s| format!("\n  → {s}")).collect::<String>())]
    LateWrites {
        /// How much, and where.
        text: String,
        /// What to do.
        next_steps: Vec<String>,
    },
    /// Interrupted by the operator.
    #[error("{phase}: interrupted; {}", left_by(*.phase))]
    Interrupted {
        /// Where it was.
        phase: Phase,
        /// What had been done.
        summary: Box<Summary>,
    },
}

/// What an interrupt in this phase leaves.
fn left_by(phase: Phase) -> &'static str {
    if phase >= Phase::StreamApply {
        "the slot and the journal stay, and the same command goes on"
    } else {
        "nothing is left on the source, and the same command clears the target and starts over"
    }
}

/// One finding is enough to refuse.
impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        Error::Refused(Box::new(Report::from(finding)))
    }
}

impl Error {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Connect(e) => e.exit_code(),
            Error::Sql(e) => e.exit_code(),
            Error::Snapshot(e) => e.exit_code(),
            Error::Dump(e) => e.exit_code(),
            Error::Refused(report) | Error::Incomparable(report) => report.exit_code(),
            Error::Restore(e) => e.exit_code(),
            Error::Verify(e) => e.exit_code(),
            Error::Journal(e) => e.exit_code(),
            Error::Clear(e) => e.exit_code(),
            Error::Interrupted { .. } => ExitCode::Interrupted,
            Error::Slot(e) => e.exit_code(),
            Error::Stream(e) => e.exit_code(),
            Error::Cutover(e) => e.exit_code(),
            Error::Cleanup(e) => e.exit_code(),
            Error::SlotLost { .. } => ExitCode::Source,
            Error::SlotWal { .. }
            | Error::NoSubscription { .. }
            | Error::NotDrained { .. }
            | Error::LateWrites { .. } => ExitCode::OperatorMustAct,
        }
    }

    /// Whether a new stream may do what this one could not: a connection broke, or a server is just starting or stopping.
    pub(super) fn is_broken_stream(&self) -> bool {
        match self {
            // What the server itself refused (a password, a database that is gone) will not be better next time; a server that starts up will.
            Error::Connect(e) => e.sqlstate.as_deref().is_none_or(|s| s.starts_with("57P") || s == "53300"),
            Error::Sql(e) => e.is_broken(),
            Error::Journal(e) => e.0.is_broken(),
            Error::Stream(e) => e.is_retryable(),
            Error::Cutover(e) => e.is_broken(),
            _ => false,
        }
    }
}
