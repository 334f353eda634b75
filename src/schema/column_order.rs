//! The order of an inheriting table's columns where it is not the one that `INHERITS` gives: parents that got columns
//! after their children were made, children that were attached to their parents. And their storage, which a new child
//! takes from its parents and an old one does not.
//!
//! `CREATE TABLE … INHERITS` puts the parents' columns first, and pg_dump leaves it at that: `INSERT` without a list of
//! columns, `SELECT *` and row types then mean something else. A column that is not the child's own can only come from a
//! parent, so a parent for the moment is made with the child's columns in their order; the child inherits from it, then
//! from its own parents as well, and is let go of the first. Invariant: what is local to the child and what is inherited is as on
//! the source, because `NO INHERIT` makes a column local only where no other parent has it.

use super::column::Generated;
use super::object::Object;
use super::quote::{qualified, quote_ident};
use super::table::Table;
use super::{Check, Column, RenderOptions};

/// Whether the child's columns stand elsewhere than `INHERITS` would put them.
pub(super) fn differs(child: &Table, parents: &[&Table]) -> bool {
    let mut natural: Vec<&str> = Vec::with_capacity(child.columns.len());
    let mut known = std::collections::HashSet::new();
    let inherited = parents.iter().flat_map(|p| &p.columns);
    for column in inherited.chain(child.columns.iter().filter(|c| c.local)) {
        if known.insert(column.name.as_str()) {
            natural.push(&column.name);
        }
    }
    !natural.into_iter().eq(child.columns.iter().map(|c| c.name.as_str()))
}

/// Whether `INHERITS` would give a column of the child a parent's storage or compression where it has its type's own; or would fail,
/// because two parents have not the same.
pub(super) fn inherits_storage(child: &Table, parents: &[&Table]) -> bool {
    let kept = |c: &Column| (c.storage, c.compression);
    child.columns.iter().any(|column| {
        let theirs = parents.iter().flat_map(|p| &p.columns).filter(|c| c.name == column.name);
        let mut theirs = theirs.map(kept);
        let Some(first) = theirs.next() else { return false };
        let ours = kept(column);
        first.0.is_some() && ours.0.is_none()
            || first.1.is_some() && ours.1.is_none()
            || theirs.any(|other| other != first)
    })
}

/// The table, made as an heir of its parents, by way of another one where the order of its columns asks for that.
pub(super) fn create(table: &Table, object: &Object, options: &RenderOptions) -> Vec<String> {
    let name = object.qualified_name();
    if table.reordered.is_empty() {
        let parents: Vec<String> = table.inherits.iter().map(|p| p.name.clone()).collect();
        return vec![table.create_table(&name, &parents, options)];
    }
    let stand_in = stand_in(object);
    let mut out = vec![make(&stand_in, &table.reordered, &table.reordered_checks)];
    // The stand-in has the expressions already, and servers before 16 do not let them be repeated.
    let mut heir = table.clone();
    heir.columns.iter_mut().filter(|c| c.generated != Generated::No).for_each(|c| c.default = None);
    out.push(heir.create_table(&name, std::slice::from_ref(&stand_in), options));
    out.extend(table.inherits.iter().map(|p| format!("ALTER TABLE {name} INHERIT {}", p.name)));
    out.push(format!("ALTER TABLE {name} NO INHERIT {stand_in}"));
    out.push(format!("DROP TABLE {stand_in}"));
    out
}

/// The actions that let columns be NULL again which a parent's may not be. From 18 on what is inherited cannot be
/// dropped; Validate says so.
pub(super) fn nullable(table: &Table, options: &RenderOptions) -> Vec<String> {
    if options.target_version.is_some_and(|v| v >= 180_000) {
        return Vec::new();
    }
    let nullable = table.columns.iter().filter(|c| c.nullable_child);
    nullable.map(|c| format!("ALTER COLUMN {} DROP NOT NULL", quote_ident(&c.name))).collect()
}

/// The parent for the moment.
fn stand_in(object: &Object) -> String {
    qualified(
        object.namespace.as_deref().unwrap_or("public"),
        &format!("_pg_migrator_{}", object.address.oid),
    )
}

/// What makes it.
fn make(name: &str, columns: &[Column], checks: &[Check]) -> String {
    let columns = columns.iter().map(|column| {
        let mut out = format!("{} {}", quote_ident(&column.name), column.type_name);
        if let Some(collation) = &column.collation {
            out.push_str(&format!(" COLLATE {collation}"));
        }
        match (column.generated, &column.default) {
            (Generated::Stored, Some(d)) => {
                out.push_str(&format!(" GENERATED ALWAYS AS ({}) STORED", d.expression))
            }
            (Generated::Virtual, Some(d)) => {
                out.push_str(&format!(" GENERATED ALWAYS AS ({})", d.expression))
            }
            _ => {}
        }
        // What is only the child's own it writes itself; one without a name here gets it from this table's.
        let inherited = column.not_null_constraint.as_ref().filter(|n| !n.local);
        if let Some(name) = inherited.and_then(|n| n.name.as_ref()) {
            out.push_str(&format!(" CONSTRAINT {} NOT NULL", quote_ident(name)));
        } else if inherited.is_some() || column.nullable_child {
            out.push_str(" NOT NULL");
        }
        out
    });
    let checks = checks.iter().filter(|c| !c.local && !c.no_inherit && !c.separate);
    let checks = checks.map(|c| format!("CONSTRAINT {} {}", quote_ident(&c.name), c.definition));
    let elements: Vec<String> = columns.chain(checks).collect();
    format!("CREATE TABLE {name} (\n    {}\n)", elements.join(",\n    "))
}
