//! Reads constraints that are made after the rows (`getConstraints`, `getIndexes` in `pg_dump.c`).
//!
//! Invariant: what comes with a parent's constraint is not read: foreign keys of partitions, inherited checks.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::index::{INDEX_JOINS, index_columns, marks, pages, parent};
use crate::pg::Row;
use crate::schema::quote::qualified;
use crate::schema::storage_option::storage_options;
use crate::schema::{Address, Constraint, ConstraintIndex, ConstraintKind, Definition, Object, Relative};

/// The statement of a key's index, which takes the server as long as the constraint's, is asked for only where the
/// table may be large: it has 2 MB, or nobody has counted.
const KEY_INDEX: &str = "CASE WHEN t.relpages NOT BETWEEN 1 AND 255 THEN pg_get_indexdef(i.indexrelid) END";

/// Primary, unique, exclusion and foreign key constraints of tables, and local check and not-null constraints that are
/// not valid.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT k.oid, k.conname, k.contype::text AS kind, k.convalidated, pg_get_constraintdef(k.oid) AS definition, \
           n.nspname, t.oid AS table_oid, t.relname AS table_name, t.relkind = 'p' AS partitioned, \
           k.confrelid, k.conindid, ic.reloptions AS index_options, coalesce(i.indisvalid, true) AS complete, {period} AS period, {columns} \
         FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
         LEFT JOIN pg_index i ON k.contype IN ('p', 'u', 'x') AND i.indexrelid = k.conindid \
         LEFT JOIN pg_class ic ON ic.oid = i.indexrelid {INDEX_JOINS} \
         WHERE t.relkind IN ('r', 'p', 'f') AND t.relpersistence <> 't' AND {USER_NAMESPACE} \
           AND (k.contype IN ('p', 'u', 'x') OR (k.contype = 'f' {own_foreign}) \
             OR (k.contype IN ('c', 'n') AND NOT k.convalidated AND k.conislocal)) ORDER BY k.oid",
        period = c.since(18, "k.conperiod", "false"),
        own_foreign = c.since(11, "AND k.conparentid = 0", ""),
        columns = index_columns(c, KEY_INDEX),
    );
    c.query("reading constraints", &sql).await?.iter().map(to_object).collect()
}

fn to_object(row: &Row) -> Result<Object, DumpError> {
    let (namespace, table_name): (String, String) = (row.get("nspname")?, row.get("table_name")?);
    let table = Relative {
        address: Address::relation(row.get("table_oid")?),
        name: qualified(&namespace, &table_name),
    };
    let kind = match row.get::<String>("kind")?.as_str() {
        "p" => ConstraintKind::Primary,
        "u" => ConstraintKind::Unique,
        "x" => ConstraintKind::Exclusion,
        "f" => ConstraintKind::Foreign,
        "n" => ConstraintKind::NotNull,
        _ => ConstraintKind::Check,
    };
    let relation = |oid: u32| (oid != 0).then(|| Address::relation(oid));
    let foreign = kind == ConstraintKind::Foreign;
    Ok(Object {
        address: Address::new(crate::schema::class::CONSTRAINT, row.get("oid")?),
        namespace: Some(namespace),
        name: row.get("conname")?,
        parent: Some(table.address),
        owner: None,
        acl: None,
        comments: Vec::new(),
        definition: Definition::Constraint(Constraint {
            kind,
            table_partitioned: row.get("partitioned")?,
            definition: row.get("definition")?,
            index: index(row)?,
            referenced: relation(row.get("confrelid")?),
            referenced_index: relation(row.get("conindid")?).filter(|_| foreign),
            valid: row.get("convalidated")?,
            table,
        }),
    })
}

fn index(row: &Row) -> Result<Option<ConstraintIndex>, DumpError> {
    let Some(oid) = row.get::<Option<u32>>("indexrelid")? else { return Ok(None) };
    let options = row.get::<Option<Vec<String>>>("index_options")?.unwrap_or_default();
    Ok(Some(ConstraintIndex {
        address: Address::relation(oid),
        definition: row.get("index_definition")?,
        options: storage_options(&options, ""),
        marks: marks(row)?,
        partition_of: parent(row)?,
        period: row.get("period")?,
        complete: row.get("complete")?,
        pages: pages(row)?,
        tablespace: row.get("index_tablespace")?,
    }))
}
