//! Comments of all objects in one query, and the way of each to its object. Those on checks and NOT NULL constraints of domains are
//! the domains' reader's.
//!
//! Invariant: a comment on a constraint is said where the constraint is there: with the table that it is written with, or behind
//! what makes it (a parent's constraint, a trigger), or it is named as lost.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::quote::quote_ident;
use crate::schema::{
    Address, ChangedComments, Comment, CommentOn, Definition, Object, Schema, Unsupported, class,
};

/// A row of `pg_description`.
#[derive(Clone, Debug)]
pub(super) struct RawComment {
    /// What it is on.
    pub(super) address: Address,
    /// Where it is on a column of a relation: the column's name.
    pub(super) column: Option<String>,
    /// Where it is on a table's constraint: which.
    pub(super) constraint: Option<OnConstraint>,
    /// The text.
    pub(super) text: String,
}

/// A table's constraint that has a comment.
#[derive(Clone, Debug)]
pub(super) struct OnConstraint {
    /// The table.
    table: Address,
    /// The constraint's name.
    name: String,
    /// It is a check or NOT NULL constraint, which may be written with its table.
    simple: bool,
}

/// A comment on a constraint that the target may not have under the same name, and the table.
pub(super) struct Lost {
    pub(super) table: Address,
    pub(super) comment: Unsupported,
}

/// Every comment on an object that initdb did not make (large objects choose their OID freely), and the one on schema `public`.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<RawComment>, DumpError> {
    let rows = c
        .query(
            "reading comments",
            "SELECT d.classoid, d.objoid, a.attname, k.conrelid, k.conname, k.contype IN ('c', 'n') AS simple, d.description \
             FROM pg_description d \
             LEFT JOIN pg_constraint k ON d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid \
               AND k.conrelid <> 0 \
             LEFT JOIN pg_attribute a ON d.classoid = 'pg_class'::regclass AND d.objsubid <> 0 \
               AND a.attrelid = d.objoid AND a.attnum = d.objsubid \
             WHERE d.objoid >= 16384 OR d.classoid IN ('pg_namespace'::regclass, 'pg_largeobject'::regclass) \
             ORDER BY d.classoid, d.objoid, d.objsubid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RawComment {
                address: Address::new(row.get("classoid")?, row.get("objoid")?),
                column: row.get("attname")?,
                constraint: match row.get::<Option<u32>>("conrelid")? {
                    Some(table) => Some(OnConstraint {
                        table: Address::relation(table),
                        name: row.get("conname")?,
                        simple: row.get("simple")?,
                    }),
                    None => None,
                },
                text: row.get("description")?,
            })
        })
        .collect()
}

