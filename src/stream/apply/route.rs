//! Which lane a change goes to. Pure, but for what is asked of the target's catalogs.
//!
//! Rows of a relation are told apart by the bytes of their identity, where nothing but the identity makes one row wait for another and
//! equal identities have equal bytes ([`goes_apart`]); every other relation goes to one lane as a whole. Foreign keys tie nothing: lanes
//! run only where they are not enforced. So no lane ever waits for a row of another, and the same change goes
//! to the same lane whenever it is applied. Invariant: a batch in which a row would move from lane to lane (its identity changes), or
//! that empties a table, is not spread: a lane's rows are whole in that lane.

use std::sync::Arc;

use super::segment::Targets;
use super::target_relation::TargetRelation;
use crate::pg::{SqlError, Wire};
use crate::schema::quote::quote_literal;
use crate::stream::batch::{Batch, Net, RelationNet, Segment};
use crate::stream::change::{Change, ChangeKind};
use crate::stream::keys::KeyShape;
use crate::stream::net::fold;
use crate::stream::relation::{Relation, ReplicaIdentity};
use crate::stream::tuple::Tuple;

/// What a segment leaves to do, lane by lane.
pub(super) type Parts = Vec<Vec<RelationNet>>;

/// Types of which equal values have equal bytes, in text and whatever the settings: boolean, bytea, name, integers, text, oid, date, time, timestamps,
/// uuid. (Not numeric: 1.0 equals 1.00.) Text counts only under a deterministic collation.
const EXACT: &str = "16, 17, 19, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 2950";

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
         AND (SELECT pg_catalog.bool_and(a.atttypid IN ({EXACT})) FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = {oid} AND a.attname IN ({names}) AND NOT a.attisdropped)",
        oid = target.oid,
        names = names.join(", ")
    );
    let rows = wire.rows("reading what keeps a table's rows together", &sql).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some(b"t"))
}

/// The lane of a relation that stays whole.
fn whole(relation: &Relation, lanes: usize) -> usize {
    of_bytes(&relation.oid.to_be_bytes(), lanes)
}

fn of_bytes(bytes: &[u8], lanes: usize) -> usize {
    let lanes = lanes.max(1) as u64;
    usize::try_from(xxhash_rust::xxh3::xxh3_64(bytes) % lanes).unwrap_or_default()
}

/// The parts of a batch's segments for each lane; `None`: it has to be applied as one.
pub(super) fn parts(batch: &Batch, targets: &Targets, lanes: usize) -> Option<Vec<Parts>> {
    batch.segments.iter().map(|segment| segment_parts(segment, targets, lanes)).collect()
}

fn segment_parts(segment: &Segment, targets: &Targets, lanes: usize) -> Option<Parts> {
    let Segment::Rows { changes, net } = segment else { return None };
    let mut parts: Parts = vec![Vec::new(); lanes];
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
            return None; // it may move to another lane
        }
    }
    for part in net {
        let relation = &part.relation;
        if !targets.get(relation)?.apart {
            parts[whole(relation, lanes)].push(part.clone());
            continue;
        }
        let Net::Rows { deletes, updates, inserts } = &part.net else { return None };
        let shape = KeyShape::of(relation)?;
        let mut scratch = Vec::new();
        let mut nets = vec![(Vec::new(), Vec::new(), Vec::new()); lanes];
        let mut lane = |row: &Tuple| Some(of_bytes(shape.key(row, &mut scratch)?, lanes));
        for row in deletes {
            nets[lane(row)?].0.push(row.clone());
        }
        for update in updates {
            nets[lane(&update.new)?].1.push(update.clone());
        }
        for row in inserts {
            nets[lane(row)?].2.push(row.clone());
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

/// What of a batch is for one lane, where others have it already; `None`: it cannot be told, which no batch that was spread comes to.
pub(super) fn only(batch: &Batch, targets: &Targets, lane: usize, lanes: usize) -> Option<Batch> {
    let mut only = Batch { ends: batch.ends, transactions: batch.transactions, ..Batch::default() };
    for segment in &batch.segments {
        let Segment::Rows { changes, .. } = segment else { return None };
        let mut mine = Vec::new();
        for change in changes {
            if lane_of(change, targets, lanes)? == lane {
                mine.push(change.clone());
            }
        }
        let net = fold(&mine);
        only.segments.push(Segment::Rows { changes: mine, net });
    }
    Some(only)
}

fn lane_of(change: &Change, targets: &Targets, lanes: usize) -> Option<usize> {
    if !targets.get(&change.relation)?.apart {
        return Some(whole(&change.relation, lanes));
    }
    let row = match &change.kind {
        ChangeKind::Insert { new } | ChangeKind::Update { old: None, new } => new,
        ChangeKind::Delete { old } => old,
        ChangeKind::Update { old: Some(_), .. } => return None,
    };
    Some(of_bytes(KeyShape::of(&change.relation)?.key(row, &mut Vec::new())?, lanes))
}
