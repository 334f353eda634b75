//! Where the stream stands, and what it is asked to do: shared with the heartbeat and the cutover.
//!
//! Invariant: `received` ≥ `applied` ≥ `durable` ≥ `confirmed`; each only grows within one run of the stream.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::lsn::Lsn;

/// A position that several tasks read.
#[derive(Debug, Default)]
pub struct Position(AtomicU64);

impl Position {
    /// Where it stands.
    pub fn get(&self) -> Lsn {
        Lsn(self.0.load(Ordering::Acquire))
    }

    /// Moves it forward; never back.
    pub fn advance(&self, to: Lsn) {
        self.0.fetch_max(to.0, Ordering::AcqRel);
    }

    fn restart(&self, at: Lsn) {
        self.0.store(at.0, Ordering::Release);
    }
}

/// A number that several tasks add to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// Where the stream stands. Positions are ends of transactions, or of stretches of WAL without one of ours.
#[derive(Debug, Default)]
pub struct Status {
    /// Everything before it has arrived.
    pub received: Position,
    /// Everything before it is applied.
    pub applied: Position,
    /// Everything before it is flushed on the target.
    pub durable: Position,
    /// What the source was told.
    pub confirmed: Position,
    /// Transactions applied.
    pub transactions: Counter,
    /// Rows inserted.
    pub inserts: Counter,
    /// Rows updated.
    pub updates: Counter,
    /// Rows deleted.
    pub deletes: Counter,
    /// Tables truncated.
    pub truncates: Counter,
    /// Updates and deletes that found no row.
    pub missing: Counter,
    /// Changes to tables that do not take part.
    pub ignored: Counter,
    text_only: AtomicBool,
    sent_all: AtomicBool,
    late: Mutex<Late>,
    strangers: Mutex<Vec<String>>,
}

/// Transactions that committed after the position the stream was to be drained to; they are not applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// How many, empty ones not counted.
    pub transactions: u64,
    /// Changes by table, `schema.table`.
    pub changes: BTreeMap<String, u64>,
}

impl Status {
    /// A run of the stream begins at `at`. What is durable stays so; what an earlier run had received, or applied and not flushed, may
    /// be gone and comes again.
    pub(super) fn begin(&self, at: Lsn) {
        self.durable.advance(at);
        self.applied.restart(self.durable.get());
        self.received.restart(self.durable.get());
        self.set_sent_all(false);
        // START_REPLICATION tells it.
        self.confirmed.advance(at);
    }

    /// Whether the source has sent all that it has, as far as has been received.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sent_all.load(Ordering::Relaxed)
    }

    pub(super) fn set_sent_all(&self, sent_all: bool) {
        self.sent_all.store(sent_all, Ordering::Relaxed);
    }

    /// From the next run on, values come in text format.
    pub(super) fn only_text(&self) {
        self.text_only.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_text_only(&self) -> bool {
        self.text_only.load(Ordering::Relaxed)
    }

    pub(super) fn add_strangers(&self, tables: Vec<String>) {
        if !tables.is_empty() {
            self.strangers.lock().unwrap_or_else(PoisonError::into_inner).extend(tables);
        }
    }

    /// Tables that were changed and do not take part, `schema.table`, since this was last asked.
    pub fn take_strangers(&self) -> Vec<String> {
        std::mem::take(&mut *self.strangers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What came too late.
    pub fn late(&self) -> Late {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing has come too late: the stream begins anew.
    pub fn forget_late(&self) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Late::default();
    }

    /// Counts a transaction that came too late.
    pub fn add_late(&self, changes: BTreeMap<String, u64>) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.transactions += 1;
        for (table, n) in changes {
            *late.changes.entry(table).or_default() += n;
        }
    }
}

/// What the stream is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Apply whatever comes.
    #[default]
    Go,
    /// Apply what committed before `limit`, then only look: what comes after it is counted as late and not applied. The source
    /// is asked for its position often, so that `received` and `durable` reach `reach` (at least `limit`) soon.
    Drain {
        /// The first position that is not applied.
        limit: Lsn,
        /// The position the operator waits for.
        reach: Lsn,
    },
    /// End: what is complete is applied, made durable and confirmed; then the connections are closed.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_forgets_what_was_not_flushed() {
        let status = Status::default();
        status.begin(Lsn(10));
        status.received.advance(Lsn(50));
        status.applied.advance(Lsn(40));
        status.durable.advance(Lsn(30));
        status.begin(Lsn(20));
        let positions = [&status.received, &status.applied, &status.durable, &status.confirmed];
        assert_eq!(positions.map(Position::get), [Lsn(30), Lsn(30), Lsn(30), Lsn(20)]);
    }
}
