//! The two sessions the state machine speaks on while the stream runs, and what they are asked.
//!
//! Invariant: the target's session holds the claim; where it breaks, nothing is done before a new one has it, because taking it ends what
//! the old one's lanes may still be doing.

use crate::config::OnlineOptions;
use crate::error::Side;
use crate::journal::{self, StreamRecord};
use crate::lsn::Lsn;
use crate::migration::{Config, Error, leftover};
use crate::pg::{Session, SqlError};
use crate::schema::quote::{qualified, quote_literal};
use crate::validate::Finding;

/// Sessions of the state machine itself.
pub(super) struct Links {
    pub source: Session,
    pub target: Session,
    /// The journal's word on where the stream stands, as of when the target was claimed.
    pub record: StreamRecord,
    /// An earlier run had begun to stream.
    pub resumed: bool,
}

impl Links {
    /// With a target's session that has the claim.
    pub async fn claimed(config: &Config, target: Session) -> Result<Links, Error> {
        let source = config.source.connect().await?;
        let record = record(config, &target).await?;
        Ok(Links { source, target, record, resumed: false })
    }

    /// The tables that the migration made on the target: (schema, name).
    pub async fn tables(&self, name: &str) -> Result<Vec<(String, String)>, SqlError> {
        let sql = format!(
            "SELECT DISTINCT n.nspname::text AS schema, c.relname::text AS name FROM _pg_migrator.object o \
             JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(o.identity) \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE o.migration = {} AND o.kind = 'TABLE' ORDER BY 1, 2",
            quote_literal(name)
        );
        let rows = self.target.query("reading the tables of the migration", &sql).await?;
        rows.iter().map(|row| Ok((row.get("schema")?, row.get("name")?))).collect()
    }

    /// What an error of the stream comes from, where that is a journal that somebody dropped; else the error.
    pub async fn blame(&self, config: &Config, error: Error) -> Error {
        match (&error, record(config, &self.target).await) {
            (Error::Stream(_) | Error::Journal(_) | Error::Sql(_), Err(gone @ Error::Refused(_))) => gone,
            _ => error,
        }
    }

    /// New sessions, with a new claim.
    pub async fn again(config: &Config) -> Result<Links, Error> {
        let target = config.target.connect().await?;
        leftover::claim(&target).await?;
        Links::claimed(config, target).await
    }
}

async fn record(config: &Config, target: &Session) -> Result<StreamRecord, Error> {
    let name = &config.subscription_name;
    let record = journal::stream_record(target, name).await?;
    record.filter(|record| !record.lanes.is_empty()).ok_or_else(|| {
        let text = format!("the journal of migration {name:?} is gone, or the rows that say how far it is");
        let finding = Finding::error("journal-gone", text).on(Side::Target);
        let finding = finding.about("schema _pg_migrator".to_owned());
        let slot = config.online.as_ref().map_or("", |online| online.slot_name.as_str());
        finding
            .mend(format!(
                "someone dropped it while the migration ran, and nothing else says what is applied. The slot stays on the source: run pg_migrator \
                 cleanup --slot-name {slot} --force-slot, then start over with --drop-target-first"
            ))
            .into()
    })
}

/// A slot on the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotState {
    /// The source's flush position.
    pub flush: Lsn,
    /// Whether the slot is there.
    pub there: bool,
    /// WAL that it holds back, bytes.
    pub held: Option<u64>,
    /// `pg_replication_slots.wal_status` (13 and later).
    pub wal_status: Option<String>,
}

/// Reads the source's flush position and the slot: one query.
pub(super) async fn slot_state(source: &Session, slot: &str) -> Result<SlotState, SqlError> {
    const WHAT: &str = "reading the slot's state";
    let status = if source.version() >= 130_000 { "s.wal_status::text" } else { "NULL::text" };
    let sql = format!(
        "SELECT l.lsn::text AS flush, s.slot_name IS NOT NULL AS there, {status} AS status, \
         pg_catalog.pg_wal_lsn_diff(l.lsn, s.restart_lsn)::bigint AS held \
         FROM (SELECT pg_catalog.pg_current_wal_flush_lsn() AS lsn) l \
         LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = {}",
        quote_literal(slot)
    );
    let rows = source.query(WHAT, &sql).await?;
    let Some(row) = rows.first() else { return Ok(SlotState::default()) };
    let flush: String = row.get("flush")?;
    Ok(SlotState {
        flush: flush.parse().map_err(|e| SqlError::local(source.side, WHAT, format!("{e}")))?,
        there: row.get("there")?,
        held: row.get::<Option<i64>>("held")?.map(|n| u64::try_from(n).unwrap_or(0)),
        wal_status: row.get("status")?,
    })
}

/// Refuses to go on with a migration that is not this one.
pub(super) async fn same_migration(
    config: &Config,
    online: &OnlineOptions,
    links: &Links,
) -> Result<(), Error> {
    let refuse = |text: String, remedy: &str| {
        let finding = Finding::error("journal-of-another-migration", text).on(Side::Target);
        let finding = finding.about("schema _pg_migrator".to_owned()).mend(remedy);
        Err(finding.into())
    };
    let (system_identifier, database) = leftover::source_identity(&links.source).await?;
    if let Some(found) = journal::leftover(&links.target).await?
        && (found.system_identifier != system_identifier || found.database != database)
    {
        let text = format!(
            "migration {:?} is being streamed from database {:?} of system {}, not from this source",
            found.name, found.database, found.system_identifier
        );
        return refuse(
            text,
            "give the --source it began with; to give it up, run `pg_migrator cleanup` with that source",
        );
    }
    let record = &links.record;
    if record.slot != online.slot_name || record.publication != online.publication {
        let text = format!(
            "migration {:?} streams from slot {:?} and publication {:?}",
            config.subscription_name, record.slot, record.publication
        );
        return refuse(text, "run the command it began with; to give it up, run `pg_migrator cleanup`");
    }
    let sql = format!(
        "SELECT n.nspname::text AS schema, c.relname::text AS name FROM _pg_migrator.relation r \
         JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(r.relation) \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.migration = {}",
        quote_literal(&config.subscription_name)
    );
    for row in links.target.query("reading the relations that take part", &sql).await? {
        let (schema, name): (String, String) = (row.get("schema")?, row.get("name")?);
        if !config.filter.takes_table(&schema, &name) {
            let text = format!(
                "migration {:?} copied table {}, which this run's filters leave out: its changes would be lost",
                config.subscription_name,
                qualified(&schema, &name)
            );
            return refuse(text, "run it with the same filters as before");
        }
    }
    Ok(())
}
