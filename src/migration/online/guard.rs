//! The watch over the source's disk while the slot holds back WAL and nothing is streamed yet.
//!
//! Invariant: an interrupt and a slot that holds too much stop the work in the same way; which of them it was is told afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::links;
use crate::config::OnlineOptions;
use crate::migration::{Config, first_interrupt};

/// How often the slot is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Passes interrupts on, and interrupts by itself when the slot holds back more WAL than `--max-slot-wal`.
pub(super) struct Guard {
    stop: watch::Receiver<u32>,
    held: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Guard {
    /// Begins to watch.
    pub fn watch(config: &Config, online: &OnlineOptions, mut shutdown: watch::Receiver<u32>) -> Guard {
        let (sender, stop) = watch::channel(*shutdown.borrow());
        let held = Arc::new(AtomicU64::new(0));
        let (config, slot, limit) = (config.clone(), online.slot_name.clone(), online.max_slot_wal_bytes);
        let seen = Arc::clone(&held);
        let task = tokio::spawn(async move {
            tokio::select! {
                over = over_limit(&config, &slot, limit) => {
                    seen.store(over, Ordering::Release);
                    sender.send_modify(|n| *n += 1);
                }
                () = first_interrupt(&mut shutdown) => sender.send_modify(|n| *n += 1),
            }
            // The channel stays open: a closed one would look like nobody could interrupt any more.
            sender.closed().await;
        });
        Guard { stop, held, task }
    }

    /// Counts interrupts, of either kind.
    pub fn stop(&self) -> watch::Receiver<u32> {
        self.stop.clone()
    }

    /// The WAL the slot held when that was too much, bytes.
    pub fn tripped(&self) -> Option<u64> {
        match self.held.load(Ordering::Acquire) {
            0 => None,
            held => Some(held),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns once the slot holds more than `limit`; never, where there is no limit.
async fn over_limit(config: &Config, slot: &str, limit: Option<u64>) -> u64 {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut session = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let source = match session.take() {
            Some(session) => session,
            // A source that cannot be reached now is looked at again.
            None => match config.source.connect().await {
                Ok(session) => session,
                Err(_) => continue,
            },
        };
        match links::slot_state(&source, slot).await {
            Ok(state) if state.held.is_some_and(|held| held > limit) => {
                return state.held.unwrap_or_default();
            }
            Ok(_) => session = Some(source),
            Err(_) => {}
        }
    }
}
