//! The net effect of changes: what a segment leaves to do once the changes to one row are one.
//!
//! Rows are told apart by the bytes of their identity columns, as text. Text is stricter than SQL's equality (numeric 1.0 and
//! 1.00, citext, nondeterministic collations), and that is right:
//!
//! - The source names a row by the very bytes it has. It leaves the old key out only where the identity columns are the same byte
//!   for byte (`HeapDetermineColumnsInfo`), so 1.0 → 1.00 comes as a key change, and the chain of keys follows each row exactly.
//! - The identity is a unique, immediate index: at no time do two rows have keys that SQL calls equal. So the rows that
//!   were there before the segment differ from each other under SQL too, and so do those there after it.
//! - Deletes name rows that were there before, each once; updates name others of those, and leave their keys; inserts are
//!   rows of the end. So a delete or an update finds the one row it means, and when an insert meets a key that SQL calls equal
//!   to an old one, that old row is not there at the end: it is among the deletes, and they went first.
//!
//! The other way round (keys that differ, with one text) needs an output that loses something: the source is asked for exact
//! floats (`extra_float_digits`), and other types' texts are exact.
//!
//! Where the changes do not add up (an insert of a key that is there, an update of one that is gone), or a row to be inserted is not known whole,
//! nothing is guessed: the relation is [`Net::Serial`]. Other unique constraints than the identity are not looked at: their
//! end state is right, and where the way there meets itself (a swap) the target refuses the batch, and it is applied change by change.
//!
//! Deletes and updates are put in the order of their keys ([`in_order`]): neighbours are on the same pages of the target's index, and
//! mostly of its table. Inserts stay as they came, and so does the correlation of the table with the time.
//!
//! Invariant: where a relation is `Net::Rows`, deletes, then updates, then inserts give the rows that the changes give one by one.
//! A key change is a delete and an insert: this must not fire `ON DELETE` actions on the target.

use std::collections::hash_map;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::batch::{Net, RelationNet, Update};
use super::change::{Change, ChangeKind};
use super::keys::{KeyShape, Keys, in_order};
use super::relation::Relation;
use super::tuple::{Datum, Tuple};

/// Changes from which on relations are folded on several threads.
const PARALLEL: usize = 8192;

/// The net effect of these changes, relation by relation, in the order in which they first appear.
pub fn fold(changes: &[Change]) -> Vec<RelationNet> {
    let groups = group(changes);
    let net = |group: &Group| RelationNet { relation: Arc::clone(group.relation), net: group.net(changes) };
    if groups.len() > 1 && changes.len() >= PARALLEL {
        groups.par_iter().map(net).collect()
    } else {
        groups.iter().map(net).collect()
    }
}

/// One relation's changes.
struct Group<'a> {
    relation: &'a Arc<Relation>,
    indexes: Vec<u32>,
    inserts: usize,
    deletes: usize,
    /// Its columns change on the way: rows of different shapes are not to be mixed. The batcher does not let this happen.
    mixed: bool,
}

fn group(changes: &[Change]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_oid: FxHashMap<u32, usize> = FxHashMap::default();
    let mut last = usize::MAX;
    for (index, change) in changes.iter().enumerate() {
        let oid = change.relation.oid;
        if groups.get(last).is_none_or(|group| group.relation.oid != oid) {
            last = match by_oid.entry(oid) {
                hash_map::Entry::Occupied(known) => *known.get(),
                hash_map::Entry::Vacant(new) => {
                    groups.push(Group {
                        relation: &change.relation,
                        indexes: Vec::new(),
                        inserts: 0,
                        deletes: 0,
                        mixed: false,
                    });
                    *new.insert(groups.len() - 1)
                }
            };
        }
        let group = &mut groups[last];
        group.mixed |= !Arc::ptr_eq(group.relation, &change.relation) && **group.relation != *change.relation;
        match change.kind {
            ChangeKind::Insert { .. } => group.inserts += 1,
            ChangeKind::Delete { .. } => group.deletes += 1,
            ChangeKind::Update { .. } => {}
        }
        // A batch has far fewer changes than 2^32: its memory is bounded.
        group.indexes.push(index as u32);
    }
    groups
}

