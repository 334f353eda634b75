//! Rows as the target takes them, many at once: lines of a COPY, or arrays, one for each column.
//!
//! Pure. Invariant: a row is read once, front to back, and each of its values is copied once, to where it is sent from; no row and no
//! value has an allocation of its own.

use bytes::{BufMut as _, BytesMut};

use super::encode;
use super::target_relation::{Pass, TargetColumn};
use crate::pg::extended::TooLong;
use crate::stream::tuple::{Datum, Tuple};

/// Why a row cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// The protocol cannot carry it.
    TooLong,
    /// It is not what the source's description of its table says, in words.
    Malformed(&'static str),
}

impl From<TooLong> for Unsendable {
    fn from(_: TooLong) -> Self {
        Unsendable::TooLong
    }
}

const COLUMNS: Unsendable = Unsendable::Malformed("a row has another number of columns than its table");
const LACKS: Unsendable = Unsendable::Malformed("a new row lacks a value");
const FORMAT: Unsendable = Unsendable::Malformed("a value came in another format than was asked for");
/// What COPY's binary format begins with: signature, flags, no extension; and what it ends with (`COPY`, "Binary Format").
pub(super) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const COPY_TRAILER: &[u8] = b"\xff\xff";

/// Appends a whole row as a line of COPY's text format: the columns that the target has, in the source's order.
pub(super) fn copy_line(
    out: &mut BytesMut,
    columns: &[Option<TargetColumn>],
    row: &Tuple,
) -> Result<(), Unsendable> {
    let mut first = true;
    each_value(columns, row, false, |value| {
        if !std::mem::take(&mut first) {
            out.put_u8(b'\t');
        }
        encode::copy_value(out, value);
        Ok(())
    })?;
    out.put_u8(b'\n');
    Ok(())
}

/// Appends a whole row as a tuple of COPY's binary format.
pub(super) fn copy_tuple(
    out: &mut BytesMut,
    columns: &[Option<TargetColumn>],
    row: &Tuple,
) -> Result<(), Unsendable> {
    let count = columns.iter().flatten().count();
    out.put_i16(i16::try_from(count).map_err(|_| TooLong)?);
    each_value(columns, row, true, |value| Ok(encode::counted(out, value)?))
}

/// Checks each value of a whole row, and calls `put` for those whose column the target has.
fn each_value(
    columns: &[Option<TargetColumn>],
    row: &Tuple,
    binary: bool,
    mut put: impl FnMut(Option<&[u8]>) -> Result<(), Unsendable>,
) -> Result<(), Unsendable> {
    let mut values = row.iter();
    for column in columns {
        let value = match (values.next().ok_or(COLUMNS)?, binary) {
            (Datum::Null, _) => None,
            (Datum::Text(bytes), false) | (Datum::Binary(bytes), true) => Some(bytes),
            (Datum::Unchanged, _) => return Err(LACKS),
            (Datum::Text(_) | Datum::Binary(_), _) => return Err(FORMAT),
        };
        if column.is_some() {
            put(value)?;
        }
    }
    if values.next().is_some() { Err(COLUMNS) } else { Ok(()) }
}

/// The arrays of one statement's parameters. Kept from statement to statement: their memory is used again.
#[derive(Debug, Default)]
pub(super) struct Arrays {
    /// For each column of the source the array that its values go to.
    place: Vec<Option<usize>>,
    arrays: Vec<BytesMut>,
}

impl Arrays {
    /// Makes the arrays of these columns (the source's numbers; each once), in this order, with a value for each row.
    pub fn fill(
        &mut self,
        columns: &[(usize, &Pass)],
        width: usize,
        rows: &[&Tuple],
    ) -> Result<(), Unsendable> {
        self.place.clear();
        self.place.resize(width, None);
        self.arrays.resize_with(columns.len(), BytesMut::new);
        for (n, ((column, pass), array)) in columns.iter().zip(&mut self.arrays).enumerate() {
            *self.place.get_mut(*column).ok_or(COLUMNS)? = Some(n);
            array.clear();
            match pass {
                Pass::Own { .. } => array.put_u8(b'{'),
                Pass::Binary { element_oid, .. } => encode::array_header(array, *element_oid, rows.len())?,
                Pass::Text | Pass::Single => encode::array_header(array, encode::TEXT, rows.len())?,
            }
        }
        for (number, row) in rows.iter().enumerate() {
            let mut places = self.place.iter();
            for value in row.iter() {
                let Some(n) = places.next().ok_or(COLUMNS)? else { continue };
                let (Some(array), Some((_, pass))) = (self.arrays.get_mut(*n), columns.get(*n)) else {
                    continue;
                };
                let value = match (value, matches!(pass, Pass::Binary { .. })) {
                    (Datum::Null | Datum::Unchanged, _) => None,
                    (Datum::Text(bytes), false) | (Datum::Binary(bytes), true) => Some(bytes),
                    _ => return Err(FORMAT),
                };
                match pass {
                    Pass::Own { delimiter, .. } => {
                        if number > 0 {
                            array.put_u8(*delimiter);
                        }
                        encode::literal_element(array, value);
                    }
                    Pass::Text | Pass::Binary { .. } | Pass::Single => encode::counted(array, value)?,
                }
            }
            if places.next().is_some() {
                return Err(COLUMNS);
            }
        }
        for ((_, pass), array) in columns.iter().zip(&mut self.arrays) {
            if matches!(pass, Pass::Own { .. }) {
                array.put_u8(b'}');
            }
        }
        Ok(())
    }

