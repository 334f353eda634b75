//! Validate on its own: what `pg_migrator check` runs, and what a migration runs first.
//!
//! Invariant: nothing is changed on either side; what is locked to be read is let go with the session.

use super::Config;
use super::cancels::Cancels;
use super::leftover::{self, Earlier};
use super::tracker::Tracker;
use super::{Error, database, lock_watch, under_snapshot};
use crate::config::OnlineOptions;
use crate::pg::{BEGIN_READER, Session};
use crate::progress::Reporter;
use crate::schema::{Schema, bridge, leave_publication};
use crate::validate::{self, Asked, Finding, Online, Report, Severity};
use crate::{dump, journal};

/// Looks at both servers and says everything that would stop or disturb the migration. A server that cannot be
/// reached is a finding too; the other one is looked at all the same. Nothing is locked.
pub async fn run(config: &Config) -> Report {
    look(config, Locking::No, &Cancels::default(), &Reporter::default()).await.report
}

/// Whether tables are locked before the model is read: needed by who goes on from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locking {
    Yes,
    No,
}

/// What Validate saw.
struct Examined {
    pub report: Report,
    /// The target holds an interrupted run's work, or what `--drop-target-first` shall drop.
    pub clear: bool,
    /// The target database is not there and must be made first.
    pub makes_database: bool,
    /// The source's model, and the session whose open transaction it was read in: an offline migration goes on in
    /// that same transaction, so the catalogs are read once and nothing can change in between.
    pub source: Option<(Session, Schema)>,
}

/// As [`examine`]; a target database that is missing and asked for is made, once nothing stops the migration, and then looked
/// at. An error of Validate ends the migration.
pub(super) async fn examined(
    config: &Config,
    cancels: &Cancels,
    tracker: &Tracker,
) -> Result<(bool, (Session, Schema)), Error> {
    let mut examined = Box::pin(examine(config, cancels, &tracker.reporter)).await;
    if examined.makes_database && examined.report.is_good() {
        if let Some((_, schema)) = examined.source.take() {
            database::create(config, &schema.database, tracker).await?;
        }
        examined = Box::pin(examine(config, cancels, &tracker.reporter)).await;
    }
    let Examined { report, clear, source, .. } = examined;
    Ok((clear, under_snapshot::heed(report, source, tracker)?))
}

/// As [`run`], with what an offline migration goes on from.
async fn examine(config: &Config, cancels: &Cancels, reporter: &Reporter) -> Examined {
    // Online the tables are locked later, under the slot's snapshot; a lock now would only wait behind someone's DDL.
    let locking = if config.online.is_some() { Locking::No } else { Locking::Yes };
    look(config, locking, cancels, reporter).await
}

async fn look(config: &Config, locking: Locking, cancels: &Cancels, reporter: &Reporter) -> Examined {
    let (source, mut target) = tokio::join!(config.source.connect(), config.target.connect());
    let missing = target.as_ref().is_err_and(database::is_missing);
    let makes_database = missing && config.restore.create_database;
    if makes_database {
        // Another database of the server has to do for now.
        target = database::maintenance(&config.target).await;
    }
    [&source, &target].into_iter().flatten().for_each(|session| cancels.add(session));
    let earlier = match (&source, &target) {
        (Ok(source), Ok(target)) if !makes_database => leftover::judge(config, source, target).await,
        _ => Earlier::None,
    };
    let clear = matches!(earlier, Earlier::Ours);
    // Where a journal is in the way, what is said of it says more than a list of what is there.
    let resumes = !matches!(earlier, Earlier::None);
    let online = match (&config.online, &source, &target) {
        (Some(options), Ok(source), Ok(target)) => Some(judged_online(config, options, source, target).await),
        (Some(options), ..) => Some(fresh(config, options)),
        (None, ..) => None,
    };
    let asked = Asked { filter: &config.filter, restore: &config.restore, resumes, makes_database, online };
    let (mut report, servers) = Box::pin(validate::of_servers(source.as_ref(), target.as_ref(), asked)).await;
    if let Earlier::InTheWay(finding) = earlier {
        report = report.and(Report::from(*finding));
    }
    let Ok(source) = source else { return Examined { report, clear, makes_database, source: None } };
    let has_error = |code: &str| report.of(Severity::Error).any(|f| f.code == code);
    if has_error("version-too-old") {
        return Examined { report, clear, makes_database, source: None };
    }
    // A table that may not be read cannot be locked; the migration ends here, and all the rest is still said.
    let locking = if has_error("source-tables-unreadable") { Locking::No } else { locking };
    match read(&source, config, locking, reporter).await {
        Ok(mut schema) => {
            if let Ok(target) = &target {
                bridge::cross(&mut schema, target.version());
                schema.sorted_otherwise = servers.sort_otherwise();
            }
            let report = report
                .and(Box::pin(validate::of_schema(&schema, &servers, target.as_ref().ok(), asked)).await);
            Examined { report, clear, makes_database, source: Some((source, schema)) }
        }
        Err(finding) => {
            Examined { report: report.and(Report::from(finding)), clear, makes_database, source: None }
        }
    }
}

/// An online migration that nothing is known of yet.
fn fresh<'a>(config: &'a Config, options: &'a OnlineOptions) -> Online<'a> {
    Online {
        options,
        subscription: &config.subscription_name,
        ours: false,
        subscribed: false,
        clears: false,
        streams: false,
    }
}

/// What the target's journal says of slot and stream. What cannot be read is not ours; why it cannot be, the journal's own
/// check has said.
async fn judged_online<'a>(
    config: &'a Config,
    options: &'a OnlineOptions,
    source: &Session,
    target: &Session,
) -> Online<'a> {
    let fresh = fresh(config, options);
    let Ok((identifier, database)) = leftover::source_identity(source).await else { return fresh };
    let slots = journal::recorded_slots(target).await.unwrap_or_default();
    let there = matches!(journal::leftover(target).await, Ok(Some(_)));
    let clears = config.restore.drop_target_first && there;
    let ours = slots.iter().any(|s| {
        let same_source = s.system_identifier == identifier && s.database == database;
        s.slot == options.slot_name && same_source && (clears || s.migration == config.subscription_name)
    });
    let streams = matches!(journal::stream_record(target, &config.subscription_name).await, Ok(Some(_)));
    Online { ours, subscribed: streams, clears, streams: streams && !clears, ..fresh }
}

async fn read(
    source: &Session,
    config: &Config,
    locking: Locking,
    reporter: &Reporter,
) -> Result<Schema, Finding> {
    let begun = source.batch("beginning to read the schema", BEGIN_READER).await;
    begun.map_err(|e| Finding::unreadable(&e))?;
    let schema = match locking {
        Locking::Yes => {
            let reading = Box::pin(dump::read(source, &config.filter));
            lock_watch::watched(&config.source, source, reporter, reading).await
        }
        Locking::No => dump::look(source, &config.filter).await,
    };
    let mut schema = schema.map_err(|e| Finding::schema_unreadable(source.side, &e))?;
    if let Some(online) = &config.online {
        leave_publication(&mut schema, &online.publication);
    }
    Ok(schema)
}
