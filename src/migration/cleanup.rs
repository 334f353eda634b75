//! `pg_migrator cleanup`: takes back everything of an unfinished migration, on both servers.
//!
//! Invariants: only what the journal says this migration made is touched; what it knows is forgotten only once it is done, so that
//! an interrupted cleanup is run again; and nothing is touched while a run of the migration is under way.

use std::collections::HashSet;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::types::Type;

use super::leftover::{comparable, source_identity};
use crate::config::Filter;
use crate::cutover::{CutoverError, fence, resume, subscription};
use crate::dump::{self, DumpError};
use crate::error::ExitCode;
use crate::journal::{self, Claim, JournalError, Leftover, SlotRecord};
use crate::pg::{BEGIN_READER, ConnectError, Param, Server, Session, SqlError};
use crate::progress::{Event, Reporter};
use crate::schema::drop::drop_plan;
use crate::schema::quote::quote_ident;
use crate::schema::{
    Address, Definition, Object, RenderOptions, Schema, Section, order, publication_comment,
};
use crate::snapshot::{drop_slot, take_slot_over};

/// What becomes of the tables and other objects that the migration made on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetObjects {
    /// They stay, with what was suspended (triggers, rules) back in force.
    #[default]
    Keep,
    /// They are dropped; nothing that the migration did not make.
    Drop,
}

/// What to clean up.
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// The server that was read.
    pub source: Server,
    /// The server that was written, where the journal is.
    pub target: Server,
    /// The migration's name.
    pub subscription_name: String,
    /// A slot to look for beside those that the journal knows.
    pub slot_name: Option<String>,
    /// Drop that slot although the journal does not know it.
    pub force_slot: bool,
    /// What becomes of the objects on the target.
    pub objects: TargetObjects,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Each thing that is gone or back as it was, in words.
    pub done: Vec<String>,
    /// What is left for the operator, in words.
    pub left: Vec<String>,
}

impl Cleaned {
    /// The exit code that says the same.
    pub fn exit_code(&self) -> ExitCode {
        if self.left.is_empty() { ExitCode::Done } else { ExitCode::OperatorMustAct }
    }
}

/// A cleanup that broke off; what was not done is still in the journal, and it can be run again.
#[derive(Debug, Error)]
pub enum CleanupError {
    /// A server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step that cutover takes too failed.
    #[error(transparent)]
    Step(#[from] CutoverError),
    /// What is on the target could not be read.
    #[error("reading the target's schema: {0}")]
    Dump(#[from] DumpError),
    /// Another run has the target.
    #[error(
        "a run of a migration into this database is under way{}: end it first, then clean up",
        .0.map(|pid| format!(" (server process {pid} on the target)")).unwrap_or_default()
    )]
    UnderWay(Option<i32>),
    /// The journal is another migration's.
    #[error(
        "target: the journal is that of migration {found:?}, not of {asked:?}: give --subscription-name {found}"
    )]
    OtherMigration {
        /// Whose it is.
        found: String,
        /// Whose it was taken for.
        asked: String,
    },
    /// The source is not the one the migration read.
    #[error(
        "the source given is database {given:?} of system {given_system}, but the migration reads database {recorded:?} of system \
         {recorded_system}: give that one as --source"
    )]
    OtherSource {
        /// The database given.
        given: String,
        /// Its cluster.
        given_system: String,
        /// The database recorded.
        recorded: String,
        /// Its cluster.
        recorded_system: String,
    },
    /// An object on the target could not be dropped.
    #[error(
        "what the migration made on the target cannot be dropped: {0}\n  → drop what depends on it and clean up again, or keep it with --target-objects keep"
    )]
    Objects(#[source] SqlError),
    /// A slot that is not known to be ours.
    #[error(
        "source: no journal knows slot {0:?} as one of ours: look who uses it (pg_replication_slots); to drop it all the same, give --force-slot"
    )]
    NotOurs(String),
}

impl CleanupError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CleanupError::Connect(e) => e.exit_code(),
            CleanupError::Sql(e) | CleanupError::Objects(e) => e.exit_code(),
            CleanupError::Journal(e) => e.exit_code(),
            CleanupError::Step(e) => e.exit_code(),
            CleanupError::Dump(e) => e.exit_code(),
            CleanupError::UnderWay(_) | CleanupError::NotOurs(_) => ExitCode::OperatorMustAct,
            CleanupError::OtherMigration { .. } | CleanupError::OtherSource { .. } => ExitCode::Usage,
        }
    }
}

