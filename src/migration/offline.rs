//! Offline: schema and data in one shot, for a maintenance window. Ends after Restore.
//!
//! Validate reads the catalogs in the transaction whose snapshot PrepareSnapshot then exports, so what was validated
//! is what Dump orders and Restore copies. Invariant: that transaction, its snapshot and its locks live to the end
//! of Restore, in one session, and end with it however the run ends.

use tokio::sync::watch;

use super::cancels::Cancels;
use super::check;
use super::tracker::Tracker;
use super::under_snapshot::{self, Prepared};
use super::{Config, Error, interrupted, leftover};
use crate::journal;
use crate::progress::{Phase, Reporter, Summary};
use crate::restore::Totals;
use crate::snapshot::Snapshot;

/// Runs an offline migration to its end. `shutdown` holds the number of interrupts so far: the first one stops the
/// work at once, cleanly.
///
/// # Errors
/// See [`Error`]; after any error the source holds nothing of ours, and the target either is untouched or has a
/// journal by which the same command clears it and starts over.
pub async fn run(
    config: Config,
    reporter: Reporter,
    mut shutdown: watch::Receiver<u32>,
) -> Result<Summary, Error> {
    let mut tracker = Tracker::new(reporter);
    let mut interrupts = shutdown.clone();
    let cancels = Cancels::default();
    let prepared = tokio::select! {
        prepared = prepare(&config, &mut tracker, &cancels) => Some(prepared?),
        Ok(_) = shutdown.wait_for(|&n| n > 0) => None,
    };
    let restored = match prepared {
        Some(prepared) => restore(&config, &mut tracker, prepared, &mut interrupts).await,
        None => Err(interrupted(&tracker, Totals::default())),
    };
    if matches!(restored, Err(Error::Interrupted { .. })) {
        cancels.all().await;
    }
    let totals = restored?;
    tracker.leave();
    Ok(tracker.summary(totals))
}

/// Validate, PrepareSnapshot, Dump: nothing is changed yet.
async fn prepare(config: &Config, tracker: &mut Tracker, cancels: &Cancels) -> Result<Prepared, Error> {
    tracker.enter(Phase::Validate);
    let (clear, (session, schema)) = check::examined(config, cancels, tracker).await?;
    tracker.enter(Phase::PrepareSnapshot);
    let snapshot = Snapshot::export(session).await.map_err(Error::Snapshot)?;
    tracker.enter(Phase::Dump);
    let target = config.target.connect().await?;
    cancels.add(&target);
    let steps = under_snapshot::order_steps(config, &schema, &target, tracker).await?;
    Ok(Prepared { snapshot, target, schema, steps, clear: clear || config.restore.drop_target_first })
}

async fn restore(
    config: &Config,
    tracker: &mut Tracker,
    prepared: Prepared,
    shutdown: &mut watch::Receiver<u32>,
) -> Result<Totals, Error> {
    let origin = leftover::origin(config, prepared.snapshot.session(), prepared.snapshot.id(), None).await?;
    let (totals, target) = under_snapshot::restore(config, tracker, prepared, origin, shutdown).await?;
    // The one synchronous commit: WAL is flushed in order, so all that was committed before is durable now.
    journal::drop_journal(&target).await?;
    Ok(totals)
}
