//! Why an attempt to connect failed, and what to do about it, in words.
//!
//! Invariant: each text names the cause and, where the operator can act, the action; never a secret.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use super::conninfo::SessionAttrs;
use super::socket::OpenError;
use super::stream::{NOT_POSTGRES, REQUIRE_AUTH};

/// What became of one attempt.
#[derive(Debug)]
pub(super) enum Failure {
    /// The name has no address.
    Resolve(io::Error),
    /// The socket.
    Io(io::Error),
    /// `connect_timeout` passed.
    Timeout(Duration),
    /// TLS is wanted and not offered.
    NoTls,
    /// The handshake; already explained.
    Tls(String),
    /// Something else answered.
    NotPostgres,
    /// The server said no.
    Refused { sqlstate: String, message: String, detail: Option<String> },
    /// The login could not be done from this end.
    Login(String),
    /// The server hung up.
    Closed,
    /// A standby where a primary was wanted, or the like.
    WrongKind(SessionAttrs),
}

impl From<OpenError> for Failure {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Io(e) => Failure::Io(e),
            OpenError::NoTls(_) => Failure::NoTls,
            OpenError::Tls(reason) => Failure::Tls(reason),
            OpenError::NotPostgres => Failure::NotPostgres,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Self {
        if let Some(db) = e.as_db_error() {
            return Failure::Refused {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
                detail: db.detail().map(str::to_owned),
            };
        }
        if e.is_closed() {
            return Failure::Closed;
        }
        if let Some(cause) = e.source().and_then(|s| s.downcast_ref::<io::Error>()) {
            let text = cause.to_string();
            if text == NOT_POSTGRES {
                return Failure::NotPostgres;
            }
            if text.starts_with(REQUIRE_AUTH) {
                return Failure::Login(text);
            }
            if let Some(tls) = cause.get_ref().and_then(|c| c.downcast_ref::<rustls::Error>()) {
                return Failure::Tls(format!("the server ended the TLS session: {tls}"));
            }
            return match cause.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Failure::Closed
                }
                kind => Failure::Io(io::Error::new(kind, text)),
            };
        }
        let text = match e.source() {
            Some(cause) => format!("{e}: {cause}"),
            None => e.to_string(),
        };
        if text.contains("password missing") {
            return Failure::Login(
                "the server asks for a password and none was given: use PGPASSWORD, a password file or the connection string"
                    .to_owned(),
            );
        }
        if text.contains("did not use channel binding") {
            return Failure::Login(
                "channel_binding=require, but the login cannot be bound to the TLS channel: it needs TLS and scram-sha-256"
                    .to_owned(),
            );
        }
        Failure::Login(text)
    }
}

impl Failure {
    /// The server's SQLSTATE.
    pub(super) fn sqlstate(&self) -> Option<String> {
        match self {
            Failure::Refused { sqlstate, .. } => Some(sqlstate.clone()),
            _ => None,
        }
    }

    /// Whether another encryption on the same address may fare better.
    pub(super) fn depends_on_encryption(&self) -> bool {
        match self {
            Failure::NoTls | Failure::Tls(_) | Failure::Closed => true,
            Failure::Refused { sqlstate, .. } => sqlstate.starts_with("28"),
            _ => false,
        }
    }

    /// Whether no other host is to be tried: the server answered, and its answer is no.
    pub(super) fn ends_the_search(&self) -> bool {
        match self {
            Failure::Refused { sqlstate, .. } => sqlstate != "57P03",
            Failure::Login(_) => true,
            _ => false,
        }
    }

    /// The more telling of two failures on one address, `self` being the first.
    pub(super) fn or_rather(self, later: Failure) -> Failure {
        match (&self, &later) {
            // "No pg_hba.conf entry … no encryption" after a wrong password says nothing new.
            (Failure::Refused { sqlstate, .. }, _) if sqlstate == "28P01" => self,
            (Failure::NoTls, _) => later,
            (_, Failure::NoTls) => self,
            (Failure::Tls(a), Failure::Refused { sqlstate, message, detail }) => Failure::Refused {
                sqlstate: sqlstate.clone(),
                message: format!("{message} (and with TLS: {a})"),
                detail: detail.clone(),
            },
            _ => later,
        }
    }

    /// Cause and remedy.
    pub(super) fn explain(&self) -> String {
        match self {
            Failure::Resolve(e) => format!("the host name cannot be resolved ({e}): check its spelling"),
            Failure::Io(e) => match e.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused: is the server running there, and accepting TCP connections (listen_addresses, port)?".to_owned(),
                io::ErrorKind::NotFound => "there is no such socket: is the server running locally, with this unix_socket_directories and port?".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied for the socket".to_owned(),
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => format!("{e}: check the route and the firewall"),
                io::ErrorKind::TimedOut => "no answer: check the address and the firewall".to_owned(),
                _ => e.to_string(),
            },
            Failure::Timeout(limit) => format!(
                "no answer within {} s (connect_timeout): check the address and the firewall",
                limit.as_secs()
            ),
            Failure::NoTls => "the server does not support TLS, but sslmode requires it: turn ssl on in the server's configuration, or use a weaker sslmode".to_owned(),
            Failure::Tls(reason) => reason.clone(),
            Failure::NotPostgres => format!("{NOT_POSTGRES}: check host and port"),
            Failure::Login(reason) => reason.clone(),
            Failure::Closed => "the server closed the connection during the login: see its log".to_owned(),
            Failure::WrongKind(attrs) => match attrs {
                SessionAttrs::ReadWrite => "the session is read-only (target_session_attrs=read-write)",
                SessionAttrs::ReadOnly => "the session is not read-only (target_session_attrs=read-only)",
                SessionAttrs::Primary => "the server is in hot standby mode (target_session_attrs=primary)",
                _ => "the server is not in hot standby mode (target_session_attrs)",
            }
            .to_owned(),
            Failure::Refused { sqlstate, message, detail } => {
                let remedy = remedy(sqlstate, message).map(|r| format!(": {r}")).unwrap_or_default();
                let detail = detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default();
                format!("{message}{detail}{remedy}")
            }
        }
    }
}

/// What to do about a refusal.
fn remedy(sqlstate: &str, message: &str) -> Option<&'static str> {
    Some(match sqlstate {
        "28P01" => "check the password (connection string, PGPASSWORD, password file)",
        "28000" if message.contains("pg_hba.conf") => {
            "add a line for this host, user and database to the server's pg_hba.conf and reload it"
        }
        "28000" if message.contains("does not exist") => "create the role, or connect as another user",
        "28000" => "check the user, and the line of the server's pg_hba.conf that it falls under",
        "3D000" => "create the database, or check its name",
        "42501" => "GRANT CONNECT ON DATABASE to the role",
        "53300" => {
            "end idle sessions, raise max_connections, or use fewer --jobs (to apply changes: --apply-jobs)"
        }
        "57P03" => "wait until the server is up, and run the command again",
        "08P01" => {
            "check that this is a PostgreSQL server, or a pooler that accepts these startup parameters"
        }
        _ => return None,
    })
}
