//! What a migration changed on the source beside its slot and publication, with the statement that takes it back: the fence.
//!
//! Invariant: a change is in this table from before it is made until after it is taken back. The table lives in the
//! journal's schema and may be there without the rest of it.

use super::JournalError;
use crate::pg::Session;
use crate::schema::quote::quote_literal;

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoKind {
    /// The database was made read-only at cutover.
    Fence,
}

impl UndoKind {
    /// As the journal writes it, and for a person.
    pub fn name(self) -> &'static str {
        match self {
            UndoKind::Fence => "fence",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [UndoKind::Fence].into_iter().find(|kind| kind.name() == name)
    }
}

/// A change of ours on a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUndo {
    /// The migration's name.
    pub migration: String,
    /// What was changed.
    pub kind: UndoKind,
    /// The object, quoted: the database of a fence.
    pub object: String,
    /// The statement that takes it back; it may run again.
    pub undo: String,
    /// The source cluster.
    pub system_identifier: String,
    /// The source database.
    pub database: String,
    /// When it was made, by the source's clock: text of a `timestamptz`; empty where that does not matter.
    pub since: String,
}

const UNDO_TABLE: &str = "CREATE TABLE IF NOT EXISTS _pg_migrator.undo (\
 migration text NOT NULL, kind text NOT NULL, object text NOT NULL, undo text NOT NULL,\
 system_identifier text NOT NULL, database text NOT NULL, since text NOT NULL,\
 PRIMARY KEY (migration, kind, object))";

/// Records that this change is going to be made; durable when this returns. An earlier record of the same change stays as it is:
/// what that found before it is what is to be restored.
pub async fn record_undo(target: &Session, record: &SourceUndo) -> Result<(), JournalError> {
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; CREATE SCHEMA IF NOT EXISTS _pg_migrator; {UNDO_TABLE}; \
         INSERT INTO _pg_migrator.undo (migration, kind, object, undo, system_identifier, database, since) \
         VALUES ({}, {}, {}, {}, {}, {}, {}) ON CONFLICT DO NOTHING; COMMIT",
        quote_literal(&record.migration),
        quote_literal(record.kind.name()),
        quote_literal(&record.object),
        quote_literal(&record.undo),
        quote_literal(&record.system_identifier),
        quote_literal(&record.database),
        quote_literal(&record.since),
    );
    Ok(target.batch("recording a change to the source", &sql).await?)
}

/// The change is taken back.
pub async fn forget_undo(target: &Session, record: &SourceUndo) -> Result<(), JournalError> {
    let sql = format!(
        "DELETE FROM _pg_migrator.undo WHERE migration = {} AND kind = {} AND object = {}",
        quote_literal(&record.migration),
        quote_literal(record.kind.name()),
        quote_literal(&record.object),
    );
    Ok(target.batch("forgetting a change to the source", &sql).await?)
}

/// All changes to sources that the target's journal knows, in the order in which they are to be taken back.
pub async fn recorded_undos(target: &Session) -> Result<Vec<SourceUndo>, JournalError> {
    let sql = "SELECT pg_catalog.to_regclass('_pg_migrator.undo') IS NOT NULL AS there";
    if !target.value("looking for changes to the source", sql).await?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    let sql = "SELECT migration, kind, object, undo, system_identifier, database, since FROM _pg_migrator.undo \
               ORDER BY kind, migration, object";
    let mut found = Vec::new();
    for row in target.query("reading the changes to the source", sql).await? {
        let Some(kind) = UndoKind::of(&row.get::<String>("kind")?) else { continue };
        found.push(SourceUndo {
            migration: row.get("migration")?,
            kind,
            object: row.get("object")?,
            undo: row.get("undo")?,
            system_identifier: row.get("system_identifier")?,
            database: row.get("database")?,
            since: row.get("since")?,
        });
    }
    Ok(found)
}
