//! Verify: are source and target equal, by count and hash of every table's rows?
//!
//! Both ends stream each table through COPY, in binary where that is safe; rows are hashed here, so the servers
//! do no more than they do for a copy. Invariant: nothing is written, and a table that could not be read is a
//! difference, never silence.

mod hash;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use serde::Serialize;
use thiserror::Error;
use tokio::task::JoinSet;

pub use hash::{Fingerprint, RowHasher};

use crate::error::ExitCode;
use crate::pg::{ConnectError, PumpError, Server, Sink, SqlError, Wire, pump};
use crate::schema::routing::routed;
use crate::schema::{Address, CopySource, Definition, Object, Schema, Slice, TableKind};

/// Verify could not be carried out.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// A server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection broke.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl VerifyError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            VerifyError::Connect(e) => e.exit_code(),
            VerifyError::Sql(e) => e.exit_code(),
        }
    }
}

/// One table, compared.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Quoted identity.
    pub table: String,
    /// Rows on the source.
    pub source_rows: Option<u64>,
    /// Rows on the target.
    pub target_rows: Option<u64>,
    /// Count and hash agree.
    pub equal: bool,
    /// Why it could not be read, where that is so.
    pub error: Option<String>,
}

/// Compares all tables of `schema` (the source's), `jobs` at a time. The reports are in the order of names.
pub async fn run(
    source: &Server,
    target: &Server,
    encoding: &str,
    schema: &Schema,
    jobs: usize,
) -> Result<Vec<TableReport>, VerifyError> {
    let tables: Arc<Vec<CopySource>> = Arc::new(tables(schema));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..jobs.clamp(1, tables.len().max(1)) {
        let (tables, next, source, target, encoding) =
            (tables.clone(), next.clone(), source.clone(), target.clone(), encoding.to_owned());
        workers.spawn(async move {
            let mut ends = [open(&source, &encoding).await?, open(&target, &encoding).await?];
            let mut reports = Vec::new();
            while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
                let [s, t] = &mut ends;
                let (a, b) = tokio::try_join!(fingerprint(s, table), fingerprint(t, table))?;
                reports.push(report(table, a, b));
            }
            Ok::<_, VerifyError>(reports)
        });
    }
    let mut reports = Vec::new();
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(result) => reports.extend(result?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    reports.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(reports)
}

async fn open(server: &Server, encoding: &str) -> Result<Wire, VerifyError> {
    let mut wire = server.connect_wire(encoding).await?;
    // Text output of timestamptz depends on it.
    wire.simple("setting the time zone", "SET TimeZone = 'UTC'; SET default_transaction_read_only = on")
        .await?;
    Ok(wire)
}

/// Every table with rows of its own; partitions whose rows may be spread otherwise on the target, as the one table that
/// they belong to.
fn tables(schema: &Schema) -> Vec<CopySource> {
    let routed = routed(schema);
    let together: HashSet<Address> = routed.values().copied().collect();
    let compared = |object: &Object| {
        let Definition::Table(table) = &object.definition else { return None };
        let partitioned = together.contains(&object.address);
        let on_its_own = table.kind == TableKind::Ordinary && !routed.contains_key(&object.address);
        (partitioned || on_its_own).then(|| CopySource {
            namespace: object.namespace.clone().unwrap_or_default(),
            name: object.name.clone(),
            columns: table.copied_columns().map(|c| c.name.clone()).collect(),
            binary: table.binary_safe(),
            condition: String::new(),
            through: None,
            partitioned,
        })
    };
    schema.objects.iter().filter_map(compared).collect()
}

fn report(
    table: &CopySource,
    source: Result<Fingerprint, SqlError>,
    target: Result<Fingerprint, SqlError>,
) -> TableReport {
    let rows = |r: &Result<Fingerprint, SqlError>| r.as_ref().ok().map(|f| f.rows);
    let equal = matches!((&source, &target), (Ok(a), Ok(b)) if a == b);
    let errors: Vec<String> =
        [&source, &target].iter().filter_map(|r| r.as_ref().err()).map(ToString::to_string).collect();
    TableReport {
        table: table.identity(),
        source_rows: rows(&source),
        target_rows: rows(&target),
        equal,
        error: (!errors.is_empty()).then(|| errors.join("; ")),
    }
}

struct HashSink(RowHasher);

impl Sink for HashSink {
    async fn take(&mut self, chunk: BytesMut, _rows: u64) -> Result<(), PumpError> {
        self.0.update(&chunk);
        Ok(())
    }
}

/// The outer error is a broken connection, the inner one a table that cannot be read.
async fn fingerprint(
    wire: &mut Wire,
    table: &CopySource,
) -> Result<Result<Fingerprint, SqlError>, VerifyError> {
    let mut sink = HashSink(RowHasher::new(table.binary));
    let what = format!("reading {}", table.identity());
    let query = wire.copy_query(&table.copy_to(&Slice::Whole));
    wire.send_query(&what, &query).await?;
    match pump(&what, wire, &mut sink).await {
        Ok(_) => Ok(Ok(sink.0.finish())),
        Err(PumpError::Sql(error)) if !error.is_broken() => Ok(Err(*error)),
        Err(PumpError::Sql(error)) => Err((*error).into()),
        // This sink refuses nothing; were it to, the table would count as unread.
        Err(PumpError::Refused) => Ok(Err(SqlError::local(wire.side, &what, "refused"))),
    }
}
