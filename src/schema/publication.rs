//! The publication that an online migration streams from: which tables it names, the statements that make it, and that it stays
//! where it is.
//!
//! Where nothing is left out and the role may, it is `FOR ALL TABLES`: a table that the source gets later is then published
//! too, so the stream meets it and can tell; from a list of tables it would be missing without a word. It also locks no
//! table. Else tables are listed: a partitioned table where all of its partitions take part (new ones are then published
//! with it), the partitions themselves where some do not, and on versions before 13, which cannot publish a partitioned
//! table. Invariant: what is published covers every table of the model that can be published.

use std::collections::{HashMap, HashSet};

use super::quote::{quote_ident, quote_literal};
use super::routing::routed;
use super::{Address, Definition, Object, Schema, Table, TableKind};

/// What the statement needs to know beside the model.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Partition and what it is a partition of, by OID, for the whole source, whatever filters leave out.
    pub partitions: &'a [(u32, u32)],
    /// `FOR ALL TABLES` is right: the role is a superuser, and no table that could be published is left out.
    pub all_tables: bool,
}

/// How a publication that this tool made is known again: its comment.
pub fn publication_comment(migration: &str) -> String {
    format!("made by pg_migrator for {migration}")
}

/// `CREATE PUBLICATION`: all operations, no filters, every partition under its own name; under that of the whole where rows of some may
/// find another partition on the target ([`routed`]), from 13 on.
pub fn create_publication(schema: &Schema, name: &str, around: Surroundings<'_>) -> String {
    let name = quote_ident(name);
    let by_whole = schema.server_version >= 130_000 && !routed(schema).is_empty();
    let options = if by_whole { " WITH (publish_via_partition_root = true)" } else { "" };
    if around.all_tables {
        return format!("CREATE PUBLICATION {name} FOR ALL TABLES{options}");
    }
    let members = publication_members(schema, around.partitions);
    if members.is_empty() {
        return format!("CREATE PUBLICATION {name}");
    }
    format!("CREATE PUBLICATION {name} FOR TABLE {}{options}", listed(&members))
}

/// Takes the publication that the stream is read from out of the model, with what is in it: it is there for this migration. On the
/// target, where nobody reads it, it would still refuse updates of tables without a replica identity.
pub fn leave_publication(schema: &mut Schema, name: &str) {
    let named = |o: &&Object| matches!(o.definition, Definition::Publication(_)) && o.name == name;
    let mut left: HashSet<Address> = schema.objects.iter().filter(named).map(|o| o.address).collect();
    let mut known = 0;
    // A label stands beside the publication or a member of it.
    while left.len() > known {
        known = left.len();
        let inside = |o: &&Object| o.parent.is_some_and(|parent| left.contains(&parent));
        let found: Vec<Address> = schema.objects.iter().filter(inside).map(|o| o.address).collect();
        left.extend(found);
    }
    schema.objects.retain(|o| !left.contains(&o.address));
    schema.depends.retain(|user, _| !left.contains(user));
}

/// The comment by which [`publication_comment`] knows it.
pub fn comment_on_publication(name: &str, migration: &str) -> String {
    format!(
        "COMMENT ON PUBLICATION {} IS {}",
        quote_ident(name),
        quote_literal(&publication_comment(migration))
    )
}

/// Names of tables as `CREATE` and `ALTER PUBLICATION … TABLE` list them; children by inheritance are named themselves.
pub fn listed<S: AsRef<str>>(members: &[S]) -> String {
    let only: Vec<String> = members.iter().map(|name| format!("ONLY {}", name.as_ref())).collect();
    only.join(", ")
}

/// Whether rows of this table are streamed: it has rows, and its changes are in the WAL.
pub fn publishable(table: &Table) -> bool {
    table.kind == TableKind::Ordinary && !table.unlogged
}

/// Whether the model has every one of these tables, all that `FOR ALL TABLES` would publish: one that nobody asked to
/// publish, and that has no replica identity, would refuse its updates.
pub fn has_all_tables(schema: &Schema, publishable: &[u32]) -> bool {
    let tables: HashSet<u32> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::Table(_)))
        .map(|o| o.address.oid)
        .collect();
    publishable.iter().all(|oid| tables.contains(oid))
}

/// The tables to list, quoted and qualified, in the order of their names.
pub fn publication_members(schema: &Schema, partitions: &[(u32, u32)]) -> Vec<String> {
    let tables: HashMap<u32, (&Object, &Table)> = schema
        .objects
        .iter()
        .filter_map(|object| match &object.definition {
            Definition::Table(table) => Some((object.address.oid, (object, table))),
            _ => None,
        })
        .collect();
    let parents: HashMap<u32, u32> = partitions.iter().copied().collect();
    let ancestors = |oid: u32| std::iter::successors(parents.get(&oid).copied(), |o| parents.get(o).copied());
    // A whole that lacks a part cannot be listed, nor can what it is a part of.
    let torn: HashSet<u32> =
        parents.keys().filter(|&oid| !tables.contains_key(oid)).flat_map(|&oid| ancestors(oid)).collect();
    let whole = |oid: u32| {
        schema.server_version >= 130_000
            && !torn.contains(&oid)
            && tables.get(&oid).is_some_and(|(_, t)| t.kind == TableKind::Partitioned)
    };
    let mut members: Vec<String> = tables
        .iter()
        .filter(|(oid, (_, table))| whole(**oid) || publishable(table))
        .filter(|(oid, _)| !ancestors(**oid).any(whole))
        .map(|(_, (object, _))| object.qualified_name())
        .collect();
    members.sort();
    members
}

