//! Tables and what belongs to them, views, sequences, statistics, large objects.

use super::{carried, each};

/// Kinds: Table.
#[test]
fn tables() {
    carried("tables");
}

/// Kinds: Table.
#[test]
fn partitions() {
    carried("partitions");
}

/// Kinds: Constraint.
#[test]
fn constraints() {
    carried("constraints");
}

/// Kinds: Index.
#[test]
fn indexes() {
    carried("indexes");
}

/// Kinds: Sequence.
#[test]
fn sequences() {
    carried("sequences");
}

/// Kinds: View.
#[test]
fn views() {
    carried("views");
}

/// Kinds: MaterializedView.
#[test]
fn materialized_views() {
    carried("matviews");
}

/// Kinds: Rule.
#[test]
fn rules() {
    carried("rules");
}

/// Kinds: Trigger.
#[test]
fn triggers() {
    carried("triggers");
}

/// Kinds: Policy.
#[test]
fn policies() {
    carried("policies");
}

/// Kinds: LargeObject.
#[test]
fn large_objects() {
    carried("large_objects");
}

/// Kinds: Statistics. They are filled, too.
#[test]
fn extended_statistics() {
    // Of the two sorts of data that every version has.
    let filled = |version: u32| match version {
        ..12 => {
            "SELECT string_agg(stxname, ',' ORDER BY stxname) FROM pg_statistic_ext WHERE stxndistinct IS NOT NULL OR stxdependencies IS NOT NULL"
        }
        _ => {
            "SELECT string_agg(stxname, ',' ORDER BY stxname) FROM pg_statistic_ext JOIN pg_statistic_ext_data ON oid = stxoid WHERE stxdndistinct IS NOT NULL OR stxddependencies IS NOT NULL OR stxdmcv IS NOT NULL"
        }
    };
    each("statistics", 10, |pair| {
        let here = pair.target.psql(filled(pair.target.cluster.major));
        for name in pair.source.psql(filled(pair.source.cluster.major)).split(',') {
            assert!(here.split(',').any(|n| n == name), "{name} is not filled: {here}");
        }
        assert!(here.contains("on_late") && here.contains("on_m") && here.contains("all_kinds"), "{here}");
    });
}
