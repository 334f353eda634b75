//! The raw command line of `pg_migrator bench`, as clap reads it; [`super::invocation`] checks what it means.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `pg_migrator bench`
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) bench: RawBench,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RawBench {
    /// Drain backlogs of changes: against a receiver that throws the stream away, and PostgreSQL's own subscription.
    Apply(BenchApplyArgs),
    /// Copy tables: against COPY TO into COPY FROM alone.
    Copy(BenchCopyArgs),
}

/// What both have.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchCommonArgs {
    /// A server with room for databases of the bench's own: a connection string; or set PG_MIGRATOR_SOURCE.
    #[arg(long, value_name = "CONNINFO", conflicts_with = "source_bin")]
    pub(crate) source: Option<String>,
    /// The same for the target; or set PG_MIGRATOR_TARGET.
    #[arg(long, value_name = "CONNINFO", conflicts_with = "target_bin")]
    pub(crate) target: Option<String>,
    /// Make a throwaway source from the initdb and postgres in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) source_bin: Option<PathBuf>,
    /// Make a throwaway target from the initdb and postgres in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) target_bin: Option<PathBuf>,
    /// Multiplies the rows and transactions of each workload.
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) scale: f64,
    /// How often each contender runs; the middle one is shown, and goals are judged by the middle of the rounds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
    /// What is printed on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: BenchFormat,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as one HTML page with plots to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// `pg_migrator bench apply`
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchApplyArgs {
    #[command(flatten)]
    pub(crate) common: BenchCommonArgs,
    /// Only this workload; repeatable [default: all].
    #[arg(long, value_name = "NAME", conflicts_with = "latency")]
    pub(crate) workload: Vec<WorkloadArg>,
    /// Apply lanes of pg_migrator [default: as in a migration].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) apply_jobs: Option<u16>,
    /// Measure the time from commit to visible under a steady load instead.
    #[arg(long)]
    pub(crate) latency: bool,
    /// Transactions per second of --latency [default: 1000].
    #[arg(long, value_name = "N", requires = "latency", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// How long the load of --latency runs, seconds [default: 10].
    #[arg(long, value_name = "N", requires = "latency", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,
}

/// `pg_migrator bench copy`
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchCopyArgs {
    #[command(flatten)]
    pub(crate) common: BenchCommonArgs,
    /// Only tables of this shape; repeatable [default: all].
    #[arg(long, value_name = "NAME")]
    pub(crate) workload: Vec<ShapeArg>,
    /// Connection pairs that copy at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// For people
    Table,
    /// One JSON object
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadArg {
    /// 120,000 TPC-B transactions as pgbench's, 8 clients
    Tpcb,
    /// 500,000 rows inserted in 10 transactions
    InsertBulk,
    /// 400,000 rows inserted 10 at a time
    InsertSmall,
    /// 500,000 rows updated in 10 transactions
    UpdateBulk,
    /// 500,000 rows deleted in 10 transactions
    DeleteBulk,
    /// 100,000 transactions over 20 tables with foreign keys and second unique indexes
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeArg {
    /// 4 tables of 1,000,000 rows of three integers
    Narrow,
    /// 4 tables of 120,000 rows of thirty columns
    Wide,
    /// 4 tables of 15,000 rows with long texts and binary values
    Blobs,
}
