//! Ranges of keys: which rows of a table go to which lane in one batch.
//!
//! Rows are told apart by the bytes of their identity, and each lane gets a range of them, so neighbours, which share pages of the index and mostly of the
//! table, go together (measured on two processors shared by all: updates over two lanes cost 10 to 20 % less than where a hash spread them). The ranges are of the
//! batch's own rows, and ride in the journal with it ([`crate::journal::lane_applied`]): where lanes stand apart after a crash, the others get exactly what
//! went to none of those that have the batch. Pure. Invariant: a key is in one lane's range, whatever format its values come in.

use std::collections::BTreeMap;

use super::shown::hex;
use crate::stream::relation::Relation;
use crate::stream::tuple::{Datum, Tuple};

/// Rows of a table for each lane from which on it is divided; with fewer, it goes to one lane as a whole.
const ENOUGH: usize = 2;
/// Rows whose keys are looked at to find where to divide.
const SAMPLE: usize = 256;
/// Bytes of a key that tell where a range begins.
const LONGEST: usize = 64;

/// Types of [`EXACT`](super::route::EXACT) that rows are told apart by: in either format, text or binary, [`Teller`] reads the same of a value. What was spread in one format may
/// have to be told again in the other.
pub(super) const TOLD: [u32; 8] = [19, 20, 21, 23, 25, 26, 1043, 2950];

/// The key of a row: the columns of its identity that are of the types in [`TOLD`].
struct Teller {
    /// The columns' numbers, ascending, and their types.
    columns: Vec<(usize, u32)>,
    scratch: Vec<u8>,
}

impl Teller {
    fn of(relation: &Relation) -> Teller {
        let columns = relation.columns.iter().enumerate();
        let columns = columns.filter(|(_, c)| c.key && TOLD.contains(&c.type_oid));
        Teller { columns: columns.map(|(i, c)| (i, c.type_oid)).collect(), scratch: Vec::new() }
    }

    /// The key's bytes, in the order of the values as far as [`in_order`](crate::stream::keys::in_order) is, too. `None`: a value that is needed
    /// did not come, or is none of its type.
    fn key(&mut self, row: &Tuple) -> Option<&[u8]> {
        self.scratch.clear();
        let mut values = row.iter();
        let mut next = 0;
        for &(column, type_oid) in &self.columns {
            let value = values.nth(column - next)?;
            next = column + 1;
            match (type_oid, value) {
                (19 | 25 | 1043, Datum::Text(bytes) | Datum::Binary(bytes)) => {
                    // No text holds a zero byte.
                    self.scratch.extend_from_slice(bytes);
                    self.scratch.push(0);
                }
                (2950, value) => self.scratch.extend_from_slice(&uuid(value)?),
                (_, value) => self.scratch.extend_from_slice(&number(type_oid, value)?.to_be_bytes()),
            }
        }
        (!self.columns.is_empty()).then_some(self.scratch.as_slice())
    }
}

fn number(type_oid: u32, value: Datum<'_>) -> Option<i64> {
    match (type_oid, value) {
        (_, Datum::Text(bytes)) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        (20, Datum::Binary(bytes)) => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        (21, Datum::Binary(bytes)) => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        (23, Datum::Binary(bytes)) => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        (26, Datum::Binary(bytes)) => Some(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        _ => None,
    }
}

fn uuid(value: Datum<'_>) -> Option<[u8; 16]> {
    let text = match value {
        Datum::Binary(bytes) => return bytes.try_into().ok(),
        Datum::Text(bytes) => bytes,
        Datum::Null | Datum::Unchanged => return None,
    };
    unhex(text.iter().copied().filter(|b| *b != b'-'))?.try_into().ok()
}

/// The bytes of hexadecimal digits.
fn unhex(digits: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut digits = digits.map(|b| char::from(b).to_digit(16));
    let mut bytes = Vec::with_capacity(16);
    while let Some(high) = digits.next() {
        bytes.push((high? * 16 + digits.next()??) as u8);
    }
    Some(bytes)
}

/// For each table that is divided, by its OID on the source, where the ranges of all lanes but the first begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Splits(BTreeMap<u32, Vec<Vec<u8>>>);

impl Splits {
    /// Divides these rows of a table, where they are enough. `None`: the key of one of them did not come.
    pub fn divide<'a>(
        &mut self,
        relation: &Relation,
        rows: impl ExactSizeIterator<Item = &'a Tuple>,
        lanes: usize,
    ) -> Option<()> {
        let count = rows.len();
        if count < ENOUGH * lanes {
            return Some(());
        }
        let mut teller = Teller::of(relation);
        let mut sample = Vec::with_capacity(SAMPLE);
        for row in rows.step_by(count.div_ceil(SAMPLE)) {
            let key = teller.key(row)?;
            sample.push(key.get(..LONGEST).unwrap_or(key).to_vec());
        }
        sample.sort();
        let begin = |lane: usize| sample.get(lane * sample.len() / lanes).cloned();
        self.0.insert(relation.oid, (1..lanes).map(begin).collect::<Option<_>>()?);
        Some(())
    }

    /// Tells which lane a table's rows go to; `None`: it is not divided.
    pub fn of<'a>(&'a self, relation: &Relation) -> Option<Ranges<'a>> {
        Some(Ranges { begins: self.0.get(&relation.oid)?, teller: Teller::of(relation) })
    }

    /// As the journal holds them.
    pub fn to_json(&self) -> String {
        let tables =
            self.0.iter().map(|(oid, begins)| (*oid, begins.iter().map(|key| hex(key)).collect::<Vec<_>>()));
        serde_json::json!(tables.collect::<BTreeMap<_, _>>()).to_string()
    }

    /// What [`Splits::to_json`] made; `None`: it is none of that.
    pub fn from_json(text: &str) -> Option<Splits> {
        let tables: BTreeMap<u32, Vec<String>> = serde_json::from_str(text).ok()?;
        let begins =
            |keys: &Vec<String>| keys.iter().map(|key| unhex(key.bytes())).collect::<Option<Vec<_>>>();
        let tables = tables.iter().map(|(oid, keys)| Some((*oid, begins(keys)?)));
        Some(Splits(tables.collect::<Option<_>>()?))
    }
}

/// A divided table's ranges.
pub(super) struct Ranges<'a> {
    begins: &'a [Vec<u8>],
    teller: Teller,
}

impl Ranges<'_> {
    /// The lane of this row; `None`: a value that is needed did not come, or is none of its type.
    pub fn lane(&mut self, row: &Tuple) -> Option<usize> {
        let key = self.teller.key(row)?;
        Some(self.begins.partition_point(|begin| begin.as_slice() <= key))
    }
}

#[cfg(test)]
mod tests;
