//! The graph's nodes: objects, and the pieces of objects that are or may become steps of their own.

use std::collections::HashMap;

use super::Ignored;
use crate::schema::{Address, ConstraintKind, Definition, Object, Schema, Section};

/// A piece of an object with an address of its own in `pg_depend`. Written with the object unless it is split off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Piece {
    /// The default of a table's or view's column, by index.
    Default(usize),
    /// A table's check constraint, by index.
    Check(usize),
    /// A domain's check constraint, by index.
    DomainCheck(usize),
    /// A view's query: its `_RETURN` rule.
    Query,
}

/// What of an object a node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// The shell of a base or range type, before the functions it names.
    Shell,
    /// All that is not split off.
    Whole,
    /// A piece that was split off.
    Piece(Piece),
    /// `ALTER SEQUENCE … OWNED BY`.
    OwnedBy,
    /// `ATTACH PARTITION`, where that has to wait.
    Attach,
    /// A sequence's value.
    Value,
    /// `ENABLE ROW LEVEL SECURITY`.
    RowSecurity,
    /// `REFRESH MATERIALIZED VIEW`.
    Refresh,
}

/// A dependency: on which node, and for which piece of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    /// What is needed.
    pub node: usize,
    /// The piece that needs it; `None`: the object itself.
    pub via: Option<Piece>,
}

/// A future step.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The object, by index in the schema.
    pub object: usize,
    /// What of it.
    pub part: Part,
    /// Where it stands.
    pub section: Section,
    /// What it needs.
    pub needs: Vec<Need>,
}

/// The graph under construction.
pub(super) struct Graph<'s> {
    pub schema: &'s Schema,
    pub nodes: Vec<Node>,
    /// The node of each object: same index as in the schema.
    pub split: HashMap<(usize, Piece), usize>,
    /// What was given up.
    pub ignored: Vec<Ignored>,
    index: HashMap<Address, usize>,
}

impl<'s> Graph<'s> {
    /// One node for each object, no dependencies yet.
    pub fn new(schema: &'s Schema) -> Self {
        let node = |(object, o): (usize, &Object)| Node {
            object,
            part: Part::Whole,
            section: section(&o.definition),
            needs: Vec::new(),
        };
        Graph {
            schema,
            nodes: schema.objects.iter().enumerate().map(node).collect(),
            split: HashMap::new(),
            ignored: Vec::new(),
            index: schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect(),
        }
    }

    /// The node that makes what `address` names, through aliases.
    pub fn resolve(&self, mut address: Address) -> Option<usize> {
        for _ in 0..8 {
            if let Some(&node) = self.index.get(&address) {
                return Some(node);
            }
            address = *self.schema.aliases.get(&address)?;
        }
        None
    }

    /// The object a node belongs to.
    pub fn object(&self, node: usize) -> &'s Object {
        &self.schema.objects[self.nodes[node].object]
    }

    /// Adds a node.
    pub fn push(&mut self, object: usize, part: Part, section: Section, needs: Vec<usize>) -> usize {
        let needs = needs.into_iter().map(|node| Need { node, via: None }).collect();
        self.nodes.push(Node { object, part, section, needs });
        self.nodes.len() - 1
    }

    /// Makes a piece of an object a node of its own, with the dependencies that were the piece's, behind the object.
    pub fn split_off(&mut self, owner: usize, piece: Piece, section: Section) -> usize {
        let object = self.nodes[owner].object;
        let new = self.push(object, Part::Piece(piece), section, vec![owner]);
        let (moved, kept): (Vec<Need>, Vec<Need>) =
            std::mem::take(&mut self.nodes[owner].needs).into_iter().partition(|n| n.via == Some(piece));
        self.nodes[owner].needs = kept;
        self.nodes[new].needs.extend(moved.iter().map(|n| Need { node: n.node, via: None }));
        self.split.insert((object, piece), new);
        new
    }

    /// Whether a piece can be made by a statement of its own.
    pub fn can_split(&self, node: usize, piece: Piece) -> bool {
        if self.nodes[node].part != Part::Whole {
            return false;
        }
        match (&self.object(node).definition, piece) {
            (Definition::Table(table), Piece::Default(column)) => {
                table.columns.get(column).is_some_and(|c| c.generated == crate::schema::Generated::No)
            }
            _ => true,
        }
    }

    /// Where a piece stands once it is split off (`repairTableConstraintMultiLoop`, `repairViewRuleMultiLoop`).
    pub fn section_of(piece: Piece) -> Section {
        match piece {
            Piece::Default(_) => Section::PreData,
            Piece::Check(_) | Piece::DomainCheck(_) | Piece::Query => Section::PostData,
        }
    }

    /// For each node the nodes it needs, each once, itself left out.
    pub fn edges(&self) -> Vec<Vec<usize>> {
        let list = |(at, node): (usize, &Node)| {
            let mut edges: Vec<usize> = node.needs.iter().map(|n| n.node).filter(|&n| n != at).collect();
            edges.sort_unstable();
            edges.dedup();
            edges
        };
        self.nodes.iter().enumerate().map(list).collect()
    }

    /// The place of each node if nothing depended on anything: section, kind as pg_dump ranks kinds, schema, name.
    pub fn ranks(&self) -> Vec<usize> {
        let key = |&n: &usize| {
            let (node, object) = (&self.nodes[n], self.object(n));
            let names = (object.namespace.as_deref().unwrap_or_default(), object.name.as_str());
            (node.section, priority(node.part, &object.definition), names, object.address, node.part)
        };
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut ranks = vec![0; order.len()];
        for (rank, &node) in order.iter().enumerate() {
            ranks[node] = rank;
        }
        ranks
    }

    /// Gives something up.
    pub fn ignore(&mut self, node: usize, message: String) {
        let object = self.describe(node);
        self.ignored.push(Ignored { object, message });
    }

    /// A node in words.
    pub fn describe(&self, node: usize) -> String {
        let object = self.object(node);
        let piece = match self.nodes[node].part {
            Part::Whole => "",
            Part::Shell => " (shell)",
            Part::Piece(Piece::Default(_)) => " (default)",
            Part::Piece(Piece::Check(_) | Piece::DomainCheck(_)) => " (check)",
            Part::Piece(Piece::Query) => " (definition)",
            Part::OwnedBy => " (owner)",
            Part::Attach => " (attached)",
            Part::Value => " (value)",
            Part::RowSecurity => " (row security)",
            Part::Refresh => " (data)",
        };
        format!("{}{piece}", object.reference())
    }
}

