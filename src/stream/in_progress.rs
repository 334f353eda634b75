//! Transactions in progress: what the source sends of them before they commit, kept until they do.
//!
//! From version 14 on the source sends a transaction that outgrows its `logical_decoding_work_mem` in blocks while it runs (protocol 2,
//! `streaming`; PostgreSQL manual, "Streaming of Large Transactions for Logical Decoding" and "Logical Replication Message Formats"). Here
//! its messages are put aside undecoded, without the transaction id that they carry inside a block, until Stream Commit: then they
//! are what they would have been in protocol 1, and [`super::intake`] reads them between a begin and a commit. So a large transaction
//! is on this machine when it commits, and nothing of it is on the target before.
//!
//! **Rolled back.** Subtransactions are nested in time: all that a transaction does between the first change of a subtransaction and
//! its end belongs to it or to one inside it. So Stream Abort of a subtransaction cuts off everything from its first message
//! on, as the server's own worker does (`stream_abort_internal` in `worker.c`); one that is unknown had nothing published.
//!
//! **Descriptions.** A table is described in every streamed transaction of its own, again after any of it was rolled back
//! (`get_schema_sent_in_streamed_txn`, `cleanup_rel_sync_cache` in `pgoutput.c`); so what is kept explains itself. When it
//! commits, the source takes its descriptions as known to us for everything that follows, unless the table was described to other
//! transactions since: the one that came last holds, in the order of arrival and not of commits. That order is kept here.
//!
//! **Positions.** A position that is confirmed to the source may pass a transaction in progress: a slot goes on from the beginning of the
//! oldest one that had not ended (`restart_lsn`), and what commits after the confirmed position is sent again whole. So nothing waits for these.
//!
//! Protocol 4 (`streaming 'parallel'`, from 16 on) adds positions to Stream Abort, for who applies before the commit. We do not:
//! what is rolled back in the end would be done and undone on the target, and locks held there for as long as it ran.
//!
//! Invariants: memory stays below the bound, but for one message and the slack of a block each; a transaction leaves with its commit or abort, and its file
//! with it; what the protocol forbids is an error.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::{Buf as _, Bytes};

use super::batch::Commit;
use super::held::{Held, Reading, SpillError};
use super::message::Begin;
use crate::lsn::Lsn;

/// Messages of transactions in progress that make no sense, or could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum InProgressError {
    /// Too short, too long, or with a value that has no meaning there.
    #[error("a message of kind {0:?} about a transaction in progress is malformed")]
    Malformed(char),
    /// What has no place between the start and the stop of a block.
    #[error("a message of kind {kind:?} came among the changes of transaction {xid}, which is in progress")]
    Inside {
        /// Its kind.
        kind: char,
        /// The transaction.
        xid: u32,
    },
    /// What has no place between a begin and a commit, or a stop without a start.
    #[error("a message of kind {0:?} came where no part of a transaction in progress may begin or end")]
    Misplaced(char),
    /// A transaction of which nothing has come.
    #[error(
        "a message of kind {kind:?} speaks of transaction {xid}, of which the source has sent no beginning"
    )]
    Unknown {
        /// Its kind.
        kind: char,
        /// The transaction.
        xid: u32,
    },
    /// A transaction of which something has come already.
    #[error("the source began to send transaction {0}, which is in progress, a second time")]
    Again(u32),
    /// The temporary file failed.
    #[error(transparent)]
    Spill(#[from] SpillError),
}

/// What became of a message.
#[derive(Debug)]
pub enum Came {
    /// It belongs to no transaction in progress: it is to be decoded.
    Message(Bytes),
    /// It was put aside, or has dropped what was.
    Aside,
    /// A transaction has committed: all of it is to be read now.
    Committed(Box<Whole>),
}

/// A transaction that was in progress and has committed.
#[derive(Debug)]
pub struct Whole {
    /// How it begins.
    pub begin: Begin,
    /// How it ends.
    pub commit: Commit,
    /// Its messages.
    pub(super) messages: Reading,
    /// The tables described in it, with the moment of the last description.
    pub(super) described: HashMap<u32, u64>,
}

