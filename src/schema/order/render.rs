//! Nodes → steps: the statements of each, its needs and its locks.

use std::borrow::Cow;
use std::collections::HashMap;

use super::node::{Graph, Part, Piece};
use crate::schema::base_type::shell;
use crate::schema::quote::quote_ident;
use crate::schema::{
    Address, CommentOn, ConstraintKind, Definition, LockNeed, Object, RenderOptions, Schema, Section, Step,
    Table, TableKind,
};
use crate::schema::{gathered, late_attach};

/// What rendering needs beside the node.
pub(super) struct Context<'g> {
    graph: &'g Graph<'g>,
    options: &'g RenderOptions,
    /// Pieces split off, by object.
    split: HashMap<usize, Vec<Piece>>,
    /// Children by partitioning and inheritance of each table.
    children: HashMap<Address, Vec<Address>>,
    /// Roles that own something.
    owners: std::collections::HashSet<&'g str>,
    /// Tables whose statements reach their partitions.
    partitioned: std::collections::HashSet<Address>,
    /// Partitions that are attached by a step of their own.
    late: std::collections::HashSet<usize>,
    /// Indexes that take those of the partitions, and those.
    gathering: std::collections::HashSet<usize>,
    gathered: std::collections::HashSet<usize>,
}

impl<'g> Context<'g> {
    pub(super) fn new(graph: &'g Graph<'g>, options: &'g RenderOptions) -> Self {
        let mut split: HashMap<usize, Vec<Piece>> = HashMap::new();
        for &(object, piece) in graph.split.keys() {
            split.entry(object).or_default().push(piece);
        }
        let Schema { objects, .. } = graph.schema;
        let (mut children, mut partitioned) = (HashMap::<_, Vec<_>>::new(), std::collections::HashSet::new());
        for object in objects {
            if let Definition::Table(table) = &object.definition {
                for parent in table.parents() {
                    children.entry(parent.address).or_default().push(object.address);
                }
                if table.kind == TableKind::Partitioned {
                    partitioned.insert(object.address);
                }
            }
        }
        let owners = objects.iter().filter_map(|o| o.owner.as_deref()).collect();
        let late = graph.nodes.iter().filter(|n| n.part == Part::Attach).map(|n| n.object).collect();
        let all = gathered::gathered(graph.schema);
        let gathering = all.iter().map(|g| g.index).collect();
        let gathered = all.into_iter().flat_map(|g| g.parts.into_iter().take(g.direct)).collect();
        Context { graph, options, split, children, owners, partitioned, late, gathering, gathered }
    }

    /// The object as its own step makes it: without what was split off.
    fn remaining(&self, index: usize) -> Cow<'g, Object> {
        let object = &self.graph.schema.objects[index];
        let Some(pieces) = self.split.get(&index) else { return Cow::Borrowed(object) };
        let mut object = object.clone();
        for &piece in pieces {
            match (&mut object.definition, piece) {
                (Definition::Table(table), Piece::Default(i)) => {
                    if let Some(default) = table.columns.get_mut(i).and_then(|c| c.default.as_mut()) {
                        default.separate = true;
                    }
                }
                (Definition::Table(table), Piece::Check(i)) => {
                    if let Some(check) = table.checks.get_mut(i) {
                        check.separate = true;
                        let on = CommentOn::Constraint(check.name.clone());
                        object.comments.retain(|c| c.on != on);
                    }
                }
                (Definition::Domain(domain), Piece::DomainCheck(i)) => {
                    if let Some(check) = domain.checks.get_mut(i) {
                        check.separate = true;
                    }
                }
                (Definition::View(view), Piece::Query) => view.placeholder = true,
                _ => {}
            }
        }
        Cow::Owned(object)
    }

    /// Who may use a schema while indexes are built: a function that an index calls is looked up as the table's owner,
    /// long before the grants (pg_dump's round trip fails there). Taken back before those, for their order is kept.
    fn early_users(&self, object: &Object) -> Option<String> {
        let namespace = matches!(object.definition, Definition::Namespace(_));
        if !namespace || self.options.no_owner || self.options.no_privileges {
            return None;
        }
        let items = object.acl.iter().flat_map(|acl| &acl.parts).flat_map(|part| &part.items);
        let usable = items.filter(|i| i.privileges.iter().any(|p| p.0 == 'U'));
        let mut to: Vec<String> = usable
            .filter(|i| Some(i.grantor.as_str()) == object.owner.as_deref() && i.grantee != object.owner)
            .filter_map(|i| match &i.grantee {
                None => Some("PUBLIC".to_owned()),
                Some(role) => self.owners.contains(role.as_str()).then(|| quote_ident(role)),
            })
            .collect();
        to.sort_unstable();
        to.dedup();
        (!to.is_empty()).then(|| to.join(", "))
    }

    /// A table and all below it.
    fn family(&self, table: Address) -> Vec<Address> {
        let (mut all, mut at) = (vec![table], 0);
        while let Some(next) = all.get(at) {
            all.extend(
                self.children
                    .get(next)
                    .into_iter()
                    .flatten()
                    .filter(|c| !all.contains(c))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            at += 1;
        }
        all
    }

    /// Exclusive locks on a table, and on its partitions if what is done to it is done to them.
    fn exclusive(&self, table: Address) -> Vec<(Address, LockNeed)> {
        let tables = if self.partitioned.contains(&table) { self.family(table) } else { vec![table] };
        tables.into_iter().map(|t| (t, LockNeed::Exclusive)).collect()
    }
}

