//! Reads indexes that no constraint owns (`getIndexes` in `pg_dump.c`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::pg::Row;
use crate::schema::quote::qualified;
use crate::schema::{Address, Definition, Index, IndexMarks, Object, Relative};

/// Columns of a query over `pg_index i`, its `pg_class ic` and its table `t`, for [`marks`] and [`parent`], and the
/// index's statement as this expression has it.
pub(super) fn index_columns(c: &Catalogs<'_>, definition: &str) -> String {
    // Only columns that are expressions have statistics of their own.
    let column = |name: &str| {
        format!(
            "CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(SELECT a.{name} FROM pg_attribute a \
             WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0 ORDER BY a.attnum) END"
        )
    };
    let (numbers, targets) = match c.at_least(11) {
        true => (column("attnum::int2"), column("attstattarget::int4")),
        false => ("NULL::int2[]".to_owned(), "NULL::int4[]".to_owned()),
    };
    format!(
        "i.indexrelid, ic.relname AS index_name, {definition} AS index_definition, \
         {numbers} AS statistics_columns, {targets} AS statistics_targets, \
         i.indisclustered, i.indisreplident, ic.relpages, xs.spcname AS index_tablespace, \
         pi.oid AS parent_oid, pn.nspname AS parent_namespace, pi.relname AS parent_name"
    )
}

/// The joins that [`index_columns`] needs.
pub(super) const INDEX_JOINS: &str = "LEFT JOIN pg_tablespace xs ON xs.oid = ic.reltablespace \
    LEFT JOIN pg_inherits ih ON ih.inhrelid = i.indexrelid \
    LEFT JOIN pg_class pi ON pi.oid = ih.inhparent LEFT JOIN pg_namespace pn ON pn.oid = pi.relnamespace";

/// What is set on the index after it is made.
pub(super) fn marks(row: &Row) -> Result<IndexMarks, DumpError> {
    let columns: Vec<i16> = row.get::<Option<_>>("statistics_columns")?.unwrap_or_default();
    let targets: Vec<i32> = row.get::<Option<_>>("statistics_targets")?.unwrap_or_default();
    Ok(IndexMarks {
        statistics: columns.into_iter().zip(targets).collect(),
        clustered: row.get("indisclustered")?,
        replica_identity: row.get("indisreplident")?,
    })
}

/// The index it is a partition of.
pub(super) fn parent(row: &Row) -> Result<Option<Relative>, DumpError> {
    let Some(oid) = row.get::<Option<u32>>("parent_oid")? else { return Ok(None) };
    let (namespace, name): (String, String) = (row.get("parent_namespace")?, row.get("parent_name")?);
    Ok(Some(Relative { address: Address::relation(oid), name: qualified(&namespace, &name) }))
}

/// Its size.
pub(super) fn pages(row: &Row) -> Result<u32, DumpError> {
    Ok(u32::try_from(row.get::<i32>("relpages")?).unwrap_or(0))
}

/// All indexes of tables and materialized views, without those of constraints. One that is not valid is what a
/// `CREATE INDEX CONCURRENTLY` that failed has left, and is not carried; a partitioned one is merely incomplete.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT n.nspname, t.oid AS table_oid, t.relname AS table_name, t.relkind = 'p' AS partitioned, {columns} \
         FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
         JOIN pg_namespace n ON n.oid = t.relnamespace {INDEX_JOINS} \
         WHERE t.relkind IN ('r', 'p', 'm') AND t.relpersistence <> 't' AND {USER_NAMESPACE} \
           AND (i.indisvalid OR t.relkind = 'p') AND i.indisready \
           AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = i.indrelid AND k.conindid = i.indexrelid \
             AND k.contype IN ('p', 'u', 'x')) ORDER BY i.indexrelid",
        columns = index_columns(c, "pg_get_indexdef(i.indexrelid)"),
    );
    c.query("reading indexes", &sql).await?.iter().map(to_object).collect()
}

fn to_object(row: &Row) -> Result<Object, DumpError> {
    let (namespace, table_name): (String, String) = (row.get("nspname")?, row.get("table_name")?);
    let table = Relative {
        address: Address::relation(row.get("table_oid")?),
        name: qualified(&namespace, &table_name),
    };
    Ok(Object {
        address: Address::relation(row.get("indexrelid")?),
        namespace: Some(namespace),
        name: row.get("index_name")?,
        parent: Some(table.address),
        owner: None,
        acl: None,
        comments: Vec::new(),
        definition: Definition::Index(Index {
            table,
            definition: row.get("index_definition")?,
            partitioned: row.get("partitioned")?,
            partition_of: parent(row)?,
            marks: marks(row)?,
            pages: pages(row)?,
            tablespace: row.get("index_tablespace")?,
        }),
    })
}
