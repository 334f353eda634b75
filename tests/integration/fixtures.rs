//! The fixtures themselves: they load on every major, and pg_dump's own round trip of them is clean, so that a
//! difference in a migration's test is the migration's.

use crate::harness::{assert_same, cluster, reference_target};
use crate::moves::filled;

fn round_trip(major: u32, files: &[&str]) {
    let source = filled(cluster(major).database("fixture"), files);
    let copy = reference_target(&source, cluster(major), true);
    assert_same(&source, &copy);
}

#[test]
fn the_kitchen_sink_survives_pg_dump() {
    // From 15 on: pg_dump writes the privileges of the schema public as differences from 15's own.
    for major in majors(&[15, 18]) {
        round_trip(major, &["kitchen_sink.sql"]);
    }
}

#[test]
fn nasty_data_survives_pg_dump() {
    for major in majors(&[15, 18]) {
        round_trip(major, &["nasty_data.sql"]);
    }
}

#[test]
fn the_fixtures_load() {
    for major in majors(&[13, 16, 17]) {
        filled(cluster(major).database("fixture"), &["kitchen_sink.sql"]);
        filled(cluster(major).database("fixture"), &["nasty_data.sql"]);
    }
}

/// The majors in `PG_MIGRATOR_TEST_MAJORS`, or these.
fn majors(usual: &[u32]) -> Vec<u32> {
    match std::env::var("PG_MIGRATOR_TEST_MAJORS") {
        Ok(list) => list.split(' ').map(|m| m.parse().unwrap()).collect(),
        Err(_) => usual.to_vec(),
    }
}
