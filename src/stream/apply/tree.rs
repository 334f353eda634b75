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
    let Some(sql) = query(batch, targets) else { return Ok(false) };
    Ok(!wire.rows("reading which tables are partitions of each other", &sql).await?.is_empty())
}

/// What is to be asked; `None`: nothing, as for most batches.
fn query(batch: &Batch, targets: &Targets) -> Option<String> {
    let parts = batch.segments.iter().filter_map(|segment| match segment {
        Segment::Rows { net, .. } => Some(net),
        Segment::Truncate { .. } => None,
    });
    let tables = parts.flatten().filter_map(|part| targets.get(&part.relation));
    let wholes: BTreeSet<u32> = tables.clone().filter(|t| t.partitioned).map(|t| t.oid).collect();
    if wholes.is_empty() {
        return None;
    }
    let all: BTreeSet<u32> = tables.map(|t| t.oid).collect();
    let list = |oids: &BTreeSet<u32>| oids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    (all.len() > 1).then(|| {
        format!(
            "SELECT FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.oid[]) AS w (oid), pg_catalog.pg_partition_tree(w.oid) AS p \
             WHERE p.relid <> w.oid AND p.relid::pg_catalog.oid IN ({}) LIMIT 1",
            list(&wholes),
            list(&all)
        )
    })
}
