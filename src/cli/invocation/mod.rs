//! What the operator asked for, checked: raw arguments and two environment variables → one command that can be acted on.
//!
//! Invariant: every refusal names the flag and says what to write instead; nothing is contacted here; a
//! connection string is never part of a message.

mod bench;

use std::time::Duration;

use thiserror::Error;

use super::args::{
    CheckArgs, CleanupArgs, ColorChoice, ConsoleArgs, FilterArgs, LogFormat, MigrateArgs, Mode, OnlineArgs,
    OwnershipArgs, RawArgs, RawCommand, SchemaArgs, SectionArg, SlotsArgs, SourceArgs, TargetArgs,
    TargetObjectsArg, VerifyArgs,
};
use super::bench::Bench;
use crate::config::{DEFAULT_NAME, Filter, OnlineOptions, RestoreOptions, name_fault, slot_name_fault};
use crate::error::Side;
use crate::migration::Config;
use crate::migration::cleanup::{Cleanup, TargetObjects};
use crate::pg::{ConnInfoError, Server};
use crate::schema::Section;

/// A command line that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum UsageError {
    #[error(
        "--mode is required: `--mode offline` copies everything once while nobody writes to the source, \
         `--mode online` copies and then applies the source's changes until cutover"
    )]
    ModeMissing,
    #[error("--{0} is required: give a connection string, or set {1}")]
    ServerMissing(&'static str, &'static str),
    #[error("{0} is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'")]
    ServerEmpty(String),
    #[error("{0}: {1}")]
    Server(String, ConnInfoError),
    #[error(transparent)]
    Surroundings(ConnInfoError),
    #[error("--{flag}: {reason}")]
    BadName { flag: &'static str, reason: String },
    #[error("--{0}: a pattern must not be empty")]
    EmptyPattern(&'static str),
    #[error("--{0}: {1}")]
    BadValue(&'static str, &'static str),
    #[error("--{0} is required: give a connection string, set {1}, or give --{0}-bin for a throwaway server")]
    PlaceMissing(&'static str, &'static str),
    #[error("flags of the migration stand before `{0}`, where they mean nothing: write them after `{0}`")]
    FlagsBeforeSubcommand(&'static str),
}

/// How the tool talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Console {
    pub(crate) json: bool,
    pub(crate) verbosity: Verbosity,
    pub(crate) color: ColorChoice,
}

/// How much of the narration is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
    Everything,
}

/// One command, ready to run.
#[derive(Debug)]
pub(crate) enum Command {
    Migrate(Box<Config>),
    Check(Box<Config>, Output),
    Schema(Box<SchemaScript>),
    Verify(Box<Verify>, Output),
    Cutover(Box<Cutover>),
    Cleanup(Box<Cleanup>),
    Slots(Box<Slots>, Output),
    Status(Box<Status>, Output),
    Bench(Box<Bench>),
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

/// The source's schema as a script.
#[derive(Clone, Debug)]
pub(crate) struct SchemaScript {
    pub(crate) source: Server,
    pub(crate) sections: Vec<Section>,
    pub(crate) no_owner: bool,
    pub(crate) no_privileges: bool,
    pub(crate) no_tablespaces: bool,
    pub(crate) filter: Filter,
}

/// A comparison of both sides.
#[derive(Clone, Debug)]
pub(crate) struct Verify {
    pub(crate) source: Server,
    pub(crate) target: Server,
    pub(crate) jobs: usize,
    pub(crate) filter: Filter,
}

/// A request for cutover.
#[derive(Clone, Debug)]
pub(crate) struct Cutover {
    pub(crate) target: Server,
    pub(crate) name: String,
}

/// A look at the source's slots.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    pub(crate) source: Server,
    pub(crate) target: Option<Server>,
    pub(crate) drop: Option<String>,
    pub(crate) force: bool,
}

/// A look at the target's journal.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) target: Server,
}