#[cfg(test)]
mod tests {
    use super::super::{PartitionOf, PublicationMember, Published, Relative, UserPublication, class};
    use super::*;

    fn table(oid: u32, name: &str, table: Table) -> Object {
        Object {
            address: Address::relation(oid),
            namespace: Some("s".into()),
            name: name.into(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Table(table),
        }
    }

    fn part(of: u32) -> Table {
        let parent = Relative { address: Address::relation(of), name: "s.whole".into() };
        Table { partition_of: Some(PartitionOf { parent, bound: "DEFAULT".into() }), ..Table::default() }
    }

    fn whole() -> Table {
        Table { kind: TableKind::Partitioned, ..Table::default() }
    }

    /// 1 ⊃ 2 ⊃ 3, 1 ⊃ 4; 5 ⊃ 6; a plain one, an unlogged one.
    fn schema() -> (Schema, Vec<(u32, u32)>) {
        let objects = vec![
            table(1, "whole", whole()),
            table(2, "half", Table { kind: TableKind::Partitioned, ..part(1) }),
            table(3, "quarter", part(2)),
            table(4, "other_half", part(1)),
            table(5, "torn", whole()),
            table(6, "piece", part(5)),
            table(8, "Plain", Table::default()),
            table(9, "fast", Table { unlogged: true, ..Table::default() }),
        ];
        let schema = Schema { server_version: 150_000, objects, ..Schema::default() };
        (schema, vec![(2, 1), (3, 2), (4, 1), (6, 5)])
    }

    #[test]
    fn partitioned_tables_are_listed_where_they_are_whole() {
        let (mut schema, mut partitions) = schema();
        assert_eq!(publication_members(&schema, &partitions), ["s.\"Plain\"", "s.torn", "s.whole"]);
        partitions.push((7, 5)); // a partition that a filter leaves out
        assert_eq!(publication_members(&schema, &partitions), ["s.\"Plain\"", "s.piece", "s.whole"]);
        schema.server_version = 120_000;
        let leaves = ["s.\"Plain\"", "s.other_half", "s.piece", "s.quarter"];
        assert_eq!(publication_members(&schema, &partitions), leaves);
    }

    #[test]
    fn all_tables() {
        let (schema, _) = schema();
        assert!(has_all_tables(&schema, &[3, 4, 6, 8]));
        assert!(!has_all_tables(&schema, &[3, 10]));
    }

    #[test]
    fn the_one_streamed_from_is_left_out_with_what_is_in_it() {
        let publication = |oid: u32, name: &str| Object {
            address: Address::new(class::PUBLICATION, oid),
            definition: Definition::Publication(UserPublication::default()),
            ..table(oid, name, Table::default())
        };
        let member = |oid: u32, of: &Object| Object {
            address: Address::new(class::PUBLICATION_NAMESPACE, oid),
            parent: Some(of.address),
            definition: Definition::PublicationMember(PublicationMember {
                publication: of.address,
                publication_name: of.name.clone(),
                what: Published::Schema("s".into()),
            }),
            ..table(oid, &of.name, Table::default())
        };
        let (mine, other) = (publication(20, "mine"), publication(21, "other"));
        let (inside, beside) = (member(22, &mine), member(23, &other));
        let mut schema = Schema {
            objects: vec![table(1, "mine", Table::default()), inside, beside, mine, other],
            ..Schema::default()
        };
        leave_publication(&mut schema, "mine");
        let left: Vec<u32> = schema.objects.iter().map(|o| o.address.oid).collect();
        assert_eq!(left, [1, 23, 21]);
    }

    #[test]
    fn statements() {
        let (schema, partitions) = schema();
        let create = |schema: &Schema, all_tables| {
            create_publication(schema, "Pub", Surroundings { partitions: &partitions, all_tables })
        };
        assert_eq!(
            create(&schema, false),
            "CREATE PUBLICATION \"Pub\" FOR TABLE ONLY s.\"Plain\", ONLY s.torn, ONLY s.whole"
        );
        assert_eq!(create(&schema, true), "CREATE PUBLICATION \"Pub\" FOR ALL TABLES");
        assert_eq!(create(&Schema::default(), false), "CREATE PUBLICATION \"Pub\"");
        assert_eq!(
            comment_on_publication("p", "it's"),
            "COMMENT ON PUBLICATION p IS 'made by pg_migrator for it''s'"
        );
    }
}
