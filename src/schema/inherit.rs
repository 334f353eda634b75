//! What a child table must say of a column because, or although, its parents say something of it
//! (`flagInhAttrs` in `src/bin/pg_dump/common.c`).
//!
//! Invariant: making the parents and then the child gives the child the defaults, generation expressions and
//! not-null constraints it has on the source, none more, none less.

use std::collections::HashMap;

use super::column::{Column, ColumnDefault, Generated};
use super::column_order;
use super::object::{Address, Definition, Object};
use super::table::{Check, Table};

/// Settles the columns of all children. `named_not_null`: the source keeps not-null constraints in `pg_constraint`
/// (18 and later), so that it is known which are local.
pub fn settle_children(objects: &mut [Object], named_not_null: bool) {
    let tables: HashMap<Address, usize> = objects
        .iter()
        .enumerate()
        .filter(|(_, o)| matches!(o.definition, Definition::Table(_)))
        .map(|(i, o)| (o.address, i))
        .collect();
    let mut made_with = HashMap::new();
    // Decided for all first: what a grandchild sees must not depend on whether its parent was settled already.
    let mut settled: Vec<(usize, Vec<Settled>, bool, Vec<Check>)> = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        let Definition::Table(child) = &object.definition else { continue };
        let parents: Vec<&Table> = child
            .parents()
            .filter_map(|p| tables.get(&p.address))
            .filter_map(|p| match &objects[*p].definition {
                Definition::Table(table) => Some(table),
                _ => None,
            })
            .collect();
        if !parents.is_empty() {
            let columns = child.columns.iter().map(|c| settle(child, c, &parents, named_not_null)).collect();
            let all = child.parents().count() == parents.len();
            let apart =
                column_order::differs(child, &parents) || column_order::inherits_storage(child, &parents);
            let reorder = all && child.partition_of.is_none() && apart;
            // Those that the parents have when they are made; others come with the parents' later.
            let inherits = |c: &&Check| {
                tables_of(child, &tables).any(|p| has_when_made(objects, &tables, p, &c.name, &mut made_with))
            };
            let checks =
                if reorder { child.checks.iter().filter(inherits).cloned().collect() } else { Vec::new() };
            settled.push((i, columns, reorder, checks));
        }
    }
    let parents_of: Vec<(usize, Vec<usize>)> = settled
        .iter()
        .filter_map(|(i, ..)| match &objects[*i].definition {
            Definition::Table(table) => {
                Some((*i, table.parents().filter_map(|p| tables.get(&p.address).copied()).collect()))
            }
            _ => None,
        })
        .collect();
    for (i, columns, reorder, checks) in settled {
        if let Definition::Table(table) = &mut objects[i].definition {
            let expressions: Vec<Option<ColumnDefault>> =
                table.columns.iter().map(|c| c.default.clone()).collect();
            for (column, settled) in table.columns.iter_mut().zip(columns) {
                settled.apply(column);
            }
            if reorder {
                table.reordered = table.columns.clone();
                table.reordered_checks = checks;
                for (column, default) in table.reordered.iter_mut().zip(expressions) {
                    column.default = default;
                }
            }
        }
    }
    pass_down_nullable(objects, &parents_of);
}

fn tables_of<'a>(child: &'a Table, tables: &'a HashMap<Address, usize>) -> impl Iterator<Item = usize> + 'a {
    child.parents().filter_map(|p| tables.get(&p.address).copied())
}

/// Whether `CREATE TABLE` gives the table this check: its own, or one that a parent has when that is made. Where a parent's is not
/// valid, or otherwise a step of its own, the child's is valid all the same, and comes with that step.
fn has_when_made(
    objects: &[Object],
    tables: &HashMap<Address, usize>,
    at: usize,
    name: &str,
    known: &mut HashMap<(usize, String), bool>,
) -> bool {
    let key = (at, name.to_owned());
    if let Some(has) = known.get(&key) {
        return *has;
    }
    let Definition::Table(table) = &objects[at].definition else { return false };
    let has = table.checks.iter().any(|c| c.name == name && !c.separate)
        && (table.partition_of.is_some()
            || table.checks.iter().any(|c| c.name == name && c.local)
            || tables_of(table, tables).any(|p| has_when_made(objects, tables, p, name, known)));
    known.insert(key, has);
    has
}

/// A child of a child that may be NULL although its parent's parent may not, may be NULL too.
fn pass_down_nullable(objects: &mut [Object], parents_of: &[(usize, Vec<usize>)]) {
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (child, parents) in parents_of {
            let nullable: Vec<String> = parents
                .iter()
                .filter_map(|p| match &objects[*p].definition {
                    Definition::Table(parent) => Some(&parent.columns),
                    _ => None,
                })
                .flat_map(|columns| columns.iter().filter(|c| c.nullable_child).map(|c| c.name.clone()))
                .collect();
            let Definition::Table(table) = &mut objects[*child].definition else { continue };
            if nullable.is_empty() || table.partition_of.is_some() {
                continue;
            }
            for columns in [&mut table.columns, &mut table.reordered] {
                let more = columns.iter_mut().filter(|c| !c.not_null && !c.nullable_child);
                for column in more.filter(|c| nullable.contains(&c.name)) {
                    column.nullable_child = true;
                    changed = true;
                }
            }
        }
    }
}

/// What changes in one column.
struct Settled {
    nullable_child: bool,
    default: Option<Option<ColumnDefault>>,
    not_null_local: Option<bool>,
}

