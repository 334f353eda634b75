//! Whether the publication carries every change of every table that takes part, whole and under a name that the target knows.
//!
//! What the copy takes and the publication does not would be right on the first day and wrong from then on, so it stops the
//! migration. Invariant: judged by the model of the schema, which is what is copied.

use std::collections::BTreeMap;

use super::Online;
use super::facts::replication::{Publication, Table};
use super::facts::{Replication, Server};
use super::finding::{Finding, counted, some_of};
use crate::error::Side;
use crate::schema::quote::{qualified, quote_ident};
use crate::schema::{
    Definition, Schema, Surroundings, create_publication, has_all_tables, listed, publication_comment,
    publishable,
};

/// Findings from the publication and the model. `everything`: no filter was given.
pub(super) fn judge(
    schema: &Schema,
    server: &Server,
    source: &Replication,
    everything: bool,
    online: Online<'_>,
    out: &mut Vec<Finding>,
) {
    let from = out.len();
    let name = quote_ident(&online.options.publication);
    let taken = taken(schema, source);
    let publication = source.publication.as_ref().filter(|p| !is_to_go(p, online));
    match publication {
        None => missing(schema, server, source, everything, online, out),
        Some(publication) => {
            operations(publication, server, &name, out);
            if !unpublished(publication, source, &taken, &name, out) {
                via_root(publication, source, &taken, &name, out);
            }
            narrowed(publication, source, &taken, &name, out);
        }
    }
    unlogged(schema, out);
    for finding in &mut out[from..] {
        finding.side = Some(Side::Source);
        finding.object.get_or_insert_with(|| format!("publication {name}"));
    }
}

/// Whether an earlier attempt of this migration made it, and it will be dropped or made anew before the slot is.
pub(super) fn is_to_go(publication: &Publication, online: Online<'_>) -> bool {
    let ours = publication_comment(online.subscription);
    (online.options.create_publication || online.clears)
        && !online.streams
        && publication.comment.as_deref() == Some(ours.as_str())
}

/// Tables of the model whose changes are to be streamed, by OID: those with rows, and not unlogged.
pub(super) fn taken<'a>(schema: &Schema, source: &'a Replication) -> BTreeMap<u32, &'a Table> {
    schema
        .objects
        .iter()
        .filter(|o| matches!(&o.definition, Definition::Table(table) if publishable(table)))
        .filter_map(|o| source.tables.get(&o.address.oid).map(|table| (o.address.oid, table)))
        .collect()
}

fn name_of(table: &Table) -> String {
    qualified(&table.schema, &table.name)
}

/// The statement that would make it.
fn create(
    schema: &Schema,
    server: &Server,
    source: &Replication,
    everything: bool,
    online: Online<'_>,
) -> String {
    let could: Vec<u32> = source
        .tables
        .iter()
        .filter(|(_, t)| t.kind == 'r' && t.persistence == 'p')
        .map(|(&oid, _)| oid)
        .collect();
    let all_tables = everything && server.superuser && has_all_tables(schema, &could);
    let around = Surroundings { partitions: &partitions(source), all_tables };
    create_publication(schema, &online.options.publication, around)
}

fn partitions(source: &Replication) -> Vec<(u32, u32)> {
    source.tables.iter().filter_map(|(&oid, table)| Some((oid, table.parent?))).collect()
}

