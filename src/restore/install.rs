//! Pre-data: schemas, types, functions, tables … in order, on one connection, in pipelined transactions.
//!
//! Invariant: an object is in the journal exactly if it is on the target, because both are one transaction.

use std::time::Instant;

use super::error::RestoreError;
use super::run::Run;
use super::transaction;
use super::worker::FAST_COMMIT;
use crate::journal;
use crate::pg::{SqlError, Wire};
use crate::progress::Event;

/// Objects per transaction: each may hold several locks until it commits, and the server's lock table is
/// limited (`max_locks_per_transaction`).
const OBJECTS_PER_TRANSACTION: usize = 200;

/// Installs the plan's pre-data steps.
pub(super) async fn pre_data(run: &Run) -> Result<(), RestoreError> {
    let started = Instant::now();
    let mut wire = run.target.connect_wire("UTF8").await?;
    run.register_cancel(usize::MAX, "target", wire.cancel_handle());
    wire.simple("saying that a worker is here", journal::PRESENCE).await?;
    let (kind, object) = ("PRE-DATA".to_owned(), format!("{} objects", run.plan.pre_data.len()));
    run.reporter.emit(Event::TaskStarted { kind: kind.clone(), object: object.clone() });
    for chunk in run.plan.pre_data.chunks(OBJECTS_PER_TRANSACTION) {
        let Err((i, statement, error)) = together(run, &mut wire, chunk).await else { continue };
        if !run.options.allow_restore_errors {
            return Err(run.object_error(i, &statement, error));
        }
        for &i in chunk {
            alone(run, &mut wire, i).await?;
        }
    }
    run.reporter.emit(Event::TaskFinished { kind, object, elapsed: started.elapsed() });
    Ok(())
}

/// Several objects as one transaction; the error names the step and the statement that failed.
async fn together(run: &Run, wire: &mut Wire, chunk: &[usize]) -> Result<(), (usize, String, SqlError)> {
    let owners: Vec<(usize, &str)> =
        chunk.iter().flat_map(|&i| run.steps[i].create.iter().map(move |s| (i, s.as_str()))).collect();
    let made: Vec<(&str, &str)> =
        chunk.iter().map(|&i| (run.steps[i].kind, run.steps[i].identity.as_str())).collect();
    let entry = journal::objects_created(&run.name, &made);
    let mut statements = vec![FAST_COMMIT];
    statements.extend(owners.iter().map(|(_, s)| *s));
    statements.push(&entry);
    transaction::run(wire, &statements).await.map_err(|(index, error)| {
        match index.checked_sub(1).and_then(|n| owners.get(n)) {
            Some(&(i, statement)) => (i, statement.to_owned(), error),
            None => (chunk.first().copied().unwrap_or(0), entry.clone(), error),
        }
    })
}

/// One object by itself, where the operator allowed failures.
async fn alone(run: &Run, wire: &mut Wire, i: usize) -> Result<(), RestoreError> {
    if let Some(because) = run.blocked_by(i) {
        run.step_failed(i, format!("skipped, because {because} failed"), Some(because));
        return Ok(());
    }
    let Err((i, statement, error)) = together(run, wire, &[i]).await else { return Ok(()) };
    let error = run.object_error(i, &statement, error);
    if !error.is_tolerable() {
        return Err(error);
    }
    let message = match &error {
        RestoreError::Object { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    run.step_failed(i, message, None);
    Ok(())
}
