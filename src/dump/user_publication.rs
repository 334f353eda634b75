//! Reads the user's own publications and what is in them (`getPublications`, `getPublicationTables`,
//! `getPublicationNamespaces` in `pg_dump.c`).
//!
//! Invariant: the publication that an online migration made for itself is not the user's; its comment tells.

use super::DumpError;
use super::catalogs::{Catalogs, FIRST_USER_OID, unnamespaced};
use crate::pg::Row;
use crate::schema::quote::{qualified, quote_literal};
use crate::schema::{
    Address, Definition, Object, PublicationMember, Published, UserPublication, class, publication_comment,
};

/// The condition on `pg_publication p` that it is the user's.
fn own() -> String {
    let ours = publication_comment("");
    format!(
        "p.oid >= {FIRST_USER_OID} AND left(coalesce(obj_description(p.oid, 'pg_publication'), ''), {}) <> {}",
        ours.chars().count(),
        quote_literal(&ours)
    )
}

/// All publications.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT p.oid, p.pubname AS name, pg_get_userbyid(p.pubowner)::text AS owner, p.puballtables, p.pubinsert, \
           p.pubupdate, p.pubdelete, {truncate} AS pubtruncate, {via_root} AS via_root, {generated} AS generated \
         FROM pg_publication p WHERE {own} ORDER BY p.oid",
        truncate = c.since(11, "p.pubtruncate", "false"),
        via_root = c.since(13, "p.pubviaroot", "false"),
        generated = c.since(18, "p.pubgencols = 's'", "false"),
        own = own(),
    );
    c.query("reading publications", &sql).await?.iter().map(publication).collect()
}

fn publication(row: &Row) -> Result<Object, DumpError> {
    let mut operations = Vec::new();
    for (column, word) in [
        ("pubinsert", "insert"),
        ("pubupdate", "update"),
        ("pubdelete", "delete"),
        ("pubtruncate", "truncate"),
    ] {
        if row.get(column)? {
            operations.push(word);
        }
    }
    let publication = UserPublication {
        all_tables: row.get("puballtables")?,
        operations,
        via_root: row.get("via_root")?,
        generated: row.get("generated")?,
    };
    unnamespaced(row, class::PUBLICATION, Definition::Publication(publication))
}

/// All tables and schemas of publications.
pub(super) async fn read_members(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let (columns, filter) = (
        "ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = m.prrelid \
           AND a.attnum = ANY (m.prattrs) ORDER BY a.attnum)",
        "pg_get_expr(m.prqual, m.prrelid)",
    );
    let schemas = format!(
        " UNION ALL SELECT m.oid, p.pubname, p.oid, true, 0, n.nspname, NULL, NULL, NULL, NULL \
         FROM pg_publication_namespace m JOIN pg_publication p ON p.oid = m.pnpubid \
         JOIN pg_namespace n ON n.oid = m.pnnspid WHERE {}",
        own()
    );
    let sql = format!(
        "SELECT m.oid, p.pubname AS name, p.oid AS publication, false AS is_schema, c.oid AS relation, n.nspname, \
           c.relname, {columns} AS columns, {filter} AS filter, NULL::text AS owner \
         FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid \
         JOIN pg_class c ON c.oid = m.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {own}{schemas}",
        columns = c.since(15, columns, "NULL::text[]"),
        filter = c.since(15, filter, "NULL::text"),
        own = own(),
        schemas = c.since(15, &schemas, ""),
    );
    c.query("reading what is in publications", &sql).await?.iter().map(member).collect()
}

fn member(row: &Row) -> Result<Object, DumpError> {
    let publication = Address::new(class::PUBLICATION, row.get("publication")?);
    let namespace: String = row.get("nspname")?;
    let is_schema: bool = row.get("is_schema")?;
    let what = if is_schema {
        Published::Schema(namespace)
    } else {
        Published::Table {
            table: Address::relation(row.get("relation")?),
            name: qualified(&namespace, &row.get::<String>("relname")?),
            columns: row.get::<Option<Vec<String>>>("columns")?.unwrap_or_default(),
            filter: row.get("filter")?,
        }
    };
    let member = PublicationMember { publication, publication_name: row.get("name")?, what };
    let class = if is_schema { class::PUBLICATION_NAMESPACE } else { class::PUBLICATION_TABLE };
    let object = unnamespaced(row, class, Definition::PublicationMember(member))?;
    Ok(Object { parent: Some(publication), ..object })
}
