//! `pg_migrator check --mode online` against real servers: what would stop or disturb the stream, each with its remedy, and
//! nothing changed on either side.

use std::sync::OnceLock;

use serde_json::Value;

use crate::harness::{Cluster, Database, Options, Run, migrator, online_cluster};

/// As `pg_migrator check --mode online --json`; `more` names the slot and so on.
fn check(source: &str, target: &str, more: &[&str]) -> Run {
    let args = ["check", "--mode", "online", "--source", source, "--target", target, "--json"];
    migrator(args).args(more).run()
}

/// Between two databases.
fn between(source: &Database<'_>, target: &Database<'_>, more: &[&str]) -> Run {
    check(&source.conninfo(), &target.conninfo(), more)
}

fn findings(run: &Run) -> Vec<Value> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    report["findings"].as_array().unwrap().clone()
}

/// What is said of this code: severity, side, message and remedy of the first such finding.
#[track_caller]
fn said(run: &Run, code: &str) -> String {
    let found = findings(run);
    let Some(f) = found.iter().find(|f| f["code"] == code) else {
        panic!("no {code}: {}", run.stdout);
    };
    let text = |key: &str| f[key].as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} {}: {} → {}",
        text("severity"),
        text("side"),
        text("object"),
        text("message"),
        text("remedy")
    )
}

/// That it says all of these of this code.
#[track_caller]
fn expect(run: &Run, code: &str, texts: &[&str]) {
    let said = said(run, code);
    for text in texts {
        assert!(said.contains(text), "{text:?}: {said}");
    }
}

/// Errors and warnings that are not about where this machine's shared servers stand.
fn codes(run: &Run) -> Vec<String> {
    findings(run)
        .iter()
        .filter(|f| f["severity"] != "notice")
        .map(|f| f["code"].as_str().unwrap().to_owned())
        // Other tests write on the same servers.
        .filter(|code| code != "slot-would-wait")
        .collect()
}

/// What must be the same before and after.
fn state(db: &Database<'_>) -> String {
    db.psql(
        "SELECT oid, relname, relacl, relreplident FROM pg_class ORDER BY 1; SELECT oid, nspname FROM pg_namespace ORDER BY 1;
         SELECT pubname FROM pg_publication ORDER BY 1; SELECT slot_name FROM pg_replication_slots WHERE database = current_database();
         SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()",
    )
}

const TABLES: &str = "CREATE SCHEMA s; CREATE TABLE s.keyed (i int PRIMARY KEY, t text); CREATE TABLE s.\"Other\" (i int PRIMARY KEY)";

#[test]
fn a_good_pair_is_good_and_stays_as_it_is() {
    for (from, to) in [(10, 13), (13, 18), (15, 15), (18, 18)] {
        let (source, target) =
            (online_cluster(from).database("ocheck"), online_cluster(to).database("ocheck"));
        source.psql(TABLES);
        source.psql("CREATE PUBLICATION p FOR ALL TABLES");
        let before = (state(&source), state(&target));
        let run =
            between(&source, &target, &["--publication", "p", "--slot-name", "ocheck_good"]).expect_code(0);
        let expected: &[&str] = if from == 10 { &["truncate-not-streamed"] } else { &[] };
        assert_eq!(codes(&run), expected, "{from}: {}", run.stdout);
        run.expect_said(&["ddl-not-streamed"]);
        assert_eq!(before, (state(&source), state(&target)));
        // Offline asks for none of this.
        source.psql("DROP PUBLICATION p");
        let offline =
            migrator(["check", "--source", &source.conninfo(), "--target", &target.conninfo(), "--json"]);
        let offline = offline.ok();
        assert!(!offline.stdout.contains("ddl-not-streamed"), "{}", offline.stdout);
    }
}

