//! Partitions that are attached behind what they have of their own on a column that is an identity of the whole.
//!
//! From 17 on a partition takes part in the identity of the partitioned table: no default can be set on that column any more, and
//! where one is there, the partitioned table's column is no longer made an identity (`ATExecAddIdentity` and `ATExecColumnDefault` in
//! `src/backend/commands/tablecmds.c`). Attaching such a partition is allowed. So first the identity is made, then the partition with
//! its own default, and then the one is attached to the other: as older servers have it, and as pg_dump's order has it too.

use std::collections::HashMap;

use super::quote::quote_ident;
use super::{Address, Definition, Generated, Object, Schema, Table};

/// A partition to be attached by a step of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LateAttach {
    /// The partition, by index in the schema.
    pub object: usize,
    /// Its columns that have a default of their own, by index; it comes first.
    pub defaults: Vec<usize>,
    /// Identity sequences that come first, by index in the schema: those of the whole, and the partition's own.
    pub sequences: Vec<usize>,
}

/// `ATTACH PARTITION`, for a partition.
pub(super) fn attach(table: &Table, object: &Object) -> Option<String> {
    let partition = table.partition_of.as_ref()?;
    Some(format!(
        "ALTER TABLE ONLY {} ATTACH PARTITION {} {}",
        partition.parent.name,
        object.qualified_name(),
        partition.bound
    ))
}

/// All such partitions.
pub(super) fn late(schema: &Schema) -> Vec<LateAttach> {
    let mut of_column: HashMap<(Address, &str), Vec<usize>> = HashMap::new();
    for (at, object) in schema.objects.iter().enumerate() {
        if let Definition::Sequence(sequence) = &object.definition
            && let Some(owner) = sequence.owned_by.as_ref().filter(|_| sequence.identity.is_some())
        {
            of_column.entry((owner.table.address, owner.column.as_str())).or_default().push(at);
        }
    }
    if of_column.is_empty() {
        return Vec::new();
    }
    let tables = schema.tables();
    let mut found = Vec::new();
    for (at, object) in schema.objects.iter().enumerate() {
        let Definition::Table(table) = &object.definition else { continue };
        let Some(root) = root(&tables, table) else { continue };
        let (mut defaults, mut sequences) = (Vec::new(), Vec::new());
        for (index, column) in table.columns.iter().enumerate() {
            let Some(of_root) = of_column.get(&(root, column.name.as_str())) else { continue };
            let own = of_column.get(&(object.address, column.name.as_str()));
            let default = column.default.as_ref().is_some_and(|d| d.oid != 0);
            let default = default && column.generated == Generated::No;
            if default {
                defaults.push(index);
            }
            if default || own.is_some() {
                sequences.extend(of_root.iter().chain(own.into_iter().flatten()));
            }
        }
        if !sequences.is_empty() {
            found.push(LateAttach { object: at, defaults, sequences });
        }
    }
    found
}

/// The partitioned table at the top.
fn root(tables: &HashMap<Address, &Table>, table: &Table) -> Option<Address> {
    let mut up = table.partition_of.as_ref()?.parent.address;
    // No hierarchy of partitions is this deep.
    for _ in 0..64 {
        match tables.get(&up)?.partition_of.as_ref() {
            Some(partition) => up = partition.parent.address,
            None => break,
        }
    }
    Some(up)
}

/// What such a default is worth on a server of 17 or later, in words, by index of the partition.
pub(super) fn idle_defaults(schema: &Schema) -> HashMap<usize, String> {
    let say = |late: LateAttach| {
        let Definition::Table(table) = &schema.objects[late.object].definition else { return None };
        let names: Vec<String> = late
            .defaults
            .iter()
            .filter_map(|&i| table.columns.get(i))
            .map(|c| quote_ident(&c.name))
            .collect();
        let message = format!(
            "the identity of the partitioned table comes before the default of column {} from 17 on, also for rows that are inserted into the partition",
            names.join(", ")
        );
        (!names.is_empty()).then_some((late.object, message))
    };
    late(schema).into_iter().filter_map(say).collect()
}
