//! Opening a lane's session: settings, its claim on the lane, and what the journal says once the claim is had.
//!
//! Invariant: one session at a time works on a lane. A session whose client is gone may still have a whole transaction with its
//! COMMIT in its socket; so the next one ends it and waits for its end before it believes the journal.

use std::time::Duration;

use super::ApplyError;
use crate::journal::{self, Progress};
use crate::pg::{Server, SqlError, Wire};
use crate::schema::quote::quote_literal;

/// The advisory lock of lane 0, those of others are the next; the journal's locks have the same first half.
const LANE_LOCK: (u32, u32) = (0x7067_6d69, 100);

/// How often, and how long in between, the lane is asked for.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Settings of a lane. Plans are pinned to nested loops over the identity's index: the tables may never have been analysed, and an
/// estimate of nothing must not become a sequential scan per batch.
const SETTINGS: &str = "SET lc_monetary = 'C'; SET synchronous_commit = off; SET enable_seqscan = off; SET enable_hashjoin = off; \
 SET enable_mergejoin = off; SET enable_bitmapscan = off; SET enable_nestloop = on; SET enable_indexscan = on; SET enable_tidscan = on; \
 SET max_parallel_workers_per_gather = 0; SET plan_cache_mode = force_generic_plan";

/// Opens the session of a lane; also whether foreign keys and triggers work on what it applies, because the role may not set
/// `session_replication_role`: those that came after [`super::suspend`].
pub(super) async fn open(target: &Server, number: usize, encoding: &str) -> Result<(Wire, bool), ApplyError> {
    let mut wire = target.connect_wire("UTF8").await?;
    wire.simple("telling the server that a run is at work", journal::PRESENCE).await?;
    take_lane(&mut wire, number).await?;
    wire.simple("making settings", SETTINGS).await?;
    if encoding.eq_ignore_ascii_case("SQL_ASCII") {
        // Bytes pass as they are; the target checks them against its own encoding.
        wire.simple("making settings", "SET client_encoding = 'SQL_ASCII'").await?;
    }
    match wire.simple("making settings", "SET session_replication_role = replica").await {
        Ok(_) => Ok((wire, false)),
        Err(e) if e.sqlstate.as_deref() == Some("42501") => Ok((wire, true)),
        Err(e) => Err(e.into()),
    }
}

/// Ends whoever still has the lane. The first lane ends all: the run that left them may have had more of them.
async fn take_lane(wire: &mut Wire, number: usize) -> Result<(), ApplyError> {
    const WHAT: &str = "claiming the right to apply";
    let (key, first) = LANE_LOCK;
    let lane = first as usize + number;
    let others = if number == 0 { ">=" } else { "=" };
    let take = format!("SELECT pg_catalog.pg_try_advisory_lock({key}, {lane})");
    let end = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted \
         AND classid = {key} AND objid {others} {lane} AND objsubid = 2 AND pid <> pg_catalog.pg_backend_pid() \
         AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    );
    for _ in 0..TRIES {
        if wire.rows(WHAT, &end).await?.is_empty() {
            let rows = wire.rows(WHAT, &take).await?;
            if rows.first().and_then(|row| row.first()?.as_deref()) == Some(b"t") {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Without SQLSTATE, so that it is tried again.
    let text = "an earlier session of this migration on the target does not end";
    Err(SqlError::local(wire.side, WHAT, text).into())
}

/// Makes durable what is committed, by a transaction that writes something; every lane's progress as the journal has it.
pub(super) async fn flush(wire: &mut Wire, name: &str) -> Result<(), ApplyError> {
    const WHAT: &str = "flushing what was applied";
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; \
         UPDATE _pg_migrator.lane SET commit_lsn = commit_lsn WHERE migration = {} AND lane = 0; COMMIT",
        quote_literal(name)
    );
    let tags = match wire.simple(WHAT, &sql).await {
        Ok(tags) => tags,
        Err(e) => {
            if !e.is_broken() {
                let _ = wire.simple(WHAT, "ROLLBACK").await;
            }
            return Err(e.into());
        }
    };
    if tags.iter().map(String::as_str).eq(["BEGIN", "SET", "UPDATE 1", "COMMIT"]) {
        return Ok(());
    }
    Err(no_row(wire, WHAT).into())
}

/// Every lane's progress.
pub(super) async fn progress(wire: &mut Wire, name: &str) -> Result<Vec<Progress>, ApplyError> {
    const WHAT: &str = "reading how far was applied";
    let sql = format!(
        "SELECT commit_lsn, end_lsn FROM _pg_migrator.lane WHERE migration = {} ORDER BY lane",
        quote_literal(name)
    );
    let mut lanes = Vec::new();
    for row in wire.rows(WHAT, &sql).await? {
        let lsn = |at: usize| {
            let bytes = row.get(at).and_then(Option::as_deref).unwrap_or_default();
            String::from_utf8_lossy(bytes).parse().map_err(|_| no_row(wire, WHAT))
        };
        lanes.push(Progress { commit_lsn: lsn(0)?, end_lsn: lsn(1)? });
    }
    Ok(lanes)
}

fn no_row(wire: &Wire, what: &str) -> SqlError {
    let text = "the journal (_pg_migrator.lane) has lost this migration's row";
    let mut error = SqlError::local(wire.side, what, text);
    error.sqlstate = Some("XX000".to_owned());
    error
}
