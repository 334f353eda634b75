//! Partitions that are attached by a step of their own, because something has to be made before.
//!
//! What they have of their own on a column that is an identity of the whole comes first.
//! From 17 on a partition takes part in the identity of the partitioned table: no default can be set on that column any more, and
//! where one is there, the partitioned table's column is no longer made an identity (`ATExecAddIdentity` and `ATExecColumnDefault` in
//! `src/backend/commands/tablecmds.c`). Attaching such a partition is allowed. So first the identity is made, then the partition with
//! its own default, and then the one is attached to the other: as older servers have it, and as pg_dump's order has it too.
//!
//! And so does an exclusion constraint that was made `ONLY` on the partitioned table when some partitions were there: those that came
//! later have it, by being attached, and in no other way can an index of that sort become a part of the whole's (see
//! `Constraint::excludes`). The constraint then waits for those that lack it, and those that have it for the constraint.

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

/// An exclusion constraint of a partitioned table that some partitions lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partial {
    /// The constraint, by index in the schema: it is made before the rows.
    pub constraint: usize,
    /// Partitions that are attached before it is made.
    pub lack: Vec<Address>,
    /// Partitions that get it by being attached.
    pub have: Vec<Address>,
}

/// All such constraints.
pub(super) fn partial(schema: &Schema) -> Vec<Partial> {
    let constraints = || {
        schema.objects.iter().enumerate().filter_map(|(at, object)| match &object.definition {
            Definition::Constraint(constraint) => Some((at, constraint)),
            _ => None,
        })
    };
    // By the index of the whole.
    let mut found: HashMap<Address, Partial> = constraints()
        .filter(|(_, c)| c.table_partitioned && c.excludes() && !c.reaches_partitions())
        .filter_map(|(at, c)| Some((at, c.index.as_ref().filter(|i| i.partition_of.is_none())?)))
        .map(|(at, index)| (index.address, Partial { constraint: at, lack: Vec::new(), have: Vec::new() }))
        .collect();
    if found.is_empty() {
        return Vec::new();
    }
    for (_, constraint) in constraints() {
        if let Some(whole) = constraint.attaches_to().and_then(|index| found.get_mut(&index)) {
            whole.have.push(constraint.table.address);
        }
    }
    let mut partitions: HashMap<Address, Vec<Address>> = HashMap::new();
    for object in &schema.objects {
        if let Definition::Table(table) = &object.definition
            && let Some(partition) = &table.partition_of
        {
            partitions.entry(partition.parent.address).or_default().push(object.address);
        }
    }
    let mut found: Vec<Partial> = found.into_values().filter(|partial| !partial.have.is_empty()).collect();
    found.sort_by_key(|partial| partial.constraint);
    for partial in &mut found {
        let Definition::Constraint(constraint) = &schema.objects[partial.constraint].definition else {
            continue;
        };
        let all = partitions.get(&constraint.table.address).into_iter().flatten();
        partial.lack = all.filter(|partition| !partial.have.contains(partition)).copied().collect();
    }
    found
}

/// All partitions that are attached behind their defaults.
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
