//! The applier: a batch becomes one transaction of the target, or a piece of one.
//!
//! A batch that is a transaction of its own is sent whole, COMMIT included, and only then are the answers read: one round trip. Where
//! anything in it fails, the server has rolled all of it back, and the batch is halved where a source transaction ends; what is small, or one
//! transaction, is done again with care: a savepoint before each segment, and a segment that fails is replayed change by change, in the
//! source's order, which is always right.
//! Invariant: the lane's LSN is in the same transaction as the changes it speaks of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::lane::{Failure, Kind, Lane};
use super::segment::{self, Targets};
use super::serial::{self, PAUSE, TRIES, is_in_the_way};
use super::splits::Splits;
use super::target_relation::{self, TargetRelation, Unfit};
use super::{Applied, ApplyError, ApplySetup, Missing, jobs, route, session, spread, statement, tree};
use crate::journal;
use crate::lsn::Lsn;
use crate::pg::Server;
use crate::progress::Event;
use crate::stream::batch::{Batch, Commit, Segment};
use crate::stream::change::ChangeKind;
use crate::stream::pressure::Pays;
use crate::stream::relation::{Relation, ReplicaIdentity};

/// Rows from which on a batch that the target refuses is halved; fewer are soon applied one by one.
const SMALL: usize = 200;

/// How the target took a batch.
enum Taken {
    /// As it was.
    Whole,
    /// Segment by segment.
    WithCare,
    /// Not at all: it is to be halved.
    Not,
}

/// The sessions that apply, and what they know of the target's tables.
#[derive(Debug)]
pub struct Applier {
    pub(super) setup: ApplySetup,
    pub(super) lanes: Vec<Lane>,
    pub(super) targets: Targets,
    mappings: u32,
    /// While lanes stand apart: how what some of them have was divided.
    pub(super) splits: Splits,
    /// The target's transaction is open: it holds pieces of a large source transaction.
    open: bool,
    /// Something is committed that may not be flushed.
    dirty: bool,
    /// Rows that are tried at once.
    bite: usize,
    /// Lanes are used only where they pay: their number was not asked for.
    pub(super) sparing: bool,
    pub(super) pays: Pays,
    usable: bool,
    pub(super) missing: BTreeMap<String, Missing>,
    pub(super) warned: HashSet<(String, Kind)>,
}

impl Applier {
    /// Connects, ends an earlier session of this migration that still lives, and makes durable what it left unflushed: what the journal
    /// says is true when this returns.
    ///
    /// # Errors
    /// The target cannot be reached, or the journal's rows are not those of the setup ([`ApplyError::Moved`]: read them again).
    pub async fn open(target: &Server, mut setup: ApplySetup) -> Result<Applier, ApplyError> {
        let mut lane = Lane::open(target, 0, &setup.encoding).await?;
        session::flush(lane.wire(), &setup.name).await?;
        if session::progress(lane.wire(), &setup.name).await? != setup.lanes {
            lane.close().await;
            return Err(ApplyError::Moved);
        }
        let sparing = setup.jobs == 0;
        if sparing {
            setup.jobs = jobs::default_jobs(lane.wire()).await?;
        }
        let splits = spread::begin(&mut lane, &mut setup).await?;
        if lane.enforced {
            let message = "the role may not set session_replication_role on the target: triggers are disabled and foreign keys \
                           dropped until cutover, which makes them again and so checks every row";
            setup.reporter.emit(Event::Warning { object: "target".to_owned(), message: message.to_owned() });
        }
        let mut lanes = vec![lane];
        for number in 1..setup.lanes.len() {
            lanes.push(Lane::open(target, number, &setup.encoding).await?);
        }
        Ok(Applier {
            setup,
            lanes,
            targets: Targets::default(),
            mappings: 0,
            splits,
            open: false,
            dirty: false,
            bite: usize::MAX,
            sparing,
            pays: Pays::Nothing,
            usable: true,
            missing: BTreeMap::new(),
            warned: HashSet::new(),
        })
    }

    /// What more lanes than one pay for just now. Heeded where nobody has said how many there shall be.
    pub(in crate::stream) fn press(&mut self, pays: Pays) {
        self.pays = pays;
    }

