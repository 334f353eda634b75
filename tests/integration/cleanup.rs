//! Cleaning up after a migration that did not come to its end: nothing of it is left on either side, and nothing else is touched.

use std::time::Duration;

use pg_migrator::cutover::subscription::{self, Made, Make};
use pg_migrator::cutover::{fence, subscription_conninfo};
use pg_migrator::error::{ExitCode, Side};
use pg_migrator::journal::{self, Origin, SlotRecord};
use pg_migrator::lsn::Lsn;
use pg_migrator::migration::cleanup::{self, Cleaned, Cleanup, CleanupError, TargetObjects};
use pg_migrator::migration::slots;
use pg_migrator::progress::Reporter;

use crate::cutover_steps::{server, sessions};
use crate::harness::{Database, assert_same, online_cluster, unique};
use crate::moves::{WATCHED, assert_not_watched, assert_untouched_source, eventually, filled, offline};

fn asked(source: &Database, target: &Database) -> Cleanup {
    Cleanup {
        source: server(Side::Source, source),
        target: server(Side::Target, target),
        subscription_name: "Move".to_owned(),
        slot_name: None,
        force_slot: false,
        objects: TargetObjects::Keep,
    }
}

async fn clean(asked: Cleanup) -> Result<Cleaned, CleanupError> {
    cleanup::run(asked, &Reporter::default()).await
}

