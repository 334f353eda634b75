//! What a right migration looks like: pg_dump's view of the schema, and per table a count and an order-free hash.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::database::{clean, feed};
use super::{Cluster, Database, pg_dump_for, tools};

/// Path of a file in `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// `pg_dump --schema-only` of the newest major, without the lines that differ from run to run.
#[track_caller]
pub fn schema_dump(database: &Database) -> String {
    normalised(&pg_dump(tools("pg_dump"), database, &["--schema-only", "--encoding=UTF8"]))
}

fn normalised(dump: &str) -> String {
    let volatile =
        ["\\restrict ", "\\unrestrict ", "-- Dumped from database version", "-- Dumped by pg_dump version"];
    dump.lines().filter(|l| !volatile.iter().any(|v| l.starts_with(v))).flat_map(|l| [l, "\n"]).collect()
}

#[track_caller]
fn pg_dump(program: PathBuf, database: &Database, args: &[&str]) -> String {
    let out = clean(program)
        .args(args)
        .args(["-d", &database.conninfo()])
        .stdin(Stdio::null())
        .output()
        .expect("pg_dump");
    assert!(out.status.success(), "pg_dump {}: {}", database.name, String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("a dump in UTF-8")
}

/// What `pg_dump | psql` makes of a database on this server, data included when asked. Roles must be there.
#[track_caller]
pub fn reference_target<'a>(source: &Database, target: &'a Cluster, with_data: bool) -> Database<'a> {
    let (reference, args) =
        (target.database("reference"), if with_data { &[][..] } else { &["--schema-only"] });
    let script = pg_dump(pg_dump_for(target.major), source, args);
    let (ok, _, err) = feed(reference.psql_command().args(["-f", "-"]), script.as_bytes());
    assert!(ok, "pg_dump {} | psql: {err}", source.name);
    reference
}

/// As [`reference_target`] of the schema, but the script goes on after an error. Where there was one, `by_hand` is run as well, and
/// the script once more for what needed that. With what the server said the first time, empty if there was no error.
#[track_caller]
pub fn lenient_reference_target<'a>(
    source: &Database,
    target: &'a Cluster,
    by_hand: &str,
) -> (Database<'a>, String) {
    let reference = target.database("reference");
    let script = pg_dump(pg_dump_for(target.major), source, &["--schema-only"]);
    let run = || {
        let mut psql = reference.psql_command();
        let (_, _, said) = feed(psql.args(["-v", "ON_ERROR_STOP=0", "-f", "-"]), script.as_bytes());
        said
    };
    let refused = Some(run()).filter(|said| said.contains("ERROR: ")).unwrap_or_default();
    if !refused.is_empty() && !by_hand.is_empty() {
        reference.psql(by_hand);
        run();
    }
    (reference, refused)
}

/// Lists `kind|name|count|hash` per table, matview, sequence and large object, sorted by name.
///
/// The hash is the sum of the rows' md5, so order does not matter and duplicates count.
#[track_caller]
pub fn rows(database: &Database) -> String {
    // Columns by name: a child table may have its inherited columns at other places than on the source.
    database.psql(
        r#"
SET search_path = ''; SET extra_float_digits = 3; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
SET bytea_output = 'hex'; SET timezone = 'UTC'; SET xmloption = 'content'; SET row_security = off; SET lc_monetary = 'C';
SELECT pg_catalog.format(
    'SELECT %L, %L, count(*), coalesce(sum((''x'' || left(md5(ROW(%s)::text), 16))::bit(64)::bigint::numeric), 0) FROM ONLY %I.%I',
    CASE relkind WHEN 'm' THEN 'matview' ELSE 'table' END,
    pg_catalog.format('%I.%I', nspname, relname),
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attname COLLATE "C")
       FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
    nspname, relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '_pg_migrator')
  AND (relkind = 'r' OR relispopulated)
ORDER BY nspname COLLATE "C", relname COLLATE "C"
\gexec
SELECT pg_catalog.format('SELECT ''sequence'', %L, last_value, is_called FROM %I.%I',
    pg_catalog.format('%I.%I', nspname, relname), nspname, relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'S' AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '_pg_migrator')
ORDER BY nspname COLLATE "C", relname COLLATE "C"
\gexec
SELECT 'large object', oid, pg_catalog.length(pg_catalog.lo_get(oid)), pg_catalog.md5(pg_catalog.lo_get(oid))
FROM pg_catalog.pg_largeobject_metadata ORDER BY oid;
"#,
    )
}

