//! What the operator asked for, checked: raw arguments and two environment variables → one command that can be acted on.
//!
//! Invariant: every refusal names the flag and says what to write instead; nothing is contacted here; a
//! connection string is never part of a message.

use thiserror::Error;

use super::args::{
    CheckArgs, ColorChoice, ConsoleArgs, FilterArgs, LogFormat, MigrateArgs, Mode, OwnershipArgs, RawArgs,
    RawCommand, SchemaArgs, SectionArg, SourceArgs, TargetArgs, VerifyArgs,
};
use crate::config::{Filter, RestoreOptions};
use crate::error::Side;
use crate::migration::Config;
use crate::pg::{ConnInfoError, Server};
use crate::schema::Section;

/// Connection pairs where `--jobs` is not given.
const DEFAULT_JOBS: u16 = 4;
/// `--split-bytes` where it is not given: large enough that a part's fixed cost (a transaction on both sides) is
/// nothing beside its rows, small enough that the last table's parts keep every connection busy.
const DEFAULT_SPLIT_BYTES: u64 = 128 << 20;
/// `--subscription-name` where it is not given.
const DEFAULT_NAME: &str = "pg_migrator";
/// `NAMEDATALEN - 1`, `src/include/pg_config_manual.h`.
const MAX_NAME_BYTES: usize = 63;

/// A command line that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum UsageError {
    #[error("--mode is required: `--mode offline` copies everything once")]
    ModeMissing,
    #[error(
        "--mode online is not in this version: use --mode offline, which needs the source to be quiet while it copies"
    )]
    OnlineNotYet,
    #[error("--{0} is required: give a connection string, or set {1}")]
    ServerMissing(&'static str, &'static str),
    #[error("{0} is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'")]
    ServerEmpty(String),
    #[error("{0}: {1}")]
    Server(String, ConnInfoError),
    #[error("--{flag}: {reason}")]
    BadName { flag: &'static str, reason: String },
    #[error("--{0}: a pattern must not be empty")]
    EmptyPattern(&'static str),
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
        }));
    }
    let command = match command {
        RawCommand::Check(args) => {
            let output = output(args.json);
            Command::Check(Box::new(check(args, env)?), output)
        }
        RawCommand::Schema(args) => Command::Schema(Box::new(schema(args, env)?)),
        RawCommand::Verify(args) => {
            let output = output(args.json);
            Command::Verify(Box::new(verify(args, env)?), output)
        }
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
    match raw.mode {
        None => return Err(UsageError::ModeMissing),
        Some(Mode::Online) => return Err(UsageError::OnlineNotYet),
        Some(Mode::Offline) => {}
    }
    if let Some(slot) = &raw.online.slot_name {
        slot_name(slot)?;
    }
    if let Some(publication) = &raw.online.publication {
        name("publication", publication)?;
    }
    let MigrateArgs { ownership: OwnershipArgs { no_owner, no_privileges }, .. } = raw;
    Ok(Config {
        source: source(raw.source, env)?,
        target: target(raw.target, env)?,
        filter: filter(raw.filter)?,
        restore: RestoreOptions {
            jobs: usize::from(raw.jobs.unwrap_or(DEFAULT_JOBS)),
            drop_target_first: raw.drop_target_first,
            allow_restore_errors: raw.allow_restore_errors,
            allow_unsupported: raw.allow_unsupported,
            no_owner,
            no_privileges,
            maintenance_work_mem_kb: raw.maintenance_work_mem,
            split_bytes: raw.split_bytes.unwrap_or(DEFAULT_SPLIT_BYTES),
        },
        subscription_name: subscription_name(raw.subscription_name)?,
        online: None,
    })
}

