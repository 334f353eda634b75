//! `make demo`: a shop's database moves from PostgreSQL 13 to 18 on this machine, before your eyes, while the shop goes on selling.
//!
//! Starts two throwaway servers of its own, fills the first, lets writers loose on it, runs the commands that an operator would
//! run, and cleans up, however it ends. `DEMO_SCALE` sets the size: 1 (the default) is about 100 MB, 10 about 1 GB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/integration/harness/mod.rs"]
mod harness;
mod writers;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::{Cluster, Options, migrator};
use writers::Writers;

/// Clients of the shop, and what each of them writes per second.
const CLIENTS: u64 = 4;
const PER_SECOND: u64 = 60;
/// How long changes are followed before the cutover.
const FOLLOWED: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let scale: f64 = match std::env::var("DEMO_SCALE").as_deref().unwrap_or("1").parse() {
        Ok(scale) if scale > 0.0 => scale,
        _ => {
            eprintln!("DEMO_SCALE must be a number above 0");
            return 2.into();
        }
    };
    match demo(scale) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("== {message}");
            ExitCode::FAILURE
        }
    }
}

fn title(text: &str) {
    println!("\n== {text}");
}

/// Runs a command as an operator would, its output shown.
fn step(text: &str, args: &[&str]) -> Result<(), String> {
    title(text);
    println!("$ pg_migrator {}", args.join(" "));
    match migrator(args).on_terminal() {
        0 => Ok(()),
        code => Err(format!("it ended with exit code {code}")),
    }
}

fn demo(scale: f64) -> Result<(), String> {
    println!("== Two throwaway servers: PostgreSQL 13 and 18");
    let (old, new) = (Cluster::start(13, &Options::online(13)), Cluster::start(18, &Options::online(18)));
    let source = old.database_named("shop");
    let target = new.database_named("shop");
    new.maintenance()
        .psql("CREATE ROLE shop_owner; CREATE ROLE shop_app; CREATE ROLE accountant; CREATE ROLE analyst");

    println!("== Filling the source (DEMO_SCALE={scale})");
    let started = Instant::now();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/shop.sql");
    let mut psql = source.psql_command();
    let filled = psql.args(["-v", &format!("scale={scale}"), "-o", "/dev/null", "-f"]).arg(script).status();
    if !filled.is_ok_and(|status| status.success()) {
        return Err("the demo's database could not be made".into());
    }
    let size = source.psql("SELECT pg_size_pretty(pg_database_size(current_database()))");
    println!("   {size} in {:.1} s", started.elapsed().as_secs_f64());

    println!("== The shop is open: {CLIENTS} clients write to it from here on, without a pause");
    let shop = Writers::start(source.conninfo(), CLIENTS, PER_SECOND);
    let (from, to) = (source.uri(), target.uri());
    let both = ["--source", &from, "--target", &to];
    let online = [&["--mode", "online"], &both[..], &["--create-publication"]].concat();
    step("What would stop it? Nothing is changed by looking", &[&["check"], &online[..]].concat())?;

    title("The migration: copy, then follow what the shop writes");
    let run = [&online[..], &["--cutover-poll-secs", "2", "--fence-source"]].concat();
    println!("$ pg_migrator {}", run.join(" "));
    let mut running = migrator(&run).echo().spawn();
    running.wait_for("CaughtUp: lag is down");
    std::thread::sleep(FOLLOWED);
    let (written, refused) = shop.counts();
    println!("\n== {written} commits so far, {refused} refused. Cutover, asked for from another terminal");
    println!("$ pg_migrator cutover --target {to}");
    let asked = Instant::now();
    migrator(["cutover", "--target", &to]).ok();
    let ended = running.wait();
    print!("{}", ended.stdout);
    if ended.code != 0 {
        return Err(format!("it ended with exit code {}", ended.code));
    }
    println!("   {:.2} s from the request to the end", asked.elapsed().as_secs_f64());

    // Whatever `verify` compares must stand still meanwhile, so the shop only counts its visitors until that is done.
    shop.visits_only(true);
    shop.redirect(target.conninfo());
    let waited = Instant::now();
    let gap = loop {
        match shop.gap() {
            Some(gap) => break gap,
            None if waited.elapsed() > Duration::from_secs(10) => {
                return Err("the target takes no writes".into());
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    println!("\n== The shop writes to PostgreSQL 18. Writes were stopped for {:.2} s", gap.as_secs_f64());

    step(
        "Is every row there? Counts and hashes of both sides (visits go on meanwhile, on the target)",
        &[&["verify"], &both[..], &["--exclude-table", "shop.visits"]].concat(),
    )?;
    shop.visits_only(false);
    std::thread::sleep(Duration::from_secs(1));
    let (written, _) = shop.counts();
    let orders = shop.stop();
    let there: BTreeSet<i64> = target
        .psql("SELECT id FROM shop.orders WHERE note = 'live'")
        .lines()
        .map(|id| id.parse().unwrap())
        .collect();
    let missing = orders.iter().filter(|id| !there.contains(id)).count();
    println!(
        "\n== {written} commits in all; of {} live orders acknowledged, {missing} are missing",
        orders.len()
    );
    if missing > 0 || orders.is_empty() {
        return Err("orders were lost".into());
    }

    let same = harness::schema_dump(&harness::reference_target(&source, &new, false))
        == harness::schema_dump(&target);
    println!("== The schema is {} the one that pg_dump | psql makes", if same { "exactly" } else { "NOT" });
    if same { Ok(()) } else { Err("the schemas differ".into()) }
}
