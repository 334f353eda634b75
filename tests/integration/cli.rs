//! The command line as a user meets it: usage errors, where output goes, hidden passwords, an empty PATH.

use std::time::Duration;

use crate::harness::{cluster, migrator};

const NOWHERE: &str = "host=127.0.0.1 port=1 user=u dbname=d";

#[test]
fn wrong_flags_are_usage_errors_and_name_the_flag() {
    let both = ["--source", NOWHERE, "--target", NOWHERE];
    let cases: [(&[&str], &str); 8] = [
        (&[], "--mode"),
        (&["--mode", "online", "--slot-name", "a-b"], "--slot-name"),
        (&["--mode", "nope"], "--mode"),
        (&["--mode", "offline", "--jobs", "0"], "--jobs"),
        (&["--mode", "offline", "--slot-name", "No"], "--slot-name"),
        (&["--mode", "offline", "--frob"], "--frob"),
        (&["--mode", "offline", "--include-table", ""], "--include-table"),
        (&["--mode", "offline", "--log-format", "xml"], "--log-format"),
    ];
    for (args, said) in cases {
        let run = migrator(args.iter().chain(&both)).run().expect_code(2);
        assert!(run.stderr.contains(said) && run.stdout.is_empty(), "{args:?}: {run:?}");
    }
    migrator(["--mode", "offline", "--source", NOWHERE]).run().expect_code(2).expect_said(&["--target"]);
    migrator(["--mode", "offline", "--source", "host=a nosuch=b", "--target", NOWHERE])
        .run()
        .expect_code(2)
        .expect_said(&["--source", "nosuch"]);
}

#[test]
fn help_and_version_are_data() {
    for flag in ["--help", "--version", "-h"] {
        let run = migrator([flag]).ok();
        assert!(run.stdout.contains("pg_migrator") && run.stderr.is_empty(), "{run:?}");
    }
}

#[test]
fn unreachable_servers_have_their_own_exit_codes() {
    let db = cluster(18).database("cli");
    let code = |source: &str, target: &str| {
        migrator(["--mode", "offline", "--source", source, "--target", target]).run().code
    };
    assert_eq!(code(NOWHERE, &db.conninfo()), 3);
    assert_eq!(code(&db.conninfo(), NOWHERE), 4);
    let run = migrator(["schema", "--source", NOWHERE]).run().expect_code(3);
    assert!(run.stdout.is_empty() && run.stderr.contains("source"), "{run:?}");
}

#[test]
fn json_narration_is_one_object_per_line() {
    let db = cluster(18).database("cli");
    let run = migrator([
        "--log-format",
        "json",
        "--mode",
        "offline",
        "--source",
        NOWHERE,
        "--target",
        &db.conninfo(),
    ])
    .run()
    .expect_code(3);
    let events: Vec<serde_json::Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(events.iter().all(|e| e["timestamp"].is_string() && e["event"].is_string()), "{run:?}");
    let last = events.last().unwrap();
    assert_eq!((last["event"].as_str(), last["exit_code"].as_u64()), (Some("failed"), Some(3)));
}

/// The command line and the environment of a process, as other programs see them.
#[cfg(target_os = "linux")]
fn seen(pid: u32) -> String {
    ["cmdline", "environ"]
        .iter()
        .map(|file| {
            String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap()).into_owned()
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_password_on_the_command_line_shows_nowhere() {
    // Accepts, and never answers: the call stays in its login.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let keywords = format!("host=127.0.0.1 port={port} user=u dbname=d password=Geheim1 sslmode=disable");
    let uri = format!("--target=postgresql://u:Geheim2@127.0.0.1:{port}/d?sslmode=disable");
    let running = migrator(["--mode", "offline", "-vv", "--source", &keywords, &uri])
        .limit(Duration::from_secs(30))
        .spawn();
    // The login has begun, so the process has long started again.
    let _connection = silent.accept().unwrap();
    let seen = seen(running.pid());
    assert!(seen.contains("pg_migrator") && seen.contains("(hidden)"), "{seen}");
    assert!(!seen.contains("Geheim"), "{seen}");
    running.signal("INT");
    let run = running.wait();
    assert!(!run.stderr.contains("Geheim") && run.code == 5, "{run:?}");
}

#[test]
fn a_misplaced_connection_string_is_not_repeated() {
    let run = migrator(["--sorce", "postgresql://u:Geheim@h/d"]).run().expect_code(2);
    assert!(!run.stderr.contains("Geheim"), "{run:?}");
    let run = migrator(["postgresql://u:Geheim@h/d"]).run().expect_code(2);
    assert!(!run.stderr.contains("Geheim"), "{run:?}");
}

#[test]
fn schema_prints_a_script_that_psql_accepts() {
    let (source, target) = (cluster(15).database("cli"), cluster(18).database("cli"));
    source.psql("CREATE SCHEMA s; CREATE TABLE s.t (i int PRIMARY KEY, t text DEFAULT 'x'); CREATE INDEX i ON s.t (t)");
    let pre = migrator(["schema", "--section", "pre-data"]).env("PG_MIGRATOR_SOURCE", source.conninfo()).ok();
    assert!(
        pre.stdout.contains("CREATE TABLE s.t") && !pre.stdout.contains("CREATE INDEX"),
        "{}",
        pre.stdout
    );
    target.psql(&pre.stdout);
    let post = migrator(["schema", "--section", "post-data", "--source", &source.conninfo()]).ok();
    assert!(!post.stdout.contains("CREATE TABLE"), "{}", post.stdout);
    target.psql(&post.stdout);
    assert_eq!(target.psql("SELECT count(*) FROM pg_indexes WHERE schemaname = 's'"), "2");
}

#[test]
fn it_needs_no_path() {
    let db = cluster(18).database("cli");
    let conninfo = format!("{} password=unused", db.conninfo());
    migrator(["schema", "--source", &conninfo]).env("PATH", "").ok();
}
