//! Foreign data, event triggers, publications and subscriptions: whole migrations of every variation of each kind, and
//! that no password is shown on the way.

use crate::harness::{Database, Run, assert_same, fixture, migrator, online_cluster, schema_dump};
use crate::moves::{Move, assert_untouched_source, offline, pair, pair_with};

/// Subscriptions' names are the server's, not the database's: each test has its own.
fn variations(from: u32, to: u32, name: &str) -> Move {
    let pair = pair(from, to, &[]);
    let mut psql = pair.source.psql_command();
    psql.args([
        "-v",
        &format!("sub={name}"),
        "-v",
        &format!("sub2={name}_2"),
        "-v",
        &format!("sub3={name} 3"),
    ]);
    let out = psql.arg("-f").arg(fixture("kinds_foreign.sql")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    pair
}

fn assert_no_secret(run: &Run) {
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(!said.contains("geheim") && !said.contains("ge heim"), "{said}");
}

/// Two servers are needed where names of subscriptions must not meet; the shared ones of two majors are two.
fn every_variation(from: u32, to: u32, name: &str) {
    let pair = variations(from, to, name);
    assert_no_secret(&pair.offline().arg("-vv").ok());
    assert_same_kinds(&pair);
    assert_untouched_source(&pair.source);
    let disabled = "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid \
                    WHERE datname = current_database() AND subenabled";
    assert_eq!(pair.target.psql(disabled), "0", "a subscription is never enabled");
    // Again over itself: event triggers on the target do not fire for what is dropped and made.
    assert_no_secret(&pair.offline().arg("--drop-target-first").ok());
    assert_same_kinds(&pair);
    pair.target.psql("SELECT 1 FROM pg_event_trigger WHERE evtname = 'on_drop'");
    let fires = pair.target.try_psql("CREATE TABLE fires (a int)").unwrap_err();
    assert!(fires.contains("event trigger fired"), "{fires}");
}

/// `pg_dump | psql` cannot be the reference where subscriptions' names are taken and event triggers fire in the middle, so
/// options of all kinds are compared as the newest pg_dump writes them for either side.
fn assert_same_kinds(pair: &Move) {
    if pair.source.cluster.major == pair.target.cluster.major {
        assert_same(&pair.source, &pair.target);
        return;
    }
    let of = |database: &Database<'_>| -> Vec<String> {
        let dump = schema_dump(database);
        let ours = [
            "FOREIGN",
            "SERVER",
            "USER MAPPING",
            "EVENT TRIGGER",
            "PUBLICATION",
            "SUBSCRIPTION",
            "parted",
            "turned",
        ];
        let blocks = dump.split("\n--\n-- Name: ").skip(1);
        let mut blocks: Vec<String> = blocks
            .filter(|b| ours.iter().any(|word| b.contains(word)))
            // Until 10 the server wrote it so.
            .map(|b| b.replace(" EXECUTE PROCEDURE ", " EXECUTE FUNCTION "))
            .map(|b| {
                b.lines().filter(|l| !l.starts_with("SET ")).collect::<Vec<_>>().join("\n").trim().to_owned()
            })
            .collect();
        blocks.sort();
        blocks
    };
    let (expected, found) = (of(&pair.source), of(&pair.target));
    assert!(expected.len() > 40, "{}", expected.len());
    similar(&expected, &found);
    crate::harness::assert_same_rows(&pair.source, &pair.target);
}

#[track_caller]
fn similar(expected: &[String], found: &[String]) {
    let diff = crate::harness::diff(&expected.join("\n\n"), &found.join("\n\n"));
    assert!(diff.is_empty(), "the target differs:\n{diff}");
}

#[test]
fn every_variation_10_to_18() {
    every_variation(10, 18, "kinds_f_10");
}

#[test]
fn every_variation_13_to_18() {
    every_variation(13, 18, "kinds_f_13");
}

#[test]
fn every_variation_15_to_16() {
    every_variation(15, 16, "kinds_f_15");
}

#[test]
fn every_variation_17_to_18() {
    every_variation(17, 18, "kinds_f_17");
}

#[test]
fn the_script_that_was_asked_for_holds_everything() {
    let pair = variations(18, 17, "kinds_f_18");
    let run = migrator(["schema", "--source", &pair.source.conninfo()]).ok();
    for wanted in ["geheim1", "geheim3", "geheim4", "CREATE EVENT TRIGGER", "connect = false"] {
        assert!(run.stdout.contains(wanted), "{wanted}");
    }
    assert!(!run.stderr.contains("geheim"), "{}", run.stderr);
    let first_trigger = run.stdout.find("CREATE EVENT TRIGGER").unwrap();
    let last_grant = run.stdout.rfind("\nGRANT ").unwrap();
    assert!(last_grant < first_trigger, "event triggers come last");
}

