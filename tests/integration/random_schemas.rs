//! Random schemas arrive as they are: pg_dump says the same of both sides.
//!
//! `make test` tries a few seeds, most of them such that once showed a difference; `make test-long` two hundred.

use std::process::Stdio;

use crate::harness::{
    Database, assert_same_schema, cluster, comparable, diff, migrator, schema_dump, try_reference_target,
};
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

/// As `assert_same_schema`; but where the majors differ, three things are compared with the source's catalogs instead, because
/// pg_dump's own round trip loses them: the order of the columns of inheriting tables, the type of an identity's sequence, and that
/// a domain has not the default of its base type.
#[track_caller]
fn same(source: &Database, target: &Database) {
    if source.cluster.major == target.cluster.major {
        return assert_same_schema(source, target);
    }
    for what in [COLUMNS, SEQUENCES, DOMAINS] {
        let (expected, found) = (source.psql(what), target.psql(what));
        assert!(expected == found, "the target's catalogs differ:\n{}", diff(&expected, &found));
    }
    let reference = match try_reference_target(source, target.cluster, false) {
        Ok(reference) => reference,
        Err(error) => {
            assert!(
                NOT_TAKEN.iter().any(|known| error.contains(known)),
                "pg_dump's own script fails: {error}"
            );
            // What ours made of it stands: every statement of it was taken.
            println!("pg_dump's own script fails: {error}");
            return;
        }
    };
    let (expected, found) =
        (canonical(schema_dump(&reference), target), canonical(schema_dump(target), target));
    assert!(expected == found, "the target's schema differs:\n{}", diff(&expected, &found));
}

/// What a later server does not take of pg_dump's script for it, and does of ours.
const NOT_TAKEN: &[&str] = &[
    // From 17 on; ours lets the partition's column have its sequence as a default.
    "being attached contains an identity column",
];

const COLUMNS: &str = "SELECT n.nspname, c.relname, string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute \
    JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace \
    WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND nspname !~ '^pg_|^information_schema$' \
    GROUP BY 1, 2 ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

const DOMAINS: &str = "SELECT nspname, typname, typdefault IS NULL FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace \
    WHERE typtype = 'd' AND nspname <> 'information_schema' ORDER BY nspname::text COLLATE \"C\", typname::text COLLATE \"C\"";

const SEQUENCES: &str = "SELECT n.nspname, c.relname, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle \
    FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace \
    ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

/// A comparable dump without what follows from the order of the columns of inheriting tables, and without the bounds of integer
/// identities.
fn canonical(dump: String, target: &Database) -> String {
    let dump = comparable(dump, target);
    let mut entries: Vec<String> = dump.split("\n--\n-- Name: ").map(canonical_entry).collect();
    // Of a table's columns, in their order.
    let kind = |entry: &str| {
        let of_columns = ["DEFAULT", "COMMENT", "ACL"];
        of_columns.into_iter().find(|k| entry.contains(&format!("; Type: {k}; Schema: ")))
    };
    for run in entries.chunk_by_mut(|a, b| kind(a).is_some() && kind(a) == kind(b)) {
        run.sort();
    }
    entries.join("\n\n")
}

fn canonical_entry(entry: &str) -> String {
    if entry.contains("\nINHERITS (") {
        let mut lines: Vec<&str> = entry.lines().map(|l| l.trim_end_matches(',')).collect();
        lines.sort_unstable();
        return lines.join("\n");
    }
    // The base type's default, bare: the domain takes it.
    if entry.contains("\nCREATE DOMAIN ") {
        let bare = |line: &str| match line.split_once(" DEFAULT '") {
            Some((before, rest)) if rest.trim_end_matches(';').ends_with('\'') => before.to_owned(),
            _ => line.trim_end_matches(';').to_owned(),
        };
        return entry.lines().map(bare).collect::<Vec<_>>().join("\n");
    }
    match entry.contains(" AS IDENTITY (\n") {
        true => entry.replace("    MAXVALUE 2147483647", "    NO MAXVALUE"),
        false => entry.to_owned(),
    }
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
