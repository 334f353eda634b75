//! The stream as a whole: receiver, decoder and applier, from the journal's position until it is told to stop.
//!
//! ```text
//! socket ─► receiver (thread) ─chunks─► decoding (thread) ─batches─► applier (task) ─► target
//!    ▲             ▲                                                    │
//!    └─feedback────┴────────────── Status: received ≥ applied ≥ durable ┘
//! ```
//!
//! Invariants: a position is `durable` only when the target has flushed all before it; an error anywhere ends all three, and what was
//! complete before it is applied first where that is possible. Dropping the future ends all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::apply::{Applied, Applier, ApplyError, ApplySetup};
use super::batcher::{Batcher, Limits};
use super::decoding::{AHEAD, Decoding, Handed};
use super::error::StreamError;
use super::in_progress::InProgress;
use super::intake::Intake;
use super::pressure::{Flag, Pressure};
use super::receive::channel;
use super::receiving::{Beginning, Receiving};
use super::status::{Order, Status};
use super::taken::Taken;
use crate::config::OnlineOptions;
use crate::journal::Progress;
use crate::lsn::Lsn;
use crate::pg::Server;
use crate::progress::Reporter;

/// Under load, what is applied is flushed this often.
const FLUSH: Duration = Duration::from_millis(500);
/// With nothing to apply, what is not flushed yet waits so long for more.
const GRACE: Duration = Duration::from_millis(5);
/// Changes of a batch from which on its commit does not wait for the disk for want of a next batch: it was long in coming, and the next may be here by then.
const LAZY_FROM: usize = 500;
/// Changes of a batch from which on more than one lane is worth the second round trip that it costs.
const SPREAD_FROM: usize = 500;
/// Changes in one batch. More fold better where the same rows change again, and leave more to one lane when the source has sent all.
const CHANGES: usize = 50_000;

/// What the stream works with.
#[derive(Clone, Debug)]
pub struct Input {
    /// The source.
    pub source: Server,
    /// The target.
    pub target: Server,
    /// The slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The migration's name in the journal.
    pub name: String,
    /// Where each lane stands.
    pub lanes: Vec<Progress>,
    /// How to apply.
    pub options: OnlineOptions,
    /// Which tables take part.
    pub relations: Taken,
    /// Hears of what is to be told.
    pub reporter: Reporter,
}

/// Streams from the source and applies to the target until the order is [`Order::Stop`].
///
/// # Errors
/// See [`StreamError`]. The journal then says where another run goes on; nothing is lost or repeated.
pub async fn run(
    input: Input,
    orders: watch::Receiver<Order>,
    status: Arc<Status>,
) -> Result<(), StreamError> {
    let start = Progress::least(&input.lanes);
    let mut receiving = {
        let binary = input.options.binary && !status.is_text_only();
        Receiving::connect(input.source.clone(), input.publication, binary).await?
    };
    let quarter = (input.options.apply_memory / 4).max(1 << 20);
    let limits = Limits { bytes: quarter, changes: CHANGES };
    let (chunks, chunk_source) = channel(quarter);
    let (batches, handed) = unbounded_channel();
    let (done, credits) = crossbeam_channel::bounded(AHEAD);
    let (applied, all_applied) = oneshot::channel();
    let (decoded, decoding_ended) = oneshot::channel();
    let flushed = Arc::new(Notify::new());
    let beginning = Beginning {
        slot: input.slot,
        start,
        orders: orders.clone(),
        status: Arc::clone(&status),
        flushed: Arc::clone(&flushed),
        chunks,
        applied: all_applied,
    };
    receiving.begin(beginning).await?;
    let setup = ApplySetup {
        name: input.name.clone(),
        lanes: input.lanes.clone(),
        jobs: input.options.lanes,
        spread_from: SPREAD_FROM,
        encoding: receiving.encoding.to_owned(),
        binary: receiving.binary,
        reporter: input.reporter.clone(),
    };
    // Meanwhile the source reads what it has to send.
    let applier = Applier::open(&input.target, setup).await?;
    let batcher = Batcher::new(&input.lanes, limits, input.relations);
    let in_progress = InProgress::new(quarter, std::env::temp_dir());
    let intake = Intake::new(batcher, in_progress, Arc::clone(&status));
    let pressure = Pressure::new(limits.changes);
    let pressed = pressure.flag();
    let decoding = Decoding { chunks: chunk_source, batches, done: credits, orders, limits, pressure };
    std::thread::Builder::new()
        .name("decode".to_owned())
        .spawn(move || {
            // Where nobody listens any more, nobody wants to know.
            let _ = decoded.send(decoding.run(intake));
        })
        .map_err(|e| StreamError::Thread(format!("cannot start a thread: {e}")))?;
    let mut applying = Applying {
        applier,
        pressed,
        status: Arc::clone(&status),
        flushed,
        last_flush: Instant::now(),
        unflushed: None,
        inside: None,
    };
    let apply = async {
        let result = applying.run(handed, done).await;
        if result.is_ok() {
            applying.applier.close().await;
        }
        // Only now may the receiver say farewell.
        let _ = applied.send(());
        result
    };
    let (applied, received) = tokio::join!(apply, receiving.ended());
    let refused = matches!(applied, Err(StreamError::Apply(ApplyError::Binary { .. })))
        || matches!(received, Err(StreamError::Binary { .. }));
    if refused {
        status.only_text();
    }
    // The cause comes first: when the applier fails, or the decoder, the others just end.
    applied?;
    decoding_ended
        .await
        .unwrap_or_else(|_| Err(StreamError::Thread("it ended without a word".to_owned())))?;
    received
}

