//! The journal: what must survive a crash, in the schema `_pg_migrator` on the target (names that begin with
//! `pg_` are the server's own).
//!
//! One row per migration, keyed by its subscription name; one per relation with the LSN its copy is consistent at
//! (`sync_lsn`); one per task; one per object created, so that a later run knows what an interrupted one left.
//! Invariant: each write rides in the transaction of the work it records, so the journal never says more or less
//! than what is there. It is dropped at the end of a finished migration.

mod claim;
mod leftover;
mod quiet;
mod slot;
mod statements;
mod stream;
mod undo;

use thiserror::Error;

pub use claim::{Claim, PRESENCE, claim, claimed_by, holder};
pub use leftover::{Leftover, leftover};
pub use quiet::{Quiet, drop_journal, quiet};
pub use statements::{SCHEMA, objects_created, phase_entered, relation_done, task_done, task_failed};

pub use slot::{SlotRecord, forget_slot, recorded_slots, reserve_slot};
pub use undo::{SourceUndo, UndoKind, forget_undo, record_undo, recorded_undos};

pub use stream::{
    Progress, StreamRecord, cutover_requested, forget_request, lane_applied, lanes_set, request_cutover,
    resume_statements, splits, stream_begun, stream_record, suspended,
};

use crate::error::ExitCode;
use crate::pg::{Session, SqlError};
use crate::schema::quote::quote_literal;

/// The journal could not be read or written.
#[derive(Debug, Error)]
#[error("the journal (schema _pg_migrator) on the target: {0}")]
pub struct JournalError(#[from] pub SqlError);

impl JournalError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        self.0.exit_code()
    }
}

/// What was read of a journal that its run may have dropped after it was seen to be there: then there is none. (The server reports
/// `undefined_table`, or `invalid_schema_name`.)
fn unless_dropped<T>(read: Result<Option<T>, JournalError>) -> Result<Option<T>, JournalError> {
    match read {
        Err(JournalError(e)) if matches!(e.sqlstate.as_deref(), Some("42P01" | "3F000")) => Ok(None),
        other => other,
    }
}

/// Who a migration is, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The migration's name: its subscription name.
    pub name: String,
    /// `offline` or `online`.
    pub mode: &'static str,
    /// The source cluster's system identifier, or `unknown` where the role may not read it.
    pub system_identifier: String,
    /// The source database.
    pub database: String,
    /// The exported snapshot.
    pub snapshot: String,
    /// The source's WAL position when the snapshot was taken, text form; every relation's `sync_lsn` in this run.
    pub snapshot_lsn: String,
    /// The slot that is streamed from, and the publication; `None`: offline.
    pub slot: Option<(String, String)>,
}

/// A row for a task that is about to be planned.
#[derive(Clone, Debug)]
pub struct PlannedTask {
    /// Index in the plan.
    pub id: usize,
    /// What kind of work.
    pub kind: &'static str,
    /// The object or objects, for a person.
    pub object: String,
}

/// Creates the journal and the migration's row, in place of an earlier journal.
pub async fn begin(target: &Session, origin: &Origin) -> Result<(), JournalError> {
    let null = || "NULL".to_owned();
    let (slot, publication, record) = match &origin.slot {
        Some((slot, publication)) => {
            let record = SlotRecord {
                migration: origin.name.clone(),
                slot: slot.clone(),
                system_identifier: origin.system_identifier.clone(),
                database: origin.database.clone(),
            };
            (quote_literal(slot), quote_literal(publication), slot::record(&record))
        }
        None => (null(), null(), "SELECT".to_owned()),
    };
    let quiet = quiet(target).await?;
    let sql = format!(
        "BEGIN; {before}{}; {}; {record}; INSERT INTO _pg_migrator.migration (name, mode, system_identifier, database, snapshot, \
         snapshot_lsn, phase, version, slot, publication) VALUES ({}, {}, {}, {}, {}, {}, 'Restore', {}, {slot}, {publication}); {after}COMMIT",
        statements::DROP,
        statements::CREATE,
        quote_literal(&origin.name),
        quote_literal(origin.mode),
        quote_literal(&origin.system_identifier),
        quote_literal(&origin.database),
        quote_literal(&origin.snapshot),
        quote_literal(&origin.snapshot_lsn),
        quote_literal(env!("CARGO_PKG_VERSION")),
        before = quiet.before,
        after = quiet.after,
    );
    Ok(target.batch("creating the journal", &sql).await?)
}

/// Records what Restore is going to do: every relation and every task, as pending.
pub async fn plan(
    target: &Session,
    name: &str,
    relations: &[String],
    tasks: &[PlannedTask],
) -> Result<(), JournalError> {
    let name = quote_literal(name);
    for chunk in relations.chunks(1000) {
        let rows: Vec<_> = chunk.iter().map(|r| format!("({name}, {})", quote_literal(r))).collect();
        let sql =
            format!("INSERT INTO _pg_migrator.relation (migration, relation) VALUES {}", rows.join(", "));
        target.batch("recording the relations to copy", &sql).await?;
    }
    for chunk in tasks.chunks(1000) {
        let row = |t: &PlannedTask| {
            format!("({name}, {}, {}, {})", t.id, quote_literal(t.kind), quote_literal(&t.object))
        };
        let rows: Vec<_> = chunk.iter().map(row).collect();
        let sql =
            format!("INSERT INTO _pg_migrator.task (migration, id, kind, object) VALUES {}", rows.join(", "));
        target.batch("recording the tasks", &sql).await?;
    }
    Ok(())
}