fn missing(
    schema: &Schema,
    server: &Server,
    source: &Replication,
    everything: bool,
    online: Online<'_>,
    out: &mut Vec<Finding>,
) {
    let name = quote_ident(&online.options.publication);
    let create = create(schema, server, source, everything, online);
    if !online.options.create_publication {
        out.push(
            Finding::error("publication-missing", format!("publication {name} is not there"))
                .mend(format!("use --create-publication, or: {create};")),
        );
        return;
    }
    let role = quote_ident(&server.role);
    let others: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::Table(_)))
        .filter_map(|o| source.tables.get(&o.address.oid))
        .filter(|t| !t.ours && t.persistence == 'p')
        .map(name_of)
        .collect();
    if !server.superuser && !server.may_create_schema {
        let database = quote_ident(&server.database);
        out.push(
            Finding::error(
                "publication-not-permitted",
                format!("role {role} may not create publications in database {database}"),
            )
            .mend(format!("GRANT CREATE ON DATABASE {database} TO {role}; -- or, by who may: {create};")),
        );
    } else if !server.superuser && !others.is_empty() {
        out.push(
            Finding::error(
                "publication-not-permitted",
                format!(
                    "role {role} does not own {}, and only owners can publish a table: {}",
                    counted(others.len(), "table"),
                    some_of(&others)
                ),
            )
            .mend(format!("by a superuser or the owners: {create};")),
        );
    } else {
        out.push(
            Finding::notice(
                "publication-created",
                format!("publication {name} will be made before the slot is"),
            )
            .mend(format!("{create};")),
        );
    }
}

fn operations(publication: &Publication, server: &Server, name: &str, out: &mut Vec<Finding>) {
    let kinds = [
        ("insert", publication.insert),
        ("update", publication.update),
        ("delete", publication.delete),
        ("truncate", publication.truncate),
    ];
    let lacking: Vec<&str> = kinds.iter().filter(|(_, sent)| !sent).map(|(kind, _)| *kind).collect();
    if !lacking.is_empty() {
        let all = if server.version >= 110_000 {
            "insert, update, delete, truncate"
        } else {
            "insert, update, delete"
        };
        out.push(
            Finding::error(
                "publication-operations",
                format!("publication {name} does not publish {}", lacking.join(", ")),
            )
            .mend(format!("ALTER PUBLICATION {name} SET (publish = '{all}');")),
        );
    }
    if publication.generated_columns {
        out.push(Finding::notice(
            "publication-generated-columns",
            format!("publication {name} sends generated columns: the target computes its own"),
        ));
    }
}

/// Tables that are copied and not published; whether there are any.
fn unpublished(
    publication: &Publication,
    source: &Replication,
    taken: &BTreeMap<u32, &Table>,
    name: &str,
    out: &mut Vec<Finding>,
) -> bool {
    let mut names: Vec<String> = taken
        .iter()
        .filter(|(oid, _)| publication.sends(&source.tables, **oid).is_none())
        .map(|(_, table)| name_of(table))
        .collect();
    names.sort();
    let Some(first) = names.first() else { return false };
    let add = format!("ALTER PUBLICATION {name} ADD TABLE {};", listed(&names));
    out.push(
        Finding::error(
            "tables-not-published",
            format!(
                "{} would be copied, and no later change to {} would come, because publication {name} lacks {}: {}",
                counted(names.len(), "table"),
                if names.len() == 1 { "it" } else { "them" },
                if names.len() == 1 { "it" } else { "them" },
                some_of(&names)
            ),
        )
        .about(first.clone())
        .mend(format!("{add} -- or leave out with --exclude-table what need not come")),
    );
    true
}

