//! The pre-data section: schemas, types, functions, tables … in transactions, of which those that need nothing of
//! each other run beside each other.
//!
//! A step's depth is the longest way down its needs. Of one depth, steps of kinds that only add rows to the catalogs
//! of their own object may run in any order on any connection; all others (an extension, an operator that fills in its
//! commutator's row …) run alone, and so do depths of few steps, which are not worth the waiting. Invariants: every step
//! of the section is in exactly one list; what it needs is before it there, or in an earlier [`Wave`]; within a wave no two lists
//! lock the same table so that one would wait for the other.

use std::collections::HashMap;

use crate::schema::{Section, Step};

/// Steps that need nothing of each other, but for those in one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Each in its order, on one connection.
    pub lists: Vec<Vec<usize>>,
    /// Steps of a list that are one transaction.
    pub transaction: usize,
}

/// Objects of one transaction, at most: each may hold several locks until it commits, and the server's lock table is
/// limited (`max_locks_per_transaction`).
const TRANSACTION: usize = 200;
/// Objects of transactions that run at the same time, at most, for the same reason.
const AT_ONCE: usize = 400;
/// Objects of a depth below which it is not spread over connections.
const FEW: usize = 16;

/// Kinds that touch nothing but their own object and, if it is a table, those it belongs to or inherits from.
const APART: [&str; 9] = [
    "TYPE",
    "DOMAIN",
    "FUNCTION",
    "PROCEDURE",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
];

/// Kinds that the server looks up by types when others are made, without a record that those need them: views written with a cast,
/// statistics on a column, an `ORDER BY`. What is behind them in the order of all steps stays behind them.
const LOOKED_UP: [&str; 5] =
    ["EXTENSION", "CAST", "OPERATOR CLASS", "OPERATOR FAMILY", "MEMBERS OF OPERATOR FAMILY"];

/// What is added to an extension is made in a later transaction than it, which is all that tells the two apart afterwards.
const ADDED: &str = "MEMBERS OF OPERATOR FAMILY";

/// The waves of the pre-data steps, over so many connections.
pub fn waves(steps: &[Step], jobs: usize) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut alone: Vec<usize> = Vec::new();
    for depth in by_depth(steps) {
        let (apart, other): (Vec<usize>, Vec<usize>) =
            depth.into_iter().partition(|&i| APART.contains(&steps[i].kind));
        if other.iter().any(|&i| steps[i].kind == ADDED) {
            waves.extend(one_by_one(&mut alone));
        }
        alone.extend(other);
        if jobs < 2 || apart.len() < FEW {
            alone.extend(apart);
            continue;
        }
        waves.extend(one_by_one(&mut alone));
        waves.push(lists(groups(steps, &apart), jobs));
    }
    waves.extend(one_by_one(&mut alone));
    waves
}

/// Steps of the section by the longest way down their needs; in order within a depth.
fn by_depth(steps: &[Step]) -> Vec<Vec<usize>> {
    let (mut depths, mut least) = (vec![0; steps.len()], 0);
    let mut all: Vec<Vec<usize>> = Vec::new();
    for (i, step) in steps.iter().enumerate().filter(|(_, s)| s.section == Section::PreData) {
        let below = step.needs.iter().filter(|&&n| steps[n].section == Section::PreData);
        let own = below.map(|&n| depths[n] + 1).max().unwrap_or(0);
        if LOOKED_UP.contains(&step.kind) {
            depths[i] = own;
            least = least.max(own + 1);
        } else {
            depths[i] = own.max(least);
        }
        if all.len() <= depths[i] {
            all.resize_with(depths[i] + 1, Vec::new);
        }
        all[depths[i]].push(i);
    }
    all
}

/// What was gathered for one connection, if anything.
fn one_by_one(steps: &mut Vec<usize>) -> Option<Wave> {
    let list = std::mem::take(steps);
    (!list.is_empty()).then(|| Wave { lists: vec![list], transaction: TRANSACTION })
}

