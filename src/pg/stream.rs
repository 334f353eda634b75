//! The byte stream to a server, encrypted or not, and its loan to tokio-postgres for the login.
//!
//! Invariant: after a login, no byte the server sent is lost: what tokio-postgres had read beyond the last whole
//! message is handed back with the stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::conninfo::AuthMethods;
use super::replication;

/// An open connection's bytes.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls {
        /// The session.
        tls: Box<tokio_rustls::client::TlsStream<TcpStream>>,
        /// The `tls-server-end-point` channel binding (RFC 5929), where the certificate defines one.
        end_point: Option<Vec<u8>>,
    },
}

impl Stream {
    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls { .. })
    }

    /// Bounds what the kernel takes from the other end before it is read, bytes; where it was told so, the window no longer grows by
    /// itself (`SO_RCVBUF`, tcp(7)). On a unix socket that is the sender's business.
    pub fn bound_unread(&self, bytes: usize) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => socket2::SockRef::from(tcp).set_recv_buffer_size(bytes),
            Stream::Tls { tls, .. } => socket2::SockRef::from(tls.get_ref().0).set_recv_buffer_size(bytes),
            Stream::Unix(_) => Ok(()),
        }
    }
}

macro_rules! each {
    ($self:expr, $s:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($s) => {
                let $s = Pin::new($s);
                $call
            }
            Stream::Unix($s) => {
                let $s = Pin::new($s);
                $call
            }
            Stream::Tls { tls, .. } => {
                let $s = Pin::new(tls.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, s => s.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_shutdown(cx))
    }
}

/// A stream lent to tokio-postgres: the owner keeps a clone and takes the stream back when the borrower is gone.
#[derive(Clone, Debug)]
pub(super) struct Lent(Arc<Mutex<Watched>>);

/// The stream with an eye on what the server says through it.
#[derive(Debug)]
struct Watched {
    stream: Stream,
    /// The beginning of a message whose end has not been read yet.
    partial: BytesMut,
    watch: Watch,
    /// Login methods that `require_auth` allows.
    allowed: AuthMethods,
    /// Whether the server has asked for proof of identity.
    asked: bool,
    /// The startup message, where it is not the borrower's own.
    startup: Startup,
}

/// What becomes of the startup message, the first thing that the borrower writes.
#[derive(Debug)]
enum Startup {
    /// It passes as it is.
    AsItIs,
    /// A walsender is asked for in it.
    Walsender,
    /// Rewritten, and not all of it sent yet.
    Rewritten(Bytes),
}

/// How closely the server's messages are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// During login: authentication requests are checked.
    Login,
    /// After login: only message boundaries are kept, for taking the stream back.
    Boundaries,
    /// Not at all: the stream stays with tokio-postgres.
    Nothing,
}

/// Login messages are small; a longer one means that this is no PostgreSQL server.
const LOGIN_MESSAGE_LIMIT: usize = 1 << 20;

impl Lent {
    /// Lends `stream`.
    pub(super) fn new(stream: Stream, allowed: AuthMethods) -> Self {
        Lent(Arc::new(Mutex::new(Watched {
            stream,
            partial: BytesMut::new(),
            watch: Watch::Login,
            allowed,
            asked: false,
            startup: Startup::AsItIs,
        })))
    }

    /// The login that follows shall end in a walsender for the database it names (see [`super::replication`]).
    pub(super) fn ask_for_walsender(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).startup = Startup::Walsender;
    }

    /// The stream will stay with tokio-postgres: no more watching.
    pub(super) fn give_away(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.watch = Watch::Nothing;
        inner.partial = BytesMut::new();
    }

    /// The stream and the bytes of the message that the borrower had read in part; `None` while it is still lent.
    pub(super) fn take_back(self) -> Option<(Stream, BytesMut)> {
        let inner = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((inner.stream, inner.partial))
    }
}

