//! Random schemas: two hundred, and twenty with what the generator came to draw later.

use crate::random_schemas::all_arrive;

#[test]
fn fifty_of_18() {
    all_arrive(18, 18, 1000..1050);
}

#[test]
fn forty_of_15() {
    all_arrive(15, 15, 1100..1140);
}

#[test]
fn ten_of_18_with_exclusions_of_the_whole_alone() {
    all_arrive(18, 18, 2000..2010);
}

#[test]
fn ten_from_15_to_18_with_exclusions_of_the_whole_alone() {
    all_arrive(15, 18, 2010..2020);
}

#[test]
fn thirty_from_16_to_17() {
    all_arrive(16, 17, 1200..1230);
}

#[test]
fn thirty_from_13_to_18() {
    all_arrive(13, 18, 1300..1330);
}

#[test]
fn twenty_from_10_to_18() {
    all_arrive(10, 18, 1400..1420);
}

#[test]
fn thirty_from_17_to_18() {
    all_arrive(17, 18, 1500..1530);
}
