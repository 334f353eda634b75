//! One attempt at one address: the socket, its options, and the agreement on TLS.
//!
//! Invariant: a returned stream has TLS exactly when it was asked for, and nothing of a login has been sent on it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::conninfo::{ConnInfo, Host, Place, SslMode};
use super::stream::Stream;
use super::tls;

/// A resolved address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// The socket file; a leading NUL for the abstract namespace.
    Unix(PathBuf),
}

/// What became of asking for a stream.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The socket could not be connected, or broke.
    Io(io::Error),
    /// The server answered that it does no TLS; the socket, where it may still be used in plain.
    NoTls(Option<TcpStream>),
    /// The handshake failed, or its settings are unusable.
    Tls(String),
    /// The answer is not PostgreSQL's.
    NotPostgres,
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        OpenError::Io(e)
    }
}

/// All addresses of `host`.
pub(super) async fn resolve(host: &Host) -> io::Result<Vec<Address>> {
    Ok(match &host.place {
        Place::Unix(dir) => {
            let text = dir.to_string_lossy();
            let path = match text.strip_prefix('@') {
                Some(name) => PathBuf::from(format!("\0{name}/.s.PGSQL.{}", host.port)),
                None => dir.join(format!(".s.PGSQL.{}", host.port)),
            };
            vec![Address::Unix(path)]
        }
        Place::Address(address) => vec![Address::Tcp(SocketAddr::new(*address, host.port))],
        Place::Name(name) => {
            tokio::net::lookup_host((name.as_str(), host.port)).await?.map(Address::Tcp).collect()
        }
    })
}

/// Connects to `address`; with TLS if `tls` is set, which a unix socket ignores.
pub(super) async fn open(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    tls: bool,
) -> Result<Stream, OpenError> {
    let address = match address {
        Address::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Address::Tcp(address) => address,
    };
    let mut tcp = TcpStream::connect(address).await?;
    set_options(&tcp, info)?;
    if !tls {
        return Ok(Stream::Tcp(tcp));
    }
    if !info.tls.direct {
        // SSLRequest: its length, 1234 and 5679.
        tcp.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await?;
        match tcp.read_u8().await? {
            b'S' => {}
            b'N' => return Err(OpenError::NoTls(Some(tcp))),
            b'E' => return Err(OpenError::NoTls(None)),
            _ => return Err(OpenError::NotPostgres),
        }
    }
    let name = if host.name.is_empty() { address.ip().to_string() } else { host.name.clone() };
    if info.sslmode == SslMode::VerifyFull && host.name.is_empty() {
        return Err(OpenError::Tls(
            "host name must be specified for a verified SSL connection (sslmode=verify-full with hostaddr alone)"
                .to_owned(),
        ));
    }
    tls::handshake(tcp, info.sslmode, &info.tls, &name, address.ip())
        .await
        .map_err(|tls::TlsFailure(reason)| OpenError::Tls(reason))
}

/// No delay, keepalives, `tcp_user_timeout`.
fn set_options(tcp: &TcpStream, info: &ConnInfo) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = socket2::SockRef::from(tcp);
    if let Some(wanted) = info.keepalives {
        socket.set_keepalive(true)?;
        let mut times = socket2::TcpKeepalive::new();
        if let Some(idle) = wanted.idle {
            times = times.with_time(idle);
        }
        if let Some(interval) = wanted.interval {
            times = times.with_interval(interval);
        }
        if let Some(count) = wanted.count {
            times = times.with_retries(count);
        }
        socket.set_tcp_keepalive(&times)?;
    }
    #[cfg(target_os = "linux")]
    if info.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(info.tcp_user_timeout)?;
    }
    Ok(())
}