#[test]
fn a_missing_publication_is_said_with_its_statement() {
    for (from, to) in [(12, 13), (15, 18)] {
        let (source, target) =
            (online_cluster(from).database("ocheck"), online_cluster(to).database("ocheck"));
        source.psql(TABLES);
        source.psql("CREATE TABLE s.whole (i int PRIMARY KEY) PARTITION BY LIST (i); CREATE TABLE s.part PARTITION OF s.whole DEFAULT");
        let before = state(&source);
        let slot = ["--slot-name", "ocheck_missing", "--publication", "Pub"];
        let run = between(&source, &target, &slot).expect_code(1);
        assert_eq!(codes(&run), ["publication-missing"]);
        expect(
            &run,
            "publication-missing",
            &["error source", "--create-publication", "CREATE PUBLICATION \"Pub\" FOR ALL TABLES;"],
        );
        let run = between(&source, &target, &[&slot[..], &["--create-publication"]].concat()).expect_code(0);
        expect(&run, "publication-created", &["notice", "FOR ALL TABLES"]);
        let filtered = [&slot[..], &["--create-publication", "--exclude-table", "keyed"]].concat();
        let run = between(&source, &target, &filtered).expect_code(0);
        let listed = if from < 13 {
            "TABLE ONLY s.\"Other\", ONLY s.part;"
        } else {
            "TABLE ONLY s.\"Other\", ONLY s.whole;"
        };
        expect(&run, "publication-created", &[listed]);
        assert_eq!(before, state(&source));
        // The statement that it shows is one that the server takes.
        let create = said(&run, "publication-created");
        source.psql(create.split("→ ").nth(1).unwrap());
        assert!(codes(&between(&source, &target, &filtered).expect_code(0)).is_empty());
        // And one that is made for some tables does not do for all.
        let run = between(&source, &target, &slot).expect_code(1);
        expect(
            &run,
            "tables-not-published",
            &["1 table", "s.keyed", "ALTER PUBLICATION \"Pub\" ADD TABLE ONLY s.keyed;"],
        );
        source.psql("ALTER PUBLICATION \"Pub\" ADD TABLE ONLY s.keyed");
        between(&source, &target, &slot).expect_code(0);
    }
}

#[test]
fn what_a_publication_leaves_out_is_refused() {
    let (source, target) = (online_cluster(15).database("ocheck"), online_cluster(15).database("ocheck"));
    source.psql(TABLES);
    source.psql(
        "CREATE PUBLICATION p FOR TABLE s.keyed (i), s.\"Other\" WHERE (i > 0) WITH (publish = 'insert, delete');
         CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA s",
    );
    let run = between(&source, &target, &["--publication", "p", "--slot-name", "ocheck_less"]).expect_code(1);
    expect(
        &run,
        "publication-operations",
        &["update, truncate", "SET (publish = 'insert, update, delete, truncate')"],
    );
    let filters: Vec<Value> =
        findings(&run).into_iter().filter(|f| f["code"] == "publication-filters").collect();
    assert_eq!(filters.len(), 2, "{filters:?}");
    for filter in &filters {
        source.psql(filter["remedy"].as_str().unwrap());
    }
    source.psql("ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')");
    for publication in ["p", "by_schema"] {
        let run = between(&source, &target, &["--publication", publication, "--slot-name", "ocheck_less"]);
        assert_eq!(codes(&run.expect_code(0)), [""; 0], "the other publication is carried");
    }
    // A list of all columns leaves out none.
    source.psql("ALTER PUBLICATION p SET TABLE s.keyed (t, i), s.\"Other\"");
    source.psql("DROP PUBLICATION by_schema");
    between(&source, &target, &["--publication", "p", "--slot-name", "ocheck_less"]).expect_code(0);
}

#[test]
fn partitions_under_the_name_of_the_whole() {
    let (source, target) = (online_cluster(13).database("ocheck"), online_cluster(13).database("ocheck"));
    source.psql(
        "CREATE TABLE whole (i int PRIMARY KEY) PARTITION BY RANGE (i); CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (9);
         CREATE TABLE high PARTITION OF whole DEFAULT;
         CREATE PUBLICATION p FOR TABLE whole WITH (publish_via_partition_root)",
    );
    let args = ["--publication", "p", "--slot-name", "ocheck_root"];
    let run = between(&source, &target, &args).expect_code(0);
    expect(&run, "publication-via-root", &["warning", "public.whole", "TRUNCATE"]);
    let run = between(&source, &target, &[&args[..], &["--exclude-table", "high"]].concat()).expect_code(1);
    expect(&run, "publication-via-root", &["error", "public.whole", "publish_via_partition_root = false"]);
    source.psql("ALTER PUBLICATION p SET (publish_via_partition_root = false)");
    between(&source, &target, &[&args[..], &["--exclude-table", "high"]].concat()).expect_code(0);
}

