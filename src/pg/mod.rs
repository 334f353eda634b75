//! The floor under every room that talks to a server: conninfo, TLS, sessions, errors with SQLSTATE.
//!
//! ```text
//! conninfo → connect (socket, tls, login) → Session  SQL: queries, batches, pipelines
//!                                         → Wire     the simple protocol raw, COPY by the chunk, replication
//! ```
//!
//! Invariant: no secret leaves this module; every failure names its server and carries the SQLSTATE.

mod cancel;
mod certificate;
mod connect;
pub mod conninfo;
mod error;
mod explain;
pub mod extended;
pub mod frames;
mod message;
mod pipeline;
mod pump;
mod reader;
mod replication;
mod secret;
mod session;
mod settings;
mod socket;
mod stream;
mod tls;
mod version;
mod wire;

pub use cancel::CancelHandle;
pub use connect::Server;
pub use conninfo::{ConnInfo, ConnInfoError, Environment};
pub use error::{ConnectError, SqlError};
pub use message::Message;
pub use pump::{Moved, PumpError, Sink, pump};
pub use reader::{BEGIN_READER, import_snapshot};
pub use replication::Aside;
pub use secret::Secret;
pub use session::{Param, Row, Session};
pub use stream::Stream;
pub use wire::Wire;