fn check(raw: CheckArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, UsageError> {
    migrate(
        MigrateArgs {
            mode: Some(Mode::Offline),
            source: raw.source,
            target: raw.target,
            jobs: raw.jobs,
            drop_target_first: raw.drop_target_first,
            allow_restore_errors: raw.allow_restore_errors,
            allow_unsupported: raw.allow_unsupported,
            ownership: raw.ownership,
            subscription_name: raw.subscription_name,
            filter: raw.filter,
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
        filter: filter(raw.filter)?,
    })
}

fn verify(raw: VerifyArgs, env: &dyn Fn(&str) -> Option<String>) -> Result<Verify, UsageError> {
    Ok(Verify {
        source: source(raw.source, env)?,
        target: target(raw.target, env)?,
        jobs: usize::from(raw.jobs.unwrap_or(DEFAULT_JOBS)),
        filter: filter(raw.filter)?,
    })
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
    Server::parse(side, &conninfo).map_err(|e| UsageError::Server(given_by, e))
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
    let reason = if value.is_empty() {
        "a name must not be empty".to_owned()
    } else if value.len() > MAX_NAME_BYTES {
        format!("a name has at most {MAX_NAME_BYTES} bytes, this one has {}", value.len())
    } else {
        return Ok(());
    };
    Err(UsageError::BadName { flag, reason })
}

/// `ReplicationSlotValidateName`, `src/backend/replication/slot.c`.
fn slot_name(value: &str) -> Result<(), UsageError> {
    name("slot-name", value)?;
    if value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Ok(());
    }
    Err(UsageError::BadName {
        flag: "slot-name",
        reason: "a slot's name has only lower case letters, digits and underscores".into(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn run(args: &[&str]) -> Result<(Command, Console), String> {
        run_with(args, &|_| None)
    }

    fn run_with(args: &[&str], env: &dyn Fn(&str) -> Option<String>) -> Result<(Command, Console), String> {
        let argv = std::iter::once("pg_migrator").chain(args.iter().copied());
        let raw = RawArgs::try_parse_from(argv).map_err(|e| e.to_string())?;
        resolve(raw, env).map_err(|e| e.to_string())
    }

    fn refusal(args: &[&str]) -> String {
        match run(args) {
            Ok(_) => "accepted".into(),
            Err(message) => message.lines().next().unwrap_or_default().to_owned(),
        }
    }

    const BOTH: [&str; 4] = ["--source", "host=a", "--target", "host=b"];

    fn offline(extra: &[&'static str]) -> Vec<&'static str> {
        [&["--mode", "offline"][..], &BOTH, extra].concat()
    }

    #[test]
    fn the_whole_contract_is_accepted() {
        let args = offline(&[
            "--slot-name",
            "s",
            "--publication",
            "P",
            "--subscription-name",
            "N",
            "--jobs",
            "7",
            "--lag-threshold-bytes",
            "8192",
            "--cutover-poll-secs",
            "2",
            "--drop-target-first",
            "--keep-subscription",
            "--allow-restore-errors",
            "--allow-unsupported",
            "--no-owner",
            "--no-privileges",
            "--include-schema",
            "a*",
            "--include-schema",
            "b",
            "--exclude-table",
            "a.t",
            "--maintenance-work-mem",
            "1GB",
            "--split-bytes",
            "64MB",
            "--log-format",
            "json",
            "-vv",
            "--color",
            "never",
        ]);
        let (Command::Migrate(m), console) = run(&args).unwrap() else { panic!("another command") };
        assert_eq!(m.subscription_name, "N");
        assert_eq!(m.filter.include_schemas, ["a*", "b"]);
        assert_eq!(m.filter.exclude_tables, ["a.t"]);
        assert_eq!(m.restore.jobs, 7);
        assert_eq!(m.restore.split_bytes, 64 << 20);
        assert_eq!(m.restore.maintenance_work_mem_kb, Some(1 << 20));
        assert!(m.restore.drop_target_first && m.restore.allow_restore_errors && m.restore.allow_unsupported);
        assert!(m.restore.no_owner && m.restore.no_privileges);
        assert!(console.json && console.verbosity == Verbosity::Everything);
    }

    #[test]
    fn defaults() {
        let (Command::Migrate(m), console) = run(&offline(&[])).unwrap() else { panic!("another command") };
        assert_eq!((m.restore.jobs, m.restore.split_bytes), (4, 128 << 20));
        assert_eq!(m.subscription_name, "pg_migrator");
        assert!(m.filter.is_everything());
        assert_eq!(console.verbosity, Verbosity::Normal);
    }

    #[test]
    fn refusals_name_the_flag() {
        let long = "x".repeat(64);
        let cases: Vec<Vec<&str>> = vec![
            vec![],
            BOTH.to_vec(),
            [&["--mode", "online"][..], &BOTH].concat(),
            vec!["--mode", "sideways"],
            vec!["--mode", "offline", "--target", "host=b"],
            vec!["--mode", "offline", "--source", "host=a"],
            vec!["--mode", "offline", "--source", " ", "--target", "host=b"],
            offline(&["--jobs", "0"]),
            offline(&["--jobs", "x"]),
            offline(&["--slot-name", "Upper"]),
            offline(&["--publication", ""]),
            [offline(&["--subscription-name"]), vec![&long]].concat(),
            offline(&["--include-table", ""]),
            offline(&["--cutover-poll-secs", "0"]),
            offline(&["--lag-threshold-bytes", "-1"]),
            offline(&["--split-bytes", "1XB"]),
            offline(&["--maintenance-work-mem", "1"]),
            offline(&["--jobz", "1"]),
            offline(&["-q", "-v"]),
            vec!["--mode", "offline", "check"],
            vec!["check", "--source", "host=a"],
            vec!["schema"],
            vec!["schema", "--source", "host=a", "--section", "all"],
            vec!["frobnicate"],
            vec!["--source", "a", "--source", "b"],
        ];
        let shown: Vec<String> = cases.iter().map(|c| refusal(c)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
--mode is required: `--mode offline` copies everything once
--mode is required: `--mode offline` copies everything once
--mode online is not in this version: use --mode offline, which needs the source to be quiet while it copies
error: invalid value 'sideways' for '--mode <MODE>'
--source is required: give a connection string, or set PG_MIGRATOR_SOURCE
--target is required: give a connection string, or set PG_MIGRATOR_TARGET
--source is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'
error: invalid value '0' for '--jobs <N>': 0 is not in 1..=1024
error: invalid value 'x' for '--jobs <N>': invalid digit found in string
--slot-name: a slot's name has only lower case letters, digits and underscores
--publication: a name must not be empty
--subscription-name: a name has at most 63 bytes, this one has 64
--include-table: a pattern must not be empty
error: invalid value '0' for '--cutover-poll-secs <N>': 0 is not in 1..18446744073709551615
error: invalid value '-1' for '--lag-threshold-bytes <N>': invalid digit found in string
error: invalid value '1XB' for '--split-bytes <SIZE>': expected a number with an optional unit: B, kB, MB, GB or TB
error: invalid value '1' for '--maintenance-work-mem <SIZE>': must be between 1MB and 2TB
error: unexpected argument '--jobz' found
error: the argument '--quiet' cannot be used with '--verbose...'
flags of the migration stand before `check`, where they mean nothing: write them after `check`
--target is required: give a connection string, or set PG_MIGRATOR_TARGET
--source is required: give a connection string, or set PG_MIGRATOR_SOURCE
error: invalid value 'all' for '--section <SECTION>'
error: unrecognized subcommand 'frobnicate'
error: the argument '--source <CONNINFO>' cannot be used multiple times
"#);
    }

    #[test]
    fn servers_come_from_the_environment_too() {
        let env = |name: &str| match name {
            "PG_MIGRATOR_SOURCE" => Some("host=a".to_owned()),
            "PG_MIGRATOR_TARGET" => Some("".to_owned()),
            _ => None,
        };
        assert!(run_with(&["schema"], &env).is_ok());
        insta::assert_snapshot!(run_with(&["--mode", "offline"], &env).unwrap_err(), @"PG_MIGRATOR_TARGET is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'");
    }

    #[test]
    fn sections_come_in_order_and_once() {
        let args = [
            "schema",
            "--source",
            "h",
            "--section",
            "post-data",
            "--section",
            "pre-data",
            "--section",
            "pre-data",
        ];
        let (Command::Schema(s), _) = run(&args).unwrap() else { panic!("another command") };
        assert_eq!(s.sections, [Section::PreData, Section::PostData]);
    }

    #[test]
    fn output_flags_are_read_before_and_after_a_subcommand() {
        for args in [vec!["-q", "schema", "--source", "h"], vec!["schema", "--source", "h", "-q"]] {
            assert_eq!(run(&args).unwrap().1.verbosity, Verbosity::Quiet);
        }
    }
}