#[test]
fn tables_whose_rows_cannot_be_told_apart() {
    for major in [13, 18] {
        let (source, target) =
            (online_cluster(major).database("ocheck"), online_cluster(18).database("ocheck"));
        source.psql(
            "CREATE TABLE keyed (i int PRIMARY KEY); CREATE TABLE history (i int); CREATE TABLE nothing (i int PRIMARY KEY);
             ALTER TABLE nothing REPLICA IDENTITY NOTHING; CREATE TABLE deferred (i int PRIMARY KEY DEFERRABLE);
             CREATE TABLE by_index (i int NOT NULL); CREATE UNIQUE INDEX by_index_i ON by_index (i); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_i;
             CREATE TABLE whole_row (i int); ALTER TABLE whole_row REPLICA IDENTITY FULL;
             CREATE TABLE computed (i int, j int GENERATED ALWAYS AS (i) STORED, PRIMARY KEY (i, j));
             CREATE UNLOGGED TABLE fast (i int);
             CREATE TABLE parted (i int) PARTITION BY LIST (i); CREATE TABLE part PARTITION OF parted DEFAULT;
             CREATE MATERIALIZED VIEW seen AS SELECT * FROM keyed; SELECT lo_from_bytea(0, 'x')",
        );
        let args = ["--create-publication", "--slot-name", "ocheck_identity"];
        let run = between(&source, &target, &args).expect_code(1);
        expect(
            &run,
            "replica-identity-missing",
            &[
                "warning source",
                "4 tables",
                "public.deferred, public.history, public.nothing, public.part:",
                "ALTER TABLE ONLY public.history REPLICA IDENTITY FULL;",
            ]
            .map(|t| t.trim_end_matches(':')),
        );
        expect(&run, "replica-identity-full", &["notice", "public.whole_row"]);
        expect(&run, "replica-identity-generated", &["error", "public.computed"]);
        expect(&run, "unlogged-not-streamed", &["warning", "public.fast"]);
        expect(&run, "large-objects-not-streamed", &["warning", "1 large object"]);
        expect(&run, "matviews-not-refreshed", &["notice", "public.seen"]);
        // As it says, so the server does.
        source.psql("INSERT INTO history VALUES (1); CREATE PUBLICATION pg_migrator FOR ALL TABLES");
        assert!(source.try_psql("UPDATE history SET i = 2").is_err());
        let run = between(&source, &target, &args).expect_code(1);
        let remedy = said(&run, "replica-identity-missing");
        source.psql(remedy.split("→ ").nth(1).unwrap());
        source.psql("UPDATE history SET i = 2; ALTER TABLE computed REPLICA IDENTITY FULL");
        let run = between(&source, &target, &args).expect_code(0);
        assert!(!run.stdout.contains("replica-identity-missing"), "{}", run.stdout);
    }
}

#[test]
fn a_slot_and_a_subscription_of_others() {
    let (source, target) = (online_cluster(15).database("ocheck"), online_cluster(18).database("ocheck"));
    source.psql(TABLES);
    source.psql("CREATE PUBLICATION p FOR ALL TABLES; SELECT pg_create_logical_replication_slot('ocheck_taken', 'pgoutput')");
    target.psql(
        "CREATE SUBSCRIPTION ocheck_sub CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false)",
    );
    let args = ["--publication", "p", "--slot-name", "ocheck_taken", "--subscription-name", "ocheck_sub"];
    let run = between(&source, &target, &args).expect_code(1);
    expect(
        &run,
        "slot-exists",
        &[
            "error source ocheck_taken",
            "(pgoutput)",
            "--slot-name",
            "SELECT pg_drop_replication_slot('ocheck_taken');",
        ],
    );
    expect(
        &run,
        "subscription-exists",
        &["error target", "ocheck_sub", "--subscription-name", "DROP SUBSCRIPTION ocheck_sub;"],
    );
    for (code, db) in [("slot-exists", &source), ("subscription-exists", &target)] {
        let remedy = said(&run, code);
        let sql = remedy.split("if nobody needs it: ").nth(1).unwrap();
        for statement in sql.split(" --").next().unwrap().split_inclusive(';') {
            db.psql(statement);
        }
    }
    between(&source, &target, &args).expect_code(0);
}

