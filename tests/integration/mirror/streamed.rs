//! Changes by the stream as a migration runs it: receiver, decoder and applier, from the slot to the target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pg_migrator::config::OnlineOptions;
use pg_migrator::lsn::Lsn;
use pg_migrator::progress::Reporter;
use pg_migrator::stream::{self, Input, Order, Status, StreamError, Taken};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::{How, Plan, Round};
use super::world::{NAME, World};

/// Until everything of a small trial is applied.
const LONG: Duration = Duration::from_secs(60);

/// Returns once everything before `at` is durable.
async fn durable(status: &Status, at: Lsn) {
    while status.durable.get() < at {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A stream under way.
pub struct Streamed {
    orders: watch::Sender<Order>,
    status: Arc<Status>,
    task: JoinHandle<Result<(), StreamError>>,
}

impl Streamed {
    /// Begins where the journal stands.
    pub async fn start(world: &mut World, plan: &Plan) -> Streamed {
        let lanes = world.progress().await;
        if lanes.windows(2).any(|two| two[0] != two[1]) {
            world.tally.apart += 1;
        }
        let input = Input {
            source: world.from.clone(),
            target: world.to_now.clone(),
            slot: world.slot.clone(),
            publication: if plan.via_root { "by_root" } else { "by_part" }.into(),
            name: NAME.into(),
            lanes,
            options: OnlineOptions { lanes: plan.lanes, apply_memory: 4 << 20, ..OnlineOptions::default() },
            relations: Taken::everything(),
            reporter: Reporter::default(),
        };
        let status = Arc::new(Status::default());
        let (orders, listening) = watch::channel(Order::Go);
        let task = tokio::spawn(stream::run(input, listening, Arc::clone(&status)));
        Streamed { orders, status, task }
    }

    /// Waits until everything before `at` is durable on the target. A stream that ends as one that can go on does so.
    async fn reach(mut self, world: &mut World, plan: &Plan, at: Lsn) -> Result<Streamed, String> {
        let started = Instant::now();
        while self.status.durable.get() < at {
            if self.task.is_finished() {
                match self.task.await.map_err(|e| e.to_string())? {
                    Err(e) if e.is_retryable() => {}
                    other => return Err(format!("the stream ended: {other:?}")),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                self = Streamed::start(world, plan).await;
            }
            if started.elapsed() > LONG {
                return Err(format!("not durable at {at}: {:?}", self.status));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        match self.status.missing.get() {
            0 => Ok(self),
            missing => Err(format!("{missing} changes found no row")),
        }
    }

    /// Has the target follow a round that was written.
    pub async fn follow(self, world: &mut World, plan: &Plan, round: &Round) -> Result<Streamed, String> {
        let mut stream = self;
        if let Some(cut) = round.cut {
            match cut.how {
                How::Before => {}
                How::After(after) => tokio::time::sleep(after).await,
                How::Between(lanes) => {
                    // Where it begins, it writes to its first lane's row.
                    durable(&stream.status, Lsn(1)).await;
                    world.hold_lanes(lanes, plan.lanes).await;
                    let at = world.end().await;
                    tokio::select! {
                        () = world.held_apart() => {}
                        () = durable(&stream.status, at) => {}
                    }
                }
            }
            stream.task.abort();
            let _ = stream.task.await;
            if let How::Between(_) = cut.how {
                world.kill_held().await;
            }
            world.tally.cuts += 1;
            stream = Streamed::start(world, plan).await;
        }
        let at = world.end().await;
        let stream = stream.reach(world, plan, at).await?;
        world.compare(world.states.len() - 1, "after a round").await?;
        Ok(stream)
    }

    /// Ends it in good order.
    pub async fn stop(self, world: &mut World) -> Result<(), String> {
        let _ = self.orders.send(Order::Stop);
        self.task.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        let status = &self.status;
        world.tally.truncates += status.truncates.get();
        world.tally.changes += status.inserts.get() + status.updates.get() + status.deletes.get();
        Ok(())
    }
}
