//! The server's messages in the simple query protocol, decoded from bytes.
//!
//! Pure. Invariant: any bytes are a message or an error, never a panic (PostgreSQL protocol, "Message Formats").

use bytes::{Buf as _, Bytes};

use super::SqlError;
use crate::error::Side;

/// A message of the server; notices, parameter reports and notifications are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A statement ended: its tag, such as `COPY 12`.
    CommandComplete(String),
    /// An empty statement ended.
    EmptyQuery,
    /// The server waits: `I` idle, `T` in a transaction, `E` in a failed one.
    ReadyForQuery(u8),
    /// COPY FROM STDIN has begun; `true`: binary.
    CopyIn(bool),
    /// COPY TO STDOUT has begun; `true`: binary.
    CopyOut(bool),
    /// Both directions are open: replication has begun.
    CopyBoth,
    /// A row of COPY TO STDOUT, for small results; large ones go by the chunk.
    CopyData(Bytes),
    /// COPY TO STDOUT has sent everything.
    CopyDone,
    /// The names of the columns of the rows to come.
    RowDescription(Vec<String>),
    /// A row, in text format.
    DataRow(Vec<Option<Bytes>>),
}

/// What a message is.
#[derive(Debug)]
pub(super) enum Decoded {
    Message(Message),
    /// ErrorResponse.
    Error(Box<SqlError>),
    /// NoticeResponse, ParameterStatus, NotificationResponse; ParseComplete, BindComplete, CloseComplete, NoData, which
    /// say no more than that no error came.
    Aside,
    /// Nothing the simple protocol has.
    Unknown,
}

/// Decodes the message of this kind and body.
pub(super) fn decode(side: Side, what: &str, kind: u8, mut body: Bytes) -> Decoded {
    let message = match kind {
        b'C' => take_text(&mut body).map(Message::CommandComplete),
        b'I' => Some(Message::EmptyQuery),
        b'Z' => body.first().map(|status| Message::ReadyForQuery(*status)),
        b'G' => body.first().map(|format| Message::CopyIn(*format == 1)),
        b'H' => body.first().map(|format| Message::CopyOut(*format == 1)),
        b'W' => Some(Message::CopyBoth),
        b'd' => Some(Message::CopyData(body)),
        b'c' => Some(Message::CopyDone),
        b'T' => column_names(body).map(Message::RowDescription),
        b'D' => row(body).map(Message::DataRow),
        b'E' => return Decoded::Error(Box::new(server_error(side, what, body))),
        b'N' | b'S' | b'A' | b'1' | b'2' | b'3' | b'n' => return Decoded::Aside,
        _ => None,
    };
    message.map_or(Decoded::Unknown, Decoded::Message)
}

/// Text up to a NUL; text that is not UTF-8 (a message in another encoding) is shown as well as can be.
fn take_text(body: &mut Bytes) -> Option<String> {
    let end = body.iter().position(|b| *b == 0)?;
    let text = String::from_utf8_lossy(&body.split_to(end)).into_owned();
    body.advance(1);
    Some(text)
}

fn column_names(mut body: Bytes) -> Option<Vec<String>> {
    let count = body.try_get_u16().ok()?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(take_text(&mut body)?);
        // Table, column number, type, size, modifier, format.
        (body.len() >= 18).then(|| body.advance(18))?;
    }
    Some(names)
}

fn row(mut body: Bytes) -> Option<Vec<Option<Bytes>>> {
    let count = body.try_get_u16().ok()?;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = body.try_get_i32().ok()?;
        values.push(match usize::try_from(length) {
            Ok(length) if length <= body.len() => Some(body.split_to(length)),
            Ok(_) => return None,
            Err(_) => None,
        });
    }
    Some(values)
}

/// The fields of an ErrorResponse ("Error and Notice Message Fields").
fn server_error(side: Side, what: &str, mut body: Bytes) -> SqlError {
    let mut error = SqlError::local(side, what, "the server sent an error without a message");
    // XX000 stands for a server that gives no code, so that the error is not taken for a broken connection.
    error.sqlstate = Some("XX000".to_owned());
    while let Some(field) = body.first().copied().filter(|f| *f != 0) {
        body.advance(1);
        let Some(text) = take_text(&mut body) else { break };
        match field {
            b'C' => error.sqlstate = Some(text),
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            b'W' => error.context = Some(text),
            b'P' => error.position = text.parse().ok(),
            b's' => error.schema = Some(text),
            b't' => error.table = Some(text),
            b'c' => error.column = Some(text),
            b'n' => error.constraint = Some(text),
            _ => {}
        }
    }
    error
}

/// The number of rows at the end of a tag: `COPY 12`, `INSERT 0 3`.
pub(super) fn rows_of_tag(tag: &str) -> Option<u64> {
    tag.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_keeps_its_fields() {
        let body = Bytes::from_static(
            b"SERROR\0C23505\0Mduplicate\0Dkey\0Hhint\0WCOPY t, line 3\0P17\0su\0tt\0ca\0nk\0\0",
        );
        let Decoded::Error(e) = decode(Side::Target, "copying", b'E', body) else { panic!() };
        assert_eq!(e.sqlstate.as_deref(), Some("23505"));
        assert_eq!(e.message, "duplicate");
        assert_eq!(e.context.as_deref(), Some("COPY t, line 3"));
        assert_eq!((e.position, e.constraint.as_deref()), (Some(17), Some("k")));
        assert_eq!(
            e.to_string(),
            "target: copying: duplicate (SQLSTATE 23505)\n  detail: key\n  hint: hint\n  context: COPY t, line 3"
        );
    }

    #[test]
    fn rows_and_names() {
        let Decoded::Message(Message::DataRow(row)) =
            decode(Side::Source, "", b'D', Bytes::from_static(b"\0\x03\0\0\0\x01x\xff\xff\xff\xff\0\0\0\0"))
        else {
            panic!()
        };
        assert_eq!(row, vec![Some(Bytes::from_static(b"x")), None, Some(Bytes::new())]);
        let mut body = b"\0\x01name\0".to_vec();
        body.extend([0; 18]);
        let Decoded::Message(Message::RowDescription(names)) = decode(Side::Source, "", b'T', body.into())
        else {
            panic!()
        };
        assert_eq!(names, ["name"]);
        assert_eq!(rows_of_tag("COPY 12"), Some(12));
        assert_eq!(rows_of_tag("BEGIN"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(Side::Source, "", kind, body.into());
        }
    }
}
