//! What a person can get wrong: each ends with the exit code that says who must act, a message that says what to do,
//! and both servers as they were.

use std::time::Duration;

use crate::harness::{Cluster, Options, assert_same, cluster, migrator};
use crate::moves::{assert_untouched_source, eventually, offline, pair_with};

#[test]
fn wrong_command_lines_are_usage_errors() {
    let good = "host=127.0.0.1 dbname=x";
    let lines: &[(&[&str], &[&str])] = &[
        (&[], &["--mode"]),
        (&["--mode", "offline"], &["--source"]),
        (&["--mode", "offline", "--source", good], &["--target"]),
        (&["--mode", "sideways", "--source", good, "--target", good], &["sideways", "offline"]),
        (
            &["--mode", "online", "--source", good, "--target", good, "--slot-name", "Upper"],
            &["--slot-name", "lower"],
        ),
        (&["--mode", "offline", "--source", good, "--target", good, "--jobs", "0"], &["--jobs"]),
        (&["--mode", "offline", "--source", good, "--target", good, "--jobs", "-3"], &["--jobs"]),
        (&["--mode", "offline", "--source", good, "--target", good, "--jobs", "many"], &["--jobs", "many"]),
        (&["--mode", "offline", "--source", good, "--target", good, "--no-such-flag"], &["--no-such-flag"]),
        (&["--mode", "offline", "--source", good, "--target", good, "surplus"], &["surplus"]),
        (&["--mode", "offline", "--source", "", "--target", good], &["--source", "empty"]),
        (&["--mode", "offline", "--source", "hosst=a", "--target", good], &["hosst"]),
        (&["--mode", "offline", "--source", "port=99999", "--target", good], &["port"]),
        (&["--mode", "offline", "--source", "sslmode=perhaps", "--target", good], &["sslmode", "perhaps"]),
        (&["--mode", "offline", "--source", "mysql://a/b", "--target", good], &["--source"]),
        (
            &["--mode", "offline", "--source", good, "--target", good, "--include-schema", ""],
            &["--include-schema"],
        ),
        (
            &["--mode", "offline", "--source", good, "--target", good, "--split-bytes", "9XB"],
            &["--split-bytes"],
        ),
        (
            &["--mode", "offline", "--source", good, "--target", good, "--split-bytes", "-3"],
            &["'-3' for '--split-bytes <SIZE>'"],
        ),
        (
            &["--mode", "offline", "--source", good, "--target", good, "--maintenance-work-mem", "-3"],
            &["'-3' for '--maintenance-work-mem <SIZE>'"],
        ),
        (
            &["--mode", "offline", "--source", good, "--target", good, "--log-format", "xml"],
            &["--log-format"],
        ),
        (&["chek"], &["chek"]),
    ];
    for (args, said) in lines {
        migrator(*args).run().expect_code(2).expect_said(said);
    }
}

#[test]
fn a_variable_that_cannot_be_used_is_named() {
    let good = "host=127.0.0.1 dbname=x";
    for (variable, value) in [("PGSSLMODE", "bogus"), ("PGPORT", "many"), ("PGREQUIREAUTH", "handshake")] {
        let run = migrator(["check", "--target", good])
            .env("PG_MIGRATOR_SOURCE", good)
            .env(variable, value)
            .run()
            .expect_code(2)
            .expect_said(&[variable, value]);
        assert!(!run.stderr.contains("PG_MIGRATOR_SOURCE"), "{run:?}");
    }
}

#[test]
fn help_and_version_are_data() {
    for flag in ["--help", "--version"] {
        let run = migrator([flag]).ok();
        assert!(run.stdout.contains("pg_migrator") && run.stderr.is_empty(), "{run:?}");
    }
}

#[test]
fn an_unreachable_server_is_named_by_its_side() {
    let good = cluster(15).database("reachable");
    // Port 1 needs privileges that nobody listening there by chance has.
    let nowhere = "host=127.0.0.1 port=1 user=postgres dbname=x connect_timeout=5";
    let unknown = "host=no-such-host.invalid user=postgres dbname=x connect_timeout=5";
    for bad in [nowhere, unknown] {
        offline(bad, &good.conninfo()).run().expect_code(3).expect_said(&["source"]);
        offline(&good.conninfo(), bad).run().expect_code(4).expect_said(&["target"]);
    }
    offline(nowhere, &good.conninfo()).run().expect_said(&["127.0.0.1", "refused"]);
    offline(unknown, &good.conninfo()).run().expect_said(&["no-such-host.invalid"]);
    let no_socket = "host=/nonexistent/socket user=postgres dbname=x";
    offline(no_socket, &good.conninfo()).run().expect_code(3).expect_said(&["/nonexistent/socket"]);
}

#[test]
fn a_host_that_does_not_answer_is_given_up_in_time() {
    // Accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let source = format!("host=127.0.0.1 port={port} user=postgres dbname=x connect_timeout=2");
    let target = cluster(15).database("reachable");
    let run = offline(&source, &target.conninfo()).limit(Duration::from_secs(30)).run().expect_code(3);
    run.expect_said(&["source"]);
}

#[test]
fn a_database_or_role_that_is_not_there() {
    let good = cluster(15).database("reachable");
    let port = good.cluster.port;
    let no_database = format!("host=127.0.0.1 port={port} user=postgres dbname=nothing_here");
    offline(&no_database, &good.conninfo())
        .run()
        .expect_code(3)
        .expect_said(&["nothing_here", "does not exist"]);
    offline(&good.conninfo(), &no_database)
        .run()
        .expect_code(4)
        .expect_said(&["nothing_here", "does not exist"]);
    offline(&good.conninfo_as("nobody_here", port), &good.conninfo())
        .run()
        .expect_code(3)
        .expect_said(&["nobody_here"]);
}

