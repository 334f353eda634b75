//! `bench copy`: tables of one shape, copied by COPY alone, and by a migration.
//!
//! Invariant: each contender copies the same rows into tables without an index, over the same number of connection pairs. Of the migration, the
//! time from the first table's start to the last one's end is compared; all of it is told too.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::apply::differences;
use super::arena::Arena;
use super::contender::Name;
use super::measure::Meter;
use super::report::{ContenderReport, Run, Size, WorkloadReport};
use super::workload::{Plan, SCHEMA, Shape};
use super::{Asked, BenchError, note};
use crate::config::{DEFAULT_NAME, Filter, RestoreOptions};
use crate::error::Side;
use crate::migration::{self, Config};
use crate::pg::{PumpError, Server, Sink, SqlError, Wire, pump};
use crate::progress::{Event, Reporter};

/// Has the tables of `shape` copied by each contender.
pub(super) async fn run(
    arena: &Arena,
    asked: &Asked,
    shape: Shape,
    jobs: usize,
    reporter: &Reporter,
) -> Result<WorkloadReport, BenchError> {
    let (premises, name) = (&arena.premises, shape.name());
    let plan = shape.plan(asked.scale);
    note(reporter, format!("{name}: making the tables"));
    let source = premises.database(Side::Source, &premises.name(name), None).await?;
    make(&source, &plan, true).await?;
    let mut size = Size::default();
    let mut contenders: Vec<ContenderReport> = Name::COPY
        .iter()
        .map(|name| ContenderReport { name: *name, runs: Vec::new(), skipped: None })
        .collect();
    for _ in 0..asked.rounds {
        for contender in &mut contenders {
            let database = premises.name(&format!("{name}_run"));
            let target = premises.database(Side::Target, &database, None).await?;
            if contender.name != Name::Migrator {
                make(&target, &plan, false).await?;
            }
            arena.checkpoint().await?;
            let heat = Heat { arena, source: &source, target: &target, plan: &plan, jobs };
            let copied = match contender.name {
                Name::Migrator => heat.migration().await?,
                name => heat.by_hand(name == Name::CopyBinary).await?,
            };
            // The rows are the same for all; the bytes are those of the text format, the first contender's.
            if size.rows == 0 {
                size = Size { rows: copied.rows, bytes: copied.bytes, ..Size::default() };
            }
            let seconds = copied.to - copied.from;
            let points = copied.meter.points();
            let mut run =
                Run::of(contender.name, size, seconds, copied.meter.cpu(copied.from, copied.to), points);
            run.whole_seconds = copied.whole;
            run.megabytes_per_second = copied.bytes as f64 / seconds.max(1e-9) / 1e6;
            run.differing = differences(&source, &target).await?;
            run.equal = Some(run.differing.is_empty());
            note(reporter, format!("{name}: {}: {seconds:.2} s", contender.name));
            contender.runs.push(run);
            premises.drop_database(Side::Target, &database).await?;
        }
    }
    premises.drop_database(Side::Source, source.dbname()).await?;
    let mut report = WorkloadReport { name, what: shape.what(), size, contenders, goals: Vec::new() };
    report.compare(None);
    Ok(report)
}

/// Makes the tables, and on the source their rows.
async fn make(server: &Server, plan: &Plan, rows: bool) -> Result<(), BenchError> {
    let session = server.connect().await?;
    session
        .batch("making the tables", &format!("SET synchronous_commit = off; CREATE SCHEMA {SCHEMA}"))
        .await?;
    let statements = plan.start.iter().chain(plan.source_only.iter().filter(|_| rows));
    for sql in statements {
        session.batch("making the tables", sql).await?;
    }
    Ok(session.batch("reading through the tables", "VACUUM ANALYZE").await?)
}

/// One contender's turn.
struct Heat<'a> {
    arena: &'a Arena,
    source: &'a Server,
    target: &'a Server,
    plan: &'a Plan,
    jobs: usize,
}

/// What was copied; `from` and `to` are seconds of the meter.
struct Copied {
    rows: u64,
    bytes: u64,
    from: f64,
    to: f64,
    whole: Option<f64>,
    meter: super::measure::Trace,
}