/// What pg_dump says of a right migration's target.
#[derive(Debug)]
pub struct Expected {
    dump: String,
    /// Between majors: what pg_dump says wrongly there is not compared.
    across: bool,
}

/// The same as of the source (one major), or as of what `pg_dump | psql` makes of it on the target's server (two majors).
#[track_caller]
pub fn expected_schema(source: &Database, target: &Database) -> Expected {
    if source.cluster.major == target.cluster.major {
        return Expected { dump: schema_dump(source), across: false };
    }
    let dump = schema_dump(&reference_target(source, target.cluster, false));
    Expected { dump: comparable(dump, target), across: true }
}

/// pg_dump says this of the target.
#[track_caller]
pub fn assert_schema(expected: &Expected, target: &Database) {
    let found = schema_dump(target);
    let found = if expected.across { comparable(found, target) } else { found };
    assert!(expected.dump == found, "the target's schema differs:\n{}", diff(&expected.dump, &found));
}

/// The target's schema is the [`expected_schema`].
#[track_caller]
pub fn assert_same_schema(source: &Database, target: &Database) {
    assert_schema(&expected_schema(source, target), target);
}

/// What the reference says wrongly for a target older than its pg_dump's own major is not compared: from 15 on it
/// writes the privileges of `public` as differences from 15's own; and 16's, which has to do for 17, does not know
/// MAINTAIN, and calls all what is all but that.
pub fn comparable(dump: String, target: &Database) -> String {
    const OF_TABLES: &str = " SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE";
    let mut out = String::with_capacity(dump.len());
    // Inside a statement that is left out: a name may have a line break.
    let mut inside = false;
    for line in dump.lines() {
        let drops = match target.cluster.major {
            ..15 => line.contains(" ON SCHEMA public "),
            17 => {
                let by_default =
                    line.starts_with("ALTER DEFAULT PRIVILEGES ") && line.contains(" GRANT MAINTAIN ON ");
                inside || by_default || line.starts_with("GRANT MAINTAIN ON ")
            }
            _ => false,
        };
        if drops {
            inside = target.cluster.major == 17 && !line.ends_with(';');
            continue;
        }
        match target.cluster.major {
            17 => {
                out += &line
                    .replace(",MAINTAIN,", ",")
                    .replace(",MAINTAIN ON ", " ON ")
                    .replace(" ALL ON TABLE", OF_TABLES)
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

/// Every table, sequence and large object has the same content on both sides.
#[track_caller]
pub fn assert_same_rows(source: &Database, target: &Database) {
    let expected = if source.cluster.major < 12 && target.cluster.major >= 12 {
        // Servers before 12 print floats with other digits than later ones do.
        rows(&reference_target(source, target.cluster, true))
    } else {
        rows(source)
    };
    let found = rows(target);
    assert!(expected == found, "the target's rows differ:\n{}", diff(&expected, &found));
}

/// [`assert_same_schema`] and [`assert_same_rows`].
#[track_caller]
pub fn assert_same(source: &Database, target: &Database) {
    assert_same_schema(source, target);
    assert_same_rows(source, target);
}

/// A unified diff of two texts, cut to what a person reads.
pub fn diff(expected: &str, found: &str) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a temporary file");
    };
    write("expected", expected);
    write("found", found);
    let out = Command::new("diff").args(["-U4", "expected", "found"]).current_dir(dir.path()).output();
    let text = match out {
        Ok(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
        Err(_) => {
            let odd = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
            format!("first differing line: {odd:?}")
        }
    };
    text.lines().take(300).flat_map(|l| [l, "\n"]).collect()
}
