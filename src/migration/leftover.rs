//! What an earlier, interrupted run left on the target, and whether this run may clear it away.
//!
//! Invariant: without `--drop-target-first` only that is cleared which the journal says this same migration made;
//! anything else on the target makes Validate refuse.

use std::collections::HashSet;

use super::{Config, Error};
use crate::config::Filter;
use crate::error::Side;
use crate::journal::{self, Claim, Leftover};
use crate::lsn::Lsn;
use crate::pg::{BEGIN_READER, Session, SqlError};
use crate::schema::{Address, Definition, Object, RenderOptions, Schema, Section, class, order};
use crate::validate::Finding;
use crate::{dump, journal::Origin};

/// Who the source is: its system identifier and database.
pub(super) async fn source_identity(source: &Session) -> Result<(String, String), SqlError> {
    let database: String = source
        .value("reading the database's name", "SELECT pg_catalog.current_database()::text AS name")
        .await?
        .unwrap_or_default();
    // A role without the right to read it can still migrate; the journal then tells sources apart by name alone.
    // Asked first: an error would end the transaction that holds the snapshot.
    let sql = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may";
    let may: bool =
        source.value("reading the right to read the system identifier", sql).await?.unwrap_or(false);
    if !may {
        return Ok(("unknown".to_owned(), database));
    }
    let sql = "SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()";
    let identifier = source.value("reading the system identifier", sql).await?.unwrap_or_default();
    Ok((identifier, database))
}

/// What the target's journal means for this run.
pub(super) enum Earlier {
    /// No journal.
    None,
    /// An interrupted run of this same migration: all that is there is its work.
    Ours,
    /// A journal that keeps this run from starting, and why.
    InTheWay(Box<Finding>),
}

/// Looks at the target's journal. `source` may be out of reach; then nothing can be said to be ours.
pub(super) async fn judge(config: &Config, source: &Session, target: &Session) -> Earlier {
    match Box::pin(examine(config, source, target)).await {
        Ok(earlier) => earlier,
        Err(finding) => Earlier::InTheWay(finding),
    }
}

async fn examine(config: &Config, source: &Session, target: &Session) -> Result<Earlier, Box<Finding>> {
    let unreadable = |e: &SqlError| Box::new(Finding::unreadable(e));
    let leftover = journal::leftover(target).await.map_err(|e| unreadable(&e.0))?;
    let Some(leftover) = leftover else { return Ok(Earlier::None) };
    if let Some(pid) = journal::claimed_by(target).await.map_err(|e| unreadable(&e.0))? {
        return Err(Box::new(under_way(Some(pid))));
    }
    if config.restore.drop_target_first {
        return Ok(Earlier::Ours); // whatever it says, it goes
    }
    let (identifier, database) = source_identity(source).await.map_err(|e| unreadable(&e))?;
    let same = leftover.name == config.subscription_name
        && leftover.mode == mode(config)
        && leftover.system_identifier == identifier
        && leftover.database == database;
    if !same {
        let text = format!(
            "the journal of another unfinished migration is there: {:?}, {}, from database {:?} of system {}",
            leftover.name, leftover.mode, leftover.database, leftover.system_identifier
        );
        return Err(Box::new(
            Finding::error("journal-of-another-migration", text)
                .on(Side::Target)
                .about("schema _pg_migrator".to_owned())
                .mend("finish that migration, or clear the target with --drop-target-first"),
        ));
    }
    let reach = reach(source).await.map_err(|e| unreadable(&e))?;
    let schema = read_target(config, target, &reach)
        .await
        .map_err(|e| Finding::schema_unreadable(Side::Target, &e))?;
    let left = left_by_filter(config, &leftover, target, &reach, &schema)
        .await
        .map_err(|e| Finding::schema_unreadable(Side::Target, &e))?;
    if let Some(first) = left.first() {
        let text = format!(
            "an interrupted run of this migration with other filters left {} there that this run's filters leave out, {first} among them",
            match left.len() {
                1 => "an object".to_owned(),
                n => format!("{n} objects"),
            }
        );
        return Err(Box::new(
            Finding::error("journal-of-other-filters", text)
                .on(Side::Target)
                .about(first.clone())
                .mend("run it with the same filters as before, or drop what is there by hand, schema _pg_migrator included"),
        ));
    }
    let others = not_made_by(&leftover, &schema);
    if others.is_empty() {
        return Ok(Earlier::Ours);
    }
    let shown = others.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let text = format!(
        "an interrupted run of this migration left its work there, and {} not made by it: {shown}",
        match others.len() {
            1 => "an object is".to_owned(),
            n => format!("{n} objects are"),
        }
    );
    Err(Box::new(
        Finding::error("target-not-empty", text)
            .on(Side::Target)
            .about(others[0].clone())
            .mend("move what is to be kept elsewhere, or drop it all with --drop-target-first"),
    ))
}

