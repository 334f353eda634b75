//! What StreamApply goes on from: each lane's position, what is suspended on the target until Cutover, and the request
//! for it.
//!
//! Invariant: a lane's position is written in the transaction that applies the changes up to it.

use super::{JournalError, unless_dropped};
use crate::lsn::Lsn;
use crate::pg::{Session, SqlError};
use crate::schema::quote::quote_literal;

/// How far a lane has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Start of the last applied transaction's commit record; equal to `end_lsn` where none was applied yet.
    pub commit_lsn: Lsn,
    /// Its end: where the stream goes on. A transaction whose commit record begins before it is skipped.
    pub end_lsn: Lsn,
}

impl Progress {
    /// Where the stream of all these lanes goes on: where the one furthest behind stands.
    pub fn least(lanes: &[Progress]) -> Lsn {
        lanes.iter().map(|lane| lane.end_lsn).min().unwrap_or_default()
    }
}

/// An online migration in or after StreamApply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its phase: `StreamApply`, `CaughtUp` or `Cutover`.
    pub phase: String,
    /// Its slot.
    pub slot: String,
    /// Its publication.
    pub publication: String,
    /// Every lane's progress, by number.
    pub lanes: Vec<Progress>,
    /// Tables (quoted identities) whose copy failed and was allowed to: their changes are not applied.
    pub failed: Vec<String>,
}

/// StreamApply begins: lanes stand at the slot's consistent point, and every relation is copied but those that `failed`
/// (quoted identities), whose changes are not applied. Durable when this returns.
pub async fn stream_begun(
    target: &Session,
    name: &str,
    lanes: usize,
    at: Lsn,
    failed: &[String],
) -> Result<(), JournalError> {
    let failed: Vec<_> = failed.iter().map(|r| quote_literal(r)).collect();
    let n = quote_literal(name);
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; {}; {}; \
         UPDATE _pg_migrator.relation SET state = CASE WHEN relation = ANY (ARRAY[{}]::text[]) THEN 'failed' ELSE 'copied' END \
         WHERE migration = {n}; COMMIT",
        super::phase_entered(name, "StreamApply"),
        lanes_set(name, lanes, Progress { commit_lsn: at, end_lsn: at }),
        failed.join(", "),
    );
    Ok(target.batch("recording that the stream begins", &sql).await?)
}

/// The statement that rides in a lane's transaction. `splits`: of a batch that was spread over all lanes, what tells their parts apart.
pub fn lane_applied(name: &str, lane: usize, progress: Progress, splits: Option<&str>) -> String {
    let splits = splits.map(|splits| format!(", splits = {}", quote_literal(splits)));
    format!(
        "UPDATE _pg_migrator.lane SET commit_lsn = '{}', end_lsn = '{}'{} WHERE migration = {} AND lane = {lane}",
        progress.commit_lsn,
        progress.end_lsn,
        splits.unwrap_or_default(),
        quote_literal(name)
    )
}

/// The query for the splits of the batch that some lanes have and others have not: a lane that is ahead holds them.
pub fn splits(name: &str) -> String {
    format!(
        "SELECT splits FROM _pg_migrator.lane WHERE migration = {} ORDER BY end_lsn DESC, lane LIMIT 1",
        quote_literal(name)
    )
}

/// The statements by which there are so many lanes from now on, all of which stand here.
pub fn lanes_set(name: &str, lanes: usize, at: Progress) -> String {
    let n = quote_literal(name);
    format!(
        "DELETE FROM _pg_migrator.lane WHERE migration = {n}; \
         INSERT INTO _pg_migrator.lane SELECT {n}, i, '{}', '{}' FROM pg_catalog.generate_series(0, {}) AS i",
        at.commit_lsn,
        at.end_lsn,
        lanes.max(1) - 1
    )
}

/// The online migration of this name, if it has reached StreamApply.
pub async fn stream_record(target: &Session, name: &str) -> Result<Option<StreamRecord>, JournalError> {
    unless_dropped(read_record(target, name).await)
}