/// With `publish_via_partition_root` changes come under the name of the whole: it and its parts must take part or stay out
/// together.
fn via_root(
    publication: &Publication,
    source: &Replication,
    taken: &BTreeMap<u32, &Table>,
    name: &str,
    out: &mut Vec<Finding>,
) {
    if !publication.via_root {
        return;
    }
    let parts =
        source.tables.iter().filter(|(_, t)| t.kind == 'r' && t.persistence == 'p' && t.parent.is_some());
    let mut roots = BTreeMap::<u32, (bool, bool)>::new();
    for (oid, _) in parts {
        let Some(root) = publication.sends(&source.tables, *oid).filter(|root| root != oid) else { continue };
        let (any_in, any_out) = roots.entry(root).or_default();
        match taken.contains_key(oid) {
            true => *any_in = true,
            false => *any_out = true,
        }
    }
    let named = |torn: bool| -> Vec<String> {
        let mut names: Vec<String> = roots
            .iter()
            .filter(|(_, (any_in, any_out))| *any_in && *any_out == torn)
            .filter_map(|(oid, _)| source.tables.get(oid).map(name_of))
            .collect();
        names.sort();
        names
    };
    let (torn, whole) = (named(true), named(false));
    if let Some(first) = torn.first() {
        out.push(
            Finding::error(
                "publication-via-root",
                format!(
                    "publication {name} sends changes of partitions under the name of the whole (publish_via_partition_root), and some partitions are left out: {}",
                    some_of(&torn)
                ),
            )
            .about(first.clone())
            .mend(format!(
                "ALTER PUBLICATION {name} SET (publish_via_partition_root = false); -- or let the filters take the whole"
            )),
        );
    }
    if let Some(first) = whole.first() {
        out.push(
            Finding::warning(
                "publication-via-root",
                format!(
                    "publication {name} sends changes of partitions under the name of the whole (publish_via_partition_root), and so they are applied; TRUNCATE of a single partition is not sent: {}",
                    some_of(&whole)
                ),
            )
            .about(first.clone())
            .mend(format!(
                "ALTER PUBLICATION {name} SET (publish_via_partition_root = false); -- or truncate no partition until Cutover"
            )),
        );
    }
}

/// Row filters and column lists: what they leave out is copied, and would not be kept up to date.
fn narrowed(
    publication: &Publication,
    source: &Replication,
    taken: &BTreeMap<u32, &Table>,
    name: &str,
    out: &mut Vec<Finding>,
) {
    // What is listed may be a partitioned table; its parts take part.
    let ancestry =
        |oid: u32| std::iter::successors(Some(oid), |o| source.tables.get(o).and_then(|t| t.parent));
    let concerned = |listed: &[u32]| -> Vec<String> {
        let mut names: Vec<String> = listed
            .iter()
            .filter(|oid| taken.keys().any(|&t| ancestry(t).any(|o| o == **oid)))
            .filter_map(|oid| source.tables.get(oid).map(name_of))
            .collect();
        names.sort();
        names
    };
    for (listed, what) in
        [(&publication.row_filters, "filters rows"), (&publication.column_lists, "leaves out columns")]
    {
        let names = concerned(listed);
        let Some(first) = names.first() else { continue };
        let again: Vec<String> = names
            .iter()
            .map(|t| {
                format!(
                    "ALTER PUBLICATION {name} DROP TABLE {t}; ALTER PUBLICATION {name} ADD TABLE ONLY {t};"
                )
            })
            .collect();
        out.push(
            Finding::error(
                "publication-filters",
                format!(
                    "publication {name} {what} of {}: what is copied would not be kept up to date: {}",
                    counted(names.len(), "table"),
                    some_of(&names)
                ),
            )
            .about(first.clone())
            .mend(again.join("\n")),
        );
    }
}

