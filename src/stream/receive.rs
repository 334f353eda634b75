//! Receiving: frames from the source's socket to the decoder, and feedback the other way.
//!
//! It sleeps between reads, so it has a thread to itself ([`super::receiving`]).
//! Invariants: it never waits for the decoder: while the channel to it is full it leaves the socket unread and goes on telling the
//! source that it lives (any message counts for `wal_sender_timeout`, asked for or not), with the position up to which the target has
//! flushed, and no other, as flushed and applied.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crossbeam_channel::{Receiver as Source, Sender, TrySendError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::error::StreamError;
use super::frame::{Then, front, status_update};
use super::pacing::{self, Pace};
use super::status::{Order, Status};
use crate::pg::{Aside, SqlError, Wire};

/// Largest run of frames passed on at once, bytes; a single frame may be larger.
const CHUNK: usize = 256 * 1024;
/// Chunks in the channel, however small.
const CHUNKS: usize = 1024;
/// Unprompted feedback while there is room, and while there is none: then the source's questions are not read.
const QUIET: Duration = Duration::from_secs(1);
const FULL: Duration = Duration::from_millis(200);
/// Positions are asked for this often while the stream is drained.
const DRAIN: Duration = Duration::from_millis(20);
/// Feedback is not sent more often than this, however often the target flushes.
const PACE: Duration = Duration::from_millis(10);
/// How long the source may take over the farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;
const WHAT: &str = "receiving changes";

/// The channel's load, bounded in bytes too.
#[derive(Debug)]
struct Load {
    bytes: AtomicUsize,
    most: usize,
    freed: Notify,
}

/// The receiver's end of the channel.
#[derive(Debug)]
pub(super) struct Chunks {
    sender: Sender<Bytes>,
    load: Arc<Load>,
}

/// The decoder's end.
#[derive(Debug)]
pub(super) struct ChunkSource {
    source: Source<Bytes>,
    load: Arc<Load>,
}

/// A channel of chunks of whole frames, of at most this many bytes (a larger chunk alone passes).
pub(super) fn channel(most: usize) -> (Chunks, ChunkSource) {
    let (sender, source) = crossbeam_channel::bounded(CHUNKS);
    let load = Arc::new(Load { bytes: AtomicUsize::new(0), most, freed: Notify::new() });
    (Chunks { sender, load: Arc::clone(&load) }, ChunkSource { source, load })
}

impl Chunks {
    /// Passes a chunk on; gives it back where there is no room. `Err`: nobody takes any more.
    pub(super) fn pass(&self, chunk: Bytes) -> Result<Option<Bytes>, ()> {
        let held = self.load.bytes.load(Ordering::Acquire);
        if held > 0 && held + chunk.len() > self.load.most {
            return Ok(Some(chunk));
        }
        self.load.bytes.fetch_add(chunk.len(), Ordering::AcqRel);
        let Err(refused) = self.sender.try_send(chunk) else { return Ok(None) };
        let (chunk, gone) = match refused {
            TrySendError::Full(chunk) => (chunk, false),
            TrySendError::Disconnected(chunk) => (chunk, true),
        };
        self.load.bytes.fetch_sub(chunk.len(), Ordering::AcqRel);
        if gone { Err(()) } else { Ok(Some(chunk)) }
    }
}

impl ChunkSource {
    /// For selecting; every chunk taken from it is to be [`ChunkSource::took`].
    pub(super) fn source(&self) -> &Source<Bytes> {
        &self.source
    }

    /// There is room again.
    pub(super) fn took(&self, chunk: &Bytes) {
        self.load.bytes.fetch_sub(chunk.len(), Ordering::AcqRel);
        self.load.freed.notify_one();
    }
}

/// What the receiver works with.
pub(super) struct Receiver {
    pub(super) wire: Wire,
    pub(super) slot: String,
    pub(super) publication: String,
    /// Values were asked for in binary format.
    pub(super) binary: bool,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) status: Arc<Status>,
    /// Told when `status.durable` has moved.
    pub(super) flushed: Arc<Notify>,
}