/// The section of an object of this kind, if nothing forces it into another.
fn section(definition: &Definition) -> Section {
    match definition {
        Definition::LargeObject(_) => Section::Data,
        Definition::Index(_)
        | Definition::Constraint(_)
        | Definition::Rule(_)
        | Definition::Trigger(_)
        | Definition::Policy(_)
        | Definition::DefaultAcl(_)
        | Definition::EventTrigger(_)
        | Definition::Publication(_)
        | Definition::PublicationMember(_)
        | Definition::Subscription(_)
        | Definition::ChangedPrivileges(_)
        | Definition::ChangedComments(_)
        | Definition::ExtensionTies(_)
        | Definition::SecurityLabels(_) => Section::PostData,
        _ => Section::PreData,
    }
}

/// The rank of a kind: `dbObjectTypePriority` in `pg_dump_sort.c`.
fn priority(part: Part, definition: &Definition) -> u8 {
    match part {
        Part::Shell | Part::Whole => {}
        Part::OwnedBy => return 21,
        Part::Attach => return 24,
        Part::Piece(Piece::Default(_)) => return 22,
        Part::Value => return 30,
        Part::Piece(Piece::Check(_) | Piece::DomainCheck(_)) => return 40,
        Part::Piece(Piece::Query) => return 44,
        Part::RowSecurity => return 47,
        Part::Refresh => return 60,
    }
    match definition {
        Definition::Namespace(_) => 1,
        Definition::Language(_) => 2,
        Definition::Collation(_) => 3,
        Definition::Transform(_) => 4,
        Definition::Extension(_) => 5,
        Definition::BaseType(_)
        | Definition::Enum(_)
        | Definition::Domain(_)
        | Definition::Composite(_)
        | Definition::Range(_) => 6,
        Definition::Cast(_) => 7,
        Definition::Function(_) => 8,
        Definition::Aggregate(_) => 9,
        Definition::AccessMethod(_) => 10,
        Definition::Operator(_) => 11,
        Definition::OperatorClass(_) | Definition::OperatorFamily(_) | Definition::AddedMembers(_) => 12,
        Definition::Conversion(_) => 13,
        Definition::TextSearchParser(_) => 14,
        Definition::TextSearchTemplate(_) => 15,
        Definition::TextSearchDictionary(_) => 16,
        Definition::TextSearchConfiguration(_) => 17,
        Definition::Sequence(_)
        | Definition::Table(_)
        | Definition::View(_)
        | Definition::MaterializedView(_) => 20,
        Definition::Statistics(_) => 23,
        Definition::LargeObject(_) => 31,
        Definition::Constraint(c) if c.kind == ConstraintKind::Foreign => 46,
        Definition::Constraint(_) => 41,
        Definition::Index(_) => 42,
        Definition::Rule(_) => 44,
        Definition::Trigger(_) => 45,
        Definition::Policy(_) => 48,
        Definition::DefaultAcl(_) => 50,
        Definition::ForeignDataWrapper(_) => 17,
        Definition::ForeignServer(_) => 18,
        Definition::UserMapping(_) => 19,
        Definition::Publication(_) => 51,
        Definition::PublicationMember(_) => 52,
        Definition::Subscription(_) => 54,
        Definition::SecurityLabels(_) => 55,
        Definition::ExtensionTies(_) => 56,
        Definition::ChangedPrivileges(_) | Definition::ChangedComments(_) => 57,
        Definition::EventTrigger(_) => 61,
    }
}
