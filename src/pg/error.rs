//! What a server or the way to it can answer, with the server's name on it.

use thiserror::Error;

use crate::error::{ExitCode, Side};

/// No session could be had.
#[derive(Debug, Error)]
#[error("cannot connect to the {side} ({address}): {reason}{}", state(.sqlstate))]
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

fn state(sqlstate: &Option<String>) -> String {
    sqlstate.as_deref().map(|s| format!(" (SQLSTATE {s})")).unwrap_or_default()
}

/// What else the server said, a line each.
fn more(detail: &Option<String>, hint: &Option<String>, context: &Option<String>) -> String {
    let line = |label: &str, text: &Option<String>| {
        text.as_deref().map(|t| format!("\n  {label}: {}", t.replace('\n', "\n  "))).unwrap_or_default()
    };
    line("detail", detail) + &line("hint", hint) + &line("context", context)
}

impl ConnectError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::of(self.side)
    }
}

/// A statement failed, or the connection under it.
#[derive(Clone, Debug, Error)]
#[error("{side}: {what}: {message}{}{}", state(.sqlstate), more(.detail, .hint, .context))]
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
    /// Where in the server it happened, more for a person than for a program: `COPY t, line 3, column a`.
    pub context: Option<String>,
    /// Character of the statement the error points at, counted from 1.
    pub position: Option<u32>,
    /// Schema of the object concerned.
    pub schema: Option<String>,
    /// Table concerned.
    pub table: Option<String>,
    /// Column concerned.
    pub column: Option<String>,
    /// Constraint concerned.
    pub constraint: Option<String>,
}

impl SqlError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::of(self.side)
    }

    /// An error that no server sent.
    pub fn local(side: Side, what: &str, message: impl Into<String>) -> Self {
        SqlError {
            side,
            what: what.to_owned(),
            sqlstate: None,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
        }
    }

    /// The connection broke while doing `what`.
    pub fn broken(side: Side, what: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let message = match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                CLOSED.to_owned()
            }
            _ => format!("the connection broke: {error}"),
        };
        SqlError::local(side, what, message)
    }

    /// Whether the session is gone, so that only a new one can go on.
    pub fn is_broken(&self) -> bool {
        match self.sqlstate.as_deref() {
            None => true,
            // A shutdown's farewell, or a connection exception.
            Some(state) => matches!(state, "57P01" | "57P02" | "57P03") || state.starts_with("08"),
        }
    }

    /// An error from the client library, told with what was being done.
    pub fn new(side: Side, what: &str, error: &tokio_postgres::Error) -> Self {
        use std::error::Error as _;
        if let Some(db) = error.as_db_error() {
            let own = |text: Option<&str>| text.map(str::to_owned);
            return SqlError {
                sqlstate: Some(db.code().code().to_owned()),
                detail: own(db.detail()),
                hint: own(db.hint()),
                context: own(db.where_()),
                position: match db.position() {
                    Some(tokio_postgres::error::ErrorPosition::Original(p)) => Some(*p),
                    _ => None,
                },
                schema: own(db.schema()),
                table: own(db.table()),
                column: own(db.column()),
                constraint: own(db.constraint()),
                ..SqlError::local(side, what, db.message())
            };
        }
        if error.is_closed() {
            return SqlError::local(side, what, CLOSED);
        }
        match error.source() {
            Some(cause) => match cause.downcast_ref::<std::io::Error>() {
                Some(io) => SqlError::broken(side, what, io),
                None => SqlError::local(side, what, format!("{error}: {cause}")),
            },
            None => SqlError::local(side, what, error.to_string()),
        }
    }
}

/// What is said of a connection that ended.
pub(super) const CLOSED: &str = "the server closed the connection";