    /// Applies a batch. With [`Batch::ends`] the target's transaction commits, and if `durable` everything so far is flushed
    /// when this returns; without, it stays open for the next batch. Not safe to cancel: a call that was given up leaves the applier
    /// unusable.
    ///
    /// # Errors
    /// See [`ApplyError`]. After any error the applier is to be thrown away; the journal says where a new one goes on.
    pub async fn apply(&mut self, batch: Batch, durable: bool) -> Result<Applied, ApplyError> {
        if !std::mem::take(&mut self.usable) {
            return Err(ApplyError::Unusable);
        }
        let mut applied = Applied::default();
        count(&batch, &mut applied);
        match self.run_all(batch, durable, &mut applied).await {
            Ok(()) => {
                applied.missing = self.note_missing();
                self.usable = true;
                Ok(applied)
            }
            Err(error) => {
                // The server does so itself when the sessions end; this way their locks go now.
                for lane in self.lanes.iter_mut().filter(|lane| lane.is_settled()) {
                    let _ = lane.wire().simple("rolling back", "ROLLBACK").await;
                }
                Err(error)
            }
        }
    }

    /// Flushes everything that was committed so far. Inside a large source transaction that has come in pieces there is nothing to
    /// flush: what was committed before it was flushed when it began.
    ///
    /// # Errors
    /// A broken connection, mostly.
    pub async fn make_durable(&mut self) -> Result<(), ApplyError> {
        if !self.usable {
            return Err(ApplyError::Unusable);
        }
        if self.dirty && !self.open {
            self.usable = false;
            self.flush().await?;
            self.usable = true;
        }
        Ok(())
    }

    /// Ends the sessions politely; an unfinished transaction is rolled back. Says of each table how many changes found no row.
    pub async fn close(self) {
        for lane in self.lanes {
            lane.close().await;
        }
        for missing in self.missing.into_values() {
            let message = format!(
                "{} updates and {} deletes found no row on the target in all",
                missing.updates, missing.deletes
            );
            self.setup.reporter.emit(Event::Warning { object: missing.relation, message });
        }
    }

    /// The lane that does what is not spread.
    fn lane(&mut self) -> Result<&mut Lane, ApplyError> {
        self.lanes.first_mut().ok_or(ApplyError::Unusable)
    }

    async fn flush(&mut self) -> Result<(), ApplyError> {
        let name = self.setup.name.clone();
        session::flush(self.lane()?.wire(), &name).await?;
        self.dirty = false;
        Ok(())
    }

    /// Applies a batch, in parts where the target does not take it as it is: what it refuses is halved until it is small, and only that
    /// is applied change by change. Each part that it takes doubles what is tried at once.
    async fn run_all(
        &mut self,
        batch: Batch,
        durable: bool,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        let mut left = vec![batch];
        while let Some(mut part) = left.pop() {
            let last = left.is_empty();
            if part.rows() > self.bite.max(SMALL) && !self.open && self.is_level() {
                match part.halves() {
                    Ok((first, second)) => {
                        left.extend([second, first]);
                        continue;
                    }
                    Err(one) => part = *one,
                }
            }
            match self.run(&part, durable && last, applied).await? {
                Taken::Whole => self.bite = self.bite.saturating_mul(2),
                Taken::WithCare => {}
                Taken::Not => {
                    self.bite = part.rows() / 2;
                    left.push(part);
                }
            }
        }
        Ok(())
    }

    async fn run(
        &mut self,
        batch: &Batch,
        durable: bool,
        applied: &mut Applied,
    ) -> Result<Taken, ApplyError> {
        self.map(batch).await?;
        let fresh = !self.open;
        if fresh && !self.is_level() {
            let behind = self.behind(batch)?;
            if behind.len() < self.lanes.len() {
                self.catch_up(batch, &behind, durable, applied).await?;
                self.dirty = !durable;
                return Ok(Taken::WithCare);
            }
        }
        if fresh
            && let Some(ends) = batch.ends
            && !self.needs_care(batch)?
        {
            let failure = match self.parts(batch) {
                Some(parts) => self.spread(batch, &parts, ends, durable).await?,
                None => self.send_whole(batch, ends, durable).await?,
            };
            match failure {
                None => {
                    self.dirty = !durable;
                    return Ok(Taken::Whole);
                }
                Some(failure) => {
                    self.roll_back().await?;
                    if batch.rows() > SMALL && batch.seams.len() > 1 && self.is_level() {
                        tracing::debug!(error = %failure.error, rows = batch.rows(), "the batch is halved");
                        return Ok(Taken::Not);
                    }
                    tracing::debug!(error = %failure.error, "the batch is applied again with care");
                }
            }
        }
        if fresh && batch.ends.is_none() && self.dirty {
            // The transaction may stay open for long; what was committed before it must not wait for that.
            self.flush().await?;
        }
        let all: Vec<usize> = (0..self.setup.lanes.len()).collect();
        let mut tries = 1;
        loop {
            let serial = applied.serial;
            match self.apply_with_care(batch, 0, &all, durable, applied).await {
                Err(error) if fresh && tries < TRIES && is_in_the_way(&error) => {
                    tracing::debug!(%error, tries, "the batch is tried again");
                    self.roll_back().await?;
                    applied.serial = serial;
                    tokio::time::sleep(PAUSE * 2u32.pow(tries)).await;
                    tries += 1;
                }
                other => return other.map(|()| Taken::WithCare),
            }
        }
    }

