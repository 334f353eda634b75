//! From nothing to StreamApply: the slot, the copy under its snapshot, the stream's place in the journal.
//!
//! Invariant: the slot is in the target's journal before it is on the source; if this does not reach StreamApply, it is on neither
//! when it ends, or a warning says where it still is.

use std::time::Duration;

use tokio::sync::watch;

use super::guard::Guard;
use super::links::{self, Links};
use crate::config::OnlineOptions;
use crate::dump;
use crate::journal::{self, SlotRecord};
use crate::migration::cancels::Cancels;
use crate::migration::check;
use crate::migration::cleanup::{self, Cleanup, CleanupError, TargetObjects};
use crate::migration::lock_watch;
use crate::migration::tracker::Tracker;
use crate::migration::under_snapshot::{self, Prepared};
use crate::migration::{Config, Error, first_interrupt, interrupted, leftover};
use crate::pg::{BEGIN_READER, Session, import_snapshot};
use crate::progress::{Event, Phase};
use crate::restore::Totals;
use crate::schema::{bridge, leave_publication};
use crate::snapshot::{self, ReplicationSlot, Snapshot};
use crate::validate::Finding;

/// How long leaving nothing behind may take, once the migration has failed or was interrupted.
const TIDY: Duration = Duration::from_secs(20);

/// What has been made on the source, and must go if StreamApply is not reached.
#[derive(Debug, Default)]
struct Made {
    slot: bool,
    publication: bool,
}

/// Runs everything up to StreamApply.
pub(super) async fn start(
    config: &Config,
    online: &OnlineOptions,
    tracker: &mut Tracker,
    shutdown: &mut watch::Receiver<u32>,
    totals: &mut Totals,
) -> Result<Links, Error> {
    let cancels = Cancels::default();
    let mut made = Made::default();
    let guard = Guard::watch(config, online, shutdown.clone());
    let (mut stop, mut stopped) = (guard.stop(), guard.stop());
    let started = async {
        let prepared = tokio::select! {
            prepared = prepare(config, online, tracker, &cancels, &mut made) => Some(prepared?),
            () = first_interrupt(&mut stopped) => None,
        };
        let Some((prepared, slot)) = prepared else { return Err(interrupted(tracker, Totals::default())) };
        let at = slot.consistent_point();
        let session = prepared.snapshot.session();
        let origin = leftover::origin(config, session, prepared.snapshot.id(), Some(at)).await?;
        let (restored, target) =
            under_snapshot::restore(config, tracker, prepared, origin, &mut stop).await?;
        // Its snapshot has served; the slot itself stays.
        drop(slot);
        let failed: Vec<String> = restored
            .failed
            .iter()
            .filter(|o| o.kind.starts_with("TABLE"))
            .map(|o| o.object.clone())
            .collect();
        journal::stream_begun(&target, &config.subscription_name, online.lanes.max(1), at, &failed).await?;
        *totals = restored;
        Links::claimed(config, target).await
    }
    .await;
    let tripped = guard.tripped();
    drop(guard);
    let error = match started {
        Ok(links) => return Ok(links),
        Err(error) => error,
    };
    cancels.all().await;
    if tokio::time::timeout(TIDY, tidy(config, online, tracker, &made)).await.is_err() {
        let message = format!("not gone after {} s: see `pg_migrator cleanup`", TIDY.as_secs());
        tracker.reporter.emit(Event::Warning { object: format!("slot {}", online.slot_name), message });
    }
    Err(match (error, tripped) {
        (Error::Interrupted { .. }, Some(held)) => Error::SlotWal {
            slot: online.slot_name.clone(),
            held,
            limit: online.max_slot_wal_bytes.unwrap_or_default(),
            started_over: true,
        },
        (error, _) => error,
    })
}

