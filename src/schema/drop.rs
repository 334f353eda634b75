//! The statements of `--drop-target-first`: what the target has in the migrated schemas, dropped in reverse dependency order.
//!
//! Invariants: nothing outside the model goes. No statement cascades (but for a base or range type and the functions
//! that it and they need each other for, behind a guard), so where something outside needs something inside, PostgreSQL refuses and names both.
//! Neither the database nor schema `public` is dropped. Statements are few: objects of a kind go together, in
//! batches that a default lock table holds, so each element must run in a transaction of its own
//! (an element with a guard is two statements).

use std::collections::{HashMap, HashSet};

use super::namespace::is_public;
use super::order::graph;
use super::quote::quote_ident;
use super::{Address, ConstraintKind, Definition, Namespace, Object, Schema, class};

mod pairs;
#[cfg(test)]
mod tests;

/// Objects in one statement. A table takes a lock for itself, its TOAST table, and each index of both; the lock table
/// holds 6,400 by default.
const BATCH: usize = 250;

/// A part of an object that goes with it, or before it by a statement of its own where it stands in a loop.
struct Part {
    owner: usize,
    drop: String,
}

#[derive(Default)]
struct Drops<'s> {
    /// What is dropped, and the parts split off (object `None`).
    nodes: Vec<(Option<&'s Object>, Vec<String>)>,
    /// For each node what it needs, and the part of it that does.
    needs: Vec<Vec<(usize, Option<usize>)>>,
    parts: Vec<Part>,
    index: HashMap<Address, usize>,
    part_index: HashMap<Address, usize>,
    /// Indexes and keys that are partitions of others: they go with those alone, which need the same.
    attached: HashSet<Address>,
}

/// The statements that drop everything in `schema`, the target's own model. `everything`: it was read without a filter, so
/// extensions, large objects and database-wide default privileges are part of the migration.
pub fn drop_plan(schema: &Schema, everything: bool) -> Vec<String> {
    let mut drops = Drops::default();
    drops.add_objects(schema, everything);
    drops.add_needs(schema);
    drops.keep_used_extensions(schema);
    drops.pair_types();
    drops.split_loops();
    for (table, guard) in pairs::guard_partitions(schema) {
        if let Some(&node) = drops.index.get(&table) {
            drops.guard(node, &guard);
        }
    }
    let mut out = batches(drops.order().into_iter().flat_map(|n| std::mem::take(&mut drops.nodes[n].1)));
    out.extend(large_objects(schema, everything));
    let public = |o: &&Object| matches!(o.definition, Definition::Namespace(_)) && is_public(o);
    out.extend(schema.objects.iter().filter(public).flat_map(Namespace::reset_public));
    out
}

impl<'s> Drops<'s> {
    fn add_objects(&mut self, schema: &'s Schema, everything: bool) {
        let tables: HashSet<Address> = schema
            .objects
            .iter()
            .filter(|o| matches!(o.definition, Definition::Table(_)))
            .map(|o| o.address)
            .collect();
        for object in &schema.objects {
            let dropped = match &object.definition {
                Definition::Extension(_) => everything,
                Definition::Namespace(_) => !is_public(object),
                Definition::LargeObject(_) => false,
                Definition::Sequence(_) => object.parent.is_none_or(|p| !tables.contains(&p)),
                Definition::DefaultAcl(_) => everything || object.namespace.is_some(),
                Definition::Index(_)
                | Definition::Constraint(_)
                | Definition::Rule(_)
                | Definition::Trigger(_)
                | Definition::Policy(_)
                | Definition::PublicationMember(_)
                | Definition::Statistics(_)
                | Definition::ChangedPrivileges(_)
                | Definition::ChangedComments(_)
                | Definition::ExtensionTies(_)
                | Definition::SecurityLabels(_) => false,
                _ => true,
            };
            if dropped {
                self.index.insert(object.address, self.nodes.len());
                self.nodes.push((Some(object), object.drop_statements()));
                self.needs.push(Vec::new());
            }
        }
        // A sequence that a column owns goes with its table: it is its table here.
        for object in schema.objects.iter().filter(|o| matches!(o.definition, Definition::Sequence(_))) {
            if let Some(&table) = object.parent.and_then(|p| self.index.get(&p)) {
                self.index.insert(object.address, table);
            }
        }
        for object in &schema.objects {
            self.add_parts(object);
        }
    }

