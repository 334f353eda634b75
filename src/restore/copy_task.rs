//! The copy tasks: one part of a large table, or a bundle of small ones with their indexes and statistics.
//!
//! Both are one transaction on the target (rows, what rides along, journal) and one on the source (under the shared
//! snapshot, each table locked first: [`source_lock`]), all statements sent without waiting. Invariant: rows are committed only when the source has ended
//! its COPY well; after any error both connections are closed, which rolls everything back.

use bytes::BytesMut;

use super::error::RestoreError;
use super::run::Run;
use super::scheduler::TaskId;
use super::source_lock;
use super::transaction::Transaction;
use super::worker::{FAST_COMMIT, Worker};
use crate::error::Side;
use crate::journal;
use crate::pg::{BEGIN_READER, Moved, PumpError, Sink, SqlError, Wire, import_snapshot, pump};
use crate::progress::{Event, FailedObject};

/// A progress event is emitted at most once per so many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What one statement of the target's transaction was for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Table(usize),
    Step(usize, usize),
    Own,
}

/// Why a copy transaction was given up.
enum Failure {
    /// Not this task's objects' fault: a connection, the journal.
    Fatal(RestoreError),
    /// A table or a step was refused.
    Refused(Purpose, SqlError),
    /// Somebody waits for a table alone: nothing was read.
    Locked(SqlError),
}

impl From<RestoreError> for Failure {
    fn from(e: RestoreError) -> Self {
        Failure::Fatal(e)
    }
}

impl From<SqlError> for Failure {
    fn from(e: SqlError) -> Self {
        Failure::Fatal(e.into())
    }
}

/// How a transaction copies.
#[derive(Clone, Copy)]
struct Manner {
    /// Empty each table first and write its rows frozen.
    freeze: bool,
    /// Gather statistics at the end; large tables have a task for that.
    analyze: bool,
}

/// Emptying a table makes new files for it and its indexes: dearer than what FREEZE saves on a small one.
const BUNDLED: Manner = Manner { freeze: false, analyze: true };

/// Copies one slice of a table; the whole table is emptied first and frozen.
pub(super) async fn part(
    worker: &mut Worker,
    id: TaskId,
    table: usize,
    slice: usize,
) -> Result<(), RestoreError> {
    let run = worker.run.clone();
    if let Some(because) = run.table_failed(table) {
        skip_rows(&run, table, because);
        return Ok(());
    }
    let whole = run.plan.tables[table].slices.len() == 1;
    let result = transfer(worker, id, &[(table, slice)], &[], Manner { freeze: whole, analyze: false }).await;
    settle(worker, id, result, Some(table)).await
}

/// Copies small tables and makes the indexes and keys that ride with them.
pub(super) async fn bundle(
    worker: &mut Worker,
    id: TaskId,
    tables: &[usize],
    steps: &[usize],
) -> Result<(), RestoreError> {
    let run = worker.run.clone();
    let mut items = Vec::new();
    for &table in tables {
        match run.table_failed(table) {
            Some(because) => skip_rows(&run, table, because),
            None if run.plan.tables[table].slices.is_empty() => run.empty_table_done(),
            None => items.push((table, 0)),
        }
    }
    let blocked = steps.iter().any(|&i| run.blocked_by(i).is_some());
    if !blocked {
        match transfer(worker, id, &items, steps, BUNDLED).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(purpose, error)) if run.options.allow_restore_errors => {
                worker.give_up_connections();
                // Something in it was refused: what, and what not, shows when each goes alone.
                tracing::debug!(?purpose, %error, "a bundle is taken apart");
            }
            Err(failure) => return settle(worker, id, Err(failure), None).await,
        }
    }
    for &(table, slice) in &items {
        let result = transfer(worker, id, &[(table, slice)], &[], BUNDLED).await;
        settle(worker, id, result, Some(table)).await?;
    }
    worker.steps(id, steps).await
}

fn skip_rows(run: &Run, table: usize, because: String) {
    run.object_failed(FailedObject {
        kind: "TABLE DATA".to_owned(),
        object: run.plan.tables[table].source.identity(),
        message: format!("skipped, because {because} failed"),
        skipped_because_of: Some(because),
        statements: Vec::new(),
    });
}

