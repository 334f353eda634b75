//! The identity of rows as bytes, and a table of them.
//!
//! Invariant: two rows of one relation have the same key exactly where their identity columns' values are the same bytes.

use super::relation::Relation;
use super::tuple::{Datum, Tuple};

/// Which of a relation's columns tell its rows apart.
#[derive(Clone, Debug)]
pub struct KeyShape {
    /// Columns before the first of them.
    before: usize,
    /// From there to the last of them: whether each is one.
    columns: Vec<bool>,
    /// All of these are.
    together: bool,
}

impl KeyShape {
    /// `None`: there is no key, or the whole row is it.
    pub fn of(relation: &Relation) -> Option<KeyShape> {
        if !relation.has_key() {
            return None;
        }
        let first = relation.columns.iter().position(|c| c.key)?;
        let last = relation.columns.iter().rposition(|c| c.key)?;
        let columns: Vec<bool> = relation.columns.get(first..=last)?.iter().map(|c| c.key).collect();
        Some(KeyShape { before: first, together: columns.iter().all(|key| *key), columns })
    }

    /// The key of a row: a slice of it, or made in `scratch` where its columns do not stand together. `None` where one of them was
    /// not sent.
    pub fn key<'a>(&self, row: &'a Tuple, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let bytes = row.as_bytes();
        let mut start = 0;
        for _ in 0..self.before {
            start = end_of(bytes, start)?;
        }
        let mut at = start;
        scratch.clear();
        for key in &self.columns {
            let end = end_of(bytes, at)?;
            if *key {
                if bytes.get(at) == Some(&b'u') {
                    return None;
                }
                if !self.together {
                    scratch.extend_from_slice(bytes.get(at..end)?);
                }
            }
            at = end;
        }
        if self.together { bytes.get(start..at) } else { Some(scratch) }
    }

    /// The new row with those identity columns that were not sent as they are in the old one.
    pub fn complete(&self, new: &Tuple, old: &Tuple) -> Tuple {
        let is_key = |i: usize| {
            i.checked_sub(self.before).and_then(|i| self.columns.get(i)).copied().unwrap_or_default()
        };
        let values = new.iter().zip(old.iter()).enumerate();
        Tuple::of(values.map(|(i, (new, old))| if new == Datum::Unchanged && is_key(i) { old } else { new }))
    }
}

/// Puts rows in the order of their keys, by the first bytes of the values: the index's own order for fixed-width binary values (negative
/// numbers come after the others), near it for most text. Nothing but speed depends on it.
pub fn in_order<T>(rows: &mut Vec<T>, shape: &KeyShape, row: impl Fn(&T) -> &Tuple) {
    let mut scratch = Vec::new();
    let mut first = |each: &T| shape.key(row(each), &mut scratch).map_or(0, first_bytes);
    if rows.is_sorted_by_key(&mut first) {
        return;
    }
    let mut keyed: Vec<(u128, T)> = rows.drain(..).map(|each| (first(&each), each)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    rows.extend(keyed.into_iter().map(|(_, each)| each));
}

/// The first sixteen bytes of a key's values, one after the other, as a number.
fn first_bytes(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let (mut filled, mut at) = (0, 0);
    while filled < bytes.len()
        && let Some(end) = end_of(key, at)
    {
        let value = key.get(at + 5..end).unwrap_or_default();
        for (to, from) in bytes[filled..].iter_mut().zip(value) {
            *to = *from;
        }
        filled += value.len();
        at = end;
    }
    u128::from_be_bytes(bytes)
}

/// Where the value that begins at `at` ends.
fn end_of(bytes: &[u8], at: usize) -> Option<usize> {
    Some(match bytes.get(at)? {
        b't' | b'b' => {
            let length = bytes.get(at + 1..at + 5)?.first_chunk::<4>()?;
            at + 5 + u32::from_be_bytes(*length) as usize
        }
        _ => at + 1,
    })
}

/// Numbers keys in the order in which they come. Their bytes lie one after the other in one buffer; the table is open-addressed,
/// so a key costs no allocation of its own.
#[derive(Debug)]
pub struct Keys {
    bytes: Vec<u8>,
    /// Hash and end in `bytes`, by number.
    keys: Vec<(u64, usize)>,
    /// Numbers plus one, 0: free. A power of two, at most half full.
    slots: Vec<u32>,
}

impl Keys {
    /// For about this many keys.
    pub fn with_capacity(keys: usize) -> Keys {
        let slots = (keys * 2).next_power_of_two().max(8);
        Keys { bytes: Vec::with_capacity(keys * 16), keys: Vec::with_capacity(keys), slots: vec![0; slots] }
    }

    /// The number of this key; a new one gets the next.
    pub fn number(&mut self, key: &[u8]) -> usize {
        let hash = xxhash_rust::xxh3::xxh3_64(key);
        let slot = match self.find(hash, key) {
            Ok(number) => return number,
            Err(slot) => slot,
        };
        self.bytes.extend_from_slice(key);
        self.keys.push((hash, self.bytes.len()));
        self.slots[slot] = self.keys.len() as u32;
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        self.keys.len() - 1
    }

    /// The number of the key, or the slot it would take.
    fn find(&self, hash: u64, key: &[u8]) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let Some(number) = (self.slots[slot] as usize).checked_sub(1) else { return Err(slot) };
            let (other, end) = self.keys[number];
            if other == hash {
                let start = number.checked_sub(1).map_or(0, |before| self.keys[before].1);
                if self.bytes[start..end] == *key {
                    return Ok(number);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![0; mask + 1];
        for (number, (hash, _)) in self.keys.iter().enumerate() {
            let mut slot = *hash as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = number as u32 + 1;
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_keys() {
        let row =
            |a: i32, b: &[u8]| Tuple::of([Datum::Null, Datum::Binary(&a.to_be_bytes()), Datum::Text(b)]);
        let shape = KeyShape { before: 1, columns: vec![true, true], together: true };
        let sorted = [row(1, b"a"), row(1, b"b"), row(2, b""), row(2, b"a"), row(300, b"")];
        let mut rows = vec![&sorted[3], &sorted[0], &sorted[4], &sorted[2], &sorted[1]];
        in_order(&mut rows, &shape, |row| row);
        assert!(rows.into_iter().eq(&sorted));
        let long = |last: u8| [&[b'x'; 20][..], &[last]].concat();
        let (one, two) = (row(1, &long(1)), row(1, &long(2)));
        let mut alike = vec![two.clone(), one.clone()];
        in_order(&mut alike, &shape, |row| row);
        assert_eq!(alike, [two, one], "beyond the first bytes, as they came");
        let mut strange = vec![row(3, b"c"), Tuple::of([Datum::Null]), row(2, b"b")];
        in_order(&mut strange, &shape, |row| row);
        assert_eq!(strange, [Tuple::of([Datum::Null]), row(2, b"b"), row(3, b"c")]);
    }
}
