//! The words every layer's errors share: which server, and what the process should exit with.
//!
//! Each layer has a `thiserror` enum of its own; this module holds only what they have in common.
//! Invariant: every error that reaches a person says what failed, on which object and which server,
//! and what to do next; and it never carries a secret.

use std::fmt;

/// One of the two servers of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The server that is read.
    Source,
    /// The server that is written.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// The process's exit status; part of the command-line contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for was done.
    Done = 0,
    /// Something is left for the operator: findings, failed objects, differing rows.
    OperatorMustAct = 1,
    /// The command line or its values cannot be used.
    Usage = 2,
    /// The source failed.
    Source = 3,
    /// The target failed.
    Target = 4,
    /// Interrupted; the same command goes on or starts over safely.
    Interrupted = 5,
}

impl ExitCode {
    /// The exit code that blames `side`.
    pub fn of(side: Side) -> Self {
        match side {
            Side::Source => ExitCode::Source,
            Side::Target => ExitCode::Target,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}
