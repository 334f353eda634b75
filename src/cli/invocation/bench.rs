//! `pg_migrator bench`: checked.

use std::path::PathBuf;
use std::time::Duration;

use super::{UsageError, server};
use crate::bench::workload::{Shape, Workload};
use crate::bench::{Asked, Place, Task};
use crate::cli::bench::Bench;
use crate::cli::bench_args::{
    BenchApplyArgs, BenchArgs, BenchCommonArgs, BenchCopyArgs, BenchFormat, RawBench, ShapeArg, WorkloadArg,
};
use crate::cli::invocation::Output;
use crate::config::OnlineOptions;
use crate::error::Side;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// More rows than any disk has room for.
const MAX_SCALE: f64 = 10_000.0;

pub(super) fn resolve(raw: BenchArgs, env: Env<'_>) -> Result<Bench, UsageError> {
    match raw.bench {
        RawBench::Apply(args) => {
            let task = apply(&args);
            bench(args.common, task, env)
        }
        RawBench::Copy(args) => {
            let task = copy(&args);
            bench(args.common, task, env)
        }
    }
}

fn apply(args: &BenchApplyArgs) -> Task {
    let lanes = args.apply_jobs.map_or(OnlineOptions::default().lanes, usize::from);
    if args.latency {
        let time = Duration::from_secs(args.seconds.unwrap_or(10));
        return Task::Latency { rate: args.rate.unwrap_or(1000), time, lanes };
    }
    let asked: Vec<Workload> = args.workload.iter().map(|w| workload(*w)).collect();
    // In the report's order, each once.
    let all = Workload::ALL.into_iter();
    Task::Apply { workloads: all.filter(|w| asked.is_empty() || asked.contains(w)).collect(), lanes }
}

fn copy(args: &BenchCopyArgs) -> Task {
    let asked: Vec<Shape> = args.workload.iter().map(|s| shape(*s)).collect();
    let all = Shape::ALL.into_iter();
    Task::Copy {
        shapes: all.filter(|s| asked.is_empty() || asked.contains(s)).collect(),
        jobs: usize::from(args.jobs),
    }
}

fn workload(arg: WorkloadArg) -> Workload {
    match arg {
        WorkloadArg::Tpcb => Workload::Tpcb,
        WorkloadArg::InsertBulk => Workload::InsertBulk,
        WorkloadArg::InsertSmall => Workload::InsertSmall,
        WorkloadArg::UpdateBulk => Workload::UpdateBulk,
        WorkloadArg::DeleteBulk => Workload::DeleteBulk,
        WorkloadArg::Mixed => Workload::Mixed,
    }
}

fn shape(arg: ShapeArg) -> Shape {
    match arg {
        ShapeArg::Narrow => Shape::Narrow,
        ShapeArg::Wide => Shape::Wide,
        ShapeArg::Blobs => Shape::Blobs,
    }
}

fn bench(raw: BenchCommonArgs, task: Task, env: Env<'_>) -> Result<Bench, UsageError> {
    if !(raw.scale > 0.0 && raw.scale <= MAX_SCALE) {
        return Err(UsageError::BadValue("scale", "must be a number above 0, and at most 10000"));
    }
    let source = place(Side::Source, raw.source, raw.source_bin, ("source", "PG_MIGRATOR_SOURCE"), env)?;
    let target = place(Side::Target, raw.target, raw.target_bin, ("target", "PG_MIGRATOR_TARGET"), env)?;
    let output = match raw.format {
        BenchFormat::Table => Output::Text,
        BenchFormat::Json => Output::Json,
    };
    let asked = Asked { source, target, task, scale: raw.scale, rounds: usize::from(raw.rounds) };
    Ok(Bench { asked, output, json: raw.json, html: raw.html })
}

fn place(
    side: Side,
    conninfo: Option<String>,
    bin: Option<PathBuf>,
    (flag, variable): (&'static str, &'static str),
    env: Env<'_>,
) -> Result<Place, UsageError> {
    match bin {
        Some(bin) => Ok(Place::Throwaway(bin)),
        None => match server(side, conninfo, flag, variable, env) {
            Ok(server) => Ok(Place::Given(Box::new(server))),
            Err(UsageError::ServerMissing(..)) => Err(UsageError::PlaceMissing(flag, variable)),
            Err(error) => Err(error),
        },
    }
}
