//! Which lane a change goes to. Pure, but for what is asked of the target's catalogs.
//!
//! Rows of a relation are divided by their identity ([`Splits`]), where nothing but the identity makes one row wait for another and
//! equal identities have equal bytes ([`goes_apart`]); every other relation goes to one lane as a whole. Foreign keys tie nothing: lanes
//! run only where they are not enforced. So no lane ever waits for a row of another, and with a batch's splits the same change of it goes
//! to the same lane whenever it is applied. Invariant: a batch in which a row would move from lane to lane (its identity changes), or
//! that empties a table, is not spread: a lane's rows are whole in that lane.

use std::collections::HashMap;
use std::sync::Arc;

use super::segment::Targets;
use super::splits::{Splits, TOLD};
use super::target_relation::TargetRelation;
use crate::pg::{SqlError, Wire};
use crate::schema::quote::quote_literal;
use crate::stream::batch::{Batch, Net, RelationNet, Segment};
use crate::stream::change::{Change, ChangeKind};
use crate::stream::net::fold;
use crate::stream::relation::{Relation, ReplicaIdentity};

/// What a segment leaves to do, lane by lane.
pub(super) type Parts = Vec<Vec<RelationNet>>;

/// Types of which equal values have equal bytes, in text and whatever the settings: boolean, bytea, name, integers, text, oid, date, time, timestamps,
/// uuid. (Not numeric: 1.0 equals 1.00.) Text counts only under a deterministic collation.
pub(super) const EXACT: [u32; 14] = [16, 17, 19, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 2950];

/// Whether the rows of this table may go to different lanes: nothing but its identity is unique, in any of its partitions, and the identity's values are
/// equal where their bytes are.
pub(super) async fn goes_apart(wire: &mut Wire, target: &TargetRelation) -> Result<bool, SqlError> {
    if !target.by_sets() || target.relation.identity == ReplicaIdentity::Full {
        return Ok(false);
    }
    let names: Vec<String> = target
        .key
        .iter()
        .filter_map(|&i| target.relation.columns.get(i))
        .map(|column| quote_literal(&column.name))
        .collect();
    let sql = format!(
        "WITH tree AS (SELECT {oid}::pg_catalog.oid AS relid UNION SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree({oid})) \
         SELECT NOT EXISTS (SELECT FROM tree JOIN pg_catalog.pg_index ON indrelid = relid WHERE indisunique OR indisexclusion \
             GROUP BY relid HAVING pg_catalog.count(*) > 1) \
         AND NOT EXISTS (SELECT FROM tree JOIN pg_catalog.pg_index i ON i.indrelid = relid AND i.indisunique, \
             pg_catalog.unnest(i.indcollation) AS k JOIN pg_catalog.pg_collation c ON c.oid = k WHERE NOT c.collisdeterministic) \
         AND (SELECT pg_catalog.bool_and(a.atttypid IN ({exact})) AND pg_catalog.bool_or(a.atttypid IN ({told})) FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = {oid} AND a.attname IN ({names}) AND NOT a.attisdropped)",
        oid = target.oid,
        exact = EXACT.map(|oid| oid.to_string()).join(", "),
        told = TOLD.map(|oid| oid.to_string()).join(", "),
        names = names.join(", ")
    );
    let rows = wire.rows("reading what keeps a table's rows together", &sql).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some(b"t"))
}

/// The lane of a relation that stays whole.
fn whole(relation: &Relation, lanes: usize) -> usize {
    let lanes = lanes.max(1) as u64;
    usize::try_from(xxhash_rust::xxh3::xxh3_64(&relation.oid.to_be_bytes()) % lanes).unwrap_or_default()
}

/// The parts of a batch's segments for each lane, and how its tables were divided for that; `None`: it has to be applied as one.
pub(super) fn parts(batch: &Batch, targets: &Targets, lanes: usize) -> Option<(Vec<Parts>, Splits)> {
    let splits = splits(batch, targets, lanes)?;
    let parts = batch.segments.iter().map(|segment| segment_parts(segment, &splits, lanes));
    Some((parts.collect::<Option<_>>()?, splits))
}

