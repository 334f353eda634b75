//! The crate as a library: the builder, its events, the handle; and the example that embeds it.

use std::time::Duration;

use pg_migrator::migration::{Error, Offline, Online};
use pg_migrator::progress::{Event, Phase, Summary};
use pg_migrator::{Migration, Running};

use crate::harness::{assert_same_rows, cluster, online_cluster};
use crate::live::Live;
use crate::moves::{assert_untouched_source, eventually};

#[allow(dead_code)]
#[path = "../../examples/embed.rs"]
mod embed;

const TABLE: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, x text); \
    INSERT INTO t (x) SELECT 'row ' || g FROM generate_series(1, 1000) g";

fn online(live: &Live<'_>) -> Migration<Online> {
    Migration::online(live.source_conninfo(), live.target_conninfo())
        .name(&live.name)
        .slot(&live.name)
        .publication(&live.name)
        .create_publication(true)
        .heartbeat(Duration::from_millis(200))
}

/// Listens until an event fits; the migration must not end before.
async fn until(running: &mut Running, fits: impl Fn(&Event) -> bool) -> Event {
    let look = async {
        loop {
            match running.next_event().await {
                Some(event) if fits(&event) => return event,
                Some(_) => {}
                None => panic!("the migration ended first"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("within a minute")
}

async fn end(running: Running) -> Result<Summary, Error> {
    tokio::time::timeout(Duration::from_secs(60), running.finish()).await.expect("within a minute")
}

fn assert_interrupted(ended: Result<Summary, Error>, phases: &[Phase]) {
    match ended {
        Err(Error::Interrupted { phase, .. }) if phases.contains(&phase) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_migration_tells_its_story() {
    let (source, target) = (cluster(15).database("library"), cluster(18).database("library"));
    source.psql(TABLE);
    let migration: Migration<Offline> = Migration::offline(source.conninfo(), target.uri());
    let mut running = migration.jobs(2).start().unwrap();
    // An offline migration has no cutover: asking for one does no harm.
    running.handle().cut_over();
    let mut phases = Vec::new();
    let mut rows = 0;
    while let Some(event) = running.next_event().await {
        match event {
            Event::PhaseFinished { phase, .. } => phases.push(phase),
            Event::TableFinished { rows: n, .. } => rows += n,
            _ => {}
        }
    }
    assert_eq!(phases, [Phase::Validate, Phase::PrepareSnapshot, Phase::Dump, Phase::Restore]);
    assert_eq!((rows, running.events().missed()), (1000, 0));
    let summary = end(running).await.unwrap();
    assert_eq!((summary.rows, summary.tables), (1000, 1));
    assert!(summary.stream.is_none());
    assert_same_rows(&source, &target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_migration_is_aborted() {
    let (source, target) = (cluster(15).database("library"), cluster(15).database("library"));
    source.psql(TABLE);
    // It would wait for this lock for ever.
    let mut psql = source.psql_command();
    let mut holder = psql.args(["-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)"]).spawn().unwrap();
    let locked =
        "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock'";
    eventually(|| source.psql(locked), |n| n == "1", "never locked");
    let mut running = Migration::offline(source.conninfo(), target.conninfo()).start().unwrap();
    until(&mut running, |e| matches!(e, Event::PhaseStarted { .. })).await;
    drop(running);
    tokio::task::spawn_blocking(move || {
        let ours = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ 'pg_migrator'";
        eventually(|| source.psql(ours), String::is_empty, "sessions left behind");
        holder.kill().unwrap();
        holder.wait().unwrap();
        source.terminate_sessions();
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_aborted_goes_on() {
    let live = Live::with(15, 18, TABLE);
    let mut running = online(&live).start().unwrap();
    until(&mut running, |e| matches!(e, Event::StreamStarted { resumed: false, .. })).await;
    live.source.psql("UPDATE t SET x = 'changed' WHERE id <= 10; DELETE FROM t WHERE id > 990");
    live.drained();
    running.handle().abort();
    assert_interrupted(end(running).await, &[Phase::StreamApply]);
    assert_eq!(live.slots(), live.name, "the slot is what the next run goes on from");
    live.source.psql("INSERT INTO t (x) VALUES ('meanwhile')");
    let mut running = online(&live).start().unwrap();
    until(&mut running, |e| matches!(e, Event::StreamStarted { resumed: true, .. })).await;
    running.handle().cut_over();
    let summary = end(running).await.unwrap();
    assert!(summary.stream.is_some_and(|s| s.inserts >= 1), "what came meanwhile");
    assert_same_rows(&live.source, &live.target);
    live.assert_finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_aborted_leaves_no_slot_and_starts_over() {
    let live = Live::with(15, 15, TABLE);
    let mut running = online(&live).start().unwrap();
    let started = |e: &Event| matches!(e, Event::PhaseStarted { phase: Phase::Dump });
    until(&mut running, started).await;
    running.handle().abort();
    assert_interrupted(end(running).await, &[Phase::Dump, Phase::Restore]);
    assert_eq!(live.slots(), "");
    // A cutover that is asked for early comes as soon as it can.
    let running = online(&live).start().unwrap();
    running.handle().cut_over();
    end(running).await.unwrap();
    assert_same_rows(&live.source, &live.target);
    live.assert_finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_service_moves_a_database_by_itself() {
    let (source, target) = (online_cluster(15).database("library"), online_cluster(18).database("library"));
    source.psql(TABLE);
    let (from, to) = (source.conninfo(), target.conninfo());
    let moved = embed::migrate(&from, &to);
    let summary = tokio::time::timeout(Duration::from_secs(120), moved).await.unwrap().unwrap();
    assert!(summary.stream.is_some());
    assert_same_rows(&source, &target);
    source.psql("DROP PUBLICATION IF EXISTS embedded");
    assert_untouched_source(&source);
}
