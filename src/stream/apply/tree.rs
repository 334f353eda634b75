//! Tables of one batch that hold rows of each other on the target: a partitioned table and one of its partitions.
//!
//! A publication sends rows under the name of the whole or of the leaf, not both; but a table that was published by itself may be attached to
//! a partitioned one that is published as a whole, and rows that came under its own name then change under the other's. Invariant: it is asked
//! again for each batch in which it may be so, because a table can be attached at any time; then changes are applied in the source's order.

use std::collections::BTreeSet;

use super::segment::Targets;
use crate::pg::{SqlError, Wire};
use crate::stream::batch::{Batch, Segment};

/// Whether the batch changes a partitioned table of the target, and one of its partitions under another name.
pub(super) async fn is_entangled(
    wire: &mut Wire,
    batch: &Batch,
    targets: &Targets,
) -> Result<bool, SqlError> {
    let (mut wholes, mut all) = (BTreeSet::new(), BTreeSet::new());
    for segment in &batch.segments {
        let Segment::Rows { net, .. } = segment else { continue };
        for target in net.iter().filter_map(|part| targets.get(&part.relation)) {
            all.insert(target.oid);
            if target.partitioned {
                wholes.insert(target.oid);
            }
        }
    }
    if wholes.is_empty() || all.len() < 2 {
        return Ok(false);
    }
    let rows = wire.rows("reading which tables are partitions of each other", &query(&wholes, &all)).await?;
    Ok(!rows.is_empty())
}

fn query(wholes: &BTreeSet<u32>, all: &BTreeSet<u32>) -> String {
    let list = |oids: &BTreeSet<u32>| oids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.oid[]) AS w (oid), pg_catalog.pg_partition_tree(w.oid) AS p \
         WHERE p.relid <> w.oid AND p.relid::pg_catalog.oid IN ({}) LIMIT 1",
        list(wholes),
        list(all)
    )
}