/// Takes back what the migration of this name left. Running it again does no harm.
///
/// # Errors
/// See [`CleanupError`].
pub async fn run(config: Cleanup, reporter: &Reporter) -> Result<Cleaned, CleanupError> {
    let (source, target) = tokio::try_join!(config.source.connect(), config.target.connect())?;
    claim(&target).await?;
    let found = Found::read(&config, &source, &target).await?;
    let mut story = Story { cleaned: Cleaned::default(), reporter };
    // First of all the application's writes go on.
    if fence::undo(&source, &target, &config.subscription_name, &[]).await?.is_some() {
        story.done("the source's database can be written to again");
    }
    drop_subscription(&config, &found, &target, &mut story).await?;
    drop_slots(&config, &found, &source, &target, &mut story).await?;
    drop_publications(&config, &found, &source, &mut story).await?;
    if let Some(leftover) = &found.leftover {
        match config.objects {
            TargetObjects::Keep => resume_objects(&config, &target, &mut story).await?,
            TargetObjects::Drop => drop_objects(leftover, &source, &target, &mut story).await?,
        }
    }
    if found.journal && !found.others {
        journal::drop_journal(&target).await?;
        story.done("target: journal dropped");
    }
    Ok(story.cleaned)
}

/// Takes the target for this session, or says who has it.
pub(super) async fn claim(target: &Session) -> Result<(), CleanupError> {
    match journal::claim(target).await? {
        Claim::Ours => Ok(()),
        Claim::Theirs(pid) => Err(CleanupError::UnderWay(pid)),
    }
}

/// Tells what happens as it happens, and keeps it.
struct Story<'a> {
    cleaned: Cleaned,
    reporter: &'a Reporter,
}

impl Story<'_> {
    fn done(&mut self, message: &str) {
        self.reporter.emit(Event::Note { message: message.to_owned() });
        self.cleaned.done.push(message.to_owned());
    }

    fn left(&mut self, object: &str, message: &str) {
        self.reporter.emit(Event::Warning { object: object.to_owned(), message: message.to_owned() });
        self.cleaned.left.push(format!("{object}: {message}"));
    }
}

/// What the journal knows of the migration.
struct Found {
    journal: bool,
    leftover: Option<Leftover>,
    slots: Vec<SlotRecord>,
    /// Records of other migrations are there, so the journal stays.
    others: bool,
    /// Slots and publication of the journal's own row.
    stream: Option<(String, String)>,
}

impl Found {
    async fn read(config: &Cleanup, source: &Session, target: &Session) -> Result<Self, CleanupError> {
        let name = &config.subscription_name;
        let leftover = journal::leftover(target).await?;
        if let Some(other) = leftover.as_ref().filter(|l| l.name != *name) {
            return Err(CleanupError::OtherMigration { found: other.name.clone(), asked: name.clone() });
        }
        let (slots, other_slots): (Vec<_>, Vec<_>) =
            journal::recorded_slots(target).await?.into_iter().partition(|s| s.migration == *name);
        let (undos, other_undos): (Vec<_>, Vec<_>) =
            journal::recorded_undos(target).await?.into_iter().partition(|u| u.migration == *name);
        let (system, database) = source_identity(source).await?;
        let of_leftover = leftover.iter().map(|l| (&l.system_identifier, &l.database));
        let of_slots = slots.iter().map(|s| (&s.system_identifier, &s.database));
        let of_undos = undos.iter().map(|u| (&u.system_identifier, &u.database));
        for (recorded_system, recorded) in of_leftover.chain(of_slots).chain(of_undos) {
            // A role that may not read the identifier is told sources apart by name alone.
            let unknown = [&system, recorded_system].iter().any(|s| s.is_empty() || *s == "unknown");
            if *recorded != database || !(unknown || *recorded_system == system) {
                return Err(CleanupError::OtherSource {
                    given: database,
                    given_system: system,
                    recorded: recorded.clone(),
                    recorded_system: recorded_system.clone(),
                });
            }
        }
        let sql = "SELECT pg_catalog.to_regnamespace('_pg_migrator') IS NOT NULL AS there";
        let journal = target.value("looking for a journal", sql).await?.unwrap_or(false);
        let stream = match &leftover {
            Some(_) => journal::stream_record(target, name).await?.map(|r| (r.slot, r.publication)),
            None => None,
        };
        Ok(Found {
            journal,
            leftover,
            others: !other_slots.is_empty() || !other_undos.is_empty(),
            slots,
            stream,
        })
    }

