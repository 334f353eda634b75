//! The publication that `--create-publication` asks for.
//!
//! It must be committed before the slot is created: a change is decoded with the catalogs as they were when it was made, and one
//! made before the publication was is an error or is lost. Invariant: only a publication whose comment says that
//! this tool made it for this migration is ever replaced or dropped.

use std::collections::HashSet;

use crate::pg::{Session, SqlError};
use crate::schema::quote::{quote_ident, quote_literal};
use crate::schema::{
    Definition, Schema, Surroundings, comment_on_publication, create_publication, has_all_tables,
    publication_comment, publishable,
};

/// What the source has beside the model, as far as it matters to a publication.
#[derive(Clone, Debug, Default)]
struct Around {
    partitions: Vec<(u32, u32)>,
    superuser: bool,
    /// OIDs of all tables that could be published.
    publishable: Vec<u32>,
}

/// Makes the publication `name` for the tables of `schema`, for the migration `migration`, unless there is one that is somebody
/// else's; one that an earlier attempt of this migration made is made anew. `everything`: no filter was given. Returns
/// whether it is ours now; if it is, [`drop_publication`] drops it.
///
/// `source` must not be inside a transaction; when this returns, the publication is committed.
///
/// # Errors
/// [`SqlError`] where the role may not, or where a table stays locked for a minute.
pub async fn make_publication(
    source: &Session,
    name: &str,
    migration: &str,
    schema: &Schema,
    everything: bool,
) -> Result<bool, SqlError> {
    let ours = match standing(source, name, migration).await? {
        Standing::Missing => false,
        Standing::Ours => true,
        Standing::Others => return Ok(false),
    };
    let around = around(source).await?;
    let all_tables = everything && around.superuser && has_all_tables(schema, &around.publishable);
    let create =
        create_publication(schema, name, Surroundings { partitions: &around.partitions, all_tables });
    let drop = if ours { format!("DROP PUBLICATION {}; ", quote_ident(name)) } else { String::new() };
    // In one message and so in one transaction; each table is locked as VACUUM locks it.
    let sql = format!(
        "SET TRANSACTION READ WRITE; SET LOCAL lock_timeout = '60s'; SET LOCAL synchronous_commit = on; {drop}{create}; {}",
        comment_on_publication(name, migration)
    );
    source.batch(&format!("creating publication {}", quote_ident(name)), &sql).await?;
    Ok(true)
}

/// Drops the publication `name` if it is one that this tool made for `migration`; returns whether it was.
pub async fn drop_publication(source: &Session, name: &str, migration: &str) -> Result<bool, SqlError> {
    if standing(source, name, migration).await? != Standing::Ours {
        return Ok(false);
    }
    let name = quote_ident(name);
    let sql = format!("SET TRANSACTION READ WRITE; DROP PUBLICATION IF EXISTS {name}");
    source.batch(&format!("dropping publication {name}"), &sql).await?;
    Ok(true)
}

/// Tables of `schema` with rows to stream that the publication does not cover, as the transaction in `reader` sees them,
/// quoted and qualified: those that were made, or taken out of it, since Validate looked.
///
/// # Errors
/// [`SqlError`] where the catalogs cannot be read.
pub async fn uncovered(reader: &Session, name: &str, schema: &Schema) -> Result<Vec<String>, SqlError> {
    // A partition is covered with what it is a partition of.
    let sql = format!(
        "WITH RECURSIVE covered (oid) AS (
            SELECT t.relid FROM pg_catalog.pg_publication p, pg_catalog.pg_get_publication_tables(p.pubname::text) t
            WHERE p.pubname = {}
            UNION SELECT i.inhrelid FROM covered c JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid
            JOIN pg_catalog.pg_class r ON r.oid = i.inhrelid WHERE r.relispartition)
         SELECT c.oid AS oid FROM covered c",
        quote_literal(name)
    );
    let rows = reader.query("reading what is published", &sql).await?;
    let covered = rows.iter().map(|row| row.get("oid")).collect::<Result<HashSet<u32>, SqlError>>()?;
    let mut names: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| matches!(&o.definition, Definition::Table(table) if publishable(table)))
        .filter(|o| !covered.contains(&o.address.oid))
        .map(|o| o.qualified_name())
        .collect();
    names.sort();
    Ok(names)
}

/// Whose a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Missing,
    Ours,
    Others,
}

async fn standing(source: &Session, name: &str, migration: &str) -> Result<Standing, SqlError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.obj_description(p.oid, 'pg_publication') = {}, false) AS ours
         FROM pg_catalog.pg_publication p WHERE p.pubname = {}",
        quote_literal(&publication_comment(migration)),
        quote_literal(name)
    );
    let rows = source.query("looking for the publication", &sql).await?;
    let Some(row) = rows.first() else { return Ok(Standing::Missing) };
    Ok(if row.get("ours")? { Standing::Ours } else { Standing::Others })
}

async fn around(source: &Session) -> Result<Around, SqlError> {
    let sql = "SELECT c.oid AS oid, c.relkind::text AS kind, c.relpersistence::text AS persistence, i.inhparent AS parent,
            (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS superuser
         FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_inherits i ON c.relispartition AND i.inhrelid = c.oid
         WHERE c.relkind IN ('r', 'p', 'f') AND c.oid >= 16384";
    let mut around = Around::default();
    for row in source.query("reading what could be published", sql).await? {
        let (oid, kind): (u32, String) = (row.get("oid")?, row.get("kind")?);
        around.superuser = row.get("superuser")?;
        if kind == "r" && row.get::<String>("persistence")? == "p" {
            around.publishable.push(oid);
        }
        if let Some(parent) = row.get("parent")? {
            around.partitions.push((oid, parent));
        }
    }
    Ok(around)
}
