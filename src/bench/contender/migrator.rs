//! pg_migrator: `stream::run`, with the journal and all, begun as a migration begins it once Restore is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Course, Drained, Name, Patience};
use crate::bench::BenchError;
use crate::bench::measure::Meter;
use crate::bench::workload::SCHEMA;
use crate::config::OnlineOptions;
use crate::error::Side;
use crate::journal::{self, Origin};
use crate::pg::SqlError;
use crate::progress::Reporter;
use crate::stream::{self, Input, Order, Status, StreamError, Taken, apply};

/// Between two looks at its progress.
const LOOK: Duration = Duration::from_millis(5);

/// A stream under way.
#[derive(Debug)]
pub(crate) struct Stream {
    task: JoinHandle<Result<(), StreamError>>,
    orders: watch::Sender<Order>,
    /// Where it stands.
    pub(crate) status: Arc<Status>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The journal of a migration whose Restore has just ended; what the stream is started with.
pub(crate) async fn prepare(course: &Course) -> Result<Input, BenchError> {
    let target = course.target.connect().await?;
    let origin = Origin {
        name: course.name.clone(),
        mode: "online",
        system_identifier: "unknown".to_owned(),
        database: course.source.dbname().to_owned(),
        snapshot: String::new(),
        snapshot_lsn: course.from.to_string(),
        slot: Some((course.slot.clone(), course.publication.clone())),
    };
    journal::begin(&target, &origin).await?;
    let tables: Vec<_> = course.tables.iter().map(|table| (SCHEMA.to_owned(), table.clone())).collect();
    apply::suspend(&target, &course.name, &tables).await?;
    journal::stream_begun(&target, &course.name, course.lanes.max(1), course.from, &[]).await?;
    let record = journal::stream_record(&target, &course.name).await?;
    let missing =
        || SqlError::local(Side::Target, "reading the journal", "it does not hold the stream that was begun");
    let record = record.ok_or_else(missing)?;
    Ok(Input {
        source: course.source.clone(),
        target: course.target.clone(),
        slot: course.slot.clone(),
        publication: course.publication.clone(),
        name: course.name.clone(),
        lanes: record.lanes,
        options: OnlineOptions {
            slot_name: course.slot.clone(),
            publication: course.publication.clone(),
            lanes: course.lanes,
            ..OnlineOptions::default()
        },
        relations: Taken::everything(),
        reporter: Reporter::default(),
    })
}

impl Stream {
    /// Starts it.
    pub(crate) fn start(input: Input) -> Stream {
        let (orders, receiver) = watch::channel(Order::Go);
        let status = Arc::new(Status::default());
        let task = tokio::spawn(stream::run(input, receiver, Arc::clone(&status)));
        Stream { task, orders, status }
    }

    /// Fails where it has ended.
    pub(crate) async fn check(&mut self) -> Result<(), BenchError> {
        if self.task.is_finished() {
            self.ended().await?;
            return Err(SqlError::local(Side::Source, "streaming", "the stream ended by itself").into());
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), BenchError> {
        match (&mut self.task).await {
            Ok(ended) => Ok(ended?),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Ok(()),
        }
    }

    /// Ends it when what is complete is applied.
    pub(crate) async fn stop(mut self) -> Result<(), BenchError> {
        let _ = self.orders.send(Order::Stop);
        self.ended().await
    }
}

/// Lets it apply everything up to `course.to`, until that is on the target's disk.
pub(crate) async fn drain(course: &Course) -> Result<Drained, BenchError> {
    let input = prepare(course).await?;
    let started = Instant::now();
    let mut stream = Stream::start(input);
    let status = Arc::clone(&stream.status);
    let meter = Meter::start(course.watch, course.from.0, move || status.applied.get().0);
    let mut patience = Patience::new(Name::Migrator, course.to);
    while stream.status.durable.get() < course.to {
        stream.check().await?;
        patience.check(stream.status.applied.get())?;
        tokio::time::sleep(LOOK).await;
    }
    let time = started.elapsed();
    let trace = meter.stop();
    stream.stop().await?;
    Ok(Drained { time, trace })
}
