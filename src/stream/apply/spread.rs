//! A batch over several lanes: each applies its part, and when all have, all commit.
//!
//! Every lane's transaction holds that lane's own LSN, so where the run ends between two commits the journal says which lanes have the
//! batch, and the next run gives it to the others alone. Invariants: nothing is committed before every lane has done its part;
//! where one fails, all roll back, and the batch is applied as one; while lanes stand apart, changes go where they went when they came to, as
//! the journal has it ([`journal::splits`]), whatever the target's indexes are by now.

use futures_util::future::join_all;

use super::applier::{Applier, send_end};
use super::lane::{Failure, Lane};
use super::segment::{self, Targets};
use super::splits::Splits;
use super::{Applied, ApplyError, ApplySetup, route};
use crate::error::Side;
use crate::journal::{self, Progress};
use crate::pg::SqlError;
use crate::stream::batch::{Batch, Commit, Net, RelationNet, Segment};
use crate::stream::pressure::Pays;

/// Lanes never wait for each other's rows; this is for what nobody has thought of.
const SECOND_LINE: &str = "SET LOCAL lock_timeout = '10s'";

impl Applier {
    /// The lanes that do not have this batch.
    pub(super) fn behind(&self, batch: &Batch) -> Result<Vec<usize>, ApplyError> {
        let ends = batch.ends.ok_or_else(|| untold(batch))?;
        let lanes = self.setup.lanes.iter().enumerate();
        Ok(lanes.filter(|(_, at)| ends.commit_lsn >= at.end_lsn).map(|(lane, _)| lane).collect())
    }

    /// The parts of a batch that is a transaction of its own, where it is to be spread.
    pub(super) fn parts(&self, batch: &Batch) -> Option<(Vec<route::Parts>, Splits)> {
        let changes = batch.rows();
        let enforced = self.lanes.iter().any(|lane| lane.enforced);
        if self.lanes.len() < 2
            || enforced
            || changes < self.setup.spread_from
            || self.sparing && !pays(batch, self.pays)
        {
            return None;
        }
        let (parts, splits) = route::parts(batch, &self.targets, self.lanes.len())?;
        let busy = |lane: &usize| parts.iter().any(|lanes| !lanes[*lane].is_empty());
        ((0..self.lanes.len()).filter(busy).count() > 1).then_some((parts, splits))
    }

    /// Applies a batch over all lanes. A failure: nothing of it was committed, and every lane is rolled back.
    pub(super) async fn spread(
        &mut self,
        batch: &Batch,
        (parts, splits): &(Vec<route::Parts>, Splits),
        ends: Commit,
        durable: bool,
    ) -> Result<Option<Failure>, ApplyError> {
        let targets = &self.targets;
        let work = self.lanes.iter_mut().enumerate().map(|(n, lane)| send(lane, targets, batch, parts, n));
        let mut failure = None;
        for done in join_all(work).await {
            if let Err(failed) = done? {
                failure.get_or_insert(failed);
            }
        }
        if failure.is_some() {
            for lane in &mut self.lanes {
                lane.roll_back().await?;
            }
            return Ok(failure);
        }
        let (setup, splits) = (&self.setup, splits.to_json());
        let work = self.lanes.iter_mut().enumerate();
        let work = work.map(|(n, lane)| commit(lane, setup, n, ends, &splits, durable));
        for done in join_all(work).await {
            done?.map_err(|failure| refused(ends, failure))?;
        }
        self.advance(ends, 0..self.lanes.len());
        Ok(None)
    }

    /// Gives a batch that some lanes have to those that lack it, each by itself and with care.
    pub(super) async fn catch_up(
        &mut self,
        batch: &Batch,
        behind: &[usize],
        durable: bool,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        for &lane in behind {
            let only = route::only(batch, &self.splits, lane, self.lanes.len());
            let only = only.ok_or_else(|| untold(batch))?;
            self.apply_with_care(&only, lane, &[lane], durable, applied).await?;
        }
        Ok(())
    }

    /// These lanes have what ends here.
    pub(super) fn advance(&mut self, ends: Commit, lanes: impl IntoIterator<Item = usize>) {
        let at = progress(ends);
        for lane in lanes {
            if let Some(position) = self.setup.lanes.get_mut(lane) {
                *position = at;
            }
        }
    }