/// How the batch's tables are divided.
fn splits(batch: &Batch, targets: &Targets, lanes: usize) -> Option<Splits> {
    if targets.entangled {
        return None;
    }
    let mut apart: HashMap<u32, Vec<&RelationNet>> = HashMap::new();
    for segment in &batch.segments {
        let Segment::Rows { changes, net } = segment else { return None };
        if moves(changes, targets)? {
            return None;
        }
        for part in net {
            if targets.get(&part.relation)?.apart {
                apart.entry(part.relation.oid).or_default().push(part);
            }
        }
    }
    let mut splits = Splits::default();
    for parts in apart.values() {
        let Some((first, more)) = parts.split_first() else { continue };
        if more.iter().any(|part| part.relation != first.relation) {
            continue; // its columns change on the way: keys of both kinds do not compare
        }
        let mut rows = Vec::new();
        for part in parts {
            let Net::Rows { deletes, updates, inserts } = &part.net else { return None };
            rows.extend(deletes.iter().chain(updates.iter().map(|update| &update.new)).chain(inserts));
        }
        splits.divide(&first.relation, rows.into_iter(), lanes)?;
    }
    Some(splits)
}

/// Whether a row of a table that may be divided changes its identity, and so might move to another lane; `None`: a table is not known.
fn moves(changes: &[Change], targets: &Targets) -> Option<bool> {
    let mut last: Option<(&Arc<Relation>, bool)> = None;
    for change in changes {
        if !matches!(change.kind, ChangeKind::Update { old: Some(_), .. }) {
            continue;
        }
        let apart = match last {
            Some((relation, apart)) if Arc::ptr_eq(relation, &change.relation) => apart,
            _ => targets.get(&change.relation)?.apart,
        };
        last = Some((&change.relation, apart));
        if apart {
            return Some(true);
        }
    }
    Some(false)
}

fn segment_parts(segment: &Segment, splits: &Splits, lanes: usize) -> Option<Parts> {
    let Segment::Rows { net, .. } = segment else { return None };
    let mut parts: Parts = vec![Vec::new(); lanes];
    for part in net {
        let relation = &part.relation;
        let Some(mut ranges) = splits.of(relation) else {
            parts[whole(relation, lanes)].push(part.clone());
            continue;
        };
        let Net::Rows { deletes, updates, inserts } = &part.net else { return None };
        let mut nets = vec![(Vec::new(), Vec::new(), Vec::new()); lanes];
        for row in deletes {
            nets.get_mut(ranges.lane(row)?)?.0.push(row.clone());
        }
        for update in updates {
            nets.get_mut(ranges.lane(&update.new)?)?.1.push(update.clone());
        }
        for row in inserts {
            nets.get_mut(ranges.lane(row)?)?.2.push(row.clone());
        }
        for (part, (deletes, updates, inserts)) in parts.iter_mut().zip(nets) {
            if !(deletes.is_empty() && updates.is_empty() && inserts.is_empty()) {
                let net = Net::Rows { deletes, updates, inserts };
                part.push(RelationNet { relation: Arc::clone(relation), net });
            }
        }
    }
    Some(parts)
}

/// What of a batch that was divided so is for one lane, where others have it already; `None`: it cannot be told, which no batch that was spread comes to.
pub(super) fn only(batch: &Batch, splits: &Splits, lane: usize, lanes: usize) -> Option<Batch> {
    let mut only = Batch { ends: batch.ends, transactions: batch.transactions, ..Batch::default() };
    for segment in &batch.segments {
        let Segment::Rows { changes, .. } = segment else { return None };
        let mut mine = Vec::new();
        for change in changes {
            if lane_of(change, splits, lanes)? == lane {
                mine.push(change.clone());
            }
        }
        let net = fold(&mine);
        only.segments.push(Segment::Rows { changes: mine, net });
    }
    Some(only)
}

fn lane_of(change: &Change, splits: &Splits, lanes: usize) -> Option<usize> {
    let Some(mut ranges) = splits.of(&change.relation) else {
        return Some(whole(&change.relation, lanes));
    };
    match &change.kind {
        ChangeKind::Insert { new } | ChangeKind::Update { old: None, new } => ranges.lane(new),
        ChangeKind::Delete { old } => ranges.lane(old),
        ChangeKind::Update { old: Some(_), .. } => None,
    }
}
