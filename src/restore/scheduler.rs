//! Which task runs next. Pure: a data structure, no clock, no connection.
//!
//! A list scheduler: among the tasks whose needs are finished and whose table locks would not wait for a running
//! task, the one with the longest chain of work behind it goes first, so that the largest table with the most
//! indexes never ends alone. Invariants: a task is handed out once, after everything it needs; two tasks that would
//! block each other on the target are never out together.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::schema::{Address, LockNeed};

/// Index of a task in the plan.
pub type TaskId = usize;

/// What the scheduler needs to know of a task.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Tasks that must be finished first; any order, no cycles.
    pub needs: Vec<TaskId>,
    /// Tables that the task locks.
    pub locks: Vec<(Address, LockNeed)>,
    /// Estimated work, in bytes handled.
    pub cost: u64,
}

#[derive(PartialEq, Eq)]
struct Ready {
    rank: u64,
    id: TaskId,
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        // Ties go to the task planned first, so that a run can be repeated.
        self.rank.cmp(&other.rank).then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The state of a run.
pub struct Scheduler {
    nodes: Vec<Node>,
    ranks: Vec<u64>,
    waiting: Vec<usize>,
    dependents: Vec<Vec<TaskId>>,
    ready: BinaryHeap<Ready>,
    /// Running holders per table: shared count, or exclusive.
    held: HashMap<Address, Held>,
    unfinished: usize,
    running: usize,
}

#[derive(Default)]
struct Held {
    shared: usize,
    exclusive: bool,
}

impl Scheduler {
    /// A scheduler for `nodes`, whose `needs` all point to earlier or later nodes without a cycle.
    pub fn new(nodes: Vec<Node>) -> Self {
        let mut dependents = vec![Vec::new(); nodes.len()];
        let mut waiting = vec![0; nodes.len()];
        for (id, node) in nodes.iter().enumerate() {
            waiting[id] = node.needs.len();
            for &need in &node.needs {
                dependents[need].push(id);
            }
        }
        let ranks = ranks(&nodes, &dependents);
        let ready =
            (0..nodes.len()).filter(|&id| waiting[id] == 0).map(|id| Ready { rank: ranks[id], id }).collect();
        let unfinished = nodes.len();
        Scheduler { nodes, ranks, waiting, dependents, ready, held: HashMap::new(), unfinished, running: 0 }
    }

    /// Hands out the next task, or `None` where none can run now.
    pub fn next(&mut self) -> Option<TaskId> {
        let mut blocked = Vec::new();
        let mut found = None;
        while let Some(candidate) = self.ready.pop() {
            if self.free(candidate.id) {
                found = Some(candidate.id);
                break;
            }
            blocked.push(candidate);
        }
        self.ready.extend(blocked);
        if let Some(id) = found {
            self.running += 1;
            for (table, need) in &self.nodes[id].locks {
                let held = self.held.entry(*table).or_default();
                match need {
                    LockNeed::Shared => held.shared += 1,
                    LockNeed::Exclusive => held.exclusive = true,
                }
            }
        }
        found
    }

    fn free(&self, id: TaskId) -> bool {
        self.nodes[id].locks.iter().all(|(table, need)| {
            self.held.get(table).is_none_or(|held| match need {
                LockNeed::Shared => !held.exclusive,
                LockNeed::Exclusive => !held.exclusive && held.shared == 0,
            })
        })
    }

    /// Takes back a task that ran, well or not: what needs it may go on.
    pub fn finish(&mut self, id: TaskId) {
        for (table, need) in &self.nodes[id].locks {
            if let Some(held) = self.held.get_mut(table) {
                match need {
                    LockNeed::Shared => held.shared = held.shared.saturating_sub(1),
                    LockNeed::Exclusive => held.exclusive = false,
                }
            }
        }
        self.unfinished -= 1;
        self.running -= 1;
        for &dependent in &self.dependents[id] {
            self.waiting[dependent] -= 1;
            if self.waiting[dependent] == 0 {
                self.ready.push(Ready { rank: self.ranks[dependent], id: dependent });
            }
        }
    }

    /// Tasks that run, or could but for a free worker or a lock.
    pub fn busy(&self) -> usize {
        self.running + self.ready.len()
    }

