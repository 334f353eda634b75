//! The pace at which a walsender's socket is read.
//!
//! A walsender sends each change by itself (`WalSndWriteData` in `walsender.c`), and where the other end waits for it, each costs both of them
//! a packet and a wake-up, more than the change does. So what comes is left to gather for a while, and meanwhile only a small window is
//! open: what the walsender sends beyond it stays in its own send buffer, which costs it a copy, and passes in large packets once there is
//! room (measured: from 2.4 to 0.7 s of system time of a walsender that sends a million deletes).
//! Invariants: what comes after a quiet time is read at once; through the small window passes as much as a walsender sends, for it is kept
//! small only where a round trip takes next to no time.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::pg::{SqlError, Wire};

/// Room to read into before more is made.
const SPARE: usize = 64 * 1024;
/// Bytes read before they are looked at.
const MOST: usize = 256 * 1024;
/// After so much there is more, or will be at once.
const MUCH: usize = 16 * 1024;
/// Less than this is a trickle: who waits for it is not to wait long.
const TRICKLE: usize = 4 * 1024;
const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_millis(6);
/// What the kernel holds unread of a source that is near. The kernel doubles it, and counts its own overhead in.
const UNREAD: usize = 32 * 1024;
/// A round trip of a source that is near: over 100 MB/s pass through the window.
const NEAR: Duration = Duration::from_micros(500);
/// Round trips looked at, where the first are slower.
const LOOKS: usize = 3;

/// Makes the window small where the source is near. Before the stream starts. What is asked, to see how long an answer takes, is the source's
/// encoding; that is returned.
///
/// # Errors
/// A broken connection.
pub(crate) async fn open_window(wire: &mut Wire) -> Result<Option<Bytes>, SqlError> {
    let mut encoding = None;
    for _ in 0..LOOKS {
        let started = Instant::now();
        let rows = wire.rows("asking for the source's encoding", "SHOW server_encoding").await?;
        encoding = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        if started.elapsed() < NEAR {
            if let Err(error) = wire.bound_unread(UNREAD) {
                tracing::debug!(%error, "the receive buffer keeps its size");
            }
            break;
        }
    }
    Ok(encoding)
}

/// Reads what is there, and waits for it where nothing is. Safe to cancel.
///
/// # Errors
/// A broken connection.
pub(crate) async fn read(wire: &mut Wire) -> io::Result<usize> {
    wire.fill_available(SPARE, MOST).await
}

/// How long to let bytes gather.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Much has come since the last pause.
    much: bool,
}

impl Pace {
    /// The pause after a read that brought this many bytes.
    fn pause(&mut self, came: usize) -> Option<Duration> {
        if came >= MUCH {
            self.much = true;
            return None;
        }
        let much = std::mem::take(&mut self.much);
        Some(if much || came >= TRICKLE { LONG } else { SHORT })
    }

    /// Lets bytes gather after a read that brought this many. The thread sleeps and not the task: a runtime that waits for the socket is
    /// woken by everything that comes.
    pub(crate) fn gather(&mut self, came: usize) {
        if let Some(pause) = self.pause(came) {
            std::thread::sleep(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_waits_shortly_and_the_end_of_a_burst_long() {
        let mut pace = Pace::default();
        let pauses: Vec<_> = [100, 5000, 100_000, 20_000, 100, 100].map(|came| pace.pause(came)).into();
        assert_eq!(pauses, [Some(SHORT), Some(LONG), None, None, Some(LONG), Some(SHORT)]);
    }
}