/// Checks `raw`; `env` looks an environment variable up.
pub(crate) fn resolve(
    raw: RawArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Command, Console), UsageError> {
    let console = console(&raw.console);
    let Some(command) = raw.command else {
        return Ok((Command::Migrate(Box::new(migrate(raw.migrate, env)?)), console));
    };
    if raw.migrate != MigrateArgs::default() {
        return Err(UsageError::FlagsBeforeSubcommand(match command {
            RawCommand::Check(_) => "check",
            RawCommand::Schema(_) => "schema",
            RawCommand::Verify(_) => "verify",
            RawCommand::Cutover(_) => "cutover",
            RawCommand::Cleanup(_) => "cleanup",
            RawCommand::Slots(_) => "slots",
            RawCommand::Status(_) => "status",
            RawCommand::Bench(_) => "bench",
        }));
    }
    let command = match command {
        RawCommand::Check(args) => {
            let output = output(args.json);
            Command::Check(Box::new(check(*args, env)?), output)
        }
        RawCommand::Schema(args) => Command::Schema(Box::new(schema(args, env)?)),
        RawCommand::Verify(args) => {
            let output = output(args.json);
            Command::Verify(Box::new(verify(args, env)?), output)
        }
        RawCommand::Cutover(args) => {
            let name = subscription_name(args.subscription_name)?;
            Command::Cutover(Box::new(Cutover { target: target(args.target, env)?, name }))
        }
        RawCommand::Cleanup(args) => Command::Cleanup(Box::new(cleanup(args, env)?)),
        RawCommand::Slots(args) => {
            let output = output(args.json);
            Command::Slots(Box::new(slots(args, env)?), output)
        }
        RawCommand::Status(args) => {
            let output = output(args.json);
            Command::Status(Box::new(Status { target: target(args.target, env)? }), output)
        }
        RawCommand::Bench(args) => Command::Bench(Box::new(bench::resolve(args, env)?)),
    };
    Ok((command, console))
}

/// How the tool talks, as far as it is known before the rest of the command line is checked.
pub(crate) fn console(raw: &ConsoleArgs) -> Console {
    let verbosity = match (raw.quiet, raw.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        (_, 1) => Verbosity::Verbose,
        _ => Verbosity::Everything,
    };
    Console { json: raw.log_format == LogFormat::Json, verbosity, color: raw.color }
}

fn output(json: bool) -> Output {
    if json { Output::Json } else { Output::Text }
}