async fn read_record(target: &Session, name: &str) -> Result<Option<StreamRecord>, JournalError> {
    let sql = "SELECT pg_catalog.to_regclass('_pg_migrator.lane') IS NOT NULL AS there";
    if !target.value("looking for a journal", sql).await?.unwrap_or(false) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT phase, slot, publication FROM _pg_migrator.migration WHERE name = {} AND slot IS NOT NULL \
         AND phase IN ('StreamApply', 'CaughtUp', 'Cutover')",
        quote_literal(name)
    );
    let rows = target.query("reading the journal", &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let sql = format!(
        "SELECT commit_lsn::text, end_lsn::text FROM _pg_migrator.lane WHERE migration = {} ORDER BY lane",
        quote_literal(name)
    );
    let mut lanes = Vec::new();
    for lane in target.query("reading the journal", &sql).await? {
        lanes.push(Progress {
            commit_lsn: lsn(target, &lane.get::<String>("commit_lsn")?)?,
            end_lsn: lsn(target, &lane.get::<String>("end_lsn")?)?,
        });
    }
    let sql = format!(
        "SELECT relation FROM _pg_migrator.relation WHERE migration = {} AND state = 'failed' ORDER BY 1",
        quote_literal(name)
    );
    let failed = target.query("reading the journal", &sql).await?;
    Ok(Some(StreamRecord {
        failed: failed.iter().map(|row| row.get("relation")).collect::<Result<_, _>>()?,
        phase: row.get("phase")?,
        slot: row.get("slot")?,
        publication: row.get::<Option<String>>("publication")?.unwrap_or_default(),
        lanes,
    }))
}

fn lsn(target: &Session, text: &str) -> Result<Lsn, SqlError> {
    text.parse().map_err(|e| SqlError::local(target.side, "reading the journal", format!("{e}")))
}

/// Statement that records what undoes a suspension (`object` for a person, `resume` an SQL statement); it rides in the transaction
/// that suspends.
pub fn suspended(name: &str, object: &str, resume: &str) -> String {
    format!(
        "INSERT INTO _pg_migrator.suspended (migration, object, resume) VALUES ({}, {}, {})",
        quote_literal(name),
        quote_literal(object),
        quote_literal(resume)
    )
}

/// The statements that undo what is suspended, in order: (object, statement).
pub async fn resume_statements(target: &Session, name: &str) -> Result<Vec<(String, String)>, JournalError> {
    let sql = format!(
        "SELECT object, resume FROM _pg_migrator.suspended WHERE migration = {} ORDER BY id",
        quote_literal(name)
    );
    let mut statements = Vec::new();
    for row in target.query("reading what is suspended", &sql).await? {
        statements.push((row.get("object")?, row.get("resume")?));
    }
    Ok(statements)
}

/// Asks the run of this migration for cutover; `false`: there is none to ask.
pub async fn request_cutover(target: &Session, name: &str) -> Result<bool, JournalError> {
    let sql = format!(
        "UPDATE _pg_migrator.migration SET cutover_requested = now() WHERE name = {} AND mode = 'online'",
        quote_literal(name)
    );
    Ok(target.execute("asking for cutover", &sql, &[]).await? > 0)
}

/// Whether cutover was asked for.
pub async fn cutover_requested(target: &Session, name: &str) -> Result<bool, JournalError> {
    let sql = format!(
        "SELECT cutover_requested IS NOT NULL AS asked FROM _pg_migrator.migration WHERE name = {}",
        quote_literal(name)
    );
    Ok(target.value("looking for a request for cutover", &sql).await?.unwrap_or(false))
}

/// An earlier request for cutover no longer counts.
pub async fn forget_request(target: &Session, name: &str) -> Result<(), JournalError> {
    let sql = format!(
        "UPDATE _pg_migrator.migration SET cutover_requested = NULL WHERE name = {} AND cutover_requested IS NOT NULL",
        quote_literal(name)
    );
    Ok(target.batch("forgetting an earlier request for cutover", &sql).await?)
}