/// The step that a node becomes.
pub(super) fn step(context: &Context<'_>, node: usize, needs: Vec<usize>) -> Step {
    let node = &context.graph.nodes[node];
    let object = context.remaining(node.object);
    let object = object.as_ref();
    let whole = node.part == Part::Whole;
    let mut create = statements(context, node.object, node.part, object);
    let mut acl = Vec::new();
    if whole {
        create.extend(object.owner_statement(context.options));
        create.extend(object.comment_statements());
        if let Some(users) = context.early_users(object) {
            create.push(format!("GRANT USAGE ON {} TO {users}", object.reference()));
            acl.push(format!("REVOKE USAGE ON {} FROM {users}", object.reference()));
        }
        acl.extend(object.acl_statements(context.options));
    }
    let index_first = match &object.definition {
        Definition::Constraint(constraint) if whole => constraint.index_first(object, context.options),
        _ => None,
    };
    let locks =
        if node.section == Section::PostData { locks(context, node.part, object) } else { Vec::new() };
    Step {
        address: object.address,
        kind: kind(node.part, object),
        identity: identity(object),
        section: node.section,
        create,
        index_first,
        acl,
        drop: if whole { object.drop_statements() } else { Vec::new() },
        needs,
        locks,
    }
}

fn statements(context: &Context<'_>, index: usize, part: Part, object: &Object) -> Vec<String> {
    match (part, &object.definition) {
        (Part::Whole, Definition::Table(table)) if context.late.contains(&index) => {
            let mut out = object.create_statements(context.options);
            let attach = late_attach::attach(table, object);
            out.retain(|statement| Some(statement) != attach.as_ref());
            out
        }
        (Part::Whole, Definition::Index(plain)) => {
            let mut plain = plain.clone();
            if context.gathered.contains(&index) {
                plain.partition_of = None;
            }
            if context.gathering.contains(&index) {
                plain.definition = gathered::over_all(&plain, object).unwrap_or(plain.definition);
            }
            plain.create(object, context.options)
        }
        (Part::Whole, _) => object.create_statements(context.options),
        (Part::Attach, Definition::Table(table)) => late_attach::attach(table, object).into_iter().collect(),
        (Part::Shell, Definition::Range(_) | Definition::BaseType(_)) => vec![shell(object)],
        (Part::Piece(Piece::Default(i)), Definition::Table(table)) => {
            table.columns.get(i).map(|c| table.separate_default(object, c)).into_iter().collect()
        }
        (Part::Piece(Piece::Default(i)), Definition::View(view)) => {
            view.set_default(object, i).into_iter().collect()
        }
        (Part::Piece(Piece::Check(i)), Definition::Table(table)) => {
            let mut out = separate_check(table, object, i);
            if let Some(check) = table.checks.get(i) {
                let on = CommentOn::Constraint(check.name.clone());
                let source = &context.graph.schema.objects[index];
                out.extend(
                    source.comments.iter().filter(|c| c.on == on).map(|c| source.comment_statement(c)),
                );
            }
            out
        }
        (Part::Piece(Piece::DomainCheck(i)), Definition::Domain(domain)) => {
            domain.checks.get(i).map(|c| domain.separate_check(object, c)).unwrap_or_default()
        }
        (Part::Piece(Piece::Query), Definition::View(view)) => vec![view.replace(object)],
        (Part::OwnedBy, Definition::Sequence(sequence)) => sequence.own(object).into_iter().collect(),
        (Part::Value, Definition::Sequence(sequence)) => sequence.setval(object).into_iter().collect(),
        (Part::RowSecurity, Definition::Table(table)) => {
            table.enable_row_security(object).into_iter().collect()
        }
        (Part::Refresh, Definition::MaterializedView(matview)) => vec![matview.refresh(object)],
        _ => Vec::new(),
    }
}

