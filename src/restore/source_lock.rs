//! The locks that a copy needs on the source, taken without waiting.
//!
//! The snapshot's session has ACCESS SHARE on every table and is idle; a session that asks for ACCESS EXCLUSIVE waits for it, and a reader that comes
//! after that waits for this session. No server sees that circle, because one side of it is us. So a reader never waits for a table
//! (`lockTableForWorker` in `parallel.c` of pg_dump): whoever wants it alone may give up soon, and else the migration does, which lets everybody go on.

use std::time::Duration;

use super::error::RestoreError;
use super::run::Run;
use super::worker::Worker;
use crate::pg::SqlError;
use crate::progress::Event;
use crate::schema::quote::quote_literal;

/// How often a table is asked for, and the pause between two times: longer than a careful ALTER TABLE waits (`lock_timeout`).
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// Tries after which the operator hears of it.
const SAY_AFTER: u32 = 4;

/// Takes the tables' locks, or fails at once (55P03). In the reader's transaction, before its first COPY.
pub(super) fn lock(run: &Run, tables: impl Iterator<Item = usize>) -> String {
    let names: Vec<String> =
        tables.map(|table| format!("ONLY {}", run.plan.tables[table].source.identity())).collect();
    format!("LOCK TABLE {} IN ACCESS SHARE MODE NOWAIT", names.join(", "))
}

/// lock_not_available.
pub(super) fn is_refused(error: &SqlError) -> bool {
    error.sqlstate.as_deref() == Some("55P03")
}

/// After the lock was refused for the `tries`-th time: waits, or says that it is enough. The worker's connections are given up for it.
pub(super) async fn wait(
    worker: &mut Worker,
    tables: &[usize],
    tries: u32,
    source: SqlError,
) -> Result<(), RestoreError> {
    worker.give_up_connections();
    if tries >= SAY_AFTER {
        let waiting = waiting(worker, tables).await?;
        if tries >= TRIES {
            return Err(RestoreError::Locked { waiting, source });
        }
        if tries == SAY_AFTER && !waiting.is_empty() {
            let message = format!(
                "cannot be read: a session on the source waits for a lock on it, and for the migration: {}",
                waiting.join("; ")
            );
            let object = tables.first().map(|t| worker.run.plan.tables[*t].source.identity());
            worker.run.reporter.emit(Event::Warning { object: object.unwrap_or_default(), message });
        }
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// The sessions that wait for one of these tables.
async fn waiting(worker: &mut Worker, tables: &[usize]) -> Result<Vec<String>, RestoreError> {
    let names: Vec<String> =
        tables.iter().map(|t| quote_literal(&worker.run.plan.tables[*t].source.identity())).collect();
    let sql = format!(
        "SELECT pg_catalog.format('%s: pid %s of %s: %s', l.relation::pg_catalog.regclass, l.pid, a.usename, \
           pg_catalog.left(pg_catalog.regexp_replace(a.query, '\\s+', ' ', 'g'), 120)) \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE NOT l.granted AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND l.relation IN (SELECT pg_catalog.to_regclass(n) FROM pg_catalog.unnest(ARRAY[{}]) AS n) ORDER BY a.query_start LIMIT 5",
        names.join(", ")
    );
    let (source, _) = worker.pair().await?;
    let rows = source.rows("looking for who waits for a lock", &sql).await?;
    let text = |row: &Vec<Option<bytes::Bytes>>| {
        let bytes = row.first()?.as_ref()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    Ok(rows.iter().filter_map(text).collect())
}