    /// Puts a statement that may fail before a node's own, into the same transaction.
    fn guard(&mut self, node: usize, guard: &str) {
        for statement in &mut self.nodes[node].1 {
            *statement = format!("{guard};\n{statement}");
        }
    }

    /// What of an object can be dropped before it.
    fn add_parts(&mut self, object: &Object) {
        let owner = object.parent.and_then(|p| self.index.get(&p)).copied();
        let own = self.index.get(&object.address).copied();
        let name = object.qualified_name();
        let attaches_to = match &object.definition {
            Definition::Index(index) => index.attaches_to(),
            Definition::Constraint(constraint) => constraint.attaches_to(),
            _ => None,
        };
        if let (Some(_), Some(owner)) = (attaches_to, owner) {
            self.attached.insert(object.address);
            self.index.insert(object.address, owner);
            return;
        }
        let mut parts: Vec<(Address, Option<usize>, String)> = Vec::new();
        match &object.definition {
            Definition::Index(_) => {
                parts.push((object.address, owner, format!("DROP INDEX IF EXISTS {name}")));
            }
            Definition::Constraint(constraint) => {
                let statement = format!(
                    "ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}",
                    constraint.table.name,
                    quote_ident(&object.name)
                );
                parts.push((object.address, owner, statement));
            }
            Definition::Rule(_)
            | Definition::Trigger(_)
            | Definition::Policy(_)
            | Definition::Statistics(_) => {
                if let Some(statement) = object.drop_statements().into_iter().next() {
                    parts.push((object.address, owner, statement));
                }
            }
            Definition::Table(table) => {
                for column in &table.columns {
                    let Some(default) = column.default.as_ref().filter(|d| d.oid != 0) else { continue };
                    let what = if column.is_copied() { "DEFAULT" } else { "EXPRESSION" };
                    let column = quote_ident(&column.name);
                    let statement = format!("ALTER TABLE IF EXISTS {name} ALTER COLUMN {column} DROP {what}");
                    parts.push((Address::new(class::ATTRDEF, default.oid), own, statement));
                }
                for check in &table.checks {
                    let constraint = quote_ident(&check.name);
                    let statement =
                        format!("ALTER TABLE IF EXISTS {name} DROP CONSTRAINT IF EXISTS {constraint}");
                    parts.push((Address::new(class::CONSTRAINT, check.oid), own, statement));
                }
            }
            Definition::Domain(domain) => {
                for check in &domain.checks {
                    let constraint = quote_ident(&check.name);
                    let statement = format!("ALTER DOMAIN {name} DROP CONSTRAINT IF EXISTS {constraint}");
                    parts.push((Address::new(class::CONSTRAINT, check.oid), own, statement));
                }
            }
            Definition::View(view) => {
                if let Some(rule) = view.rule {
                    parts.push((rule, own, view.hollow(object)));
                }
            }
            _ => {}
        }
        for (address, owner, drop) in parts {
            let Some(owner) = owner else { continue };
            self.part_index.insert(address, self.parts.len());
            self.parts.push(Part { owner, drop });
        }
    }

    /// The node an address belongs to, and the part of it.
    fn resolve(&self, schema: &Schema, mut address: Address) -> Option<(usize, Option<usize>)> {
        for _ in 0..8 {
            if let Some(&part) = self.part_index.get(&address) {
                return Some((self.parts[part].owner, Some(part)));
            }
            if let Some(&node) = self.index.get(&address) {
                return Some((node, None));
            }
            address = *schema.aliases.get(&address)?;
        }
        None
    }