impl Settled {
    fn apply(self, column: &mut Column) {
        column.nullable_child = self.nullable_child;
        if let Some(default) = self.default {
            column.default = default;
        }
        if let Some((local, not_null)) = self.not_null_local.zip(column.not_null_constraint.as_mut()) {
            not_null.local = local;
        }
    }
}

fn settle(child: &Table, column: &Column, parents: &[&Table], named_not_null: bool) -> Settled {
    let (mut not_null, mut not_valid) = (false, false);
    let (mut default, mut same_generated, mut other_generated) = (false, false, false);
    for parent in parents {
        let Some(theirs) = parent.columns.iter().find(|c| c.name == column.name) else { continue };
        let expression = |c: &Column| c.default.as_ref().map(|d| d.expression.clone());
        not_null |= theirs.not_null;
        not_valid |= theirs.not_null && theirs.not_null_constraint.is_none();
        if theirs.generated == Generated::No {
            default |= expression(theirs).is_some_and(|e| e != "NULL");
        } else if expression(theirs).is_some() && expression(theirs) == expression(column) {
            same_generated = true;
        } else {
            other_generated = true;
        }
    }
    let partition = child.partition_of.is_some();
    let default = if default && column.default.is_none() && !partition {
        // Else the parent's default would be inherited.
        Some(Some(ColumnDefault { oid: 0, expression: "NULL".to_owned(), separate: true }))
    } else if same_generated && !other_generated && !partition {
        // It is inherited, and servers before 16 do not let it be repeated.
        Some(None)
    } else {
        None
    };
    let not_null_local = if named_not_null {
        // The parent's comes after the rows, and would be inherited as not valid; the child's is valid.
        not_valid.then_some(true)
    } else {
        not_null.then_some(false)
    };
    let nullable_child = not_null && !column.not_null && !named_not_null && !partition;
    Settled { nullable_child, default, not_null_local }
}

#[cfg(test)]
mod tests {
    use super::super::{NotNull, PartitionOf, Relative};
    use super::*;

    fn object(oid: u32, table: Table) -> Object {
        Object {
            address: Address::relation(oid),
            namespace: Some("s".into()),
            name: format!("t{oid}"),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Table(table),
        }
    }

    fn column(default: Option<&str>, generated: Generated, not_null: Option<NotNull>) -> Column {
        Column {
            name: "a".into(),
            default: default.map(|e| ColumnDefault { oid: 7, expression: e.into(), separate: true }),
            generated,
            not_null: not_null.is_some(),
            not_null_constraint: not_null,
            ..Column::default()
        }
    }

    fn not_null() -> Option<NotNull> {
        Some(NotNull { local: true, ..NotNull::default() })
    }

    /// The child's column after settling it under a parent.
    fn settled(parent: Column, child: Column, partition: bool, named: bool) -> Column {
        let relative = Relative { address: Address::relation(1), name: "s.t1".into() };
        let mut table = Table { columns: vec![child], ..Table::default() };
        if partition {
            table.partition_of = Some(PartitionOf { parent: relative, bound: "DEFAULT".into() });
        } else {
            table.inherits = vec![relative];
        }
        let parent = Table { columns: vec![parent], ..Table::default() };
        // The child first: the order of objects does not matter.
        let mut objects = vec![object(2, table), object(1, parent)];
        settle_children(&mut objects, named);
        match &objects[0].definition {
            Definition::Table(table) => table.columns[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_default_that_only_the_parent_has_is_kept_off() {
        let plain = || column(None, Generated::No, None);
        let parent = || column(Some("1"), Generated::No, None);
        let off = settled(parent(), plain(), false, false);
        assert_eq!(off.default, Some(ColumnDefault { oid: 0, expression: "NULL".into(), separate: true }));
        let local = settled(parent(), Column { local: true, ..plain() }, false, false);
        assert_eq!(local.default.map(|d| d.separate), Some(true));
        // A partition does not inherit the default when it is attached.
        assert_eq!(settled(parent(), plain(), true, false).default, None);
        assert_eq!(settled(plain(), parent(), false, false).default.map(|d| d.oid), Some(7));
    }

    #[test]
    fn a_generation_expression_is_left_to_the_parent_where_it_is_the_same() {
        let stored = |e| column(Some(e), Generated::Stored, None);
        assert_eq!(settled(stored("x"), stored("x"), false, false).default, None);
        assert!(settled(stored("x"), stored("y"), false, false).default.is_some());
        assert!(settled(stored("x"), stored("x"), true, false).default.is_some());
    }

    #[test]
    fn a_not_null_constraint_is_local_where_the_source_says_so() {
        let with = || column(None, Generated::No, not_null());
        let local = |c: Column| c.not_null_constraint.map(|n| n.local);
        // Without names, a parent's constraint counts as the origin of the child's.
        assert_eq!(local(settled(with(), with(), false, false)), Some(false));
        assert_eq!(local(settled(column(None, Generated::No, None), with(), false, false)), Some(true));
        assert_eq!(local(settled(with(), with(), false, true)), Some(true));
        // A parent's constraint that is not valid comes after the rows; the child's is valid, and its own.
        let not_valid = Column { not_null: true, ..column(None, Generated::No, None) };
        let inherited = column(None, Generated::No, Some(NotNull::default()));
        assert_eq!(local(settled(not_valid, inherited, false, true)), Some(true));
    }
}