/// The transactions in progress.
#[derive(Debug)]
pub struct InProgress {
    most: usize,
    dir: PathBuf,
    known: HashMap<u32, Transaction>,
    memory: usize,
    /// The one whose block is open.
    open: Option<u32>,
    /// Whether a transaction that comes whole is under way.
    ordinary: bool,
    /// When each table was last described outside of blocks, by OID.
    described: HashMap<u32, u64>,
    /// Descriptions so far.
    moment: u64,
}

#[derive(Debug)]
struct Transaction {
    held: Held,
    /// Subtransactions and the offsets of their first messages, ascending; and where each is in this list.
    first: Vec<(u32, u64)>,
    index: HashMap<u32, usize>,
    /// The (sub)transaction of the last message.
    last: u32,
    /// Tables described: OID, moment, offset.
    described: Vec<(u32, u64, u64)>,
}

impl InProgress {
    /// Keeps about `most` bytes in memory, and the rest in files in `dir`.
    pub fn new(most: usize, dir: PathBuf) -> InProgress {
        InProgress {
            most,
            dir,
            known: HashMap::new(),
            memory: 0,
            open: None,
            ordinary: false,
            described: HashMap::new(),
            moment: 0,
        }
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Transactions of which something is kept.
    pub fn transactions(&self) -> usize {
        self.known.len()
    }

    /// Takes the payload of an XLogData message that came with the position `at`.
    ///
    /// # Errors
    /// See [`InProgressError`].
    pub fn take(&mut self, at: Lsn, payload: Bytes) -> Result<Came, InProgressError> {
        let Some(&kind) = payload.first() else { return Ok(Came::Message(payload)) };
        match (kind, self.open) {
            (b'E', Some(_)) => {
                ended(&payload[1..], kind)?;
                self.open = None;
                Ok(Came::Aside)
            }
            (_, Some(xid)) => self.keep(at, kind, xid, &payload[1..]).map(|()| Came::Aside),
            (b'E', None) => Err(InProgressError::Misplaced('E')),
            (b'S' | b'c' | b'A', None) if self.ordinary => Err(InProgressError::Misplaced(kind.into())),
            (b'S', None) => self.start(payload.slice(1..)).map(|()| Came::Aside),
            (b'A', None) => self.abort(payload.slice(1..)).map(|()| Came::Aside),
            (b'c', None) => self.commit(payload.slice(1..)).map(|whole| Came::Committed(Box::new(whole))),
            _ => {
                match kind {
                    b'B' => self.ordinary = true,
                    b'C' => self.ordinary = false,
                    b'R' => {
                        if let Some(oid) = payload.get(1..).and_then(number) {
                            self.moment += 1;
                            self.described.insert(oid, self.moment);
                        }
                    }
                    _ => {}
                }
                Ok(Came::Message(payload))
            }
        }
    }

    /// A block begins: transaction, and whether it is its first.
    fn start(&mut self, mut body: Bytes) -> Result<(), InProgressError> {
        let malformed = |_| InProgressError::Malformed('S');
        let (xid, first) = (body.try_get_u32().map_err(malformed)?, body.try_get_u8().map_err(malformed)?);
        ended(&body, b'S')?;
        match (first, self.known.contains_key(&xid)) {
            (1, false) => {
                self.known.insert(xid, Transaction::new(xid));
            }
            (1, true) => return Err(InProgressError::Again(xid)),
            (0, true) => {}
            (0, false) => return Err(InProgressError::Unknown { kind: 'S', xid }),
            _ => return Err(InProgressError::Malformed('S')),
        }
        self.open = Some(xid);
        Ok(())
    }

    /// A message inside the open block of this transaction.
    fn keep(&mut self, at: Lsn, kind: u8, xid: u32, body: &[u8]) -> Result<(), InProgressError> {
        let unknown = InProgressError::Unknown { kind: kind.into(), xid };
        let transaction = self.known.get_mut(&xid).ok_or(unknown)?;
        let before = transaction.held.memory();
        match kind {
            b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' => {
                let malformed = InProgressError::Malformed(kind.into());
                let Some((own, rest)) = body.split_first_chunk::<4>() else { return Err(malformed) };
                transaction.enter(u32::from_be_bytes(*own), xid);
                if kind == b'R' {
                    self.moment += 1;
                    let oid = number(rest).ok_or(malformed)?;
                    transaction.described.push((oid, self.moment, transaction.held.end()));
                }
                transaction.held.add(at, kind, rest);
            }
            // The origin of the whole transaction: without an id of its own.
            b'O' => transaction.held.add(at, kind, body),
            _ => return Err(InProgressError::Inside { kind: kind.into(), xid }),
        }
        self.memory += transaction.held.memory() - before;
        if self.memory > self.most {
            self.spill()?;
        }
        Ok(())
    }

