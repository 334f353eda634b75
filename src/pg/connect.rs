//! From a connection string to a session that is logged in: hosts, addresses, TLS or not, authentication.
//!
//! The order of attempts is libpq's (`PQconnectPoll` in `fe-connect.c`): hosts in order, each host's addresses in
//! order, on each address the encryptions that `sslmode` allows; a server that answers with an error ends the search,
//! unless it is only starting up. The login itself (SCRAM, SCRAM-PLUS, md5, password) is tokio-postgres's.
//! Invariant: an error tells of every attempt, and carries no secret.

use std::io;
use std::sync::Arc;

use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Mode, SslNegotiation};
use tokio_postgres::{Client, Connection};

use super::cancel::CancelHandle;
use super::conninfo::{ChannelBinding, ConnInfo, ConnInfoError, Environment, Host, SessionAttrs, SslMode};
use super::explain::Failure;
use super::socket::{self, Address, OpenError};
use super::stream::{Lent, Ready, Stream};
use super::version::version_number;
use super::{ConnectError, settings};
use crate::error::Side;

/// A server and how to reach it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Which of the two.
    pub side: Side,
    info: Arc<ConnInfo>,
}

/// What kind of session a login is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// SQL.
    Ordinary,
    /// Replication commands, and SQL in the simple protocol.
    Walsender,
}

/// A login that succeeded; settings are made.
pub(super) struct Login {
    pub(super) client: Client,
    pub(super) connection: Connection<Lent, Lent>,
    pub(super) lent: Lent,
    pub(super) version: u32,
    pub(super) cancel: CancelHandle,
}

impl Server {
    /// A server at `conninfo`, read in this process's environment.
    pub fn parse(side: Side, conninfo: &str) -> Result<Self, ConnInfoError> {
        Ok(Server::new(side, ConnInfo::parse(conninfo, &Environment::of_process())?))
    }

    /// A server at a place already read.
    pub fn new(side: Side, info: ConnInfo) -> Self {
        Server { side, info: Arc::new(info) }
    }

    /// Another database of the same server.
    pub fn with_database(&self, name: &str) -> Self {
        let info = ConnInfo { dbname: name.to_owned(), ..(*self.info).clone() };
        Server::new(self.side, info)
    }

    /// `host:port/database`.
    pub fn display(&self) -> String {
        self.info.display()
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.info.user
    }

    /// The database.
    pub fn dbname(&self) -> &str {
        &self.info.dbname
    }