fn unlogged(schema: &Schema, out: &mut Vec<Finding>) {
    let mut names: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| matches!(&o.definition, Definition::Table(table) if table.unlogged && table.partition_key.is_none()))
        .map(|o| o.qualified_name())
        .collect();
    names.sort();
    let Some(first) = names.first() else { return };
    out.push(
        Finding::warning(
            "unlogged-not-streamed",
            format!("unlogged tables are copied, and what changes in them later does not come, because it is not in the WAL: {}", some_of(&names)),
        )
        .about(first.clone())
        .mend(format!("ALTER TABLE {first} SET LOGGED; -- it rewrites the table; or fill them again after Cutover")),
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{good_server, good_source, online, shown, tables_of};
    use super::*;
    use crate::config::OnlineOptions;

    /// Tables 1 to 3, and 4 of which 5 and 6 are partitions.
    fn facts() -> (Schema, Replication) {
        let (mut schema, mut tables) = tables_of(&["a", "B", "fast", "whole", "p1", "p2"], &["fast"]);
        tables.get_mut(&4).unwrap().kind = 'p';
        for oid in [5, 6] {
            tables.get_mut(&oid).unwrap().parent = Some(4);
        }
        for object in schema.objects.iter_mut().filter(|o| o.name == "whole") {
            let table =
                crate::schema::Table { kind: crate::schema::TableKind::Partitioned, ..Default::default() };
            object.definition = Definition::Table(table);
        }
        (schema, Replication { tables, ..good_source() })
    }

    fn judged(
        server: &Server,
        facts: &(Schema, Replication),
        everything: bool,
        options: &OnlineOptions,
    ) -> String {
        let mut out = Vec::new();
        judge(&facts.0, server, &facts.1, everything, online(options), &mut out);
        // Said of every one of these.
        out.retain(|f| f.code != "unlogged-not-streamed");
        shown(&out)
    }

    fn published(facts: &mut (Schema, Replication), change: impl FnOnce(&mut Publication)) {
        change(facts.1.publication.as_mut().unwrap());
    }

    #[test]
    fn what_is_covered_needs_no_words() {
        let (mut facts, options) = (facts(), OnlineOptions::default());
        published(&mut facts, |p| p.tables = vec![1, 2, 5, 6]);
        assert_eq!(judged(&good_server(), &facts, true, &options), "");
        let mut out = Vec::new();
        judge(&facts.0, &good_server(), &facts.1, true, online(&options), &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Warning unlogged-not-streamed source [s.fast]: unlogged tables are copied, and what changes in them later does not come, because it is not in the WAL: s.fast
    ALTER TABLE s.fast SET LOGGED; -- it rewrites the table; or fill them again after Cutover
"#);
    }

    #[test]
    fn a_missing_publication() {
        let (mut facts, options) = (facts(), OnlineOptions::default());
        facts.1.publication = None;
        let create = OnlineOptions { create_publication: true, ..OnlineOptions::default() };
        let owner = Server { superuser: false, ..good_server() };
        let stranger = Server { may_create_schema: false, ..owner.clone() };
        let mut said = vec![
            judged(&good_server(), &facts, true, &options),
            judged(&good_server(), &facts, false, &create),
            judged(&owner, &facts, true, &create),
            judged(&stranger, &facts, true, &create),
        ];
        facts.1.tables.get_mut(&2).unwrap().ours = false;
        said.push(judged(&owner, &facts, true, &create));
        insta::assert_snapshot!(said.join("\n---\n"), @r#"
Error publication-missing source [publication pg_migrator]: publication pg_migrator is not there
    use --create-publication, or: CREATE PUBLICATION pg_migrator FOR ALL TABLES;
---
Notice publication-created source [publication pg_migrator]: publication pg_migrator will be made before the slot is
    CREATE PUBLICATION pg_migrator FOR TABLE ONLY s."B", ONLY s.a, ONLY s.whole;
---
Notice publication-created source [publication pg_migrator]: publication pg_migrator will be made before the slot is
    CREATE PUBLICATION pg_migrator FOR TABLE ONLY s."B", ONLY s.a, ONLY s.whole;
---
Error publication-not-permitted source [publication pg_migrator]: role mover may not create publications in database app
    GRANT CREATE ON DATABASE app TO mover; -- or, by who may: CREATE PUBLICATION pg_migrator FOR TABLE ONLY s."B", ONLY s.a, ONLY s.whole;
---
Error publication-not-permitted source [publication pg_migrator]: role mover does not own 1 table, and only owners can publish a table: s."B"
    by a superuser or the owners: CREATE PUBLICATION pg_migrator FOR TABLE ONLY s."B", ONLY s.a, ONLY s.whole;
"#);
    }

    #[test]
    fn one_of_ours_is_made_anew_until_it_is_streamed_from() {
        let mut facts = facts();
        published(&mut facts, |p| p.comment = Some(publication_comment("move")));
        let create = OnlineOptions { create_publication: true, ..OnlineOptions::default() };
        assert!(judged(&good_server(), &facts, true, &create).starts_with("Notice publication-created"));
        let kept = judged(&good_server(), &facts, true, &OnlineOptions::default());
        assert!(kept.starts_with("Error tables-not-published"), "{kept}");
        let options = OnlineOptions::default();
        let mut out = Vec::new();
        let clearing = Online { clears: true, ..online(&options) };
        judge(&facts.0, &good_server(), &facts.1, true, clearing, &mut out);
        assert!(shown(&out).starts_with("Error publication-missing"), "{out:?}");
        out.clear();
        let online = Online { streams: true, ..online(&create) };
        judge(&facts.0, &good_server(), &facts.1, true, online, &mut out);
        assert!(shown(&out).starts_with("Error tables-not-published"), "{out:?}");
    }

    #[test]
    fn what_it_lacks() {
        let (mut facts, options) = (facts(), OnlineOptions::default());
        published(&mut facts, |p| {
            p.tables = vec![1, 5];
            (p.update, p.truncate, p.generated_columns) = (false, false, true);
            (p.row_filters, p.column_lists) = (vec![1, 99], vec![4]);
        });
        insta::assert_snapshot!(judged(&good_server(), &facts, true, &options), @r#"
Error publication-operations source [publication pg_migrator]: publication pg_migrator does not publish update, truncate
    ALTER PUBLICATION pg_migrator SET (publish = 'insert, update, delete, truncate');
Notice publication-generated-columns source [publication pg_migrator]: publication pg_migrator sends generated columns: the target computes its own
Error tables-not-published source [s."B"]: 2 tables would be copied, and no later change to them would come, because publication pg_migrator lacks them: s."B", s.p2
    ALTER PUBLICATION pg_migrator ADD TABLE ONLY s."B", ONLY s.p2; -- or leave out with --exclude-table what need not come
Error publication-filters source [s.a]: publication pg_migrator filters rows of 1 table: what is copied would not be kept up to date: s.a
    ALTER PUBLICATION pg_migrator DROP TABLE s.a; ALTER PUBLICATION pg_migrator ADD TABLE ONLY s.a;
Error publication-filters source [s.whole]: publication pg_migrator leaves out columns of 1 table: what is copied would not be kept up to date: s.whole
    ALTER PUBLICATION pg_migrator DROP TABLE s.whole; ALTER PUBLICATION pg_migrator ADD TABLE ONLY s.whole;
"#);
        let old = Server { version: 100_000, ..good_server() };
        assert!(judged(&old, &facts, true, &options).contains("'insert, update, delete')"));
    }

    #[test]
    fn under_the_name_of_the_whole() {
        let (mut facts, options) = (facts(), OnlineOptions::default());
        published(&mut facts, |p| (p.via_root, p.tables) = (true, vec![1, 2, 4]));
        let whole = judged(&good_server(), &facts, true, &options);
        facts.0.objects.retain(|o| o.name != "p2");
        let torn = judged(&good_server(), &facts, false, &options);
        insta::assert_snapshot!(format!("{whole}\n---\n{torn}"), @r#"
Warning publication-via-root source [s.whole]: publication pg_migrator sends changes of partitions under the name of the whole (publish_via_partition_root), and so they are applied; TRUNCATE of a single partition is not sent: s.whole
    ALTER PUBLICATION pg_migrator SET (publish_via_partition_root = false); -- or truncate no partition until Cutover
---
Error publication-via-root source [s.whole]: publication pg_migrator sends changes of partitions under the name of the whole (publish_via_partition_root), and some partitions are left out: s.whole
    ALTER PUBLICATION pg_migrator SET (publish_via_partition_root = false); -- or let the filters take the whole
"#);
    }
}
