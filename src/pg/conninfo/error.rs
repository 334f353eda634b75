//! What can be wrong with a connection string and what surrounds it.
//!
//! Invariant: no message repeats a value that may be (a piece of) a password: a password with an unescaped
//! space, slash or percent sign ends up in the place of a keyword or a port, so those are not echoed.

use thiserror::Error;

use crate::error::ExitCode;

/// A connection string, service file or environment that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConnInfoError {
    /// A word without `=`; in the keyword/value form.
    #[error(
        "missing \"=\" after the word at character {position} of the connection string (a value with spaces needs single quotes)"
    )]
    MissingEquals {
        /// Characters before the word, counted from 1.
        position: usize,
    },
    /// A quote that is not closed.
    #[error("unterminated quoted value in the connection string")]
    UnterminatedQuote,
    /// A keyword libpq does not know either.
    #[error("invalid connection option \"{0}\"")]
    UnknownKeyword(String),
    /// A query parameter of a URI that is not a keyword.
    #[error("invalid URI query parameter \"{0}\"")]
    UnknownParameter(String),
    /// The URI does not follow the grammar.
    #[error("invalid connection URI: {0}")]
    Uri(&'static str),
    /// A value its keyword does not take.
    #[error("invalid value \"{value}\" for connection option \"{keyword}\"{}", .expected.map(|e| format!(": use {e}")).unwrap_or_default())]
    Value {
        /// The option.
        keyword: &'static str,
        /// What was given.
        value: String,
        /// What could be given.
        expected: Option<&'static str>,
    },
    /// It is not the string's fault.
    #[error("environment variable {variable}: {error}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What is wrong with what it holds.
        error: Box<ConnInfoError>,
    },
    /// A port that is not a number from 1 to 65535; the text is not shown, it may belong to a password.
    #[error(
        "invalid port number in the connection string: ports are 1 to 65535 (in a URI, the characters : / @ ? # % of a password must be percent-encoded)"
    )]
    Port,
    /// Lists of different lengths.
    #[error("could not match {items} {what} to {hosts} hosts")]
    Counts {
        /// Entries in the shorter or longer list.
        items: usize,
        /// `port numbers` or `hostaddr values`.
        what: &'static str,
        /// Hosts given.
        hosts: usize,
    },
    /// Two options that exclude each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// An option that asks for something this program cannot do.
    #[error("connection option \"{keyword}\" is not supported{}", .reason.map(|r| format!(": {r}")).unwrap_or_default())]
    Unsupported {
        /// The option.
        keyword: &'static str,
        /// What to do instead.
        reason: Option<&'static str>,
    },
    /// No such service.
    #[error("definition of service \"{0}\" not found in {1}")]
    NoService(String, String),
    /// A service file that cannot be read.
    #[error("service file {path}: {reason}")]
    ServiceFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// No user name was given and the process has none.
    #[error("no user name: give user=… or set PGUSER")]
    NoUser,
}

impl ConnInfoError {
    /// The exit code it ends the process with: the command line cannot be used.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}