    /// Everything about how to reach it.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    pub(super) fn error(&self, sqlstate: Option<String>, reason: String) -> ConnectError {
        ConnectError { side: self.side, address: self.display(), sqlstate, reason }
    }

    /// Logs in to the first host that will do, and makes the settings.
    pub(super) async fn login(&self, kind: Kind) -> Result<Login, ConnectError> {
        let mut order: Vec<&Host> = self.info.hosts.iter().collect();
        if self.info.load_balance {
            shuffle(&mut order);
        }
        let passes: &[SessionAttrs] = match self.info.target_session_attrs {
            SessionAttrs::PreferStandby => &[SessionAttrs::Standby, SessionAttrs::Any],
            ref other => std::slice::from_ref(other),
        };
        let mut report = Report::default();
        for attrs in passes {
            report = Report::default();
            for host in &order {
                if let Some(login) = self.try_host(host, *attrs, kind, &mut report).await? {
                    return Ok(login);
                }
            }
        }
        Err(report.into_error(self))
    }

    async fn try_host(
        &self,
        host: &Host,
        attrs: SessionAttrs,
        kind: Kind,
        report: &mut Report,
    ) -> Result<Option<Login>, ConnectError> {
        let mut addresses = match self.limited(async { Ok(socket::resolve(host).await?) }).await {
            Ok(addresses) => addresses,
            Err(e) => {
                let e = if let Failure::Io(e) = e { Failure::Resolve(e) } else { e };
                report.add(host, None, e);
                return Ok(None);
            }
        };
        if self.info.load_balance {
            shuffle(&mut addresses);
        }
        for address in &addresses {
            match self.limited(self.try_address(host, address, attrs, kind)).await {
                Ok(login) => return Ok(Some(login)),
                Err(failure) => {
                    let ends = failure.ends_the_search();
                    report.add(host, (addresses.len() > 1).then_some(address), failure);
                    if ends {
                        return Err(std::mem::take(report).into_error(self));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Runs one attempt within `connect_timeout`.
    async fn limited<T>(&self, attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match self.info.connect_timeout {
            None => attempt.await,
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or(Err(Failure::Timeout(limit))),
        }
    }

    /// One address: the encryptions that `sslmode` allows, in its order.
    async fn try_address(
        &self,
        host: &Host,
        address: &Address,
        attrs: SessionAttrs,
        kind: Kind,
    ) -> Result<Login, Failure> {
        let encryptions: &[bool] = match (address, self.info.sslmode) {
            (Address::Unix(_), _) | (_, SslMode::Disable) => &[false],
            (_, SslMode::Allow) => &[false, true],
            (_, SslMode::Prefer) => &[true, false],
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[true],
        };
        let mut first: Option<Failure> = None;
        let mut reuse = None;
        for (i, &tls) in encryptions.iter().enumerate() {
            let last = i + 1 == encryptions.len();
            let opened = match reuse.take() {
                Some(tcp) => Ok(Stream::Tcp(tcp)),
                None => socket::open(&self.info, host, address, tls).await,
            };
            let failure = match opened {
                Ok(stream) => match self.authenticate(stream, host, address, attrs, kind).await {
                    Ok(login) => return Ok(login),
                    Err(failure) => failure,
                },
                Err(OpenError::NoTls(tcp)) => {
                    reuse = tcp;
                    Failure::NoTls
                }
                Err(e) => e.into(),
            };
            let failure = match first.take() {
                Some(earlier) => earlier.or_rather(failure),
                None => failure,
            };
            if last || !failure.depends_on_encryption() {
                return Err(failure);
            }
            first = Some(failure);
        }
        Err(first.unwrap_or(Failure::Closed))
    }

    /// Logs in over `stream` and looks whether the server is of the wanted kind.
    async fn authenticate(
        &self,
        stream: Stream,
        host: &Host,
        address: &Address,
        attrs: SessionAttrs,
        kind: Kind,
    ) -> Result<Login, Failure> {
        let tls = stream.is_tls();
        let mut config = tokio_postgres::Config::new();
        // The stream is as it will be: "TLS at once", with a handshake that does nothing.
        config.ssl_mode(Mode::Require).ssl_negotiation(SslNegotiation::Direct);
        config.user(&self.info.user).dbname(&self.info.dbname).application_name(&self.info.application_name);
        config.channel_binding(match self.info.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
        if let Some(options) = &self.info.options {
            config.options(options);
        }
        if let Some(password) = &host.password {
            config.password(password.expose());
        }
        let lent = Lent::new(stream, self.info.require_auth);
        if kind == Kind::Walsender {
            lent.ask_for_walsender();
        }
        let (client, mut connection) = config.connect_raw(lent.clone(), Ready).await?;
        let (version, known) = {
            // In a scope of its own: a borrow of the connection across an await would keep the future off other threads.
            let parameter = |name: &str| connection.parameter(name);
            let version = parameter("server_version").and_then(version_number).unwrap_or(0);
            let known = match (parameter("in_hot_standby"), parameter("default_transaction_read_only")) {
                (Some(standby), Some(read_only)) => Some((standby == "on", read_only == "on")),
                _ => None,
            };
            (version, known)
        };
        if attrs != SessionAttrs::Any {
            let (standby, read_only) = match known {
                Some(known) => known,
                None => {
                    let sql = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
                    let rows = drive(&mut connection, client.simple_query(sql)).await?;
                    let row = rows.iter().find_map(|m| match m {
                        tokio_postgres::SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
                        _ => None,
                    });
                    let (recovery, read_only) = row.unwrap_or_default();
                    (recovery == Some("t"), read_only == Some("on"))
                }
            };
            let fits = match attrs {
                SessionAttrs::Any | SessionAttrs::PreferStandby => true,
                SessionAttrs::ReadWrite => !(standby || read_only),
                SessionAttrs::ReadOnly => standby || read_only,
                SessionAttrs::Primary => !standby,
                SessionAttrs::Standby => standby,
            };
            if !fits {
                return Err(Failure::WrongKind(attrs));
            }
        }
        let cancel = CancelHandle::new(
            Arc::clone(&self.info),
            host.clone(),
            address.clone(),
            tls,
            client.cancel_token(),
        );
        let sql = settings::statements(self.side, version);
        drive(&mut connection, client.batch_execute(&sql)).await?;
        Ok(Login { client, connection, lent, version, cancel })
    }
}

/// Awaits a request while turning the connection that carries it.
async fn drive<T>(
    connection: &mut Connection<Lent, Lent>,
    request: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    tokio::pin!(request);
    let mut open = true;
    std::future::poll_fn(|cx| {
        while open {
            match connection.poll_message(cx) {
                std::task::Poll::Ready(Some(Ok(_))) => {}
                std::task::Poll::Ready(Some(Err(e))) => return std::task::Poll::Ready(Err(e)),
                std::task::Poll::Ready(None) => open = false,
                std::task::Poll::Pending => break,
            }
        }
        request.as_mut().poll(cx)
    })
    .await
}

/// What was tried and why it failed.
#[derive(Default)]
struct Report {
    sqlstate: Option<String>,
    tries: Vec<(String, String)>,
}

impl Report {
    fn add(&mut self, host: &Host, address: Option<&Address>, failure: Failure) {
        let mut place = host.display();
        if let Some(Address::Tcp(address)) = address {
            place = format!("{place} ({})", address.ip());
        }
        self.sqlstate = failure.sqlstate().or(self.sqlstate.take());
        self.tries.push((place, failure.explain()));
    }

    fn into_error(self, server: &Server) -> ConnectError {
        let reason = match self.tries.as_slice() {
            [] => "the host name resolves to no address".to_owned(),
            [(_, only)] => only.clone(),
            several => {
                let lines: Vec<String> = several.iter().map(|(p, why)| format!("{p}: {why}")).collect();
                lines.join("; ")
            }
        };
        server.error(self.sqlstate, reason)
    }
}

/// A random order; the hash map's seed is randomness enough for spreading load.
fn shuffle<T>(items: &mut [T]) {
    use std::hash::{BuildHasher as _, RandomState};
    let state = RandomState::new();
    for i in (1..items.len()).rev() {
        let j = state.hash_one(i) as usize % (i + 1);
        items.swap(i, j);
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}