impl Group<'_> {
    fn net(&self, changes: &[Change]) -> Net {
        self.rows(changes).unwrap_or_else(|| Net::Serial(self.indexes.clone()))
    }

    /// `None`: only the changes themselves are right.
    fn rows(&self, changes: &[Change]) -> Option<Net> {
        if self.mixed {
            return None;
        }
        let mine = self.indexes.iter().map(|&i| &changes[i as usize].kind);
        // Only inserts, or only deletes: each is of another row.
        if self.inserts == self.indexes.len() {
            let inserts = mine.map(|kind| match kind {
                ChangeKind::Insert { new } if !new.has_unchanged() => Some(new.clone()),
                _ => None,
            });
            let inserts = inserts.collect::<Option<Vec<_>>>()?;
            return Some(Net::Rows { deletes: Vec::new(), updates: Vec::new(), inserts });
        }
        let shape = KeyShape::of(self.relation)?;
        if self.deletes == self.indexes.len() {
            let mut scratch = Vec::new();
            let deletes = mine.map(|kind| match kind {
                ChangeKind::Delete { old } => shape.key(old, &mut scratch).map(|_| old.clone()),
                _ => None,
            });
            let mut deletes = deletes.collect::<Option<Vec<_>>>()?;
            in_order(&mut deletes, &shape, |old| old);
            return Some(Net::Rows { deletes, updates: Vec::new(), inserts: Vec::new() });
        }
        let mut fold = Fold::new(changes, shape, self.indexes.len());
        self.indexes.iter().try_for_each(|&index| fold.change(index))?;
        Some(fold.finish())
    }
}

/// What is known of the row of one key.
#[derive(Clone, Copy)]
struct Row {
    /// Whether it was there before the segment.
    existed: bool,
    /// The change that took away the row that existed.
    removed: Option<u32>,
    now: Now,
}

/// The row of a key as it stands.
#[derive(Clone, Copy)]
enum Now {
    Gone,
    /// As this change's new row says.
    As(u32),
    /// As this of the merged rows says.
    Merged(u32),
}

/// The changes to one relation, one by one.
struct Fold<'a> {
    changes: &'a [Change],
    shape: KeyShape,
    keys: Keys,
    rows: Vec<Row>,
    merged: Vec<Tuple>,
    scratch: Vec<u8>,
    other: Vec<u8>,
}

