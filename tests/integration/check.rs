//! `pg_migrator check` against real servers: every finding at once, nothing changed, the right exit code.

use serde_json::Value;

use crate::harness::{Database, Run, cluster, migrator, unique};
use crate::moves::pair_with;

fn check(source: &str, target: &str, more: &[&str]) -> Run {
    migrator(["check", "--source", source, "--target", target]).arg("--json").args(more).run()
}

/// The codes found, with the sides: `error target target-not-empty`.
fn found(run: &Run) -> Vec<String> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|f| f["severity"] != "notice")
        .map(|f| {
            let text = |key: &str| f[key].as_str().unwrap_or("both").to_owned();
            format!("{} {} {}", text("severity"), text("side"), text("code"))
        })
        .collect()
}

/// What must be the same before and after: every row of the catalogs that names an object.
fn catalogs(db: &Database<'_>) -> String {
    db.psql(
        "SELECT oid, relname, relacl FROM pg_class ORDER BY 1; SELECT oid, nspname FROM pg_namespace ORDER BY 1;
         SELECT count(*) FROM pg_locks WHERE NOT fastpath AND relation >= 16384
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
}

#[test]
fn a_good_pair_is_good_and_stays_as_it_is() {
    let (source, target) = (cluster(13).database("check"), cluster(18).database("check"));
    source
        .psql("CREATE SCHEMA s; CREATE TABLE s.t (i int PRIMARY KEY); CREATE VIEW s.v AS SELECT * FROM s.t");
    let before = (catalogs(&source), catalogs(&target));
    let run = check(&source.conninfo(), &target.conninfo(), &[]).expect_code(0);
    assert!(found(&run).is_empty(), "{run:?}");
    assert_eq!(before, (catalogs(&source), catalogs(&target)));
    // A server takes a moment to see that a client is gone.
    let patience = std::time::Instant::now();
    while !(source.sessions().is_empty() && target.sessions().is_empty()) {
        assert!(patience.elapsed().as_secs() < 10, "{:?} {:?}", source.sessions(), target.sessions());
    }
    let text = migrator(["check", "--source", &source.conninfo(), "--target", &target.conninfo()]).ok();
    assert!(text.stdout.contains("Nothing stops the migration"), "{text:?}");
}

/// Nothing is given to owners, and still whoever makes objects needs `CREATE` in a schema that is there already.
#[test]
fn a_schema_in_which_the_role_may_make_nothing_is_said() {
    let (source, target) = (cluster(13).database("check"), cluster(18).database("check"));
    source.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE SCHEMA own; CREATE TABLE own.t (id int)");
    let role = unique("mover");
    target.psql(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}", target.name));
    let to = target.conninfo_as(&role, target.cluster.port);
    let run = check(&source.conninfo(), &to, &["--no-owner"]).expect_code(1);
    assert_eq!(found(&run), ["error target schema-no-create"]);
    let remedy = format!("GRANT CREATE ON SCHEMA public TO {role};");
    assert!(run.stdout.contains(&remedy), "{run:?}");
    // It is no less needed where owners are set afterwards.
    let run = check(&source.conninfo(), &to, &[]).expect_code(1);
    assert!(found(&run).contains(&"error target schema-no-create".to_owned()), "{run:?}");
    target.psql(&remedy);
    check(&source.conninfo(), &to, &["--no-owner"]).expect_code(0);
    migrator(["--mode", "offline", "--no-owner", "--source", &source.conninfo(), "--target", &to]).ok();
    target.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[test]
fn a_target_that_is_not_empty_is_said_unless_it_is_to_be_dropped() {
    let (source, target) = (cluster(15).database("check"), cluster(15).database("check"));
    source.psql("CREATE SCHEMA \"S s\"; CREATE TABLE \"S s\".t ()");
    target.psql(
        "CREATE SCHEMA \"S s\"; CREATE SCHEMA own; CREATE TABLE own.t (); CREATE TYPE public.e AS ENUM ()",
    );
    let run = check(&source.conninfo(), &target.conninfo(), &[]).expect_code(1);
    assert_eq!(found(&run), ["error target target-not-empty"]);
    run.expect_said(&["2 objects", "\\\"S s\\\"", "--drop-target-first"]);
    check(&source.conninfo(), &target.conninfo(), &["--drop-target-first"]).expect_code(0);
    let run = check(
        &source.conninfo(),
        &target.conninfo(),
        &["--exclude-schema", "S s", "--exclude-schema", "public"],
    );
    assert!(run.code == 0, "{run:?}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let (source, target) = (cluster(13).database("check"), cluster(18).database("check"));
    source.psql(
        "DROP ROLE IF EXISTS check_reader, check_owner; CREATE ROLE check_reader LOGIN; CREATE ROLE check_owner;
         CREATE TABLE secret (i int); CREATE TABLE owned (i int); ALTER TABLE owned OWNER TO check_owner;
         GRANT SELECT ON owned TO check_reader; CREATE TABLE veiled (i int); GRANT SELECT ON veiled TO check_reader;
         ALTER TABLE veiled ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON veiled USING (false);
         SELECT lo_from_bytea(0, 'x')",
    );
    target.psql(
        "DROP ROLE IF EXISTS check_writer; CREATE ROLE check_writer LOGIN;
         ALTER ROLE check_writer SET default_transaction_read_only = on; ALTER ROLE check_writer CONNECTION LIMIT 2;
         CREATE TABLE owned ()",
    );
    let before = (catalogs(&source), catalogs(&target));
    let from = source.conninfo_as("check_reader", source.cluster.port);
    let to = target.conninfo_as("check_writer", target.cluster.port);
    let run = check(&from, &to, &[]).expect_code(1);
    let found = found(&run);
    for code in [
        "source source-tables-unreadable",
        "source source-rows-hidden",
        "source source-large-objects-unreadable",
        "target target-read-only",
        "target target-no-create",
        "target connections",
        "target target-not-empty",
        "target role-missing",
    ] {
        assert!(found.contains(&format!("error {code}")), "{code}: {found:?}");
    }
    let run = check(&from, &to, &["--no-owner", "--no-privileges"]).expect_code(1);
    assert!(!run.stdout.contains("check_owner"), "{run:?}");
    // What a filter leaves out asks for nothing.
    let filter = ["--include-table", "nothing_else", "--allow-restore-errors"];
    let run = check(&from, &to, &filter).expect_code(1);
    assert!(!run.stdout.contains("check_owner") && !run.stdout.contains("unreadable"), "{run:?}");
    assert!(self::found(&run).contains(&"error source pattern-fits-nothing".to_owned()), "{run:?}");
    assert_eq!(before, (catalogs(&source), catalogs(&target)));
    source.psql("DROP OWNED BY check_reader, check_owner; DROP ROLE check_reader, check_owner");
    target.psql("DROP ROLE check_writer");
}

#[test]
fn encodings_and_locales_are_compared() {
    let server = cluster(15);
    let source = server.database("check");
    server.maintenance().psql(
        "DROP DATABASE IF EXISTS check_latin1; CREATE DATABASE check_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let latin1 = format!("host=127.0.0.1 port={} user=postgres dbname=check_latin1", server.port);
    let run = check(&source.conninfo(), &latin1, &[]).expect_code(1);
    assert!(found(&run).contains(&"error both encoding-lossy".to_owned()), "{run:?}");
    let run = check(&latin1, &source.conninfo(), &[]).expect_code(0);
    run.expect_said(&["encoding-converted"]);
    server.maintenance().psql("DROP DATABASE check_latin1");
}

#[test]
fn the_same_database_is_refused() {
    let db = cluster(18).database("check");
    let run = check(&db.conninfo(), &db.uri(), &["--drop-target-first"]).expect_code(1);
    assert_eq!(found(&run), ["error both same-database"]);
}

#[test]
fn a_newer_source_is_a_warning() {
    let (source, target) = (cluster(18).database("check"), cluster(13).database("check"));
    let run = check(&source.conninfo(), &target.conninfo(), &[]).expect_code(0);
    assert_eq!(found(&run), ["warning both source-newer"]);
}

#[test]
fn an_unreachable_side_hides_nothing_of_the_other() {
    let db = cluster(18).database("check");
    db.psql("CREATE ROLE check_reader LOGIN; CREATE TABLE t (i int)");
    let nowhere = "host=127.0.0.1 port=1 dbname=x user=y";
    let reader = db.conninfo_as("check_reader", db.cluster.port);
    let run = check(&reader, nowhere, &[]).expect_code(4);
    let found_here = found(&run);
    assert!(found_here.contains(&"error target unreachable".to_owned()), "{found_here:?}");
    assert!(found_here.contains(&"error source source-tables-unreadable".to_owned()), "{found_here:?}");
    let run = check(nowhere, nowhere, &[]).expect_code(3);
    assert_eq!(found(&run), ["error source unreachable", "error target unreachable"]);
    db.psql("DROP ROLE check_reader");
}

#[test]
fn what_no_server_makes_again_is_named_before_anything_is_changed() {
    let script = "CREATE TABLE pk (k int PRIMARY KEY); CREATE TABLE part (x int, k int); ALTER TABLE part DROP x;
        CREATE TABLE whole (k int CONSTRAINT \"To pk\" REFERENCES pk ON DELETE SET NULL (k)) PARTITION BY LIST (k);
        ALTER TABLE whole ATTACH PARTITION part FOR VALUES IN (1); ALTER TABLE whole DETACH PARTITION part;
        CREATE TYPE inner_type AS (a int); CREATE DOMAIN over AS inner_type; CREATE TYPE outer_type AS (i inner_type[], o over, v varchar);
        CREATE TABLE t (a varchar, b outer_type, c name[]); CREATE STATISTICS fine ON a, c FROM t; CREATE STATISTICS of_outer ON a, b FROM t;
        ALTER TYPE inner_type ADD ATTRIBUTE p point";
    let pair = pair_with(18, 18, script);
    let (from, to) = (pair.source.conninfo(), pair.target.conninfo());
    let run = check(&from, &to, &[]).expect_code(1);
    assert_eq!(found(&run), ["error source foreign-key-damaged", "error source statistics-refused"]);
    pair.offline().run().expect_code(1).expect_said(&[
        "\"To pk\"",
        "STATISTICS public.of_outer",
        "column b (point)",
    ]);
    assert_eq!(
        pair.target.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    let run = pair.offline().arg("--allow-restore-errors").run().expect_code(1);
    run.expect_said(&["CONSTRAINT \"To pk\" ON public.part", "STATISTICS public.of_outer"]);
    assert_eq!(pair.target.psql("SELECT stxname FROM pg_statistic_ext"), "fine");
    assert_eq!(pair.target.psql("SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'f'"), "whole");
}

#[test]
fn what_pg_dump_drops_silently_is_named() {
    let script = "CREATE SCHEMA x; BEGIN; CREATE EXTENSION hstore SCHEMA x;
        CREATE TABLE x.member (a int PRIMARY KEY, b text); CREATE INDEX of_extension ON x.member (b);
        ALTER EXTENSION hstore ADD TABLE x.member; COMMIT;
        CREATE INDEX added ON x.member (b); ALTER TABLE x.member ADD CONSTRAINT added_check CHECK (a > 0);
        CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)";
    let pair = pair_with(15, 15, script);
    // Fails, and leaves an index that is not valid.
    let sql = "CREATE UNIQUE INDEX CONCURRENTLY half_made ON t (a)";
    assert!(!pair.source.psql_command().args(["-c", sql]).output().expect("psql").status.success());
    let args = ["check", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()];
    let run = migrator(args).ok();
    for named in ["invalid index public.half_made", "index x.added", "added_check"] {
        assert!(run.stdout.contains(named), "{named}: {}", run.stdout);
    }
    assert!(!run.stdout.contains("of_extension"), "{}", run.stdout);
}
