//! A session in the simple query protocol on the bare stream, for COPY: bytes pass in large chunks, unread.
//!
//! Invariant: between calls the buffer starts at a message boundary or inside a CopyData frame that the caller's
//! [`FrameScanner`](super::frames::FrameScanner) follows; every error the server sends is returned by exactly one call.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};

use super::connect::{Kind, Login};
use super::message::{Decoded, Message, decode, rows_of_tag};
use super::{CancelHandle, ConnectError, Server, SqlError, Stream, frames::FrameScanner};
use crate::error::Side;
use crate::schema::quote::quote_literal;

/// Bytes asked for by one read.
const READ: usize = 256 * 1024;

impl Server {
    /// Opens a session for COPY. `encoding` names the encoding COPY data is in on this connection; give both
    /// ends the source's `server_encoding`, so that the target converts once and the bytes pass unread. SQL text is
    /// UTF-8 whatever it is.
    pub async fn connect_wire(&self, encoding: &str) -> Result<Wire, ConnectError> {
        let login = self.login(Kind::Ordinary).await?;
        let utf8 = ["UTF8", "UTF-8", "UNICODE"].iter().any(|n| n.eq_ignore_ascii_case(encoding));
        self.wire(login, (!utf8).then(|| encoding.to_owned()))
    }

    /// Takes the bare stream of a login.
    pub(super) fn wire(&self, login: Login, encoding: Option<String>) -> Result<Wire, ConnectError> {
        // The connection must go before the client, whose end would make it say goodbye to the server.
        drop(login.connection);
        drop(login.client);
        let (stream, buffer) = login
            .lent
            .take_back()
            .ok_or_else(|| self.error(None, "the connection is still in use".to_owned()))?;
        Ok(Wire {
            side: self.side,
            stream,
            buffer,
            version: login.version,
            cancel: login.cancel,
            encoding,
            status: b'I',
        })
    }
}

/// An open session for COPY.
#[derive(Debug)]
pub struct Wire {
    /// Which server it is on.
    pub side: Side,
    stream: Stream,
    buffer: BytesMut,
    version: u32,
    cancel: CancelHandle,
    /// `client_encoding` during COPY, where that is not UTF-8.
    encoding: Option<String>,
    /// Of the last ReadyForQuery.
    status: u8,
}

