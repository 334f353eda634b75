//! Dump's order and Restore, under one snapshot: the same offline and online.
//!
//! Invariant: the target is cleared and the journal begun before anything is made there, and what is dropped is only what
//! `--drop-target-first` or the journal of an interrupted run allows.

use std::collections::HashSet;

use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Config, Error, database, leftover, roles};
use crate::journal::{self, Origin};
use crate::pg::Session;
use crate::progress::{Event, Phase};
use crate::restore::{self, Outcome, Totals};
use crate::schema::drop::drop_plan;
use crate::schema::{Address, Definition, Object, RenderOptions, Schema, Step, order};
use crate::snapshot::Snapshot;
use crate::validate::{Report, Severity, lacking_of_server};

/// What Restore starts from.
pub(super) struct Prepared {
    /// The session inside holds the tables' locks.
    pub snapshot: Snapshot,
    /// The session that the journal is written on.
    pub target: Session,
    /// The source's model.
    pub schema: Schema,
    /// Its steps in order.
    pub steps: Vec<Step>,
    /// The target holds what must go first.
    pub clear: bool,
}

/// Tells the warnings of Validate's report; an error in it ends the migration. Returns what Validate `found`, which is there where no error is.
pub(super) fn heed<T>(report: Report, found: Option<T>, tracker: &Tracker) -> Result<T, Error> {
    for finding in report.of(Severity::Warning) {
        let object = finding.object.clone().unwrap_or_default();
        let message = match &finding.remedy {
            Some(remedy) => format!("{} → {remedy}", finding.message),
            None => finding.message.clone(),
        };
        tracker.reporter.emit(Event::Warning { object, message });
    }
    match found {
        Some(found) if report.is_good() => Ok(found),
        _ => Err(Error::Refused(Box::new(report))),
    }
}

/// The schema's steps for this target, in order.
pub(super) async fn order_steps(
    config: &Config,
    schema: &Schema,
    target: &Session,
    tracker: &Tracker,
) -> Result<Vec<Step>, Error> {
    let (current_user, superuser) = role(target).await?;
    let options = render_options(config, target, current_user);
    let order::Plan { mut steps, ignored } = order::plan_with_report(schema, &options);
    for order::Ignored { object, message } in ignored {
        tracker.reporter.emit(Event::Warning { object, message });
    }
    leave_servers_privileges(schema, target, superuser, &mut steps).await?;
    Ok(steps)
}

fn render_options(config: &Config, target: &Session, current_user: String) -> RenderOptions {
    RenderOptions {
        no_owner: config.restore.no_owner,
        no_privileges: config.restore.no_privileges,
        no_tablespaces: config.restore.no_tablespaces,
        current_user: Some(current_user),
        target_version: Some(target.version()),
    }
}

/// The role that works on the target, and whether it is a superuser.
async fn role(target: &Session) -> Result<(String, bool), Error> {
    let sql = "SELECT CURRENT_USER::text AS name, pg_catalog.current_setting('is_superuser') = 'on' AS super";
    let rows = target.query("reading the role", sql).await?;
    let Some(row) = rows.first() else { return Ok((String::new(), false)) };
    Ok((row.get("name")?, row.get("super")?))
}

/// Takes out what changes privileges on objects that are the server's own: of those that the target lacks, and of all where
/// ours is not a superuser's role, because they belong to the superuser that initdb made. Validate has said it.
async fn leave_servers_privileges(
    schema: &Schema,
    target: &Session,
    superuser: bool,
    steps: &mut [Step],
) -> Result<(), Error> {
    let lacking = lacking_of_server(target, schema).await?;
    let left = |object: &&Object| match &object.definition {
        Definition::ChangedPrivileges(c) => c.of_server() && (!superuser || lacking.contains(&c.phrase)),
        _ => false,
    };
    let left: HashSet<Address> = schema.objects.iter().filter(left).map(|o| o.address).collect();
    steps.iter_mut().filter(|s| left.contains(&s.address)).for_each(|s| s.acl.clear());
    Ok(())
}

/// Restore, to its end; the snapshot is released. Returns the session that holds the claim on the target. `Err` holds an interrupt too.
pub(super) async fn restore(
    config: &Config,
    tracker: &mut Tracker,
    prepared: Prepared,
    origin: Origin,
    shutdown: &mut watch::Receiver<u32>,
) -> Result<(Totals, Session), Error> {
    let Prepared { snapshot, target, schema, steps, clear } = prepared;
    tracker.enter(Phase::Restore);
    let begun = tokio::select! {
        begun = begin(config, &snapshot, &schema, &target, tracker, clear, &origin) => Some(begun?),
        Ok(_) = shutdown.wait_for(|&n| n > 0) => None,
    };
    if begun.is_none() {
        return Err(super::interrupted(tracker, Totals::default()));
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
    match Box::pin(restore::run(input, shutdown.clone())).await? {
        Outcome::Interrupted(totals) => Err(super::interrupted(tracker, totals)),
        Outcome::Done(mut totals) => {
            if config.restore.create_database {
                let options = render_options(config, &target, role(&target).await?.0);
                let failed =
                    database::set_properties(config, &schema.database, &target, &options, tracker).await?;
                totals.failed.extend(failed);
            }
            if let Err(error) = snapshot.release().await {
                // Every row was read under it, and nothing is left to be released.
                let message = format!("the session that held the snapshot had ended before: {error}");
                tracker.reporter.emit(Event::Note { message });
            }
            Ok((totals, target))
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
    origin: &Origin,
) -> Result<(), Error> {
    leftover::claim(target).await?;
    if config.restore.roles {
        roles::create_missing(snapshot.session(), target, tracker).await?;
    }
    if clear {
        clear_target(config, snapshot.session(), schema, target, tracker).await?;
    }
    Ok(journal::begin(target, origin).await?)
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
    Ok(())
}
