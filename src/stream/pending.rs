//! What a [`super::batcher::Batcher`] has collected and not handed out yet.
//!
//! Invariant: the changes of whole transactions come first, then those of the transaction that is under way, which can be set apart at the
//! [`Mark`] that was made when it began.

use super::batch::{Batch, Commit, Seam, Segment};
use super::change::{Change, ChangeKind};
use super::message::Truncate;
use super::net::fold;

/// The memory a change takes beside its row: itself, and its part in the net effect.
const OVERHEAD: usize = size_of::<Change>() + 96;

/// Changes that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pieces: Vec<Piece>,
    /// The last whole transaction.
    pub(super) ends: Option<Commit>,
    transactions: u64,
    /// Memory that they take, bytes.
    pub(super) bytes: usize,
    /// How many they are.
    pub(super) changes: usize,
    /// Where those of whole transactions end.
    seams: Vec<Seam>,
    /// How many there were the last time: room for as many is made at once, and not by moving them again and again.
    expected: usize,
}

#[derive(Debug)]
enum Piece {
    Rows { changes: Vec<Change>, closed: bool },
    Truncate(Truncate),
}

/// Where a transaction begins in what waits: pieces, changes in the last of them, bytes and changes in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pieces: usize,
    in_last: usize,
    bytes: usize,
    changes: usize,
}

impl Pending {
    /// Where what comes next begins.
    pub(super) fn mark(&self) -> Mark {
        let in_last = match self.pieces.last() {
            Some(Piece::Rows { changes, .. }) => changes.len(),
            _ => 0,
        };
        Mark { pieces: self.pieces.len(), in_last, bytes: self.bytes, changes: self.changes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The transaction under way is whole now; `changed`: something of it was collected.
    pub(super) fn end(&mut self, commit: Commit, changed: bool) {
        if changed {
            let Mark { pieces, in_last, changes, .. } = self.mark();
            self.transactions += 1;
            self.bytes += size_of::<Seam>();
            self.seams.push(Seam { segments: pieces, in_last, changes, commit });
        }
        self.ends = Some(commit);
    }

    pub(super) fn truncate(&mut self, truncate: Truncate) {
        self.pieces.push(Piece::Truncate(truncate));
        self.bytes += OVERHEAD;
        self.changes += 1;
    }

    pub(super) fn add(&mut self, change: Change) {
        self.bytes += OVERHEAD + change.kind.row_bytes();
        self.changes += 1;
        match self.pieces.last_mut() {
            Some(Piece::Rows { changes, closed: false }) => changes.push(change),
            _ => {
                let mut changes = Vec::with_capacity(self.expected);
                changes.push(change);
                self.pieces.push(Piece::Rows { changes, closed: false });
                self.expected = 0;
            }
        }
    }

    /// What waits; what comes next begins anew.
    pub(super) fn take(&mut self) -> Pending {
        let next = Pending { expected: self.changes, ..Pending::default() };
        std::mem::replace(self, next)
    }

    /// What comes next does not go into one segment with what came before.
    pub(super) fn close_segment(&mut self) {
        if let Some(Piece::Rows { closed, .. }) = self.pieces.last_mut() {
            *closed = true;
        }
    }

    /// What came after the mark.
    pub(super) fn split_off(&mut self, mark: Mark) -> Pending {
        let mut rest = Pending {
            bytes: self.bytes - mark.bytes,
            changes: self.changes - mark.changes,
            expected: mark.changes,
            ..Pending::default()
        };
        let later = self.pieces.split_off(mark.pieces.min(self.pieces.len()));
        if let Some(Piece::Rows { changes, closed }) = self.pieces.last_mut()
            && changes.len() > mark.in_last
        {
            rest.pieces.push(Piece::Rows { changes: changes.split_off(mark.in_last), closed: *closed });
        }
        rest.pieces.extend(later);
        (self.bytes, self.changes) = (mark.bytes, mark.changes);
        rest
    }

    pub(super) fn into_batch(self) -> Batch {
        let segments = self.pieces.into_iter().map(|piece| match piece {
            Piece::Rows { changes, .. } => {
                let net = fold(&changes);
                Segment::Rows { changes, net }
            }
            Piece::Truncate(truncate) => Segment::Truncate {
                relations: truncate.relations,
                restart_identity: truncate.restart_identity,
            },
        });
        Batch {
            segments: segments.collect(),
            ends: self.ends,
            transactions: self.transactions,
            bytes: self.bytes,
            seams: self.seams,
        }
    }
}

impl ChangeKind {
    /// Bytes of its rows.
    fn row_bytes(&self) -> usize {
        match self {
            ChangeKind::Insert { new } => new.len(),
            ChangeKind::Update { old, new } => new.len() + old.as_ref().map_or(0, |old| old.len()),
            ChangeKind::Delete { old } => old.len(),
        }
    }
}