    /// Whether every task has run.
    pub fn is_done(&self) -> bool {
        self.unfinished == 0
    }
}

/// Each task's cost plus that of the costliest chain that waits for it.
fn ranks(nodes: &[Node], dependents: &[Vec<TaskId>]) -> Vec<u64> {
    // Kahn's order over the reversed edges: a task is ranked once all its dependents are.
    let mut left: Vec<usize> = dependents.iter().map(Vec::len).collect();
    let mut stack: Vec<TaskId> = (0..nodes.len()).filter(|&id| left[id] == 0).collect();
    let mut ranks = vec![0u64; nodes.len()];
    while let Some(id) = stack.pop() {
        ranks[id] = ranks[id].saturating_add(nodes[id].cost);
        for &need in &nodes[id].needs {
            ranks[need] = ranks[need].max(ranks[id]);
            left[need] -= 1;
            if left[need] == 0 {
                stack.push(need);
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(needs: &[TaskId], cost: u64) -> Node {
        Node { needs: needs.to_vec(), locks: Vec::new(), cost }
    }

    #[test]
    fn the_longest_chain_starts_first() {
        // 0: a large table alone; 1: a smaller one with two long index builds behind it.
        let mut s = Scheduler::new(vec![node(&[], 100), node(&[], 60), node(&[1], 50), node(&[1], 40)]);
        assert_eq!(s.next(), Some(1));
        assert_eq!(s.next(), Some(0));
        assert_eq!(s.next(), None);
        s.finish(1);
        assert_eq!(s.next(), Some(2));
        assert_eq!(s.next(), Some(3));
        for id in [0, 2, 3] {
            s.finish(id);
        }
        assert!(s.is_done());
    }

    #[test]
    fn exclusive_locks_keep_others_out() {
        let table = Address::relation(1);
        let with = |need| Node { needs: vec![], locks: vec![(table, need)], cost: 1 };
        let mut s = Scheduler::new(vec![
            with(LockNeed::Shared),
            with(LockNeed::Shared),
            with(LockNeed::Exclusive),
            with(LockNeed::Exclusive),
        ]);
        assert_eq!((s.next(), s.next(), s.next()), (Some(0), Some(1), None));
        s.finish(0);
        assert_eq!(s.next(), None);
        s.finish(1);
        assert_eq!((s.next(), s.next()), (Some(2), None));
        s.finish(2);
        assert_eq!(s.next(), Some(3));
    }

    proptest! {
        /// Random graphs, random finishing order: each task runs once, after its needs, and never beside one
        /// that it would wait for.
        #[test]
        fn every_task_runs_once_after_its_needs(
            shape in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..4), 0u32..4, any::<bool>(), 0u64..100), 1..60),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let nodes: Vec<Node> = shape.iter().enumerate().map(|(i, (needs, table, exclusive, cost))| Node {
                needs: if i == 0 { vec![] } else { let mut n: Vec<_> = needs.iter().map(|x| x.index(i)).collect(); n.sort(); n.dedup(); n },
                locks: vec![(Address::relation(*table), if *exclusive { LockNeed::Exclusive } else { LockNeed::Shared })],
                cost: *cost,
            }).collect();
            let mut s = Scheduler::new(nodes.clone());
            let (mut running, mut done) = (Vec::new(), vec![false; nodes.len()]);
            let mut choice = choices.iter().cycle();
            while !s.is_done() {
                while let Some(id) = s.next() {
                    prop_assert!(!done[id] && !running.contains(&id));
                    prop_assert!(nodes[id].needs.iter().all(|&n| done[n]));
                    for &other in &running {
                        let (a, b): (&Node, &Node) = (&nodes[id], &nodes[other]);
                        let clash = a.locks[0].0 == b.locks[0].0
                            && (a.locks[0].1 == LockNeed::Exclusive || b.locks[0].1 == LockNeed::Exclusive);
                        prop_assert!(!clash);
                    }
                    running.push(id);
                }
                prop_assert!(!running.is_empty(), "nothing runs and nothing can");
                let picked = choice.next().map_or(0, |c| c.index(running.len()));
                let id = running.swap_remove(picked);
                done[id] = true;
                s.finish(id);
            }
            prop_assert!(done.iter().all(|&d| d));
        }
    }
}
