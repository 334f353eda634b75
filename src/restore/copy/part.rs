//! Splitting: which slices of a table are copied as one task each. Pure.
//!
//! A table is split only where one connection would otherwise still be copying it when the others have nothing
//! left: a part cannot be frozen (`COPY … FREEZE` needs the whole table in one transaction). Invariant: the parts of a
//! table cover every row exactly once, whatever was written between planning and copying, because the first and
//! the last part are open-ended.

use crate::schema::Slice;

/// What is known of a table's size under the snapshot's locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    /// Bytes of the heap and its TOAST table.
    pub bytes: u64,
    /// Blocks of the heap alone: what a ctid range counts in.
    pub blocks: u64,
    /// `reltuples`, 0 where never analysed.
    pub rows: u64,
}

/// How a table's rows can be told apart in ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slicing {
    /// By physical position: a TID range scan, PostgreSQL 14 and later (`TidRangeScan`).
    Ctid,
    /// By an integer key that cannot be NULL, on older servers; its smallest and largest value.
    IntegerKey {
        /// The key column, unquoted.
        column: String,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Not at all.
    Whole,
}

/// The smallest part worth a task of its own, whatever the settings: below this, starting costs more than it wins.
const MIN_PART_BYTES: u64 = 8 << 20;

/// How many parts a table of `size` gets when `total` bytes are to be copied over `jobs` connections. `split_bytes`: a
/// table smaller than this stays whole; 0: every table does.
pub fn part_count(size: TableSize, total: u64, jobs: usize, split_bytes: u64) -> u64 {
    let jobs = jobs.max(1) as u64;
    // Bytes tell only half of what a table costs (a jsonb column costs several times an integer's), so a table that is
    // most of a fair share may well be the last to end. Smaller ones even out among themselves.
    let fair = total / jobs;
    if split_bytes == 0 || jobs == 1 || size.bytes < split_bytes || size.bytes <= fair / 4 * 3 {
        return 1;
    }
    // Parts of a quarter of a fair share, so that the last ones to start are small.
    let part = (fair / 4).max(MIN_PART_BYTES).max(split_bytes / 4);
    size.bytes.div_ceil(part).clamp(1, size.blocks.max(1))
}

/// Cuts a table into `count` slices.
pub fn slices(slicing: &Slicing, size: TableSize, count: u64) -> Vec<Slice> {
    if count <= 1 {
        return vec![Slice::Whole];
    }
    match slicing {
        Slicing::Whole => vec![Slice::Whole],
        Slicing::Ctid => (0..count)
            .map(|i| Slice::Blocks {
                from: size.blocks * i / count,
                to: (i + 1 < count).then(|| size.blocks * (i + 1) / count),
            })
            .collect(),
        Slicing::IntegerKey { column, min, max } => {
            let width = (i128::from(*max) - i128::from(*min) + 1).max(1);
            let count = i128::from(count).min(width);
            let edge = |i: i128| (i128::from(*min) + width * i / count) as i64;
            (0..count)
                .map(|i| Slice::Keys {
                    column: column.clone(),
                    from: (i > 0).then(|| edge(i)),
                    to: (i + 1 < count).then(|| edge(i + 1)),
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_table_of_a_fair_share_stays_whole() {
        let size = TableSize { bytes: 500 << 20, blocks: 64_000, rows: 0 };
        assert_eq!(part_count(size, 1400 << 20, 2, 64 << 20), 1);
        assert_eq!(part_count(size, 600 << 20, 2, 64 << 20), 7);
        assert_eq!(part_count(size, 600 << 20, 2, 0), 1);
        assert_eq!(part_count(size, 600 << 20, 1, 64 << 20), 1);
    }

    proptest! {
        #[test]
        fn block_slices_cover_every_block_once(blocks in 1u64..100_000, count in 1u64..64) {
            let size = TableSize { bytes: 0, blocks, rows: 0 };
            let mut next = 0;
            let slices = slices(&Slicing::Ctid, size, count);
            for (i, slice) in slices.iter().enumerate() {
                match slice {
                    Slice::Whole => prop_assert_eq!(slices.len(), 1),
                    Slice::Blocks { from, to } => {
                        prop_assert_eq!(*from, next);
                        prop_assert_eq!(to.is_none(), i + 1 == slices.len());
                        next = to.unwrap_or(u64::MAX);
                    }
                    Slice::Keys { .. } => prop_assert!(false),
                }
            }
        }

        #[test]
        fn key_slices_cover_every_key_once(a in any::<i64>(), b in any::<i64>(), count in 2u64..64, probe in any::<i64>()) {
            let slicing = Slicing::IntegerKey { column: "id".into(), min: a.min(b), max: a.max(b) };
            let holds = slices(&slicing, TableSize::default(), count).iter().filter(|slice| match slice {
                Slice::Keys { from, to, .. } => from.is_none_or(|f| probe >= f) && to.is_none_or(|t| probe < t),
                _ => true,
            }).count();
            prop_assert_eq!(holds, 1);
        }
    }
}
