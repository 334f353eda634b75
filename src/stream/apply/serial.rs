//! Change by change, in the source's order: what is always right, and what a segment falls back to. And TRUNCATE.
//!
//! Invariant: an error names the change that failed, its row and its LSN; what another session on the target was in the way of is tried
//! again first.

use std::sync::Arc;
use std::time::Duration;

use super::error::in_the_way;
use super::lane::{About, Lane};
use super::segment::{self, Targets};
use super::target_relation::TargetRelation;
use super::{ApplyError, order, shown, statement};
use crate::lsn::Lsn;
use crate::stream::change::Change;
use crate::stream::relation::Relation;

/// How often something is tried again that another session on the target was in the way of.
pub(super) const TRIES: u32 = 6;
/// The first pause between two tries; each is twice as long as the one before.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Whether another session was in the way, so that it may succeed the next time.
pub(super) fn is_in_the_way(error: &ApplyError) -> bool {
    match error {
        ApplyError::Sql(e) => in_the_way(e),
        ApplyError::Change { source, .. } | ApplyError::Commit { source, .. } => in_the_way(source),
        _ => false,
    }
}

/// The target's tables of a TRUNCATE.
pub(super) fn truncated<'a>(
    targets: &'a Targets,
    relations: &[Arc<Relation>],
) -> Result<Vec<&'a TargetRelation>, ApplyError> {
    relations.iter().map(|relation| targets.of(relation).map(Arc::as_ref)).collect()
}

/// TRUNCATE, or DELETE where a foreign key of a table that was not truncated on the source forbids it.
pub(super) async fn truncate(
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
        let ranks = order::ranks(targets.iter().map(|t| (t.oid, t.parents.as_slice())));
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
pub(super) async fn replay(lane: &mut Lane, targets: &Targets, changes: &[Change]) -> Result<(), ApplyError> {
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
                    key: change.map(|c| shown::key_of(&target, c)).unwrap_or_default(),
                    lsn: change.map_or(Lsn::ZERO, |c| c.lsn),
                    source: Box::new(failure.error),
                }
            }
            About::Control(_) | About::Rows(..) => ApplyError::Sql(failure.error),
        });
    }
}
