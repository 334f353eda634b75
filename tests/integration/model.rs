//! A few trials of the model of the stream; `tests/long` has hundreds.

use crate::mirror::all_hold;

#[test]
fn eight_seeds_of_13() {
    all_hold(13, 13, 1..=8);
}

#[test]
fn eight_seeds_from_13_to_18() {
    all_hold(13, 18, 11..=18);
}

#[test]
fn nine_seeds_of_18() {
    all_hold(18, 18, 21..=29);
}
