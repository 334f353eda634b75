//! The raw command line, as clap reads it: names, help and types, nothing decided.
//!
//! Invariant: every value here is only well-formed; [`super::invocation`] checks what the values mean
//! together, so that all messages about meaning are in one place.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::bench_args::BenchArgs;
use super::size::{parse_apply_memory, parse_bytes, parse_kilobytes, parse_some_bytes};

/// Moves a PostgreSQL database from one server to another, without pg_dump, pg_restore or libpq.
#[derive(Debug, Parser)]
#[command(name = "pg_migrator", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 something is left for you to do, 2 usage, 3 the source failed, \
4 the target failed, 5 interrupted (the same command goes on or starts over)."
)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    pub(crate) migrate: MigrateArgs,
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
    #[command(subcommand)]
    pub(crate) command: Option<RawCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RawCommand {
    /// Only look: report everything that would stop or disturb a migration, change nothing.
    Check(Box<CheckArgs>),
    /// Print the source's schema as an SQL script that psql accepts.
    Schema(SchemaArgs),
    /// Compare source and target table by table: row counts and hashes.
    Verify(VerifyArgs),
    /// Ask an online migration that runs elsewhere to cut over, and wait for its end.
    Cutover(CutoverArgs),
    /// Take back what an unfinished migration left: slot, subscription, publication, fence, journal.
    Cleanup(CleanupArgs),
    /// List the replication slots on the source, and whose they are; or drop one.
    Slots(SlotsArgs),
    /// Say where the migration into the target's database stands.
    Status(StatusArgs),
    /// Measure copy and apply against their limits, on servers given or on throwaway ones.
    Bench(BenchArgs),
}

/// How the source is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct SourceArgs {
    /// Where to read: a connection string (`host=… dbname=…` or `postgresql://…`); or set PG_MIGRATOR_SOURCE.
    #[arg(long, value_name = "CONNINFO")]
    pub(crate) source: Option<String>,
}

/// How the target is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct TargetArgs {
    /// Where to write: a connection string to an existing database (or see --create-database); or set PG_MIGRATOR_TARGET.
    #[arg(long, value_name = "CONNINFO")]
    pub(crate) target: Option<String>,
}

/// What takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to migrate")]
pub(crate) struct FilterArgs {
    /// Migrate only schemas that fit; `*` stands for any run of characters; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) include_schema: Vec<String>,
    /// Leave out schemas that fit; wins over --include-schema; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude_schema: Vec<String>,
    /// Migrate only tables that fit (`table` or `schema.table`); repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) include_table: Vec<String>,
    /// Leave out tables that fit; wins over --include-table; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude_table: Vec<String>,
}

/// What is left off the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct OwnershipArgs {
    /// Do not set owners: everything belongs to the role that connects to the target.
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Do not set grants and default privileges.
    #[arg(long)]
    pub(crate) no_privileges: bool,
    /// Do not set tablespaces: everything goes into the target database's own.
    #[arg(long)]
    pub(crate) no_tablespaces: bool,
}

/// The migration itself: the flags without a subcommand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct MigrateArgs {
    /// Whether the source stays writable until cutover.
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Connection pairs that copy, and index builders, at once [default: 4].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Drop what the migration would create before it starts; nothing outside the migrated schemas.
    #[arg(long)]
    pub(crate) drop_target_first: bool,
    /// Go on after an object fails; skip what needs it, list both at the end, exit 1.
    #[arg(long)]
    pub(crate) allow_restore_errors: bool,
    /// Go on although the source holds objects that this version does not carry.
    #[arg(long)]
    pub(crate) allow_unsupported: bool,
    /// Gather the planner's statistics on the target also where they could be carried over (18 and later).
    #[arg(long)]
    pub(crate) analyze: bool,
    /// Make the target database where it is missing, like the source's; at the end set what is set on the source's: settings,
    /// comment, owner, grants, connection limit.
    #[arg(long)]
    pub(crate) create_database: bool,
    /// Make the source's roles that the target lacks, with their attributes, settings and memberships.
    #[arg(long)]
    pub(crate) roles: bool,
    #[command(flatten)]
    pub(crate) ownership: OwnershipArgs,
    /// Memory for each index build on the target: a number of kB, or with a unit, such as 1GB.
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_kilobytes)]
    pub(crate) maintenance_work_mem: Option<u64>,
    /// Split tables larger than this into parts that are copied side by side; 0: never [default: 128MB].
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_bytes)]
    pub(crate) split_bytes: Option<u64>,
    /// The name of this migration, and of the subscription in online mode [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription_name: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

/// Longest time that a flag takes, seconds: the server's own limit for a timeout, in milliseconds.
const MAX_SECONDS: u64 = i32::MAX as u64 / 1000;

