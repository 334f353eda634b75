//! Online migrations over 1, 2, 4 and 16 lanes: the ledger with backlogs to be spread, its fence, and blows.

use crate::trials::{Blow, fenced_over, ledger_over, survives_over};

/// What tears lanes apart: some may have committed a batch that others have not.
const BLOWS: [Blow; 4] = [Blow::Tool, Blow::TargetSessions, Blow::Target, Blow::TargetLink];

fn over(lanes: usize, seed: u64) {
    for (n, (from, to)) in [(13, 18), (15, 15), (18, 18)].into_iter().enumerate() {
        ledger_over(lanes, from, to, seed + n as u64);
    }
    fenced_over(lanes, 17, 18, seed + 3);
    survives_over(lanes, 15, 18, seed + 4, &BLOWS);
}

#[test]
fn one_lane() {
    over(1, 200);
}

#[test]
fn two_lanes() {
    over(2, 210);
}

#[test]
fn four_lanes() {
    over(4, 220);
}

#[test]
fn sixteen_lanes() {
    over(16, 230);
}