#[test]
fn a_failing_mapping_shows_no_password() {
    let pair = pair_with(
        15,
        17,
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
         CREATE USER MAPPING FOR app_owner SERVER far OPTIONS (\"user\" 'bob', password 'geheim')",
    );
    // Options that the target's wrapper does not know.
    pair.source.psql("UPDATE pg_user_mapping SET umoptions = umoptions || ARRAY['unheard_of=geheimer']");
    let run = pair.offline().run().expect_code(4).expect_said(&["unheard_of", "bob", "(hidden)"]);
    assert_no_secret(&run);
    let run = pair.offline().args(["--allow-restore-errors", "--log-format", "json"]).run().expect_code(1);
    assert_no_secret(&run.expect_said(&["unheard_of"]));
}

#[test]
fn what_a_role_may_not_read_is_said() {
    let pair = pair_with(
        15,
        17,
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
         CREATE USER MAPPING FOR app_owner SERVER far OPTIONS (password 'geheim');
         CREATE SUBSCRIPTION kinds_f_unread CONNECTION 'password=geheim' PUBLICATION p WITH (connect = false)",
    );
    pair.source.psql(
        "DO $$ BEGIN CREATE ROLE reader_of_kinds LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    );
    let source = pair.source.conninfo_as("reader_of_kinds", pair.source.cluster.port);
    let run = migrator(["check", "--source", &source, "--target", &pair.target.conninfo()]).ok();
    let run =
        run.expect_said(&["user-mapping-hidden", "app_owner", "kinds_f_unread", "only a superuser may read"]);
    assert_no_secret(&run);
    offline(&source, &pair.target.conninfo()).ok();
    let mappings = "SELECT usename, umoptions FROM pg_user_mappings; SELECT subname FROM pg_subscription \
                    WHERE subname = 'kinds_f_unread'";
    assert_eq!(pair.target.psql(mappings), "app_owner|");
}

#[test]
fn names_that_are_taken_are_found_before_anything_is_changed() {
    let pair =
        pair_with(15, 15, "CREATE FOREIGN DATA WRAPPER w; CREATE PUBLICATION p; CREATE TABLE t (a int)");
    pair.target.psql("CREATE FOREIGN DATA WRAPPER w; CREATE PUBLICATION p; CREATE PUBLICATION mine; CREATE FOREIGN DATA WRAPPER own");
    pair.offline().run().expect_code(1).expect_said(&[
        "target-not-empty",
        "publication p",
        "foreign data wrapper w",
    ]);
    pair.offline().arg("--drop-target-first").ok();
    let left =
        "SELECT pubname FROM pg_publication UNION ALL SELECT fdwname FROM pg_foreign_data_wrapper ORDER BY 1";
    assert_eq!(pair.target.psql(left), "mine\nown\np\nw", "what the source does not have stays");
}

#[test]
fn publications_online() {
    let (source, target) = (online_cluster(16).database("source"), online_cluster(17).database("target"));
    source.psql(
        "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1); CREATE PUBLICATION own FOR ALL TABLES;
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE away (a int) SERVER far;
         CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no % here', tg_tag; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'DROP TABLE') EXECUTE FUNCTION refuse();",
    );
    let mut run = migrator([
        "--mode",
        "online",
        "--create-publication",
        "--slot-name",
        "kinds_pub",
        "--publication",
        "kinds_pub",
    ])
    .args(["--source", &source.conninfo(), "--target", &target.conninfo()])
    .spawn();
    run.wait_for("CaughtUp");
    source.psql("INSERT INTO t VALUES (2, 2); UPDATE t SET a = 3 WHERE id = 1");
    run.signal("INT");
    run.wait().expect_code(0);
    assert_eq!(target.psql("SELECT * FROM t ORDER BY id"), "1|3\n2|2");
    // The migration's own publication is neither the user's nor left behind.
    assert_eq!(target.psql("SELECT pubname FROM pg_publication"), "own");
    assert_eq!(source.psql("SELECT pubname FROM pg_publication"), "own");
    assert_eq!(target.psql("SELECT evtname FROM pg_event_trigger"), "refuse");
}