/// The applier's task.
struct Applying {
    applier: Applier,
    /// What more lanes than one pay for.
    pressed: Flag,
    status: Arc<Status>,
    flushed: Arc<Notify>,
    last_flush: Instant,
    /// Applied up to here, and not all of it flushed.
    unflushed: Option<Lsn>,
    /// What was done of a source transaction that is not complete.
    inside: Option<Applied>,
}

impl Applying {
    /// Applies what is handed over, until there is no more; then all of it is flushed.
    async fn run(
        &mut self,
        mut handed: UnboundedReceiver<Handed>,
        done: crossbeam_channel::Sender<()>,
    ) -> Result<(), StreamError> {
        loop {
            let next = match handed.try_recv() {
                Ok(next) => Some(next),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => match timeout(GRACE, handed.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.flush().await?;
                        handed.recv().await
                    }
                },
            };
            let Some(next) = next else { break };
            self.apply(next, handed.is_empty()).await?;
            // There is room for all of them.
            let _ = done.try_send(());
        }
        self.flush().await
    }

    async fn apply(&mut self, next: Handed, last: bool) -> Result<(), StreamError> {
        let mut durable = self.unflushed.is_none();
        if let Some(batch) = next.batch {
            let (ends, transactions) = (batch.ends.is_some(), batch.transactions);
            if !ends {
                // What is before a transaction of many pieces is not to wait for its end.
                self.flush().await?;
            }
            let rows = batch.rows();
            durable = ends && (last && rows < LAZY_FROM || self.last_flush.elapsed() >= FLUSH);
            self.applier.press(self.pressed.pays(rows, self.status.has_sent_all()));
            let applied = self.applier.apply(batch, durable).await?;
            self.count(applied, ends);
            if !ends {
                return Ok(());
            }
            self.status.transactions.add(transactions);
        }
        self.status.applied.advance(next.settled);
        self.unflushed = Some(next.settled);
        if durable {
            self.is_flushed();
        }
        Ok(())
    }

    /// Makes durable what is not, unless a source transaction is under way.
    async fn flush(&mut self) -> Result<(), StreamError> {
        if self.unflushed.is_some() && self.inside.is_none() {
            self.applier.make_durable().await?;
            self.is_flushed();
        }
        Ok(())
    }

    fn is_flushed(&mut self) {
        if let Some(to) = self.unflushed.take() {
            self.status.durable.advance(to);
            self.flushed.notify_one();
        }
        self.last_flush = Instant::now();
    }

    /// Counts what was done once its transaction is complete.
    fn count(&mut self, applied: Applied, ends: bool) {
        let mut sum = self.inside.take().unwrap_or_default();
        sum.add(applied);
        if !ends {
            self.inside = Some(sum);
            return;
        }
        self.status.inserts.add(sum.inserts);
        self.status.updates.add(sum.updates);
        self.status.deletes.add(sum.deletes);
        self.status.truncates.add(sum.truncates);
        self.status.missing.add(sum.missing.iter().map(|m| m.updates + m.deletes).sum());
    }
}
