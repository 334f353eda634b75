//! Foreign data, event triggers, publications and subscriptions: names that are taken, what a role may not read, and that no
//! password is shown on the way.

use crate::harness::{Run, assert_same_schema, migrator, online_cluster};
use crate::kinds::kind;
use crate::moves::{offline, pair_with};

fn assert_no_secret(run: &Run) {
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(!said.contains("geheim") && !said.contains("ge heim"), "{said}");
}

#[test]
fn the_script_that_was_asked_for_holds_everything() {
    let pair = pair_with(18, 17, &kind("foreign"));
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

/// pg_dump writes the name of the slot, which no server takes so.
#[test]
fn a_subscription_whose_slot_has_its_own_unusual_name() {
    let pair = pair_with(
        18,
        18,
        "CREATE SUBSCRIPTION \"Unusual name\" CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
    );
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
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

#[test]
fn a_foreign_child_has_its_parents_compression_which_cannot_be_set() {
    // pg_dump's script sets it, which the server refuses.
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE parent (t text COMPRESSION pglz); CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER none FOREIGN DATA WRAPPER nowhere; \
         CREATE FOREIGN TABLE child () INHERITS (parent) SERVER none",
    );
    pair.offline().ok();
    let of_child =
        "SELECT attcompression FROM pg_attribute WHERE attrelid = 'child'::regclass AND attname = 't'";
    assert_eq!(pair.source.psql(of_child), "p");
    assert_eq!(pair.target.psql(of_child), "p");
}