/// Flags that only online mode uses; accepted, and without effect, in offline mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Online mode (accepted and unused in offline mode)")]
pub(crate) struct OnlineArgs {
    /// The replication slot that is made on the source [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) slot_name: Option<String>,
    /// The publication on the source [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) publication: Option<String>,
    /// Make the publication where it is missing, for the tables that take part.
    #[arg(long)]
    pub(crate) create_publication: bool,
    /// Below this lag the migration is CaughtUp [default: 8388608].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) lag_threshold_bytes: Option<u64>,
    /// Seconds between heartbeats [default: 5].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) cutover_poll_secs: Option<u64>,
    /// Keep the subscription, disabled, and the slot after cutover.
    #[arg(long)]
    pub(crate) keep_subscription: bool,
    /// How the target reaches the source, where that differs from --source: a connection string.
    #[arg(long, value_name = "CONNINFO")]
    pub(crate) subscription_conninfo: Option<String>,
    /// Stop the migration when its slot holds back more WAL than this on the source [default: no limit].
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_some_bytes)]
    pub(crate) max_slot_wal: Option<u64>,
    /// Connections that apply changes to the target [default: by its processors, 4 at most, used while they pay].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) apply_jobs: Option<u16>,
    /// Have changes sent in text format, whatever their types.
    #[arg(long)]
    pub(crate) no_binary: bool,
    /// Memory that changes on their way to the target may take [default: 256MB].
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = parse_apply_memory)]
    pub(crate) apply_memory: Option<u64>,
    /// At cutover, stop writes on the source: read-only for new sessions, writing sessions ended.
    #[arg(long)]
    pub(crate) fence_source: bool,
    /// How long the slot's creation may wait for transactions that are older, seconds [default: 300].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) slot_timeout_secs: Option<u64>,
    /// How long cutover may take to apply what is left, seconds [default: 300].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) drain_timeout_secs: Option<u64>,
    /// How long a broken connection is tried again while changes are applied, seconds; 0: not at all [default: 120].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(0..=MAX_SECONDS))]
    pub(crate) reconnect_secs: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Copy everything once; nobody writes to the source meanwhile
    Offline,
    /// Copy, then apply the source's changes until cutover; the source stays writable
    Online,
}

/// `pg_migrator check`
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// The --mode the migration will be run in [default: offline].
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// The --jobs the migration will be run with [default: 4].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Judge as for a migration with --drop-target-first.
    #[arg(long)]
    pub(crate) drop_target_first: bool,
    /// Judge as for a migration with --allow-restore-errors.
    #[arg(long)]
    pub(crate) allow_restore_errors: bool,
    /// Judge as for a migration with --allow-unsupported.
    #[arg(long)]
    pub(crate) allow_unsupported: bool,
    /// Judge as for a migration with --create-database.
    #[arg(long)]
    pub(crate) create_database: bool,
    /// Judge as for a migration with --roles.
    #[arg(long)]
    pub(crate) roles: bool,
    #[command(flatten)]
    pub(crate) ownership: OwnershipArgs,
    /// The --subscription-name the migration will be run with [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription_name: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) online: OnlineArgs,
}

/// `pg_migrator schema`
#[derive(Clone, Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print only this section; repeatable [default: pre-data and post-data].
    #[arg(long, value_name = "SECTION")]
    pub(crate) section: Vec<SectionArg>,
    #[command(flatten)]
    pub(crate) ownership: OwnershipArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SectionArg {
    /// Everything that must be there before rows are
    PreData,
    /// Sequence values and the like
    Data,
    /// Indexes, constraints, triggers, rules
    PostData,
}

/// `pg_migrator verify`
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Tables compared at once [default: 4].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// `pg_migrator cutover`
#[derive(Clone, Debug, Args)]
pub(crate) struct CutoverArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The --subscription-name of the migration [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription_name: Option<String>,
}

/// `pg_migrator cleanup`
#[derive(Clone, Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The --subscription-name of the migration [default: pg_migrator].
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription_name: Option<String>,
    /// What becomes of the objects that the migration made on the target.
    #[arg(long, value_name = "WHAT", default_value = "keep")]
    pub(crate) target_objects: TargetObjectsArg,
    /// A slot to look for beside those that the journal knows.
    #[arg(long, value_name = "NAME")]
    pub(crate) slot_name: Option<String>,
    /// Drop the slot of --slot-name although no journal knows it.
    #[arg(long, requires = "slot_name")]
    pub(crate) force_slot: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetObjectsArg {
    /// They stay, with suspended triggers back in force
    Keep,
    /// They are dropped; nothing that the migration did not make
    Drop,
}

/// `pg_migrator slots`
#[derive(Clone, Debug, Args)]
pub(crate) struct SlotsArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The target whose journal knows whose slots they are; or set PG_MIGRATOR_TARGET.
    #[arg(long, value_name = "CONNINFO")]
    pub(crate) target: Option<String>,
    /// Drop this slot.
    #[arg(long, value_name = "NAME")]
    pub(crate) drop: Option<String>,
    /// Drop it although no journal knows it.
    #[arg(long, requires = "drop")]
    pub(crate) force_slot: bool,
    /// Print one JSON object on stdout.
    #[arg(long, conflicts_with = "drop")]
    pub(crate) json: bool,
}

/// `pg_migrator status`
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the tool talks.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ConsoleArgs {
    /// Narration on stderr: text for people, json for one event per line.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Say more; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say only warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Colour on stderr.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// Where stderr is a terminal and NO_COLOR is not set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
