//! Which types may be copied in binary between two servers.
//!
//! Binary COPY sends what a type's send function makes. That is safe when the format is the same in all versions from
//! 10 to 18 and holds no OID that only the source knows: `array_send` and `record_send` write the OIDs of
//! element and attribute types, which are the same everywhere for built-in types only. From 14 on `array_recv` and
//! `record_recv` read past such an OID unless it is a built-in type's. Invariant: a type that is not known to be safe
//! is not safe; text always works.

use std::collections::HashMap;

/// Built-in types below this OID have the same OID on every server (`FirstGenbkiObjectId`).
const FIRST_UNPINNED: u32 = 10_000;

/// What the catalogs say of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFacts {
    /// `typname`
    pub name: String,
    /// `typtype`: `b`, `c`, `d`, `e`, `m`, `p` or `r`.
    pub kind: char,
    /// The element type of an array (variable length, `typelem`); else 0.
    pub element: u32,
    /// The type a domain is over; else 0.
    pub base: u32,
    /// A range's subtype, or a multirange's range; else 0.
    pub subtype: u32,
    /// Types of the attributes of a composite type.
    pub attributes: Vec<u32>,
    /// The extension it belongs to.
    pub extension: Option<String>,
    /// Whether it has a send and a receive function.
    pub sends: bool,
}

/// Base types of `pg_catalog` whose binary format is stable. Not here: `xml` (whose receive function rewrites the
/// declaration), `reg*` and `aclitem` (OIDs), the internal `pg_*` types, and those that do not receive what they send when it is
/// empty (`tsqueryrecv`, `oidvectorrecv`, `int2vectorrecv`).
const BASE_TYPES: &[&str] = &[
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cid",
    "cidr",
    "circle",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "oid",
    "path",
    "pg_lsn",
    "pg_snapshot",
    "point",
    "polygon",
    "refcursor",
    "text",
    "tid",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsvector",
    "txid_snapshot",
    "uuid",
    "varbit",
    "varchar",
    "xid",
    "xid8",
];

/// Types of contrib modules whose binary format is stable, as (extension, type).
const CONTRIB_TYPES: &[(&str, &str)] = &[("citext", "citext"), ("hstore", "hstore"), ("ltree", "ltree")];

/// To which targets values of a type may be copied in binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinarySafety {
    /// To none.
    #[default]
    Never,
    /// To 14 and later: what arrays and composites hold are types with OIDs of the source's own.
    To14,
    /// To every target.
    Always,
}

impl BinarySafety {
    /// Whether it is safe to a target of this `server_version_num`.
    pub fn holds_for(self, target_version: u32) -> bool {
        match self {
            BinarySafety::Never => false,
            BinarySafety::To14 => target_version >= 140_000,
            BinarySafety::Always => true,
        }
    }
}

/// To which targets values of type `oid` may be copied in binary, given what is known of it and of the types it is made
/// of.
pub fn binary_safety(oid: u32, types: &HashMap<u32, TypeFacts>) -> BinarySafety {
    safety_within(oid, types, 32)
}

/// A type cannot contain itself but through an array; `depth` ends a recursion that broken catalogs could cause.
fn safety_within(oid: u32, types: &HashMap<u32, TypeFacts>, depth: u32) -> BinarySafety {
    use BinarySafety::{Always, Never, To14};
    let Some(facts) = types.get(&oid).filter(|t| t.sends && depth > 0) else { return Never };
    let inner = |oid: u32| safety_within(oid, types, depth - 1);
    // What is written with its OID inside.
    let with_oid = |oid: u32| if oid < FIRST_UNPINNED { inner(oid) } else { inner(oid).min(To14) };
    let known = |known: bool| if known { Always } else { Never };
    match facts.kind {
        'b' if oid < FIRST_UNPINNED && BASE_TYPES.binary_search(&facts.name.as_str()).is_ok() => Always,
        'b' if ["int2vector", "oidvector"].contains(&facts.name.as_str()) && oid < FIRST_UNPINNED => Never,
        'b' if facts.element != 0 => with_oid(facts.element),
        'b' => known(
            facts.extension.as_deref().is_some_and(|e| CONTRIB_TYPES.contains(&(e, facts.name.as_str()))),
        ),
        'c' => facts.attributes.iter().map(|a| with_oid(*a)).min().unwrap_or(Always),
        'd' => inner(facts.base),
        'e' => Always,
        'r' | 'm' => inner(facts.subtype),
        _ => Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(name: &str) -> TypeFacts {
        TypeFacts { name: name.into(), kind: 'b', sends: true, ..TypeFacts::default() }
    }

    fn array(element: u32) -> TypeFacts {
        TypeFacts { element, ..base("_a") }
    }

    fn kind(kind: char) -> TypeFacts {
        TypeFacts { kind, sends: true, ..TypeFacts::default() }
    }

    fn types() -> HashMap<u32, TypeFacts> {
        HashMap::from([
            (23, base("int4")),
            (25, base("text")),
            (142, base("xml")),
            (2205, base("regclass")),
            (1007, array(23)),
            (143, array(142)),
            (3615, base("tsquery")),
            (30, TypeFacts { element: 26, ..base("oidvector") }),
            (26, base("oid")),
            (20_000, kind('e')),
            (20_001, array(20_000)),
            (20_002, TypeFacts { attributes: vec![23, 1007], ..kind('c') }),
            (20_003, TypeFacts { attributes: vec![23, 20_000], ..kind('c') }),
            (20_004, array(20_002)),
            (20_005, TypeFacts { base: 1007, ..kind('d') }),
            (20_006, TypeFacts { base: 20_001, ..kind('d') }),
            (20_007, TypeFacts { subtype: 20_000, ..kind('r') }),
            (20_008, TypeFacts { subtype: 20_007, ..kind('m') }),
            (20_009, TypeFacts { subtype: 20_001, ..kind('r') }),
            (20_010, TypeFacts { extension: Some("hstore".into()), ..base("hstore") }),
            (20_011, TypeFacts { extension: Some("ltree".into()), sends: false, ..base("ltree") }),
            (20_012, base("hstore")),
            (20_013, base("text")),
            (20_014, TypeFacts { base: 20_014, ..kind('d') }),
        ])
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(BASE_TYPES.is_sorted());
    }

    #[test]
    fn what_holds_an_oid_of_the_source_only_is_not_safe() {
        let types = types();
        let of = |safety: BinarySafety| {
            let mut found: Vec<u32> =
                types.keys().copied().filter(|t| binary_safety(*t, &types) == safety).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(
            of(BinarySafety::Always),
            [23, 25, 26, 1007, 20_000, 20_002, 20_005, 20_007, 20_008, 20_010]
        );
        assert_eq!(of(BinarySafety::To14), [20_001, 20_003, 20_004, 20_006, 20_009]);
        assert_eq!(of(BinarySafety::Never), [30, 142, 143, 2205, 3615, 20_011, 20_012, 20_013, 20_014]);
        assert!(BinarySafety::To14.holds_for(140_000) && !BinarySafety::To14.holds_for(130_023));
    }

    #[test]
    fn an_unknown_type_is_not_safe() {
        assert_eq!(binary_safety(99, &types()), BinarySafety::Never);
    }
}
