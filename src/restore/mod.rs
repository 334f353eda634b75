//! Restore: replays the schema and copies the rows, as one graph of tasks over `--jobs` connection pairs.
//!
//! ```text
//! schema steps ─┐
//! table sizes  ─┴─ plan ──► pre-data ──► scheduler ──► workers: copy part │ bundle │ index │ key │ analyze │ …
//!                                                       │  source COPY TO ──pump──► target COPY FROM
//! ```
//!
//! [`plan`](plan) and [`scheduler`](scheduler) are pure; `worker` and what it calls do the talking. Invariants: rows are
//! read only under the one snapshot; on the target, work and its journal entry are one transaction; when `run` returns,
//! well or not, no statement of ours runs on either server.

mod copy;
mod copy_task;
mod dispatch;
mod error;
mod install;
mod large_objects;
mod plan;
mod refresh;
mod run;
mod scheduler;
mod source_lock;
mod statistics;
mod transaction;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use error::RestoreError;
pub use run::Totals;

use crate::config::RestoreOptions;
use crate::journal::{self, PlannedTask};
use crate::pg::{Server, Session};
use crate::progress::{Event, Reporter};
use crate::schema::{Schema, Section, Step};
use plan::{PlanInput, Work};
use run::Run;
use worker::Worker;

/// Everything Restore works from.
#[derive(Debug)]
pub struct Input<'a> {
    /// The source.
    pub source: &'a Server,
    /// The target.
    pub target: &'a Server,
    /// The session that holds the snapshot and the tables' locks.
    pub snapshot_session: &'a Session,
    /// The snapshot's identifier.
    pub snapshot: &'a str,
    /// A session on the target, for the journal.
    pub target_session: &'a Session,
    /// The model.
    pub schema: &'a Schema,
    /// Its ordered steps.
    pub steps: Vec<Step>,
    /// What may be done.
    pub options: &'a RestoreOptions,
    /// The migration's name in the journal.
    pub name: &'a str,
    /// Where events go.
    pub reporter: &'a Reporter,
}

/// How Restore ended, when it did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// Everything was done, or what was not is listed.
    Done(Totals),
    /// The operator interrupted it.
    Interrupted(Totals),
}

/// Runs Restore to its end. The first interrupt ends it at once: running statements are cancelled.
pub async fn run(input: Input<'_>, mut shutdown: watch::Receiver<u32>) -> Result<Outcome, RestoreError> {
    let prepared = tokio::select! {
        prepared = prepare(input) => prepared?,
        () = interrupted(&mut shutdown) => return Ok(Outcome::Interrupted(Totals::default())),
    };
    let run = Arc::new(prepared);
    let result = {
        let work = work(run.clone());
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => Some(result),
            () = interrupted(&mut shutdown) => None,
        }
    };
    match result {
        Some(Ok(())) => Ok(Outcome::Done(run.totals())),
        Some(Err(error)) => {
            run.cancel_all().await;
            Err(error)
        }
        None => {
            run.cancel_all().await;
            Ok(Outcome::Interrupted(run.totals()))
        }
    }
}

/// Returns at the first interrupt; never, where nobody can interrupt any more.
async fn interrupted(shutdown: &mut watch::Receiver<u32>) {
    if shutdown.wait_for(|&n| n > 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn prepare(input: Input<'_>) -> Result<Run, RestoreError> {
    let sizes = copy::sizes(input.snapshot_session, input.schema).await?;
    let split_bytes = input.options.split_bytes;
    let slicing = copy::slicing(input.snapshot_session, input.schema, &sizes, split_bytes).await?;
    let encoding: String = input
        .snapshot_session
        .value("reading the source's encoding", "SELECT pg_catalog.current_setting('server_encoding') AS e")
        .await?
        .unwrap_or_default();
    let statistics = match input.target_session.version() {
        statistics::TAKES_STATISTICS.. if input.options.carry_statistics => {
            statistics::read(input.snapshot_session, input.schema).await?
        }
        _ => HashMap::new(),
    };
    let plan = plan::plan(&PlanInput {
        carried: &statistics.keys().copied().collect(),
        schema: input.schema,
        steps: &input.steps,
        sizes: &sizes,
        slicing: &slicing,
        jobs: input.options.jobs,
        split_bytes,
        target_version: input.target_session.version(),
    });
    input.reporter.emit(planned(&plan, &input.steps));
    let run = Run::new(
        input.source.clone(),
        input.target.clone(),
        input.snapshot.to_owned(),
        encoding,
        input.name.to_owned(),
        input.steps,
        plan,
        statistics,
        input.options.clone(),
        input.reporter.clone(),
    );
    let relations: Vec<String> = run.plan.tables.iter().map(|t| t.source.identity()).collect();
    let tasks: Vec<PlannedTask> = run
        .plan
        .tasks
        .iter()
        .enumerate()
        .filter(|(_, t)| !matches!(t.work, Work::Barrier))
        .map(|(id, t)| {
            let (kind, object) = run.describe(&t.work);
            PlannedTask { id, kind, object }
        })
        .collect();
    journal::plan(input.target_session, input.name, &relations, &tasks).await?;
    Ok(run)
}

fn planned(plan: &plan::Plan, steps: &[Step]) -> Event {
    let of = |kinds: &[&str]| steps.iter().filter(|s| kinds.contains(&s.kind)).count() as u64;
    Event::Planned {
        tables: plan.tables.len() as u64,
        rows_estimate: plan.tables.iter().map(|t| t.size.rows).sum(),
        bytes_estimate: plan.tables.iter().map(|t| t.size.bytes).sum(),
        parts: plan.tables.iter().map(|t| t.slices.len() as u64).sum(),
        indexes: of(&["INDEX", "CONSTRAINT"]),
        constraints: steps
            .iter()
            .filter(|s| s.section == Section::PostData && s.kind.ends_with("CONSTRAINT"))
            .count() as u64,
        statements: steps.iter().map(|s| s.create.len() as u64).sum(),
    }
}

async fn work(run: Arc<Run>) -> Result<(), RestoreError> {
    install::pre_data(&run).await?;
    let mut workers = JoinSet::new();
    for id in 0..run.options.jobs.max(1) {
        workers.spawn(Worker::new(run.clone(), id).work());
    }
    // Dropping the set on the first error ends the other workers: their connections close, nothing is committed.
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(())
}
