//! Partitions whose rows must find their own way on the target: those under a table partitioned by a hash of OIDs, or by text
//! that the target sorts otherwise.
//!
//! An enum's value hashes as its OID, which the target gives anew (as pg_dump's `forcePartitionRootLoad` has it;
//! arrays, rows and ranges hash as their elements, so they count too). Invariant: all partitions of one such table are routed
//! through the same, topmost one.

use std::collections::HashMap;

use super::{Address, Schema, Table};

/// By partition with rows of its own: the partitioned table to send them through.
pub fn routed(schema: &Schema) -> HashMap<Address, Address> {
    let tables = schema.tables();
    let parent = |table: &Table| table.partition_of.as_ref().map(|p| p.parent.address);
    let mut routed = HashMap::new();
    for (&leaf, table) in &tables {
        let mut above = parent(table);
        while let Some((address, table)) = above.and_then(|a| Some((a, *tables.get(&a)?))) {
            if table.hash_differs || table.by_locale && schema.sorted_otherwise {
                routed.insert(leaf, address);
            }
            above = parent(table);
        }
    }
    routed
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, Object, PartitionOf, Relative};
    use super::*;

    fn object(oid: u32, parent: Option<u32>, hash_differs: bool) -> Object {
        let address = Address::relation;
        let partition_of = parent.map(|p| PartitionOf {
            parent: Relative { address: address(p), name: String::new() },
            bound: String::new(),
        });
        Object {
            address: address(oid),
            namespace: Some("s".into()),
            name: oid.to_string(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Table(Table { partition_of, hash_differs, ..Table::default() }),
        }
    }

    #[test]
    fn through_the_topmost_table_whose_hash_differs() {
        let objects = vec![
            object(1, None, false),
            object(2, Some(1), true),
            object(3, Some(2), true),
            object(4, Some(3), false),
            object(5, Some(1), false),
            object(6, Some(99), false),
        ];
        let schema = Schema { objects, ..Schema::default() };
        let routed = routed(&schema);
        let of = |oid: u32| routed.get(&Address::relation(oid)).map(|a| a.oid);
        assert_eq!([3, 4].map(of), [Some(2), Some(2)]);
        assert_eq!([1, 2, 5, 6].map(of), [None; 4]);
    }

    #[test]
    fn text_finds_its_way_where_it_is_sorted_otherwise() {
        let mut top = object(1, None, false);
        top.definition = Definition::Table(Table { by_locale: true, ..Table::default() });
        let mut schema = Schema { objects: vec![top, object(2, Some(1), false)], ..Schema::default() };
        assert!(routed(&schema).is_empty());
        schema.sorted_otherwise = true;
        assert_eq!(routed(&schema), HashMap::from([(Address::relation(2), Address::relation(1))]));
    }
}
