//! `pg_migrator bench`: every contender takes part and leaves the source's rows, the report can be read, and nothing is left behind. How fast
//! anything is, no test says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cluster, Options, migrator, server_bin, unique};
use crate::moves::eventually;

const WORKLOADS: [&str; 6] = ["tpcb", "insert-bulk", "insert-small", "update-bulk", "delete-bulk", "mixed"];

/// A file's place that nothing else uses.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir()
        .join(format!("{}-{}", unique("pg_migrator_bench_test"), std::process::id()))
        .with_extension(name)
}

fn read(path: &PathBuf) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

fn conninfo(cluster: &Cluster) -> String {
    cluster.maintenance().conninfo()
}

/// What a bench would leave on a server.
fn left(cluster: &Cluster) -> String {
    cluster.maintenance().psql(
        "SELECT datname FROM pg_database WHERE datname LIKE 'pg_migrator%' UNION ALL SELECT slot_name FROM pg_replication_slots \
         UNION ALL SELECT subname FROM pg_subscription UNION ALL SELECT application_name FROM pg_stat_activity \
         WHERE application_name LIKE 'pg_migrator%'",
    )
}

/// Checks every contender of every workload of a report.
fn check_contenders(report: &Value, names: &[&str], rounds: usize) {
    for workload in report["workloads"].as_array().unwrap() {
        let inserts = workload["name"].as_str().unwrap().starts_with("insert-");
        let names = if inserts { &[names, &["copy-alone"]].concat() } else { names };
        let contenders = workload["contenders"].as_array().unwrap();
        let found: Vec<&str> = contenders.iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{workload}");
        for contender in contenders {
            let runs = contender["runs"].as_array().unwrap();
            assert_eq!(runs.len(), rounds, "{contender}");
            for run in runs {
                assert!(run["seconds"].as_f64().unwrap() > 0.0, "{run}");
                assert!(run["items_per_second"].as_f64().unwrap() > 0.0, "{run}");
                let writes = contender["name"] != "receiver";
                assert_eq!(run["equal"], if writes { Value::Bool(true) } else { Value::Null }, "{contender}");
                assert!(!run["points"].as_array().unwrap().is_empty(), "{run}");
                assert!(
                    run["cpu"]["source"]["walsender"].is_number(),
                    "the server is on this machine: {run}"
                );
            }
        }
    }
}

/// One page, whole, that loads nothing.
fn check_page(page: &str, headings: &[&str]) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for heading in headings {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn every_backlog_is_drained_by_every_contender() {
    let source = Cluster::start(15, &Options::online(15));
    let target = Cluster::start(18, &Options::online(18));
    let (json, html) = (file("json"), file("html"));
    let run = migrator(["bench", "apply", "--scale", "0.002", "--rounds", "2"])
        .args(["--source", &conninfo(&source), "--target", &conninfo(&target)])
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .ok();
    let report: Value = serde_json::from_str(&read(&json)).unwrap();
    let workloads = report["workloads"].as_array().unwrap();
    let names: Vec<&str> = workloads.iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, WORKLOADS);
    check_contenders(&report, &["receiver", "subscription", "pg_migrator"], 2);
    // 240 transactions of three updates and an insert; rows in tens.
    assert_eq!(
        (&workloads[0]["size"]["changes"], &workloads[0]["size"]["transactions"]),
        (&960.into(), &240.into())
    );
    assert_eq!(
        (&workloads[2]["size"]["changes"], &workloads[2]["size"]["transactions"]),
        (&800.into(), &80.into())
    );
    for workload in workloads {
        assert_eq!(workload["goals"].as_array().unwrap().len(), 4, "{workload}");
        let name = workload["name"].as_str().unwrap();
        assert!(run.stdout.contains(&format!("\n{name} — ")), "{name}: {}", run.stdout);
    }
    assert!(run.stdout.contains("× own") && run.stdout.contains("equal"), "{}", run.stdout);
    check_page(&read(&html), &WORKLOADS);
    assert_eq!((left(&source), left(&target)), (String::new(), String::new()));
}

