//! Every source with every target that is not older: the kitchen sink and the nasty data.

use crate::harness::assert_same;
use crate::moves::{assert_untouched_source, pair};

/// From this major to each supported target that is not older than it.
fn from(source: u32) {
    for target in source.max(13)..=18 {
        for file in ["kitchen_sink.sql", "nasty_data.sql"] {
            println!("{source} → {target}: {file}");
            let pair = pair(source, target, &[file]);
            pair.offline().ok();
            assert_same(&pair.source, &pair.target);
            assert_untouched_source(&pair.source);
        }
    }
}

#[test]
fn from_10() {
    from(10);
}

#[test]
fn from_11() {
    from(11);
}

#[test]
fn from_12() {
    from(12);
}

#[test]
fn from_13() {
    from(13);
}

#[test]
fn from_14() {
    from(14);
}

#[test]
fn from_15() {
    from(15);
}

#[test]
fn from_16() {
    from(16);
}

#[test]
fn from_17() {
    from(17);
}

#[test]
fn from_18() {
    from(18);
}
