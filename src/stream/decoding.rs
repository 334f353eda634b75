//! Decoding: a thread of its own that turns frames into batches for the applier.
//!
//! While the applier is idle, what is complete is handed over at once, and so is the beginning of a transaction that is long; while it is busy,
//! transactions gather, so that batches become as large as the applier is slow. Invariants: at most [`AHEAD`] batches are with the applier, so memory is bounded; the thread waits only on
//! channels, and ends when any of them does.

use crossbeam_channel::{Receiver as Source, TryRecvError, select};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::batch::Batch;
use super::batcher::Limits;
use super::error::StreamError;
use super::intake::Intake;
use super::pressure::Pressure;
use super::receive::ChunkSource;
use super::status::Order;
use crate::lsn::Lsn;

/// Batches that the applier may hold: one that it works on, and the next.
pub(super) const AHEAD: usize = 2;

/// Changes of a transaction that is still coming from which on an applier that has nothing else to do begins with it.
const PIECE: usize = 10_000;

/// What the applier is handed.
#[derive(Debug)]
pub(super) struct Handed {
    /// Changes; `None`: only the position has moved.
    pub(super) batch: Option<Batch>,
    /// Once the batch is applied, everything before it is.
    pub(super) settled: Lsn,
}

/// What the thread works with.
pub(super) struct Decoding {
    pub(super) chunks: ChunkSource,
    pub(super) batches: UnboundedSender<Handed>,
    /// One for each batch that the applier has done with.
    pub(super) done: Source<()>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) limits: Limits,
    pub(super) pressure: Pressure,
}

impl Decoding {
    /// Decodes until the chunks end, and hands over what is complete; a transaction that has not come whole is left out, or left
    /// unfinished, and so is one that is being read back when the stream is to stop. Ends early when nobody takes the batches.
    pub(super) fn run(mut self, mut intake: Intake) -> Result<(), StreamError> {
        let mut free = AHEAD;
        let mut told = intake.batcher.settled();
        // Rows of the batch that was handed over last.
        let mut last = 0;
        // Bytes of chunks that what is collected may keep in memory (a row is a slice of the chunk it came in), and those of
        // them that the transaction under way does.
        let (mut kept, mut kept_open) = (0, 0);
        loop {
            let done = intake.is_done();
            let batcher = &mut intake.batcher;
            let full = batcher.is_full() || kept >= 2 * self.limits.bytes;
            let idle = done && self.chunks.source().is_empty();
            // A large transaction is committed on the source when it comes, so the target need not wait for the rest of it.
            let begins = idle && free == AHEAD && batcher.waiting() >= PIECE;
            // Behind a batch that is being applied goes one that is as large, or none: each has a price of its own.
            let worth = free == AHEAD || batcher.waiting() >= last;
            if free > 0 && (full || idle && worth) {
                let batch = if full || begins { batcher.take() } else { batcher.take_ready() };
                let settled = batcher.settled();
                if batch.is_some() || settled > told {
                    free -= 1;
                    told = settled;
                    last = batch.as_ref().map_or(0, Batch::rows);
                    self.pressure.handed(last as u64, batcher.collected());
                    if self.batches.send(Handed { batch, settled }).is_err() {
                        return Ok(());
                    }
                    kept = if batcher.bytes() == 0 { 0 } else { kept.min(kept_open) };
                    continue;
                }
                if batcher.bytes() == 0 {
                    kept = 0;
                }
            }
            let (collected, waits) = (batcher.collected(), batcher.has_ready());
            if full && free == 0 {
                self.pressure.blocked();
                if self.done.recv().is_err() {
                    return Ok(());
                }
                free += 1;
                self.pressure.done(collected, waits);
                continue;
            }
            if done {
                select! {
                    recv(self.done) -> credit => match credit {
                        Ok(()) => {
                            free += 1;
                            self.pressure.done(collected, waits);
                        }
                        Err(_) => return Ok(()),
                    },
                    recv(self.chunks.source()) -> chunk => match chunk {
                        Ok(chunk) => {
                            self.chunks.took(&chunk);
                            intake.give(chunk);
                        }
                        Err(_) => break,
                    },
                }
                continue;
            }
            match self.done.try_recv() {
                Ok(()) => {
                    free += 1;
                    self.pressure.done(collected, waits);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            match *self.orders.borrow() {
                Order::Drain { limit, .. } => intake.batcher.set_limit(limit),
                // It may be long, and will be sent again.
                Order::Stop if intake.replays() => break,
                Order::Go | Order::Stop => {}
            }
            let before = intake.batcher.has_ready();
            let length = intake.step()?;
            kept += length;
            let fresh = !before && intake.batcher.has_ready();
            kept_open = if fresh { length } else { kept_open + length };
        }
        // The end: all that is complete, whatever the applier still has.
        loop {
            let batch = intake.batcher.take_ready();
            let settled = intake.batcher.settled();
            if batch.is_none() && settled <= told {
                return Ok(());
            }
            while free == 0 {
                if self.done.recv().is_err() {
                    return Ok(());
                }
                free += 1;
            }
            (free, told) = (free - 1, settled);
            if self.batches.send(Handed { batch, settled }).is_err() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
