//! Partitions whose rows find another partition on the target: their changes must come under the name of the whole.
//!
//! The copy sends such rows through the partitioned table ([`routed`]). A change under the partition's own name would be refused there, in
//! the middle of StreamApply, when the changes in the WAL can no longer be had otherwise; so it is judged before anything is made.

use super::Online;
use super::facts::{Replication, Server};
use super::finding::{Finding, counted, some_of};
use super::publication::is_to_go;
use crate::error::Side;
use crate::schema::quote::quote_ident;
use crate::schema::routing::routed;
use crate::schema::{Definition, Schema, publishable};

/// `publish_via_partition_root` is there from this version on.
const VIA_ROOT: u32 = 130_000;

/// Findings from the publication that is there, or the one that will be made.
pub(super) fn judge(
    schema: &Schema,
    server: &Server,
    source: &Replication,
    online: Online<'_>,
    out: &mut Vec<Finding>,
) {
    let routed = routed(schema);
    let mut names: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| routed.contains_key(&o.address))
        .filter(|o| matches!(&o.definition, Definition::Table(table) if publishable(table)))
        .map(|o| o.qualified_name())
        .collect();
    names.sort();
    let Some(first) = names.first() else { return };
    let there = source.publication.as_ref().filter(|p| !is_to_go(p, online));
    if there.is_some_and(|p| p.via_root) || there.is_none() && server.version >= VIA_ROOT {
        return; // the one that is made sends them so
    }
    let rows = format!(
        "rows of {} may belong to another partition on the target, and their changes come under the partition's own name: {}",
        counted(names.len(), "partition"),
        some_of(&names)
    );
    let name = quote_ident(&online.options.publication);
    let remedy = match server.version {
        ..VIA_ROOT => "leave these tables out with --exclude-table and move them offline: before 13 a publication knows no other name".to_owned(),
        _ => format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true);"),
    };
    out.push(Finding::error("partitions-by-name", rows).on(Side::Source).about(first.clone()).mend(remedy));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{good_server, good_source, online, shown};
    use super::*;
    use crate::config::OnlineOptions;
    use crate::schema::{Address, Object, PartitionOf, Relative, Table, TableKind};

    fn object(oid: u32, name: &str, table: Table) -> Object {
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

    fn schema(hash_differs: bool) -> Schema {
        let parent = Relative { address: Address::relation(1), name: "s.whole".into() };
        let whole = Table { kind: TableKind::Partitioned, hash_differs, ..Table::default() };
        let part =
            Table { partition_of: Some(PartitionOf { parent, bound: String::new() }), ..Table::default() };
        let objects = vec![object(1, "whole", whole), object(2, "Part", part)];
        Schema { objects, ..Schema::default() }
    }

    fn judged(schema: &Schema, version: u32, source: &Replication) -> String {
        let (mut out, options) = (Vec::new(), OnlineOptions::default());
        let server = Server { version, ..good_server() };
        judge(schema, &server, source, online(&options), &mut out);
        shown(&out)
    }

    #[test]
    fn changes_come_under_the_name_of_the_whole_or_not_at_all() {
        let mut source = good_source();
        assert_eq!(judged(&schema(false), 150_000, &source), "");
        insta::assert_snapshot!(judged(&schema(true), 150_000, &source), @r#"
Error partitions-by-name source [s."Part"]: rows of 1 partition may belong to another partition on the target, and their changes come under the partition's own name: s."Part"
    ALTER PUBLICATION pg_migrator SET (publish_via_partition_root = true);
"#);
        insta::assert_snapshot!(judged(&schema(true), 120_000, &source), @r#"
Error partitions-by-name source [s."Part"]: rows of 1 partition may belong to another partition on the target, and their changes come under the partition's own name: s."Part"
    leave these tables out with --exclude-table and move them offline: before 13 a publication knows no other name
"#);
        if let Some(publication) = &mut source.publication {
            publication.via_root = true;
        }
        assert_eq!(judged(&schema(true), 150_000, &source), "");
        source.publication = None;
        assert_eq!(judged(&schema(true), 150_000, &source), "", "it will be made so");
    }
}
