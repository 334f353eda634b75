//! Schema → graph: the dependencies of `pg_depend`, and those that it does not have.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::node::{Graph, Need, Part, Piece};
use crate::schema::{Address, ConstraintKind, Definition, Object, Section, class, gathered, late_attach};

/// Adds all dependencies, and the nodes that always are steps of their own.
pub(super) fn build(graph: &mut Graph<'_>) {
    let schema = graph.schema;
    let namespaces: HashMap<&str, usize> = schema
        .objects
        .iter()
        .enumerate()
        .filter(|(_, o)| matches!(o.definition, Definition::Namespace(_)))
        .map(|(i, o)| (o.name.as_str(), i))
        .collect();
    for (at, object) in schema.objects.iter().enumerate() {
        let mut needs: Vec<Need> = Vec::new();
        let need = |address: Address, needs: &mut Vec<Need>, via: Option<Piece>| {
            if let Some(node) = graph.resolve(address).filter(|&n| n != at) {
                needs.push(Need { node, via });
            }
        };
        if let Some(&node) = object.namespace.as_deref().and_then(|n| namespaces.get(n)) {
            needs.push(Need { node, via: None });
        }
        // A sequence's dependency on the table that owns it would put it after the table whose default calls it.
        let owned = matches!(&object.definition, Definition::Sequence(s) if s.identity.is_none());
        for &address in schema.depends.get(&object.address).into_iter().flatten() {
            if !(owned && address.class == class::RELATION) {
                need(address, &mut needs, None);
            }
        }
        for address in kind_needs(object).into_iter().chain(clone_of(graph, object)) {
            need(address, &mut needs, None);
        }
        for (address, piece) in pieces(object) {
            for &address in schema.depends.get(&address).into_iter().flatten() {
                need(address, &mut needs, Some(piece));
            }
        }
        needs.sort_unstable();
        needs.dedup();
        graph.nodes[at].needs = needs;
    }
    add_aliased(graph);
    for at in 0..schema.objects.len() {
        add_steps(graph, at);
    }
    attach_late(graph);
    gather_parts(graph);
    wait_for_attached_indexes(graph);
    add_refreshes(graph);
}

/// Partitions that have to wait for something before they are attached ([`late_attach`]).
fn attach_late(graph: &mut Graph<'_>) {
    let mut needs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for late in late_attach::late(graph.schema) {
        let first = needs.entry(late.object).or_default();
        first.extend(late.sequences);
        for column in late.defaults {
            let piece = Piece::Default(column);
            let made = graph.split.get(&(late.object, piece)).copied();
            first.push(made.unwrap_or_else(|| graph.split_off(late.object, piece, Section::PreData)));
        }
    }
    let partial = late_attach::partial(graph.schema);
    for constraint in &partial {
        graph.nodes[constraint.constraint].section = Section::PreData;
        for partition in constraint.have.iter().filter_map(|p| graph.resolve(*p)) {
            needs.entry(partition).or_default().push(constraint.constraint);
        }
    }
    let mut attached = HashMap::new();
    for (at, mut needs) in needs {
        let Definition::Table(table) = &graph.schema.objects[at].definition else { continue };
        needs.push(at);
        needs.extend(table.parents().filter_map(|parent| graph.resolve(parent.address)));
        attached.insert(at, graph.push(at, Part::Attach, Section::PreData, needs));
    }
    for constraint in partial {
        let lack = constraint.lack.iter().filter_map(|p| graph.resolve(*p));
        let nodes = lack.map(|partition| attached.get(&partition).copied().unwrap_or(partition));
        let needs: Vec<Need> = nodes.map(|node| Need { node, via: None }).collect();
        graph.nodes[constraint.constraint].needs.extend(needs);
    }
}

/// Indexes that take those of the partitions are made after these, and before what they would take instead ([`gathered`]).
fn gather_parts(graph: &mut Graph<'_>) {
    for gathered in gathered::gathered(graph.schema) {
        let (direct, _) = gathered.parts.split_at(gathered.direct);
        for &part in direct {
            graph.nodes[part].needs.retain(|need| need.node != gathered.index);
        }
        for other in gathered.alike {
            graph.nodes[other].needs.push(Need { node: gathered.index, via: None });
        }
        let parts = gathered.parts.iter().map(|&node| Need { node, via: None });
        graph.nodes[gathered.index].needs.extend(parts);
    }
}

/// The triggers that a clone on a partition comes from, however far up: what is set on the clone waits for what is set
/// on those. Clones in between may not be in the model. (pg_dump does not look past them, and may set the state of
/// what is not there yet.)
fn clone_of(graph: &Graph<'_>, object: &Object) -> Vec<Address> {
    let mut up = Vec::new();
    if matches!(&object.definition, Definition::Trigger(t) if t.statement.is_none()) {
        let mut at = object.address;
        // A clone names the trigger one level up; no hierarchy of partitions is this deep.
        for _ in 0..64 {
            let needs = graph.schema.depends.get(&at).map(Vec::as_slice).unwrap_or_default();
            let Some(next) = needs.iter().find(|a| a.class == class::TRIGGER && **a != at) else { break };
            up.push(*next);
            at = *next;
        }
    }
    up
}

