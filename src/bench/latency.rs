//! `bench apply --latency`: from a commit on the source to its row on the target, under a steady load of small transactions.
//!
//! Each transaction writes a row with the source's `clock_timestamp()`; a session on the target looks every few milliseconds for rows it has
//! not seen and notes the target's clock. Invariants: what is measured includes the commit on the source and up to one pause between two looks,
//! so that it is never too low; the difference between the clocks is measured and taken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::arena::Arena;
use super::backlog::Stage;
use super::contender::migrator::{Stream, prepare};
use super::contender::subscription::Subscription;
use super::contender::{Course, Name};
use super::measure::{Meter, Percentiles};
use super::report::{Goals, LatencyReport};
use super::workload::Plan;
use super::{BenchError, note};
use crate::error::Side;
use crate::lsn::Lsn;
use crate::pg::{Server, Session, SqlError};
use crate::progress::Reporter;

const CLIENTS: u32 = 4;
/// Between two looks at the target.
const LOOK: Duration = Duration::from_millis(3);
/// Between two samples of the lag.
const SAMPLE: Duration = Duration::from_millis(100);
/// How long the last row may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before the load begins, the contender gets up.
const WARM: Duration = Duration::from_secs(1);
const CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::float8";

/// Rows seen on the target: seconds since the start, milliseconds.
type Seen = Vec<(f64, f64)>;

fn plan() -> Plan {
    let start = [
        "CREATE TABLE bench.beats (client int NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (client, seq))",
        "CREATE INDEX ON bench.beats (at)",
        "CREATE TABLE bench.balances (id bigint PRIMARY KEY, balance bigint NOT NULL, note text NOT NULL)",
        "CREATE INDEX ON bench.balances (note)",
        "INSERT INTO bench.balances SELECT i, 0, 'note ' || i FROM generate_series(1, 10000) i",
    ];
    let function = "CREATE FUNCTION bench.beat(c int, s bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
        UPDATE bench.balances SET balance = balance + 1 WHERE id = 1 + (s * 4 + c) % 10000; \
        INSERT INTO bench.beats VALUES (c, s, clock_timestamp()); END $$";
    Plan {
        tables: ["beats", "balances"].map(str::to_owned).to_vec(),
        start: start.map(str::to_owned).to_vec(),
        source_only: vec![function.to_owned()],
        load: Vec::new(),
    }
}

/// Measures PostgreSQL's own subscription and pg_migrator, one after the other.
pub(super) async fn run(
    arena: &Arena,
    rate: u32,
    time: Duration,
    lanes: usize,
    reporter: &Reporter,
) -> Result<Vec<LatencyReport>, BenchError> {
    let mut reports = Vec::new();
    for contender in [Name::Subscription, Name::Migrator] {
        note(reporter, format!("latency: {contender}: {rate} transactions/s for {} s", time.as_secs()));
        let mut report = one(arena, contender, rate, time, lanes).await?;
        report.goals = Goals::default().judge_latency(&report);
        reports.push(report);
    }
    Ok(reports)
}

/// Whoever applies.
enum Applier {
    Subscription(Box<Subscription>),
    Migrator(Stream),
}

async fn one(
    arena: &Arena,
    contender: Name,
    rate: u32,
    time: Duration,
    lanes: usize,
) -> Result<LatencyReport, BenchError> {
    let premises = &arena.premises;
    let plan = plan();
    let stage = Stage::set(arena, &format!("latency_{}", contender.short()), &plan).await?;
    let slot = premises.name(&format!("latency_{}", contender.short()));
    let from = premises.slot(&stage.source, &slot).await?;
    let course = Course {
        source: stage.source.clone(),
        target: stage.start.clone(),
        slot: slot.clone(),
        publication: stage.publication.clone(),
        name: premises.name("sub"),
        tables: plan.tables.clone(),
        from,
        to: Lsn::ZERO,
        lanes,
        watch: arena.watch(),
    };
    let mut report = LatencyReport {
        name: contender,
        skipped: None,
        rate_asked: f64::from(rate),
        rate: 0.0,
        transactions: 0,
        latency_ms: None,
        lag_bytes: None,
        cpu: Default::default(),
        clock_offset_ms: clock_offset(&course).await?,
        points: Vec::new(),
        lag_points: Vec::new(),
        goals: Vec::new(),
    };
    let applier = match contender {
        Name::Subscription => {
            premises.expect_subscription(&course.target, &course.name);
            match Subscription::make(&course).await? {
                Ok(subscription) => {
                    subscription.enable().await?;
                    Some(Applier::Subscription(Box::new(subscription)))
                }
                Err(why) => {
                    report.skipped = Some(why);
                    None
                }
            }
        }
        _ => Some(Applier::Migrator(Stream::start(prepare(&course).await?))),
    };
    if let Some(mut applier) = applier {
        tokio::time::sleep(WARM).await;
        measure(&course, &mut applier, rate, time, &mut report).await?;
        match applier {
            Applier::Subscription(subscription) => subscription.remove().await?,
            Applier::Migrator(stream) => stream.stop().await?,
        }
    }
    premises.forget_subscription(&course.name);
    premises.drop_slot(&stage.source, &slot).await?;
    premises.drop_database(Side::Source, stage.source.dbname()).await?;
    premises.drop_database(Side::Target, stage.start.dbname()).await?;
    Ok(report)
}