/// Hangs each comment on its object, or on the object that its place is a part of, or makes it one of its own. Returns those for
/// which there is no place.
pub(super) fn attach(schema: &mut Schema, comments: Vec<RawComment>) -> Vec<Lost> {
    let index: HashMap<Address, usize> =
        schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect();
    let makers = Makers::of(schema);
    let part_of = |a| schema.aliases.get(&a).and_then(|whole| index.get(whole)).copied();
    let (mut found, mut late, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for RawComment { address, column, constraint, text } in comments {
        let place = match (index.get(&address).copied(), column, constraint) {
            (Some(i), Some(column), _) => Some((i, CommentOn::Column(column))),
            (Some(i), None, _) => Some((i, CommentOn::Itself)),
            (None, None, Some(on)) => {
                let Some(&table) = index.get(&on.table) else { continue };
                let makers = makers.making(&on);
                if makers.is_empty() && on.simple {
                    Some((table, CommentOn::Constraint(on.name)))
                } else {
                    let table = &schema.objects[table];
                    if makers.is_empty() {
                        lost.push(Lost::new(table, &on));
                    } else {
                        late.push((behind(table, on, address, text), makers));
                    }
                    continue;
                }
            }
            (None, column, _) => {
                part_of(address).and_then(|i| match (&schema.objects[i].definition, column) {
                    (Definition::Composite(_), Some(column)) => Some((i, CommentOn::Column(column))),
                    (Definition::Constraint(_), None) if address.class == class::RELATION => {
                        Some((i, CommentOn::Index))
                    }
                    _ => None,
                })
            }
        };
        if let Some((i, on)) = place {
            found.push((i, Comment { on, text }));
        }
    }
    for (i, comment) in found {
        schema.objects[i].comments.push(comment);
    }
    for (object, makers) in late {
        schema.depends.insert(object.address, makers);
        schema.objects.push(object);
    }
    lost
}

impl OnConstraint {
    /// As `COMMENT ON` names it.
    fn words(&self, table: &Object) -> String {
        format!("CONSTRAINT {} ON {}", quote_ident(&self.name), table.qualified_name())
    }
}

impl Lost {
    fn new(table: &Object, on: &OnConstraint) -> Self {
        let (kind, identity) = ("comment on".to_owned(), on.words(table));
        Lost { table: on.table, comment: Unsupported { kind, identity, pg_dump_neither: true } }
    }
}

/// A comment on a constraint that is there once another object is.
fn behind(table: &Object, on: OnConstraint, constraint: Address, text: String) -> Object {
    let comments = vec![(on.words(table), text)];
    Object {
        address: constraint.attached(class::DESCRIPTION),
        namespace: table.namespace.clone(),
        name: on.name,
        parent: Some(on.table),
        owner: None,
        acl: None,
        comments: Vec::new(),
        definition: Definition::ChangedComments(ChangedComments { comments }),
    }
}

/// Constraints and triggers with steps of their own, by table and name, and each table's parents.
struct Makers {
    named: HashMap<(Address, String), Address>,
    parents: HashMap<Address, Vec<Address>>,
}

impl Makers {
    fn of(schema: &Schema) -> Self {
        let named = schema.objects.iter().filter_map(|object| {
            let table = match &object.definition {
                Definition::Constraint(constraint) => constraint.table.address,
                Definition::Trigger(trigger) => trigger.table,
                _ => return None,
            };
            Some(((table, object.name.clone()), object.address))
        });
        let parents = schema.tables().into_iter();
        let parents = parents.map(|(address, t)| (address, t.parents().map(|p| p.address).collect()));
        Makers { named: named.collect(), parents: parents.collect() }
    }

    /// What makes this constraint, which is no object itself: a constraint trigger makes one of its name, and a constraint of a parent
    /// one of its name on each child. (What the server names itself may have another name on another server.)
    fn making(&self, on: &OnConstraint) -> Vec<Address> {
        let (mut all, mut at, mut found) = (vec![on.table], 0, Vec::new());
        while let Some(&table) = all.get(at) {
            found.extend(self.named.get(&(table, on.name.clone())));
            for parent in self.parents.get(&table).into_iter().flatten() {
                if !all.contains(parent) {
                    all.push(*parent);
                }
            }
            at += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Constraint, ConstraintKind, PartitionOf, Relative, Table};

    fn object(address: Address, name: &str, definition: Definition) -> Object {
        Object {
            address,
            namespace: Some("a".to_owned()),
            name: name.to_owned(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition,
        }
    }

    fn foreign_key(table: u32) -> Definition {
        Definition::Constraint(Constraint {
            kind: ConstraintKind::Foreign,
            table: Relative { address: Address::relation(table), name: "a.t".to_owned() },
            table_partitioned: false,
            definition: String::new(),
            index: None,
            referenced: None,
            referenced_index: None,
            valid: true,
        })
    }

    fn comment(address: Address, column: Option<&str>) -> RawComment {
        let column = column.map(str::to_owned);
        RawComment { address, column, constraint: None, text: "x".to_owned() }
    }

    #[test]
    fn comments_find_their_place() {
        let rel = Address::relation;
        let (composite, key) = (Address::new(class::TYPE, 1), Address::new(class::CONSTRAINT, 4));
        let objects = vec![
            object(composite, "c", Definition::Composite(Default::default())),
            object(key, "pk", foreign_key(9)),
            object(rel(9), "t", Definition::Table(Table::default())),
        ];
        let aliases = HashMap::from([(rel(2), composite), (rel(5), key)]);
        let mut schema = Schema { objects, aliases, ..Schema::default() };
        let comments = vec![
            comment(composite, None),
            comment(rel(2), Some("Attr")),
            comment(rel(5), None),
            comment(rel(9), Some("c")),
            comment(rel(77), None),
        ];
        assert!(attach(&mut schema, comments).is_empty());
        let on: Vec<Vec<CommentOn>> =
            schema.objects.iter().map(|o| o.comments.iter().map(|c| c.on.clone()).collect()).collect();
        assert_eq!(
            on,
            [
                vec![CommentOn::Itself, CommentOn::Column("Attr".into())],
                vec![CommentOn::Index],
                vec![CommentOn::Column("c".into())],
            ]
        );
    }

    #[test]
    fn comments_on_constraints_that_another_object_makes() {
        let key = Address::new(class::CONSTRAINT, 4);
        let parent = Relative { address: Address::relation(9), name: "a.t".to_owned() };
        let part =
            Table { partition_of: Some(PartitionOf { parent, bound: String::new() }), ..Table::default() };
        let objects = vec![
            object(Address::relation(9), "t", Definition::Table(Table::default())),
            object(Address::relation(10), "part", Definition::Table(part)),
            object(key, "K", foreign_key(9)),
        ];
        let mut schema = Schema { objects, ..Schema::default() };
        let on = |oid, name: &str, simple| RawComment {
            constraint: Some(OnConstraint { table: Address::relation(10), name: name.to_owned(), simple }),
            ..comment(Address::new(class::CONSTRAINT, oid), None)
        };
        let lost = attach(&mut schema, vec![on(20, "K", false), on(21, "c", true), on(22, "K_1", false)]);
        let lost: Vec<&str> = lost.iter().map(|l| l.comment.identity.as_str()).collect();
        assert_eq!(lost, ["CONSTRAINT \"K_1\" ON a.part"]);
        assert_eq!(schema.objects[1].comments.len(), 1);
        let late = &schema.objects[3];
        assert_eq!(late.reference(), "COMMENT ON CONSTRAINT \"K\" ON a.part");
        assert_eq!(schema.depends[&late.address], [key]);
    }
}
