//! What each flag does and, as much, what it leaves alone.

use crate::harness::{assert_same, assert_same_rows, schema_dump};
use crate::moves::{assert_untouched_source, pair, pair_with};

const SHOP: &str = "CREATE SCHEMA shop; CREATE SCHEMA crm;
    CREATE TABLE shop.customers (id int PRIMARY KEY, name text);
    CREATE TABLE shop.orders (id int PRIMARY KEY, customer int REFERENCES shop.customers, total numeric);
    CREATE INDEX ON shop.orders (customer);
    CREATE VIEW shop.totals AS SELECT customer, sum(total) FROM shop.orders GROUP BY 1;
    CREATE TABLE crm.notes (id int PRIMARY KEY, t text);
    CREATE TABLE public.stray (id int);
    INSERT INTO shop.customers SELECT g, 'c' || g FROM generate_series(1, 10) g;
    INSERT INTO shop.orders SELECT g, 1 + g % 10, g FROM generate_series(1, 100) g;
    INSERT INTO crm.notes VALUES (1, 'n'); INSERT INTO public.stray VALUES (1)";

/// Tables of the migrated schemas that the target has.
fn tables(database: &crate::harness::Database) -> String {
    database.psql(
        "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY 1) FROM (SELECT schemaname, tablename FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema', '_pg_migrator') ORDER BY 1, 2) t",
    )
}

#[test]
fn a_target_that_is_not_empty_is_refused_before_anything_changes() {
    let pair = pair_with(15, 15, SHOP);
    pair.target.psql("CREATE SCHEMA shop; CREATE TABLE shop.mine (a int); INSERT INTO shop.mine VALUES (5)");
    let before = schema_dump(&pair.target);
    pair.offline().run().expect_code(1).expect_said(&["shop.mine", "--drop-target-first"]);
    assert_eq!(before, schema_dump(&pair.target));
    assert_untouched_source(&pair.source);
}

#[test]
fn drop_target_first_leaves_other_schemas_alone() {
    let pair = pair_with(15, 15, SHOP);
    pair.target.psql(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (other text); CREATE VIEW shop.totals AS SELECT * FROM shop.orders;
         CREATE TABLE public.stray (id int, more text);
         CREATE SCHEMA foreign_one; CREATE TABLE foreign_one.kept (id int PRIMARY KEY); INSERT INTO foreign_one.kept VALUES (7);
         CREATE TABLE foreign_one.orders (id int)",
    );
    pair.offline().arg("--drop-target-first").ok();
    assert_eq!(pair.target.psql("SELECT id FROM foreign_one.kept"), "7");
    pair.target.psql("DROP SCHEMA foreign_one CASCADE");
    assert_same(&pair.source, &pair.target);
}

#[test]
fn drop_target_first_never_takes_a_foreign_object_with_it() {
    // A view outside the migrated schemas hangs on a table that would be dropped: refused, not cascaded.
    let pair = pair_with(15, 15, SHOP);
    pair.target.psql(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders (id int); CREATE SCHEMA theirs; CREATE VIEW theirs.v AS SELECT id FROM shop.orders",
    );
    let run = pair.offline().arg("--drop-target-first").run().expect_said(&["theirs.v"]);
    assert!([1, 4].contains(&run.code), "{run:?}");
    assert_eq!(pair.target.psql("SELECT count(*) FROM theirs.v"), "0");
}

#[test]
fn schemas_are_filtered() {
    let pair = pair_with(13, 18, SHOP);
    pair.offline().arg("--include-schema").arg("s*").ok();
    assert_eq!(tables(&pair.target), "shop.customers shop.orders");
    pair.offline().arg("--exclude-schema").arg("shop").ok();
    assert_eq!(tables(&pair.target), "crm.notes public.stray shop.customers shop.orders");
    assert_same_rows(&pair.source, &pair.target);
}

#[test]
fn tables_are_filtered_and_what_is_left_out_is_named() {
    let pair = pair_with(15, 15, SHOP);
    let run = pair.offline().arg("--exclude-table").arg("shop.customers").run();
    assert!(run.code == 0 || run.code == 1, "{run:?}");
    // The foreign key needs the table that is left out.
    let run = run.expect_said(&["orders_customer_fkey"]);
    assert_eq!(tables(&pair.target), "crm.notes public.stray shop.orders", "{run:?}");
    assert_eq!(pair.target.psql("SELECT count(*) FROM shop.orders"), "100");
}

#[test]
fn a_pattern_that_fits_nothing_is_named() {
    let pair = pair_with(15, 15, SHOP);
    pair.offline().arg("--include-schema").arg("shopp").run().expect_code(1).expect_said(&["shopp"]);
    assert_eq!(tables(&pair.target), "");
}

#[test]
fn no_owner_and_no_privileges() {
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE t (a int); ALTER TABLE t OWNER TO app_owner; GRANT SELECT ON t TO app_reader;
         ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT SELECT ON TABLES TO app_reader",
    );
    pair.offline().arg("--no-owner").arg("--no-privileges").ok();
    let dump = schema_dump(&pair.target);
    assert!(!dump.contains("app_owner") && !dump.contains("app_reader"), "{dump}");
    pair.offline().arg("--no-owner").arg("--drop-target-first").ok();
    let dump = schema_dump(&pair.target);
    assert!(
        !dump.contains("OWNER TO app_owner") && dump.contains("GRANT SELECT ON TABLE public.t TO app_reader"),
        "{dump}"
    );
}

#[test]
fn what_is_not_carried_is_named_and_refused() {
    let pair = pair(11, 15, &["unsupported.sql"]);
    let names = ["WITH OIDS of table un.oids"];
    pair.offline().run().expect_code(1).expect_said(&names).expect_said(&["--allow-unsupported"]);
    assert_eq!(tables(&pair.target), "");
    assert_untouched_source(&pair.source);
    pair.offline().arg("--allow-unsupported").ok().expect_said(&names);
    assert_eq!(pair.target.psql("SELECT * FROM un.supported"), "1|2|3");
}

/// A source on which one function cannot be made on the target: its library is not there.
const BROKEN: &str = "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1);
    CREATE TABLE bad (id int PRIMARY KEY, CONSTRAINT needs_two CHECK (id > 0)); INSERT INTO bad VALUES (1);
    CREATE INDEX bad_index ON bad (id);
    CREATE VIEW on_bad AS SELECT * FROM bad;
    CREATE VIEW on_good AS SELECT * FROM good";

#[test]
fn restore_errors_stop_or_are_listed() {
    let pair = pair_with(15, 15, BROKEN);
    // The role lacks the right to a tablespace-free way of failing one table only: an event trigger refuses it.
    pair.target.psql(
        "CREATE SCHEMA guard; CREATE FUNCTION guard.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.bad' AND command_tag = 'CREATE TABLE') \
           THEN RAISE 'no bad table here'; END IF; END $$; \
         CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION guard.refuse()",
    );
    pair.offline().run().expect_code(4).expect_said(&["no bad table here", "public.bad"]);
    let run = pair.offline().arg("--allow-restore-errors").run().expect_code(1);
    run.expect_said(&[
        "no bad table here",
        "public.bad",
        "public.on_bad",
        "CREATE TABLE public.bad",
        "CREATE VIEW public.on_bad",
    ]);
    assert_eq!(tables(&pair.target), "public.good");
    assert_eq!(pair.target.psql("SELECT * FROM on_good"), "1");
    assert_untouched_source(&pair.source);
}
