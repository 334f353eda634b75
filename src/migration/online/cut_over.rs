//! Cutover: drain to where the source stands, give the target its last values and final state, let the slot go.
//!
//! Invariant: nothing is dropped before everything that committed before the drained position is durable on the target and nothing was
//! seen that committed after it. Until then, whatever fails, the fence goes down and the same command goes on with the stream.

use std::time::{Duration, Instant};

use super::follow::{Running, tell_of_strangers};
use super::links::{Links, slot_state};
use crate::config::OnlineOptions;
use crate::cutover::summary::{self, LateWrites, Outcome};
use crate::cutover::{self, CutoverError, Fence, fence, subscription};
use crate::journal::{self, Progress};
use crate::lsn::Lsn;
use crate::migration::tracker::Tracker;
use crate::migration::{Config, Error, leftover};
use crate::progress::{Event, Phase, Reporter, StreamSummary};
use crate::snapshot;
use crate::stream::{Order, Status};

/// Between two looks at the stream's positions.
const LOOK: Duration = Duration::from_millis(2);
/// How long the fence waits for sessions to end.
const FENCE: Duration = Duration::from_secs(30);
/// How long the stream may take to end once it is told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who asked for cutover, and when.
#[derive(Clone, Debug)]
pub(super) struct Request {
    by: &'static str,
    at: Instant,
}

impl Request {
    pub fn by(by: &'static str) -> Self {
        Request { by, at: Instant::now() }
    }
}

/// Cuts over.
pub(super) async fn cut_over(
    config: &Config,
    online: &OnlineOptions,
    tracker: &mut Tracker,
    links: &Links,
    running: &mut Running,
    request: Request,
) -> Result<StreamSummary, Error> {
    tracker.enter(Phase::Cutover);
    let reporter = tracker.reporter.clone();
    reporter.emit(Event::CutoverRequested { by: request.by.to_owned() });
    let fence = match online.fence_source {
        true => Some(raise(config, links, &reporter).await?),
        false => None,
    };
    let step = Step { config, online, links, reporter: &reporter };
    match step.to_the_end(running, fence.as_ref(), &request).await {
        Ok(summary) => Ok(summary),
        Err(error) => {
            if fence.is_some() {
                // Where the source is out of reach now, the journal still knows of the fence.
                let undone = fence::undo(&links.source, &links.target, &config.subscription_name, &[]).await;
                let message = match undone {
                    Ok(_) => "the fence is down again: the source can be written to".to_owned(),
                    Err(e) => format!("the source is still read-only for new sessions: {e}"),
                };
                reporter.emit(Event::Warning { object: config.source.display(), message });
            }
            tracker.enter(Phase::StreamApply);
            Err(error)
        }
    }
}

async fn raise(config: &Config, links: &Links, reporter: &Reporter) -> Result<Fence, Error> {
    let (system_identifier, _) = leftover::source_identity(&links.source).await?;
    let raise = fence::Raise {
        source: &links.source,
        target: &links.target,
        name: &config.subscription_name,
        system_identifier: &system_identifier,
        ours: &[],
        patience: FENCE,
    };
    let fence = fence::raise(raise).await?;
    for message in &fence.warnings {
        reporter.emit(Event::Warning { object: config.source.display(), message: message.clone() });
    }
    let message = format!("the source is fenced: {} sessions ended", fence.ended);
    reporter.emit(Event::Note { message });
    Ok(fence)
}

struct Step<'a> {
    config: &'a Config,
    online: &'a OnlineOptions,
    links: &'a Links,
    reporter: &'a Reporter,
}