/// Turns a failure into the task's error, or into a warning where that is allowed.
async fn settle(
    worker: &mut Worker,
    id: TaskId,
    result: Result<(), Failure>,
    alone: Option<usize>,
) -> Result<(), RestoreError> {
    let Err(failure) = result else { return Ok(()) };
    worker.give_up_connections();
    let run = worker.run.clone();
    let error = match failure {
        Failure::Fatal(error) => return Err(error),
        Failure::Locked(error) => return Err(error.into()),
        Failure::Refused(Purpose::Step(i, s), error) => {
            let statement = run.steps[i].create.get(s).cloned().unwrap_or_default();
            return worker.step_failed(id, i, &statement, error).await;
        }
        Failure::Refused(Purpose::Table(table), source) => {
            RestoreError::Copy { table: run.plan.tables[table].source.identity(), source }
        }
        Failure::Refused(Purpose::Own, error) => return Err(error.into()),
    };
    match alone {
        Some(table) if run.options.allow_restore_errors && error.is_tolerable() => {
            let message = error.to_string();
            run.object_failed(FailedObject {
                kind: "TABLE DATA".to_owned(),
                object: run.plan.tables[table].source.identity(),
                message: message.clone(),
                skipped_because_of: None,
                statements: Vec::new(),
            });
            worker.journal_failure(id, &message).await
        }
        _ => Err(error),
    }
}

/// Moves `items` (table, slice) and makes `steps`, in one transaction on each server; again where a table could not be locked.
async fn transfer(
    worker: &mut Worker,
    id: TaskId,
    items: &[(usize, usize)],
    steps: &[usize],
    manner: Manner,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        match attempt(worker, id, items, steps, manner).await {
            Err(Failure::Locked(error)) => {
                tries += 1;
                let tables: Vec<usize> = items.iter().map(|(table, _)| *table).collect();
                source_lock::wait(worker, &tables, tries, error).await?;
            }
            other => return other,
        }
    }
}

async fn attempt(
    worker: &mut Worker,
    id: TaskId,
    items: &[(usize, usize)],
    steps: &[usize],
    manner: Manner,
) -> Result<(), Failure> {
    let run = worker.run.clone();
    let (source, target) = if items.is_empty() {
        (None, worker.target().await?)
    } else {
        let (source, target) = worker.pair().await?;
        (Some(source), target)
    };
    let mut purposes = vec![Purpose::Own, Purpose::Own];
    let mut transaction = Transaction::begin(target, "BEGIN").await?;
    transaction.send(&[FAST_COMMIT]).await?;
    let mut moved: Vec<(usize, Moved)> = Vec::new();
    if let Some(source) = source {
        ask(&run, source, items).await?;
        for &(table, _) in items {
            run.slice_started(table);
            let copied =
                copy_one(&run, source, &mut transaction, &mut purposes, table, manner.freeze).await?;
            moved.push((table, copied));
        }
        expect_ready(source).await?;
    }
    for &i in steps {
        let statements: Vec<&str> = run.steps[i].create.iter().map(String::as_str).collect();
        transaction.send(&statements).await?;
        purposes.extend((0..statements.len()).map(|s| Purpose::Step(i, s)));
    }
    for statement in closing(&run, id, &moved, manner.analyze) {
        transaction.send(&[statement]).await?;
        purposes.push(Purpose::Own);
    }
    if let Err((index, error)) = transaction.commit().await {
        return Err(refused(&run, &purposes, index, error));
    }
    for (table, copied) in moved {
        run.slice_done(table, copied.rows, copied.bytes);
    }
    steps.iter().for_each(|&i| run.step_done(i));
    Ok(())
}

fn refused(run: &Run, purposes: &[Purpose], index: usize, mut error: SqlError) -> Failure {
    let purpose = purposes.get(index).copied().unwrap_or(Purpose::Own);
    if let Purpose::Table(table) = purpose {
        error.what = format!("copying {}", run.plan.tables[table].source.identity());
    }
    if error.is_broken() {
        return Failure::Fatal(error.into()); // the connection, not the object
    }
    Failure::Refused(purpose, error)
}