    /// Whether all lanes stand at one position.
    pub(super) fn is_level(&self) -> bool {
        is_level(&self.setup.lanes)
    }
}

/// Whether a batch is of a kind that more lanes than one pay for.
fn pays(batch: &Batch, pays: Pays) -> bool {
    let rows = |net: &Net| match net {
        Net::Rows { deletes, updates, inserts } => (deletes.len() + updates.len(), inserts.len()),
        Net::Serial(_) => (0, 0),
    };
    let kinds = batch.segments.iter().flat_map(|segment| match segment {
        Segment::Rows { net, .. } => net.as_slice(),
        Segment::Truncate { .. } => &[],
    });
    let (changes, inserts) = kinds.map(|part| rows(&part.net)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    pays == Pays::All || pays == Pays::Changes && changes >= inserts
}

/// What was spread is whole transactions that are told apart by lane; anything else comes to all lanes at once.
fn untold(batch: &Batch) -> ApplyError {
    ApplyError::Malformed {
        relation: "several tables".to_owned(),
        lsn: batch.ends.map(|ends| ends.commit_lsn).unwrap_or_default(),
        problem: "some lanes have them, and which of them the others lack cannot be told".to_owned(),
    }
}

fn refused(ends: Commit, failure: Failure) -> ApplyError {
    ApplyError::Commit { lsn: ends.commit_lsn, source: Box::new(failure.error) }
}

/// Sends a lane its part and reads the answers; its transaction stays open.
async fn send(
    lane: &mut Lane,
    targets: &Targets,
    batch: &Batch,
    parts: &[route::Parts],
    number: usize,
) -> Result<Result<(), Failure>, ApplyError> {
    lane.control("BEGIN", "BEGIN", "beginning a transaction");
    lane.control(SECOND_LINE, "SET", "making settings");
    let none: &[RelationNet] = &[];
    for (segment, lanes) in batch.segments.iter().zip(parts) {
        let Segment::Rows { changes, .. } = segment else { continue };
        let part = lanes.get(number).map_or(none, Vec::as_slice);
        if !segment::send_net(lane, targets, changes, part).await? {
            break;
        }
    }
    Ok(lane.settle().await?)
}

async fn commit(
    lane: &mut Lane,
    setup: &ApplySetup,
    number: usize,
    ends: Commit,
    splits: &str,
    durable: bool,
) -> Result<Result<(), Failure>, SqlError> {
    let applied = journal::lane_applied(&setup.name, number, progress(ends), Some(splits));
    send_end(lane, [applied], durable);
    lane.settle().await
}

/// Where a lane stands that has what ends here.
pub(super) fn progress(ends: Commit) -> Progress {
    Progress { commit_lsn: ends.commit_lsn, end_lsn: ends.end_lsn }
}

/// Makes as many lanes as there shall be, where all stand at one position; else tells how what some of them have was divided.
/// Only the session that has the first lane may ask: all others are gone.
pub(super) async fn begin(lane: &mut Lane, setup: &mut ApplySetup) -> Result<Splits, ApplyError> {
    let Some(at) = setup.lanes.first().copied().filter(|_| is_level(&setup.lanes)) else {
        const WHAT: &str = "reading how changes went to lanes";
        let rows = lane.wire().rows(WHAT, &journal::splits(&setup.name)).await?;
        let text = rows.first().and_then(|row| row.first()?.as_deref()).unwrap_or_default();
        let splits = std::str::from_utf8(text).ok().and_then(Splits::from_json);
        let unread = || SqlError::local(Side::Target, WHAT, "the journal's row is none of this version's");
        return Ok(splits.ok_or_else(unread)?);
    };
    if setup.jobs != setup.lanes.len() {
        let set = journal::lanes_set(&setup.name, setup.jobs, at);
        let sql = format!("BEGIN; SET LOCAL synchronous_commit = on; {set}; COMMIT");
        lane.wire().simple("setting the number of lanes", &sql).await?;
        setup.lanes = vec![at; setup.jobs.max(1)];
    }
    Ok(Splits::default())
}

fn is_level(lanes: &[Progress]) -> bool {
    lanes.windows(2).all(|pair| pair[0] == pair[1])
}
