//! Messages → [`Batch`]es: whole transactions in commit order, or pieces of one that is too large for memory.
//!
//! What is not to be applied is dropped as it comes: transactions that a lane's position covers, tables that do not take part,
//! and, once there is a limit, transactions that committed at or after it; those are counted by table.
//!
//! Invariants: a transaction of which anything was collected is handed out whole, whatever limit is set later, so what is applied
//! is always a prefix of the source's commits. No batch reaches over a lane's position: on replay it is behind a lane or ahead of it,
//! never both. A segment of rows holds one version of each table and one table of each name.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::batch::{Batch, Commit};
use super::change::Change;
use super::message::{Begin, Message, Truncate};
use super::pending::{Mark, Pending};
use super::relation::Relation;
use super::taken::Taken;
use crate::journal::Progress;
use crate::lsn::Lsn;

/// Sizes from which on a batch is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the changes collected, bytes.
    pub bytes: usize,
    /// Changes collected.
    pub changes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 16 << 20, changes: 100_000 }
    }
}

/// What became of a message that was not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Changes (a TRUNCATE: tables) that do not take part.
    Ignored(u64),
    /// A transaction that committed at or after the limit, whole: its changes by `schema.table`. Empty ones are not reported.
    Late(BTreeMap<String, u64>),
}

/// Messages that are no sequence of transactions in commit order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A change without a transaction.
    #[error("the source sent a {0} outside of a transaction")]
    Outside(&'static str),
    /// A transaction inside another.
    #[error(
        "the source began the transaction that commits at {inner} inside the one that commits at {outer}"
    )]
    Nested {
        /// The first.
        outer: Lsn,
        /// The second.
        inner: Lsn,
    },
    /// Begin and commit that do not belong together.
    #[error("the source ended a transaction at {found} that it announced to end at {announced}")]
    Mismatch {
        /// By its begin message.
        announced: Lsn,
        /// By its commit message.
        found: Lsn,
    },
    /// Not in commit order.
    #[error("the source sent the transaction that commits at {next} after the one that committed at {last}")]
    Order {
        /// The one before.
        last: Lsn,
        /// The one that came.
        next: Lsn,
    },
}

/// Collects changes until they are taken.
#[derive(Debug)]
pub struct Batcher {
    limits: Limits,
    taken: Taken,
    /// Transactions whose commit record begins before it are in every lane. An end and not a commit: nothing has committed at the
    /// slot's consistent point, where lanes begin, and the first commit record to be applied may begin exactly there.
    start: Lsn,
    /// The ends of lanes after `start`, ascending: batches end there.
    barriers: VecDeque<Lsn>,
    limit: Option<Lsn>,
    /// The first transaction that came too late.
    late: Option<Lsn>,
    relations: FxHashMap<u32, Known>,
    /// Tables that do not take part and were changed all the same, since they were last asked for.
    strangers: Vec<String>,
    names: HashMap<(String, String), u32>,
    /// The table of the last change, and whether it takes part: the next change's, most often.
    last: Option<(u32, bool)>,
    /// Whole batches that a barrier closed.
    closed: VecDeque<Pending>,
    pending: Pending,
    open: Option<Open>,
    last_commit: Lsn,
    collected: u64,
    /// The source has sent all that commits before it.
    quiet: Lsn,
    /// All before it was handed out.
    settled: Lsn,
}

/// A table as it was last described.
#[derive(Debug)]
struct Known {
    relation: Arc<Relation>,
    taken: bool,
    /// It is among those that [`Batcher::take_strangers`] gave.
    told: bool,
}

/// The transaction that is being received.
#[derive(Debug)]
struct Open {
    begin: Begin,
    fate: Fate,
    /// Whether anything of it was collected.
    collected: bool,
    /// Where it begins in what is pending.
    mark: Mark,
    late: BTreeMap<u32, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Collect,
    Skip,
    Late,
}

impl Batcher {
    /// For lanes that stand here; with none, for everything.
    pub fn new(lanes: &[Progress], limits: Limits, taken: Taken) -> Batcher {
        let mut barriers: Vec<Lsn> = lanes.iter().map(|lane| lane.end_lsn).collect();
        barriers.sort();
        barriers.dedup();
        let start = if barriers.is_empty() { Lsn::ZERO } else { barriers.remove(0) };
        Batcher {
            limits,
            taken,
            start,
            barriers: barriers.into(),
            limit: None,
            late: None,
            relations: FxHashMap::default(),
            strangers: Vec::new(),
            names: HashMap::new(),
            last: None,
            closed: VecDeque::new(),
            pending: Pending::default(),
            open: None,
            last_commit: Lsn::ZERO,
            collected: 0,
            quiet: Lsn::ZERO,
            settled: Progress::least(lanes),
        }
    }

