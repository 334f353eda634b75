//! A row as pgoutput sends it, kept as the bytes that came: no value is copied until it is written to the target.
//!
//! Invariant: a [`Tuple`] is well-formed from the moment it exists, so reading it cannot fail
//! (PostgreSQL manual, "Logical Replication Message Formats", TupleData).

use bytes::Bytes;

/// The columns of one row, in the order of its relation's columns: for each a kind byte, and for values a length and
/// that many bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuple(Bytes);

/// One column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datum<'a> {
    /// NULL.
    Null,
    /// A TOASTed value that the change did not touch and that is not sent: never NULL.
    Unchanged,
    /// In the type's text format.
    Text(&'a [u8]),
    /// In the type's binary format.
    Binary(&'a [u8]),
}

impl Tuple {
    /// Takes `count` columns off the front of `bytes`, without the leading count; `None` where the bytes are malformed.
    pub fn split_from(bytes: &mut Bytes, count: u16) -> Option<Tuple> {
        Tuple::split_and_look(bytes, count).map(|(tuple, _)| tuple)
    }

    /// The same, and whether a value is `Unchanged`.
    pub(super) fn split_and_look(bytes: &mut Bytes, count: u16) -> Option<(Tuple, bool)> {
        let mut at = 0;
        let mut unchanged = false;
        for _ in 0..count {
            match bytes.get(at)? {
                b'n' => at += 1,
                b'u' => {
                    at += 1;
                    unchanged = true;
                }
                b't' | b'b' => {
                    let length = i32::from_be_bytes(bytes.get(at + 1..at + 5)?.try_into().ok()?);
                    at = (at + 5).checked_add(usize::try_from(length).ok()?)?;
                }
                _ => return None,
            }
        }
        (at <= bytes.len()).then(|| (Tuple(bytes.split_to(at)), unchanged))
    }

    /// The values as they came: for each a kind byte, and for a value its length and bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a value is `Unchanged`.
    pub fn has_unchanged(&self) -> bool {
        self.iter().any(|value| value == Datum::Unchanged)
    }

    /// The values, in order.
    pub fn iter(&self) -> Datums<'_> {
        Datums { rest: &self.0 }
    }

    /// A row of these values.
    pub fn of<'a>(values: impl IntoIterator<Item = Datum<'a>>) -> Tuple {
        let mut out = Vec::new();
        for value in values {
            let (kind, bytes) = match value {
                Datum::Null => (b'n', None),
                Datum::Unchanged => (b'u', None),
                Datum::Text(bytes) => (b't', Some(bytes)),
                Datum::Binary(bytes) => (b'b', Some(bytes)),
            };
            out.push(kind);
            if let Some(bytes) = bytes {
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend(bytes);
            }
        }
        Tuple(out.into())
    }

    /// Bytes it occupies.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The values of a [`Tuple`].
#[derive(Clone, Debug)]
pub struct Datums<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Datums<'a> {
    type Item = Datum<'a>;

    fn next(&mut self) -> Option<Datum<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        let (datum, rest) = match kind {
            b'n' => (Datum::Null, rest),
            b'u' => (Datum::Unchanged, rest),
            _ => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                (if *kind == b'b' { Datum::Binary(value) } else { Datum::Text(value) }, rest)
            }
        };
        self.rest = rest;
        Some(datum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let values = [Datum::Text(b"a"), Datum::Null, Datum::Unchanged, Datum::Binary(b""), Datum::Text(b"")];
        let tuple = Tuple::of(values);
        assert_eq!(tuple.iter().collect::<Vec<_>>(), values);
        let mut bytes = tuple.0.clone();
        assert_eq!(Tuple::split_from(&mut bytes, 5), Some(tuple));
        assert!(bytes.is_empty());
    }

    #[test]
    fn malformed_bytes_are_no_row() {
        for bytes in [&b"t"[..], b"t\0\0\0\x02a", b"x", b"t\xff\xff\xff\xff", b"t\x7f\xff\xff\xff", b""] {
            assert_eq!(Tuple::split_from(&mut Bytes::from_static(bytes), 1), None, "{bytes:?}");
        }
    }
}