    /// What [`Arrays::fill`] made.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.arrays.iter().map(|array| &array[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column() -> Option<TargetColumn> {
        Some(TargetColumn::default())
    }

    #[test]
    fn a_line_has_the_columns_of_the_target() {
        let row =
            Tuple::of([Datum::Text(b"1"), Datum::Text(b"made there"), Datum::Null, Datum::Text(b"a\tb")]);
        let mut out = BytesMut::new();
        assert_eq!(copy_line(&mut out, &[column(), None, column(), column()], &row), Ok(()));
        assert_eq!(&out[..], b"1\t\\N\ta\\tb\n");
    }

    #[test]
    fn what_is_no_row_of_the_table_is_not_sent() {
        let mut out = BytesMut::new();
        let one = Tuple::of([Datum::Text(b"1")]);
        assert_eq!(copy_line(&mut out, &[column(), column()], &one), Err(COLUMNS));
        assert_eq!(copy_line(&mut out, &[], &one), Err(COLUMNS));
        assert_eq!(copy_line(&mut out, &[column()], &Tuple::of([Datum::Unchanged])), Err(LACKS));
        assert_eq!(copy_line(&mut out, &[column()], &Tuple::of([Datum::Binary(b"1")])), Err(FORMAT));
        assert_eq!(copy_tuple(&mut out, &[column()], &one), Err(FORMAT));
        // Nor where the target has no such column.
        assert_eq!(copy_line(&mut out, &[None], &Tuple::of([Datum::Unchanged])), Err(LACKS));
        assert_eq!(copy_line(&mut out, &[None], &Tuple::of([Datum::Binary(b"1")])), Err(FORMAT));
        assert_eq!(copy_tuple(&mut out, &[None], &one), Err(FORMAT));
        assert_eq!(copy_tuple(&mut out, &[], &one), Err(COLUMNS));
        let mut arrays = Arrays::default();
        assert_eq!(arrays.fill(&[(0, &Pass::Text)], 2, &[&one]), Err(COLUMNS));
        assert_eq!(arrays.fill(&[], 0, &[&one]), Err(COLUMNS));
        assert_eq!(arrays.fill(&[(7, &Pass::Text)], 1, &[&one]), Err(COLUMNS));
        assert_eq!(arrays.fill(&[(0, &Pass::Text)], 1, &[&Tuple::of([Datum::Binary(b"1")])]), Err(FORMAT));
        let pass = Pass::Binary { array_oid: 1016, element_oid: 20 };
        assert_eq!(arrays.fill(&[(0, &pass)], 1, &[&one]), Err(FORMAT));
    }

    #[test]
    fn values_in_binary_format_stay_as_they_are() {
        let row = Tuple::of([Datum::Binary(b"\0\x01"), Datum::Binary(b"made there"), Datum::Null]);
        let mut out = BytesMut::new();
        assert_eq!(copy_tuple(&mut out, &[column(), None, column()], &row), Ok(()));
        assert_eq!(&out[..], b"\0\x02\0\0\0\x02\0\x01\xff\xff\xff\xff");
        let mut arrays = Arrays::default();
        let pass = Pass::Binary { array_oid: 1005, element_oid: 21 };
        assert_eq!(arrays.fill(&[(0, &pass)], 3, &[&row]), Ok(()));
        let all: Vec<&[u8]> = arrays.each().collect();
        assert_eq!(all, [b"\0\0\0\x01\0\0\0\0\0\0\0\x15\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\x01"]);
    }

    #[test]
    fn an_array_for_each_column() {
        let rows = [
            Tuple::of([Datum::Text(b"1"), Datum::Text(b"x"), Datum::Text(b"(1,2)")]),
            Tuple::of([Datum::Text(b"2"), Datum::Text(b"y"), Datum::Null]),
        ];
        let own = Pass::Own { array_oid: 7, delimiter: b';' };
        let mut arrays = Arrays::default();
        // Twice: nothing of the first time is left.
        for _ in 0..2 {
            assert_eq!(arrays.fill(&[(2, &own), (0, &Pass::Text)], 3, &[&rows[0], &rows[1]]), Ok(()));
            let [literal, numbers] = arrays.each().collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(literal, br#"{"(1,2)";NULL}"#);
            assert_eq!(&numbers[12..], b"\0\0\0\x02\0\0\0\x01\0\0\0\x011\0\0\0\x012");
        }
    }
}