#[test]
fn tables_are_copied_and_rows_watched_on_throwaway_servers() {
    let (source, target) = (server_bin(13), server_bin(18));
    let bins = |command: &[&str]| {
        migrator(command).arg("--source-bin").arg(&source).arg("--target-bin").arg(&target)
    };
    let run = bins(&["bench", "copy", "--scale", "0.002", "--jobs", "2", "--format", "json", "-q"]).ok();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let names: Vec<&str> =
        report["workloads"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["narrow", "wide", "blobs"]);
    check_contenders(&report, &["copy-text", "copy-binary", "pg_migrator"], 1);
    assert_eq!(report["source"]["throwaway"], true);
    assert_eq!(run.stderr, "");

    let html = file("html");
    let run = bins(&["bench", "apply", "--latency", "--rate", "100", "--seconds", "2", "--format", "json"])
        .arg("--html")
        .arg(&html)
        .ok();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let latency = report["latency"].as_array().unwrap();
    assert_eq!(latency.len(), 2);
    for contender in latency {
        assert!(contender["transactions"].as_u64().unwrap() > 20, "{contender}");
        assert!(contender["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{contender}");
    }
    check_page(&read(&html), &["latency"]);
}

#[test]
fn an_interrupt_leaves_nothing_on_the_servers() {
    // One server that is both, of the target's oldest version.
    let server = Cluster::start(13, &Options::online(13));
    let said = ["making the tables", "making the backlog", "receiver: ", "subscription: "];
    for text in said {
        let command = ["bench", "apply", "--workload", "mixed", "--scale", "0.05"];
        let ends = ["--source", &conninfo(&server), "--target", &conninfo(&server)];
        let mut running = migrator(command).args(ends).spawn();
        running.wait_for(text);
        std::thread::sleep(Duration::from_millis(30));
        running.signal("INT");
        running.wait().expect_code(5).expect_said(&["interrupted"]);
        assert_eq!(left(&server), "", "after {text:?}");
    }
}

#[test]
fn throwaway_servers_go_with_the_run_however_it_ends() {
    let bin = server_bin(18);
    for signal in ["INT", "KILL"] {
        // As /tmp is: everybody may make something there, and take only that away.
        let place = file("folder");
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o1777)).unwrap();
        let mut running = migrator(["bench", "copy", "--workload", "narrow"])
            .arg("--source-bin")
            .arg(&bin)
            .arg("--target-bin")
            .arg(&bin)
            .env("TMPDIR", &place)
            .spawn();
        running.wait_for("narrow: making the tables");
        let inside = || std::fs::read_dir(&place).unwrap().count();
        assert_eq!(inside(), 2, "a folder for each server");
        running.signal(signal);
        let run = running.wait();
        assert_eq!(run.code, if signal == "INT" { 5 } else { -1 }, "{run:?}");
        if signal == "INT" {
            assert_eq!(inside(), 0, "{run:?}");
        }
        eventually(inside, |n| *n == 0, "the servers outlive the run");
        std::fs::remove_dir(&place).unwrap();
    }
}

#[test]
fn servers_that_cannot_be_had_are_named() {
    let server = crate::harness::cluster(18);
    let (nowhere, there) = ("host=127.0.0.1 port=1 user=u dbname=d", conninfo(server));
    migrator(["bench", "apply", "--source", nowhere, "--target", &there])
        .run()
        .expect_code(3)
        .expect_said(&["cannot connect"]);
    migrator(["bench", "copy", "--source", &there, "--target", nowhere])
        .run()
        .expect_code(4)
        .expect_said(&["cannot connect"]);
    migrator(["bench", "copy", "--source-bin", "/nonexistent", "--target", &there])
        .run()
        .expect_code(3)
        .expect_said(&["/nonexistent", "there is no initdb in that folder"]);
    // The shared server knows no logical decoding.
    migrator([
        "bench",
        "apply",
        "--workload",
        "tpcb",
        "--scale",
        "0.002",
        "--source",
        &there,
        "--target",
        &there,
    ])
    .run()
    .expect_code(3)
    .expect_said(&["wal_level"]);
    migrator(["bench", "copy", "--source", &there, "--target", &there, "--json", "/nonexistent/file"])
        .run()
        .expect_code(2)
        .expect_said(&["/nonexistent/file cannot be written"]);
}