/// Steps of one depth, those together that would wait for each other's locks.
fn groups(steps: &[Step], depth: &[usize]) -> Vec<Vec<usize>> {
    let mut sharers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, &i) in depth.iter().enumerate() {
        for &need in &steps[i].needs {
            sharers.entry(need).or_default().push(at);
        }
    }
    let mut union: Vec<usize> = (0..depth.len()).collect();
    for (need, sharers) in &sharers {
        let alters = |&at: &usize| {
            let step = &steps[depth[at]];
            // A child of a table, an identity, or a further piece of an object.
            let of_table = ["TABLE", "SEQUENCE"].contains(&step.kind) && steps[*need].kind == "TABLE";
            of_table || step.address == steps[*need].address
        };
        if sharers.iter().any(alters) {
            for pair in sharers.windows(2) {
                let (a, b) = (find(&mut union, pair[0]), find(&mut union, pair[1]));
                union[a.max(b)] = a.min(b);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); depth.len()];
    for (at, &i) in depth.iter().enumerate() {
        groups[find(&mut union, at)].push(i);
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn find(union: &mut [usize], mut at: usize) -> usize {
    while union[at] != at {
        union[at] = union[union[at]];
        at = union[at];
    }
    at
}

/// Groups packed into lists, several for each connection, because some take longer than others.
fn lists(groups: Vec<Vec<usize>>, jobs: usize) -> Wave {
    let steps: usize = groups.iter().map(Vec::len).sum();
    let most = (AT_ONCE / jobs).clamp(FEW / 2, TRANSACTION);
    let transaction = (steps / (jobs * 4)).clamp(FEW / 2, most);
    let mut lists: Vec<Vec<usize>> = Vec::new();
    for group in groups {
        match lists.last_mut() {
            Some(last) if last.len() + group.len() <= transaction => last.extend(group),
            _ => lists.push(group),
        }
    }
    // The longest first: nobody should wait for it at the end.
    lists.sort_by_key(|list| std::cmp::Reverse(list.len()));
    Wave { lists, transaction }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::schema::Address;

    #[test]
    fn what_is_looked_up_without_a_record_stays_before() {
        let steps = [
            step(0, "FUNCTION", vec![]),
            step(1, "CAST", vec![0]),
            step(2, "OPERATOR CLASS", vec![]),
            step(3, "TABLE", vec![]),
            step(4, "STATISTICS", vec![3]),
        ];
        assert_eq!(by_depth(&steps), [vec![0, 2], vec![1], vec![3], vec![4]]);
    }

    fn step(number: usize, kind: &'static str, needs: Vec<usize>) -> Step {
        let address = Address::relation(u32::try_from(number).expect("few steps"));
        let identity = format!("{kind} {number}");
        let (create, acl, drop, locks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Step {
            address,
            kind,
            identity,
            section: Section::PreData,
            create,
            index_first: None,
            acl,
            drop,
            needs,
            locks,
        }
    }

    #[test]
    fn tables_are_spread_and_few_steps_are_not() {
        let mut steps = vec![step(0, "SCHEMA", vec![])];
        steps.extend((1..=100).map(|i| step(i, "TABLE", vec![0])));
        steps.extend((101..=110).map(|i| step(i, "VIEW", vec![i - 100])));
        let waves = waves(&steps, 2);
        assert_eq!(waves.len(), 3);
        assert_eq!(waves[0].lists, [[0]]);
        assert!(waves[1].lists.len() >= 4 && waves[1].lists.iter().all(|l| l.len() <= waves[1].transaction));
        assert_eq!(waves[2].lists, [(101..=110).collect::<Vec<_>>()]);
    }

    #[test]
    fn children_of_one_table_stay_together_and_so_do_views_on_it() {
        let mut steps = vec![step(0, "TABLE", vec![])];
        steps.extend((1..=60).map(|i| step(i, "TABLE", vec![0])));
        steps.push(step(61, "VIEW", vec![0]));
        steps.extend((62..=120).map(|i| step(i, "FUNCTION", vec![])));
        let waves = waves(&steps, 4);
        let children = waves.iter().flat_map(|w| &w.lists).find(|l| l.contains(&1)).expect("a list");
        assert_eq!(children, &(1..=61).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_added_to_an_extension_is_of_another_transaction() {
        let steps = [step(0, "SCHEMA", vec![]), step(1, "EXTENSION", vec![0]), step(2, ADDED, vec![1])];
        for jobs in [1, 4] {
            let lists: Vec<Vec<usize>> = waves(&steps, jobs).into_iter().flat_map(|w| w.lists).collect();
            assert_eq!(lists, [vec![0, 1], vec![2]]);
        }
    }

    #[test]
    fn one_connection_gets_all_in_one_list() {
        let steps: Vec<Step> = (0..300).map(|i| step(i, "TABLE", vec![])).collect();
        let waves = waves(&steps, 1);
        assert_eq!(waves, [Wave { lists: vec![(0..300).collect()], transaction: TRANSACTION }]);
    }

    proptest! {
        #[test]
        fn whatever_is_needed_is_there(
            kinds in prop::collection::vec((0..APART.len() + 2, prop::collection::vec(any::<prop::sample::Index>(), 0..3)), 1..400),
            jobs in 1_usize..9,
        ) {
            let steps: Vec<Step> = kinds
                .iter()
                .enumerate()
                .map(|(i, (kind, needs))| {
                    let needs = if i == 0 { vec![] } else { needs.iter().map(|n| n.index(i)).collect() };
                    step(i, APART.get(*kind).copied().unwrap_or("EXTENSION"), needs)
                })
                .collect();
            let (mut done, mut count) = (HashSet::new(), 0);
            for wave in waves(&steps, jobs) {
                for list in &wave.lists {
                    let mut here: HashSet<usize> = HashSet::new();
                    for &i in list {
                        prop_assert!(steps[i].needs.iter().all(|n| done.contains(n) || here.contains(n)));
                        here.insert(i);
                        count += 1;
                    }
                }
                done.extend(wave.lists.into_iter().flatten());
            }
            prop_assert_eq!((count, done.len()), (steps.len(), steps.len()));
        }
    }
}
