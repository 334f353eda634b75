//! Decides what takes part in the migration: pure data in, pure data out.
//!
//! Invariant: what is left out although it belongs to the user is named in [`Schema::left_out`] or was filtered out by
//! the operator; nothing else disappears. Members of extensions come with their extension.

use std::collections::{HashMap, HashSet};

use super::acl::Privileges;
use super::comment::RawComment;
use crate::config::Filter;
use crate::schema::{Address, Comment, CommentOn, Definition, LeftOut, Object, Schema, class};

/// Drops members of extensions and what `filter` leaves out, then hangs comments and privileges on the rest.
pub(super) fn select(
    mut schema: Schema,
    members: &HashMap<Address, Address>,
    comments: Vec<RawComment>,
    mut privileges: Privileges,
    filter: &Filter,
) -> Schema {
    schema.objects.retain(|o| !is_member(o, members));
    for (member, extension) in members {
        schema.aliases.insert(*member, *extension);
    }
    if !filter.is_everything() {
        apply_filter(&mut schema, filter);
    }
    attach_comments(&mut schema, comments);
    for object in &mut schema.objects {
        object.acl = privileges.of.remove(&object.address);
    }
    schema.unsupported.append(&mut privileges.changed);
    schema
}

/// Whether the object, or the relation it belongs to, came with an extension.
fn is_member(object: &Object, members: &HashMap<Address, Address>) -> bool {
    members.contains_key(&object.address) || object.parent.is_some_and(|p| members.contains_key(&p))
}

/// Whether the operator's filter takes the object for itself; objects with a parent follow it.
fn is_taken(object: &Object, filter: &Filter) -> bool {
    let schema = object.namespace.as_deref();
    match &object.definition {
        Definition::Namespace(_) => filter.takes_schema(&object.name),
        Definition::LargeObject(_) => false,
        Definition::Table(_) | Definition::View(_) | Definition::MaterializedView(_) => {
            schema.is_some_and(|s| filter.takes_table(s, &object.name))
        }
        // Global default privileges live in no schema.
        _ => schema.is_some_and(|s| filter.takes_schema(s)),
    }
}

/// Removes what the filter leaves out, and what cannot be without it.
fn apply_filter(schema: &mut Schema, filter: &Filter) {
    let index: HashMap<Address, usize> =
        schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect();
    let resolve =
        |a: Address| index.get(&a).or_else(|| schema.aliases.get(&a).and_then(|b| index.get(b))).copied();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); schema.objects.len()];
    for (dependent, needs) in &schema.depends {
        let needs: Vec<usize> = needs.iter().filter_map(|a| resolve(*a)).collect();
        let owners = match resolve(*dependent) {
            Some(owner) => vec![owner],
            // A column default or a check has no object of its own: it is part of the table or domain it names.
            None => needs.iter().copied().filter(|i| holds_parts(&schema.objects[*i])).collect(),
        };
        for owner in owners {
            needs.iter().filter(|n| **n != owner).for_each(|n| needed_by[*n].push(owner));
        }
    }

    // Extensions and their schemas come when something needs them, so they never drag anything out.
    let on_demand = |o: &Object| matches!(o.definition, Definition::Extension(_) | Definition::Namespace(_));
    let mut kept: Vec<bool> = schema.objects.iter().map(|o| is_taken(o, filter)).collect();
    for (i, object) in schema.objects.iter().enumerate() {
        if let Some(parent) = object.parent.and_then(resolve) {
            kept[i] = kept[parent];
        }
    }
    let mut gone: Vec<usize> =
        (0..kept.len()).filter(|i| !kept[*i] && !on_demand(&schema.objects[*i])).collect();
    let children = children(&schema.objects, resolve);
    while let Some(cause) = gone.pop() {
        for child in &children[cause] {
            if std::mem::replace(&mut kept[*child], false) {
                gone.push(*child);
            }
        }
        for dependent in &needed_by[cause] {
            if std::mem::replace(&mut kept[*dependent], false) {
                schema.left_out.push(LeftOut {
                    object: describe(&schema.objects[*dependent]),
                    because_of: describe(&schema.objects[cause]),
                });
                gone.push(*dependent);
            }
        }
    }

    keep_on_demand(&schema.objects, &needed_by, &mut kept);
    let mut flags = kept.iter();
    schema.objects.retain(|_| flags.next().copied().unwrap_or(false));
    schema.left_out.sort_by(|a, b| a.object.cmp(&b.object));
}

/// For each object the ones that belong to it.
fn children(objects: &[Object], resolve: impl Fn(Address) -> Option<usize>) -> Vec<Vec<usize>> {
    let mut children = vec![Vec::new(); objects.len()];
    for (i, object) in objects.iter().enumerate() {
        if let Some(parent) = object.parent.and_then(&resolve) {
            children[parent].push(i);
        }
    }
    children
}

/// Keeps extensions that something kept needs, and the schemas those are made in.
fn keep_on_demand(objects: &[Object], needed_by: &[Vec<usize>], kept: &mut [bool]) {
    let is_extension = |i: &usize| matches!(objects[*i].definition, Definition::Extension(_));
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for i in (0..objects.len()).filter(is_extension) {
            if !kept[i] && needed_by[i].iter().any(|d| kept[*d]) {
                kept[i] = true;
                changed = true;
            }
        }
    }
    let wanted: HashSet<&str> =
        (0..objects.len()).filter(|i| kept[*i]).filter_map(|i| objects[i].namespace.as_deref()).collect();
    for (i, object) in objects.iter().enumerate() {
        if matches!(object.definition, Definition::Namespace(_)) && wanted.contains(object.name.as_str()) {
            kept[i] = true;
        }
    }
}

/// Whether parts with an address of their own (defaults, checks) are written with the object.
fn holds_parts(object: &Object) -> bool {
    matches!(object.definition, Definition::Table(_) | Definition::Domain(_))
}

/// The object's identity in a report.
fn describe(object: &Object) -> String {
    object.qualified_name()
}

/// Hangs each comment on its object, or on the object that its place is a part of.
fn attach_comments(schema: &mut Schema, comments: Vec<RawComment>) {
    let index: HashMap<Address, usize> =
        schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect();
    let part_of = |a| schema.aliases.get(&a).and_then(|whole| index.get(whole)).copied();
    let mut found = Vec::new();
    for RawComment { address, column, constraint, text } in comments {
        let place = match (index.get(&address).copied(), column) {
            (Some(i), Some(column)) => Some((i, CommentOn::Column(column))),
            (Some(i), None) => Some((i, CommentOn::Itself)),
            // A check or NOT NULL constraint that is written with its table.
            (None, None) if constraint.is_some() => constraint
                .and_then(|(table, name)| index.get(&table).map(|i| (*i, CommentOn::Constraint(name)))),
            (None, column) => part_of(address).and_then(|i| match (&schema.objects[i].definition, column) {
                (Definition::Composite(_), Some(column)) => Some((i, CommentOn::Column(column))),
                (Definition::Constraint(_), None) if address.class == class::RELATION => {
                    Some((i, CommentOn::Index))
                }
                _ => None,
            }),
        };
        if let Some((i, on)) = place {
            found.push((i, Comment { on, text }));
        }
    }
    for (i, comment) in found {
        schema.objects[i].comments.push(comment);
    }
}