    async fn roll_back(&mut self) -> Result<(), ApplyError> {
        self.open = false;
        Ok(self.lane()?.roll_back().await?)
    }

    /// Makes sure that every relation of the batch is mapped to a table that fits.
    async fn map(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        self.targets.forget_old();
        let mut wanted: Vec<(Arc<Relation>, Lsn)> = Vec::new();
        for segment in &batch.segments {
            let mut want = |relation: &Arc<Relation>, lsn| {
                let new = !wanted.iter().any(|(w, _)| Arc::ptr_eq(w, relation));
                if new && self.targets.get(relation).is_none() {
                    wanted.push((Arc::clone(relation), lsn));
                }
            };
            match segment {
                Segment::Rows { changes, net } => {
                    for part in net {
                        // The first change of it, for the message; seldom more than a look.
                        let first = changes.iter().find(|c| Arc::ptr_eq(&c.relation, &part.relation));
                        want(&part.relation, first.map_or(Lsn::ZERO, |c| c.lsn));
                    }
                }
                Segment::Truncate { relations, .. } => {
                    let lsn = batch.ends.map_or(Lsn::ZERO, |ends| ends.commit_lsn);
                    relations.iter().for_each(|relation| want(relation, lsn));
                }
            }
        }
        for (relation, lsn) in wanted {
            let id = self.mappings;
            let binary = self.setup.binary;
            let lane = self.lane()?;
            let enforced = lane.enforced;
            let wire = lane.wire();
            let mut target = match target_relation::map(wire, id, &relation, enforced, binary).await {
                Ok(target) => target,
                Err(Unfit::Sql(error)) => return Err((*error).into()),
                Err(Unfit::Binary(column)) => {
                    return Err(ApplyError::Binary { relation: relation.identity_name(), column, lsn });
                }
                Err(Unfit::Problems(problems)) => {
                    return Err(ApplyError::Mismatch { relation: relation.identity_name(), problems, lsn });
                }
            };
            self.mappings += 1;
            if self.lanes.len() > 1 {
                target.apart = route::goes_apart(self.lane()?.wire(), &target).await?;
            }
            self.warn_of(&target);
            self.targets.add(target);
        }
        let lane = self.lanes.first_mut().ok_or(ApplyError::Unusable)?;
        self.targets.entangled = tree::is_entangled(lane.wire(), batch, &self.targets).await?;
        Ok(())
    }

    fn warn_of(&self, target: &TargetRelation) {
        let warn = |message: String| {
            self.setup.reporter.emit(Event::Warning { object: target.relation.identity_name(), message });
        };
        if !target.unsent.is_empty() {
            warn(format!(
                "the source does not send column {} of the target: it keeps its default, or what it has",
                target.unsent.join(", ")
            ));
        }
        if target.relation.identity != ReplicaIdentity::Full && !target.key.is_empty() && !target.unique {
            warn("the target has no unique index on its replica identity: updates and deletes are applied one by one, each by \
                  reading the table"
                .to_owned());
        }
    }

    fn needs_care(&mut self, batch: &Batch) -> Result<bool, ApplyError> {
        let Some(lane) = self.lanes.first() else { return Err(ApplyError::Unusable) };
        Ok(batch.segments.iter().any(|segment| match segment {
            Segment::Rows { changes, net } => segment::only_serial(lane, &self.targets, changes, net),
            Segment::Truncate { .. } => false,
        }))
    }

