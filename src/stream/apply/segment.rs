//! A segment's net effect as set-based statements; and its changes one by one, in the source's order.
//!
//! Invariants: within a relation deletes come before updates and updates before inserts, so that a value that moves from row
//! to row is free when it arrives; what is sent alone is sent in the order in which the source made it.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::ApplyError;
use super::lane::{Group, Join, Kind, Lane, Shape};
use super::order;
use super::statement::{self, Value};
use super::target_relation::TargetRelation;
use crate::lsn::Lsn;
use crate::stream::batch::{Net, RelationNet, Update};
use crate::stream::change::{Change, ChangeKind};
use crate::stream::relation::Relation;
use crate::stream::tuple::{Datum, Tuple};

/// Versions of a relation that are kept from batch to batch.
const KEPT: usize = 2;
/// Rows of one set-based statement, at most.
const ROWS: usize = 2000;
/// Bytes of rows of one set-based statement, beyond which no further row is added.
const BYTES: usize = 4 << 20;
/// Changes sent alone and answered together.
const GROUP: usize = 200;
/// Bytes of a group, beyond which no further change is added.
const GROUP_BYTES: usize = 1 << 20;

/// The target's tables, by the version of the source's relation.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: FxHashMap<u32, Vec<Arc<TargetRelation>>>,
    /// There are more versions of some relation than are kept.
    crowded: bool,
    /// Among the tables of the batch at hand are some that hold each other's rows ([`super::tree`]): they are not independent.
    pub entangled: bool,
}

impl Targets {
    /// The mapping of this version of a relation.
    pub fn get(&self, relation: &Arc<Relation>) -> Option<&Arc<TargetRelation>> {
        let versions = self.known.get(&relation.oid)?;
        versions.iter().rev().find(|t| Arc::ptr_eq(&t.relation, relation) || *t.relation == **relation)
    }

    /// Adds a mapping.
    pub fn add(&mut self, target: TargetRelation) {
        let versions = self.known.entry(target.relation.oid).or_default();
        versions.push(Arc::new(target));
        self.crowded |= versions.len() > KEPT;
    }

    /// Between batches: of each relation only the last versions are kept. A batch may need any number of them.
    pub fn forget_old(&mut self) {
        if std::mem::take(&mut self.crowded) {
            for versions in self.known.values_mut() {
                versions.drain(..versions.len().saturating_sub(KEPT));
            }
        }
    }

    /// The mapping that [`super::applier::Applier`] made before the batch.
    pub fn of(&self, relation: &Arc<Relation>) -> Result<&Arc<TargetRelation>, ApplyError> {
        self.get(relation).ok_or_else(|| malformed(relation, Lsn::ZERO, "its columns were not announced"))
    }
}

fn malformed(relation: &Relation, lsn: Lsn, problem: &str) -> ApplyError {
    ApplyError::Malformed { relation: relation.identity_name(), lsn, problem: problem.to_owned() }
}

/// A row's values, checked against its relation.
fn values<'a>(relation: &Relation, tuple: &'a Tuple, lsn: Lsn) -> Result<Vec<Datum<'a>>, ApplyError> {
    let values: Vec<Datum<'_>> = tuple.iter().collect();
    if values.len() != relation.columns.len() {
        return Err(malformed(relation, lsn, "a row has another number of columns than its table"));
    }
    Ok(values)
}