/// A check that only comes from a parent comes again when the parent's is added.
fn separate_check(table: &Table, object: &Object, index: usize) -> Vec<String> {
    match table.checks.get(index) {
        Some(check) if check.local => vec![table.separate_check(object, check)],
        _ => Vec::new(),
    }
}

/// The tables that a post-data step locks.
fn locks(context: &Context<'_>, part: Part, object: &Object) -> Vec<(Address, LockNeed)> {
    if part != Part::Whole {
        return match part {
            Part::Piece(Piece::Check(_)) => {
                context.family(object.address).into_iter().map(|t| (t, LockNeed::Exclusive)).collect()
            }
            _ => vec![(object.address, LockNeed::Exclusive)],
        };
    }
    match &object.definition {
        Definition::Index(index) => {
            let need = if index.marks.lock_table() { LockNeed::Exclusive } else { LockNeed::Shared };
            let own = (index.table.address, need);
            // One over all partitions locks them as well.
            let over_all =
                context.graph.resolve(object.address).is_some_and(|i| context.gathering.contains(&i));
            let all = if over_all { context.family(index.table.address) } else { Vec::new() };
            let others = all.into_iter().filter(|t| *t != own.0).map(|t| (t, LockNeed::Shared));
            std::iter::once(own).chain(others).collect()
        }
        Definition::Constraint(constraint) => {
            let table = constraint.table.address;
            match constraint.kind {
                ConstraintKind::Foreign => {
                    let mut locks = context.exclusive(table);
                    let referenced = constraint.referenced.map(|r| context.exclusive(r)).unwrap_or_default();
                    for lock in referenced {
                        if !locks.contains(&lock) {
                            locks.push(lock);
                        }
                    }
                    locks
                }
                ConstraintKind::Check | ConstraintKind::NotNull => {
                    context.family(table).into_iter().map(|t| (t, LockNeed::Exclusive)).collect()
                }
                _ if constraint.reaches_partitions() => context.exclusive(table),
                _ => vec![(table, LockNeed::Exclusive)],
            }
        }
        Definition::Rule(rule) => vec![(rule.table, LockNeed::Exclusive)],
        Definition::Trigger(trigger) => context.exclusive(trigger.table),
        Definition::Policy(policy) => vec![(policy.table, LockNeed::Exclusive)],
        Definition::ExtensionTies(ties) => {
            ties.locks.into_iter().map(|relation| (relation, LockNeed::Exclusive)).collect()
        }
        Definition::SecurityLabels(labels) => vec![(labels.of, LockNeed::Exclusive)],
        Definition::ChangedComments(_) => {
            object.parent.map(|t| (t, LockNeed::Exclusive)).into_iter().collect()
        }
        Definition::PublicationMember(member) => std::iter::once(member.publication)
            .chain(member.table())
            .map(|address| (address, LockNeed::Exclusive))
            .collect(),
        Definition::Statistics(statistics) => vec![(statistics.table, LockNeed::Exclusive)],
        _ => Vec::new(),
    }
}