/// Runs the load and watches its rows arrive.
async fn measure(
    course: &Course,
    applier: &mut Applier,
    rate: u32,
    time: Duration,
    report: &mut LatencyReport,
) -> Result<(), BenchError> {
    let meter = Meter::start(course.watch, 0, || 0);
    let started = Instant::now();
    let written: Arc<Vec<AtomicU64>> = Arc::new((0..CLIENTS).map(|_| AtomicU64::new(0)).collect());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (source, written) = (course.source.clone(), Arc::clone(&written));
        let pace = Duration::from_secs_f64(f64::from(CLIENTS) / f64::from(rate.max(1)));
        clients.spawn(async move { beat(&source, client, pace, time, &written[client as usize]).await });
    }
    let mut writing = Some(clients);
    let probe = course.target.connect().await?;
    let source = course.source.connect().await?;
    let mut seen = Probe::new(&probe).await?;
    let (mut lags, mut next_lag) = (Vec::new(), started);
    let mut load_time = None;
    loop {
        seen.look(started, report.clock_offset_ms).await?;
        if Instant::now() >= next_lag && writing.is_some() {
            next_lag += SAMPLE;
            let flush = flushed(&source).await?;
            let applied = match applier {
                Applier::Subscription(subscription) => subscription.applied().await?,
                Applier::Migrator(stream) => {
                    stream.check().await?;
                    stream.status.applied.get()
                }
            };
            lags.push((started.elapsed().as_secs_f64(), flush.since(applied)));
        }
        if let Some(clients) = &mut writing {
            while let Some(ended) = clients.try_join_next() {
                match ended {
                    Ok(done) => done?,
                    Err(e) => std::panic::resume_unwind(e.into_panic()),
                }
            }
            if clients.is_empty() {
                writing = None;
                load_time = Some(started.elapsed());
            }
        }
        let total: u64 = written.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        if writing.is_none() && seen.rows.len() as u64 >= total {
            break;
        }
        if started.elapsed() > time + PATIENCE {
            let (contender, seconds) = (report.name, PATIENCE.as_secs());
            return Err(BenchError::Stuck { contender, seconds, left: lags.last().map_or(0, |lag| lag.1) });
        }
        tokio::time::sleep(LOOK).await;
    }
    let elapsed = load_time.unwrap_or(time).as_secs_f64();
    report.cpu = meter.stop().cpu(0.0, elapsed);
    report.transactions = seen.rows.len() as u64;
    report.rate = report.transactions as f64 / elapsed;
    let latencies: Vec<f64> = seen.rows.iter().map(|row| row.1).collect();
    report.latency_ms = Percentiles::of(&latencies);
    let bytes: Vec<f64> = lags.iter().map(|lag| lag.1 as f64).collect();
    report.lag_bytes = Percentiles::of(&bytes);
    report.points = worst(&seen.rows);
    report.lag_points = lags;
    Ok(())
}

/// One client: a transaction at each tick; what was missed is caught up with.
async fn beat(
    source: &Server,
    client: u32,
    pace: Duration,
    time: Duration,
    written: &AtomicU64,
) -> Result<(), BenchError> {
    let session = source.connect().await?;
    session.batch("preparing the load", "PREPARE beat (int, bigint) AS SELECT bench.beat($1, $2)").await?;
    let mut ticks = tokio::time::interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut n = 0u64;
    while started.elapsed() < time {
        ticks.tick().await;
        n += 1;
        session.batch("a transaction of the load", &format!("EXECUTE beat ({client}, {n})")).await?;
        written.store(n, Ordering::Relaxed);
    }
    Ok(())
}

