//! `make demo`: a realistic database moves from PostgreSQL 13 to 18 on this machine, before your eyes.
//!
//! Starts two throwaway servers of its own, fills the first, runs the commands that an operator would run, and
//! cleans up, however it ends. `DEMO_SCALE` sets the size: 1 (the default) is about 100 MB, 10 about 1 GB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../tests/integration/harness/mod.rs"]
mod harness;

use std::path::Path;
use std::time::Instant;

use harness::{Cluster, Options, migrator};

fn main() -> std::process::ExitCode {
    let scale: f64 = match std::env::var("DEMO_SCALE").as_deref().unwrap_or("1").parse() {
        Ok(scale) if scale > 0.0 => scale,
        _ => {
            eprintln!("DEMO_SCALE must be a number above 0");
            return 2.into();
        }
    };
    println!("== Two throwaway servers: PostgreSQL 13 and 18");
    let (old, new) = (Cluster::start(13, &Options::new()), Cluster::start(18, &Options::new()));
    let source = old.database_named("shop");
    let target = new.database_named("shop");
    new.maintenance()
        .psql("CREATE ROLE shop_owner; CREATE ROLE shop_app; CREATE ROLE accountant; CREATE ROLE analyst");

    println!("== Filling the source (DEMO_SCALE={scale})");
    let started = Instant::now();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.sql");
    let mut psql = source.psql_command();
    let filled = psql.args(["-v", &format!("scale={scale}"), "-o", "/dev/null", "-f"]).arg(script).status();
    if !filled.is_ok_and(|status| status.success()) {
        eprintln!("the demo's database could not be made");
        return 1.into();
    }
    let size = source.psql("SELECT pg_size_pretty(pg_database_size(current_database()))");
    println!("   {size} in {:.1} s", started.elapsed().as_secs_f64());

    let (from, to) = (source.uri(), target.uri());
    let steps: [(&str, &[&str]); 3] = [
        ("What would stop it? Nothing is changed by looking", &["check", "--source", &from, "--target", &to]),
        (
            "The migration",
            &["--mode", "offline", "--source", &from, "--target", &to, "--jobs", "4", "--drop-target-first"],
        ),
        (
            "Is every row there? Counts and hashes of both sides",
            &["verify", "--source", &from, "--target", &to],
        ),
    ];
    for (title, args) in steps {
        println!("\n== {title}\n$ pg_migrator {}", args.join(" "));
        let code = migrator(args).on_terminal();
        if code != 0 {
            println!("== it ended with exit code {code}");
            return 1.into();
        }
    }
    let same = harness::schema_dump(&harness::reference_target(&source, &new, false))
        == harness::schema_dump(&target);
    println!("\n== The schema is {} the one that pg_dump | psql makes", if same { "exactly" } else { "NOT" });
    u8::from(!same).into()
}
