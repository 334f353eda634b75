//! The order of tables among which foreign keys are at work.
//!
//! Pure. Invariant: a table ranks above every table it refers to, unless they refer to each other in a circle.

use std::collections::HashMap;

/// A rank for each table, given the tables it refers to; parents rank lower. What is not among the tables does not count.
pub(super) fn ranks<'a>(tables: impl Iterator<Item = (u32, &'a [u32])>) -> HashMap<u32, usize> {
    let parents: HashMap<u32, &[u32]> = tables.collect();
    let mut ranks: HashMap<u32, usize> = parents.keys().map(|oid| (*oid, 0)).collect();
    // Each round lifts children above their parents; in a circle it would never end, so there are as many rounds as tables.
    for _ in 0..parents.len() {
        let mut changed = false;
        for (oid, of) in &parents {
            let above =
                of.iter().filter(|p| *p != oid).filter_map(|p| ranks.get(p)).max().map_or(0, |r| r + 1);
            if let Some(rank) = ranks.get_mut(oid).filter(|rank| **rank < above) {
                *rank = above;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_rank_lower() {
        let ranks = ranks([(3, &[2][..]), (1, &[]), (2, &[1, 9, 2])].into_iter());
        assert!(ranks[&1] < ranks[&2] && ranks[&2] < ranks[&3]);
    }

    #[test]
    fn a_circle_ends() {
        let ranks = ranks([(1, &[2][..]), (2, &[1])].into_iter());
        assert_eq!(ranks.len(), 2);
    }
}
