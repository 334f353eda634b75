//! The steps of the cutover, each by itself on real servers: fence, flush position, sequences, what was suspended, and what
//! can keep a subscription from being made.

use std::time::{Duration, Instant};

use pg_migrator::config::Filter;
use pg_migrator::cutover::subscription::{self, Made, Make};
use pg_migrator::cutover::{
    CutoverError, RedactedConnInfo, fence, flush_lsn, resume, sequences, subscription_conninfo,
};
use pg_migrator::error::{ExitCode, Side};
use pg_migrator::journal::{self, Origin};
use pg_migrator::pg::{Server, Session};

use crate::harness::{Database, online_cluster, unique};
use crate::live::{CAUGHT_UP, Live};

pub fn server(side: Side, database: &Database) -> Server {
    Server::parse(side, &database.conninfo()).unwrap()
}

pub async fn sessions(source: &Database<'_>, target: &Database<'_>) -> (Session, Session) {
    let source = server(Side::Source, source).connect().await.unwrap();
    (source, server(Side::Target, target).connect().await.unwrap())
}

fn raise<'a>(source: &'a Session, target: &'a Session, ours: &'a [&'a Session]) -> fence::Raise<'a> {
    let patience = Duration::from_secs(5);
    fence::Raise { source, target, name: "move", system_identifier: "unknown", ours, patience }
}

/// A session that stays, with a transaction that has written where asked.
async fn client(database: &Database<'_>, user: &str, sql: &str) -> Session {
    let server = Server::parse(Side::Source, &database.conninfo_as(user, database.cluster.port)).unwrap();
    let session = server.connect().await.unwrap();
    session.batch("being a client", sql).await.unwrap();
    session
}

const READ_ONLY: &str = "SHOW default_transaction_read_only";

async fn a_fence_on(major: u32) {
    let source = online_cluster(major).database("fenced");
    let target = online_cluster(15).database("fence_target");
    source.psql("CREATE TABLE t (id int)");
    let (s, t) = sessions(&source, &target).await;
    let ours = client(&source, "postgres", "SELECT 1").await;
    let writer = client(&source, "postgres", "BEGIN; INSERT INTO public.t VALUES (1)").await;
    let idle = client(&source, "postgres", "SELECT 1").await;
    let stood = fence::raise(raise(&s, &t, &[&ours])).await.unwrap();
    assert_eq!((stood.ended, stood.warnings.len()), (2, 0));
    for ended in [&writer, &idle] {
        assert!(ended.batch("writing", "INSERT INTO public.t VALUES (2)").await.is_err());
    }
    // Ours go on, new ones only read.
    ours.batch("writing", "INSERT INTO public.t VALUES (3)").await.unwrap();
    assert!(source.try_psql("INSERT INTO t VALUES (4)").unwrap_err().contains("read-only"));
    let pool = client(&source, "postgres", "SELECT 1").await;
    assert_eq!(fence::standing(&t, "move").await.unwrap(), Some(stood.lower.clone()));
    // A run that comes after a crash finds the fence, and restores what was there before the first one.
    let again = fence::raise(raise(&s, &t, &[&ours])).await.unwrap();
    assert_eq!((again.lower.clone(), again.ended), (stood.lower.clone(), 1));
    assert!(pool.batch("asking", "SELECT 1").await.is_err());
    // From a session that the fence has made read-only too.
    let later = server(Side::Source, &source).connect().await.unwrap();
    let pool = client(&source, "postgres", "SELECT 1").await;
    assert_eq!(fence::undo(&later, &t, "move", &[&s, &ours]).await.unwrap(), Some(1));
    assert!(pool.batch("asking", "SELECT 1").await.is_err(), "a pool must not keep a read-only session");
    assert_eq!(source.psql(READ_ONLY), "off");
    assert_eq!(
        source.psql("INSERT INTO t VALUES (5); SELECT string_agg(id::text, ',' ORDER BY id) FROM t"),
        "3,5"
    );
    assert_eq!(fence::undo(&s, &t, "move", &[]).await.unwrap(), None);
    assert_eq!(fence::standing(&t, "move").await.unwrap(), None);
    // What was set before is what is restored; what the summary says does it too.
    source.psql(&format!("ALTER DATABASE {} SET default_transaction_read_only = off", source.name));
    let stood = fence::raise(raise(&s, &t, &[&ours])).await.unwrap();
    assert_eq!(source.psql(READ_ONLY), "on");
    source.psql(&format!("SET default_transaction_read_only = off; {}", stood.lower));
    assert_eq!(source.psql(READ_ONLY), "off");
    assert!(stood.lower.ends_with("= 'off'"), "{}", stood.lower);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_ends_writers_and_goes_down_again_13() {
    a_fence_on(13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_ends_writers_and_goes_down_again_18() {
    a_fence_on(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_cannot_stand_goes_down_and_names_who_is_in_the_way() {
    let (source, target) = (online_cluster(15).database("held"), online_cluster(15).database("held_target"));
    let (owner, app, gid) = (unique("fence_owner"), unique("fence_app"), unique("held"));
    source.psql(&format!(
        "CREATE ROLE {owner} LOGIN; CREATE ROLE {app} LOGIN; ALTER DATABASE {} OWNER TO {owner}; CREATE TABLE t (id int); \
         GRANT ALL ON t TO {app}",
        source.name
    ));
    let (s, t) = sessions(&source, &target).await;
    source.psql(&format!("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{gid}'"));
    let error = fence::raise(raise(&s, &t, &[])).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::OperatorMustAct);
    let said = error.to_string();
    assert!(
        said.contains(&format!("'{gid}' (of postgres, since ")) && said.contains("ROLLBACK PREPARED"),
        "{said}"
    );
    assert_eq!(source.psql(READ_ONLY), "off");
    source.psql(&format!("ROLLBACK PREPARED '{gid}'"));
    // The database's owner may make it read-only, but not end other people's sessions.
    let other = client(&source, &app, "SET application_name = 'shop'").await;
    let as_owner = client(&source, &owner, "SELECT 1").await;
    let error = fence::raise(raise(&as_owner, &t, &[&s])).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, CutoverError::Held { .. }), "{said}");
    assert!(
        said.contains(&format!("role {app}, application shop")) && said.contains("pg_signal_backend"),
        "{said}"
    );
    assert_eq!(source.psql(READ_ONLY), "off");
    assert_eq!(fence::standing(&t, "move").await.unwrap(), None);
    other.batch("living on", "INSERT INTO public.t VALUES (2)").await.unwrap();
    // Who does not own it may not, and is told who may.
    let error = fence::raise(raise(&other, &t, &[&s, &as_owner])).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("42501") && said.contains("--fence-source"), "{said}");
    assert_eq!(fence::standing(&t, "move").await.unwrap(), None);
    // A role that has set it for itself writes through the fence.
    source.psql(&format!("ALTER ROLE {app} SET default_transaction_read_only = off"));
    drop(other);
    let stood = fence::raise(raise(&s, &t, &[&as_owner])).await.unwrap();
    assert!(stood.warnings.len() == 1 && stood.warnings[0].contains(&app), "{:?}", stood.warnings);
    fence::undo(&s, &t, "move", &[]).await.unwrap();
    source.psql(&format!(
        "ALTER DATABASE {} OWNER TO postgres; DROP TABLE t; DROP OWNED BY {owner}, {app}; DROP ROLE {owner}, {app}",
        source.name
    ));
}

/// Sequences of every sort; the first argument of `format` is the number.
const SEQUENCES: &str = r#"
    SELECT format('CREATE SEQUENCE free_%s', g) FROM generate_series(1, 400) g \gexec
    SELECT format('CREATE TABLE t_%s (a serial, b int GENERATED ALWAYS AS IDENTITY, "C" bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT -7))', g) FROM generate_series(1, 200) g \gexec
    CREATE SCHEMA "Odd ""schema"; CREATE SEQUENCE "Odd ""schema"."Séq'1" MINVALUE -5 MAXVALUE 5 START 3 CYCLE;
    CREATE SCHEMA skipped; CREATE SEQUENCE skipped.s; CREATE TABLE public.left_out (id serial);
    CREATE SEQUENCE small AS smallint CACHE 10; CREATE UNLOGGED TABLE u (id serial);
"#;

const MOVED: &str = r#"
    SELECT format('SELECT setval(%L, %s, %L)', 'free_' || g, g * 1000, g % 3 = 0) FROM generate_series(1, 400, 2) g \gexec
    SELECT format('INSERT INTO t_%s SELECT FROM generate_series(1, %s)', g, g % 5) FROM generate_series(1, 200) g \gexec
    SELECT setval('"Odd ""schema"."Séq''1"', -5, false); SELECT nextval('small'); SELECT setval('free_2', 9223372036854775807);
    SELECT nextval('skipped.s'); INSERT INTO left_out DEFAULT VALUES;
"#;

const STATE: &str = r#"SELECT format('SELECT %L, last_value, is_called FROM %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'S' AND nspname NOT IN ('_pg_migrator', 'skipped')
    AND relname !~ '^left_out' ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C" \gexec"#;

async fn sequences_between(from: u32, to: u32) {
    let (source, target) =
        (online_cluster(from).database("sequences"), online_cluster(to).database("sequences_target"));
    source.psql(SEQUENCES);
    target.psql(SEQUENCES);
    source.psql(MOVED);
    target.psql("SELECT nextval('free_4'); DROP SEQUENCE free_6; DROP SEQUENCE free_7; CREATE VIEW free_7 AS SELECT 1");
    let (s, t) = sessions(&source, &target).await;
    let filter = Filter {
        exclude_schemas: vec!["skipped".into()],
        exclude_tables: vec!["left_out".into()],
        ..Filter::default()
    };
    let started = Instant::now();
    let done = sequences::set(&s, &t, &filter).await.unwrap();
    let took = started.elapsed();
    // 400 free, 600 of tables, three more: two are missing.
    assert_eq!((done.set, done.unreadable.len()), (1001, 0));
    assert_eq!(done.missing, ["public.free_6", "public.free_7"]);
    source.psql("DROP SEQUENCE free_6, free_7");
    assert!(source.psql(STATE) == target.psql(STATE), "sequences differ");
    assert_eq!(target.psql("SELECT last_value, is_called FROM skipped.s"), "1|f");
    assert_eq!(target.psql("SELECT last_value, is_called FROM left_out_id_seq"), "1|f");
    println!("{from} → {to}: 1,003 sequences in {took:?}");
    assert!(
        took < Duration::from_millis(1500),
        "{took:?}: this is the cutover's time, half a second at most when nothing else runs"
    );
    // One that cannot be set stops it, by name, and nothing is changed.
    source.psql("ALTER SEQUENCE small MAXVALUE 100; SELECT setval('small', 99), setval('free_1', 77)");
    target.psql("ALTER SEQUENCE small MAXVALUE 50");
    let error = sequences::set(&s, &t, &filter).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("22003") && said.contains("\"small\"") && said.contains("ALTER SEQUENCE"),
        "{said}"
    );
    assert_eq!(error.exit_code(), ExitCode::Target);
    target.psql("ALTER SEQUENCE small MAXVALUE 100");
    sequences::set(&s, &t, &filter).await.unwrap();
    assert!(source.psql(STATE) == target.psql(STATE), "sequences differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_every_sort_13_to_18() {
    sequences_between(13, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_every_sort_15_to_15() {
    sequences_between(15, 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_every_sort_18_to_18() {
    sequences_between(18, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_that_may_not_be_read_is_named() {
    for major in [13, 18] {
        let (source, target) =
            (online_cluster(major).database("unread"), online_cluster(18).database("unread_target"));
        let role = unique("reader");
        for database in [&source, &target] {
            database.psql("CREATE SEQUENCE hidden; CREATE SEQUENCE shown; SELECT nextval('shown')");
        }
        source.psql(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON SEQUENCE shown TO {role}"));
        let s = client(&source, &role, "SELECT 1").await;
        let (_, t) = sessions(&source, &target).await;
        let done = sequences::set(&s, &t, &Filter::default()).await.unwrap();
        assert_eq!((done.set, done.unreadable, done.missing.len()), (1, vec!["public.hidden".to_owned()], 0));
        source.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_asynchronously_lies_before_the_flush_position() {
    let source = online_cluster(15).database("flush");
    source.psql("CREATE TABLE t (id int); CREATE ROLE flush_reader LOGIN; GRANT ALL ON t TO flush_reader");
    for user in ["postgres", "flush_reader"] {
        let s = client(&source, user, "SELECT 1").await;
        let writer = client(&source, user, "SET synchronous_commit = off").await;
        for _ in 0..20 {
            writer.batch("writing", "INSERT INTO public.t VALUES (1)").await.unwrap();
            let rows = writer
                .query("asking", "SELECT pg_catalog.pg_current_wal_insert_lsn()::text AS lsn")
                .await
                .unwrap();
            let written: pg_migrator::lsn::Lsn = rows[0].get::<String>("lsn").unwrap().parse().unwrap();
            let flushed = flush_lsn(&s).await.unwrap();
            assert!(flushed >= written, "{flushed} lies before {written}");
        }
        // Behind a fence as well.
        s.batch("as behind a fence", "SET default_transaction_read_only = on").await.unwrap();
        flush_lsn(&s).await.unwrap();
    }
    source.psql("DROP TABLE t; DROP ROLE flush_reader");
}

fn origin(slot: &str) -> Origin {
    Origin {
        name: "move".to_owned(),
        mode: "online",
        system_identifier: "unknown".to_owned(),
        database: "d".to_owned(),
        snapshot: "s".to_owned(),
        snapshot_lsn: "0/0".to_owned(),
        slot: Some((slot.to_owned(), "pub".to_owned())),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_suspended_comes_back_all_or_nothing() {
    let target = online_cluster(15).database("suspended");
    target.psql(
        "CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY); CREATE TABLE gone (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER a",
    );
    let t = server(Side::Target, &target).connect().await.unwrap();
    journal::begin(&t, &origin("s")).await.unwrap();
    let statements = [
        ("trigger a on public.t", "ALTER TABLE public.t ENABLE ALWAYS TRIGGER a"),
        ("identity of public.t", "ALTER TABLE public.t ALTER COLUMN id SET GENERATED ALWAYS"),
    ];
    for (object, sql) in statements {
        t.batch("suspending", &journal::suspended("move", object, sql)).await.unwrap();
    }
    t.batch(
        "suspending",
        &journal::suspended("move", "table public.t", "ALTER TABLE public.t SET (fillfactor = 1000)"),
    )
    .await
    .unwrap();
    let state = "SELECT tgenabled, attidentity FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attname = 'id' WHERE tgname = 'a'";
    let said = resume::suspended(&t, "move", PATIENCE).await.unwrap_err().to_string();
    assert!(said.contains("table public.t") && said.contains("22023"), "{said}");
    assert_eq!(target.psql(state), "D|d");
    target.psql("DELETE FROM _pg_migrator.suspended WHERE object = 'table public.t'; DROP TABLE gone");
    t.batch(
        "suspending",
        &journal::suspended("move", "rule of gone", "ALTER TABLE public.gone ENABLE RULE r"),
    )
    .await
    .unwrap();
    // Another session reads: nothing waits for it for long, and nothing is half done.
    let reader = target.hold("BEGIN; SELECT FROM t");
    let said = resume::suspended(&t, "move", Duration::ZERO).await.unwrap_err().to_string();
    assert!(said.contains("55P03") && said.contains("SELECT FROM t"), "{said}");
    assert_eq!(target.psql(state), "D|d");
    drop(reader);
    let resumed = resume::suspended(&t, "move", PATIENCE).await.unwrap();
    assert_eq!((resumed.count, resumed.gone), (2, vec!["rule of gone".to_owned()]));
    assert_eq!(target.psql(state), "A|a");
    assert_eq!(resume::suspended(&t, "move", PATIENCE).await.unwrap().count, 0);
}

fn make<'a>(source: &'a Session, target: &'a Session, conninfo: &'a RedactedConnInfo) -> Make<'a> {
    Make { source, target, name: "Move", conninfo, publication: "p", slot: "no_slot_yet" }
}

/// The reason why there is none.
async fn refused(make: Make<'_>) -> String {
    match subscription::create(make).await.unwrap() {
        Made::Not(reason) => reason,
        Made::There(there) => panic!("it could be made: {there:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_cannot_be_had_is_a_reason_without_secrets() {
    let source = online_cluster(17).database("subscribed");
    let (role, password) = (unique("subscriber"), "pass 'wörd");
    source.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    for major in [15, 18] {
        let target = online_cluster(major).database("subscriber");
        let (s, t) = sessions(&source, &target).await;
        let ours = subscription_conninfo(server(Side::Source, &source).info(), t.version());
        let reason = refused(make(&s, &t, &ours)).await;
        assert!(reason.contains("42P01") && reason.contains("public.t"), "{reason}");
        target.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)");
        // Nobody there; what is said repeats no password.
        let wrong =
            RedactedConnInfo::given("host=127.0.0.1 port=1 user=postgres password='pass \\'wörd' dbname=x");
        let reason = refused(make(&s, &t, &wrong)).await;
        assert!(reason.contains("--subscription-conninfo") && !reason.contains("wörd"), "{reason}");
        let wrong = RedactedConnInfo::given("host=127.0.0.1 password=pass 'wörd");
        let reason = refused(make(&s, &t, &wrong)).await;
        assert!(!reason.contains("wörd") && !reason.contains("pass "), "{reason}");
        // Another server by the same words.
        let other = online_cluster(17).database("other");
        other.psql("CREATE TABLE other (id int); CREATE PUBLICATION p FOR TABLE other");
        let elsewhere = RedactedConnInfo::given(&other.conninfo());
        let reason = refused(make(&s, &t, &elsewhere)).await;
        assert!(reason.contains("another server"), "{reason}");
        assert_eq!(subscription::find(&t, "Move").await.unwrap(), None);
        // Who may not.
        target.psql(&format!(
            "CREATE ROLE {role}_{major} LOGIN; GRANT ALL ON DATABASE {} TO {role}_{major}",
            target.name
        ));
        let unprivileged = client(&target, &format!("{role}_{major}"), "SELECT 1").await;
        let reason = refused(make(&s, &unprivileged, &ours)).await;
        assert!(reason.contains("42501") && reason.contains("pg_create_subscription"), "{reason}");
        if major >= 16 {
            target.psql(&format!("GRANT pg_create_subscription TO {role}_{major}"));
            let reason = refused(make(&s, &unprivileged, &ours)).await;
            assert!(reason.contains("2F003") && reason.contains("password"), "{reason}");
        }
        drop(unprivileged);
        target.psql(&format!("DROP OWNED BY {role}_{major}; DROP ROLE {role}_{major}"));
        // And one that can be had, also when it is asked for twice; then somebody else's is in the way.
        for _ in 0..2 {
            let Made::There(there) = subscription::create(make(&s, &t, &ours)).await.unwrap() else {
                panic!()
            };
            assert!(there.is_of("no_slot_yet", "p"), "{there:?}");
        }
        let reason = refused(Make { slot: "s2", ..make(&s, &t, &ours) }).await;
        assert!(reason.contains("someone else's"), "{reason}");
        assert!(subscription::drop(&t, "Move").await.unwrap());
        assert!(!subscription::drop(&t, "Move").await.unwrap());
        assert!(!target.cluster.log().contains(password), "the target's log has the password");
    }
}

/// How long an application waits at cutover: from the signal to the process's end, nothing written meanwhile.
fn cutover_time(from: u32, to: u32) {
    let live = Live::with(from, to, SEQUENCES);
    live.source.psql(&MOVED.replace("SELECT nextval('skipped.s'); INSERT INTO left_out DEFAULT VALUES;", ""));
    let mut running = live.start();
    running.wait_for(CAUGHT_UP);
    live.source.psql("INSERT INTO t_1 SELECT FROM generate_series(1, 10); SELECT nextval('free_3')");
    running.wait_for_next("replication lag 0 bytes");
    let asked = Instant::now();
    running.signal("INT");
    let run = running.wait().expect_code(0);
    let took = asked.elapsed();
    println!("{from} → {to}: {took:?} from the signal to the end\n{}", run.stderr);
    live.assert_finished();
    assert!(source_and_target_agree(&live), "sequences differ");
    // Under a second when nothing else runs on the machine, which tests cannot count on.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

fn source_and_target_agree(live: &Live) -> bool {
    live.source.psql(STATE) == live.target.psql(STATE)
}

#[test]
fn the_time_of_a_cutover_with_1000_sequences_15_to_15() {
    cutover_time(15, 15);
}

#[test]
fn the_time_of_a_cutover_with_1000_sequences_13_to_18() {
    cutover_time(13, 18);
}