/// Statistics for a bundle, then the journal's entries.
fn closing(run: &Run, id: TaskId, moved: &[(usize, Moved)], analyze: bool) -> Vec<String> {
    let mut closing = Vec::new();
    let identity = |table: usize| run.plan.tables[table].source.identity();
    if analyze && !moved.is_empty() {
        let alone = moved.iter().filter(|(table, _)| {
            let table = &run.plan.tables[*table];
            !table.has_children && !table.carried
        });
        let tables: Vec<String> = alone.map(|(table, _)| identity(*table)).collect();
        if !tables.is_empty() {
            closing.push(format!("ANALYZE {}", tables.join(", ")));
        }
    }
    if !moved.is_empty() {
        let parts = moved.iter().map(|(t, _)| run.plan.tables[*t].slices.len()).max().unwrap_or(1);
        let relations: Vec<_> = moved.iter().map(|(t, m)| (identity(*t), m.rows, m.bytes)).collect();
        closing.push(journal::relation_done(&run.name, &relations, parts as u64));
    }
    let (rows, bytes) = moved.iter().fold((0, 0), |(r, b), (_, m)| (r + m.rows, b + m.bytes));
    closing.push(journal::task_done(&run.name, id, rows, bytes));
    closing
}

/// Sends the source everything at once: the snapshot's transaction and a COPY per item.
async fn ask(run: &Run, source: &mut Wire, items: &[(usize, usize)]) -> Result<(), Failure> {
    let tables = items.iter().map(|(table, _)| *table);
    let mut queries =
        vec![BEGIN_READER.to_owned(), import_snapshot(&run.snapshot), source_lock::lock(run, tables)];
    for &(table, slice) in items {
        let t = &run.plan.tables[table];
        queries.push(source.copy_query(&t.source.copy_to(&t.slices[slice])));
    }
    queries.push("COMMIT".to_owned());
    source.send_queries("reading tables", &queries).await?;
    for what in ["beginning a reader's transaction", "importing the snapshot"] {
        source.expect_ready(what).await?;
    }
    match source.expect_ready("locking tables").await {
        Err(error) if source_lock::is_refused(&error) => Err(Failure::Locked(error)),
        other => Ok(other?),
    }
}

async fn expect_ready(source: &mut Wire) -> Result<(), Failure> {
    Ok(source.expect_ready("ending a reader's transaction").await?)
}

async fn copy_one(
    run: &Run,
    source: &mut Wire,
    transaction: &mut Transaction<'_>,
    purposes: &mut Vec<Purpose>,
    table: usize,
    freeze: bool,
) -> Result<Moved, Failure> {
    let t = &run.plan.tables[table];
    let freeze = freeze && t.ours;
    if freeze {
        // Emptied in this transaction, so COPY may write rows that are frozen from the start.
        transaction.send(&[format!("TRUNCATE ONLY {}", t.source.identity())]).await?;
        purposes.push(Purpose::Table(table));
    }
    let copy_from = transaction.wire().copy_query(&t.source.copy_from(freeze));
    transaction.send(&[copy_from]).await?;
    purposes.push(Purpose::Table(table));
    let mut sink = TargetSink { run, transaction, table, rows: 0, bytes: 0 };
    let what = format!("copying {}", t.source.identity());
    match pump(&what, source, &mut sink).await {
        Ok(moved) => {
            sink.report();
            sink.transaction.wire().send_bytes(&what, &Wire::copy_done_message()).await?;
            Ok(moved)
        }
        Err(PumpError::Refused) => {
            let failed = transaction.failure();
            match failed {
                Some((index, error)) => Err(refused(run, purposes, index, error)),
                None => Err(SqlError::local(Side::Target, &what, "the copy was refused").into()),
            }
        }
        Err(PumpError::Sql(error)) if !error.is_broken() => {
            Err(Failure::Refused(Purpose::Table(table), *error))
        }
        Err(PumpError::Sql(error)) => {
            let source = *error;
            Err(Failure::Fatal(RestoreError::Copy { table: t.source.identity(), source }))
        }
    }
}

/// The target's side of the pump.
struct TargetSink<'a, 'w> {
    run: &'a Run,
    transaction: &'a mut Transaction<'w>,
    table: usize,
    rows: u64,
    bytes: u64,
}

impl TargetSink<'_, '_> {
    fn report(&mut self) {
        if self.bytes > 0 {
            let table = self.run.plan.tables[self.table].source.identity();
            self.run.reporter.emit(Event::Copied { table, rows: self.rows, bytes: self.bytes });
        }
        (self.rows, self.bytes) = (0, 0);
    }
}

impl Sink for TargetSink<'_, '_> {
    async fn take(&mut self, chunk: BytesMut, rows: u64) -> Result<(), PumpError> {
        self.rows += rows;
        self.bytes += chunk.len() as u64;
        self.transaction.wire().send_bytes("copying", &chunk).await?;
        if self.transaction.check()? {
            return Err(PumpError::Refused);
        }
        if self.bytes >= PROGRESS_BYTES {
            self.report();
        }
        Ok(())
    }
}
