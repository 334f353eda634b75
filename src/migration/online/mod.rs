//! Online: schema and data under the slot's snapshot, then the source's changes until cutover.
//!
//! ```text
//! Validate → PrepareSnapshot → Dump → Restore → StreamApply ⇄ CaughtUp → Cutover
//!  prepare ─────────────────────────────────┘    follow ────────────────┘ cut_over
//! ```
//!
//! The slot comes first, the snapshot it exports second; the copy sees that snapshot, the stream starts from that slot. Invariants:
//! from the moment StreamApply is in the journal the same command goes on from there; before it, whatever ends the run leaves no slot behind;
//! the slot is dropped only when everything before the drained position is durable on the target.

mod cut_over;
mod follow;
mod guard;
mod links;
mod prepare;

use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Config, Error, first_interrupt, interrupted};
use crate::progress::{Phase, Reporter, Summary};
use crate::restore::Totals;

/// Runs an online migration to its end, or goes on with one that was interrupted after StreamApply had begun. `shutdown` holds the number of
/// interrupts so far: the first one aborts before StreamApply, and cuts over from then on.
///
/// # Errors
/// See [`Error`]. Before StreamApply, nothing is left on the source; after it, the slot is kept and the same command goes on.
pub async fn run(
    config: Config,
    reporter: Reporter,
    mut shutdown: watch::Receiver<u32>,
) -> Result<Summary, Error> {
    let mut tracker = Tracker::new(reporter);
    let online = config.online.clone().unwrap_or_default();
    let mut totals = Totals::default();
    let resumed = tokio::select! {
        resumed = prepare::resume(&config, &online, &mut tracker) => resumed?,
        () = first_interrupt(&mut shutdown) => return Err(interrupted(&tracker, totals)),
    };
    let links = match resumed {
        Some(links) => links,
        None => Box::pin(prepare::start(&config, &online, &mut tracker, &mut shutdown, &mut totals)).await?,
    };
    tracker.enter(Phase::StreamApply);
    let stream = Box::pin(follow::follow(&config, &online, &mut tracker, links, &mut shutdown)).await;
    tracker.leave();
    let mut summary = tracker.summary(totals);
    summary.stream = Some(stream?);
    Ok(summary)
}