/// A server that lacks what an online migration needs.
fn poor(major: u32) -> &'static Cluster {
    static OLD: OnceLock<Cluster> = OnceLock::new();
    static NEW: OnceLock<Cluster> = OnceLock::new();
    let options = || {
        Options::new()
            .set("wal_level", "replica")
            .set("max_replication_slots", "1")
            .set("max_slot_wal_keep_size", "3GB")
            .set("max_logical_replication_workers", "0")
            .set("wal_sender_timeout", "2s")
    };
    match major {
        13 => OLD.get_or_init(|| Cluster::start(13, &options().set("rds.logical_replication", "off"))),
        18 => NEW.get_or_init(|| {
            let options = options()
                .set("idle_replication_slot_timeout", "1d")
                .set("max_active_replication_origins", "0");
            Cluster::start(18, &options)
        }),
        other => panic!("no poor server of {other}"),
    }
}

#[test]
fn a_server_that_is_not_set_up() {
    for major in [13, 18] {
        let (source, target) = (poor(major).database("ocheck"), poor(18).database("ocheck"));
        source.psql("SELECT pg_create_physical_replication_slot('standby')");
        let run = between(&source, &target, &["--create-publication"]).expect_code(1);
        expect(&run, "source-wal-level", &["error source", "replica"]);
        expect(&run, "replication-slots", &["error source", "1 of 1", "max_replication_slots"]);
        expect(&run, "slot-may-be-lost", &["warning source", "3GB"]);
        expect(&run, "wal-sender-timeout", &["warning source", "2s"]);
        let wal_level = said(&run, "source-wal-level");
        if major == 13 {
            assert!(
                wal_level.contains("RDS: set rds.logical_replication = 1") && !wal_level.contains("Azure"),
                "{wal_level}"
            );
        } else {
            for way in [
                "ALTER SYSTEM SET wal_level = logical;",
                "rds.logical_replication",
                "Azure",
                "cloudsql.logical_decoding",
            ] {
                assert!(wal_level.contains(way), "{wal_level}");
            }
            run.expect_said(&["idle_replication_slot_timeout is 1d"]);
        }
        source.psql("SELECT pg_drop_replication_slot('standby')");
    }
    // The same server as a target: without origins there is no real subscription, and nothing to keep.
    let (source, target) = (online_cluster(15).database("ocheck"), poor(18).database("ocheck"));
    let args = ["--create-publication", "--slot-name", "ocheck_poor"];
    let run = between(&source, &target, &args).expect_code(0);
    expect(&run, "no-real-subscription", &["notice target", "max_active_replication_origins"]);
    let run = between(&source, &target, &[&args[..], &["--keep-subscription"]].concat()).expect_code(1);
    expect(&run, "no-real-subscription", &["error target", "--keep-subscription"]);
    expect(&run, "target-no-workers", &["warning target"]);
}

