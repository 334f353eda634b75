//! The way in: frames through [`InProgress`] and [`Decoder`] into the [`Batcher`], step by step.
//!
//! A step is short in bytes however long a transaction is, so that the decoding thread hands out batches between steps: a transaction that
//! was kept until its commit is read back block by block, and is at no time in memory as a whole. Invariant: what a frame brings has gone into the batcher before the
//! next frame is looked at, so transactions get there in the order of their commits, whether they came whole or in parts.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::Commit;
use super::batcher::{Batcher, Dropped};
use super::decode::Decoder;
use super::error::StreamError;
use super::frame::{Frame, Frames};
use super::held::{Reading, record};
use super::in_progress::{Came, InProgress, Whole};
use super::message::Message;
use super::status::Status;
use crate::lsn::Lsn;

/// Reads what was received.
pub(super) struct Intake {
    frames: Frames,
    in_progress: InProgress,
    replay: Option<Replay>,
    decoder: Decoder,
    pub(super) batcher: Batcher,
    status: Arc<Status>,
}

/// A transaction that was in progress and has committed, as far as it has been read.
struct Replay {
    messages: Reading,
    commit: Commit,
    described: HashMap<u32, u64>,
    /// Knows the tables as this transaction describes them.
    decoder: Decoder,
}

impl Intake {
    pub(super) fn new(batcher: Batcher, in_progress: InProgress, status: Arc<Status>) -> Intake {
        let frames = Frames::of(Bytes::new());
        Intake { frames, in_progress, replay: None, decoder: Decoder::new(), batcher, status }
    }

    /// Whether all that was given has been read.
    pub(super) fn is_done(&self) -> bool {
        self.replay.is_none() && self.frames.left() == 0
    }

    /// Whether a transaction that was in progress is being read.
    pub(super) fn replays(&self) -> bool {
        self.replay.is_some()
    }

    /// The next chunk of whole frames, once the last one [`Intake::is_done`].
    pub(super) fn give(&mut self, chunk: Bytes) {
        self.frames = Frames::of(chunk);
    }

    /// Reads on a little. Says how many bytes what was collected may keep in memory, as a row is a slice of what it came in.
    pub(super) fn step(&mut self) -> Result<usize, StreamError> {
        match self.replay.take() {
            Some(replay) => self.replay(replay),
            None => self.read(),
        }
    }

    /// Reads frames, up to one that brings a whole transaction.
    fn read(&mut self) -> Result<usize, StreamError> {
        let length = self.frames.left();
        let mut slices = false;
        while let Some(frame) = self.frames.next() {
            let received = self.status.received.get();
            match frame.map_err(|source| StreamError::Frame { received, source })? {
                Frame::Keepalive { at, .. } => self.batcher.skip_to(at),
                Frame::Wal { at, payload } => {
                    let came = self.in_progress.take(at, payload);
                    match came.map_err(|e| StreamError::in_progress(at, e))? {
                        Came::Aside => {}
                        Came::Message(payload) => {
                            slices = true;
                            let message = self.decoder.decode(payload, at)?;
                            self.push(message, at)?;
                        }
                        Came::Committed(whole) => {
                            self.begin(*whole)?;
                            break;
                        }
                    }
                }
            }
        }
        Ok(if slices { length - self.frames.left() } else { 0 })
    }

    fn begin(&mut self, whole: Whole) -> Result<(), StreamError> {
        let Whole { begin, commit, messages, described } = whole;
        self.push(Message::Begin(begin), commit.end_lsn)?;
        self.replay = Some(Replay { messages, commit, described, decoder: self.decoder.clone() });
        Ok(())
    }

    /// Reads a block of a transaction, or its end.
    fn replay(&mut self, mut replay: Replay) -> Result<usize, StreamError> {
        let Some(mut block) = replay.messages.next()? else {
            self.end(replay)?;
            return Ok(0);
        };
        let length = block.len();
        while let Some((at, payload)) = record(&mut block) {
            let message = replay.decoder.decode(payload, at)?;
            self.push(message, at)?;
        }
        if !block.is_empty() {
            return Err(replay.messages.damaged().into());
        }
        self.replay = Some(replay);
        Ok(length)
    }

    fn end(&mut self, replay: Replay) -> Result<(), StreamError> {
        let at = replay.commit.end_lsn;
        self.push(Message::Commit(replay.commit), at)?;
        for (oid, moment) in replay.described {
            if self.in_progress.holds(oid, moment) {
                self.decoder.adopt(&replay.decoder, oid);
            } else if let Some(relation) = self.decoder.described(oid) {
                // The batcher has just heard the older one.
                self.push(Message::Relation(relation), at)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, message: Message, at: Lsn) -> Result<(), StreamError> {
        match self.batcher.push(message).map_err(|source| StreamError::Batch { at, source })? {
            None => {}
            Some(Dropped::Ignored(n)) => {
                self.status.ignored.add(n);
                self.status.add_strangers(self.batcher.take_strangers());
            }
            Some(Dropped::Late(changes)) => self.status.add_late(changes),
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