impl Receiver {
    /// Receives until the order is [`Order::Stop`] or nobody takes what comes; `applied` resolves when all that was passed on is
    /// applied or given up. Then the source is told the final position and the session ends.
    pub(super) async fn run(
        mut self,
        chunks: Chunks,
        applied: oneshot::Receiver<()>,
    ) -> Result<(), StreamError> {
        let load = Arc::clone(&chunks.load);
        let flushed = Arc::clone(&self.flushed);
        let mut chunks = Some(chunks);
        let mut applied = pin!(applied);
        let mut orders_left = true;
        // A chunk that found no room.
        let mut held: Option<Bytes> = None;
        // Frames may wait in the buffer from the reply to START_REPLICATION on.
        let mut unread = true;
        // Bytes of the last read.
        let mut read = None;
        let mut pace = Pace::default();
        let mut told = Instant::now();
        self.tell(false).await?;
        loop {
            let order = *self.orders.borrow_and_update();
            if order == Order::Stop {
                chunks = None;
                held = None;
            }
            while let Some(to) = chunks.as_ref().filter(|_| held.is_some() || unread) {
                let chunk = match held.take() {
                    Some(chunk) => chunk,
                    None => match self.whole_frames()? {
                        Some((chunk, reply)) => {
                            if reply {
                                self.tell(false).await?;
                                told = Instant::now();
                            }
                            chunk
                        }
                        None => {
                            unread = false;
                            break;
                        }
                    },
                };
                match to.pass(chunk) {
                    Ok(None) => {}
                    Ok(Some(back)) => {
                        held = Some(back);
                        break;
                    }
                    // The decoder has ended, and says why.
                    Err(()) => chunks = None,
                }
            }
            let reading = chunks.is_some() && held.is_none();
            if let Some(read) = read.take().filter(|_| reading) {
                pace.gather(read);
            }
            let behind = self.status.durable.get() > self.status.confirmed.get();
            let (pause, ask) = match order {
                _ if !reading => (FULL, false),
                Order::Drain { reach, .. } if self.status.applied.get() < reach => (DRAIN, true),
                _ => (QUIET, true),
            };
            let due = told + if behind { PACE.min(pause) } else { pause };
            tokio::select! {
                biased;
                _ = &mut applied => return self.farewell(order == Order::Stop).await,
                changed = self.orders.changed(), if orders_left => orders_left = changed.is_ok(),
                () = sleep_until(due) => {
                    self.tell(ask && told.elapsed() >= pause).await?;
                    told = Instant::now();
                }
                // Both only wake this loop, which then looks for itself.
                () = load.freed.notified(), if held.is_some() => {}
                () = flushed.notified() => {}
                filled = pacing::read(&mut self.wire), if reading => {
                    let bytes = filled.map_err(|e| self.failed(SqlError::broken(self.wire.side, WHAT, &e)))?;
                    unread = true;
                    read = Some(bytes);
                }
            }
        }
    }

    /// Splits whole frames off the buffer, and says whether one of them asks for a reply.
    fn whole_frames(&mut self) -> Result<Option<(Bytes, bool)>, StreamError> {
        loop {
            let front = front(self.wire.buffer(), CHUNK)
                .map_err(|source| StreamError::Frame { received: self.status.received.get(), source })?;
            if front.frames > 0 {
                let chunk = self.wire.buffer_mut().split_to(front.frames).freeze();
                self.status.received.advance(front.reached);
                self.status.set_sent_all(front.sent_all);
                return Ok(Some((chunk, front.reply)));
            }
            match front.then {
                Then::Unknown => return Ok(None),
                Then::Part(missing) => {
                    // At most so much in advance: a length may lie.
                    self.wire.buffer_mut().reserve(missing.min(8 << 20));
                    return Ok(None);
                }
                Then::Other => match self.wire.take_aside(WHAT).map_err(|e| self.failed(e))? {
                    None => return Ok(None),
                    Some(Aside::Parameter) => {}
                    Some(Aside::Notice(notice)) => self.heed(*notice)?,
                    Some(Aside::End | Aside::Ready) => {
                        return Err(StreamError::Ended { received: self.status.received.get() });
                    }
                },
            }
        }
    }

