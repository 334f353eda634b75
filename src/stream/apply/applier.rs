//! The applier: a batch becomes one transaction of the target, or a piece of one.
//!
//! A batch that is a transaction of its own is sent whole, COMMIT included, and only then are the answers read: one round trip. Where
//! anything in it fails, the server has rolled all of it back, and the batch is done again with care: a savepoint before
//! each segment, and a segment that fails is replayed change by change, in the source's order, which is always right.
//! Invariant: the lane's LSN is in the same transaction as the changes it speaks of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::error::in_the_way;
use super::lane::{About, Failure, Kind, Lane};
use super::segment::{self, Targets};
use super::target_relation::{self, TargetRelation, Unfit};
use super::{Applied, ApplyError, ApplySetup, Missing, session, statement};
use crate::journal;
use crate::lsn::Lsn;
use crate::pg::Server;
use crate::progress::Event;
use crate::stream::batch::{Batch, Commit, Segment};
use crate::stream::change::{Change, ChangeKind};
use crate::stream::relation::{Relation, ReplicaIdentity};

/// How often something is tried again that another session on the target was in the way of.
const TRIES: u32 = 6;
/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(50);

/// The sessions that apply, and what they know of the target's tables.
#[derive(Debug)]
pub struct Applier {
    setup: ApplySetup,
    lanes: Vec<Lane>,
    targets: Targets,
    mappings: u32,
    /// The target's transaction is open: it holds pieces of a large source transaction.
    open: bool,
    /// Something is committed that may not be flushed.
    dirty: bool,
    usable: bool,
    missing: BTreeMap<String, Missing>,
    warned: HashSet<(String, Kind)>,
}

