//! Pre-data: schemas, types, functions, tables … in pipelined transactions, wave by wave, over `--jobs` connections.
//!
//! Invariants: an object is in the journal exactly if it is on the target, because both are one transaction; a transaction
//! that failed beside others is tried again alone before anything is said about it, so that what another connection did
//! at the same moment (a deadlock, a catalog row updated by two) never fails a migration.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;

use super::error::RestoreError;
use super::plan::Wave;
use super::run::Run;
use super::transaction;
use super::worker::FAST_COMMIT;
use crate::journal;
use crate::pg::{SqlError, Wire};
use crate::progress::Event;

/// Installs the plan's pre-data steps.
pub(super) async fn pre_data(run: &Run) -> Result<(), RestoreError> {
    let started = Instant::now();
    let steps: usize = run.plan.pre_data.iter().flat_map(|wave| &wave.lists).map(Vec::len).sum();
    let (kind, object) = ("PRE-DATA".to_owned(), format!("{steps} objects"));
    run.reporter.emit(Event::TaskStarted { kind: kind.clone(), object: object.clone() });
    let mut wires = Vec::new();
    for wave in &run.plan.pre_data {
        while wires.len() < run.options.jobs.clamp(1, wave.lists.len().max(1)) {
            wires.push(connect(run, wires.len()).await?);
        }
        let left: Vec<Vec<usize>> = match &wave.lists[..] {
            [list] => list.chunks(wave.transaction).map(<[usize]>::to_vec).collect(),
            _ => beside_each_other(run, &mut wires, wave).await?,
        };
        let Some(wire) = wires.first_mut() else { continue };
        for chunk in left {
            by_itself(run, wire, &chunk).await?;
        }
    }
    run.reporter.emit(Event::TaskFinished { kind, object, elapsed: started.elapsed() });
    Ok(())
}

async fn connect(run: &Run, number: usize) -> Result<Wire, RestoreError> {
    let mut wire = run.target.connect_wire("UTF8").await?;
    run.register_cancel(usize::MAX - number, "target", wire.cancel_handle());
    wire.simple("saying that a worker is here", journal::PRESENCE).await?;
    Ok(wire)
}

/// Runs a wave's lists, each on whichever connection is free; returns the transactions that failed, and those that wait for them.
async fn beside_each_other(
    run: &Run,
    wires: &mut [Wire],
    wave: &Wave,
) -> Result<Vec<Vec<usize>>, RestoreError> {
    let next = &AtomicUsize::new(0);
    let work = wires.iter_mut().map(|wire| async move {
        let mut left: Vec<Vec<usize>> = Vec::new();
        while let Some(list) = wave.lists.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut chunks = list.chunks(wave.transaction);
            while let Some(chunk) = chunks.next() {
                let Err((i, statement, error)) = together(run, wire, chunk).await else { continue };
                if error.is_broken() {
                    return Err(run.object_error(i, &statement, error));
                }
                tracing::debug!(%error, object = run.steps[i].identity, "tried again alone");
                left.push(chunk.to_vec());
                left.extend(chunks.by_ref().map(<[usize]>::to_vec));
            }
        }
        Ok(left)
    });
    Ok(try_join_all(work).await?.concat())
}

/// A transaction by itself; where the operator allowed failures, and it fails, each of its objects.
async fn by_itself(run: &Run, wire: &mut Wire, chunk: &[usize]) -> Result<(), RestoreError> {
    let Err((i, statement, error)) = together(run, wire, chunk).await else { return Ok(()) };
    if !run.options.allow_restore_errors {
        return Err(run.object_error(i, &statement, error));
    }
    for &i in chunk {
        alone(run, wire, i).await?;
    }
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
