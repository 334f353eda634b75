//! Decoding: a thread of its own that turns frames into batches for the applier.
//!
//! While the applier is idle, what is complete is handed over at once; while it is busy, transactions gather, so that batches become as large
//! as the applier is slow. Invariants: at most [`AHEAD`] batches are with the applier, so memory is bounded; the thread waits only on
//! channels, and ends when any of them does.

use std::sync::Arc;

use crossbeam_channel::{Receiver as Source, select};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::batch::Batch;
use super::batcher::{Batcher, Dropped, Limits};
use super::decode::Decoder;
use super::error::StreamError;
use super::frame::{Frame, Frames};
use super::receive::ChunkSource;
use super::status::{Order, Status};
use crate::lsn::Lsn;

/// Batches that the applier may hold: one that it works on, and the next.
pub(super) const AHEAD: usize = 2;

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
    pub(super) status: Arc<Status>,
    pub(super) limits: Limits,
}

impl Decoding {
    /// Decodes until the chunks end, and hands over what is complete; a transaction that has not come whole is left out, or left
    /// unfinished. Ends early when nobody takes the batches.
    pub(super) fn run(self, mut batcher: Batcher) -> Result<(), StreamError> {
        let mut decoder = Decoder::new();
        let mut free = AHEAD;
        let mut told = batcher.settled();
        // Bytes of chunks that what is collected may keep in memory (a row is a slice of the chunk it came in), and those of
        // them that the transaction under way does.
        let (mut kept, mut kept_open) = (0, 0);
        loop {
            let full = batcher.is_full() || kept >= 2 * self.limits.bytes;
            let idle = self.chunks.source().is_empty();
            if free > 0 && (full || idle) {
                let batch = if full { batcher.take() } else { batcher.take_ready() };
                let settled = batcher.settled();
                if batch.is_some() || settled > told {
                    free -= 1;
                    told = settled;
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
            if full && free == 0 {
                if self.done.recv().is_err() {
                    return Ok(());
                }
                free += 1;
                continue;
            }
            select! {
                recv(self.done) -> done => match done {
                    Ok(()) => free += 1,
                    Err(_) => return Ok(()),
                },
                recv(self.chunks.source()) -> chunk => match chunk {
                    Ok(chunk) => {
                        self.chunks.took(&chunk);
                        let length = chunk.len();
                        let before = batcher.has_ready();
                        self.decode(chunk, &mut decoder, &mut batcher)?;
                        kept += length;
                        kept_open = if !before && batcher.has_ready() { length } else { kept_open + length };
                    }
                    Err(_) => break,
                },
            }
        }
        // The end: all that is complete, whatever the applier still has.
        loop {
            let batch = batcher.take_ready();
            let settled = batcher.settled();
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

    fn decode(
        &self,
        chunk: bytes::Bytes,
        decoder: &mut Decoder,
        batcher: &mut Batcher,
    ) -> Result<(), StreamError> {
        if let Order::Drain { limit, .. } = *self.orders.borrow() {
            batcher.set_limit(limit);
        }
        for frame in Frames::of(chunk) {
            let received = || self.status.received.get();
            match frame.map_err(|source| StreamError::Frame { received: received(), source })? {
                Frame::Keepalive { at, .. } => batcher.skip_to(at),
                Frame::Wal { at, payload } => {
                    let message = decoder.decode(payload, at)?;
                    match batcher.push(message).map_err(|source| StreamError::Batch { at, source })? {
                        None => {}
                        Some(Dropped::Ignored(n)) => self.status.ignored.add(n),
                        Some(Dropped::Late(changes)) => self.status.add_late(changes),
                    }
                }
            }
        }
        Ok(())
    }
}
