//! Five hundred trials of the model of the stream.

use crate::mirror::all_hold;

#[test]
fn sixty_of_13() {
    all_hold(13, 13, 1000..1060);
}

#[test]
fn hundred_and_twenty_from_13_to_18() {
    all_hold(13, 18, 1100..1220);
}

#[test]
fn sixty_of_15() {
    all_hold(15, 15, 1300..1360);
}

#[test]
fn sixty_from_16_to_17() {
    all_hold(16, 17, 1400..1460);
}

#[test]
fn sixty_from_17_to_18() {
    all_hold(17, 18, 1500..1560);
}

#[test]
fn hundred_and_forty_of_18() {
    all_hold(18, 18, 1600..1740);
}
