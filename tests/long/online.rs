//! Online migrations by the dozen: seeds of the ledger, kills at random points, a transaction of ten million rows.

use crate::harness::Chance;
use crate::trials::{ALL_BLOWS, fenced, huge_transaction, ledger, survives};

/// Memory that no transaction's size may pass, in kilobytes.
const MEMORY_KB: u64 = 300 * 1024;

#[test]
fn ten_seeds_of_the_ledger_13_to_18() {
    (100..110).for_each(|seed| ledger(13, 18, seed));
}

#[test]
fn ten_seeds_of_the_ledger_15_to_15() {
    (110..120).for_each(|seed| ledger(15, 15, seed));
}

#[test]
fn ten_seeds_of_the_ledger_17_to_18() {
    (120..130).for_each(|seed| ledger(17, 18, seed));
}

#[test]
fn ten_seeds_into_the_fence() {
    for seed in 130..140 {
        let (from, to) = [(13, 18), (15, 15), (17, 18)][seed as usize % 3];
        fenced(from, to, seed);
    }
}

/// Four migrations, six different blows to each, in random order, at random points.
#[test]
fn twenty_four_blows() {
    for seed in 140..144 {
        let mut chance = Chance::new(seed);
        let mut blows = ALL_BLOWS.to_vec();
        for at in (1..blows.len()).rev() {
            blows.swap(at, chance.between(0, at as i64) as usize);
        }
        blows.truncate(6);
        let (from, to) = [(13, 18), (15, 15), (17, 18)][seed as usize % 3];
        survives(from, to, seed, &blows);
    }
}

#[test]
fn ten_million_rows_in_one_transaction() {
    let peak = huge_transaction(15, 18, 10_000_000);
    assert!(peak < MEMORY_KB, "{peak} kB");
}
