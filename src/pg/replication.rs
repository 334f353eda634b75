//! A walsender's session: the way to make slots and to stream WAL.
//!
//! It is asked for by `replication=database` in the startup message (PostgreSQL protocol, "Streaming Replication
//! Protocol"), which tokio-postgres 0.7 cannot send. pg_walstream has a connection that can, but it reads neither
//! service and password files nor several hosts, and has TLS rules of its own: a source that every other session
//! reaches might then be out of reach for this one. So the login is ours as always, and the parameter is put into the startup message
//! as it passes through the stream that we lend. From pg_walstream come the replication commands' texts.
//!
//! Invariant: one startup message in, one startup message out; nothing else is touched.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::connect::Kind;
use super::message::{Decoded, Message, decode};
use super::{ConnectError, Server, SqlError, Wire};
use crate::schema::quote::quote_literal;

/// Protocol 3.0.
const VERSION: u32 = 3 << 16;
const WALSENDER: &[u8] = b"replication\0database\0";

/// The startup message with the request for a walsender in front of its other parameters; `None` where `message` is not
/// one whole startup message.
pub(super) fn walsender_startup(message: &[u8]) -> Option<Bytes> {
    let (length, rest) = message.split_first_chunk::<4>()?;
    let (version, parameters) = rest.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*length) as usize != message.len() || u32::from_be_bytes(*version) != VERSION {
        return None;
    }
    let whole = message.len() + WALSENDER.len();
    let mut out = BytesMut::with_capacity(whole);
    out.put_u32(u32::try_from(whole).ok()?);
    out.put_slice(version);
    out.put_slice(WALSENDER);
    out.put_slice(parameters);
    Some(out.freeze())
}

impl Server {
    /// Opens a walsender's session. `encoding` is its `client_encoding`, which rows and names are sent in: UTF8, or
    /// `SQL_ASCII` where the database is in that and nothing can be converted.
    ///
    /// # Errors
    /// As [`Server::connect`]; also where the role has no REPLICATION attribute, or `max_wal_senders` are in use.
    pub async fn connect_replication(&self, encoding: &str) -> Result<Wire, ConnectError> {
        let login = self.login(Kind::Walsender).await?;
        let mut wire = self.wire(login, None)?;
        // Values of type money are sent with the source's separators, and the target must read them with the same ones.
        let sql = format!("SET lc_monetary = 'C'; SET client_encoding = {}", quote_literal(encoding));
        match wire.simple("preparing the replication connection", &sql).await {
            Ok(_) => Ok(wire),
            Err(e) => Err(self.error(e.sqlstate, e.message)),
        }
    }
}

/// What a walsender says beside its frames.
#[derive(Debug)]
pub enum Aside {
    /// A warning, as an error would say it.
    Notice(Box<SqlError>),
    /// A parameter has a new value.
    Parameter,
    /// The stream has ended.
    End,
    /// It waits for the next command.
    Ready,
}

impl Wire {
    /// Sends START_REPLICATION; frames follow.
    pub async fn start_replication(&mut self, what: &str, sql: &str) -> Result<(), SqlError> {
        self.send_query(what, sql).await?;
        loop {
            match self.next_message(what).await? {
                Message::CopyBoth => return Ok(()),
                Message::ReadyForQuery(_) => {
                    let mut error = SqlError::local(self.side, what, "the server did not begin to stream");
                    // Not a broken connection.
                    error.sqlstate = Some("XX000".to_owned());
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// The message at the buffer's start, which is no frame; `None`: it is not there whole.
    ///
    /// # Errors
    /// The server's error, which ends the stream, or a message that does not belong there.
    pub fn take_aside(&mut self, what: &str) -> Result<Option<Aside>, SqlError> {
        let Some((kind, body)) = self.take_message(what)? else { return Ok(None) };
        // A notice has the fields of an error.
        let as_kind = if kind == b'N' { b'E' } else { kind };
        match decode(self.side, what, as_kind, body) {
            Decoded::Error(notice) if kind == b'N' => Ok(Some(Aside::Notice(notice))),
            Decoded::Error(e) => Err(*e),
            Decoded::Aside => Ok(Some(Aside::Parameter)),
            Decoded::Message(Message::CopyDone | Message::CommandComplete(_)) => Ok(Some(Aside::End)),
            Decoded::Message(Message::ReadyForQuery(_)) => Ok(Some(Aside::Ready)),
            Decoded::Message(_) | Decoded::Unknown => {
                let text = format!("unexpected message {:?} from the server", char::from(kind));
                let mut error = SqlError::local(self.side, what, text);
                error.sqlstate = Some("08P01".to_owned());
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_comes_first() {
        let plain = b"\0\0\0\x13\0\x03\0\0user\0me\0\0\0\0";
        assert_eq!(plain.len(), 0x13);
        let expected = b"\0\0\0\x28\0\x03\0\0replication\0database\0user\0me\0\0\0\0";
        assert_eq!(walsender_startup(plain).as_deref(), Some(&expected[..]));
    }

    #[test]
    fn anything_else_is_refused() {
        for other in [&b""[..], b"\0\0\0\x08\0\x03\0", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x09\0\x03\0\0"]
        {
            assert_eq!(walsender_startup(other), None, "{other:?}");
        }
    }
}
