//! Changes by the library's own pieces, one by one: what the slot has is read by SQL, decoded, batched and applied. The target is
//! looked at after every batch that ends a transaction.

use std::time::Duration;

use bytes::Bytes;
use pg_migrator::lsn::Lsn;
use pg_migrator::progress::Reporter;
use pg_migrator::stream::{
    Applied, Applier, ApplyError, ApplySetup, Batch, Batcher, Change, ChangeKind, Decoder, Limits, Message,
    Segment, Taken,
};

use super::plan::{Cut, How, Plan, Round};
use super::world::{NAME, World};

/// Applies what there is, as often as it breaks off. The applier stays for the next round.
pub async fn apply(
    world: &mut World,
    plan: &Plan,
    spread_from: usize,
    round: &Round,
    applier: &mut Option<Applier>,
) -> Result<(), String> {
    let mut cut = round.cut;
    loop {
        if applier.is_none() {
            // One after the other in another format, so that what one has begun the next goes on with.
            world.binary = world.may_be_binary && !world.binary;
            world.tally.binary += u64::from(world.binary);
            *applier = Some(open(world, plan, spread_from).await?);
        }
        let lanes = world.progress().await;
        let limits = Limits { bytes: round.limits.0, changes: round.limits.1 };
        let mut batcher = Batcher::new(&lanes, limits, Taken::everything());
        let mut decoder = Decoder::new();
        let mut run = Run { commits: Vec::new(), batches: 0, lanes: plan.lanes, cut };
        for (lsn, data) in changes(world, plan).await {
            let message = decoder.decode(data, lsn).map_err(|e| e.to_string())?;
            if let Message::Begin(begin) = &message
                && let Some(state) = world.states.iter().position(|state| state.xid == begin.xid)
            {
                run.commits.push((begin.final_lsn, state));
            }
            batcher.push(message).map_err(|e| e.to_string())?;
            while batcher.is_full()
                && let Some(batch) = batcher.take()
            {
                run.batch(world, applier, batch, round.durable).await?;
            }
        }
        while let Some(batch) = batcher.take() {
            run.batch(world, applier, batch, true).await?;
        }
        if applier.is_some() {
            return Ok(());
        }
        cut = None;
        world.tally.cuts += 1;
    }
}

async fn open(world: &mut World, plan: &Plan, spread_from: usize) -> Result<Applier, String> {
    let mut tries = 0;
    loop {
        let setup = ApplySetup {
            name: NAME.into(),
            lanes: world.progress().await,
            jobs: plan.lanes,
            spread_from,
            encoding: "UTF8".into(),
            binary: world.binary,
            reporter: Reporter::default(),
        };
        let apart = setup.lanes.windows(2).any(|two| two[0] != two[1]);
        match Applier::open(&world.to_now, setup).await {
            Ok(applier) => {
                world.tally.apart += u64::from(apart);
                return Ok(applier);
            }
            // What was broken off has still ended something.
            Err(ApplyError::Moved) if tries < 5 => tries += 1,
            Err(e) => return Err(format!("opening: {e}")),
        }
    }
}

async fn changes(world: &World, plan: &Plan) -> Vec<(Lsn, Bytes)> {
    let publication = if plan.via_root { "by_root" } else { "by_part" };
    let sql = format!(
        "SELECT lsn::text AS lsn, data FROM pg_catalog.pg_logical_slot_peek_binary_changes('{}', NULL, NULL, \
         'proto_version', '1', 'publication_names', '{publication}'{})",
        world.slot,
        if world.binary { ", 'binary', 'true'" } else { "" }
    );
    let rows = world.asks.query("reading changes", &sql).await.unwrap();
    let one = |row: &pg_migrator::pg::Row| {
        let lsn: Lsn = row.get::<String>("lsn").unwrap().parse().unwrap();
        (lsn, Bytes::from(row.get::<Vec<u8>>("data").unwrap()))
    };
    rows.iter().map(one).collect()
}

struct Run {
    /// The commits that have come, and the source's state after each.
    commits: Vec<(Lsn, usize)>,
    batches: usize,
    lanes: usize,
    cut: Option<Cut>,
}

impl Run {
    /// Applies a batch and looks at the target; the applier is gone once the time has come to break off.
    async fn batch(
        &mut self,
        world: &mut World,
        applier: &mut Option<Applier>,
        batch: Batch,
        durable: bool,
    ) -> Result<(), String> {
        let Some(one) = applier else { return Ok(()) };
        let ends = batch.ends;
        let cut = self.cut.filter(|cut| match cut.how {
            How::Between(_) => cut.batch <= self.batches && may_be_spread(&batch),
            How::Before | How::After(_) => cut.batch == self.batches,
        });
        self.batches += 1;
        let applied = match cut {
            None => Some(one.apply(batch, durable).await),
            Some(Cut { how: How::Before, .. }) => None,
            Some(Cut { how: How::After(after), .. }) => cut_off(one, batch, durable, after).await,
            Some(Cut { how: How::Between(lanes), .. }) => {
                world.hold_lanes(lanes, self.lanes).await;
                let done = tokio::select! {
                    done = one.apply(batch, durable) => Some(done),
                    () = world.held_apart() => None,
                };
                world.kill_held().await;
                done.filter(Result::is_ok)
            }
        };
        let Some(applied) = applied else {
            *applier = None;
            return Ok(());
        };
        if let Err(ApplyError::Binary { .. }) = applied {
            world.may_be_binary = false;
            *applier = None;
            return Ok(());
        }
        let applied = applied.map_err(|e| format!("applying: {e}"))?;
        world.tally.serial += applied.serial;
        world.tally.truncates += applied.truncates;
        world.tally.changes += applied.inserts + applied.updates + applied.deletes;
        if !applied.missing.is_empty() {
            return Err(format!("changes found no row: {:?}", applied.missing));
        }
        let Some(ends) = ends else { return Ok(()) };
        let here =
            self.commits.iter().filter(|(lsn, _)| *lsn <= ends.commit_lsn).map(|(_, state)| *state).max();
        match here {
            Some(state) => world.compare(state, "after a batch").await,
            None => Ok(()),
        }
    }
}

/// Whether lanes may each get a part of it: whole transactions, in which no row gets another key and no table is emptied.
fn may_be_spread(batch: &Batch) -> bool {
    let stays = |change: &Change| !matches!(change.kind, ChangeKind::Update { old: Some(_), .. });
    batch.ends.is_some()
        && batch.segments.iter().all(|segment| match segment {
            Segment::Rows { changes, .. } => changes.len() > 1 && changes.iter().all(stays),
            Segment::Truncate { .. } => false,
        })
}

/// Gives up after this time, wherever it is then: between the commits of two lanes, at times.
async fn cut_off(
    applier: &mut Applier,
    batch: Batch,
    durable: bool,
    after: Duration,
) -> Option<Result<Applied, ApplyError>> {
    tokio::time::timeout(after, applier.apply(batch, durable)).await.ok()
}