impl Heat<'_> {
    /// COPY TO into COPY FROM, a table at a time on each connection pair.
    async fn by_hand(&self, binary: bool) -> Result<Copied, BenchError> {
        let moved = Arc::new(AtomicU64::new(0));
        let rows = Arc::new(AtomicU64::new(0));
        let next = Arc::new(AtomicUsize::new(0));
        let tables = Arc::new(self.plan.tables.clone());
        let seen = Arc::clone(&moved);
        let meter = Meter::start(self.arena.watch(), 0, move || seen.load(Ordering::Relaxed));
        let started = Instant::now();
        let mut pairs = JoinSet::new();
        for _ in 0..self.jobs.clamp(1, tables.len()) {
            let (source, target) = (self.source.clone(), self.target.clone());
            let (moved, rows) = (Arc::clone(&moved), Arc::clone(&rows));
            let (next, tables) = (Arc::clone(&next), Arc::clone(&tables));
            pairs.spawn(async move {
                let mut from = source.connect_wire("UTF8").await?;
                let mut into = target.connect_wire("UTF8").await?;
                while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let n = copy(&mut from, &mut into, table, binary, &moved).await?;
                    rows.fetch_add(n, Ordering::Relaxed);
                }
                Ok::<_, BenchError>(())
            });
        }
        while let Some(ended) = pairs.join_next().await {
            match ended {
                Ok(done) => done?,
                Err(e) => std::panic::resume_unwind(e.into_panic()),
            }
        }
        let to = started.elapsed().as_secs_f64();
        let (rows, bytes) = (rows.load(Ordering::Relaxed), moved.load(Ordering::Relaxed));
        Ok(Copied { rows, bytes, from: 0.0, to, whole: None, meter: meter.stop() })
    }

    /// A whole migration of the database.
    async fn migration(&self) -> Result<Copied, BenchError> {
        let config = Config {
            source: self.source.clone(),
            target: self.target.clone(),
            filter: Filter::default(),
            restore: RestoreOptions {
                jobs: self.jobs,
                no_owner: true,
                no_privileges: true,
                ..RestoreOptions::default()
            },
            subscription_name: DEFAULT_NAME.to_owned(),
            online: None,
        };
        let moved = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&moved);
        let meter = Arc::new(Meter::start(self.arena.watch(), 0, move || seen.load(Ordering::Relaxed)));
        let window = Arc::new(Mutex::new((None, None)));
        let (marks, events) = (Arc::clone(&meter), Arc::clone(&window));
        let reporter = Reporter::new(move |event| {
            let mut window = events.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Copied { bytes, .. } => {
                    moved.fetch_add(bytes, Ordering::Relaxed);
                }
                Event::TableStarted { .. } if window.0.is_none() => window.0 = Some(marks.mark()),
                Event::TableFinished { .. } => window.1 = Some(marks.mark()),
                _ => {}
            }
        });
        let started = Instant::now();
        // Nobody interrupts it: the run's own interrupt drops this future.
        let (_never, shutdown) = watch::channel(0);
        let summary = migration::run(config, reporter, shutdown).await?;
        let whole = started.elapsed().as_secs_f64();
        meter.mark();
        let (from, to) = *window.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Copied {
            rows: summary.rows,
            bytes: summary.bytes,
            from: from.unwrap_or(0.0),
            to: to.unwrap_or(whole),
            whole: Some(whole),
            meter: meter.trace(),
        })
    }
}

/// One table, in a transaction of its own that begins by emptying it, so that in binary the rows can be frozen.
async fn copy(
    from: &mut Wire,
    into: &mut Wire,
    table: &str,
    binary: bool,
    moved: &AtomicU64,
) -> Result<u64, BenchError> {
    let what = format!("copying {SCHEMA}.{table}");
    let (out, options) = match binary {
        true => (" (FORMAT binary)", " (FORMAT binary, FREEZE)"),
        false => ("", ""),
    };
    into.simple(&what, &format!("BEGIN; TRUNCATE {SCHEMA}.{table}")).await?;
    into.start_copy_in(&what, &format!("COPY {SCHEMA}.{table} FROM STDIN{options}")).await?;
    from.send_query(&what, &format!("COPY {SCHEMA}.{table} TO STDOUT{out}")).await?;
    let mut sink = Into { wire: into, what: &what, moved };
    pump(&what, from, &mut sink).await.map_err(|error| BenchError::of_pump(error, &what))?;
    into.send(&Wire::copy_done_message()).await.map_err(|e| SqlError::broken(into.side, &what, &e))?;
    let rows = into.finish_copy(&what).await?;
    into.simple(&what, "COMMIT").await?;
    Ok(rows)
}

/// The target's end of the pipe.
struct Into<'a> {
    wire: &'a mut Wire,
    what: &'a str,
    moved: &'a AtomicU64,
}

impl Sink for Into<'_> {
    async fn take(&mut self, chunk: BytesMut, _rows: u64) -> Result<(), PumpError> {
        let sent = self.wire.send(&chunk).await;
        sent.map_err(|e| SqlError::broken(self.wire.side, self.what, &e))?;
        self.moved.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
