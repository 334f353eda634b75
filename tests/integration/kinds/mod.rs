//! Each kind of object, in every variation of it, between every pair of majors that a whole migration is promised for.
//!
//! A kind's script is in `tests/fixtures/kinds`. `make test` runs the pairs of `KIND_PAIRS` in `tests/integration/main.rs`, and
//! `make test-long LONG=kinds::` those in `tests/long/main.rs`. `docs/KINDS.md` is made of this folder: the line `Kinds:` above
//! a test says which kinds of the model it shows.

mod code;
mod foreign;
mod grants;
mod relations;
mod types;

use crate::harness::{assert_same_rows, assert_schema, expected_schema, fixture};
use crate::moves::{Move, assert_untouched_source, pair_with};

/// The pairs in `PG_MIGRATOR_TEST_PAIRS` (`11-18 12-18`), or those of this binary.
pub fn pairs() -> Vec<(u32, u32)> {
    let Ok(list) = std::env::var("PG_MIGRATOR_TEST_PAIRS") else { return crate::KIND_PAIRS.to_vec() };
    let pair = |pair: &str| {
        let (from, to) = pair.split_once('-').expect("FROM-TO");
        (from.parse().expect("a major"), to.parse().expect("a major"))
    };
    list.split_whitespace().map(pair).collect()
}

/// What scripts may ask of the source's version.
const VERSIONS: &str = "SELECT current_setting('server_version_num')::int >= 110000 AS v11,
    current_setting('server_version_num')::int >= 120000 AS v12, current_setting('server_version_num')::int >= 130000 AS v13,
    current_setting('server_version_num')::int >= 140000 AS v14, current_setting('server_version_num')::int >= 150000 AS v15,
    current_setting('server_version_num')::int >= 160000 AS v16, current_setting('server_version_num')::int >= 170000 AS v17,
    current_setting('server_version_num')::int >= 180000 AS v18 \\gset\n";

/// A script of `tests/fixtures/kinds`, which may ask psql's `:v11` to `:v18` of the server's version.
pub fn kind(name: &str) -> String {
    let path = fixture("kinds").join(format!("{name}.sql"));
    let script = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    format!("{VERSIONS}{script}")
}

/// Moves what `script` makes between these majors, and once more over what is then there; the schema arrives as it was.
#[track_caller]
pub fn carried_between(from: u32, to: u32, script: &str) -> Move {
    let pair = pair_with(from, to, script);
    pair.offline().ok();
    let expected = expected_schema(&pair.source, &pair.target);
    assert_schema(&expected, &pair.target);
    pair.offline().arg("--drop-target-first").ok();
    assert_schema(&expected, &pair.target);
    assert_untouched_source(&pair.source);
    pair
}

/// The kind's script between all [`pairs`] whose source is `since` or later; `more` is looked at after each. All pairs are
/// tried, and those that failed are told at the end.
#[track_caller]
pub fn each(name: &str, since: u32, more: impl Fn(&Move)) {
    let script = kind(name);
    let wanted = pairs().into_iter().filter(|(from, _)| *from >= since);
    let fails = |(from, to): &(u32, u32)| {
        eprintln!("{name}: {from} → {to}");
        let look = || more(&carried_between(*from, *to, &script));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).is_err()
    };
    let bad: Vec<(u32, u32)> = wanted.filter(fails).collect();
    assert!(bad.is_empty(), "{name} does not arrive: {bad:?}");
}

/// As [`each`], of all versions; rows arrive as well.
#[track_caller]
pub fn carried(name: &str) {
    each(name, 10, |pair| {
        // Older servers print floats otherwise; kinds have few rows, and none that only they could have.
        if pair.source.cluster.major >= 12 {
            assert_same_rows(&pair.source, &pair.target);
        }
    });
}
