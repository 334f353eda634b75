//! Sessions and the bare wire on real servers: COPY by the chunk, errors in the middle, cancellation, pipelines.

use std::time::Duration;

use bytes::Buf as _;
use pg_migrator::error::Side;
use pg_migrator::pg::frames::FrameScanner;
use pg_migrator::pg::{Message, Server, Session, SqlError, Wire};

use crate::harness::{Proxy, cluster};

fn server(side: Side, text: &str) -> Server {
    Server::parse(side, text).unwrap()
}

/// Moves one COPY; the rows each side counted.
async fn pump(source: &mut Wire, target: &mut Wire) -> Result<(u64, u64), SqlError> {
    let mut scanner = FrameScanner::new();
    loop {
        let scanned = scanner.scan(source.buffer()).unwrap();
        target.send(&source.buffer()[..scanned.forward]).await.unwrap();
        source.buffer_mut().advance(scanned.forward);
        if scanned.other {
            break;
        }
        source.fill().await.unwrap();
    }
    let sent = source.finish_copy("copying out").await?;
    target.send(&Wire::copy_done_message()).await.unwrap();
    Ok((sent, target.finish_copy("copying in").await?))
}

#[tokio::test]
async fn copy_passes_bytes_through_whatever_the_encodings() {
    let source = cluster(13).maintenance();
    source
        .psql("CREATE DATABASE wire_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    let target = cluster(18).database("wire");
    let text = source.conninfo().replace("dbname='postgres'", "dbname=wire_latin1");
    let (from, to) = (server(Side::Source, &text), server(Side::Target, &target.conninfo()));
    let session = from.connect().await.unwrap();
    session
        .batch(
            "making",
            "CREATE TABLE public.\"tä\" AS SELECT i, 'é' || i AS \"ö\" FROM generate_series(1, 200000) i",
        )
        .await
        .unwrap();
    for format in ["binary", "text"] {
        target.psql("DROP TABLE IF EXISTS \"tä\"; CREATE TABLE \"tä\" (i int, \"ö\" text)");
        let (mut a, mut b) =
            (from.connect_wire("LATIN1").await.unwrap(), to.connect_wire("LATIN1").await.unwrap());
        let options = format!("(FORMAT {format})");
        let binary =
            a.start_copy_out("out", &format!("COPY public.\"tä\" TO STDOUT {options}")).await.unwrap();
        assert_eq!(binary, format == "binary");
        b.start_copy_in("in", &format!("COPY public.\"tä\" FROM STDIN {options}")).await.unwrap();
        assert_eq!(pump(&mut a, &mut b).await.unwrap(), (200_000, 200_000));
        assert_eq!(target.psql("SELECT count(*), max(\"ö\") FROM \"tä\""), "200000|é99999");
        a.close().await;
        b.close().await;
    }
}

#[tokio::test]
async fn an_error_ends_a_copy_and_leaves_the_session_usable() {
    let db = cluster(15).database("wire");
    db.psql("CREATE TABLE t (i int CHECK (i < 100))");
    let mut wire = server(Side::Target, &db.conninfo()).connect_wire("UTF8").await.unwrap();
    wire.simple("beginning", "BEGIN").await.unwrap();
    wire.start_copy_in("in", "COPY public.t FROM STDIN").await.unwrap();
    wire.send(b"d\0\0\0\x06x\n").await.unwrap();
    // The server says so at once; the check that never blocks sees it.
    let error = loop {
        if wire.try_fill().unwrap() {
            break wire.next_message("copying t").await.unwrap_err();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(error.sqlstate.as_deref(), Some("22P02"));
    assert!(error.context.as_deref().unwrap().contains("line 1, column i"), "{error:?}");
    assert_eq!(wire.resync("copying t", 0).await.unwrap(), b'E');
    wire.simple("rolling back", "ROLLBACK").await.unwrap();
    // Given up by the client.
    wire.start_copy_in("in", "COPY public.t FROM STDIN").await.unwrap();
    wire.send(&Wire::copy_fail_message("enough")).await.unwrap();
    let error = wire.finish_copy("copying t").await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("57014"));
    // A constraint is named.
    let error = wire.simple("inserting", "INSERT INTO public.t VALUES (100)").await.unwrap_err();
    assert_eq!((error.table.as_deref(), error.constraint.as_deref()), (Some("t"), Some("t_i_check")));
    let error = wire.start_copy_out("out", "COPY nowhere TO STDOUT").await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("42P01"));
    assert!(wire.start_copy_out("out", "SELECT 1").await.is_err());
    assert_eq!(
        wire.rows("counting", "SELECT count(*) FROM public.t").await.unwrap()[0][0].as_deref(),
        Some(&b"0"[..])
    );
    wire.send_query("asking", "SELECT 1").await.unwrap();
    assert_eq!(wire.next_message("asking").await.unwrap(), Message::RowDescription(vec!["?column?".into()]));
    assert_eq!(wire.resync("asking", 0).await.unwrap(), b'I');
}

#[tokio::test]
async fn a_running_copy_and_a_running_statement_are_cancelled() {
    let source = server(Side::Source, &cluster(18).maintenance().conninfo());
    let mut wire = source.connect_wire("UTF8").await.unwrap();
    wire.start_copy_out(
        "out",
        "COPY (SELECT repeat('x', 100000) FROM generate_series(1, 10000000)) TO STDOUT",
    )
    .await
    .unwrap();
    let mut scanner = FrameScanner::new();
    for _ in 0..3 {
        wire.fill().await.unwrap();
        let scanned = scanner.scan(wire.buffer()).unwrap();
        wire.buffer_mut().advance(scanned.forward);
    }
    wire.cancel_handle().cancel().await;
    assert_eq!(wire.resync("copying", scanner.left()).await.unwrap(), b'I');
    assert_eq!(wire.simple("asking", "SELECT 1").await.unwrap(), ["SELECT 1"]);

    let session = source.connect().await.unwrap();
    let cancel = session.cancel_handle();
    let (result, ()) = tokio::join!(session.batch("sleeping", "SELECT pg_sleep(60)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel().await;
    });
    let error = result.unwrap_err();
    assert!(error.sqlstate.as_deref() == Some("57014") && !error.is_broken(), "{error}");
    assert!(session.batch("asking", "SELECT 1").await.is_ok());
}

async fn connect(text: &str) -> Session {
    server(Side::Target, text).connect().await.unwrap()
}

#[tokio::test]
async fn a_pipeline_shares_round_trips_and_reads_every_result() {
    let db = cluster(18).database("wire");
    let proxy = Proxy::start(cluster(18).port, Duration::from_millis(20));
    let session = connect(&db.conninfo_as("postgres", proxy.port)).await;
    let mut statements: Vec<String> = (0..100).map(|i| format!("CREATE TABLE public.t{i} (a int)")).collect();
    statements.push("SELECT 1/0".to_owned());
    statements.push("INSERT INTO public.t0 VALUES (1); INSERT INTO public.t1 VALUES (2)".to_owned());
    let started = std::time::Instant::now();
    let results = session.pipeline("creating", &statements).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let failed: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_err()).map(|(i, _)| i).collect();
    assert_eq!((results.len(), failed), (102, vec![100]));
    session.batch("beginning", "BEGIN").await.unwrap();
    let results = session.pipeline("in a transaction", &["SELECT 1/0", "SELECT 1"]).await;
    let states: Vec<_> = results.into_iter().map(|r| r.unwrap_err().sqlstate.unwrap()).collect();
    assert_eq!(states, ["22012", "25P02"]);
}

