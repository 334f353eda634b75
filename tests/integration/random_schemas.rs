//! Random schemas arrive as they are: pg_dump says the same of both sides.
//!
//! `make test` tries a few seeds, most of them such that once showed a difference; `make test-long` two hundred.

use std::process::Stdio;

use crate::harness::{
    Database, assert_same_schema, cluster, comparable, diff, lenient_reference_target, migrator, schema_dump,
};
use crate::moves::{assert_untouched_source, filled};
use crate::random::Generator;
use crate::random_truth::wrong;

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

/// As `assert_same_schema`; but where the majors differ, what pg_dump's own round trip alters may be as on the source instead
/// ([`wrong`]), and three things must be as the source's catalogs have them, because a dump does not tell them all: the order of
/// columns, the type of an identity's sequence, and that a domain has not the default of its base type.
#[track_caller]
fn same(source: &Database, target: &Database) {
    if source.cluster.major == target.cluster.major {
        return assert_same_schema(source, target);
    }
    for what in [COLUMNS, SEQUENCES, DOMAINS] {
        let (expected, found) = (source.psql(what), target.psql(what));
        assert!(expected == found, "the target's catalogs differ:\n{}", diff(&expected, &found));
    }
    let (reference, refused) =
        lenient_reference_target(source, target.cluster, &source.psql(VIEWS_ON_THEMSELVES));
    if !refused.is_empty() {
        println!("pg_dump's own script fails: {refused}");
    }
    let [on_source, on_reference, on_target] =
        [source, &reference, target].map(|database| comparable(schema_dump(database), target));
    let wrong = wrong(&on_source, &on_reference, &on_target, refused.is_empty());
    assert!(wrong.is_empty(), "the target's schema differs:\n{wrong}");
}

const COLUMNS: &str = "SELECT n.nspname, c.relname, string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute \
    JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace \
    WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND nspname !~ '^pg_|^information_schema$' \
    GROUP BY 1, 2 ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

/// What pg_dump's script fails on, by hand: first as a view of the same columns, then as the source has it.
const VIEWS_ON_THEMSELVES: &str = "SELECT format('CREATE VIEW %1$s AS SELECT %2$s; CREATE OR REPLACE VIEW %1$s AS %3$s', c.oid::regclass, \
      (SELECT string_agg(format('NULL::%s AS %I', format_type(atttypid, atttypmod), attname), ', ' ORDER BY attnum) \
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0), pg_get_viewdef(c.oid)) \
    FROM set_config('search_path', '', false) AS set, pg_class c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN' \
    WHERE c.relkind = 'v' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n' AND d.refobjsubid <> 0) ORDER BY c.oid";

const DOMAINS: &str = "SELECT nspname, typname, typdefault IS NULL FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace \
    WHERE typtype = 'd' AND nspname <> 'information_schema' ORDER BY nspname::text COLLATE \"C\", typname::text COLLATE \"C\"";

const SEQUENCES: &str = "SELECT n.nspname, c.relname, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle \
    FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace \
    ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

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