impl Step<'_> {
    async fn to_the_end(
        &self,
        running: &mut Running,
        fence: Option<&Fence>,
        request: &Request,
    ) -> Result<StreamSummary, Error> {
        let (source, target) = (&self.links.source, &self.links.target);
        let name = &self.config.subscription_name;
        let started = Instant::now();
        let limit = cutover::flush_lsn(source).await?;
        running.orders.send_replace(Order::Drain { limit, reach: limit });
        self.wait(running, limit, |status| status.durable.get() >= limit).await?;
        self.reporter.emit(Event::Drained { lsn: limit, elapsed: started.elapsed() });
        tell_of_strangers(&running.status, self.reporter);
        if fence.is_none() && !self.online.keep_subscription {
            fence::forgotten_transactions(source).await?;
        }

        let sequences = cutover::sequences::set(source, target, &self.config.filter).await?;
        self.reporter.emit(Event::SequencesSet { sequences: sequences.set });
        let resumed = cutover::resume::suspended(target, name, self.online.drain_timeout).await?;
        for object in resumed.gone {
            let message = "was dropped while it was suspended".to_owned();
            self.reporter.emit(Event::Warning { object, message });
        }

        // Flushed again: a late write that commits asynchronously is seen, too.
        let reach = cutover::flush_lsn(source).await?.max(limit);
        running.orders.send_replace(Order::Drain { limit, reach });
        let seen = |status: &Status| status.applied.get() >= reach || status.late().transactions > 0;
        self.wait(running, reach, seen).await?;
        let late = running.status.late();
        if late.transactions > 0 {
            let writes = LateWrites { transactions: late.transactions, changes: late.changes };
            let text = summary::late(&writes, limit).unwrap_or_default();
            return Err(Error::LateWrites {
                text,
                next_steps: summary::next_steps(&Outcome { late: writes, ..Outcome::default() }),
            });
        }
        running.orders.send_replace(Order::Stop);
        if let Ok(ended) = tokio::time::timeout(FAREWELL, running.ended()).await {
            ended?;
        }
        let outcome = Outcome {
            lower_fence: fence.map(|f| f.lower.clone()),
            missing_sequences: sequences.missing,
            unreadable_sequences: sequences.unreadable,
            streamed: running.status.transactions.get() > 0,
            ..Outcome::default()
        };
        // Beyond the limit where a transaction was already on its way when that was set; nothing after it is on the target.
        let at = running.status.applied.get().max(limit);
        let (kept, next_steps) = self.finish(at, outcome).await?;
        let status = &running.status;
        Ok(StreamSummary {
            transactions: status.transactions.get(),
            inserts: status.inserts.get(),
            updates: status.updates.get(),
            deletes: status.deletes.get(),
            truncates: status.truncates.get(),
            missing: status.missing.get(),
            ignored: status.ignored.get(),
            final_lsn: limit,
            cutover_seconds: request.at.elapsed().as_secs_f64(),
            sequences: sequences.set,
            kept_subscription: kept,
            next_steps,
        })
    }

    /// The last steps, each of which may have been done by a run that was killed: from here on there is no way back to the stream.
    async fn finish(&self, at: Lsn, mut outcome: Outcome) -> Result<(Option<String>, Vec<String>), Error> {
        let (source, target) = (&self.links.source, &self.links.target);
        let (name, slot) = (&self.config.subscription_name, &self.online.slot_name);
        let sql = format!(
            "BEGIN; SET LOCAL synchronous_commit = on; {}; COMMIT",
            journal::phase_entered(name, "Cutover")
        );
        target.batch("recording the phase", &sql).await?;
        if self.online.keep_subscription {
            subscription::keep(target, name, at).await?;
            outcome.unknown_tables =
                subscription::unknown_tables(source, &self.online.publication, target, name).await?;
            outcome.kept = Some((name.clone(), slot.clone()));
            outcome.publication_left = Some(self.online.publication.clone());
        } else {
            subscription::drop(target, name).await?;
            snapshot::take_slot_over(source, slot).await?;
            snapshot::drop_slot(source, slot).await?;
            let publication = &self.online.publication;
            if !snapshot::drop_publication(source, publication, name).await? {
                outcome.publication_left = Some(publication.clone());
            }
        }
        journal::drop_journal(target).await?;
        let kept = outcome.kept.as_ref().map(|(name, _)| name.clone());
        Ok((kept, summary::next_steps(&outcome)))
    }

    /// Waits until the stream stands where it shall, within `--drain-timeout-secs`.
    async fn wait(
        &self,
        running: &mut Running,
        to: Lsn,
        there: impl Fn(&Status) -> bool,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        while !there(&running.status) {
            if started.elapsed() > self.online.drain_timeout {
                let applied = running.status.durable.get();
                return Err(Error::NotDrained {
                    limit: self.online.drain_timeout,
                    to,
                    applied,
                    left: to.since(applied),
                });
            }
            tokio::select! {
                ended = running.ended() => {
                    ended?;
                    break;
                }
                _ = look.tick() => {}
            }
        }
        Ok(())
    }
}

/// A run that was killed after it had drained the source and while it was letting go: nothing is left to stream where the slot is gone.
pub(super) async fn finish_interrupted(
    config: &Config,
    online: &OnlineOptions,
    links: &Links,
    reporter: &Reporter,
) -> Result<Option<StreamSummary>, Error> {
    if links.record.phase != "Cutover" || slot_state(&links.source, &online.slot_name).await?.there {
        return Ok(None);
    }
    let message = "the source was drained and its slot dropped by an earlier run: finishing".to_owned();
    reporter.emit(Event::Note { message });
    let step = Step { config, online, links, reporter };
    let at = Progress::least(&links.record.lanes);
    let lower_fence = fence::standing(&links.target, &config.subscription_name).await?;
    let (kept, next_steps) = step.finish(at, Outcome { lower_fence, ..Outcome::default() }).await?;
    Ok(Some(StreamSummary { final_lsn: at, kept_subscription: kept, next_steps, ..StreamSummary::default() }))
}

impl From<CutoverError> for Error {
    fn from(error: CutoverError) -> Self {
        Error::Cutover(error)
    }
}