/// pg_dump's word for what a step makes.
fn kind(part: Part, object: &Object) -> &'static str {
    match part {
        Part::Shell => return "SHELL TYPE",
        Part::OwnedBy => return "SEQUENCE OWNED BY",
        Part::Attach => return "TABLE ATTACH",
        Part::Value => return "SEQUENCE SET",
        Part::RowSecurity => return "ROW SECURITY",
        Part::Refresh => return "MATERIALIZED VIEW DATA",
        Part::Piece(Piece::Default(_)) => return "DEFAULT",
        Part::Piece(Piece::Check(_) | Piece::DomainCheck(_)) => return "CHECK CONSTRAINT",
        Part::Piece(Piece::Query) => return "VIEW",
        Part::Whole => {}
    }
    match &object.definition {
        Definition::Namespace(_) => "SCHEMA",
        Definition::Extension(_) => "EXTENSION",
        Definition::Enum(_) | Definition::Composite(_) | Definition::Range(_) => "TYPE",
        Definition::Domain(_) => "DOMAIN",
        Definition::Function(f) if f.procedure => "PROCEDURE",
        Definition::Function(_) => "FUNCTION",
        Definition::Aggregate(_) => "AGGREGATE",
        Definition::Sequence(_) => "SEQUENCE",
        Definition::Table(t) if t.kind == TableKind::Foreign => "FOREIGN TABLE",
        Definition::Table(_) => "TABLE",
        Definition::Index(_) => "INDEX",
        Definition::Constraint(c) => match c.kind {
            ConstraintKind::Foreign => "FK CONSTRAINT",
            ConstraintKind::Check => "CHECK CONSTRAINT",
            // Not one that builds an index: it waits for the rows of the children too.
            ConstraintKind::NotNull => "NOT NULL CONSTRAINT",
            _ => "CONSTRAINT",
        },
        Definition::View(_) => "VIEW",
        Definition::MaterializedView(_) => "MATERIALIZED VIEW",
        Definition::Rule(_) => "RULE",
        Definition::Trigger(_) => "TRIGGER",
        Definition::Policy(_) => "POLICY",
        Definition::BaseType(t) if t.items.is_none() => "SHELL TYPE",
        Definition::BaseType(_) => "TYPE",
        Definition::Operator(o) if o.is_shell() => "SHELL OPERATOR",
        Definition::Operator(_) => "OPERATOR",
        Definition::OperatorClass(_) => "OPERATOR CLASS",
        Definition::OperatorFamily(_) => "OPERATOR FAMILY",
        Definition::AddedMembers(_) => "MEMBERS OF OPERATOR FAMILY",
        Definition::Cast(_) => "CAST",
        Definition::Transform(_) => "TRANSFORM",
        Definition::Conversion(_) => "CONVERSION",
        Definition::Collation(_) => "COLLATION",
        Definition::Language(_) => "PROCEDURAL LANGUAGE",
        Definition::AccessMethod(_) => "ACCESS METHOD",
        Definition::TextSearchParser(_) => "TEXT SEARCH PARSER",
        Definition::TextSearchTemplate(_) => "TEXT SEARCH TEMPLATE",
        Definition::TextSearchDictionary(_) => "TEXT SEARCH DICTIONARY",
        Definition::TextSearchConfiguration(_) => "TEXT SEARCH CONFIGURATION",
        Definition::Statistics(_) => "STATISTICS",
        Definition::DefaultAcl(_) => "DEFAULT ACL",
        Definition::LargeObject(_) => "BLOB",
        Definition::ForeignDataWrapper(_) => "FOREIGN DATA WRAPPER",
        Definition::ForeignServer(_) => "SERVER",
        Definition::UserMapping(_) => "USER MAPPING",
        Definition::EventTrigger(_) => "EVENT TRIGGER",
        Definition::Publication(_) => "PUBLICATION",
        Definition::PublicationMember(m) if m.table().is_some() => "PUBLICATION TABLE",
        Definition::PublicationMember(_) => "PUBLICATION TABLES IN SCHEMA",
        Definition::Subscription(_) => "SUBSCRIPTION",
        Definition::ChangedPrivileges(_) => "ACL",
        Definition::ChangedComments(_) => "COMMENT",
        Definition::ExtensionTies(_) => "DEPENDENCY ON EXTENSION",
        Definition::SecurityLabels(_) => "SECURITY LABEL",
    }
}

/// What follows the kind's words in a reference: `s.f(integer)`, `trg ON s.t`.
fn identity(object: &Object) -> String {
    let reference = object.reference();
    let words = match &object.definition {
        Definition::MaterializedView(_)
        | Definition::LargeObject(_)
        | Definition::DefaultAcl(_)
        | Definition::UserMapping(_)
        | Definition::EventTrigger(_) => 2,
        Definition::Table(t) if t.kind == TableKind::Foreign => 2,
        Definition::ForeignDataWrapper(_) => 3,
        Definition::ExtensionTies(_) | Definition::AddedMembers(_) => 4,
        Definition::SecurityLabels(_) | Definition::ChangedComments(_) => 2,
        Definition::PublicationMember(m) => {
            if m.table().is_some() {
                2
            } else {
                4
            }
        }
        Definition::OperatorClass(_) | Definition::OperatorFamily(_) | Definition::AccessMethod(_) => 2,
        Definition::TextSearchParser(_)
        | Definition::TextSearchTemplate(_)
        | Definition::TextSearchDictionary(_)
        | Definition::TextSearchConfiguration(_) => 3,
        _ => 1,
    };
    reference.splitn(words + 1, ' ').nth(words).unwrap_or(&reference).to_owned()
}
