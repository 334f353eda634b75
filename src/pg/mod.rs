//! The floor under every room that talks to a server: conninfo, TLS, sessions, errors with SQLSTATE.
//!
//! Invariant: no secret leaves this module; every failure names its server and carries the SQLSTATE.

mod error;
mod session;

pub use error::{ConnectError, SqlError};
pub use session::{Row, Server, Session};
