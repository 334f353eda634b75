//! The state machine: the phases in order, their transitions, and the events that tell of them.
//!
//! Only this module knows the order Validate → PrepareSnapshot → Dump → Restore → StreamApply ⇄ CaughtUp → Cutover; the rooms do
//! not know each other. Invariant: nothing is changed on the target before Validate found no error, and whatever way a
//! migration ends, the source holds no transaction, snapshot or lock of ours, and no slot but the one that the journal names.

mod builder;
mod cancels;
pub mod check;
pub mod cleanup;
pub mod compare;
mod database;
mod error;
mod handle;
mod leftover;
mod lock_watch;
pub mod model;
pub mod offline;
pub mod online;
pub mod request;
mod roles;
pub mod slots;
mod tracker;
mod under_snapshot;

pub use builder::{BuildError, Migration, Offline, Online};
pub use error::Error;
pub use handle::{CutoverHandle, Events, Running};

use tokio::sync::watch;

use crate::config::{Filter, OnlineOptions, RestoreOptions};
use crate::pg::Server;
use crate::progress::{Reporter, Summary};

/// Everything a migration needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server that is read.
    pub source: Server,
    /// The server that is written.
    pub target: Server,
    /// Which schemas and tables take part.
    pub filter: Filter,
    /// What Restore may do.
    pub restore: RestoreOptions,
    /// The migration's name in the journal, and the subscription's.
    pub subscription_name: String,
    /// `--mode online` and its options; `None`: offline.
    pub online: Option<OnlineOptions>,
}

/// Runs a migration in its mode: see [`offline::run`] and [`online::run`].
///
/// # Errors
/// See [`Error`].
pub async fn run(
    config: Config,
    reporter: Reporter,
    shutdown: watch::Receiver<u32>,
) -> Result<Summary, Error> {
    match config.online {
        None => Box::pin(offline::run(config, reporter, shutdown)).await,
        Some(_) => Box::pin(online::run(config, reporter, shutdown)).await,
    }
}

fn interrupted(tracker: &tracker::Tracker, totals: crate::restore::Totals) -> Error {
    Error::Interrupted { phase: tracker.phase(), summary: Box::new(tracker.summary(totals)) }
}

/// Returns at the first interrupt; never, where nobody can interrupt any more.
async fn first_interrupt(shutdown: &mut watch::Receiver<u32>) {
    if shutdown.wait_for(|&n| n > 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}
