//! What a server or the way to it can answer, with the server's name on it.

use thiserror::Error;

use crate::error::{ExitCode, Side};

/// No session could be had.
#[derive(Debug, Error)]
#[error("cannot connect to the {side} ({address}): {reason}")]
pub struct ConnectError {
    /// Which server.
    pub side: Side,
    /// `host:port/database`, no secret.
    pub address: String,
    /// SQLSTATE, where the server itself refused.
    pub sqlstate: Option<String>,
    /// What happened and what to do, in words.
    pub reason: String,
}

impl ConnectError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::of(self.side)
    }
}

/// A statement failed, or the connection under it.
#[derive(Debug, Error)]
#[error("{side}: {what}: {message}{}", .sqlstate.as_deref().map(|s| format!(" (SQLSTATE {s})")).unwrap_or_default())]
pub struct SqlError {
    /// Which server.
    pub side: Side,
    /// What was being done, with the object: `reading the tables`, `creating index sales.i`.
    pub what: String,
    /// SQLSTATE; `None` where the connection broke.
    pub sqlstate: Option<String>,
    /// The server's message, or what happened to the connection.
    pub message: String,
    /// The server's detail.
    pub detail: Option<String>,
    /// The server's hint.
    pub hint: Option<String>,
}

impl SqlError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::of(self.side)
    }

    /// An error from the client library, told with what was being done.
    pub fn new(side: Side, what: &str, error: &tokio_postgres::Error) -> Self {
        use std::error::Error as _;
        let db = error.as_db_error();
        SqlError {
            side,
            what: what.to_owned(),
            sqlstate: db.map(|d| d.code().code().to_owned()),
            message: match (db, error.source()) {
                (Some(d), _) => d.message().to_owned(),
                (None, Some(cause)) => format!("{error}: {cause}"),
                (None, None) => error.to_string(),
            },
            detail: db.and_then(|d| d.detail().map(str::to_owned)),
            hint: db.and_then(|d| d.hint().map(str::to_owned)),
        }
    }
}