/// What a part needs that stands for its whole, the whole needs: a composite type's relation names the types of
/// its attributes, a constraint's index its operator classes.
fn add_aliased(graph: &mut Graph<'_>) {
    let schema = graph.schema;
    let objects: HashSet<Address> = schema.objects.iter().map(|o| o.address).collect();
    let pieces: HashSet<Address> =
        schema.objects.iter().flat_map(|o| pieces(o).into_iter().map(|(address, _)| address)).collect();
    for (part, needs) in &schema.depends {
        if objects.contains(part) || pieces.contains(part) {
            continue;
        }
        let Some(whole) = graph.resolve(*part) else { continue };
        let needs: Vec<Need> = needs
            .iter()
            .filter_map(|&address| graph.resolve(address))
            .filter(|&node| node != whole)
            .map(|node| Need { node, via: None })
            .collect();
        let all = &mut graph.nodes[whole].needs;
        all.extend(needs);
        all.sort_unstable();
        all.dedup();
    }
}

/// What an object needs by what it is.
fn kind_needs(object: &Object) -> Vec<Address> {
    match &object.definition {
        Definition::Sequence(sequence) => sequence.needs_table().into_iter().collect(),
        Definition::Table(table) => table.parents().map(|p| p.address).collect(),
        Definition::Index(index) => std::iter::once(index.table.address).chain(index.attaches_to()).collect(),
        Definition::Constraint(c) => std::iter::once(c.table.address)
            .chain(c.attaches_to())
            .chain(c.referenced)
            .chain(c.referenced_index)
            .collect(),
        Definition::Rule(rule) => vec![rule.table],
        Definition::Trigger(trigger) => vec![trigger.table],
        Definition::Policy(policy) => vec![policy.table],
        Definition::PublicationMember(member) => {
            std::iter::once(member.publication).chain(member.table()).collect()
        }
        Definition::Statistics(statistics) => vec![statistics.table],
        _ => Vec::new(),
    }
}

/// The pieces of an object that have addresses of their own in `pg_depend`.
fn pieces(object: &Object) -> Vec<(Address, Piece)> {
    match &object.definition {
        Definition::Table(table) => {
            let defaults = table.columns.iter().enumerate().filter_map(|(i, c)| {
                let oid = c.default.as_ref()?.oid;
                (oid != 0).then_some((Address::new(class::ATTRDEF, oid), Piece::Default(i)))
            });
            let checks = table
                .checks
                .iter()
                .enumerate()
                .map(|(i, c)| (Address::new(class::CONSTRAINT, c.oid), Piece::Check(i)));
            defaults.chain(checks).collect()
        }
        Definition::View(view) => {
            let defaults =
                view.columns.iter().enumerate().filter_map(|(i, c)| {
                    c.default.as_ref().map(|(address, _)| (*address, Piece::Default(i)))
                });
            view.rule.map(|rule| (rule, Piece::Query)).into_iter().chain(defaults).collect()
        }
        Definition::Domain(domain) => domain
            .checks
            .iter()
            .enumerate()
            .map(|(i, c)| (Address::new(class::CONSTRAINT, c.oid), Piece::DomainCheck(i)))
            .collect(),
        // A materialized view's query cannot be replaced: what it needs, the view needs.
        _ => Vec::new(),
    }
}

/// Nodes that are steps of their own whatever the dependencies are.
fn add_steps(graph: &mut Graph<'_>, at: usize) {
    match &graph.schema.objects[at].definition {
        Definition::Table(table) => {
            for (i, column) in table.columns.iter().enumerate() {
                if column.default.as_ref().is_some_and(|d| d.separate && d.oid != 0) {
                    graph.split_off(at, Piece::Default(i), Section::PreData);
                }
            }
            for (i, check) in table.checks.iter().enumerate() {
                if check.separate {
                    graph.split_off(at, Piece::Check(i), Section::PostData);
                }
            }
            if table.row_security {
                graph.push(at, Part::RowSecurity, Section::PostData, vec![at]);
            }
        }
        Definition::View(view) => {
            if view.reads_itself {
                // Made of a placeholder, as it was then.
                graph.split_off(at, Piece::Query, Section::PreData);
            }
            for (i, column) in view.columns.iter().enumerate() {
                if column.default.is_some() {
                    graph.split_off(at, Piece::Default(i), Section::PreData);
                }
            }
        }
        Definition::Domain(domain) => {
            for (i, check) in domain.checks.iter().enumerate() {
                if check.separate {
                    graph.split_off(at, Piece::DomainCheck(i), Section::PostData);
                }
            }
        }
        Definition::Sequence(sequence) => {
            let mut last = at;
            let owner = sequence.owned_by.as_ref().filter(|_| sequence.identity.is_none());
            if let Some(table) = owner.and_then(|o| graph.resolve(o.table.address)) {
                last = graph.push(at, Part::OwnedBy, Section::PreData, vec![at, table]);
            }
            if sequence.value.is_some() {
                graph.push(at, Part::Value, Section::Data, vec![last]);
            }
        }
        _ => {}
    }
}

