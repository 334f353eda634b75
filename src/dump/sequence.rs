//! Reads sequences and where they stand (`collectSequences`, `dumpSequence` in `pg_dump.c`).
//!
//! Invariant: a sequence whose value may not be read has `value: None`; it is never given a made-up one.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::pg::Row;
use crate::schema::quote::qualified;
use crate::schema::{Address, Definition, Identity, Object, OwnedBy, Relative, Sequence};

/// Sequences read by one query on servers that cannot list the values: the planner's time for a union grows
/// faster than its length (2,000 sequences take 2.3 s in batches of 500, 0.9 s in batches of 50).
const BATCH: usize = 50;

/// All sequences, with their values.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner)::text AS owner, \
           c.relpersistence = 'u' AS unlogged, format_type(s.seqtypid, NULL) AS data_type, \
           s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle, \
           has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') AS readable, \
           t.oid AS table_oid, tn.nspname AS table_namespace, t.relname AS table_name, \
           t.relpersistence = 'u' AS table_unlogged, a.attname, format_type(a.atttypid, NULL) AS column_type, {of_partition} AS of_partition, \
           CASE WHEN d.deptype = 'i' THEN a.attidentity::text END AS identity \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid \
         LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
           AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
         LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {USER_NAMESPACE} ORDER BY c.oid",
        // From 17 on a partition's identity columns are its parent's.
        of_partition = c.since(17, "false", "coalesce(t.relispartition, false)"),
    );
    let rows = c.query("reading sequences", &sql).await?;
    let values = if c.at_least(18) { list_values(c).await? } else { read_values(c, &rows).await? };
    rows.iter().map(|row| to_object(row, &values)).collect()
}

/// `last_value` and `is_called` by OID.
type Values = HashMap<u32, (i64, bool)>;

const READING_VALUES: &str = "reading the values of sequences";

/// Where each readable sequence stands, from a function that reads any (18 and later).
async fn list_values(c: &Catalogs<'_>) -> Result<Values, DumpError> {
    // It returns NULLs where the role may not read.
    let sql = format!(
        "SELECT c.oid, v.last_value, v.is_called FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL pg_get_sequence_data(c.oid) v \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {USER_NAMESPACE} \
           AND v.last_value IS NOT NULL"
    );
    collect(&c.query(READING_VALUES, &sql).await?)
}

/// Where each readable sequence stands, from the sequences themselves.
async fn read_values(c: &Catalogs<'_>, rows: &[Row]) -> Result<Values, DumpError> {
    let mut selects = Vec::with_capacity(rows.len());
    for row in rows {
        if row.get("readable")? {
            let (namespace, name): (String, String) = (row.get("nspname")?, row.get("relname")?);
            let oid: u32 = row.get("oid")?;
            selects.push(format!(
                "SELECT {oid}::oid AS oid, last_value, is_called FROM {}",
                qualified(&namespace, &name)
            ));
        }
    }
    // Sent without waiting for each other.
    let batches = selects
        .chunks(BATCH)
        .map(|batch| async move { c.query(READING_VALUES, &batch.join(" UNION ALL ")).await });
    let rows: Vec<Row> = try_join_all(batches).await?.into_iter().flatten().collect();
    collect(&rows)
}

fn collect(rows: &[Row]) -> Result<Values, DumpError> {
    let mut values = HashMap::with_capacity(rows.len());
    for row in rows {
        values.insert(row.get("oid")?, (row.get("last_value")?, row.get("is_called")?));
    }
    Ok(values)
}

fn to_object(row: &Row, values: &Values) -> Result<Object, DumpError> {
    let oid: u32 = row.get("oid")?;
    let owned_by = owned_by(row)?;
    let identity = match row.get::<Option<String>>("identity")?.as_deref() {
        Some("a") => Some(Identity::Always),
        Some("d") => Some(Identity::ByDefault),
        _ => None,
    };
    Ok(Object {
        address: Address::relation(oid),
        namespace: Some(row.get("nspname")?),
        name: row.get("relname")?,
        parent: owned_by.as_ref().map(|o| o.table.address),
        // One behind an identity column has its table's, and cannot be given another.
        owner: if identity.is_some() { None } else { Some(row.get("owner")?) },
        acl: None,
        comments: Vec::new(),
        definition: Definition::Sequence(Sequence {
            data_type: row.get("data_type")?,
            start: row.get("seqstart")?,
            increment: row.get("seqincrement")?,
            min: row.get("seqmin")?,
            max: row.get("seqmax")?,
            cache: row.get("seqcache")?,
            cycle: row.get("seqcycle")?,
            unlogged: row.get("unlogged")?,
            owned_by,
            identity,
            value: values.get(&oid).copied(),
            of_extension: false,
        }),
    })
}

fn owned_by(row: &Row) -> Result<Option<OwnedBy>, DumpError> {
    let Some(table) = row.get::<Option<u32>>("table_oid")? else { return Ok(None) };
    let (namespace, name): (String, String) = (row.get("table_namespace")?, row.get("table_name")?);
    Ok(Some(OwnedBy {
        table: Relative { address: Address::relation(table), name: qualified(&namespace, &name) },
        table_unlogged: row.get("table_unlogged")?,
        column: row.get("attname")?,
        column_type: row.get("column_type")?,
        of_partition: row.get("of_partition")?,
    }))
}