/// Validate, PrepareSnapshot, Dump.
async fn prepare(
    config: &Config,
    online: &OnlineOptions,
    tracker: &mut Tracker,
    cancels: &Cancels,
    made: &mut Made,
) -> Result<(Prepared, ReplicationSlot), Error> {
    tracker.enter(Phase::Validate);
    let (clear, (source, schema)) = check::examined(config, cancels, tracker).await?;
    source.batch("ending the reading of the schema", "ROLLBACK").await?;

    tracker.enter(Phase::PrepareSnapshot);
    let target = config.target.connect().await?;
    cancels.add(&target);
    if config.restore.drop_target_first {
        forget_earlier(config, &target, tracker).await?;
    }
    leftover::claim(&target).await?;
    clear_way(online, &source, &target, tracker).await?;
    if online.create_publication {
        let (publication, name) = (&online.publication, &config.subscription_name);
        let everything = config.filter.is_everything();
        made.publication =
            snapshot::make_publication(&source, publication, name, &schema, everything).await?;
    }
    let (system_identifier, database) = leftover::source_identity(&source).await?;
    let record = SlotRecord {
        migration: config.subscription_name.clone(),
        slot: online.slot_name.clone(),
        system_identifier,
        database,
    };
    journal::reserve_slot(&target, &record).await?;
    made.slot = true;
    let reporter = tracker.reporter.clone();
    let slot =
        ReplicationSlot::create(&config.source, &online.slot_name, online.slot_timeout, &reporter).await?;

    tracker.enter(Phase::Dump);
    let reader = config.source.connect().await?;
    cancels.add(&reader);
    reader.batch("beginning to read the schema", BEGIN_READER).await?;
    reader.batch("importing the slot's snapshot", &import_snapshot(slot.snapshot())).await?;
    let sorted_otherwise = schema.sorted_otherwise;
    let reading = Box::pin(dump::read(&reader, &config.filter));
    let mut schema = lock_watch::watched(&config.source, &reader, &tracker.reporter, reading).await?;
    leave_publication(&mut schema, &online.publication);
    bridge::cross(&mut schema, target.version());
    schema.sorted_otherwise = sorted_otherwise;
    let uncovered = snapshot::uncovered(&reader, &online.publication, &schema).await?;
    if let Some(finding) = Finding::made_meanwhile(&online.publication, &uncovered) {
        return Err(finding.into());
    }
    let steps = under_snapshot::order_steps(config, &schema, &target, tracker).await?;
    let snapshot = Snapshot::adopt(reader, slot.snapshot().to_owned());
    let clear = clear || config.restore.drop_target_first;
    Ok((Prepared { snapshot, target, schema, steps, clear }, slot))
}

/// What an interrupted run of this migration left on the source goes: its slot.
async fn clear_way(
    online: &OnlineOptions,
    source: &Session,
    target: &Session,
    tracker: &Tracker,
) -> Result<(), Error> {
    let (system_identifier, database) = leftover::source_identity(source).await?;
    for record in journal::recorded_slots(target).await? {
        let ours = record.slot == online.slot_name
            && record.system_identifier == system_identifier
            && record.database == database;
        if ours {
            snapshot::take_slot_over(source, &record.slot).await?;
            if snapshot::drop_slot(source, &record.slot).await? {
                let message = format!("dropped slot {:?}, which an interrupted run had left", record.slot);
                tracker.reporter.emit(Event::Note { message });
            }
            journal::forget_slot(target, &record.slot).await?;
        }
    }
    Ok(())
}

/// With `--drop-target-first` an unfinished migration goes with all that it has: its slot, its subscription, its fence.
async fn forget_earlier(config: &Config, target: &Session, tracker: &Tracker) -> Result<(), Error> {
    let Some(earlier) = journal::leftover(target).await? else { return Ok(()) };
    let all = Cleanup {
        source: config.source.clone(),
        target: config.target.clone(),
        subscription_name: earlier.name.clone(),
        slot_name: None,
        force_slot: false,
        // They are dropped with everything else when Restore begins.
        objects: TargetObjects::Keep,
    };
    match cleanup::run(all, &tracker.reporter).await {
        Ok(_) => Ok(()),
        Err(CleanupError::OtherSource { recorded, recorded_system, .. }) => {
            let message = format!(
                "was unfinished; what it left on its source (database {recorded:?} of system {recorded_system}) is still there: \
                 see pg_replication_slots there"
            );
            tracker
                .reporter
                .emit(Event::Warning { object: format!("migration {:?}", earlier.name), message });
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

/// Leaves nothing on the source.
async fn tidy(config: &Config, online: &OnlineOptions, tracker: &Tracker, made: &Made) {
    if !made.slot && !made.publication {
        return;
    }
    let gone = async {
        let source = config.source.connect().await?;
        if made.slot {
            snapshot::take_slot_over(&source, &online.slot_name).await?;
            snapshot::drop_slot(&source, &online.slot_name).await?;
        }
        if made.publication {
            snapshot::drop_publication(&source, &online.publication, &config.subscription_name).await?;
        }
        let target = config.target.connect().await?;
        journal::forget_slot(&target, &online.slot_name).await?;
        Ok::<_, Error>(())
    };
    if let Err(error) = gone.await {
        let message = format!(
            "may still be there: {error}; drop it with `pg_migrator cleanup`, or the same command does when it runs again"
        );
        tracker.reporter.emit(Event::Warning { object: format!("slot {}", online.slot_name), message });
    }
}

/// Goes on with a migration that was interrupted after StreamApply had begun; `None`: there is none.
pub(super) async fn resume(
    config: &Config,
    online: &OnlineOptions,
    tracker: &mut Tracker,
) -> Result<Option<Links>, Error> {
    if config.restore.drop_target_first {
        return Ok(None);
    }
    // What keeps a server from being reached is for Validate to say.
    let Ok(target) = config.target.connect().await else { return Ok(None) };
    if journal::stream_record(&target, &config.subscription_name).await?.is_none() {
        return Ok(None);
    }
    tracker.enter(Phase::Validate);
    leftover::claim(&target).await?;
    let links = Links { resumed: true, ..Links::claimed(config, target).await? };
    links::same_migration(config, online, &links).await?;
    Ok(Some(links))
}