/// What an online migration in StreamApply has made, by the same functions; its run is dead.
async fn broken_off(source: &Database<'_>, target: &Database<'_>, slot: &str) {
    let (s, t) = sessions(source, target).await;
    let made = "CREATE TABLE t (id int PRIMARY KEY); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
        CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()";
    source.psql(made);
    target.psql(made);
    source.psql("CREATE PUBLICATION \"Pub\" FOR ALL TABLES; COMMENT ON PUBLICATION \"Pub\" IS 'made by pg_migrator for Move'; CREATE PUBLICATION other");
    let system_identifier = source.psql("SELECT system_identifier FROM pg_control_system()");
    let database = source.name.clone();
    let record = SlotRecord {
        migration: "Move".to_owned(),
        slot: slot.to_owned(),
        system_identifier: system_identifier.clone(),
        database: database.clone(),
    };
    journal::reserve_slot(&t, &record).await.unwrap();
    source.psql(&format!("SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    let origin = Origin {
        name: "Move".to_owned(),
        mode: "online",
        system_identifier: system_identifier.clone(),
        database,
        snapshot: "s".to_owned(),
        snapshot_lsn: "0/0".to_owned(),
        slot: Some((slot.to_owned(), "Pub".to_owned())),
    };
    journal::begin(&t, &origin).await.unwrap();
    t.batch(
        "journal",
        &journal::objects_created("Move", &[("TABLE", "public.t"), ("FUNCTION", "public.f()")]),
    )
    .await
    .unwrap();
    journal::stream_begun(&t, "Move", 1, Lsn(7), &[]).await.unwrap();
    let conninfo = subscription_conninfo(server(Side::Source, source).info(), t.version());
    let make = Make { source: &s, target: &t, name: "Move", conninfo: &conninfo, publication: "Pub", slot };
    assert!(matches!(subscription::create(make).await.unwrap(), Made::There(_)));
    target.psql("ALTER TABLE t DISABLE TRIGGER tr");
    t.batch(
        "suspending",
        &journal::suspended("Move", "trigger tr", "ALTER TABLE public.t ENABLE TRIGGER tr"),
    )
    .await
    .unwrap();
    let patience = Duration::from_secs(5);
    fence::raise(fence::Raise {
        source: &s,
        target: &t,
        name: "Move",
        system_identifier: &system_identifier,
        ours: &[],
        patience,
    })
    .await
    .unwrap();
}

const LEFT_ON_SOURCE: &str = "SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database() \
    UNION ALL SELECT 'publication ' || pubname FROM pg_publication \
    UNION ALL SELECT 'fence' WHERE current_setting('default_transaction_read_only') = 'on' ORDER BY 1";
const LEFT_ON_TARGET: &str = "SELECT 'subscription ' || subname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database() \
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^_?pg_migrator' \
    UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
    UNION ALL SELECT 'trigger ' || tgname || ' ' || tgenabled::text FROM pg_trigger ORDER BY 1";

/// Everything that is neither the system's nor an extension's.
const OBJECTS: &str = "WITH o AS (SELECT 'pg_class'::regclass AS class, oid, relnamespace AS namespace, relname::text AS name FROM pg_class \
      UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proname FROM pg_proc UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typname FROM pg_type) \
    SELECT class || ' ' || name FROM o WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = class AND e.objid = o.oid AND e.deptype = 'e') \
      AND namespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema') \
      AND NOT EXISTS (SELECT FROM pg_depend i JOIN pg_depend e ON e.classid = i.refclassid AND e.objid = i.refobjid AND e.deptype = 'e' \
                      WHERE i.classid = class AND i.objid = o.oid AND i.deptype IN ('i', 'a')) \
    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')";

async fn nothing_is_left(from: u32, to: u32) {
    for objects in [TargetObjects::Keep, TargetObjects::Drop] {
        let (source, target) =
            (online_cluster(from).database("cleaned"), online_cluster(to).database("cleaned_target"));
        let slot = unique("cleaned");
        broken_off(&source, &target, &slot).await;
        target.psql("CREATE TABLE mine (id int)");
        let list =
            slots::list(&server(Side::Source, &source), Some(&server(Side::Target, &target))).await.unwrap();
        assert_eq!(list.len(), 1);
        let seen = &list[0];
        assert_eq!(
            (seen.name.as_str(), seen.migration.as_deref(), seen.exists, seen.active_pid),
            (slot.as_str(), Some("Move"), true, None)
        );
        assert!(seen.retained_bytes.is_some() && seen.restart_lsn.is_some(), "{seen:?}");
        // A killed run's walsender, which has not noticed.
        let cleaned = clean(Cleanup { objects, ..asked(&source, &target) }).await.unwrap();
        assert_eq!(cleaned.exit_code(), ExitCode::Done, "{cleaned:?}");
        assert_eq!(source.psql(LEFT_ON_SOURCE), "publication other");
        let left = match objects {
            TargetObjects::Keep => "function f\ntable mine\ntable t\ntrigger tr O",
            TargetObjects::Drop => "table mine",
        };
        assert_eq!(target.psql(LEFT_ON_TARGET), left, "{cleaned:?}");
        // Again: nothing to do.
        assert_eq!(clean(Cleanup { objects, ..asked(&source, &target) }).await.unwrap(), Cleaned::default());
        source.psql("INSERT INTO t VALUES (1)");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_is_left_13_to_18() {
    nothing_is_left(13, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_is_left_15_to_15() {
    nothing_is_left(15, 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_it_is_left_18_to_18() {
    nothing_is_left(18, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_its_own_is_not_touched() {
    let (source, target) =
        (online_cluster(15).database("careful"), online_cluster(15).database("careful_target"));
    let slot = unique("careful");
    broken_off(&source, &target, &slot).await;
    // Another run has the target.
    let t = server(Side::Target, &target).connect().await.unwrap();
    assert_eq!(journal::claim(&t).await.unwrap(), journal::Claim::Ours);
    let error = clean(asked(&source, &target)).await.unwrap_err();
    assert!(matches!(error, CleanupError::UnderWay(Some(_))), "{error}");
    assert_eq!(error.exit_code(), ExitCode::OperatorMustAct);
    let ends = (server(Side::Source, &source), server(Side::Target, &target));
    assert!(matches!(
        slots::drop(&ends.0, Some(&ends.1), &slot, false).await,
        Err(CleanupError::UnderWay(_))
    ));
    drop(t);
    // Another name, another source.
    let name = Cleanup { subscription_name: "other".to_owned(), ..asked(&source, &target) };
    let error = eventually_claimed(name).await.unwrap_err();
    assert!(error.to_string().contains("\"Move\""), "{error}");
    let elsewhere = online_cluster(15).database("elsewhere");
    let error = clean(asked(&elsewhere, &target)).await.unwrap_err();
    assert!(matches!(error, CleanupError::OtherSource { .. }), "{error}");
    // A slot that no journal knows.
    let foreign = unique("foreign");
    source.psql(&format!("SELECT FROM pg_create_logical_replication_slot('{foreign}', 'pgoutput')"));
    let named = Cleanup { slot_name: Some(foreign.clone()), ..asked(&source, &target) };
    let cleaned = clean(named.clone()).await.unwrap();
    assert!(
        cleaned.exit_code() == ExitCode::OperatorMustAct && cleaned.left[0].contains("--force-slot"),
        "{cleaned:?}"
    );
    let left = format!("publication other\nslot {foreign}");
    assert_eq!(source.psql(LEFT_ON_SOURCE), left);
    let error = slots::drop(&ends.0, Some(&ends.1), &foreign, false).await.unwrap_err();
    assert!(error.to_string().contains("--force-slot"), "{error}");
    assert_eq!(source.psql(LEFT_ON_SOURCE), left);
    // A subscription that was kept after a cutover has no journal any more.
    source.psql("CREATE PUBLICATION kept FOR ALL TABLES");
    let (s, t) = sessions(&source, &target).await;
    let conninfo = subscription_conninfo(ends.0.info(), t.version());
    let make = Make {
        source: &s,
        target: &t,
        name: "Move",
        conninfo: &conninfo,
        publication: "kept",
        slot: &foreign,
    };
    assert!(matches!(subscription::create(make).await.unwrap(), Made::There(_)));
    let cleaned = clean(asked(&source, &target)).await.unwrap();
    assert!(cleaned.left.len() == 1 && cleaned.left[0].contains("subscription \"Move\""), "{cleaned:?}");
    // By force, all of it.
    let cleaned = clean(Cleanup { force_slot: true, ..named }).await.unwrap();
    assert_eq!((cleaned.left.len(), cleaned.done.len()), (0, 2), "{cleaned:?}");
    assert_eq!(source.psql(LEFT_ON_SOURCE), "publication kept\npublication other");
    assert!(!slots::drop(&ends.0, None, &foreign, false).await.unwrap());
}

/// A session that was just closed may hold its claim for a moment.
async fn eventually_claimed(asked: Cleanup) -> Result<Cleaned, CleanupError> {
    for _ in 0..50 {
        match clean(asked.clone()).await {
            Err(CleanupError::UnderWay(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
            other => return other,
        }
    }
    panic!("still under way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_whose_walsender_has_not_noticed_is_dropped() {
    let (source, target) =
        (online_cluster(15).database("noticed"), online_cluster(15).database("noticed_target"));
    let slot = unique("noticed");
    broken_off(&source, &target, &slot).await;
    // Somebody streams from it: the walsender of a run that was killed on another machine.
    let mut streaming = server(Side::Source, &source).connect_replication("UTF8").await.unwrap();
    let start =
        format!("START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'Pub')");
    streaming.send_query("streaming", &start).await.unwrap();
    let active = format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'");
    eventually(|| source.psql(&active), |seen| seen == "t", "nobody streams");
    let cleaned = clean(asked(&source, &target)).await.unwrap();
    assert_eq!(cleaned.exit_code(), ExitCode::Done, "{cleaned:?}");
    assert_eq!(source.psql(LEFT_ON_SOURCE), "publication other");
    drop(streaming);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offline_migration_that_was_killed_is_cleaned_up() {
    let source = filled(online_cluster(15).database("killed"), &["kitchen_sink.sql", "loops.sql"]);
    source.psql("CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 100000) g; \
        SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 3)");
    let target = online_cluster(15).database("killed_target");
    target.psql_file(&crate::harness::fixture("roles.sql"));
    let command = || offline(&source.conninfo(), &target.conninfo()).arg("--subscription-name=Move");
    let whole = command().ok().elapsed;
    assert_same(&source, &target);
    let empty = || {
        let name = &target.name;
        target
            .cluster
            .maintenance()
            .psql(&format!("DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name} TEMPLATE template0"));
    };
    empty();
    for fifth in 1..=4 {
        let mut running = command().spawn();
        std::thread::sleep(whole * fifth / 5);
        if running.has_ended() {
            empty();
            continue;
        }
        running.signal("KILL");
        drop(running);
        let asked = Cleanup { objects: TargetObjects::Drop, ..asked(&source, &target) };
        let cleaned = eventually_claimed(asked).await.unwrap();
        assert_eq!(cleaned.exit_code(), ExitCode::Done, "{cleaned:?}");
        assert_eq!(target.psql(OBJECTS), "", "{cleaned:?}");
        assert_eq!(target.psql("SELECT count(*) FROM pg_largeobject_metadata"), "0");
        assert_untouched_source(&source);
    }
    command().ok();
    assert_same(&source, &target);
}

/// Each script of `tests/fixtures/kinds`, up to the refresh of a materialized view, which comes when all else is made; then
/// cleaned up: `pg_dump` makes of the target what it made before.
async fn of_every_kind(from: u32, to: u32, take: impl Fn(&str) -> bool) {
    let folder = crate::harness::fixture("kinds");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("tests/fixtures/kinds")
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| take(name))
        .collect();
    names.sort();
    assert!(names.len() > 1, "{names:?}");
    for name in names {
        let (source, target) =
            (online_cluster(from).database("kinds"), online_cluster(to).database("kinds_target"));
        for database in [&source, &target] {
            database.psql_file(&crate::harness::fixture("roles.sql"));
        }
        source.psql("CREATE MATERIALIZED VIEW public.last_of_all AS SELECT 1 AS x");
        source.psql(&crate::kinds::kind(&name));
        target.psql(
            "CREATE SCHEMA guard; CREATE FUNCTION guard.stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''so far''; END';
             CREATE EVENT TRIGGER stop ON ddl_command_start WHEN TAG IN ('REFRESH MATERIALIZED VIEW') EXECUTE FUNCTION guard.stop()",
        );
        let made = |text: String| -> String {
            // An extension in `public` may have been there before, so it stays.
            let made = |l: &&str| l.starts_with("CREATE ") && !l.ends_with(" WITH SCHEMA public;");
            text.lines().filter(made).flat_map(|l| [l, "\n"]).collect()
        };
        let before = made(crate::harness::schema_dump(&target));
        let command = || {
            offline(&source.conninfo(), &target.conninfo())
                .args(["--subscription-name=Move", "--allow-unsupported"])
        };
        command().run().expect_code(4).expect_said(&["so far"]);
        let asked = Cleanup { objects: TargetObjects::Drop, ..asked(&source, &target) };
        let cleaned = eventually_claimed(asked).await.unwrap();
        assert_eq!(cleaned.exit_code(), ExitCode::Done, "{name}: {cleaned:?}");
        let after = made(crate::harness::schema_dump(&target));
        assert!(before == after, "{name}: {}", crate::harness::diff(&before, &after));
        target.psql("DROP EVENT TRIGGER stop; DROP SCHEMA guard CASCADE");
        command().ok();
        assert_untouched_source(&source);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_triggers_do_not_fire_for_the_end_of_the_journal() {
    let (source, target) =
        (online_cluster(15).database("quiet"), online_cluster(15).database("quiet_target"));
    broken_off(&source, &target, &unique("quiet")).await;
    target.psql(WATCHED);
    clean(asked(&source, &target)).await.unwrap();
    assert_not_watched(&target);
}

/// What only 18 has.
const OF_18: [&str; 2] = ["eighteen", "excluding_partitions"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_every_kind_are_cleaned_up_13_to_18() {
    of_every_kind(13, 18, |name| !OF_18.contains(&name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_18_are_cleaned_up() {
    of_every_kind(18, 18, |name| OF_18.contains(&name)).await;
}