impl Watched {
    /// Follows the message boundaries through newly read bytes.
    fn saw(&mut self, mut new: &[u8]) -> io::Result<()> {
        loop {
            if new.is_empty() {
                return Ok(());
            }
            // At most a header's worth is gathered before the length is known.
            let header = 5usize.saturating_sub(self.partial.len()).min(new.len());
            self.partial.extend_from_slice(&new[..header]);
            new = &new[header..];
            let (Some(&kind), Some(length)) = (self.partial.first(), self.partial.get(1..5)) else {
                continue;
            };
            let length = Bytes::copy_from_slice(length).get_u32() as usize;
            if self.watch == Watch::Login
                && (!b"RENSKZvA".contains(&kind) || !(4..LOGIN_MESSAGE_LIMIT).contains(&length))
            {
                return Err(io::Error::new(io::ErrorKind::InvalidData, NOT_POSTGRES));
            }
            let missing = (length + 1).saturating_sub(self.partial.len());
            let taken = missing.min(new.len());
            self.partial.extend_from_slice(&new[..taken]);
            new = &new[taken..];
            if taken < missing {
                return Ok(());
            }
            if self.watch == Watch::Login {
                self.check_login(kind)?;
            }
            self.partial.clear();
        }
    }

    /// Enforces `require_auth` on a whole message, before tokio-postgres sees it and answers.
    fn check_login(&mut self, kind: u8) -> io::Result<()> {
        match kind {
            b'R' => {
                let code = self.partial.get(5..9).map(|c| Bytes::copy_from_slice(c).get_u32());
                let (name, fine) = match code {
                    Some(0) if !self.asked => ("none", self.allowed.none),
                    Some(3) => ("password", self.allowed.password),
                    Some(5) => ("md5", self.allowed.md5),
                    Some(10) => ("scram-sha-256", self.allowed.scram),
                    _ => ("", true),
                };
                self.asked = true;
                if !fine {
                    let text = format!("{REQUIRE_AUTH}{name}");
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
                }
            }
            b'Z' => self.watch = Watch::Boundaries,
            _ => {}
        }
        Ok(())
    }
}

impl Watched {
    /// Sends what is left of a rewritten startup message.
    fn poll_startup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Startup::Rewritten(left) = &mut self.startup {
            if left.is_empty() {
                self.startup = Startup::AsItIs;
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => left.advance(n),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What the stream says when the other end does not speak the protocol.
pub(super) const NOT_POSTGRES: &str = "the other end does not speak the PostgreSQL protocol";
/// What the stream says, followed by the method, when the server asks in a way that `require_auth` forbids.
pub(super) const REQUIRE_AUTH: &str = "require_auth forbids the authentication method the server asked for: ";

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = buf.filled().len();
        let result = Pin::new(&mut inner.stream).poll_read(cx, buf);
        if inner.watch != Watch::Nothing && matches!(result, Poll::Ready(Ok(()))) {
            inner.saw(&buf.filled()[before..])?;
        }
        result
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(inner.startup, Startup::Walsender) {
            let Some(message) = replication::walsender_startup(buf) else {
                let text = "the login did not begin with one whole startup message";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            };
            // Taken over whole: what the socket does not accept now goes before the next write or flush.
            inner.startup = Startup::Rewritten(message);
            return match inner.poll_startup(cx) {
                Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                _ => Poll::Ready(Ok(buf.len())),
            };
        }
        ready!(inner.poll_startup(cx))?;
        Pin::new(&mut inner.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready!(inner.poll_startup(cx))?;
        Pin::new(&mut inner.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

impl TlsStream for Lent {
    fn channel_binding(&self) -> ChannelBinding {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &inner.stream {
            Stream::Tls { end_point: Some(hash), .. } => ChannelBinding::tls_server_end_point(hash.clone()),
            _ => ChannelBinding::none(),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Stream::Tls { end_point: Some(hash), .. } => ChannelBinding::tls_server_end_point(hash.clone()),
            _ => ChannelBinding::none(),
        }
    }
}

impl TlsStream for &mut Stream {
    fn channel_binding(&self) -> ChannelBinding {
        (**self).channel_binding()
    }
}

/// "TLS" for tokio-postgres over a stream that is encrypted already, or never will be.
#[derive(Debug)]
pub(super) struct Ready;

impl<S: TlsStream + Unpin> TlsConnect<S> for Ready {
    type Stream = S;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<S>>;

    fn connect(self, stream: S) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}
