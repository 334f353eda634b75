//! What a child table must say of a column because, or although, its parents say something of it
//! (`flagInhAttrs` in `src/bin/pg_dump/common.c`).
//!
//! Invariant: making the parents and then the child gives the child the defaults, generation expressions and
//! not-null constraints it has on the source, none more, none less.

use std::collections::HashMap;

use super::column::{Column, ColumnDefault, Generated};
use super::object::{Address, Definition, Object};
use super::table::Table;

/// Settles the columns of all children. `named_not_null`: the source keeps not-null constraints in `pg_constraint`
/// (18 and later), so that it is known which are local.
pub fn settle_children(objects: &mut [Object], named_not_null: bool) {
    let tables: HashMap<Address, usize> = objects
        .iter()
        .enumerate()
        .filter(|(_, o)| matches!(o.definition, Definition::Table(_)))
        .map(|(i, o)| (o.address, i))
        .collect();
    // Decided for all first: what a grandchild sees must not depend on whether its parent was settled already.
    let mut settled: Vec<(usize, Vec<Settled>)> = Vec::new();
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
            settled.push((i, columns));
        }
    }
    for (i, columns) in settled {
        if let Definition::Table(table) = &mut objects[i].definition {
            for (column, settled) in table.columns.iter_mut().zip(columns) {
                settled.apply(column);
            }
        }
    }
}

/// What changes in one column.
struct Settled {
    default: Option<Option<ColumnDefault>>,
    not_null_local: Option<bool>,
}

impl Settled {
    fn apply(self, column: &mut Column) {
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
        let separate = !child.writes(column);
        Some(Some(ColumnDefault { oid: 0, expression: "NULL".to_owned(), separate }))
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
    Settled { default, not_null_local }
}
