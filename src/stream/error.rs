//! Why the stream ended before it was told to.
//!
//! Invariant: an error that only a person can mend says how; one that a new connection may mend is retryable.

use thiserror::Error;

use super::apply::ApplyError;
use super::batcher::BatchError;
use super::decode::DecodeError;
use super::frame::FrameError;
use super::held::SpillError;
use super::in_progress::InProgressError;
use crate::error::ExitCode;
use crate::lsn::Lsn;
use crate::pg::{ConnectError, SqlError};

/// The stream broke off.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The source cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The source refused, or the connection to it broke.
    #[error(transparent)]
    Source(#[from] SqlError),
    /// The source ended the stream: it shuts down, or its walsender was terminated.
    #[error("source: the server ended the replication stream after LSN {received}")]
    Ended {
        /// Up to where it had sent.
        received: Lsn,
    },
    /// There is no slot of this name any more.
    #[error(
        "source: replication slot {slot:?} does not exist, so the changes since LSN {from} are lost to this migration.\n  \
         Run pg_migrator cleanup, then start the migration anew; a source that failed over may have left the slot behind on the old primary."
    )]
    SlotMissing {
        /// Its name.
        slot: String,
        /// Where the stream was to go on.
        from: Lsn,
    },
    /// The slot is there, but the source has removed the WAL that it stood for.
    #[error(
        "source: replication slot {slot:?} can no longer be read from LSN {from}: {source}\n  \
         The changes in between are lost to this migration. Raise max_slot_wal_keep_size (or idle_replication_slot_timeout) on the source, run \
         pg_migrator cleanup, then start the migration anew."
    )]
    SlotLost {
        /// Its name.
        slot: String,
        /// Where the stream was to go on.
        from: Lsn,
        /// What the source said.
        #[source]
        source: Box<SqlError>,
    },
    /// The publication did not exist when a change was made that is to be decoded.
    #[error(
        "source: publication {publication:?} is missing for changes at or after LSN {received}: {message}\n  \
         A slot reads the catalogs as they were at each change, so that a publication which is made now does not help the changes before it. \
         If it was dropped and is needed by nothing else, run pg_migrator cleanup, create it ({}), and start the migration anew.",
        format_args!("CREATE PUBLICATION {} …", crate::schema::quote::quote_ident(.publication))
    )]
    Publication {
        /// Its name.
        publication: String,
        /// Up to where changes had come.
        received: Lsn,
        /// What the source said.
        message: String,
    },
    /// Values were asked for in binary format, and the source has none for those of a column: it was made while changes were streamed.
    #[error("source: after LSN {received}: {source}\n  The changes are asked for again in text format.")]
    Binary {
        /// Up to where changes had come.
        received: Lsn,
        /// What the source said.
        #[source]
        source: Box<SqlError>,
    },
    /// The bytes that came are no replication stream.
    #[error("source: after LSN {received}: {source}")]
    Frame {
        /// Up to where it could be read.
        received: Lsn,
        /// What is wrong.
        #[source]
        source: FrameError,
    },
    /// A message that cannot be read.
    #[error("source: {0}")]
    Decode(#[from] DecodeError),
    /// Messages in an order that cannot be.
    #[error("source: {source} (at LSN {at})")]
    Batch {
        /// Where.
        at: Lsn,
        /// What is wrong.
        #[source]
        source: BatchError,
    },
    /// Transactions in progress that make no sense.
    #[error("source: {source} (at LSN {at})")]
    InProgress {
        /// Where.
        at: Lsn,
        /// What is wrong.
        #[source]
        source: InProgressError,
    },
    /// Transactions in progress could not be kept on this machine.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// Changes could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A thread could not be started, or ended without a word.
    #[error("decoding the replication stream: {0}")]
    Thread(String),
}

impl StreamError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            StreamError::Apply(e) => e.exit_code(),
            StreamError::Connect(e) => e.exit_code(),
            StreamError::Spill(_) => ExitCode::OperatorMustAct,
            _ => ExitCode::Source,
        }
    }

    /// Whether a new stream may well succeed without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        match self {
            StreamError::Apply(e) => e.is_retryable(),
            // Starting up or shutting down; no connection or walsender free.
            StreamError::Connect(e) => match e.sqlstate.as_deref() {
                None => true,
                Some(state) => matches!(state, "57P03" | "57P01" | "57P02" | "53300"),
            },
            // The slot may still be held by our own last walsender.
            StreamError::Source(e) => e.is_broken() || e.sqlstate.as_deref() == Some("55006"),
            StreamError::Ended { .. } | StreamError::Binary { .. } => true,
            _ => false,
        }
    }

    /// What came of taking a message, or a transaction's end, at this position.
    pub(super) fn in_progress(at: Lsn, error: InProgressError) -> Self {
        match error {
            InProgressError::Spill(source) => StreamError::Spill(source),
            source => StreamError::InProgress { at, source },
        }
    }

    /// What START_REPLICATION was answered with.
    pub(super) fn of_start(slot: &str, from: Lsn, error: SqlError) -> Self {
        match error.sqlstate.as_deref() {
            Some("42704") => StreamError::SlotMissing { slot: slot.to_owned(), from },
            Some("55000" | "58P01") => {
                StreamError::SlotLost { slot: slot.to_owned(), from, source: Box::new(error) }
            }
            _ => StreamError::Source(error),
        }
    }

    /// What the running stream was ended with.
    pub(super) fn of_stream(slot: &str, publication: &str, received: Lsn, error: SqlError) -> Self {
        match error.sqlstate.as_deref() {
            Some("42704") => StreamError::Publication {
                publication: publication.to_owned(),
                received,
                message: error.message,
            },
            Some("55000" | "58P01") => {
                StreamError::SlotLost { slot: slot.to_owned(), from: received, source: Box::new(error) }
            }
            _ => {
                let mut error = error;
                error.what = format!("{} after LSN {received}", error.what);
                StreamError::Source(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Side;

    fn refused(state: Option<&str>) -> SqlError {
        let mut error = SqlError::local(Side::Source, "streaming", "no");
        error.sqlstate = state.map(str::to_owned);
        error
    }

    #[test]
    fn what_a_new_connection_mends() {
        let start = |state| StreamError::of_start("s", Lsn(1), refused(state));
        let stream = |state| StreamError::of_stream("s", "p", Lsn(1), refused(state));
        for retryable in [start(None), start(Some("55006")), stream(None), stream(Some("57P01"))] {
            assert!(retryable.is_retryable(), "{retryable}");
        }
        for lost in [start(Some("42704")), start(Some("55000")), stream(Some("58P01")), stream(Some("42704"))]
        {
            assert!(!lost.is_retryable(), "{lost}");
            assert!(lost.to_string().contains("cleanup"), "{lost}");
            assert_eq!(lost.exit_code(), ExitCode::Source);
        }
    }
}
