//! `pg_migrator slots`: replication slots that a migration left on the source, listed and dropped.
//!
//! Invariant: a slot is known as ours by the target's journal alone; another one is dropped only by force, and none while a run
//! of the migration is under way.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::cleanup::{CleanupError, claim};
use super::leftover::source_identity;
use crate::journal::{self, SlotRecord};
use crate::lsn::Lsn;
use crate::pg::{Param, Row, Server, Session, SqlError};
use crate::snapshot::{drop_slot, take_slot_over};

/// A slot on the source, or the record of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// The migration that it belongs to, by the target's journal; `None`: no journal knows it.
    pub migration: Option<String>,
    /// Whether it is there; a record without a slot is what a crash before its making leaves.
    pub exists: bool,
    /// The server process that streams from it.
    pub active_pid: Option<i32>,
    /// The oldest WAL that it keeps.
    pub restart_lsn: Option<Lsn>,
    /// Up to where its changes are confirmed.
    pub confirmed_lsn: Option<Lsn>,
    /// WAL that it keeps on the source, bytes.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved` or `lost` (13 and later).
    pub wal_status: Option<String>,
}

/// The slots for logical replication by pgoutput in the source's database, and those that the target's journal knows of it; by name.
///
/// # Errors
/// [`CleanupError`] where a server cannot be reached or read.
pub async fn list(source: &Server, target: Option<&Server>) -> Result<Vec<Slot>, CleanupError> {
    let session = source.connect().await?;
    let recorded = match target {
        Some(target) => recorded(&session, &target.connect().await?).await?,
        None => Vec::new(),
    };
    Ok(merged(read(&session).await?, &recorded))
}

/// Drops a slot that the target's journal knows, or by `force` any; `false`: it was not there.
///
/// # Errors
/// [`CleanupError::NotOurs`] without `force`; [`CleanupError::UnderWay`] while it is in use by a run.
pub async fn drop(
    source: &Server,
    target: Option<&Server>,
    name: &str,
    force: bool,
) -> Result<bool, CleanupError> {
    let source = source.connect().await?;
    let target = match target {
        Some(target) => Some(target.connect().await?),
        None => None,
    };
    let known = match &target {
        Some(target) => recorded(&source, target).await?.iter().any(|r| r.slot == name),
        None => false,
    };
    if !known && !force {
        return match exists(&source, name).await? {
            true => Err(CleanupError::NotOurs(name.to_owned())),
            false => Ok(false),
        };
    }
    if let Some(target) = target.as_ref().filter(|_| known) {
        claim(target).await?;
        take_slot_over(&source, name).await?;
    }
    let dropped = drop_slot(&source, name).await?;
    if let Some(target) = target.as_ref().filter(|_| known) {
        journal::forget_slot(target, name).await?;
    }
    Ok(dropped)
}

/// What the journal knows of this source.
async fn recorded(source: &Session, target: &Session) -> Result<Vec<SlotRecord>, CleanupError> {
    let (system, database) = source_identity(source).await?;
    let mut records = journal::recorded_slots(target).await?;
    let unknown = |s: &str| s.is_empty() || s == "unknown";
    records.retain(|r| {
        r.database == database
            && (unknown(&system) || unknown(&r.system_identifier) || r.system_identifier == system)
    });
    Ok(records)
}

/// Whether there is a slot of this name.
pub(super) async fn exists(source: &Session, name: &str) -> Result<bool, SqlError> {
    let sql = "SELECT 1 AS there FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    let params: [Param<'_>; 1] = [(&name, Type::NAME)];
    Ok(!source.query_with("looking for the slot", sql, &params).await?.is_empty())
}

async fn read(source: &Session) -> Result<Vec<Slot>, SqlError> {
    let status = if source.version() >= 130_000 { "wal_status" } else { "NULL::text" };
    let sql = format!(
        "SELECT slot_name::text AS name, active_pid, restart_lsn::text AS restart, confirmed_flush_lsn::text AS confirmed, \
           {status} AS wal_status, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() \
             THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::bigint AS retained \
         FROM pg_catalog.pg_replication_slots WHERE plugin = 'pgoutput' AND NOT temporary \
           AND database = pg_catalog.current_database()"
    );
    let rows = source.query("reading the replication slots", &sql).await?;
    rows.iter().map(slot).collect()
}

fn slot(row: &Row) -> Result<Slot, SqlError> {
    let lsn = |column| Ok::<_, SqlError>(row.get::<Option<String>>(column)?.and_then(|t| t.parse().ok()));
    Ok(Slot {
        name: row.get("name")?,
        migration: None,
        exists: true,
        active_pid: row.get("active_pid")?,
        restart_lsn: lsn("restart")?,
        confirmed_lsn: lsn("confirmed")?,
        retained_bytes: row.get::<Option<i64>>("retained")?.and_then(|n| u64::try_from(n).ok()),
        wal_status: row.get("wal_status")?,
    })
}

/// What is there and what is recorded, as one list.
fn merged(mut slots: Vec<Slot>, recorded: &[SlotRecord]) -> Vec<Slot> {
    for record in recorded {
        match slots.iter_mut().find(|slot| slot.name == record.slot) {
            Some(slot) => slot.migration = Some(record.migration.clone()),
            None => slots.push(Slot {
                name: record.slot.clone(),
                migration: Some(record.migration.clone()),
                ..Slot::default()
            }),
        }
    }
    slots.sort_by(|a, b| a.name.cmp(&b.name));
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_slots_become_one_list() {
        let record = |slot: &str| SlotRecord {
            migration: "m".to_owned(),
            slot: slot.to_owned(),
            system_identifier: "1".to_owned(),
            database: "d".to_owned(),
        };
        let there = |name: &str| Slot { name: name.to_owned(), exists: true, ..Slot::default() };
        let list = merged(vec![there("z"), there("b")], &[record("b"), record("a")]);
        let shown: Vec<_> =
            list.iter().map(|s| (s.name.as_str(), s.migration.as_deref(), s.exists)).collect();
        assert_eq!(shown, [("a", Some("m"), false), ("b", Some("m"), true), ("z", None, true)]);
    }
}
