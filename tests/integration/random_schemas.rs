//! Random schemas arrive as they are: pg_dump says the same of both sides.
//!
//! `make test` tries a few seeds, most of them such that once showed a difference; `make test-long` two hundred.

use std::process::Stdio;

use crate::harness::{Database, assert_same_schema, cluster, diff, migrator, reference_target, schema_dump};
use crate::moves::{assert_untouched_source, filled};
use crate::random::Generator;

/// Statements that are tried per schema.
const STATEMENTS: usize = 400;

/// A database that a random script was run on; the server refuses some of its statements.
fn random(major: u32, seed: u64) -> Database<'static> {
    let source = filled(cluster(major).database("random"), &[]);
    let script = Generator::script(seed, major, STATEMENTS);
    if let Ok(folder) = std::env::var("PG_MIGRATOR_TEST_SCRIPTS") {
        std::fs::write(format!("{folder}/{major}-{seed}.sql"), &script).unwrap();
    }
    let mut command = source.psql_command();
    command.args(["-v", "ON_ERROR_STOP=0", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stdin, script.as_bytes()).unwrap());
        child.wait().unwrap()
    });
    let made = "SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind NOT IN ('t', 'i')) \
                + (SELECT count(*) FROM pg_proc WHERE oid >= 16384) + (SELECT count(*) FROM pg_constraint WHERE oid >= 16384)";
    let made: u32 = source.psql(made).parse().unwrap();
    assert!(made >= 40, "seed {seed}: the server took only {made} objects");
    source
}

/// The schema of this seed, migrated.
pub fn arrives(from: u32, to: u32, seed: u64) {
    println!("{from} → {to}, seed {seed}");
    let source = random(from, seed);
    let target = filled(cluster(to).database("target"), &[]);
    let before = schema_dump(&source);
    migrator([
        "--mode",
        "offline",
        "--jobs",
        "2",
        "--source",
        &source.conninfo(),
        "--target",
        &target.conninfo(),
    ])
    .ok();
    same(&source, &target);
    assert!(before == schema_dump(&source), "the source changed:\n{}", diff(&before, &schema_dump(&source)));
    assert_untouched_source(&source);
}

/// As `assert_same_schema`, but where the majors differ and pg_dump's own round trip loses the order of columns or the
/// type of an identity's sequence, that is not expected.
#[track_caller]
fn same(source: &Database, target: &Database) {
    if source.cluster.major == target.cluster.major {
        return assert_same_schema(source, target);
    }
    let reference =
        std::panic::catch_unwind(|| schema_dump(&reference_target(source, target.cluster, false)));
    let Ok(reference) = reference else {
        // What ours made of it stands: every statement of it was taken.
        println!("pg_dump's own script fails");
        return;
    };
    let (expected, found) = (canonical(&reference, target), canonical(&schema_dump(target), target));
    assert!(expected == found, "the target's schema differs:\n{}", diff(&expected, &found));
}

/// A dump with the elements of each table sorted.
fn canonical(dump: &str, target: &Database) -> String {
    let (mut out, mut elements): (Vec<String>, Option<Vec<String>>) = (Vec::new(), None);
    for line in dump.lines() {
        let line = line.replace("    MAXVALUE 2147483647", "    NO MAXVALUE");
        match &mut elements {
            Some(all) if line.starts_with(')') => {
                all.sort();
                out.append(all);
                (elements, _) = (None, out.push(line));
            }
            Some(all) => all.push(line.trim_end_matches(',').to_owned()),
            None if target.cluster.major == 17 && line.contains("GRANT MAINTAIN ON ") => {}
            None => {
                if line.starts_with("CREATE ") && line.contains("TABLE ") && line.ends_with('(') {
                    elements = Some(Vec::new());
                }
                out.push(line.replace(",MAINTAIN ON ", " ON "));
            }
        }
    }
    out.join("\n")
}

/// These seeds, all of them, then what differed; or those of `PG_MIGRATOR_TEST_SEEDS` (`1-50`).
#[track_caller]
pub fn all_arrive(from: u32, to: u32, seeds: impl IntoIterator<Item = u64>) {
    let seeds: Vec<u64> = match std::env::var("PG_MIGRATOR_TEST_SEEDS").ok().and_then(|s| bounds(&s)) {
        Some((first, last)) => (first..=last).collect(),
        None => seeds.into_iter().collect(),
    };
    let fails = |seed: &u64| std::panic::catch_unwind(|| arrives(from, to, *seed)).is_err();
    let bad: Vec<u64> = seeds.into_iter().filter(fails).collect();
    assert!(bad.is_empty(), "{from} → {to}: the schemas of seeds {bad:?} do not arrive");
}

fn bounds(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