/// Sends the net effect of a segment. `false`: something failed already, and the rest was not sent.
pub(super) async fn send_net(
    lane: &mut Lane,
    targets: &Targets,
    changes: &[Change],
    net: &[RelationNet],
) -> Result<bool, ApplyError> {
    let mut parts = Vec::with_capacity(net.len());
    for part in net {
        parts.push((targets.of(&part.relation)?, &part.net));
    }
    if lane.enforced && parts.len() > 1 {
        // Foreign keys are at work: children's rows go first and come last.
        let ranks = order::ranks(parts.iter().map(|(target, _)| (target.oid, target.parents.as_slice())));
        parts.sort_by_key(|(target, _)| ranks.get(&target.oid).copied().unwrap_or(0));
        for (target, net) in parts.iter().rev() {
            if !send_rows(lane, target, net, Part::Deletes).await? {
                return Ok(false);
            }
        }
        for part in [Part::Updates, Part::Inserts] {
            for (target, net) in &parts {
                if !send_rows(lane, target, net, part).await? {
                    return Ok(false);
                }
            }
        }
    } else {
        for (target, net) in &parts {
            for part in [Part::Deletes, Part::Updates, Part::Inserts] {
                if !send_rows(lane, target, net, part).await? {
                    return Ok(false);
                }
            }
        }
    }
    for (target, net) in &parts {
        let sent = match net {
            Net::Serial(numbers) => {
                // Not lent across the wait: the compiler would lose sight that the future may change threads.
                let numbers: Vec<usize> = numbers.iter().map(|n| *n as usize).collect();
                send_changes(lane, targets, changes, numbers.into_iter()).await?
            }
            // Without an index that names one row, only one by one.
            Net::Rows { deletes, updates, .. } if !target.by_sets() => {
                let alone = !deletes.is_empty() || !updates.is_empty();
                let numbers = (0..changes.len()).filter(|i| alone && changes[*i].relation == target.relation);
                send_changes(lane, targets, changes, numbers).await?
            }
            Net::Rows { .. } => true,
        };
        if !sent {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a segment has to be applied change by change from the start.
pub(super) fn only_serial(lane: &Lane, targets: &Targets, changes: &[Change], net: &[RelationNet]) -> bool {
    if targets.entangled && net.len() > 1 {
        return true;
    }
    // What only the target has of a row stays when its key changes, whose net effect is a delete and an insert.
    let keeps = |change: &Change| {
        matches!(change.kind, ChangeKind::Update { old: Some(_), .. })
            && targets.get(&change.relation).is_some_and(|target| !target.unsent.is_empty())
    };
    if net.iter().any(|part| targets.get(&part.relation).is_some_and(|target| !target.unsent.is_empty()))
        && changes.iter().any(keeps)
    {
        return true;
    }
    // With foreign keys at work, relations depend on each other, so changes sent alone must be in order among all. And a key
    // change, whose net effect is a delete and an insert, must not take other rows with it.
    lane.enforced
        && net.iter().any(|part| {
            let target = targets.get(&part.relation);
            match &part.net {
                Net::Serial(_) => net.len() > 1,
                Net::Rows { deletes, .. } => {
                    target.is_some_and(|t| t.cascades && !deletes.is_empty() || net.len() > 1 && !t.by_sets())
                }
            }
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Deletes,
    Updates,
    Inserts,
}

async fn send_rows(
    lane: &mut Lane,
    target: &Arc<TargetRelation>,
    net: &Net,
    part: Part,
) -> Result<bool, ApplyError> {
    let Net::Rows { deletes, updates, inserts } = net else { return Ok(true) };
    if !target.by_sets() && (!deletes.is_empty() || !updates.is_empty()) {
        return Ok(true); // sent one by one
    }
    match part {
        Part::Deletes => send_deletes(lane, target, deletes).await,
        Part::Updates => send_updates(lane, target, updates).await,
        Part::Inserts if inserts.is_empty() => Ok(true),
        Part::Inserts => lane.copy(target, &statement::copy(target), inserts).await,
    }
}

async fn send_deletes(
    lane: &mut Lane,
    target: &Arc<TargetRelation>,
    deletes: &[Tuple],
) -> Result<bool, ApplyError> {
    let shape = Shape {
        relation: target.id,
        kind: Kind::Delete,
        single: false,
        by_old: true,
        set: Vec::new(),
        null: Vec::new(),
        join: if statement::has_list(target) { Join::None } else { Join::Loops },
    };
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (n, tuple) in deletes.iter().enumerate() {
        rows.push(tuple);
        bytes += tuple.len();
        if rows.len() >= ROWS || bytes >= BYTES || n + 1 == deletes.len() {
            lane.many(target, &shape, || statement::delete_many(target), &rows)?;
            rows.clear();
            bytes = 0;
            if !lane.pass_on().await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The columns that an update sets: those that came with a value, the identity left out where the row keeps it.
fn settable(target: &TargetRelation, new: &[Datum<'_>], with_key: bool) -> Vec<bool> {
    let set = |(i, value): (usize, &Datum<'_>)| {
        target.columns[i].is_some()
            && !matches!(value, Datum::Unchanged)
            && (with_key || !target.key.contains(&i))
    };
    new.iter().enumerate().map(set).collect()
}

fn numbers(set: &[bool]) -> Vec<usize> {
    set.iter().enumerate().filter_map(|(i, set)| set.then_some(i)).collect()
}

async fn send_updates(
    lane: &mut Lane,
    target: &Arc<TargetRelation>,
    updates: &[Update],
) -> Result<bool, ApplyError> {
    #[derive(Default)]
    struct Waiting<'a> {
        rows: Vec<&'a Tuple>,
        bytes: usize,
    }
    // Rows that set the same columns go together: nearly always all that are not the identity's.
    let all: Vec<Datum<'_>> = target.columns.iter().map(|_| Datum::Null).collect();
    let all = settable(target, &all, false);
    let mut shapes = vec![(all, Waiting::default())];
    let mut numbers: HashMap<Vec<bool>, usize> = HashMap::new();
    for Update { new } in updates {
        let number = if new.has_unchanged() {
            let set = settable(target, &values(&target.relation, new, Lsn::ZERO)?, false);
            *numbers.entry(set).or_insert_with_key(|set| {
                shapes.push((set.clone(), Waiting::default()));
                shapes.len() - 1
            })
        } else {
            0
        };
        let Some((set, waiting)) = shapes.get_mut(number).filter(|(set, _)| set.contains(&true)) else {
            continue; // nothing of it is ours to change
        };
        waiting.rows.push(new);
        waiting.bytes += new.len();
        if waiting.rows.len() >= ROWS || waiting.bytes >= BYTES {
            send_update(lane, target, set, &waiting.rows)?;
            waiting.rows.clear();
            waiting.bytes = 0;
            if !lane.pass_on().await? {
                return Ok(false);
            }
        }
    }
    for (set, waiting) in shapes.iter().filter(|(_, waiting)| !waiting.rows.is_empty()) {
        send_update(lane, target, set, &waiting.rows)?;
        if !lane.pass_on().await? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn send_update(
    lane: &mut Lane,
    target: &Arc<TargetRelation>,
    set: &[bool],
    rows: &[&Tuple],
) -> Result<(), ApplyError> {
    let columns = numbers(set);
    let hashed = lane.hashes(rows.len()) && statement::has_list(target);
    let shape = Shape {
        relation: target.id,
        kind: Kind::Update,
        single: false,
        by_old: false,
        set: set.to_vec(),
        null: Vec::new(),
        join: if hashed { Join::Hash } else { Join::Loops },
    };
    lane.many(target, &shape, || statement::update_many(target, &columns, hashed), rows)
}

/// Sends these changes one by one. `false`: something failed already, and the rest was not sent.
pub(super) async fn send_changes(
    lane: &mut Lane,
    targets: &Targets,
    changes: &[Change],
    which: impl Iterator<Item = usize>,
) -> Result<bool, ApplyError> {
    let mut which = which.peekable();
    while which.peek().is_some() {
        let mut group = lane.group();
        while group.len() < GROUP
            && group.pending() < GROUP_BYTES
            && let Some(number) = which.next()
        {
            let Some(change) = changes.get(number) else { continue };
            let target = targets.of(&change.relation)?;
            add_change(&mut group, target, number, change)?;
        }
        group.end();
        if !lane.pass_on().await? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn add_change(
    group: &mut Group<'_>,
    target: &Arc<TargetRelation>,
    number: usize,
    change: &Change,
) -> Result<(), ApplyError> {
    let relation = &change.relation;
    let row = |tuple| values(relation, tuple, change.lsn);
    // The identity's NULLs are part of the statement; a unique identity has none.
    let nulls = |row: &[Datum<'_>]| -> Vec<bool> {
        if target.unique {
            return Vec::new();
        }
        row.iter().map(|v| matches!(v, Datum::Null)).collect()
    };
    let shape = |kind, by_old, set: Vec<bool>, null: Vec<bool>| Shape {
        relation: target.id,
        kind,
        single: true,
        by_old,
        set,
        null,
        join: Join::None,
    };
    match &change.kind {
        ChangeKind::Insert { new } => {
            let new = row(new)?;
            if new.iter().any(|v| matches!(v, Datum::Unchanged)) {
                return Err(malformed(relation, change.lsn, "a new row lacks a value"));
            }
            let shape = shape(Kind::Insert, false, Vec::new(), Vec::new());
            group.add(number, target, &shape, || statement::insert_one(target), &[], &new)
        }
        ChangeKind::Update { old, new } => {
            let new = row(new)?;
            let old = old.as_ref().map(row).transpose()?;
            let identity = old.as_ref().unwrap_or(&new);
            if target.key.iter().any(|i| matches!(identity[*i], Datum::Unchanged)) {
                return Err(malformed(relation, change.lsn, "the identity of an updated row is not known"));
            }
            if target.key.is_empty() && !target.columns.is_empty() {
                return Err(malformed(relation, change.lsn, "an updated row has no identity"));
            }
            let set = settable(target, &new, old.is_some());
            if !set.contains(&true) {
                return Ok(());
            }
            let columns = numbers(&set);
            let null = nulls(identity);
            let value: fn(usize) -> Value = if old.is_some() { Value::Old } else { Value::New };
            let shape = shape(Kind::Update, old.is_some(), set, null.clone());
            let render = || statement::update_one(target, &columns, value, &null);
            group.add(number, target, &shape, render, old.as_deref().unwrap_or(&[]), &new)
        }
        ChangeKind::Delete { old } => {
            let old = row(old)?;
            if target.key.is_empty() && !target.columns.is_empty() {
                return Err(malformed(relation, change.lsn, "a deleted row has no identity"));
            }
            let null = nulls(&old);
            let shape = shape(Kind::Delete, true, Vec::new(), null.clone());
            group.add(number, target, &shape, || statement::delete_one(target, &null), &old, &[])
        }
    }
}