#[test]
fn roles_that_may_little() {
    for major in [13, 15, 18] {
        let (source, target) =
            (online_cluster(major).database("ocheck"), online_cluster(major).database("ocheck"));
        let role = format!("ocheck_{major}");
        source.psql(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN; CREATE TABLE t (i int PRIMARY KEY);
             CREATE TABLE own (i int PRIMARY KEY); ALTER TABLE own OWNER TO {role}; GRANT SELECT ON t TO {role};
             GRANT CREATE ON DATABASE {} TO {role}", source.name
        ));
        target.psql(&format!(
            "GRANT CREATE ON DATABASE {} TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
            target.name
        ));
        let (from, to) =
            (source.conninfo_as(&role, source.cluster.port), target.conninfo_as(&role, target.cluster.port));
        let args = ["--create-publication", "--slot-name", "ocheck_roles", "--no-owner", "--no-privileges"];
        let run = check(&from, &to, &args).expect_code(1);
        expect(
            &run,
            "source-no-replication",
            &["error source", &format!("ALTER ROLE {role} WITH REPLICATION;"), "rds_replication"],
        );
        expect(
            &run,
            "publication-not-permitted",
            &[
                "error source",
                "1 table",
                "public.t",
                "CREATE PUBLICATION pg_migrator FOR TABLE ONLY public.own, ONLY public.t;",
            ],
        );
        expect(&run, "no-real-subscription", &["notice target", "may not create subscriptions"]);
        expect(&run, "target-replica-role", &["warning target", "session_replication_role"]);
        source.psql(&format!("ALTER TABLE t OWNER TO {role}; ALTER ROLE {role} REPLICATION"));
        target.psql(&format!(
            "GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) TO {role}"
        ));
        if major >= 15 {
            target.psql(&format!("GRANT SET ON PARAMETER session_replication_role TO {role}"));
        }
        if major >= 16 {
            target.psql(&format!("GRANT pg_create_subscription TO {role}"));
        }
        let run = check(&from, &to, &args).expect_code(0);
        let expected: &[&str] = if major >= 15 { &[] } else { &["target-replica-role"] };
        assert_eq!(codes(&run), expected, "{}", run.stdout);
        assert_eq!(run.stdout.contains("no-real-subscription"), major < 16, "{}", run.stdout);
        let keep = check(&from, &to, &[&args[..], &["--keep-subscription"]].concat());
        let keep = keep.expect_code(if major >= 16 { 0 } else { 1 });
        assert_eq!(keep.stdout.contains("subscription-needs-password"), major >= 16, "{}", keep.stdout);
        source.psql(&format!("REVOKE ALL ON DATABASE {} FROM {role}", source.name));
        if major >= 15 {
            target.psql(&format!("REVOKE SET ON PARAMETER session_replication_role FROM {role}"));
        }
        source.psql(&format!("DROP OWNED BY {role}"));
        target.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

#[test]
fn transactions_that_would_hold_the_slot_up_are_named() {
    let options = Options::online(15).set("max_prepared_transactions", "4");
    let cluster = Cluster::start(15, &options);
    let (source, other, target) =
        (cluster.database("ocheck"), cluster.database("ocheck"), online_cluster(15).database("ocheck"));
    source.psql("CREATE TABLE t (i int PRIMARY KEY)");
    other.psql("CREATE TABLE u (i int); BEGIN; INSERT INTO u VALUES (1); PREPARE TRANSACTION 'left behind'");
    let mut writer = source
        .psql_command()
        .args(["-c", "BEGIN; INSERT INTO t VALUES (1); SELECT pg_sleep(60)"])
        .spawn()
        .expect("psql");
    std::thread::sleep(std::time::Duration::from_secs(7));
    let run = between(&source, &target, &["--create-publication", "--slot-name", "ocheck_waits"]);
    source.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()");
    let _ = writer.wait();
    other.psql("ROLLBACK PREPARED 'left behind'");
    let run = run.expect_code(0);
    let waits: Vec<String> = findings(&run)
        .iter()
        .filter(|f| f["code"] == "slot-would-wait")
        .map(|f| format!("{} → {}", f["message"].as_str().unwrap(), f["remedy"].as_str().unwrap()))
        .collect();
    assert_eq!(waits.len(), 2, "{waits:?}");
    assert!(
        waits.iter().any(|w| w.contains("'left behind'") && w.contains("COMMIT PREPARED 'left behind';")),
        "{waits:?}"
    );
    let writer = waits.iter().find(|w| w.contains("process")).unwrap();
    assert!(writer.contains("INSERT INTO t") && writer.contains("SELECT pg_terminate_backend("), "{writer}");
}

#[test]
fn a_standby_is_refused() {
    // A server in recovery without a primary: it waits for WAL for ever, and answers.
    let cluster = Cluster::start(15, &Options::online(15));
    std::fs::write(cluster.data().join("standby.signal"), "").unwrap();
    cluster.stop("fast");
    cluster.start_again();
    let target = online_cluster(15).database("ocheck");
    let run = check(&cluster.maintenance().conninfo(), &target.conninfo(), &["--create-publication"])
        .expect_code(1);
    expect(&run, "source-is-standby", &["error source", "primary"]);
}