    /// Moves what takes the most memory to its file, until there is enough.
    fn spill(&mut self) -> Result<(), InProgressError> {
        while self.memory > self.most {
            let Some(largest) = self.known.values_mut().max_by_key(|t| t.held.memory()) else { break };
            let freed = largest.held.memory();
            largest.held.spill(&self.dir)?;
            self.memory -= freed;
        }
        Ok(())
    }

    /// A transaction or subtransaction was rolled back.
    fn abort(&mut self, mut body: Bytes) -> Result<(), InProgressError> {
        let malformed = |_| InProgressError::Malformed('A');
        let (xid, own) = (body.try_get_u32().map_err(malformed)?, body.try_get_u32().map_err(malformed)?);
        ended(&body, b'A')?;
        if own == xid {
            return self.leave(xid, 'A').map(drop);
        }
        let transaction = self.known.get_mut(&xid).ok_or(InProgressError::Unknown { kind: 'A', xid })?;
        let before = transaction.held.memory();
        transaction.roll_back(own, xid);
        self.memory -= before - transaction.held.memory();
        Ok(())
    }

    /// A transaction has committed.
    fn commit(&mut self, mut body: Bytes) -> Result<Whole, InProgressError> {
        let malformed = |_| InProgressError::Malformed('c');
        let (xid, flags) = (body.try_get_u32().map_err(malformed)?, body.try_get_u8().map_err(malformed)?);
        let mut position = || body.try_get_u64().map(Lsn).map_err(malformed);
        let (commit_lsn, end_lsn) = (position()?, position()?);
        let time = body.try_get_i64().map_err(malformed)?;
        ended(&body, b'c')?;
        if flags != 0 {
            return Err(InProgressError::Malformed('c'));
        }
        let transaction = self.leave(xid, 'c')?;
        Ok(Whole {
            begin: Begin { final_lsn: commit_lsn, time, xid },
            commit: Commit { commit_lsn, end_lsn, time },
            messages: transaction.held.read(&self.dir),
            described: transaction.described.iter().map(|(oid, moment, _)| (*oid, *moment)).collect(),
        })
    }

    fn leave(&mut self, xid: u32, kind: char) -> Result<Transaction, InProgressError> {
        let transaction = self.known.remove(&xid).ok_or(InProgressError::Unknown { kind, xid })?;
        self.memory -= transaction.held.memory();
        Ok(transaction)
    }

    /// Whether what a committed transaction said of a table at this moment holds for what follows; else what was said outside of
    /// it since does.
    pub(super) fn holds(&mut self, oid: u32, moment: u64) -> bool {
        let last = self.described.entry(oid).or_insert(moment);
        *last = moment.max(*last);
        *last == moment
    }
}

impl Transaction {
    fn new(xid: u32) -> Transaction {
        Transaction {
            held: Held::new(),
            first: Vec::new(),
            index: HashMap::new(),
            last: xid,
            described: Vec::new(),
        }
    }

    /// The next message is of this (sub)transaction.
    fn enter(&mut self, own: u32, xid: u32) {
        if own == self.last {
            return;
        }
        self.last = own;
        if own != xid && !self.index.contains_key(&own) {
            self.index.insert(own, self.first.len());
            self.first.push((own, self.held.end()));
        }
    }

    /// Drops what a subtransaction did, and those inside it.
    fn roll_back(&mut self, own: u32, xid: u32) {
        let Some(&index) = self.index.get(&own) else { return };
        let Some(&(_, offset)) = self.first.get(index) else { return };
        for (gone, _) in self.first.drain(index..) {
            self.index.remove(&gone);
        }
        while self.described.last().is_some_and(|(_, _, at)| *at >= offset) {
            self.described.pop();
        }
        self.held.cut(offset);
        self.last = xid;
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn ended(rest: &[u8], kind: u8) -> Result<(), InProgressError> {
    if rest.is_empty() { Ok(()) } else { Err(InProgressError::Malformed(kind.into())) }
}

#[cfg(test)]
mod tests;
