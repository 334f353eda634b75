//! What applying can fail with, and what the operator does about it.
//!
//! Invariant: whatever the error, the target's transaction is rolled back and nothing was recorded as applied, so the same
//! command goes on once the cause is mended.

use thiserror::Error;

use crate::error::ExitCode;
use crate::journal::JournalError;
use crate::lsn::Lsn;
use crate::pg::{ConnectError, SqlError};

/// A batch could not be applied.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The target cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement of ours failed, or the connection broke.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A table of the target does not fit what the source sends.
    #[error(
        "target: table {relation} does not fit the changes that come from the source at LSN {lsn}: {}\n  \
         Nothing was lost: the slot keeps these changes. Repeat on the target the DDL that was run on the source, then run the same \
         command again.",
        .problems.join("; ")
    )]
    Mismatch {
        /// Quoted identity.
        relation: String,
        /// What does not fit, column by column, both types named.
        problems: Vec<String>,
        /// The first change that would have been wrong.
        lsn: Lsn,
    },
    /// A change failed although it was applied alone and in order.
    #[error(
        "target: the {kind} of {relation}{} at LSN {lsn} failed: {source}\n  \
         Nothing was lost: the transaction was rolled back and the slot keeps it. {} Then run the same command again.",
        row(.key), remedy(.source)
    )]
    Change {
        /// `INSERT`, `UPDATE`, `DELETE` or `TRUNCATE`.
        kind: &'static str,
        /// Quoted identity; several with TRUNCATE.
        relation: String,
        /// The row: `column=value, …`, long values cut; empty where there is none to name.
        key: String,
        /// The position that the source gave with the change.
        lsn: Lsn,
        /// The server's answer.
        #[source]
        source: Box<SqlError>,
    },
    /// The transaction's end failed: a deferred constraint, or the server would not commit.
    #[error(
        "target: committing the changes up to LSN {lsn} failed: {source}\n  \
         Nothing was lost: the transaction was rolled back and the slot keeps it. {} Then run the same command again.",
        remedy(.source)
    )]
    Commit {
        /// The commit of the last transaction in it.
        lsn: Lsn,
        /// The server's answer.
        #[source]
        source: Box<SqlError>,
    },
    /// What was to be applied breaks a rule that the decoder keeps.
    #[error("the changes of {relation} at LSN {lsn} cannot be applied: {problem}")]
    Malformed {
        /// Quoted identity.
        relation: String,
        /// Where.
        lsn: Lsn,
        /// What is wrong.
        problem: String,
    },
    /// Values come in binary format, and those of a column must not: it was made, or its type changed, while changes were streamed.
    #[error(
        "the changes of {relation} at LSN {lsn} came in binary format, which the type of its column {column} has no common one of: they are \
         asked for again in text"
    )]
    Binary {
        /// Quoted identity.
        relation: String,
        /// Quoted name.
        column: String,
        /// The first change of it.
        lsn: Lsn,
    },
    /// Another session has applied more than was known when this one began.
    #[error("target: the journal has moved on while the session that applies changes was being opened")]
    Moved,
    /// An earlier error, or a call that was given up, has left the transaction unfinished.
    #[error("target: the session that applies changes was given up; a new one goes on from the journal")]
    Unusable,
}

fn row(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" ({key})") }
}

/// What an operator does about an SQLSTATE, as a sentence.
fn remedy(error: &SqlError) -> &'static str {
    match error.sqlstate.as_deref().unwrap_or_default() {
        "42501" => "Grant the missing privilege to the role that the target is written as.",
        "23514" => "Mend the CHECK constraint on the target (the source accepted this row).",
        "23505" | "23P01" => {
            "Remove the target's row that is in the way (it is not the source's), or the constraint that the source does not have."
        }
        "23503" => "Mend the foreign key on the target, or let the role set session_replication_role.",
        "23502" => "Drop the NOT NULL constraint on the target that the source does not have.",
        "42703" | "42P01" | "42804" | "22001" | "22P02" => {
            "Repeat on the target the DDL that was run on the source."
        }
        "53100" => "Make room on the target's disk.",
        "57014" => "A statement of ours was cancelled by somebody.",
        state if state.starts_with("40") || state == "55P03" => {
            "End the other session on the target that is in the way."
        }
        state if state.starts_with("53") => "Give the target the resource it lacks.",
        _ => "Mend what the message names on the target.",
    }
}

impl ApplyError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            ApplyError::Connect(e) => e.exit_code(),
            ApplyError::Sql(e) => e.exit_code(),
            ApplyError::Journal(e) => e.exit_code(),
            _ => ExitCode::Target,
        }
    }

    /// Whether a new session may well succeed without anybody's doing: the connection broke, or other sessions were in the way.
    pub fn is_retryable(&self) -> bool {
        match self {
            ApplyError::Connect(e) => match e.sqlstate.as_deref() {
                None => true,
                // Starting up or shutting down, no slot free for another session.
                Some(state) => matches!(state, "57P03" | "53300" | "57P01" | "57P02"),
            },
            ApplyError::Sql(e) | ApplyError::Journal(JournalError(e)) => passes(e),
            ApplyError::Change { source, .. } | ApplyError::Commit { source, .. } => passes(source),
            ApplyError::Unusable | ApplyError::Moved | ApplyError::Binary { .. } => true,
            ApplyError::Mismatch { .. } | ApplyError::Malformed { .. } => false,
        }
    }
}

/// Whether an error may be gone the next time.
pub(super) fn passes(error: &SqlError) -> bool {
    error.is_broken() || in_the_way(error)
}

/// Deadlock, serialization failure, or a lock that was not had in time.
pub(super) fn in_the_way(error: &SqlError) -> bool {
    error.sqlstate.as_deref().is_some_and(|state| state.starts_with("40") || state == "55P03")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Side;

    #[test]
    fn a_failed_change_names_row_position_and_remedy() {
        let mut source =
            SqlError::local(Side::Target, "applying it alone", "violates check constraint \"c\"");
        source.sqlstate = Some("23514".into());
        let error = ApplyError::Change {
            kind: "INSERT",
            relation: "s.t".into(),
            key: "id=5".into(),
            lsn: Lsn(0x16_0000_0001),
            source: Box::new(source),
        };
        let text = error.to_string();
        for part in
            ["INSERT of s.t (id=5) at LSN 16/1", "SQLSTATE 23514", "Mend the CHECK", "same command again"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(error.exit_code(), ExitCode::Target);
        assert!(!error.is_retryable());
    }

    #[test]
    fn what_passes_is_retried() {
        let mut error = SqlError::local(Side::Target, "x", "deadlock detected");
        error.sqlstate = Some("40P01".into());
        assert!(ApplyError::Sql(error).is_retryable());
        assert!(
            ApplyError::Sql(SqlError::local(Side::Target, "x", "the server closed the connection"))
                .is_retryable()
        );
    }
}
