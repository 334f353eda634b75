//! Messages of the extended query protocol, written into a buffer that [`Wire::send_bytes`](super::Wire::send_bytes) sends.
//!
//! Pure. A group of Parse, Bind and Execute ends with [`sync`], which the server answers with one ReadyForQuery as it does a
//! simple query; after an error it passes over everything up to there. Invariant: what is written is a whole message
//! or, where a length does not fit the protocol, nothing (PostgreSQL protocol, "Extended Query", "Message Formats").

use bytes::{BufMut as _, BytesMut};

/// A message or a value longer than the protocol can say (2 GB), or more parameters than it can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row is larger than the protocol can carry")]
pub struct TooLong;

/// Parse: prepares `sql` under this name, with parameters of these types (by OID).
pub fn parse(out: &mut BytesMut, name: &str, sql: &str, types: &[u32]) -> Result<(), TooLong> {
    message(out, b'P', |out| {
        text(out, name);
        text(out, sql);
        out.put_u16(u16::try_from(types.len()).map_err(|_| TooLong)?);
        types.iter().for_each(|oid| out.put_u32(*oid));
        Ok(())
    })
}

/// The format of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What the type's input function reads.
    Text,
    /// What its receive function reads.
    Binary,
}

/// Bind: gives the prepared statement its parameters; `values` writes each of them in turn.
pub fn bind(
    out: &mut BytesMut,
    statement: &str,
    formats: &[Format],
    values: impl FnOnce(&mut Values<'_>) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    message(out, b'B', |out| {
        text(out, ""); // the unnamed portal
        text(out, statement);
        let count = u16::try_from(formats.len()).map_err(|_| TooLong)?;
        out.put_u16(count);
        formats.iter().for_each(|format| out.put_i16((*format == Format::Binary).into()));
        out.put_u16(count);
        values(&mut Values { out })?;
        out.put_u16(0); // results in text
        Ok(())
    })
}

/// Takes the values of a Bind, one after the other.
#[derive(Debug)]
pub struct Values<'a> {
    out: &'a mut BytesMut,
}

impl Values<'_> {
    /// NULL.
    pub fn null(&mut self) {
        self.out.put_i32(-1);
    }

    /// These bytes.
    pub fn bytes(&mut self, value: &[u8]) -> Result<(), TooLong> {
        self.out.put_i32(i32::try_from(value.len()).map_err(|_| TooLong)?);
        self.out.put_slice(value);
        Ok(())
    }

    /// Whatever `write` appends.
    pub fn with(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>) -> Result<(), TooLong> {
        let at = self.out.len();
        self.out.put_i32(0);
        write(self.out)?;
        let length = i32::try_from(self.out.len() - at - 4).map_err(|_| TooLong)?;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Execute: runs what was bound, to its end.
pub fn execute(out: &mut BytesMut) {
    out.put_slice(b"E\0\0\0\x09\0\0\0\0\0");
}

/// Sync: ends a group.
pub fn sync(out: &mut BytesMut) {
    out.put_slice(b"S\0\0\0\x04");
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn message(
    out: &mut BytesMut,
    kind: u8,
    body: impl FnOnce(&mut BytesMut) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let start = out.len();
    out.put_u8(kind);
    out.put_i32(0);
    let written = body(out).and_then(|()| i32::try_from(out.len() - start - 1).map_err(|_| TooLong));
    match written {
        Ok(length) => {
            out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        Err(e) => {
            out.truncate(start);
            Err(e)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let mut out = BytesMut::new();
        parse(&mut out, "s1", "SELECT $1", &[25]).unwrap();
        assert_eq!(&out[..], b"P\0\0\0\x17s1\0SELECT $1\0\0\x01\0\0\0\x19");
        out.clear();
        bind(&mut out, "s1", &[Format::Text, Format::Binary, Format::Text], |values| {
            values.bytes(b"x")?;
            values.with(|out| {
                out.put_u16(7);
                Ok(())
            })?;
            values.null();
            Ok(())
        })
        .unwrap();
        let expected =
            b"B\0\0\0\x23\0s1\0\0\x03\0\0\0\x01\0\0\0\x03\0\0\0\x01x\0\0\0\x02\0\x07\xff\xff\xff\xff\0\0";
        assert_eq!(&out[..], expected);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(parse(&mut out, "", "", &[0; 70_000]), Err(TooLong));
        assert_eq!(&out[..], b"before");
    }
}
