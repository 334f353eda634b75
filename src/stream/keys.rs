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
