//! Offline: schema and data in one shot, for a maintenance window. Ends after Restore.
//!
//! Validate reads the catalogs in the transaction whose snapshot PrepareSnapshot then exports, so what was validated
//! is what Dump orders and Restore copies. Invariant: that transaction, its snapshot and its locks live to the end
//! of Restore, in one session, and end with it however the run ends.

use std::collections::HashSet;

use tokio::sync::watch;

use super::cancels::Cancels;
use super::check::{self, Examined};
use super::tracker::Tracker;
use super::{Config, Error, leftover};
use crate::journal;
use crate::pg::Session;
use crate::progress::{Event, Phase, Reporter, Summary};
use crate::restore::{self, Outcome, Totals};
use crate::schema::drop::drop_plan;
use crate::schema::{Address, Definition, Object, RenderOptions, Schema, order};
use crate::snapshot::Snapshot;
use crate::validate::{Report, Severity};

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

fn interrupted(tracker: &Tracker, totals: Totals) -> Error {
    Error::Interrupted { phase: tracker.phase(), summary: Box::new(tracker.summary(totals)) }
}

/// What Restore starts from.
struct Prepared {
    snapshot: Snapshot,
    target: Session,
    schema: crate::schema::Schema,
    steps: Vec<crate::schema::Step>,
    /// The target holds what must go first.
    clear: bool,
}

/// Validate, PrepareSnapshot, Dump: nothing is changed yet.
async fn prepare(config: &Config, tracker: &mut Tracker, cancels: &Cancels) -> Result<Prepared, Error> {
    tracker.enter(Phase::Validate);
    let Examined { report, clear, source } = check::examine(config, cancels).await;
    for finding in report.of(Severity::Warning) {
        let object = finding.object.clone().unwrap_or_default();
        let message = match &finding.remedy {
            Some(remedy) => format!("{} → {remedy}", finding.message),
            None => finding.message.clone(),
        };
        tracker.reporter.emit(Event::Warning { object, message });
    }
    let (true, Some((session, schema))) = (report.is_good(), source) else {
        return Err(Error::Refused(Box::new(report)));
    };
    tracker.enter(Phase::PrepareSnapshot);
    let snapshot = Snapshot::export(session).await.map_err(Error::Snapshot)?;
    tracker.enter(Phase::Dump);
    let target = config.target.connect().await?;
    cancels.add(&target);
    let options = RenderOptions {
        no_owner: config.restore.no_owner,
        no_privileges: config.restore.no_privileges,
        current_user: Some(current_user(&target).await?),
        target_version: Some(target.version()),
    };
    let order::Plan { steps, ignored } = order::plan_with_report(&schema, &options);
    for order::Ignored { object, message } in ignored {
        tracker.reporter.emit(Event::Warning { object, message });
    }
    Ok(Prepared { snapshot, target, schema, steps, clear: clear || config.restore.drop_target_first })
}

async fn current_user(target: &Session) -> Result<String, Error> {
    let rows = target.query("reading the role", "SELECT CURRENT_USER::text AS name").await?;
    Ok(rows.first().map(|row| row.get("name")).transpose()?.unwrap_or_default())
}

async fn restore(
    config: &Config,
    tracker: &mut Tracker,
    prepared: Prepared,
    shutdown: &mut watch::Receiver<u32>,
) -> Result<Totals, Error> {
    let Prepared { snapshot, target, schema, steps, clear } = prepared;
    tracker.enter(Phase::Restore);
    let begun = tokio::select! {
        begun = begin(config, &snapshot, &schema, &target, tracker, clear) => Some(begun?),
        Ok(_) = shutdown.wait_for(|&n| n > 0) => None,
    };
    if begun.is_none() {
        return Err(interrupted(tracker, Totals::default()));
    }
    let reporter = tracker.reporter.clone();
    let input = restore::Input {
        source: &config.source,
        target: &config.target,
        snapshot_session: snapshot.session(),
        snapshot: snapshot.id(),
        target_session: &target,
        schema: &schema,
        steps,
        options: &config.restore,
        name: &config.subscription_name,
        reporter: &reporter,
    };
    match restore::run(input, shutdown.clone()).await? {
        Outcome::Interrupted(totals) => Err(interrupted(tracker, totals)),
        Outcome::Done(totals) => {
            if let Err(error) = snapshot.release().await {
                // Every row was read under it, and nothing is left to be released.
                let message = format!("the session that held the snapshot had ended before: {error}");
                tracker.reporter.emit(Event::Note { message });
            }
            // The one synchronous commit: WAL is flushed in order, so all that was committed before is durable now.
            target.batch("dropping the journal", journal::drop_journal()).await?;
            Ok(totals)
        }
    }
}

/// The target is claimed, cleared where it must be, and has a journal.
async fn begin(
    config: &Config,
    snapshot: &Snapshot,
    schema: &Schema,
    target: &Session,
    tracker: &Tracker,
    clear: bool,
) -> Result<(), Error> {
    if !journal::claim(target).await? {
        return Err(Error::Refused(Box::new(Report::from(leftover::under_way(None)))));
    }
    if clear {
        clear_target(config, snapshot.session(), schema, target, tracker).await?;
    }
    let origin = leftover::origin(config, snapshot.session(), snapshot.id()).await?;
    Ok(journal::begin(target, &origin).await?)
}

/// Drops what the filter selects on the target, in schemas that the source has: `--drop-target-first`, or an
/// interrupted run's work. Of large objects, only those whose numbers the source's have.
async fn clear_target(
    config: &Config,
    source: &Session,
    schema: &Schema,
    target: &Session,
    tracker: &Tracker,
) -> Result<(), Error> {
    let reach = leftover::reach(source).await?;
    let mut there = leftover::read_target(config, target, &reach).await?;
    let large_object = |o: &Object| matches!(o.definition, Definition::LargeObject(_)).then_some(o.address);
    let ours: HashSet<Address> = schema.objects.iter().filter_map(large_object).collect();
    there.objects.retain(|o| large_object(o).is_none_or(|address| ours.contains(&address)));
    let statements = drop_plan(&there, config.filter.is_everything());
    if !statements.is_empty() {
        tracker
            .reporter
            .emit(Event::Note { message: format!("dropping {} objects on the target", there.objects.len()) });
    }
    for result in target.pipeline("dropping what is on the target", &statements).await {
        result.map_err(Error::Clear)?;
    }
    target.batch("dropping the journal of an earlier run", journal::drop_journal()).await?;
    Ok(())
}