/// A foreign key to a partitioned table needs that table's key to be valid, which it is once an index of every
/// partition is attached to it (`addConstrChildIdxDeps` in `pg_dump.c`).
fn wait_for_attached_indexes(graph: &mut Graph<'_>) {
    let mut attached: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut foreign = Vec::new();
    for (at, object) in graph.schema.objects.iter().enumerate() {
        let parent = match &object.definition {
            Definition::Index(index) => index.attaches_to(),
            Definition::Constraint(c) => {
                if c.kind == ConstraintKind::Foreign {
                    foreign.extend(c.referenced_index.and_then(|i| graph.resolve(i)).map(|key| (at, key)));
                }
                c.attaches_to()
            }
            _ => None,
        };
        if let Some(parent) = parent.and_then(|p| graph.resolve(p)) {
            attached.entry(parent).or_default().push(at);
        }
    }
    for (at, key) in foreign {
        let mut todo = vec![key];
        while let Some(index) = todo.pop() {
            for &child in attached.get(&index).into_iter().flatten() {
                graph.nodes[at].needs.push(Need { node: child, via: None });
                todo.push(child);
            }
        }
    }
}

/// Refreshes: one for each populated materialized view, behind those of the materialized views that it reads, be it
/// through views; its indexes come behind it, because building an index at once beats filling it row by row.
///
/// One that reads an unpopulated materialized view cannot be refreshed, and is left empty as pg_dump leaves it
/// (`buildMatViewRefreshDependencies`).
fn add_refreshes(graph: &mut Graph<'_>) {
    let matviews: Vec<usize> = (0..graph.schema.objects.len())
        .filter(|&i| matches!(graph.schema.objects[i].definition, Definition::MaterializedView(_)))
        .collect();
    let sources: HashMap<usize, Vec<usize>> =
        matviews.iter().map(|&m| (m, matview_sources(graph, m))).collect();
    let mut readable: HashMap<usize, bool> = HashMap::new();
    for &matview in &matviews {
        // Populated itself, and so is all that it reads, however far down.
        let (mut todo, mut seen) = (vec![matview], HashSet::new());
        let mut all = true;
        while let Some(next) = todo.pop() {
            if !seen.insert(next) {
                continue;
            }
            if let Some(false) = readable.get(&next) {
                all = false;
                break;
            }
            all &= matches!(
                &graph.schema.objects[next].definition,
                Definition::MaterializedView(m) if m.populated
            );
            todo.extend(sources.get(&next).into_iter().flatten());
        }
        readable.insert(matview, all);
        if !all
            && matches!(&graph.schema.objects[matview].definition, Definition::MaterializedView(m) if m.populated)
        {
            let message = "left empty: it reads a materialized view that is empty on the source, so it cannot be refreshed";
            graph.ignore(matview, message.to_owned());
        }
    }
    let mut refresh: HashMap<usize, usize> = HashMap::new();
    for &matview in matviews.iter().filter(|m| readable.get(m) == Some(&true)) {
        refresh.insert(matview, graph.push(matview, Part::Refresh, Section::PostData, vec![matview]));
    }
    for (matview, &node) in &refresh {
        let needs = sources.get(matview).into_iter().flatten().filter_map(|s| refresh.get(s));
        let needs: Vec<Need> = needs.map(|&node| Need { node, via: None }).collect();
        graph.nodes[node].needs.extend(needs);
    }
    for (at, object) in graph.schema.objects.iter().enumerate() {
        let Definition::Index(index) = &object.definition else { continue };
        if let Some(&node) = graph.resolve(index.table.address).and_then(|m| refresh.get(&m)) {
            graph.nodes[at].needs.push(Need { node, via: None });
        }
    }
}

/// The materialized views that one reads, directly or through views.
fn matview_sources(graph: &Graph<'_>, matview: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([matview]);
    let mut todo = vec![matview];
    while let Some(node) = todo.pop() {
        for need in &graph.nodes[node].needs {
            if !seen.insert(need.node) {
                continue;
            }
            match graph.schema.objects.get(need.node).map(|o| &o.definition) {
                Some(Definition::MaterializedView(_)) => found.push(need.node),
                Some(Definition::View(_)) => todo.push(need.node),
                _ => {}
            }
        }
    }
    found
}