    /// Sends everything of a batch that is a transaction of its own, and then reads the answers.
    async fn send_whole(
        &mut self,
        batch: &Batch,
        ends: Commit,
        durable: bool,
    ) -> Result<Option<Failure>, ApplyError> {
        let Some(lane) = self.lanes.first_mut() else { return Err(ApplyError::Unusable) };
        lane.control("BEGIN", "BEGIN", "beginning a transaction");
        let mut good = true;
        for segment in &batch.segments {
            good = match segment {
                Segment::Rows { changes, net } => {
                    segment::send_net(lane, &self.targets, changes, net).await?
                }
                Segment::Truncate { relations, restart_identity } => {
                    let targets = serial::truncated(&self.targets, relations)?;
                    if !targets.is_empty() {
                        let sql = statement::truncate(&targets, *restart_identity);
                        lane.control(&sql, "TRUNCATE TABLE", "truncating tables");
                    }
                    lane.pass_on().await?
                }
            };
            if !good {
                break;
            }
        }
        let all: Vec<usize> = (0..self.setup.lanes.len()).collect();
        if good {
            send_end(lane, lanes_applied(&self.setup, &all, ends), durable);
        }
        let failure = lane.settle().await?.err();
        if failure.is_none() {
            self.advance(ends, all);
        }
        Ok(failure)
    }

    /// Applies a batch segment by segment, each behind a savepoint, on this lane; these then have it.
    pub(super) async fn apply_with_care(
        &mut self,
        batch: &Batch,
        lane: usize,
        having: &[usize],
        durable: bool,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        let Some(lane) = self.lanes.get_mut(lane) else { return Err(ApplyError::Unusable) };
        if !self.open {
            lane.control("BEGIN", "BEGIN", "beginning a transaction");
            self.open = true;
        }
        let lsn = batch.ends.map_or(Lsn::ZERO, |ends| ends.commit_lsn);
        for segment in &batch.segments {
            lane.control("SAVEPOINT s", "SAVEPOINT", "making a savepoint");
            match segment {
                Segment::Rows { changes, net } => {
                    let mut serial = segment::only_serial(lane, &self.targets, changes, net);
                    if !serial {
                        segment::send_net(lane, &self.targets, changes, net).await?;
                        if let Err(failure) = lane.settle().await? {
                            tracing::debug!(error = %failure.error, "a segment is applied change by change");
                            serial = true;
                        }
                    }
                    if serial {
                        applied.serial += 1;
                        serial::replay(lane, &self.targets, changes).await?;
                    }
                }
                Segment::Truncate { relations, restart_identity } => {
                    serial::truncate(lane, &self.targets, relations, *restart_identity, lsn).await?;
                }
            }
            lane.control("RELEASE SAVEPOINT s", "RELEASE", "releasing a savepoint");
        }
        if let Some(ends) = batch.ends {
            send_end(lane, lanes_applied(&self.setup, having, ends), durable);
        }
        if let Err(failure) = lane.settle().await? {
            return Err(ApplyError::Commit { lsn, source: Box::new(failure.error) });
        }
        if let Some(ends) = batch.ends {
            self.open = false;
            self.dirty = !durable;
            self.advance(ends, having.iter().copied());
        }
        Ok(())
    }
}

/// What the source did, by kind.
fn count(batch: &Batch, applied: &mut Applied) {
    for segment in &batch.segments {
        match segment {
            Segment::Truncate { relations, .. } => applied.truncates += relations.len() as u64,
            Segment::Rows { changes, .. } => {
                for change in changes {
                    *match change.kind {
                        ChangeKind::Insert { .. } => &mut applied.inserts,
                        ChangeKind::Update { .. } => &mut applied.updates,
                        ChangeKind::Delete { .. } => &mut applied.deletes,
                    } += 1;
                }
            }
        }
    }
}

/// The statements by which the journal knows that these lanes have what ends here.
fn lanes_applied<'a>(
    setup: &'a ApplySetup,
    having: &'a [usize],
    ends: Commit,
) -> impl Iterator<Item = String> + 'a {
    having.iter().map(move |lane| journal::lane_applied(&setup.name, *lane, spread::progress(ends), None))
}

/// The end of a transaction: what the journal says of the lanes that have the changes then; COMMIT.
pub(super) fn send_end(lane: &mut Lane, applied: impl IntoIterator<Item = String>, durable: bool) {
    if durable {
        lane.control("SET LOCAL synchronous_commit = on", "SET", "making settings");
    }
    for sql in applied {
        lane.control(&sql, "UPDATE 1", "recording what was applied");
    }
    lane.control("COMMIT", "COMMIT", "committing");
}