    fn knows_slot(&self, slot: &str) -> bool {
        self.slots.iter().any(|s| s.slot == slot) || self.stream.as_ref().is_some_and(|(s, _)| s == slot)
    }
}

async fn drop_subscription(
    config: &Cleanup,
    found: &Found,
    target: &Session,
    story: &mut Story<'_>,
) -> Result<(), CleanupError> {
    let name = &config.subscription_name;
    let Some(there) = subscription::find(target, name).await? else { return Ok(()) };
    let forced = config.slot_name.as_ref().filter(|_| config.force_slot);
    // Detached: an earlier cleanup, or an operator, was about to drop it.
    let ours = match &there.slot {
        Some(slot) => found.knows_slot(slot) || forced == Some(slot),
        None => found.stream.is_some(),
    };
    if !ours {
        story.left(
            &format!("subscription {}", quote_ident(name)),
            "is on the target, and no journal says that it belongs to an unfinished migration (one that was kept after cutover does not): not touched",
        );
        return Ok(());
    }
    subscription::drop(target, name).await?;
    story.done(&format!("target: subscription {} dropped", quote_ident(name)));
    Ok(())
}

async fn drop_slots(
    config: &Cleanup,
    found: &Found,
    source: &Session,
    target: &Session,
    story: &mut Story<'_>,
) -> Result<(), CleanupError> {
    let recorded = found.slots.iter().map(|s| &s.slot).chain(found.stream.iter().map(|(slot, _)| slot));
    let mut slots: Vec<&String> = recorded.collect();
    slots.sort();
    slots.dedup();
    if let Some(named) = config.slot_name.as_ref().filter(|named| !slots.contains(named)) {
        let exists = super::slots::exists(source, named).await?;
        match (exists, config.force_slot) {
            (false, _) => {}
            (true, true) => slots.push(named),
            (true, false) => story.left(
                &format!("slot {named}"),
                "is on the source, and no journal says that it is ours: not touched; to drop it all the same, give --force-slot",
            ),
        }
    }
    for slot in slots {
        // Ours for sure, and its run is dead: we have the claim.
        take_slot_over(source, slot).await?;
        if drop_slot(source, slot).await? {
            story.done(&format!("source: replication slot {slot} dropped"));
        }
        journal::forget_slot(target, slot).await?;
    }
    Ok(())
}

