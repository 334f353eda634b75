//! The limit: a receiver that answers keepalives and throws the stream away.
//!
//! It looks at one byte of each message, to count what the others are then compared by. Nothing of the stream is kept or decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;

use super::{Course, Drained, Name, Patience};
use crate::bench::BenchError;
use crate::bench::measure::Meter;
use crate::error::Side;
use crate::lsn::Lsn;
use crate::pg::{Aside, SqlError, Wire};
use crate::schema::quote::quote_ident;
use crate::stream::frame::{FrameError, Then, front, status_update};
use crate::stream::pacing::{self, Pace};

const WHAT: &str = "receiving changes";
/// Positions are asked for this often.
const ASK: Duration = Duration::from_millis(20);
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH: i64 = 946_684_800_000_000;

/// What the backlog holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Rows inserted, updated and deleted.
    pub changes: u64,
    /// Transactions that hold any.
    pub transactions: u64,
    /// The end of the last transaction.
    pub last: Lsn,
    in_transaction: u64,
}

impl Survey {
    /// Looks at whole frames; returns whether a transaction ended among them.
    fn look(&mut self, frames: &[u8]) -> bool {
        let (mut rest, mut ended) = (frames, false);
        while let Some(length) = rest.get(1..5).and_then(|l| l.first_chunk::<4>()) {
            let whole = u32::from_be_bytes(*length) as usize + 1;
            let Some((frame, after)) = rest.split_at_checked(whole) else { break };
            rest = after;
            // A message of the plugin follows the 25 bytes of XLogData's header.
            match frame.get(5..).filter(|body| body.first() == Some(&b'w')).and_then(|body| body.get(25..)) {
                Some([b'I' | b'U' | b'D', ..]) => self.in_transaction += 1,
                // Flags, the commit's position, its end.
                Some([b'C', commit @ ..]) => {
                    self.changes += self.in_transaction;
                    self.transactions += u64::from(self.in_transaction > 0);
                    if self.in_transaction > 0 {
                        let end = commit.get(9..).and_then(|end| end.first_chunk::<8>());
                        self.last = end.map_or(self.last, |end| Lsn(u64::from_be_bytes(*end)));
                        ended = true;
                    }
                    self.in_transaction = 0;
                }
                _ => {}
            }
        }
        ended
    }
}

/// Receives everything up to `course.to`, on a thread of its own as pg_migrator does.
pub(crate) async fn drain(course: &Course) -> Result<(Drained, Survey), BenchError> {
    let course = course.clone();
    let received = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| SqlError::local(Side::Source, WHAT, e.to_string()))?;
        runtime.block_on(receive(&course))
    });
    received.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}

async fn receive(course: &Course) -> Result<(Drained, Survey), BenchError> {
    let position = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&position);
    let meter = Meter::start(course.watch, course.from.0, move || seen.load(Ordering::Relaxed));
    let started = Instant::now();
    let mut wire = course.source.connect_replication("UTF8").await?;
    pacing::open_window(&mut wire).await?;
    let sql = format!(
        "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names '{}')",
        quote_ident(&course.slot),
        quote_ident(&course.publication).replace('\'', "''"),
    );
    wire.start_replication("starting to stream", &sql).await?;
    let mut patience = Patience::new(Name::Receiver, course.to);
    let (mut survey, mut pace) = (Survey::default(), Pace::default());
    let (mut reached, mut finished, mut told) = (Lsn::ZERO, started, Instant::now());
    loop {
        let front = front(wire.buffer(), usize::MAX).map_err(|e| malformed(&wire, e))?;
        if front.frames > 0 {
            if survey.look(&wire.buffer()[..front.frames]) {
                finished = Instant::now();
            }
            let _ = wire.buffer_mut().split_to(front.frames);
            reached = reached.max(front.reached);
            position.store(reached.0, Ordering::Relaxed);
            if reached >= course.to {
                break;
            }
        }
        if front.then == Then::Other {
            match wire.take_aside(WHAT)? {
                Some(Aside::End | Aside::Ready) => {
                    return Err(SqlError::local(wire.side, WHAT, "the source ended the stream").into());
                }
                Some(_) => continue,
                None => {}
            }
        }
        if front.reply || told.elapsed() >= ASK {
            tell(&mut wire, reached).await?;
            told = Instant::now();
        }
        // A silent source is asked again.
        if let Ok(read) = timeout(ASK, pacing::read(&mut wire)).await {
            pace.gather(read.map_err(|e| SqlError::broken(wire.side, WHAT, &e))?);
        }
        patience.check(reached)?;
    }
    let trace = meter.stop();
    wire.close().await;
    Ok((Drained { time: finished - started, trace }, survey))
}

async fn tell(wire: &mut Wire, reached: Lsn) -> Result<(), SqlError> {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH;
    let update = status_update(reached, reached, now, true);
    wire.send(&update).await.map_err(|e| SqlError::broken(wire.side, WHAT, &e))
}

fn malformed(wire: &Wire, error: FrameError) -> SqlError {
    SqlError::local(wire.side, WHAT, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut body = vec![b'w'];
        body.extend([0; 24]);
        body.extend(message);
        let mut frame = vec![b'd'];
        frame.extend((body.len() as u32 + 4).to_be_bytes());
        frame.extend(body);
        frame
    }

    #[test]
    fn changes_are_counted_and_empty_transactions_are_not() {
        let commit = |end: u64| {
            let mut message = vec![b'C', 0];
            message.extend(7u64.to_be_bytes());
            message.extend(end.to_be_bytes());
            message.extend([0; 8]);
            frame(&message)
        };
        let mut stream = Vec::new();
        for message in [&b"B"[..], b"R", b"I", b"U", b"D"] {
            stream.extend(frame(message));
        }
        stream.extend(commit(100));
        stream.extend(frame(b"B"));
        let mut survey = Survey::default();
        assert!(survey.look(&stream));
        assert!(!survey.look(&commit(200)));
        assert_eq!((survey.changes, survey.transactions, survey.last), (3, 1, Lsn(100)));
    }
}
