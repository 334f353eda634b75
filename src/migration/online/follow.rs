//! StreamApply ⇄ CaughtUp: the stream runs, lag is told, broken connections are made again, until cutover is asked for.
//!
//! Invariant: the stream always goes on from the target's journal; whatever breaks, a new stream begins only after the claim was taken
//! anew, so that nothing of the old one can still be committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cut_over::{self, Request};
use super::links::{Links, slot_state};
use crate::config::OnlineOptions;
use crate::cutover::subscription::{self, Made, Make};
use crate::cutover::{RedactedConnInfo, subscription_conninfo};
use crate::journal::{self, Progress};
use crate::lsn::Lsn;
use crate::migration::tracker::Tracker;
use crate::migration::{Config, Error, first_interrupt};
use crate::pg::SqlError;
use crate::progress::{Event, Reporter, StreamSummary};
use crate::snapshot;
use crate::stream::lag::{Meter, Sample, Turn};
use crate::stream::{self, Order, Status, StreamError, Taken, apply};

/// Between two looks for a request for cutover by another process.
const ASK: Duration = Duration::from_millis(250);
/// Between two attempts at a broken connection: from, to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// A stream under way.
pub(super) struct Running {
    task: JoinHandle<Result<(), StreamError>>,
    pub orders: watch::Sender<Order>,
    pub status: Arc<Status>,
}

impl Running {
    fn start(
        config: &Config,
        online: &OnlineOptions,
        links: &Links,
        status: &Arc<Status>,
        reporter: &Reporter,
    ) -> Running {
        let (orders, receiver) = watch::channel(Order::Go);
        // What came too late for a cutover that failed is applied now.
        status.forget_late();
        let input = stream::Input {
            source: config.source.clone(),
            target: config.target.clone(),
            slot: online.slot_name.clone(),
            publication: online.publication.clone(),
            name: config.subscription_name.clone(),
            lanes: links.record.lanes.clone(),
            options: online.clone(),
            relations: Taken::new(config.filter.clone(), links.record.failed.iter().cloned()),
            reporter: reporter.clone(),
        };
        let task = tokio::spawn(stream::run(input, receiver, Arc::clone(status)));
        Running { task, orders, status: Arc::clone(status) }
    }

