//! How large the tables are, and how they can be sliced: read on the source, under the snapshot and its locks.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::{Slicing, TableSize};
use crate::pg::{Session, SqlError};
use crate::schema::quote::{qualified, quote_ident};
use crate::schema::{Address, Definition, Schema};

/// `server_version_num` from which a ctid range is scanned without reading the rest of the table.
const TID_RANGE_SCAN: u32 = 140_000;

/// Sizes of the tables of `schema` and of the configuration tables whose rows it has, by address: one query, about
/// these alone, because reading a size takes a lock and others may be locked by somebody. TOAST counts, because its bytes travel too. A table without a block
/// has no row that the snapshot could see: it is locked, so nobody can have emptied it since.
pub async fn sizes(source: &Session, schema: &Schema) -> Result<HashMap<Address, TableSize>, SqlError> {
    let tables = schema.objects.iter().filter(|o| matches!(o.definition, Definition::Table(_)));
    let tables = tables.map(|o| o.address).chain(schema.extension_data.iter().map(|d| d.address));
    let oids: Vec<u32> = tables.map(|address| address.oid).collect();
    let rows = source
        .query_with(
            "reading the sizes of the tables",
            "SELECT c.oid, pg_catalog.pg_relation_size(c.oid) AS heap, \
             CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_catalog.pg_relation_size(c.reltoastrelid) END AS toast, \
             pg_catalog.current_setting('block_size')::int8 AS block, greatest(c.reltuples, 0)::int8 AS tuples \
             FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND c.oid = ANY ($1)",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    let mut sizes = HashMap::with_capacity(rows.len());
    for row in rows {
        // NULL: dropped between the catalog's row and the file's size, so not among the locked tables.
        let (heap, toast): (Option<i64>, Option<i64>) = (row.get("heap")?, row.get("toast")?);
        let (block, tuples): (i64, i64) = (row.get("block")?, row.get("tuples")?);
        let heap = heap.unwrap_or(0);
        sizes.insert(
            Address::relation(row.get("oid")?),
            TableSize {
                bytes: (heap + toast.unwrap_or(0)) as u64,
                blocks: (heap / block.max(1)) as u64,
                rows: tuples as u64,
            },
        );
    }
    Ok(sizes)
}

/// How the tables of at least `split_bytes` can be sliced. On servers without TID range scans that asks each
/// of them for the ends of an integer primary key, if it has one.
pub async fn slicing(
    source: &Session,
    schema: &Schema,
    sizes: &HashMap<Address, TableSize>,
    split_bytes: u64,
) -> Result<HashMap<Address, Slicing>, SqlError> {
    let large = |a: &Address| split_bytes > 0 && sizes.get(a).is_some_and(|s| s.bytes >= split_bytes);
    let mut slicing = HashMap::new();
    let tables =
        schema.objects.iter().filter(|o| matches!(o.definition, Definition::Table(_)) && large(&o.address));
    if source.version() >= TID_RANGE_SCAN {
        // A ctid means nothing to other table access methods.
        for object in tables {
            let heap = matches!(&object.definition, Definition::Table(t) if t.access_method.is_none());
            slicing.insert(object.address, if heap { Slicing::Ctid } else { Slicing::Whole });
        }
        return Ok(slicing);
    }
    let keys = integer_keys(source).await?;
    for object in tables {
        let Some(column) = keys.get(&object.address) else { continue };
        let table = qualified(object.namespace.as_deref().unwrap_or_default(), &object.name);
        let key = quote_ident(column);
        let sql = format!("SELECT min({key})::int8 AS low, max({key})::int8 AS high FROM ONLY {table}");
        let rows = source.query(&format!("reading the ends of the key of {table}"), &sql).await?;
        let Some(row) = rows.first() else { continue };
        if let (Some(min), Some(max)) = (row.get("low")?, row.get("high")?) {
            slicing.insert(object.address, Slicing::IntegerKey { column: column.clone(), min, max });
        }
    }
    Ok(slicing)
}

/// Tables whose primary key is one integer column.
async fn integer_keys(source: &Session) -> Result<HashMap<Address, String>, SqlError> {
    let rows = source
        .query(
            "reading the integer keys",
            "SELECT i.indrelid AS oid, a.attname AS name FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
             WHERE i.indisprimary AND i.indisvalid AND i.indnatts = 1 \
             AND a.atttypid IN ('pg_catalog.int2'::regtype, 'pg_catalog.int4'::regtype, 'pg_catalog.int8'::regtype)",
        )
        .await?;
    let mut keys = HashMap::new();
    for row in rows {
        keys.insert(Address::relation(row.get("oid")?), row.get("name")?);
    }
    Ok(keys)
}
