//! The source's flush position: where the stream has to get to.
//!
//! Invariant: everything that any client was told is committed lies before it, also where it commits asynchronously.

use super::CutoverError;
use crate::lsn::Lsn;
use crate::pg::{Session, SqlError};

/// A message to nobody, in a transaction that commits synchronously: flushes what others committed asynchronously
/// (`synchronous_commit = off`), which a client was already told is done. `local`: no standby is waited for.
const FLUSH: &str = "BEGIN READ WRITE; SET LOCAL synchronous_commit = local; \
    SELECT pg_catalog.pg_logical_emit_message(true, 'pg_migrator', ''); COMMIT";

/// Time that the WAL writer may need where we cannot flush ourselves.
const PATIENCE: u32 = 100;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Flushes the source's WAL as far as it is written, and reads up to where. The session must not be in a transaction.
///
/// # Errors
/// [`CutoverError::Sql`] when the source cannot say.
pub async fn flush_lsn(source: &Session) -> Result<Lsn, CutoverError> {
    if let Err(error) = source.batch("flushing the WAL", FLUSH).await {
        if error.is_broken() {
            return Err(failed(error));
        }
        // Without the right to send a message: the WAL writer flushes by itself within three times wal_writer_delay.
        tracing::debug!("{error}");
        source.batch("flushing the WAL", "ROLLBACK").await.map_err(failed)?;
        let written = read(source, "pg_current_wal_insert_lsn").await?;
        for _ in 0..PATIENCE {
            let flushed = read(source, "pg_current_wal_flush_lsn").await?;
            if flushed >= written {
                return Ok(flushed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    read(source, "pg_current_wal_flush_lsn").await
}

async fn read(source: &Session, function: &str) -> Result<Lsn, CutoverError> {
    const WHAT: &str = "reading the flush position";
    let sql = format!("SELECT pg_catalog.{function}()::text AS lsn");
    let text: String = source.value(WHAT, &sql).await.map_err(failed)?.unwrap_or_default();
    text.parse().map_err(|e| failed(SqlError::local(source.side, WHAT, format!("{e}"))))
}

fn failed(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "ask for cutover again once the source answers")
}