    /// Waits for its end, which is an error unless it was ordered to stop.
    pub async fn ended(&mut self) -> Result<(), Error> {
        match (&mut self.task).await {
            Ok(ended) => ended.map_err(Error::Stream),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Streams until the migration is cut over.
pub(super) async fn follow(
    config: &Config,
    online: &OnlineOptions,
    tracker: &mut Tracker,
    mut links: Links,
    shutdown: &mut watch::Receiver<u32>,
) -> Result<StreamSummary, Error> {
    let reporter = tracker.reporter.clone();
    if let Some(summary) = cut_over::finish_interrupted(config, online, &links, &reporter).await? {
        return Ok(summary);
    }
    journal::forget_request(&links.target, &config.subscription_name).await?;
    let status = Arc::new(Status::default());
    let mut meter = Meter::new(online.lag_threshold_bytes);
    let mut request: Option<Request> = None;
    let mut patience = Patience::new(online.reconnect);
    let resumed = links.resumed;
    let mut begun = false;
    loop {
        let outcome = async {
            settle(config, online, &links, &reporter).await?;
            if !std::mem::replace(&mut begun, true) {
                let lsn = Progress::least(&links.record.lanes);
                reporter.emit(Event::StreamStarted { lsn, resumed });
            }
            let mut running = Running::start(config, online, &links, &status, &reporter);
            let mut live = Live { config, online, links: &links, meter: &mut meter, reporter: &reporter };
            let asked = match &request {
                Some(asked) => asked.clone(),
                None => request.insert(live.until_asked(&mut running, shutdown).await?).clone(),
            };
            cut_over::cut_over(config, online, tracker, &links, &mut running, asked).await
        }
        .await;
        let error = match outcome {
            Ok(summary) => return Ok(summary),
            Err(error) => error,
        };
        if !error.is_broken_stream() {
            return Err(links.blame(config, error).await);
        }
        // The target's old session may be whole, and has the claim.
        drop(links);
        links = again(config, online, &mut patience, &status, error, &reporter).await?;
    }
}

/// What must be so before the stream runs; all of it is there already when it is done again.
async fn settle(
    config: &Config,
    online: &OnlineOptions,
    links: &Links,
    reporter: &Reporter,
) -> Result<(), Error> {
    let name = &config.subscription_name;
    let slot = slot_state(&links.source, &online.slot_name).await?;
    let lost = match (slot.there, slot.wal_status.as_deref()) {
        (false, _) => Some("it is not there any more".to_owned()),
        (true, Some("lost")) => Some("the source has removed WAL that it needs (wal_status lost)".to_owned()),
        _ => None,
    };
    if let Some(why) = lost {
        return Err(Error::SlotLost { slot: online.slot_name.clone(), why });
    }
    snapshot::take_slot_over(&links.source, &online.slot_name).await?;
    // A cutover that failed or was killed may have left the source fenced.
    crate::cutover::fence::undo(&links.source, &links.target, name, &[]).await?;
    let tables = links.tables(name).await?;
    apply::suspend(&links.target, name, &tables).await.map_err(|e| Error::Stream(e.into()))?;
    let conninfo = match &online.subscription_conninfo {
        Some(text) => RedactedConnInfo::given(text),
        None => subscription_conninfo(config.source.info(), links.target.version()),
    };
    let make = Make {
        source: &links.source,
        target: &links.target,
        name,
        conninfo: &conninfo,
        publication: &online.publication,
        slot: &online.slot_name,
    };
    if let Made::Not(why) = subscription::create(make).await? {
        if online.keep_subscription {
            return Err(Error::NoSubscription { name: name.clone(), why });
        }
        let message = format!("cannot be made, and is not needed unless it shall be kept: {why}");
        reporter.emit(Event::Note { message: format!("subscription {name:?} {message}") });
    }
    Ok(())
}

/// The stream while nobody has asked for cutover.
struct Live<'a> {
    config: &'a Config,
    online: &'a OnlineOptions,
    links: &'a Links,
    meter: &'a mut Meter,
    reporter: &'a Reporter,
}

impl Live<'_> {
    async fn until_asked(
        &mut self,
        running: &mut Running,
        shutdown: &mut watch::Receiver<u32>,
    ) -> Result<Request, Error> {
        let started = Instant::now();
        let mut beat = tokio::time::interval(self.online.cutover_poll);
        let mut ask = tokio::time::interval(ASK);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = running.ended() => {
                    ended?;
                    return Err(Error::Sql(SqlError::local(
                        crate::error::Side::Source, "streaming", "the stream ended by itself",
                    )));
                }
                () = first_interrupt(shutdown) => return Ok(Request::by("a signal")),
                _ = ask.tick() => {
                    if journal::cutover_requested(&self.links.target, &self.config.subscription_name).await? {
                        return Ok(Request::by("pg_migrator cutover"));
                    }
                }
                _ = beat.tick() => self.beat(running, started.elapsed()).await?,
            }
        }
    }

    /// One heartbeat.
    async fn beat(&mut self, running: &Running, at: Duration) -> Result<(), Error> {
        let slot = slot_state(&self.links.source, &self.online.slot_name).await?;
        let status = &running.status;
        let changes =
            status.inserts.get() + status.updates.get() + status.deletes.get() + status.truncates.get();
        let start = Progress::least(&self.links.record.lanes);
        let (lag, turn) = self.meter.take(Sample {
            at,
            source: slot.flush,
            received: status.received.get().max(start),
            applied: status.applied.get().max(start),
            confirmed: status.confirmed.get(),
            changes,
            slot_wal: slot.held,
        });
        self.reporter.emit(Event::Lag(lag));
        tell_of_strangers(status, self.reporter);
        match turn {
            Some(Turn::CaughtUp) => {
                self.turned("CaughtUp", Event::CaughtUp { lag_bytes: lag.lag_bytes }).await?
            }
            Some(Turn::FellBehind) => {
                self.turned("StreamApply", Event::FellBehind { lag_bytes: lag.lag_bytes }).await?;
            }
            None => {}
        }
        match (slot.held, self.online.max_slot_wal_bytes) {
            (Some(held), Some(limit)) if held > limit => self.give_slot_up(held, limit).await,
            _ => Ok(()),
        }
    }

    async fn turned(&self, phase: &str, event: Event) -> Result<(), Error> {
        self.reporter.emit(event);
        let sql = journal::phase_entered(&self.config.subscription_name, phase);
        Ok(self.links.target.batch("recording the phase", &sql).await?)
    }

    /// The source's disk comes first.
    async fn give_slot_up(&self, held: u64, limit: u64) -> Result<(), Error> {
        let slot = self.online.slot_name.clone();
        snapshot::take_slot_over(&self.links.source, &slot).await?;
        snapshot::drop_slot(&self.links.source, &slot).await?;
        journal::forget_slot(&self.links.target, &slot).await?;
        Err(Error::SlotWal { slot, held, limit, started_over: false })
    }
}

/// Of changes that are left out the operator hears: the table may be new, or have another name than a filter knows.
pub(super) fn tell_of_strangers(status: &Status, reporter: &Reporter) {
    for object in status.take_strangers() {
        let message =
            "is changed on the source and takes no part in the migration: these changes are left out"
                .to_owned();
        reporter.emit(Event::Warning { object, message });
    }
}

/// How long broken connections are tried again.
struct Patience {
    limit: Duration,
    since: Option<Instant>,
    durable: Lsn,
    attempt: u32,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Patience { limit, since: None, durable: Lsn::ZERO, attempt: 0 }
    }

    /// The pause before the next attempt; `None`: enough. Progress since the last failure starts it anew.
    fn next(&mut self, durable: Lsn) -> Option<Duration> {
        if durable > self.durable {
            *self = Patience { durable, ..Patience::new(self.limit) };
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.attempt += 1;
        let pause = BACKOFF.0.saturating_mul(1 << (self.attempt - 1).min(8)).min(BACKOFF.1);
        (since.elapsed() < self.limit).then_some(pause)
    }
}

/// Connects again, for as long as `--reconnect-secs` says.
async fn again(
    config: &Config,
    online: &OnlineOptions,
    patience: &mut Patience,
    status: &Status,
    mut error: Error,
    reporter: &Reporter,
) -> Result<Links, Error> {
    loop {
        let Some(pause) = patience.next(status.durable.get()) else { return Err(error) };
        reporter.emit(Event::Reconnecting { message: error.to_string(), attempt: patience.attempt });
        tokio::time::sleep(pause).await;
        match Links::again(config).await {
            Ok(links) => match slot_state(&links.source, &online.slot_name).await {
                Ok(_) => return Ok(links),
                Err(e) => error = e.into(),
            },
            Err(e) if e.is_broken_stream() => error = e,
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_progress_renews_it() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let pauses: Vec<_> = (0..7).filter_map(|_| patience.next(Lsn(5))).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(patience.next(Lsn(6)), Some(BACKOFF.0));
        assert_eq!(Patience::new(Duration::ZERO).next(Lsn::ZERO), None);
    }
}