#[test]
fn passwords_are_checked_and_never_shown() {
    let server = Cluster::start(
        15,
        &Options::new()
            .set("password_encryption", "scram-sha-256")
            .hba("host all with_password 127.0.0.1/32 scram-sha-256"),
    );
    let target = cluster(15).database("target");
    let source = server.database("source");
    source.psql(
        "CREATE ROLE with_password SUPERUSER LOGIN PASSWORD 'right-S3cret'; CREATE TABLE t AS SELECT 1 AS a",
    );
    let conninfo = source.conninfo_as("with_password", server.port);
    let wrong = offline(&format!("{conninfo} password=wrong-S3cret"), &target.conninfo()).arg("-vv").run();
    let wrong = wrong.expect_code(3).expect_said(&["password authentication failed", "with_password"]);
    let none = offline(&conninfo, &target.conninfo()).run().expect_code(3).expect_said(&["password"]);
    let uri = format!("postgresql://with_password:right-S3cret@127.0.0.1:{}/{}", server.port, source.name);
    let right = offline(&uri, &target.conninfo()).arg("-vv").ok();
    let bad_uri = uri.replace("/source", "/source?sslmode=zzz");
    let usage = offline(&bad_uri, &target.conninfo()).run().expect_code(2);
    for run in [wrong, none, right, usage] {
        let said = run.stdout + &run.stderr;
        assert!(!said.contains("S3cret"), "a password is shown:\n{said}");
    }
}

#[test]
fn the_password_is_not_in_the_process_list() {
    let server = Cluster::start(15, &Options::new().hba("host all with_password 127.0.0.1/32 scram-sha-256"));
    let source = server.database("source");
    source.psql("SET password_encryption = 'scram-sha-256'; CREATE ROLE with_password SUPERUSER LOGIN PASSWORD 'S3cret'; CREATE TABLE t AS SELECT 1 AS a");
    // A server that never answers keeps the process there to be looked at.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!(
        "host=127.0.0.1 port={} user=a password=S3cret2 dbname=x connect_timeout=20",
        silent.local_addr().unwrap().port()
    );
    let running =
        offline(&format!("{} password=S3cret", source.conninfo_as("with_password", server.port)), &target)
            .spawn();
    // The source has been spoken to by the time the target is; connections wait to be accepted.
    silent.set_nonblocking(true).unwrap();
    let _connection = eventually(|| silent.accept().ok(), Option::is_some, "no connection to the target");
    for file in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{file}", running.pid());
        let shown = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        assert!(!shown.contains("S3cret"), "{file}: {shown}");
    }
}

#[test]
fn missing_privileges_are_all_named_at_once() {
    let pair = pair_with(
        15,
        15,
        "DO $$ BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int); CREATE TABLE public.closed_one (a int); CREATE TABLE public.closed_two (a int)",
    );
    let port = pair.source.cluster.port;
    let run = offline(&pair.source.conninfo_as("poor", port), &pair.target.conninfo_as("poor", port)).run();
    run.expect_code(1).expect_said(&["closed_one", "closed_two", "hidden", "GRANT", "poor"]);
    assert_eq!(pair.target.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'hidden'"), "0");
    assert_untouched_source(&pair.source);
}

#[test]
fn a_read_only_target_is_refused() {
    let pair = pair_with(15, 15, "CREATE TABLE t (a int)");
    pair.target.psql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", pair.target.name));
    pair.offline().run().expect_code(1).expect_said(&["target", "read_only"]);
    assert_untouched_source(&pair.source);
}

#[test]
fn a_newer_source_is_a_warning() {
    let pair = pair_with(
        18,
        15,
        "CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x'); INSERT INTO t VALUES (1), (2)",
    );
    pair.offline().ok().expect_said(&["newer"]);
    assert_eq!(pair.target.psql("SELECT count(*) FROM t"), "2");
}

#[test]
fn the_same_database_twice_is_refused() {
    let database = cluster(15).database("same");
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let run = offline(&database.conninfo(), &database.uri()).arg("--drop-target-first").run();
    run.expect_code(1).expect_said(&["same database"]);
    assert_eq!(database.psql("SELECT a FROM t"), "1");
}

#[test]
fn an_extension_that_the_target_lacks_is_named() {
    // adminpack ended with 17.
    let pair = pair_with(16, 18, "CREATE EXTENSION adminpack; CREATE TABLE t (a int)");
    pair.offline().run().expect_code(1).expect_said(&["adminpack"]);
}

/// Whatever the target's database or role sets by default, values and defaults come as they are, over several sessions at once.
#[test]
fn settings_of_the_target_that_would_change_or_stop_it() {
    let pair = pair_with(
        15,
        15,
        "CREATE TYPE e AS ENUM ('a', 'b'); \
        CREATE TABLE r (id int PRIMARY KEY, r regtype, arr text[], n int[]); INSERT INTO r VALUES (1, 'int4', ARRAY[NULL, 'NULL', 'x'], '{1,NULL}'); \
        CREATE TABLE t (id int PRIMARY KEY, k e, arr text[] DEFAULT '{NULL,x}'::text[]); \
        SELECT format('CREATE TABLE f%s AS SELECT g FROM generate_series(1, 100) g', i) FROM generate_series(1, 40) i \\gexec",
    );
    let name = &pair.target.name;
    pair.target.psql(&format!(
        "ALTER DATABASE {name} SET array_nulls = off; ALTER DATABASE {name} SET transform_null_equals = on; \
         ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'; ALTER DATABASE {name} SET default_transaction_deferrable = on"
    ));
    offline(&pair.source.conninfo(), &pair.target.conninfo()).ok();
    pair.target.psql(&format!("ALTER DATABASE {name} RESET ALL"));
    assert_same(&pair.source, &pair.target);
}