    /// PostgreSQL 18 passes over changes whose publication is missing with no more than a warning of this SQLSTATE
    /// (`LoadPublications` in `pgoutput.c`); older ones fail.
    fn heed(&self, notice: SqlError) -> Result<(), StreamError> {
        if notice.sqlstate.as_deref() == Some("55000") && notice.message.contains(&self.publication) {
            return Err(StreamError::Publication {
                publication: self.publication.clone(),
                received: self.status.received.get(),
                message: notice.message,
            });
        }
        tracing::warn!("{notice}");
        Ok(())
    }

    fn failed(&self, error: SqlError) -> StreamError {
        let received = self.status.received.get();
        // The elements of an array have no send function, which the array's own only finds out with a value.
        if self.binary && error.sqlstate.as_deref() == Some("42883") {
            return StreamError::Binary { received, source: Box::new(error) };
        }
        StreamError::of_stream(&self.slot, &self.publication, received, error)
    }

    /// Tells the source where we stand.
    async fn tell(&mut self, ask: bool) -> Result<(), StreamError> {
        let durable = self.status.durable.get();
        let received = self.status.received.get().max(durable);
        let update = status_update(received, durable, now(), ask);
        let sent = self.wire.send(&update).await;
        sent.map_err(|e| self.failed(SqlError::broken(self.wire.side, WHAT, &e)))?;
        self.status.confirmed.advance(durable);
        Ok(())
    }

    /// All is applied that will be: the last position, then the end of the stream, politely.
    async fn farewell(mut self, stopping: bool) -> Result<(), StreamError> {
        let told = self.tell(false).await;
        if !stopping {
            return told;
        }
        // Everything is applied: a source that does not hear of it any more will send it again to nobody's harm.
        let mut pace = Pace::default();
        let polite = async {
            self.wire.send(&Wire::copy_done_message()).await.ok()?;
            loop {
                // What still comes is not for us any more: it will be sent again to whoever goes on from here.
                let front = front(self.wire.buffer(), usize::MAX).ok()?;
                let _ = self.wire.buffer_mut().split_to(front.frames);
                if front.then == Then::Other {
                    match self.wire.take_aside(WHAT).ok()? {
                        Some(Aside::Ready) => return Some(()),
                        Some(_) => continue,
                        None => {}
                    }
                }
                // In the middle of a transaction it hears us only when it has sent all of that.
                pace.gather(pacing::read(&mut self.wire).await.ok()?);
            }
        };
        // The positions are with the source already; a walsender that is busy sending notices the end of the connection instead.
        let _ = timeout(FAREWELL, polite).await;
        self.wire.close().await;
        Ok(())
    }
}

/// Microseconds since 2000-01-01 UTC.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_bounded_in_bytes() {
        let (chunks, source) = channel(100);
        let chunk = |n| Bytes::from(vec![0; n]);
        assert_eq!(chunks.pass(chunk(60)), Ok(None));
        assert_eq!(chunks.pass(chunk(60)), Ok(Some(chunk(60))), "no room");
        let first = source.source().recv().unwrap();
        source.took(&first);
        assert_eq!(chunks.pass(chunk(600)), Ok(None), "alone, any chunk passes");
        assert_eq!(chunks.pass(chunk(1)), Ok(Some(chunk(1))));
        drop(source);
        assert!(chunks.pass(chunk(1)).is_ok(), "still loaded");
        let (chunks, source) = channel(100);
        drop(source);
        assert_eq!(chunks.pass(chunk(1)), Err(()));
    }
}