impl<'a> Fold<'a> {
    fn new(changes: &'a [Change], shape: KeyShape, expected: usize) -> Fold<'a> {
        Fold {
            changes,
            shape,
            keys: Keys::with_capacity(expected),
            rows: Vec::with_capacity(expected),
            merged: Vec::new(),
            scratch: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Adds a change; `None`: the changes do not add up, or a row to be inserted is not known whole.
    fn change(&mut self, index: u32) -> Option<()> {
        let changes = self.changes;
        match &changes[index as usize].kind {
            ChangeKind::Insert { new } => {
                if new.has_unchanged() {
                    return None;
                }
                let at = self.keys.number(self.shape.key(new, &mut self.scratch)?);
                self.appear(at, Now::As(index))
            }
            ChangeKind::Delete { old } => {
                let at = self.keys.number(self.shape.key(old, &mut self.scratch)?);
                self.vanish(at, index).map(drop)
            }
            ChangeKind::Update { old: None, new } => {
                let at = self.keys.number(self.shape.key(new, &mut self.scratch)?);
                self.stay(at, new, Now::As(index))
            }
            ChangeKind::Update { old: Some(old), new } => {
                // A key too large to be sent with the new row is in the old one.
                let completed;
                let (new, now) = match self.shape.key(new, &mut self.scratch) {
                    Some(_) => (new, Now::As(index)),
                    None => {
                        completed = self.shape.complete(new, old);
                        self.merged.push(completed.clone());
                        (&completed, Now::Merged(self.merged.len() as u32 - 1))
                    }
                };
                let from = self.shape.key(old, &mut self.other)?;
                let to = self.shape.key(new, &mut self.scratch)?;
                if from == to {
                    let at = self.keys.number(to);
                    return self.stay(at, new, now);
                }
                let from = self.keys.number(from);
                let to = self.keys.number(to);
                let before = self.vanish(from, index)?;
                let now = self.merge(new, now, before);
                if self.tuple(now)?.has_unchanged() {
                    return None;
                }
                self.appear(to, now)
            }
        }
    }

    /// A row that was not there.
    fn appear(&mut self, at: usize, now: Now) -> Option<()> {
        match self.rows.get_mut(at) {
            None => self.rows.push(Row { existed: false, removed: None, now }),
            Some(row) if matches!(row.now, Now::Gone) => row.now = now,
            Some(_) => return None,
        }
        Some(())
    }

    /// A row that was there and is not; returns what is known of it.
    fn vanish(&mut self, at: usize, by: u32) -> Option<Now> {
        let Some(row) = self.rows.get_mut(at) else {
            self.rows.push(Row { existed: true, removed: Some(by), now: Now::Gone });
            return Some(Now::Gone);
        };
        let before = std::mem::replace(&mut row.now, Now::Gone);
        if row.existed && row.removed.is_none() {
            row.removed = Some(by);
        }
        (!matches!(before, Now::Gone)).then_some(before)
    }

    /// A row that changes under its key.
    fn stay(&mut self, at: usize, new: &Tuple, now: Now) -> Option<()> {
        let Some(&row) = self.rows.get(at) else {
            self.rows.push(Row { existed: true, removed: None, now });
            return Some(());
        };
        if matches!(row.now, Now::Gone) {
            return None;
        }
        let now = self.merge(new, now, row.now);
        self.rows[at].now = now;
        Some(())
    }

    /// The new row, its `Unchanged` values as they were.
    fn merge(&mut self, new: &Tuple, now: Now, before: Now) -> Now {
        let Some(before) = self.tuple(before).filter(|_| new.has_unchanged()) else { return now };
        let values = new.iter().zip(before.iter());
        let merged =
            Tuple::of(values.map(|(new, before)| if new == Datum::Unchanged { before } else { new }));
        self.merged.push(merged);
        Now::Merged(self.merged.len() as u32 - 1)
    }

    fn tuple(&self, now: Now) -> Option<&Tuple> {
        match now {
            Now::Gone => None,
            Now::Merged(at) => self.merged.get(at as usize),
            Now::As(index) => match &self.changes.get(index as usize)?.kind {
                ChangeKind::Insert { new } | ChangeKind::Update { new, .. } => Some(new),
                ChangeKind::Delete { .. } => None,
            },
        }
    }

    fn finish(self) -> Net {
        let (mut deletes, mut updates, mut inserts) = (Vec::new(), Vec::new(), Vec::new());
        for row in &self.rows {
            if let Some(old) = row.removed.and_then(|by| self.changes[by as usize].kind.old()) {
                deletes.push(old.clone());
            }
            if let Some(new) = self.tuple(row.now) {
                match row.existed && row.removed.is_none() {
                    true => updates.push(Update { new: new.clone() }),
                    false => inserts.push(new.clone()),
                }
            }
        }
        in_order(&mut deletes, &self.shape, |old| old);
        in_order(&mut updates, &self.shape, |update| &update.new);
        Net::Rows { deletes, updates, inserts }
    }
}

impl ChangeKind {
    fn old(&self) -> Option<&Tuple> {
        match self {
            ChangeKind::Insert { .. } => None,
            ChangeKind::Update { old, .. } => old.as_ref(),
            ChangeKind::Delete { old } => Some(old),
        }
    }
}

#[cfg(test)]
mod tests;
