//! A directed graph of things to be made: strongly connected components and a deterministic topological order.
//!
//! Pure graph work, no knowledge of PostgreSQL. Invariant: both functions take time near-linear in nodes and
//! edges, use no recursion (a chain of 100,000 views must not overflow a stack), and return every node exactly once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The loops: strongly connected components with more than one node, of the part of the graph that
/// `members` selects. `edges[n]` lists what `n` needs. Tarjan's algorithm with its own stack.
pub(in crate::schema) fn loops(edges: &[Vec<usize>], members: &[usize]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut inside = vec![false; edges.len()];
    for &m in members {
        inside[m] = true;
    }
    let mut index = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut next, mut stack, mut found) = (0, Vec::new(), Vec::new());
    let mut calls: Vec<(usize, usize)> = Vec::new();
    for &root in members {
        if index[root] != NEW {
            continue;
        }
        calls.push((root, 0));
        while let Some(&(node, at)) = calls.last() {
            if at == 0 {
                index[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = edges[node].get(at) {
                if let Some(call) = calls.last_mut() {
                    call.1 += 1;
                }
                if !inside[to] {
                    continue;
                }
                if index[to] == NEW {
                    calls.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                // An edge list is left at position 0 only by this step, so `at == 0` means "just entered".
                continue;
            }
            calls.pop();
            if let Some(&(caller, _)) = calls.last() {
                low[caller] = low[caller].min(low[node]);
            }
            if low[node] == index[node] {
                let start = stack.iter().rposition(|&n| n == node).unwrap_or(0);
                let component = stack.split_off(start);
                for &n in &component {
                    on_stack[n] = false;
                }
                if component.len() > 1 {
                    found.push(component);
                }
            }
        }
    }
    found
}

/// A topological order of all nodes, what is needed first; among nodes that could come next, the one of
/// lowest `rank`. Nodes on a loop come in order of rank once nothing else is left, and are counted.
pub(in crate::schema) fn sort(edges: &[Vec<usize>], rank: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let count = edges.len();
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (node, needs) in edges.iter().enumerate() {
        for &n in needs {
            wanted_by[n].push(node);
        }
    }
    let mut done = vec![false; count];
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        (0..count).filter(|&n| waiting[n] == 0).map(|n| Reverse((rank[n], n))).collect();
    let mut by_rank: Vec<usize> = (0..count).collect();
    by_rank.sort_by_key(|&n| rank[n]);
    let mut stuck = by_rank.into_iter();
    let (mut order, mut forced) = (Vec::with_capacity(count), Vec::new());
    while order.len() < count {
        let node = match ready.pop() {
            Some(Reverse((_, node))) => node,
            None => match stuck.find(|&n| !done[n]) {
                Some(node) => {
                    forced.push(node);
                    node
                }
                None => break,
            },
        };
        if std::mem::replace(&mut done[node], true) {
            continue;
        }
        order.push(node);
        for &dependent in &wanted_by[node] {
            waiting[dependent] = waiting[dependent].saturating_sub(1);
            if waiting[dependent] == 0 && !done[dependent] {
                ready.push(Reverse((rank[dependent], dependent)));
            }
        }
    }
    (order, forced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_each_loop_and_nothing_else() {
        // 0 → 1 → 2 → 0, 3 → 0, 4 ↔ 5, 6 → 6 (not a loop between things)
        let edges = vec![vec![1], vec![2], vec![0], vec![0], vec![5], vec![4], vec![6]];
        let all: Vec<usize> = (0..edges.len()).collect();
        let mut found = loops(&edges, &all);
        found.iter_mut().for_each(|l| l.sort_unstable());
        found.sort();
        assert_eq!(found, vec![vec![0, 1, 2], vec![4, 5]]);
        assert_eq!(loops(&edges, &[0, 1, 3]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_long_chain_does_not_overflow() {
        let n = 300_000;
        let edges: Vec<Vec<usize>> = (0..n).map(|i| if i + 1 < n { vec![i + 1] } else { vec![] }).collect();
        let all: Vec<usize> = (0..n).collect();
        assert!(loops(&edges, &all).is_empty());
        let (order, forced) = sort(&edges, &all);
        assert!(forced.is_empty());
        assert_eq!(order[0], n - 1);
    }

    proptest! {
        #[test]
        fn random_dags_come_out_in_order(pairs in prop::collection::vec((0usize..60, 0usize..60), 0..300)) {
            let mut edges = vec![Vec::new(); 60];
            for (a, b) in pairs {
                if a != b {
                    edges[a.max(b)].push(a.min(b));
                }
            }
            let all: Vec<usize> = (0..60).collect();
            prop_assert!(loops(&edges, &all).is_empty());
            let rank: Vec<usize> = (0..60).rev().collect();
            let (order, forced) = sort(&edges, &rank);
            prop_assert!(forced.is_empty());
            let mut place = vec![usize::MAX; 60];
            for (at, &n) in order.iter().enumerate() {
                place[n] = at;
            }
            for (n, needs) in edges.iter().enumerate() {
                prop_assert!(needs.iter().all(|&m| place[m] < place[n]));
            }
        }

        #[test]
        fn random_graphs_lose_no_node(pairs in prop::collection::vec((0usize..40, 0usize..40), 0..200)) {
            let mut edges = vec![Vec::new(); 40];
            for (a, b) in pairs {
                edges[a].push(b);
            }
            let rank: Vec<usize> = (0..40).collect();
            let (mut order, _) = sort(&edges, &rank);
            order.sort_unstable();
            prop_assert_eq!(order, rank);
        }
    }
}
