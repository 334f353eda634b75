//! Slots of ours on sources: recorded before they are made, so that one that a crash left behind is known as ours.
//!
//! Invariant: a slot that this tool makes is in this table from before it exists until after it is gone. The table lives in the
//! journal's schema and may be there without the rest of it.

use super::JournalError;
use crate::pg::Session;
use crate::schema::quote::quote_literal;

/// A slot of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The migration's name.
    pub migration: String,
    /// The slot's name.
    pub slot: String,
    /// The source cluster.
    pub system_identifier: String,
    /// The source database.
    pub database: String,
}

/// Records that this slot is going to be made; durable when this returns.
pub async fn reserve_slot(target: &Session, record: &SlotRecord) -> Result<(), JournalError> {
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; CREATE SCHEMA IF NOT EXISTS _pg_migrator; {}; COMMIT",
        self::record(record)
    );
    Ok(target.batch("recording the slot", &sql).await?)
}

/// The statements that record a slot, within the transaction that makes the journal.
pub(super) fn record(record: &SlotRecord) -> String {
    format!(
        "{SLOT_TABLE}; INSERT INTO _pg_migrator.slot (migration, slot, system_identifier, database) VALUES ({}, {}, {}, {}) \
         ON CONFLICT DO NOTHING",
        quote_literal(&record.migration),
        quote_literal(&record.slot),
        quote_literal(&record.system_identifier),
        quote_literal(&record.database),
    )
}

const SLOT_TABLE: &str = "CREATE TABLE IF NOT EXISTS _pg_migrator.slot (\
 migration text NOT NULL, slot text NOT NULL, system_identifier text NOT NULL, database text NOT NULL,\
 created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (slot, system_identifier))";

/// The slot is gone. With the last one goes the journal's schema, where nothing else is in it.
pub async fn forget_slot(target: &Session, slot: &str) -> Result<(), JournalError> {
    if !there(target).await? {
        return Ok(());
    }
    let sql = format!("DELETE FROM _pg_migrator.slot WHERE slot = {}", quote_literal(slot));
    target.batch("forgetting the slot", &sql).await?;
    let sql = "SELECT NOT EXISTS (SELECT FROM _pg_migrator.slot) AND NOT EXISTS (SELECT FROM pg_catalog.pg_class \
               WHERE relnamespace = '_pg_migrator'::pg_catalog.regnamespace AND relkind = 'r' AND relname <> 'slot') AS last";
    if target.value("looking for what else the journal has", sql).await?.unwrap_or(false) {
        super::drop_journal(target).await?;
    }
    Ok(())
}

/// All slots that the target's journal knows.
pub async fn recorded_slots(target: &Session) -> Result<Vec<SlotRecord>, JournalError> {
    if !there(target).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT migration, slot, system_identifier, database FROM _pg_migrator.slot ORDER BY created_at, slot";
    let mut slots = Vec::new();
    for row in target.query("reading the journal's slots", sql).await? {
        slots.push(SlotRecord {
            migration: row.get("migration")?,
            slot: row.get("slot")?,
            system_identifier: row.get("system_identifier")?,
            database: row.get("database")?,
        });
    }
    Ok(slots)
}

async fn there(target: &Session) -> Result<bool, JournalError> {
    let sql = "SELECT pg_catalog.to_regclass('_pg_migrator.slot') IS NOT NULL AS there";
    Ok(target.value("looking for the journal's slots", sql).await?.unwrap_or(false))
}