/// Takes the target for this session.
///
/// # Errors
/// [`Error::Refused`] where another run has it.
pub(super) async fn claim(target: &Session) -> Result<(), Error> {
    match journal::claim(target).await? {
        Claim::Ours => Ok(()),
        Claim::Theirs(pid) => Err(under_way(pid).into()),
    }
}

/// Two runs would take each other's work for an interrupted run's.
fn under_way(pid: Option<i32>) -> Finding {
    let finding =
        Finding::error("migration-under-way", "another run of a migration into this database is under way");
    let finding = finding.on(Side::Target).about("schema _pg_migrator".to_owned());
    match pid {
        Some(pid) => finding.mend(format!(
            "wait for its end; if it was killed and the server has not noticed: SELECT pg_terminate_backend({pid})"
        )),
        None => finding.mend("wait for its end"),
    }
}

/// How far a migration reaches on the target: the schemas and extensions that the source has. What else the target
/// holds is nobody's business here, and is neither dropped nor in the way.
#[derive(Debug, Default)]
pub(super) struct Reach {
    schemas: HashSet<String>,
    extensions: HashSet<String>,
    /// What lives in no schema and has an owner of its own: catalog and name.
    outside: HashSet<(u32, String)>,
}

/// Asks the source for the reach of its migration.
pub(super) async fn reach(source: &Session) -> Result<Reach, SqlError> {
    let sql = "SELECT true AS schema, nspname::text AS name FROM pg_catalog.pg_namespace \
               UNION ALL SELECT false, extname::text FROM pg_catalog.pg_extension";
    let outside = "SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass::oid AS class, fdwname::text AS name \
         FROM pg_catalog.pg_foreign_data_wrapper \
       UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, lanname FROM pg_catalog.pg_language \
         UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, amname FROM pg_catalog.pg_am \
       UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, srvname FROM pg_catalog.pg_foreign_server \
       UNION ALL SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, evtname FROM pg_catalog.pg_event_trigger \
       UNION ALL SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, pubname FROM pg_catalog.pg_publication \
       UNION ALL SELECT 'pg_catalog.pg_subscription'::pg_catalog.regclass, s.subname FROM pg_catalog.pg_subscription s \
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()";
    let mut reach = Reach::default();
    for row in source.query("reading the names of what lives in no schema", outside).await? {
        reach.outside.insert((row.get("class")?, row.get("name")?));
    }
    for row in source.query("reading the names of schemas and extensions", sql).await? {
        let names = if row.get("schema")? { &mut reach.schemas } else { &mut reach.extensions };
        names.insert(row.get("name")?);
    }
    Ok(reach)
}

impl Reach {
    /// Leaves in `schema` what is within reach. A cast or transform is, as far as the types and functions are that it
    /// names.
    fn limit(&self, schema: &mut Schema) {
        let (kept, out): (Vec<Object>, Vec<Object>) =
            std::mem::take(&mut schema.objects).into_iter().partition(|object| self.takes(object));
        schema.objects = kept;
        let out: HashSet<Address> = out.iter().map(|object| object.address).collect();
        let whole = |a: &Address| schema.aliases.get(a).copied().unwrap_or(*a);
        let stays = |object: &Object| {
            let mut needs = schema.depends.get(&object.address).into_iter().flatten();
            !matches!(object.definition, Definition::Cast(_) | Definition::Transform(_))
                || !needs.any(|need| out.contains(&whole(need)))
        };
        schema.objects.retain(stays);
    }

    fn takes(&self, object: &Object) -> bool {
        match (&object.definition, &object.namespace) {
            (Definition::Namespace(_), _) => self.schemas.contains(&object.name),
            (Definition::Extension(_), _) => self.extensions.contains(&object.name),
            (_, Some(schema)) => self.schemas.contains(schema),
            (Definition::UserMapping(mapping), None) => {
                self.outside.contains(&(class::FOREIGN_SERVER, mapping.server.clone()))
            }
            (Definition::PublicationMember(member), None) => {
                self.outside.contains(&(class::PUBLICATION, member.publication_name.clone()))
            }
            (
                Definition::Language(_)
                | Definition::AccessMethod(_)
                | Definition::ForeignDataWrapper(_)
                | Definition::ForeignServer(_)
                | Definition::EventTrigger(_)
                | Definition::Publication(_)
                | Definition::Subscription(_),
                None,
            ) => self.outside.contains(&(object.address.class, object.name.clone())),
            (_, None) => true,
        }
    }
}