    fn add_needs(&mut self, schema: &'s Schema) {
        let namespaces: HashMap<&str, usize> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(n, (o, _))| {
                o.filter(|o| matches!(o.definition, Definition::Namespace(_))).map(|o| (o.name.as_str(), n))
            })
            .collect();
        for node in 0..self.nodes.len() {
            let Some(object) = self.nodes[node].0 else { continue };
            let namespace = object.namespace.as_deref().and_then(|n| namespaces.get(n)).copied();
            self.needs[node].extend(namespace.map(|n| (n, None)));
            if let Definition::Table(table) = &object.definition {
                let parents: Vec<usize> =
                    table.parents().filter_map(|p| self.index.get(&p.address)).copied().collect();
                self.needs[node].extend(parents.into_iter().map(|p| (p, None)));
            }
        }
        let mut found = Vec::new();
        for (dependent, needs) in &schema.depends {
            if self.attached.contains(dependent) {
                continue;
            }
            let Some((node, part)) = self.resolve(schema, *dependent) else { continue };
            for need in needs.iter().filter_map(|&a| self.resolve(schema, a)) {
                if need.0 != node {
                    found.push((node, need.0, part));
                }
            }
        }
        for object in &schema.objects {
            if let Definition::Constraint(constraint) = &object.definition {
                let referenced = constraint.referenced.filter(|_| constraint.kind == ConstraintKind::Foreign);
                let to = referenced.and_then(|r| self.index.get(&r)).copied();
                if let (Some((node, part)), Some(to)) = (self.resolve(schema, object.address), to) {
                    found.push((node, to, part));
                }
            }
        }
        for (node, to, part) in found {
            if node != to {
                self.needs[node].push((to, part));
            }
        }
        for needs in &mut self.needs {
            needs.sort_unstable();
            needs.dedup();
        }
    }

    /// An extension that something not in the model needs (a foreign server, a cast) stays, and so does its schema.
    fn keep_used_extensions(&mut self, schema: &Schema) {
        let mut kept: HashSet<usize> = HashSet::new();
        for (dependent, needs) in &schema.depends {
            // Entries of operator families are parts of the family, whoever added them.
            // So are the constraints, defaults, rules and triggers of a table that came with the extension.
            let is_part = matches!(
                dependent.class,
                class::AMOP
                    | class::AMPROC
                    | class::ATTRDEF
                    | class::CONSTRAINT
                    | class::REWRITE
                    | class::TRIGGER
                    | class::POLICY
            );
            if is_part || dependent.is_attached() || self.resolve(schema, *dependent).is_some() {
                continue;
            }
            let needs: Vec<usize> =
                needs.iter().filter_map(|&a| self.resolve(schema, a)).map(|n| n.0).collect();
            let is_extension = |n: &usize| {
                self.nodes[*n].0.is_some_and(|o| matches!(o.definition, Definition::Extension(_)))
            };
            let is_namespace = |n: &usize| {
                self.nodes[*n].0.is_some_and(|o| matches!(o.definition, Definition::Namespace(_)))
            };
            // Parts of what is dropped that the model does not know (a partition's foreign key) go with it.
            if needs.iter().all(|n| is_extension(n) || is_namespace(n)) {
                kept.extend(needs.into_iter().filter(is_extension));
            }
        }
        let mut todo: Vec<usize> = kept.iter().copied().collect();
        while let Some(node) = todo.pop() {
            self.nodes[node].1.clear();
            let next: Vec<usize> = self.needs[node].iter().map(|n| n.0).filter(|n| kept.insert(*n)).collect();
            todo.extend(next);
        }
    }

    /// Splits off the parts that stand in loops.
    fn split_loops(&mut self) {
        let mut members: Vec<usize> = (0..self.nodes.len()).collect();
        loop {
            let edges: Vec<Vec<usize>> =
                self.needs.iter().map(|needs| needs.iter().map(|n| n.0).collect()).collect();
            let loops = graph::loops(&edges, &members);
            let mut changed = false;
            members.clear();
            for component in &loops {
                let inside: HashSet<usize> = component.iter().copied().collect();
                for &node in component {
                    let mut parts: Vec<usize> = self.needs[node]
                        .iter()
                        .filter(|(to, _)| inside.contains(to))
                        .filter_map(|(_, part)| *part)
                        .collect();
                    parts.sort_unstable();
                    parts.dedup();
                    for part in parts {
                        changed = true;
                        let new = self.nodes.len();
                        let moved = self.needs[node]
                            .iter()
                            .filter(|n| n.1 == Some(part))
                            .map(|n| (n.0, None))
                            .collect();
                        self.needs[node].retain(|n| n.1 != Some(part));
                        self.nodes.push((None, vec![std::mem::take(&mut self.parts[part].drop)]));
                        self.needs.push(moved);
                        // Before its owner, after which there is nothing to drop.
                        self.needs[new].push((node, None));
                    }
                }
                members.extend(component);
            }
            if !changed {
                return;
            }
        }
    }

    /// The nodes in the order in which they are dropped: what needs first, kinds together as far as that goes.
    fn order(&self) -> Vec<usize> {
        let mut dependents = vec![Vec::new(); self.nodes.len()];
        for (node, needs) in self.needs.iter().enumerate() {
            for (to, _) in needs {
                dependents[*to].push(node);
            }
        }
        dependents.iter_mut().for_each(|d| {
            d.sort_unstable();
            d.dedup();
        });
        let key = |&n: &usize| match self.nodes[n].0 {
            None => (0, None, n),
            Some(o) => (rank(o), Some((&o.namespace, &o.name)), n),
        };
        let mut by_key: Vec<usize> = (0..self.nodes.len()).collect();
        by_key.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut ranks = vec![0; by_key.len()];
        for (rank, &node) in by_key.iter().enumerate() {
            ranks[node] = rank;
        }
        graph::sort(&dependents, &ranks).0
    }
}