#[tokio::test]
async fn a_lost_connection_is_told_from_a_failed_statement() {
    let db = cluster(15).database("wire");
    let proxy = Proxy::start(cluster(15).port, Duration::ZERO);
    let session = connect(&db.conninfo_as("postgres", proxy.port)).await;
    let mut wire =
        server(Side::Source, &db.conninfo_as("postgres", proxy.port)).connect_wire("UTF8").await.unwrap();
    proxy.cut();
    for error in [
        session.batch("asking", "SELECT 1").await.unwrap_err(),
        session.batch("asking again", "SELECT 1").await.unwrap_err(),
        wire.simple("asking", "SELECT 1").await.unwrap_err(),
    ] {
        assert!(error.is_broken() && error.sqlstate.is_none(), "{error:?}");
        assert!(error.message.starts_with("the server closed the connection"), "{error}");
    }
    let session = connect(&db.conninfo()).await;
    db.terminate_sessions();
    let error = session.batch("asking", "SELECT 1").await.unwrap_err();
    assert!(error.is_broken(), "{error:?}");
}

#[tokio::test]
async fn parameters_and_types() {
    use tokio_postgres::types::Type;
    let session = connect(&cluster(18).maintenance().conninfo()).await;
    let rows = session
        .query_with(
            "asking",
            "SELECT $1::text AS t, $2 + 1 AS n",
            &[(&"é", Type::TEXT), (&41i32, Type::INT4)],
        )
        .await
        .unwrap();
    assert_eq!(rows[0].get::<String>("t").unwrap(), "é");
    assert_eq!(rows[0].get::<i32>("n").unwrap(), 42);
    assert!(rows[0].get::<String>("n").is_err() && rows[0].get::<i32>("m").is_err());
    session.batch("making", "CREATE TEMP TABLE p (a int)").await.unwrap();
    let insert = "INSERT INTO pg_temp.p SELECT generate_series(1, $1)";
    assert_eq!(session.execute("filling", insert, &[(&3i32, Type::INT4)]).await.unwrap(), 3);
}