impl Applier {
    /// Connects, ends an earlier session of this migration that still lives, and makes durable what it left unflushed: what the journal
    /// says is true when this returns.
    ///
    /// # Errors
    /// The target cannot be reached, or the journal's rows are not those of the setup ([`ApplyError::Moved`]: read them again).
    pub async fn open(target: &Server, setup: ApplySetup) -> Result<Applier, ApplyError> {
        let mut lane = Lane::open(target, &setup.encoding).await?;
        session::flush(lane.wire(), &setup.name).await?;
        if session::progress(lane.wire(), &setup.name).await? != setup.lanes {
            lane.close().await;
            return Err(ApplyError::Moved);
        }
        if lane.enforced {
            let message = "the role may not set session_replication_role on the target: triggers are disabled until cutover, and \
                           foreign keys are checked for every change, which is slower";
            setup.reporter.emit(Event::Warning { object: "target".to_owned(), message: message.to_owned() });
        }
        Ok(Applier {
            setup,
            // As many as there are connections; rows are routed among them by `route`.
            lanes: vec![lane],
            targets: Targets::default(),
            mappings: 0,
            open: false,
            dirty: false,
            usable: true,
            missing: BTreeMap::new(),
            warned: HashSet::new(),
        })
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
        match self.run(&batch, durable, &mut applied).await {
            Ok(()) => {
                applied.missing = self.note_missing();
                self.usable = true;
                Ok(applied)
            }
            Err(error) => {
                // The server does so itself when the session ends; this way its locks go now.
                let lane = self.lane()?;
                if lane.is_settled() {
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

    /// The lane that changes go to: the first, until rows are routed among several.
    fn lane(&mut self) -> Result<&mut Lane, ApplyError> {
        self.lanes.first_mut().ok_or(ApplyError::Unusable)
    }

    async fn flush(&mut self) -> Result<(), ApplyError> {
        let name = self.setup.name.clone();
        session::flush(self.lane()?.wire(), &name).await?;
        self.dirty = false;
        Ok(())
    }

    async fn run(&mut self, batch: &Batch, durable: bool, applied: &mut Applied) -> Result<(), ApplyError> {
        self.map(batch).await?;
        let fresh = !self.open;
        if fresh
            && let Some(ends) = batch.ends
            && !self.needs_care(batch)?
        {
            match self.send_whole(batch, ends, durable).await? {
                None => {
                    self.dirty = !durable;
                    return Ok(());
                }
                Some(failure) => {
                    tracing::debug!(error = %failure.error, "the batch is applied again with care");
                    self.roll_back().await?;
                }
            }
        }
        if fresh && batch.ends.is_none() && self.dirty {
            // The transaction may stay open for long; what was committed before it must not wait for that.
            self.flush().await?;
        }
        let mut tries = 1;
        loop {
            let serial = applied.serial;
            match self.apply_with_care(batch, durable, applied).await {
                Err(error) if fresh && tries < TRIES && is_in_the_way(&error) => {
                    tracing::debug!(%error, tries, "the batch is tried again");
                    self.roll_back().await?;
                    applied.serial = serial;
                    tokio::time::sleep(PAUSE * 2u32.pow(tries)).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn roll_back(&mut self) -> Result<(), ApplyError> {
        self.open = false;
        let lane = self.lane()?;
        lane.take_missing();
        if lane.wire().status() != b'I' {
            lane.wire().simple("rolling back", "ROLLBACK; DEALLOCATE ALL").await?;
        }
        Ok(())
    }

    /// Makes sure that every relation of the batch is mapped to a table that fits.
    async fn map(&mut self, batch: &Batch) -> Result<(), ApplyError> {
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
            let lane = self.lane()?;
            let enforced = lane.enforced;
            let target = match target_relation::map(lane.wire(), id, &relation, enforced).await {
                Ok(target) => target,
                Err(Unfit::Sql(error)) => return Err((*error).into()),
                Err(Unfit::Problems(problems)) => {
                    return Err(ApplyError::Mismatch { relation: relation.identity_name(), problems, lsn });
                }
            };
            self.mappings += 1;
            self.warn_of(&target);
            self.targets.add(target);
        }
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
            Segment::Rows { net, .. } => segment::only_serial(lane, &self.targets, net),
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
                    let targets = truncated(&self.targets, relations)?;
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
        if good {
            send_end(lane, &self.setup, ends, durable);
        }
        Ok(lane.settle().await?.err())
    }

    /// Applies a batch segment by segment, each behind a savepoint.
    async fn apply_with_care(
        &mut self,
        batch: &Batch,
        durable: bool,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        let Some(lane) = self.lanes.first_mut() else { return Err(ApplyError::Unusable) };
        if !self.open {
            lane.control("BEGIN", "BEGIN", "beginning a transaction");
            self.open = true;
        }
        let lsn = batch.ends.map_or(Lsn::ZERO, |ends| ends.commit_lsn);
        for segment in &batch.segments {
            lane.control("SAVEPOINT s", "SAVEPOINT", "making a savepoint");
            match segment {
                Segment::Rows { changes, net } => {
                    let mut serial = segment::only_serial(lane, &self.targets, net);
                    if !serial {
                        segment::send_net(lane, &self.targets, changes, net).await?;
                        if let Err(failure) = lane.settle().await? {
                            tracing::debug!(error = %failure.error, "a segment is applied change by change");
                            serial = true;
                        }
                    }
                    if serial {
                        applied.serial += 1;
                        replay(lane, &self.targets, changes).await?;
                    }
                }
                Segment::Truncate { relations, restart_identity } => {
                    truncate(lane, &self.targets, relations, *restart_identity, lsn).await?;
                }
            }
            lane.control("RELEASE SAVEPOINT s", "RELEASE", "releasing a savepoint");
        }
        if let Some(ends) = batch.ends {
            send_end(lane, &self.setup, ends, durable);
        }
        if let Err(failure) = lane.settle().await? {
            return Err(ApplyError::Commit { lsn, source: Box::new(failure.error) });
        }
        if batch.ends.is_some() {
            self.open = false;
            self.dirty = !durable;
        }
        Ok(())
    }

    /// Counts the changes that found no row; the first of a table and kind is told.
    fn note_missing(&mut self) -> Vec<Missing> {
        let mut found: BTreeMap<String, Missing> = BTreeMap::new();
        for lane in &mut self.lanes {
            for (target, kind, rows) in lane.take_missing() {
                if lane.enforced && kind == Kind::Delete && !target.parents.is_empty() {
                    continue; // gone with the row it referred to, by ON DELETE CASCADE
                }
                let relation = target.relation.identity_name();
                let new = Missing { relation: relation.clone(), updates: 0, deletes: 0 };
                let missing = found.entry(relation).or_insert(new);
                match kind {
                    Kind::Update => missing.updates += rows,
                    _ => missing.deletes += rows,
                }
            }
        }
        for missing in found.values() {
            let new = Missing { relation: missing.relation.clone(), updates: 0, deletes: 0 };
            let all = self.missing.entry(missing.relation.clone()).or_insert(new);
            all.updates += missing.updates;
            all.deletes += missing.deletes;
            for (kind, rows) in [(Kind::Update, missing.updates), (Kind::Delete, missing.deletes)] {
                if rows > 0 && self.warned.insert((missing.relation.clone(), kind)) {
                    let message = format!(
                        "{rows} rows that the source {} are not on the target; more of them are counted, and told at the end",
                        if kind == Kind::Update { "updated" } else { "deleted" }
                    );
                    self.setup.reporter.emit(Event::Warning { object: missing.relation.clone(), message });
                }
            }
        }
        found.into_values().collect()
    }
}

fn is_in_the_way(error: &ApplyError) -> bool {
    match error {
        ApplyError::Sql(e) => in_the_way(e),
        ApplyError::Change { source, .. } | ApplyError::Commit { source, .. } => in_the_way(source),
        _ => false,
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

/// The end of a transaction: the journal's LSN of every lane, as long as one does the work of all; then COMMIT.
fn send_end(lane: &mut Lane, setup: &ApplySetup, ends: Commit, durable: bool) {
    if durable {
        lane.control("SET LOCAL synchronous_commit = on", "SET", "making settings");
    }
    let progress = journal::Progress { commit_lsn: ends.commit_lsn, end_lsn: ends.end_lsn };
    for number in 0..setup.lanes.len() {
        let sql = journal::lane_applied(&setup.name, number, progress);
        lane.control(&sql, "UPDATE 1", "recording what was applied");
    }
    lane.control("COMMIT", "COMMIT", "committing");
}

fn truncated<'a>(
    targets: &'a Targets,
    relations: &[Arc<Relation>],
) -> Result<Vec<&'a TargetRelation>, ApplyError> {
    relations.iter().map(|relation| targets.of(relation).map(Arc::as_ref)).collect()
}

/// TRUNCATE, or DELETE where a foreign key of a table that was not truncated on the source forbids it.
async fn truncate(
    lane: &mut Lane,
    targets: &Targets,
    relations: &[Arc<Relation>],
    restart_identity: bool,
    lsn: Lsn,
) -> Result<(), ApplyError> {
    let mut targets = truncated(targets, relations)?;
    if targets.is_empty() {
        return Ok(());
    }
    lane.control(&statement::truncate(&targets, restart_identity), "TRUNCATE TABLE", "truncating tables");
    let Err(mut failure) = lane.settle().await? else { return Ok(()) };
    if matches!(failure.error.sqlstate.as_deref(), Some("0A000" | "55006")) {
        let ranks = super::order::ranks(targets.iter().map(|t| (t.oid, t.parents.as_slice())));
        targets.sort_by_key(|t| std::cmp::Reverse(ranks.get(&t.oid).copied()));
        for target in &targets {
            lane.statement(&statement::delete_all(target), "emptying a table");
        }
        match lane.settle().await? {
            Ok(()) => return Ok(()),
            Err(other) => failure = other,
        }
    }
    let names: Vec<_> = targets.iter().map(|t| t.relation.identity_name()).collect();
    Err(ApplyError::Change {
        kind: "TRUNCATE",
        relation: names.join(", "),
        key: String::new(),
        lsn,
        source: Box::new(failure.error),
    })
}

/// Applies a segment's changes one by one, in the source's order.
async fn replay(lane: &mut Lane, targets: &Targets, changes: &[Change]) -> Result<(), ApplyError> {
    let mut tries = 1;
    loop {
        if lane.enforced {
            lane.control("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS", "deferring constraints");
        }
        segment::send_changes(lane, targets, changes, 0..changes.len()).await?;
        let Err(failure) = lane.settle().await? else { return Ok(()) };
        if in_the_way(&failure.error) && tries < TRIES {
            tokio::time::sleep(PAUSE * 2u32.pow(tries)).await;
            tries += 1;
            continue;
        }
        return Err(match failure.about {
            About::Change(number, kind, target) => {
                let change = changes.get(number);
                ApplyError::Change {
                    kind: kind.name(),
                    relation: target.relation.identity_name(),
                    key: change.map(|c| segment::key_of(&target, c)).unwrap_or_default(),
                    lsn: change.map_or(Lsn::ZERO, |c| c.lsn),
                    source: Box::new(failure.error),
                }
            }
            About::Control(_) | About::Rows(..) => ApplyError::Sql(failure.error),
        });
    }
}
