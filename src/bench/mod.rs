//! `pg_migrator bench`: how fast the copy and the apply are, against the limits measured in the same run.
//!
//! ```text
//!  places ─► arena (servers given, or throwaway ones) ─► premises (databases, slots, subscriptions of the run's own)
//!  workload ─► backlog in the source's WAL ─► drained by each contender in turn, on a fresh copy of the starting state
//!                                              receiver: throws the stream away      = what the source can send
//!                                              subscription: PostgreSQL's own        = what there is otherwise
//!                                              pg_migrator: stream::run, as in StreamApply
//!  shape    ─► tables on the source          ─► copied by COPY alone, and by a migration
//!                  meter: /proc, every 100 ms ─► report: table, JSON, one HTML page
//! ```
//!
//! It stands above `migration/` because it drives the product from outside, as its users do. Invariants: nothing is touched that
//! the run did not make itself, and all of that is gone when [`run`] returns, however it ends; every contender starts from the same state and
//! the same WAL, and what it made is compared with the source.

mod apply;
mod arena;
mod backlog;
pub mod contender;
mod copy;
mod error;
mod latency;
pub mod measure;
mod premises;
pub mod report;
mod throwaway;
pub mod workload;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

pub use error::BenchError;
pub use report::Report;

use arena::Arena;
use workload::{Shape, Workload};

use crate::pg::Server;
use crate::progress::{Event, Reporter};
use crate::stream::default_jobs;

/// Where one side's server comes from.
#[derive(Clone, Debug)]
pub enum Place {
    /// A server that is there; its database is where the run connects first.
    Given(Box<Server>),
    /// The folder with `initdb` and `postgres` of a server that is made for the run.
    Throwaway(PathBuf),
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub enum Task {
    /// Backlogs, drained.
    Apply {
        /// Which.
        workloads: Vec<Workload>,
        /// Apply lanes of pg_migrator; 0: as many as a migration takes by itself.
        lanes: usize,
    },
    /// From commit to visible, under a steady load.
    Latency {
        /// Transactions per second.
        rate: u32,
        /// How long.
        time: Duration,
        /// Apply lanes of pg_migrator; 0: as many as a migration takes by itself.
        lanes: usize,
    },
    /// Tables, copied.
    Copy {
        /// Which.
        shapes: Vec<Shape>,
        /// Connection pairs, of each contender.
        jobs: usize,
    },
}

/// A run of the benchmark.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The source.
    pub source: Place,
    /// The target.
    pub target: Place,
    /// What is measured.
    pub task: Task,
    /// Multiplies the rows and transactions of each workload.
    pub scale: f64,
    /// How often each contender runs; the middle one is shown, and goals are judged by the middle of the rounds.
    pub rounds: usize,
}

/// Runs the benchmark; `shutdown` holds the number of interrupts so far, the first of which ends it.
///
/// # Errors
/// See [`BenchError`]. Rows that differ are no error but part of the report ([`Report::all_equal`]).
pub async fn run(
    asked: Asked,
    reporter: Reporter,
    mut shutdown: watch::Receiver<u32>,
) -> Result<Report, BenchError> {
    let interrupted = async {
        if shutdown.wait_for(|&n| n > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(interrupted);
    let arena = tokio::select! {
        arena = Arena::open(&asked, &reporter) => arena?,
        () = &mut interrupted => return Err(BenchError::Interrupted),
    };
    let measured = tokio::select! {
        measured = measure_all(&asked, &arena, &reporter) => measured,
        () = &mut interrupted => Err(BenchError::Interrupted),
    };
    for left in arena.close().await {
        reporter.emit(Event::Warning { object: left.object, message: left.message });
    }
    measured
}

async fn measure_all(asked: &Asked, arena: &Arena, reporter: &Reporter) -> Result<Report, BenchError> {
    let connections = match asked.task {
        Task::Copy { jobs, .. } => jobs,
        Task::Apply { lanes: 0, .. } | Task::Latency { lanes: 0, .. } => {
            let mut wire = arena.target.server.connect_wire("UTF8").await?;
            let lanes = default_jobs(&mut wire).await?;
            wire.close().await;
            lanes
        }
        Task::Apply { lanes, .. } | Task::Latency { lanes, .. } => lanes,
    };
    let mut report = Report::new(asked, arena, connections);
    match &asked.task {
        Task::Apply { workloads, lanes } => {
            for workload in workloads {
                let drained = apply::run(arena, asked, *workload, *lanes, reporter).await?;
                report.workloads.push(drained);
            }
        }
        Task::Latency { rate, time, lanes } => {
            report.latency = latency::run(arena, *rate, *time, *lanes, reporter).await?;
        }
        Task::Copy { shapes, jobs } => {
            for shape in shapes {
                report.workloads.push(copy::run(arena, asked, *shape, *jobs, reporter).await?);
            }
        }
    }
    Ok(report)
}

fn note(reporter: &Reporter, message: String) {
    reporter.emit(Event::Note { message });
}
