//! Which lane a change goes to. Pure, but for what is asked of the target's catalogs.
//!
//! Rows of a relation are told apart by their identity ([`Teller`]), where nothing but the identity makes one row wait for another and
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
use crate::stream::net::fold;
use crate::stream::relation::{Relation, ReplicaIdentity};
use crate::stream::tuple::{Datum, Tuple};

/// What a segment leaves to do, lane by lane.
pub(super) type Parts = Vec<Vec<RelationNet>>;

/// Types of which equal values have equal bytes, in text and whatever the settings: boolean, bytea, name, integers, text, oid, date, time, timestamps,
/// uuid. (Not numeric: 1.0 equals 1.00.) Text counts only under a deterministic collation.
const EXACT: [u32; 14] = [16, 17, 19, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 2950];

/// Those of them that lanes are told by: in either format, text or binary, [`Teller`] reads the same of a value. What was spread in one format may
/// have to be told again in the other.
const TOLD: [u32; 8] = [19, 20, 21, 23, 25, 26, 1043, 2950];

/// Tells the lane of a row by the columns of its identity that are of the types in [`TOLD`].
struct Teller {
    /// The columns' numbers, ascending, and their types.
    columns: Vec<(usize, u32)>,
    scratch: Vec<u8>,
}

impl Teller {
    fn of(relation: &Relation) -> Teller {
        let columns = relation.columns.iter().enumerate();
        let columns = columns.filter(|(_, c)| c.key && TOLD.contains(&c.type_oid));
        Teller { columns: columns.map(|(i, c)| (i, c.type_oid)).collect(), scratch: Vec::new() }
    }

    /// `None`: a value that is needed did not come, or is none of its type.
    fn lane(&mut self, row: &Tuple, lanes: usize) -> Option<usize> {
        self.scratch.clear();
        let mut values = row.iter();
        let mut next = 0;
        for &(column, type_oid) in &self.columns {
            let value = values.nth(column - next)?;
            next = column + 1;
            match (type_oid, value) {
                (19 | 25 | 1043, Datum::Text(bytes) | Datum::Binary(bytes)) => {
                    self.scratch.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
                    self.scratch.extend_from_slice(bytes);
                }
                (2950, value) => self.scratch.extend_from_slice(&uuid(value)?),
                (_, value) => self.scratch.extend_from_slice(&number(type_oid, value)?.to_be_bytes()),
            }
        }
        (!self.columns.is_empty()).then(|| of_bytes(&self.scratch, lanes))
    }
}

fn number(type_oid: u32, value: Datum<'_>) -> Option<i64> {
    match (type_oid, value) {
        (_, Datum::Text(bytes)) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        (20, Datum::Binary(bytes)) => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        (21, Datum::Binary(bytes)) => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        (23, Datum::Binary(bytes)) => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        (26, Datum::Binary(bytes)) => Some(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        _ => None,
    }
}

fn uuid(value: Datum<'_>) -> Option<[u8; 16]> {
    let text = match value {
        Datum::Binary(bytes) => return bytes.try_into().ok(),
        Datum::Text(bytes) => bytes,
        Datum::Null | Datum::Unchanged => return None,
    };
    let mut digits = text.iter().filter(|b| **b != b'-').map(|b| char::from(*b).to_digit(16));
    let mut out = [0; 16];
    for byte in &mut out {
        *byte = (digits.next()?? * 16 + digits.next()??) as u8;
    }
    digits.next().is_none().then_some(out)
}

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
        let mut teller = Teller::of(relation);
        let mut nets = vec![(Vec::new(), Vec::new(), Vec::new()); lanes];
        let mut lane = |row: &Tuple| teller.lane(row, lanes);
        for row in deletes {
            nets[lane(row)?].0.push(row.clone());
        }
        for update in updates {
            nets[lane(&update.new)?].1.push(update.clone());
        }
        for row in inserts {
            nets[lane(row)?].2.push(row.clone());
        }
        for (number, (part, (mut deletes, mut updates, inserts))) in parts.iter_mut().zip(nets).enumerate() {
            // In the order of their keys, but each lane begins elsewhere: lanes are not to meet on the same pages all the way.
            let (at, to) = (deletes.len() * number / lanes, updates.len() * number / lanes);
            deletes.rotate_left(at);
            updates.rotate_left(to);
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
    Teller::of(&change.relation).lane(row, lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::relation::Column;

    #[test]
    fn a_row_goes_to_the_same_lane_in_text_and_in_binary() {
        let column = |name: &str, type_oid, key| Column {
            name: name.into(),
            key,
            type_oid,
            type_modifier: -1,
            type_name: None,
        };
        let relation = Relation {
            oid: 1,
            namespace: "s".into(),
            name: "t".into(),
            identity: ReplicaIdentity::Default,
            columns: vec![
                column("other", 20, false),
                column("a", 20, true),
                column("b", 21, true),
                column("at", 1184, true),
                column("c", 25, true),
                column("d", 2950, true),
                column("e", 26, true),
            ],
        };
        let mut lanes = [0; 16];
        for n in 0..200i64 {
            let (a, b) = ((n * 7919 - 500).to_string(), (n as i16 - 100).to_string());
            let (c, e) = (format!("text {n}"), n.to_string());
            let bytes = [n as u8; 16];
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let d = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            let text = Tuple::of([
                Datum::Text(b"1"),
                Datum::Text(a.as_bytes()),
                Datum::Text(b.as_bytes()),
                Datum::Text(b"2024-01-01"),
                Datum::Text(c.as_bytes()),
                Datum::Text(d.as_bytes()),
                Datum::Text(e.as_bytes()),
            ]);
            let binary = Tuple::of([
                Datum::Null,
                Datum::Binary(&(n * 7919 - 500).to_be_bytes()),
                Datum::Binary(&(n as i16 - 100).to_be_bytes()),
                Datum::Binary(b"12345678"),
                Datum::Binary(c.as_bytes()),
                Datum::Binary(&bytes),
                Datum::Binary(&(n as u32).to_be_bytes()),
            ]);
            let lane = Teller::of(&relation).lane(&text, 16);
            assert_eq!(lane, Teller::of(&relation).lane(&binary, 16));
            lanes[lane.unwrap()] += 1;
        }
        assert!(lanes.iter().all(|n| *n > 0), "{lanes:?}");
    }

    #[test]
    fn what_did_not_come_goes_nowhere() {
        assert_eq!(number(20, Datum::Unchanged), None);
        assert_eq!(number(20, Datum::Binary(b"1")), None);
        assert_eq!(number(20, Datum::Text(b"x")), None);
        for bad in
            ["", "00", "zz000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000000"]
        {
            assert_eq!(uuid(Datum::Text(bad.as_bytes())), None, "{bad}");
        }
    }
}
