//! Two hundred random schemas.

use crate::random_schemas::all_arrive;

#[test]
fn seventy_of_18() {
    all_arrive(18, 18, 1000..1070);
}

#[test]
fn fifty_of_15() {
    all_arrive(15, 15, 1100..1150);
}

#[test]
fn thirty_from_16_to_17() {
    all_arrive(16, 17, 1200..1230);
}

#[test]
fn fifty_from_13_to_18() {
    all_arrive(13, 18, 1300..1350);
}