/// Looks for rows that were not seen before; each client's arrive in the order of their numbers.
struct Probe<'a> {
    session: &'a Session,
    last: Vec<i64>,
    rows: Seen,
}

impl<'a> Probe<'a> {
    async fn new(session: &'a Session) -> Result<Probe<'a>, BenchError> {
        let of = |c: u32| {
            let n = c + 1;
            format!(
                "SELECT {c}, b.seq, (extract(epoch FROM b.at) * 1000)::float8, {CLOCK} FROM bench.beats b \
                 WHERE b.client = {c} AND b.seq > ${n}"
            )
        };
        let sql: Vec<String> = (0..CLIENTS).map(of).collect();
        let types = vec!["bigint"; CLIENTS as usize].join(", ");
        // The table was empty when it was analysed: the planner must not read all of it.
        let sql = format!("SET enable_seqscan = off; PREPARE look ({types}) AS {}", sql.join(" UNION ALL "));
        session.batch("preparing to look", &sql).await?;
        Ok(Probe { session, last: vec![0; CLIENTS as usize], rows: Vec::new() })
    }

    async fn look(&mut self, started: Instant, offset_ms: f64) -> Result<(), BenchError> {
        const WHAT: &str = "looking for new rows";
        let last: Vec<String> = self.last.iter().map(i64::to_string).collect();
        let sql = format!("EXECUTE look ({})", last.join(", "));
        let at = started.elapsed().as_secs_f64();
        let messages = self.session.client().simple_query(&sql).await;
        for message in messages.map_err(|e| SqlError::new(Side::Target, WHAT, &e))? {
            let tokio_postgres::SimpleQueryMessage::Row(row) = message else { continue };
            let number = |i: usize| row.get(i).and_then(|text| text.parse::<f64>().ok());
            let values = (number(0), number(1), number(2), number(3));
            let (Some(client), Some(seq), Some(written), Some(now)) = values else {
                return Err(SqlError::local(Side::Target, WHAT, "not the rows that were written").into());
            };
            if let Some(last) = self.last.get_mut(client as usize) {
                *last = (*last).max(seq as i64);
            }
            self.rows.push((at, now - written - offset_ms));
        }
        Ok(())
    }
}

async fn flushed(source: &Session) -> Result<Lsn, BenchError> {
    const WHAT: &str = "reading the source's position";
    let at: Option<String> =
        source.value(WHAT, "SELECT pg_catalog.pg_current_wal_flush_lsn()::text AS at").await?;
    let at = at.unwrap_or_default().parse::<Lsn>();
    Ok(at.map_err(|e| SqlError::local(Side::Source, WHAT, e.to_string()))?)
}

/// Target's clock minus source's, milliseconds, from the round trips that were the quickest.
async fn clock_offset(course: &Course) -> Result<f64, BenchError> {
    let (source, target) = tokio::try_join!(course.source.connect(), course.target.connect())?;
    let zero = Instant::now();
    let (source, target) = (clock(&source, zero).await?, clock(&target, zero).await?);
    Ok(target - source)
}

/// A server's clock when ours showed `zero`, milliseconds.
async fn clock(session: &Session, zero: Instant) -> Result<f64, BenchError> {
    let sql = format!("SELECT {CLOCK} AS now");
    let (mut best, mut clock) = (f64::INFINITY, 0.0);
    for _ in 0..20 {
        let before = zero.elapsed().as_secs_f64() * 1e3;
        let now: f64 = session.value("reading the clock", &sql).await?.unwrap_or_default();
        let after = zero.elapsed().as_secs_f64() * 1e3;
        if after - before < best {
            (best, clock) = (after - before, now - (before + after) / 2.0);
        }
    }
    Ok(clock)
}

/// The worst of each tenth of a second.
fn worst(rows: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (at, ms) in rows {
        let tenth = (at * 10.0).floor() / 10.0;
        match out.last_mut() {
            Some(last) if last.0 == tenth => last.1 = last.1.max(*ms),
            _ => out.push((tenth, *ms)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_tenth() {
        assert_eq!(worst(&[(0.01, 5.0), (0.09, 7.0), (0.31, 1.0)]), [(0.0, 7.0), (0.3, 1.0)]);
    }
}
