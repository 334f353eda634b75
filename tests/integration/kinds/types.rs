//! Schemas, types of all sorts, and what is made around types.

use super::{carried, each};

/// Kinds: Namespace.
#[test]
fn schemas() {
    carried("schemas");
}

/// Kinds: Enum.
#[test]
fn enums() {
    carried("enums");
}

/// Kinds: Domain.
#[test]
fn domains() {
    carried("domains");
}

/// Kinds: Composite.
#[test]
fn composites() {
    carried("composites");
}

/// Kinds: Range.
#[test]
fn ranges_and_multiranges() {
    carried("ranges");
}

/// Kinds: BaseType.
#[test]
fn base_types() {
    carried("base_types");
}

/// Kinds: Cast.
#[test]
fn casts() {
    carried("casts");
}

/// Kinds: Collation.
#[test]
fn collations() {
    carried("collations");
}

/// Kinds: Conversion.
#[test]
fn conversions() {
    carried("conversions");
}

/// Kinds: Extension. What leans on extensions that have members of the same kinds comes once, and so do the extensions.
#[test]
fn kinds_that_lean_on_extensions() {
    carried("on_extensions");
}

/// Kinds: Table, Constraint. What came with 18: NOT NULL constraints as objects of the catalog, virtual generated columns, temporal
/// constraints, constraints that are not enforced.
#[test]
fn what_came_with_18() {
    each("eighteen", 18, |_| {});
}