impl Wire {
    /// `server_version_num`.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Cancels this session's running statement, from any task.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// The transaction status the server last told: `I` idle, `T` in a transaction, `E` in a failed one.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// What has been read and not consumed.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The same, for consuming (`advance`, `split_to`).
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Reads once into the buffer, up to 256 KiB and more; waits for at least one byte. Returns how many came; the end of the
    /// stream is an error. Safe to cancel.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.fill_into(READ).await
    }

    /// Waits for at least one byte, then reads on while there is more, until `most` bytes or a little more have come: a TLS stream may give its
    /// bytes record by record. Only once less than `spare` bytes of room are left is more made: small reads share one allocation. Returns how
    /// many came; the end of the stream is an error. Safe to cancel.
    pub async fn fill_available(&mut self, spare: usize, most: usize) -> io::Result<usize> {
        let mut came = self.fill_into(spare).await?;
        while came < most {
            let read = pin!(self.fill_into(spare));
            match read.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(n)) => came += n,
                // No more is there; or the stream has ended, which the next call is told: first comes what it ended with.
                _ => break,
            }
        }
        Ok(came)
    }

    /// As [`Wire::fill`], into at least `spare` bytes of room.
    async fn fill_into(&mut self, spare: usize) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < spare {
            self.buffer.reserve(READ);
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }

    /// See [`Stream::bound_unread`].
    pub fn bound_unread(&self, bytes: usize) -> io::Result<()> {
        self.stream.bound_unread(bytes)
    }

    /// Reads what is there without waiting; whether anything was.
    pub fn try_fill(&mut self) -> io::Result<bool> {
        match self.poll_fill(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(false),
            Poll::Ready(read) => read.map(|()| true),
        }
    }

    /// Sends bytes as they are. Where the server takes no more, what it says meanwhile is read into the buffer: a
    /// server that waits for its answers to be read does not read on, and both would wait for ever.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        std::future::poll_fn(|cx| self.poll_send(cx, &mut left)).await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, left: &mut &[u8]) -> Poll<io::Result<()>> {
        loop {
            let sent = match left.is_empty() {
                true => Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| None),
                false => Pin::new(&mut self.stream).poll_write(cx, left).map_ok(Some),
            };
            match sent {
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(0))) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(Some(n))) => *left = &left[n..],
                Poll::Pending => match self.poll_fill(cx) {
                    // Both ends wait: whichever stirs first wakes this task.
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(read) => read?,
                },
            }
        }
    }

    /// Reads once into the buffer; the end of the stream is an error.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut chunk = [0; 8192];
        let mut read = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Ready(Ok(())) if read.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                self.buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(()))
            }
        }
    }

    /// `sql` as a simple Query message.
    pub fn query_message(sql: &str) -> Bytes {
        message(b'Q', sql.as_bytes())
    }

    /// CopyDone: COPY FROM STDIN has all its data.
    pub fn copy_done_message() -> Bytes {
        Bytes::from_static(b"c\0\0\0\x04")
    }

    /// CopyFail: COPY FROM STDIN shall fail with this reason.
    pub fn copy_fail_message(reason: &str) -> Bytes {
        message(b'f', reason.as_bytes())
    }

    /// The next whole message, read if need be; an ErrorResponse is an `Err` with its SQLSTATE, after which the
    /// caller reads on to ReadyForQuery (see [`Wire::resync`]). Not for bulk COPY data: a frame is held whole.
    pub async fn next_message(&mut self, what: &str) -> Result<Message, SqlError> {
        loop {
            match self.buffered_message(what)? {
                Some(message) => return Ok(message),
                None => self.fill().await.map_err(|e| SqlError::broken(self.side, what, &e))?,
            };
        }
    }

    /// The next message, if all of it is in the buffer; notices and the like are passed over.
    pub(super) fn buffered_message(&mut self, what: &str) -> Result<Option<Message>, SqlError> {
        while let Some((kind, body)) = self.take_message(what)? {
            match decode(self.side, what, kind, body) {
                Decoded::Message(message) => {
                    if let Message::ReadyForQuery(status) = message {
                        self.status = status;
                    }
                    return Ok(Some(message));
                }
                Decoded::Error(e) => return Err(*e),
                Decoded::Aside => {}
                Decoded::Unknown => {
                    let text = format!("unexpected message {:?} from the server", char::from(kind));
                    return Err(SqlError::local(self.side, what, text));
                }
            }
        }
        Ok(None)
    }

    /// Splits the first whole message off the buffer.
    pub(super) fn take_message(&mut self, what: &str) -> Result<Option<(u8, Bytes)>, SqlError> {
        let Some([kind, length @ ..]) = self.buffer.first_chunk::<5>().copied() else { return Ok(None) };
        let length = i32::from_be_bytes(length);
        let Some(length) = usize::try_from(length).ok().filter(|n| *n >= 4) else {
            let text = format!("malformed message of length {length} from the server");
            return Err(SqlError::local(self.side, what, text));
        };
        if self.buffer.len() <= length {
            return Ok(None);
        }
        let mut whole = self.buffer.split_to(length + 1).freeze();
        whole.advance(5);
        Ok(Some((kind, whole)))
    }

    /// Runs statements and returns their tags; rows are thrown away. After an error the session is ready again, unless
    /// the connection broke. Not for COPY.
    pub async fn simple(&mut self, what: &str, sql: &str) -> Result<Vec<String>, SqlError> {
        self.send_query(what, sql).await?;
        let mut tags = Vec::new();
        loop {
            match self.message_or_resync(what).await? {
                Message::CommandComplete(tag) => tags.push(tag),
                Message::ReadyForQuery(_) => return Ok(tags),
                Message::CopyIn(_) => {
                    self.send(&Self::copy_fail_message("not expected"))
                        .await
                        .map_err(|e| SqlError::broken(self.side, what, &e))?;
                }
                _ => {}
            }
        }
    }

    /// Runs statements and returns all their rows, in text format.
    pub async fn rows(&mut self, what: &str, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>, SqlError> {
        self.send_query(what, sql).await?;
        let mut rows = Vec::new();
        loop {
            match self.message_or_resync(what).await? {
                Message::DataRow(row) => rows.push(row),
                Message::ReadyForQuery(_) => return Ok(rows),
                _ => {}
            }
        }
    }

    /// Sends a query and leaves reading to the caller.
    pub async fn send_query(&mut self, what: &str, sql: &str) -> Result<(), SqlError> {
        let message = Self::query_message(sql);
        self.send(&message).await.map_err(|e| SqlError::broken(self.side, what, &e))
    }

    /// A COPY statement as it must be sent on this wire, so that its data is in the wire's encoding and its names are
    /// UTF-8.
    pub fn copy_query(&self, sql: &str) -> String {
        copy_statement(self.encoding.as_deref(), sql)
    }

    /// Starts `COPY … TO STDOUT`; its data begins at the buffer's start, or comes with the next read. Returns
    /// whether the format is binary. One COPY statement, which may follow others in the same string.
    pub async fn start_copy_out(&mut self, what: &str, sql: &str) -> Result<bool, SqlError> {
        match self.start_copy(what, sql).await? {
            Message::CopyOut(binary) => Ok(binary),
            other => Err(self.not_a_copy(what, other).await),
        }
    }

    /// Starts `COPY … FROM STDIN`; returns whether the format is binary. What follows is CopyData, then
    /// [`Wire::copy_done_message`] or [`Wire::copy_fail_message`], then [`Wire::finish_copy`].
    pub async fn start_copy_in(&mut self, what: &str, sql: &str) -> Result<bool, SqlError> {
        match self.start_copy(what, sql).await? {
            Message::CopyIn(binary) => Ok(binary),
            other => Err(self.not_a_copy(what, other).await),
        }
    }

    async fn start_copy(&mut self, what: &str, sql: &str) -> Result<Message, SqlError> {
        self.send_query(what, &copy_statement(self.encoding.as_deref(), sql)).await?;
        loop {
            match self.message_or_resync(what).await? {
                Message::CommandComplete(_) | Message::EmptyQuery => {}
                message => return Ok(message),
            }
        }
    }

    /// Something other than the expected COPY has begun: ends it, so that the session is ready again.
    async fn not_a_copy(&mut self, what: &str, begun: Message) -> SqlError {
        let ended = match begun {
            Message::CopyIn(_) => self.send(&Self::copy_fail_message("not expected")).await,
            _ => Ok(()),
        };
        if let Err(e) = ended {
            return SqlError::broken(self.side, what, &e);
        }
        if !matches!(begun, Message::ReadyForQuery(_))
            && let Err(e) = self.resync(what, 0).await
        {
            return e;
        }
        let mut error =
            SqlError::local(self.side, what, "the server did not start the COPY it was asked for");
        // Not a broken connection: the session goes on.
        error.sqlstate = Some("XX000".to_owned());
        error
    }

    /// Reads to the end of the COPY and the statement string it was in; returns the number of rows.
    pub async fn finish_copy(&mut self, what: &str) -> Result<u64, SqlError> {
        let mut rows = None;
        loop {
            match self.message_or_resync(what).await? {
                Message::CommandComplete(tag) if tag.starts_with("COPY") => rows = rows_of_tag(&tag),
                Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        rows.ok_or_else(|| SqlError::local(self.side, what, "the server did not say how many rows it copied"))
    }

    /// After an error: reads, and throws away, everything up to ReadyForQuery. `left` is what is still to come of the
    /// CopyData frame the buffer starts in, 0 at a message boundary. A COPY TO that still runs should be cancelled first.
    pub async fn resync(&mut self, what: &str, left: usize) -> Result<u8, SqlError> {
        let broken = |e: io::Error| SqlError::broken(self.side, what, &e);
        let mut missing = left;
        while missing > 0 {
            let here = missing.min(self.buffer.len());
            self.buffer.advance(here);
            missing -= here;
            if missing > 0 {
                self.buffer.reserve(READ);
                if self.stream.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                    return Err(broken(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        let mut scanner = FrameScanner::new();
        loop {
            let scanned =
                scanner.scan(&self.buffer).map_err(|e| SqlError::local(self.side, what, e.to_string()))?;
            self.buffer.advance(scanned.forward);
            if scanned.other {
                match self.next_message(what).await {
                    Ok(Message::ReadyForQuery(status)) => return Ok(status),
                    Ok(_) => {}
                    Err(e) if e.is_broken() => return Err(e),
                    Err(_) => {}
                }
            } else {
                self.fill().await.map_err(|e| SqlError::broken(self.side, what, &e))?;
            }
        }
    }

    /// The next message; after a server's error the session is ready again.
    async fn message_or_resync(&mut self, what: &str) -> Result<Message, SqlError> {
        match self.next_message(what).await {
            Err(e) if !e.is_broken() => {
                self.resync(what, 0).await?;
                Err(e)
            }
            other => other,
        }
    }

    /// Ends the session politely; failures do not matter.
    pub async fn close(mut self) {
        let _ = self.send(b"X\0\0\0\x04").await;
        let _ = self.stream.shutdown().await;
    }
}

/// A COPY statement with the data in `encoding`. The whole string is converted when it arrives, so the names in it are
/// UTF-8 still; binary COPY follows `client_encoding` and knows no ENCODING option (`textsend`).
fn copy_statement(encoding: Option<&str>, sql: &str) -> String {
    match encoding {
        None => sql.to_owned(),
        Some(name) => format!(
            "SET client_encoding = {}; {}; SET client_encoding = 'UTF8'",
            quote_literal(name),
            sql.trim_end().trim_end_matches(';')
        ),
    }
}

/// A message whose body is one string.
fn message(kind: u8, text: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 6);
    out.put_u8(kind);
    out.put_u32(text.len() as u32 + 5);
    out.put_slice(text);
    out.put_u8(0);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(&Wire::query_message("é")[..], b"Q\0\0\0\x07\xc3\xa9\0");
        assert_eq!(&Wire::copy_fail_message("no")[..], b"f\0\0\0\x07no\0");
    }

    #[test]
    fn copy_in_another_encoding() {
        assert_eq!(copy_statement(None, "COPY t TO STDOUT"), "COPY t TO STDOUT");
        assert_eq!(
            copy_statement(Some("LATIN1"), "COPY t TO STDOUT;"),
            "SET client_encoding = 'LATIN1'; COPY t TO STDOUT; SET client_encoding = 'UTF8'"
        );
    }
}
