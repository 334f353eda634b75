//! What is accepted, and what is said where something is not.

use clap::Parser as _;

use super::*;
use crate::bench::workload::Workload;
use crate::bench::{Place, Task};

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

fn online(extra: &[&'static str]) -> Vec<&'static str> {
    [&["--mode", "online"][..], &BOTH, extra].concat()
}

#[test]
fn online_options() {
    let args = online(&[
        "--slot-name",
        "slot_1",
        "--publication",
        "Pub",
        "--create-publication",
        "--lag-threshold-bytes",
        "0",
        "--cutover-poll-secs",
        "1",
        "--keep-subscription",
        "--subscription-conninfo",
        "host=inside password=x",
        "--max-slot-wal",
        "20GB",
        "--fence-source",
        "--slot-timeout-secs",
        "7",
        "--drain-timeout-secs",
        "8",
        "--reconnect-secs",
        "0",
    ]);
    let (Command::Migrate(m), _) = run(&args).unwrap() else { panic!("another command") };
    let o = m.online.unwrap();
    assert_eq!((o.slot_name.as_str(), o.publication.as_str()), ("slot_1", "Pub"));
    assert!(o.create_publication && o.keep_subscription && o.fence_source);
    assert_eq!((o.lag_threshold_bytes, o.max_slot_wal_bytes), (0, Some(20 << 30)));
    assert_eq!(o.subscription_conninfo.as_deref(), Some("host=inside password=x"));
    let seconds = [o.cutover_poll, o.slot_timeout, o.drain_timeout, o.reconnect].map(|d| d.as_secs());
    assert_eq!(seconds, [1, 7, 8, 0]);
    let check = [&["check", "--mode", "online", "--slot-name", "s"][..], &BOTH].concat();
    let (Command::Check(config, _), _) = run(&check).unwrap() else { panic!("another command") };
    assert_eq!(config.online.unwrap().slot_name, "s");
}

#[test]
fn offline_has_no_use_for_online_options() {
    for args in [offline(&["--slot-name", "s", "--fence-source"]), [&["check"][..], &BOTH].concat()] {
        match run(&args).unwrap().0 {
            Command::Migrate(config) | Command::Check(config, _) => assert!(config.online.is_none()),
            other => panic!("{other:?}"),
        }
    }
    let (Command::Migrate(m), _) = run(&online(&[])).unwrap() else { panic!("another command") };
    let o = m.online.unwrap();
    assert_eq!((o.slot_name.as_str(), o.publication.as_str()), ("pg_migrator", "pg_migrator"));
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
        offline(&["--cutover-poll-secs", "99999999999"]),
        online(&["--slot-name", ""]),
        online(&["--slot-name", "a-b"]),
        [online(&["--slot-name"]), vec![&long]].concat(),
        [online(&["--publication"]), vec![&long]].concat(),
        online(&["--subscription-conninfo", " "]),
        online(&["--max-slot-wal", "0"]),
        online(&["--max-slot-wal", "-1"]),
        online(&["--slot-timeout-secs", "0"]),
        online(&["--drain-timeout-secs", "x"]),
        online(&["--reconnect-secs", "-1"]),
        online(&["--apply-jobs", "0"]),
        [&["check", "--mode", "online", "--slot-name", "A"][..], &BOTH].concat(),
        offline(&["--lag-threshold-bytes", "-1"]),
        offline(&["--split-bytes", "1XB"]),
        offline(&["--maintenance-work-mem", "1"]),
        offline(&["--jobz", "1"]),
        offline(&["-q", "-v"]),
        vec!["--mode", "offline", "check"],
        vec!["check", "--source", "host=a"],
        vec!["schema"],
        vec!["schema", "--source", "host=a", "--section", "all"],
        vec!["cutover"],
        vec!["cutover", "--target", "host=b", "--subscription-name", ""],
        vec!["cutover", "--target", "host=b", "--source", "host=a"],
        vec!["cleanup", "--target", "host=b"],
        [&["cleanup", "--force-slot"][..], &BOTH].concat(),
        [&["cleanup", "--slot-name", "A"][..], &BOTH].concat(),
        [&["cleanup", "--target-objects", "some"][..], &BOTH].concat(),
        vec!["slots"],
        vec!["slots", "--source", "host=a", "--drop", "a b"],
        vec!["slots", "--source", "host=a", "--force-slot"],
        vec!["slots", "--source", "host=a", "--drop", "s", "--json"],
        vec!["status", "--target", ""],
        vec!["--mode", "online", "cutover", "--target", "host=b"],
        vec!["frobnicate"],
        vec!["--source", "a", "--source", "b"],
    ];
    let shown: Vec<String> = cases.iter().map(|c| refusal(c)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
--mode is required: `--mode offline` copies everything once while nobody writes to the source, `--mode online` copies and then applies the source's changes until cutover
--mode is required: `--mode offline` copies everything once while nobody writes to the source, `--mode online` copies and then applies the source's changes until cutover
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
error: invalid value '0' for '--cutover-poll-secs <N>': 0 is not in 1..=2147483
error: invalid value '99999999999' for '--cutover-poll-secs <N>': 99999999999 is not in 1..=2147483
--slot-name: a name must not be empty
--slot-name: a slot's name has only lower case letters, digits and underscores
--slot-name: a name has at most 63 bytes, this one has 64
--publication: a name has at most 63 bytes, this one has 64
--subscription-conninfo is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'
error: invalid value '0' for '--max-slot-wal <SIZE>': must be more than 0
error: invalid value '-1' for '--max-slot-wal <SIZE>': expected a number with an optional unit: B, kB, MB, GB or TB
error: invalid value '0' for '--slot-timeout-secs <N>': 0 is not in 1..=2147483
error: invalid value 'x' for '--drain-timeout-secs <N>': invalid digit found in string
error: invalid value '-1' for '--reconnect-secs <N>': invalid digit found in string
error: invalid value '0' for '--apply-jobs <N>': 0 is not in 1..=64
--slot-name: a slot's name has only lower case letters, digits and underscores
error: invalid value '-1' for '--lag-threshold-bytes <N>': invalid digit found in string
error: invalid value '1XB' for '--split-bytes <SIZE>': expected a number with an optional unit: B, kB, MB, GB or TB
error: invalid value '1' for '--maintenance-work-mem <SIZE>': must be between 1MB and 2TB
error: unexpected argument '--jobz' found
error: the argument '--quiet' cannot be used with '--verbose...'
flags of the migration stand before `check`, where they mean nothing: write them after `check`
--target is required: give a connection string, or set PG_MIGRATOR_TARGET
--source is required: give a connection string, or set PG_MIGRATOR_SOURCE
error: invalid value 'all' for '--section <SECTION>'
--target is required: give a connection string, or set PG_MIGRATOR_TARGET
--subscription-name: a name must not be empty
error: unexpected argument '--source' found
--source is required: give a connection string, or set PG_MIGRATOR_SOURCE
error: the following required arguments were not provided:
--slot-name: a slot's name has only lower case letters, digits and underscores
error: invalid value 'some' for '--target-objects <WHAT>'
--source is required: give a connection string, or set PG_MIGRATOR_SOURCE
--drop: a slot's name has only lower case letters, digits and underscores
error: the following required arguments were not provided:
error: the argument '--drop <NAME>' cannot be used with '--json'
--target is empty: give a connection string such as 'host=db.example.com dbname=app user=postgres'
flags of the migration stand before `cutover`, where they mean nothing: write them after `cutover`
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

#[test]
fn cleanup_keeps_what_was_copied_unless_told() {
    let (Command::Cleanup(asked), _) = run(&[&["cleanup"][..], &BOTH].concat()).unwrap() else {
        panic!("another command")
    };
    assert_eq!((asked.objects, asked.slot_name, asked.force_slot), (TargetObjects::Keep, None, false));
    let more = ["cleanup", "--target-objects", "drop", "--slot-name", "s", "--force-slot"];
    let (Command::Cleanup(asked), _) = run(&[&more[..], &BOTH].concat()).unwrap() else {
        panic!("another command")
    };
    assert_eq!(
        (asked.objects, asked.slot_name.as_deref(), asked.force_slot),
        (TargetObjects::Drop, Some("s"), true)
    );
}

#[test]
fn slots_need_no_target() {
    let (Command::Slots(asked, _), _) = run(&["slots", "--source", "host=a"]).unwrap() else {
        panic!("another command")
    };
    assert!(asked.target.is_none() && asked.drop.is_none() && !asked.force);
}

#[test]
fn a_benchmark_needs_two_places() {
    let bins = ["--source-bin", "/a", "--target-bin", "/b"];
    let apply = |extra: &[&'static str]| [&["bench", "apply"][..], &bins, extra].concat();
    let (Command::Bench(b), _) =
        run(&apply(&["--workload", "mixed", "--workload", "tpcb", "--scale", "0.5"])).unwrap()
    else {
        panic!("another command")
    };
    let Task::Apply { workloads, .. } = &b.asked.task else { panic!("another task") };
    assert_eq!(workloads[..], [Workload::Tpcb, Workload::Mixed], "in the order of the report");
    assert_eq!((b.asked.scale, b.asked.rounds), (0.5, 1));

    let env = |name: &str| Some(format!("host={name}"));
    let (Command::Bench(b), _) = run_with(&["bench", "copy", "--target-bin", "/b"], &env).unwrap() else {
        panic!("another command")
    };
    assert!(matches!((&b.asked.source, &b.asked.target), (Place::Given(_), Place::Throwaway(_))));
    assert!(matches!(&b.asked.task, Task::Copy { shapes, jobs: 4 } if shapes.len() == 3));

    for (args, said) in [
        (
            vec!["bench", "apply", "--source-bin", "/a"],
            "--target is required: give a connection string, set PG_MIGRATOR_TARGET",
        ),
        (apply(&["--scale", "0"]), "--scale: must be a number above 0"),
        (apply(&["--scale", "-1"]), "--scale: must be a number above 0"),
        (apply(&["--scale", "NaN"]), "--scale: must be a number above 0"),
        (apply(&["--rounds", "0"]), "error: invalid value '0' for '--rounds <N>'"),
        (apply(&["--workload", "x"]), "error: invalid value 'x' for '--workload <NAME>'"),
        (apply(&["--latency", "--workload", "tpcb"]), "error: the argument '--latency' cannot be used with"),
        (apply(&["--rate", "5"]), "error: the following required arguments were not provided"),
        (apply(&["--source", "host=a"]), "error: the argument '--source-bin <DIR>' cannot be used with"),
    ] {
        let refusal = refusal(&args);
        assert!(refusal.starts_with(said), "{args:?}: {refusal}");
    }
}