    /// From here on, transactions that commit at or after `limit` are not collected but counted. One that is collected already, or in part,
    /// is still handed out.
    pub fn set_limit(&mut self, limit: Lsn) {
        self.limit = Some(limit);
    }

    /// The source says that it has sent all that commits before `at` (a keepalive).
    pub fn skip_to(&mut self, at: Lsn) {
        let at = self.open.as_ref().map_or(at, |open| at.min(open.begin.final_lsn));
        self.quiet = self.quiet.max(at);
        self.settle();
    }

    /// Once all batches that were taken are applied, everything before this position is. It stays at the first late transaction.
    pub fn settled(&self) -> Lsn {
        self.settled
    }

    /// Whether nothing waits to be taken, nor is a transaction under way.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && !self.has_ready()
    }

    /// Whether whole transactions, empty ones too, wait to be taken.
    pub fn has_ready(&self) -> bool {
        !self.closed.is_empty() || self.pending.ends.is_some()
    }

    /// Whether so much was collected that [`Batcher::take`] is due.
    pub fn is_full(&self) -> bool {
        !self.closed.is_empty()
            || self.pending.bytes >= self.limits.bytes
            || self.pending.changes >= self.limits.changes
    }

    /// Changes that wait, those of the transaction under way too.
    pub fn waiting(&self) -> usize {
        self.pending.changes
    }

    /// Rows collected since the beginning.
    pub fn collected(&self) -> u64 {
        self.collected
    }

    /// Memory that what waits takes, bytes.
    pub fn bytes(&self) -> usize {
        self.pending.bytes + self.closed.iter().map(|pending| pending.bytes).sum::<usize>()
    }

    /// Collects a message, or says what was dropped.
    pub fn push(&mut self, message: Message) -> Result<Option<Dropped>, BatchError> {
        match message {
            Message::Begin(begin) => self.begin(begin).map(|()| None),
            Message::Commit(commit) => self.commit(commit),
            Message::Relation(relation) => {
                self.describe(relation);
                Ok(None)
            }
            Message::Change(change) => self.change(change),
            Message::Truncate(truncate) => self.truncate(truncate),
            Message::Type { .. } | Message::Origin { .. } | Message::Logical { .. } => Ok(None),
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<(), BatchError> {
        let next = begin.final_lsn;
        if let Some(open) = &self.open {
            return Err(BatchError::Nested { outer: open.begin.final_lsn, inner: next });
        }
        if next <= self.last_commit {
            return Err(BatchError::Order { last: self.last_commit, next });
        }
        let fate = match self.limit {
            _ if next < self.start => Fate::Skip,
            Some(limit) if next >= limit => Fate::Late,
            _ => Fate::Collect,
        };
        while self.barriers.front().is_some_and(|barrier| *barrier <= next) {
            self.barriers.pop_front();
            if self.pending.ends.is_some() {
                self.closed.push_back(self.pending.take());
            }
        }
        let mark = self.pending.mark();
        self.open = Some(Open { begin, fate, collected: false, mark, late: BTreeMap::new() });
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<Option<Dropped>, BatchError> {
        let open = self.open.take().ok_or(BatchError::Outside("commit"))?;
        let (announced, found) = (open.begin.final_lsn, commit.commit_lsn);
        if announced != found {
            return Err(BatchError::Mismatch { announced, found });
        }
        self.last_commit = commit.commit_lsn;
        match open.fate {
            Fate::Collect => {
                self.pending.end(commit, open.collected);
                Ok(None)
            }
            Fate::Late if !open.late.is_empty() => {
                self.late.get_or_insert(open.begin.final_lsn);
                let mut tables = BTreeMap::new();
                for (oid, count) in open.late {
                    let name = self.relations.get(&oid).map(|known| known.relation.identity_name());
                    *tables.entry(name.unwrap_or_else(|| oid.to_string())).or_default() += count;
                }
                Ok(Some(Dropped::Late(tables)))
            }
            Fate::Late | Fate::Skip => {
                self.quiet = self.quiet.max(commit.end_lsn);
                self.settle();
                Ok(None)
            }
        }
    }

    /// A table's columns. If they differ from those that its rows in the open segment have, or its name was another table's,
    /// that segment ends.
    fn describe(&mut self, relation: Arc<Relation>) {
        let name = (relation.namespace.clone(), relation.name.clone());
        let named = self.names.insert(name, relation.oid);
        let known = self.relations.get(&relation.oid);
        // A table that is renamed is still the one that was copied, whatever a filter says to its new name.
        let taken = known.is_some_and(|known| known.taken) || self.taken.takes(&relation);
        let told = known.is_some_and(|known| known.told);
        if known.is_some_and(|known| Arc::ptr_eq(&known.relation, &relation)) && named == Some(relation.oid) {
            return;
        }
        let changed = known.is_some_and(|known| *known.relation != *relation);
        if changed || named.is_some_and(|oid| oid != relation.oid) {
            // What is complete is a batch by itself: where the target does not fit the new columns yet, the changes to the old ones must
            // be done before the operator makes it fit.
            self.close_whole();
            self.pending.close_segment();
        }
        self.relations.insert(relation.oid, Known { relation, taken, told });
        self.last = None;
    }

    fn takes(&self, relation: &Relation) -> bool {
        self.relations.get(&relation.oid).map_or_else(|| self.taken.takes(relation), |known| known.taken)
    }

    fn change(&mut self, change: Change) -> Result<Option<Dropped>, BatchError> {
        let oid = change.relation.oid;
        let taken = match self.last {
            Some((last, taken)) if last == oid => taken,
            _ => self.takes(&change.relation),
        };
        self.last = Some((oid, taken));
        let open = self.open.as_mut().ok_or(BatchError::Outside("row change"))?;
        match open.fate {
            Fate::Skip => {}
            _ if !taken => {
                self.note_stranger(oid);
                return Ok(Some(Dropped::Ignored(1)));
            }
            Fate::Late => *open.late.entry(oid).or_default() += 1,
            Fate::Collect => {
                open.collected = true;
                self.collected += 1;
                self.pending.add(change);
            }
        }
        Ok(None)
    }

    fn note_stranger(&mut self, oid: u32) {
        if let Some(known) = self.relations.get_mut(&oid).filter(|known| !known.told) {
            known.told = true;
            self.strangers.push(known.relation.identity_name());
        }
    }

    /// Tables that were changed and do not take part, `schema.table`, each once.
    pub fn take_strangers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.strangers)
    }

    fn truncate(&mut self, mut truncate: Truncate) -> Result<Option<Dropped>, BatchError> {
        let all = truncate.relations.len();
        truncate.relations.retain(|relation| self.takes(relation));
        let ignored = (all - truncate.relations.len()) as u64;
        let open = self.open.as_mut().ok_or(BatchError::Outside("TRUNCATE"))?;
        match open.fate {
            Fate::Skip => return Ok(None),
            Fate::Late => {
                for relation in &truncate.relations {
                    *open.late.entry(relation.oid).or_default() += 1;
                }
            }
            Fate::Collect if truncate.relations.is_empty() => {}
            Fate::Collect => {
                open.collected = true;
                self.pending.truncate(truncate);
            }
        }
        Ok((ignored > 0).then_some(Dropped::Ignored(ignored)))
    }

    /// All whole transactions that wait, up to a lane's position; `None`: there is none.
    pub fn take_ready(&mut self) -> Option<Batch> {
        if self.closed.is_empty() {
            self.close_whole();
        }
        let ready = self.closed.pop_front()?;
        if let Some(ends) = ready.ends {
            self.settled = self.settled.max(ends.end_lsn);
        }
        self.settle();
        Some(ready.into_batch())
    }

    /// Sets the whole transactions that wait apart from the one that is under way.
    fn close_whole(&mut self) {
        if self.pending.ends.is_none() {
            return;
        }
        let mark = self.open.as_ref().map_or_else(|| self.pending.mark(), |open| open.mark);
        let rest = self.pending.split_off(mark);
        if let Some(open) = &mut self.open {
            open.mark = Mark::default();
        }
        self.closed.push_back(std::mem::replace(&mut self.pending, rest));
    }

    /// What [`Batcher::take_ready`] gives or, where there is none, what has come of the transaction that is under way: a batch
    /// without [`Batch::ends`]. `None`: nothing has come, or lanes stand apart behind it: what only some of them lack is not cut, as it was not when
    /// the others got it.
    pub fn take(&mut self) -> Option<Batch> {
        if self.has_ready() {
            return self.take_ready();
        }
        if self.pending.is_empty() || !self.barriers.is_empty() {
            return None;
        }
        if let Some(open) = &mut self.open {
            open.mark = Mark::default();
        }
        Some(self.pending.take().into_batch())
    }

    /// Moves the settled position on where nothing before it waits.
    fn settle(&mut self) {
        if !self.has_ready() {
            let to = self.late.map_or(self.quiet, |late| self.quiet.min(late));
            self.settled = self.settled.max(to);
        }
    }
}

#[cfg(test)]
mod tests;
