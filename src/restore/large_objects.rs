//! Contents of large objects: read in chunks under the snapshot, written by `lo_put`.
//!
//! Small objects travel many at a time, one query on each side; what is longer than the first chunk goes on alone, so
//! memory is bounded by [`BATCH`] × [`FIRST_CHUNK`] or one [`CHUNK`]. Invariant: an object is complete or, with the whole
//! task, not there: contents and journal are one transaction on the target.

use tokio_postgres::types::Type;

use super::error::RestoreError;
use super::scheduler::TaskId;
use super::worker::{FAST_COMMIT, Worker};
use crate::journal;
use crate::pg::{BEGIN_READER, Session, import_snapshot};
use crate::progress::{Event, FailedObject};

/// Bytes read of each object in the first pass.
const FIRST_CHUNK: i64 = 64 << 10;
/// Objects read at once in the first pass.
const BATCH: usize = 100;
/// Bytes read at once of a longer object.
const CHUNK: i64 = 4 << 20;

/// Copies the contents of `oids`.
pub(super) async fn copy(worker: &mut Worker, id: TaskId, oids: &[u32]) -> Result<(), RestoreError> {
    let run = worker.run.clone();
    let source = run.source.connect().await?;
    let target = run.target.connect().await?;
    run.register_cancel(worker.id, "large objects, source", source.cancel_handle());
    run.register_cancel(worker.id, "large objects, target", target.cancel_handle());
    target.batch("saying that a worker is here", journal::PRESENCE).await?;
    source.batch("beginning a reader's transaction", BEGIN_READER).await?;
    source.batch("importing the snapshot", &import_snapshot(&run.snapshot)).await?;
    target.batch("beginning a copy of large objects", &format!("BEGIN; {FAST_COMMIT}")).await?;
    let mut bytes = 0;
    for batch in oids.chunks(BATCH) {
        let moved = match contents(&source, &target, batch).await {
            Ok(moved) => moved,
            Err(error) if run.options.allow_restore_errors && !error.is_broken() => {
                target.batch("giving up a copy of large objects", "ROLLBACK").await?;
                let objects = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
                run.object_failed(FailedObject {
                    kind: "BLOBS".to_owned(),
                    object: format!("large objects {objects}"),
                    message: error.to_string(),
                    skipped_because_of: None,
                    statements: Vec::new(),
                });
                return worker.journal_failure(id, &error.to_string()).await;
            }
            Err(error) => return Err(error.into()),
        };
        bytes += moved;
        run.reporter.emit(Event::Copied { table: "large objects".to_owned(), rows: 0, bytes: moved });
    }
    let done = journal::task_done(&run.name, id, oids.len() as u64, bytes);
    target.batch("ending a copy of large objects", &format!("{done}; COMMIT")).await?;
    source.batch("ending a reader's transaction", "COMMIT").await?;
    run.large_objects_done(oids.len() as u64, bytes);
    Ok(())
}

/// Moves one batch; returns the bytes moved.
async fn contents(source: &Session, target: &Session, batch: &[u32]) -> Result<u64, crate::pg::SqlError> {
    let list = batch.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let rows = source
        .query(
            "reading large objects",
            &format!(
                "SELECT o AS oid, pg_catalog.lo_get(o, 0, {FIRST_CHUNK}) AS data \
                 FROM pg_catalog.unnest('{{{list}}}'::pg_catalog.oid[]) o"
            ),
        )
        .await?;
    let (mut oids, mut data, mut long) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for row in &rows {
        let (oid, chunk): (u32, &[u8]) = (row.get("oid")?, row.get("data")?);
        bytes += chunk.len() as u64;
        if chunk.len() as i64 == FIRST_CHUNK {
            long.push(oid);
        }
        if !chunk.is_empty() {
            oids.push(oid);
            data.push(chunk);
        }
    }
    target
        .query_with(
            "writing large objects",
            "SELECT count(pg_catalog.lo_put(o, 0, d)) AS n FROM ROWS FROM \
             (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.bytea[])) AS x (o, d)",
            &[(&oids, Type::OID_ARRAY), (&data, Type::BYTEA_ARRAY)],
        )
        .await?;
    for oid in long {
        let mut at = FIRST_CHUNK;
        loop {
            let what = format!("reading large object {oid}");
            let sql = format!("SELECT pg_catalog.lo_get({oid}, {at}, {CHUNK}) AS data");
            let rows = source.query(&what, &sql).await?;
            let chunk: &[u8] = rows.first().map(|row| row.get("data")).transpose()?.unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            let sql = format!("SELECT pg_catalog.lo_put({oid}, {at}, $1::pg_catalog.bytea)");
            target.query_with(&format!("writing large object {oid}"), &sql, &[(&chunk, Type::BYTEA)]).await?;
            at += chunk.len() as i64;
            bytes += chunk.len() as u64;
        }
    }
    Ok(bytes)
}