/// Publications that `--create-publication` made; their comment says so.
async fn drop_publications(
    config: &Cleanup,
    found: &Found,
    source: &Session,
    story: &mut Story<'_>,
) -> Result<(), CleanupError> {
    let name = &config.subscription_name;
    let sql = "SELECT p.pubname::text AS name, EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE plugin = 'pgoutput' \
                 AND database = pg_catalog.current_database()) AS slots FROM pg_catalog.pg_publication p \
               WHERE pg_catalog.obj_description(p.oid, 'pg_publication') = $1 ORDER BY 1";
    let comment = publication_comment(name);
    let params: [Param<'_>; 1] = [(&comment, Type::TEXT)];
    for row in source.query_with("looking for publications of ours", sql, &params).await? {
        let publication: String = row.get("name")?;
        let shown = format!("publication {}", quote_ident(&publication));
        // Of a migration of the same name into another target, maybe.
        let recorded = found.stream.as_ref().map(|(_, publication)| publication);
        let another = match recorded {
            Some(recorded) => *recorded != publication,
            None => found.slots.is_empty() && row.get("slots")?,
        };
        if another {
            story.left(
                &shown,
                "is on the source, and may belong to another migration of this name: not touched",
            );
            continue;
        }
        source
            .batch(
                &format!("dropping {shown}"),
                &format!(
                    "BEGIN READ WRITE; DROP PUBLICATION IF EXISTS {}; COMMIT",
                    quote_ident(&publication)
                ),
            )
            .await?;
        story.done(&format!("source: {shown} dropped"));
    }
    Ok(())
}

/// How long other sessions may hold locks on what is to come back.
const RESUME: Duration = Duration::from_secs(60);

async fn resume_objects(
    config: &Cleanup,
    target: &Session,
    story: &mut Story<'_>,
) -> Result<(), CleanupError> {
    let sql = "SELECT pg_catalog.to_regclass('_pg_migrator.suspended') IS NOT NULL AS there";
    if !target.value("looking for what is suspended", sql).await?.unwrap_or(false) {
        return Ok(());
    }
    let resumed = resume::suspended(target, &config.subscription_name, RESUME).await?;
    if resumed.count > 0 {
        story.done(&format!(
            "target: {} suspended triggers, rules, columns or keys back in force",
            resumed.count
        ));
    }
    Ok(())
}

/// Drops what was made. Extensions stay where they may have been there before.
async fn drop_objects(
    leftover: &Leftover,
    source: &Session,
    target: &Session,
    story: &mut Story<'_>,
) -> Result<(), CleanupError> {
    let (model, schema) = tokio::join!(read(source), read(target));
    let (model, mut schema) = (model?, schema?);
    let large_objects = copied_large_objects(source, target).await?;
    made_by(leftover, &model, &large_objects, &mut schema);
    let dropped = schema.objects.iter().filter(|o| o.parent.is_none()).count();
    for result in target.pipeline("dropping what the migration made", &drop_plan(&schema, true)).await {
        result.map_err(CleanupError::Objects)?;
    }
    if dropped > 0 {
        story.done(&format!("target: {dropped} objects dropped"));
    }
    Ok(())
}

/// All that is in the session's database; nothing is locked.
async fn read(session: &Session) -> Result<Schema, CleanupError> {
    session.batch("beginning to read the schema", BEGIN_READER).await?;
    let schema = dump::look(session, &Filter::default()).await;
    session.batch("ending the reading of the schema", "ROLLBACK").await?;
    Ok(schema?)
}

/// Reduces the target's model to what the migration made, and to what hangs on that. Before the data that is what the journal knows. What
/// comes after the data (a view that needs a key) it does not list one by one: there, it is what the source has too.
fn made_by(leftover: &Leftover, source: &Schema, large_objects: &HashSet<u32>, schema: &mut Schema) {
    let known: HashSet<(&str, String)> =
        leftover.objects.iter().map(|(kind, identity)| (kind.as_str(), comparable(kind, identity))).collect();
    let (theirs, there) =
        (order::plan(source, &RenderOptions::default()), order::plan(schema, &RenderOptions::default()));
    let later: HashSet<(&str, String)> = theirs
        .iter()
        .filter(|step| step.section == Section::PostData)
        .map(|step| (step.kind, comparable(step.kind, &step.identity)))
        .collect();
    let made: HashSet<Address> = there
        .iter()
        .filter(|step| {
            let key = (step.kind, comparable(step.kind, &step.identity));
            known.contains(&key) || (step.section == Section::PostData && later.contains(&key))
        })
        .map(|step| step.address)
        .collect();
    let schemas: HashSet<String> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::Namespace(_)) && made.contains(&o.address))
        // This one every database has.
        .filter(|o| o.name != "public")
        .map(|o| o.name.clone())
        .collect();
    let takes = |object: &Object| match object.definition {
        Definition::LargeObject(_) => large_objects.contains(&object.address.oid),
        Definition::Extension(_) => object.namespace.as_ref().is_some_and(|n| schemas.contains(n)),
        _ => made.contains(&object.address) || object.parent.is_some_and(|p| made.contains(&p)),
    };
    schema.objects.retain(takes);
}

/// The source's large objects, where the migration takes these.
async fn copied_large_objects(source: &Session, target: &Session) -> Result<HashSet<u32>, SqlError> {
    let sql = "SELECT EXISTS (SELECT FROM _pg_migrator.task WHERE kind = 'BLOBS') AS taken";
    if !target.value("reading the journal's tasks", sql).await?.unwrap_or(false) {
        return Ok(HashSet::new());
    }
    let sql = "SELECT oid FROM pg_catalog.pg_largeobject_metadata";
    let rows = source.query("reading the source's large objects", sql).await?;
    rows.iter().map(|row| row.get("oid")).collect()
}