fn rank(object: &Object) -> u8 {
    match &object.definition {
        // First, so that they do not fire for the rest.
        Definition::EventTrigger(_) => 0,
        Definition::DefaultAcl(_) => 1,
        Definition::View(_) => 2,
        Definition::MaterializedView(_) => 3,
        Definition::Table(_) => 4,
        Definition::Sequence(_) => 5,
        Definition::Aggregate(_) => 6,
        Definition::Function(_) => 7,
        Definition::Domain(_) => 8,
        Definition::Extension(_) => 10,
        Definition::Namespace(_) => 11,
        _ => 9,
    }
}

/// Statements that name one object only.
const ALONE: [&str; 11] = [
    "DROP TRIGGER ",
    "DROP RULE ",
    "DROP POLICY ",
    "DROP EVENT TRIGGER ",
    "DROP USER MAPPING ",
    "DROP SUBSCRIPTION ",
    "DROP CAST ",
    "DROP TRANSFORM ",
    "DROP LANGUAGE ",
    "DROP OPERATOR CLASS ",
    "DROP OPERATOR FAMILY ",
];

/// Puts neighbours that start alike (`DROP TABLE IF EXISTS …`) into one statement.
fn batches(statements: impl Iterator<Item = String>) -> Vec<String> {
    const MARK: &str = " IF EXISTS ";
    let head = |statement: &str| {
        let at = statement.starts_with("DROP ").then(|| statement.find(MARK)).flatten()? + MARK.len();
        (!ALONE.iter().any(|h| statement.starts_with(h)) && !statement.ends_with(" CASCADE")).then_some(at)
    };
    let mut out: Vec<(Option<usize>, usize, String)> = Vec::new();
    for statement in statements {
        let this = head(&statement);
        match (this, out.last_mut()) {
            (Some(at), Some((Some(last), count, text)))
                if *last == at && *count < BATCH && text.get(..at) == statement.get(..at) =>
            {
                text.push_str(", ");
                text.push_str(&statement[at..]);
                *count += 1;
            }
            _ => out.push((this, 1, statement)),
        }
    }
    out.into_iter().map(|(_, _, text)| text).collect()
}

fn large_objects(schema: &Schema, everything: bool) -> Vec<String> {
    let oids: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| everything && matches!(o.definition, Definition::LargeObject(_)))
        .map(|o| o.address.oid.to_string())
        .collect();
    oids.chunks(4 * BATCH)
        .map(|oids| {
            format!(
                "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid IN ({})",
                oids.join(", ")
            )
        })
        .collect()
}