fn migrate(raw: MigrateArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, UsageError> {
    let mode = raw.mode.ok_or(UsageError::ModeMissing)?;
    // Checked in offline mode too: what is accepted today should be right on the day of the migration.
    let online = online(raw.online)?;
    let MigrateArgs { ownership: OwnershipArgs { no_owner, no_privileges, no_tablespaces }, .. } = raw;
    let default = RestoreOptions::default();
    Ok(Config {
        source: source(raw.source, env)?,
        target: target(raw.target, env)?,
        filter: filter(raw.filter)?,
        restore: RestoreOptions {
            jobs: raw.jobs.map_or(default.jobs, usize::from),
            drop_target_first: raw.drop_target_first,
            allow_restore_errors: raw.allow_restore_errors,
            allow_unsupported: raw.allow_unsupported,
            carry_statistics: !raw.analyze,
            create_database: raw.create_database,
            roles: raw.roles,
            no_owner,
            no_privileges,
            no_tablespaces,
            maintenance_work_mem_kb: raw.maintenance_work_mem,
            split_bytes: raw.split_bytes.unwrap_or(default.split_bytes),
        },
        subscription_name: subscription_name(raw.subscription_name)?,
        online: (mode == Mode::Online).then_some(online),
    })
}

fn online(raw: OnlineArgs) -> Result<OnlineOptions, UsageError> {
    let default = OnlineOptions::default();
    let seconds = |given: Option<u64>, default: Duration| given.map_or(default, Duration::from_secs);
    let slot_name = raw.slot_name.unwrap_or(default.slot_name);
    self::slot_name(&slot_name)?;
    let publication = raw.publication.unwrap_or(default.publication);
    name("publication", &publication)?;
    if raw.subscription_conninfo.as_ref().is_some_and(|conninfo| conninfo.trim().is_empty()) {
        return Err(UsageError::ServerEmpty("--subscription-conninfo".into()));
    }
    Ok(OnlineOptions {
        slot_name,
        publication,
        create_publication: raw.create_publication,
        lag_threshold_bytes: raw.lag_threshold_bytes.unwrap_or(default.lag_threshold_bytes),
        cutover_poll: seconds(raw.cutover_poll_secs, default.cutover_poll),
        keep_subscription: raw.keep_subscription,
        subscription_conninfo: raw.subscription_conninfo,
        max_slot_wal_bytes: raw.max_slot_wal,
        fence_source: raw.fence_source,
        slot_timeout: seconds(raw.slot_timeout_secs, default.slot_timeout),
        drain_timeout: seconds(raw.drain_timeout_secs, default.drain_timeout),
        reconnect: seconds(raw.reconnect_secs, default.reconnect),
        lanes: raw.apply_jobs.map_or(default.lanes, usize::from),
        binary: !raw.no_binary,
        apply_memory: raw.apply_memory.and_then(|n| usize::try_from(n).ok()).unwrap_or(default.apply_memory),
    })
}

fn check(raw: CheckArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, UsageError> {
    migrate(
        MigrateArgs {
            mode: Some(raw.mode.unwrap_or(Mode::Offline)),
            source: raw.source,
            target: raw.target,
            jobs: raw.jobs,
            drop_target_first: raw.drop_target_first,
            allow_restore_errors: raw.allow_restore_errors,
            allow_unsupported: raw.allow_unsupported,
            create_database: raw.create_database,
            roles: raw.roles,
            ownership: raw.ownership,
            subscription_name: raw.subscription_name,
            filter: raw.filter,
            online: raw.online,
            ..MigrateArgs::default()
        },
        env,
    )
}

fn schema(raw: SchemaArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<SchemaScript, UsageError> {
    let mut sections: Vec<Section> = raw
        .section
        .iter()
        .map(|s| match s {
            SectionArg::PreData => Section::PreData,
            SectionArg::Data => Section::Data,
            SectionArg::PostData => Section::PostData,
        })
        .collect();
    if sections.is_empty() {
        sections = vec![Section::PreData, Section::PostData];
    }
    sections.sort_unstable();
    sections.dedup();
    Ok(SchemaScript {
        source: source(raw.source, env)?,
        sections,
        no_owner: raw.ownership.no_owner,
        no_privileges: raw.ownership.no_privileges,
        no_tablespaces: raw.ownership.no_tablespaces,
        filter: filter(raw.filter)?,
    })
}

fn verify(raw: VerifyArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Verify, UsageError> {
    Ok(Verify {
        source: source(raw.source, env)?,
        target: target(raw.target, env)?,
        jobs: raw.jobs.map_or(RestoreOptions::default().jobs, usize::from),
        filter: filter(raw.filter)?,
    })
}

fn cleanup(raw: CleanupArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Cleanup, UsageError> {
    raw.slot_name.as_deref().map_or(Ok(()), slot_name)?;
    Ok(Cleanup {
        source: source(raw.source, env)?,
        target: target(raw.target, env)?,
        subscription_name: subscription_name(raw.subscription_name)?,
        slot_name: raw.slot_name,
        force_slot: raw.force_slot,
        objects: match raw.target_objects {
            TargetObjectsArg::Keep => TargetObjects::Keep,
            TargetObjectsArg::Drop => TargetObjects::Drop,
        },
    })
}

fn slots(raw: SlotsArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Slots, UsageError> {
    if let Some(slot) = &raw.drop {
        slot_fault("drop", slot)?;
    }
    let given = raw.target.is_some() || env("PG_MIGRATOR_TARGET").is_some();
    let target = given.then(|| target(TargetArgs { target: raw.target }, env)).transpose()?;
    Ok(Slots { source: source(raw.source, env)?, target, drop: raw.drop, force: raw.force_slot })
}

fn source(raw: SourceArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Server, UsageError> {
    server(Side::Source, raw.source, "source", "PG_MIGRATOR_SOURCE", env)
}

fn target(raw: TargetArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Server, UsageError> {
    server(Side::Target, raw.target, "target", "PG_MIGRATOR_TARGET", env)
}

fn server(
    side: Side,
    flag_value: Option<String>,
    flag: &'static str,
    variable: &'static str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Server, UsageError> {
    let (conninfo, given_by) = match flag_value {
        Some(conninfo) => (conninfo, format!("--{flag}")),
        None => match env(variable) {
            Some(conninfo) => (conninfo, variable.to_owned()),
            None => return Err(UsageError::ServerMissing(flag, variable)),
        },
    };
    if conninfo.trim().is_empty() {
        return Err(UsageError::ServerEmpty(given_by));
    }
    Server::parse(side, &conninfo).map_err(|e| match e {
        // Not the fault of what was given.
        ConnInfoError::Variable { .. } => UsageError::Surroundings(e),
        e => UsageError::Server(given_by, e),
    })
}

fn filter(raw: FilterArgs) -> Result<Filter, UsageError> {
    let groups = [
        ("include-schema", &raw.include_schema),
        ("exclude-schema", &raw.exclude_schema),
        ("include-table", &raw.include_table),
        ("exclude-table", &raw.exclude_table),
    ];
    for (flag, patterns) in groups {
        if patterns.iter().any(String::is_empty) {
            return Err(UsageError::EmptyPattern(flag));
        }
    }
    Ok(Filter {
        include_schemas: raw.include_schema,
        exclude_schemas: raw.exclude_schema,
        include_tables: raw.include_table,
        exclude_tables: raw.exclude_table,
    })
}

fn subscription_name(raw: Option<String>) -> Result<String, UsageError> {
    let value = raw.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    name("subscription-name", &value)?;
    Ok(value)
}

fn name(flag: &'static str, value: &str) -> Result<(), UsageError> {
    name_fault(value).map_or(Ok(()), |reason| Err(UsageError::BadName { flag, reason }))
}

fn slot_name(value: &str) -> Result<(), UsageError> {
    slot_fault("slot-name", value)
}

fn slot_fault(flag: &'static str, value: &str) -> Result<(), UsageError> {
    slot_name_fault(value).map_or(Ok(()), |reason| Err(UsageError::BadName { flag, reason }))
}

#[cfg(test)]
mod tests;