/// The model of what the filter selects on the target, within the migration's reach.
pub(super) async fn read_target(
    config: &Config,
    target: &Session,
    reach: &Reach,
) -> Result<Schema, dump::DumpError> {
    target.batch("beginning to read the target's schema", BEGIN_READER).await?;
    let schema = Box::pin(dump::read(target, &config.filter)).await;
    let ended = target.batch("ending the reading of the target's schema", "ROLLBACK").await;
    let mut schema = schema?;
    ended?;
    reach.limit(&mut schema);
    Ok(schema)
}

/// Objects that the journal knows, that are still there, and that this run's filter would leave there for ever.
async fn left_by_filter(
    config: &Config,
    leftover: &Leftover,
    target: &Session,
    reach: &Reach,
    taken: &Schema,
) -> Result<Vec<String>, dump::DumpError> {
    if config.filter.is_everything() {
        return Ok(Vec::new());
    }
    let everything = Config { filter: Filter::default(), ..config.clone() };
    let there = read_target(&everything, target, reach).await?;
    let taken: HashSet<_> = taken.objects.iter().map(|o| o.address).collect();
    let steps = order::plan(&there, &RenderOptions::default());
    let ours =
        |kind: &str, identity: &str| leftover.objects.contains(&(kind.to_owned(), identity.to_owned()));
    Ok(steps
        .iter()
        // Schemas may have been there before, and extensions are kept by filters.
        .filter(|step| step.section == Section::PreData && !["SCHEMA", "EXTENSION"].contains(&step.kind))
        .filter(|step| !taken.contains(&step.address) && ours(step.kind, &step.identity))
        .map(|step| format!("{} {}", step.kind.to_lowercase(), step.identity))
        .collect())
}

/// Objects of `schema` that hold something of their own and that the journal does not know, described.
fn not_made_by(leftover: &Leftover, schema: &Schema) -> Vec<String> {
    let known: HashSet<(&str, String)> =
        leftover.objects.iter().map(|(kind, identity)| (kind.as_str(), comparable(kind, identity))).collect();
    order::plan(schema, &RenderOptions::default())
        .iter()
        .filter(|step| step.section == Section::PreData)
        .filter(|step| {
            // A shell operator comes with the one that names it, until it is made itself.
            !["SCHEMA", "DEFAULT ACL", "DEFAULT", "CHECK CONSTRAINT", "SEQUENCE OWNED BY", "SHELL OPERATOR"]
                .contains(&step.kind)
        })
        .filter(|step| !known.contains(&(step.kind, comparable(step.kind, &step.identity))))
        .map(|step| format!("{} {}", step.kind.to_lowercase(), step.identity))
        .collect()
}

/// An identity as every version writes it: from 14 on the server names the mode `IN` of a procedure's arguments.
pub(super) fn comparable(kind: &str, identity: &str) -> String {
    match kind {
        "PROCEDURE" => identity.replace("(IN ", "(").replace(", IN ", ", "),
        _ => identity.to_owned(),
    }
}

fn mode(config: &Config) -> &'static str {
    if config.online.is_some() { "online" } else { "offline" }
}

/// The journal's row for this run.
pub(super) async fn origin(
    config: &Config,
    source: &Session,
    snapshot: &str,
    consistent_point: Option<Lsn>,
) -> Result<Origin, SqlError> {
    let (system_identifier, database) = source_identity(source).await?;
    let sql = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
               ELSE pg_catalog.pg_current_wal_lsn() END)::text AS lsn";
    let lsn: Option<String> = source.value("reading the WAL position", sql).await?.flatten();
    let lsn = consistent_point.map(|lsn| lsn.to_string()).or(lsn);
    Ok(Origin {
        name: config.subscription_name.clone(),
        mode: mode(config),
        system_identifier,
        database,
        snapshot: snapshot.to_owned(),
        snapshot_lsn: lsn.unwrap_or_default(),
        slot: config.online.as_ref().map(|o| (o.slot_name.clone(), o.publication.clone())),
    })
}
