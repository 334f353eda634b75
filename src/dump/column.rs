//! Reads columns of tables with their defaults and not-null constraints (`getTableAttrs` in `pg_dump.c`).
//!
//! Invariant: dropped columns are not read; a default is separate where `CREATE TABLE` does not write its column.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::column_type;
use crate::pg::Row;
use crate::schema::binary::{BinarySafety, TypeFacts, binary_safety};
use crate::schema::foreign_option::ForeignOptions;
use crate::schema::quote::qualified;
use crate::schema::storage_option::storage_options;
use crate::schema::{Column, ColumnDefault, Generated, Identity, NotNull};

/// Columns of every table, by number.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<HashMap<u32, Vec<Column>>, DumpError> {
    let sql = columns_sql(c);
    let (rows, types) = tokio::try_join!(c.query("reading columns", &sql), column_type::read(c))?;
    let mut safe = HashMap::new();
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in &rows {
        let table: u32 = row.get("attrelid")?;
        columns.entry(table).or_default().push(to_column(row, &types, &mut safe)?);
    }
    Ok(columns)
}

fn columns_sql(c: &Catalogs<'_>) -> String {
    // From 18 on a not-null constraint is a row with a name; one that is not valid is an object of its own.
    let (not_null, not_null_join) = if c.at_least(18) {
        (
            "k.conname AS not_null_name, k.connoinherit AS not_null_no_inherit, k.conislocal AS not_null_local",
            // Not a join with the catalog itself: that is looked up in an index once per column.
            "LEFT JOIN (SELECT conrelid, conkey[1] AS attnum, conname, connoinherit, conislocal FROM pg_constraint \
               WHERE contype = 'n' AND convalidated OFFSET 0) k \
               ON k.conrelid = a.attrelid AND k.attnum = a.attnum AND a.attnotnull",
        )
    } else {
        ("NULL::name AS not_null_name, false AS not_null_no_inherit, a.attnotnull AS not_null_local", "")
    };
    format!(
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod) AS type_name, \
           a.attnotnull, {not_null}, a.attidentity::text AS identity, {generated} AS generated, \
           d.oid AS default_oid, pg_get_expr(d.adbin, d.adrelid) AS expression, \
           cn.nspname AS collation_namespace, co.collname, \
           CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage, {compression} AS compression, \
           a.attstattarget::int4 AS statistics, a.attoptions, a.attfdwoptions, a.attislocal, a.attinhcount::int4 AS inherited \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef \
         LEFT JOIN pg_collation co ON co.oid = a.attcollation AND a.attcollation <> t.typcollation \
         LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace {not_null_join} \
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {USER_NAMESPACE} \
         ORDER BY a.attrelid, a.attnum",
        generated = c.since(12, "a.attgenerated::text", "''::text"),
        compression = c.since(14, "a.attcompression::text", "''::text"),
    )
}

fn to_column(
    row: &Row,
    types: &HashMap<u32, TypeFacts>,
    safe: &mut HashMap<u32, BinarySafety>,
) -> Result<Column, DumpError> {
    let type_oid: u32 = row.get("atttypid")?;
    let generated = match row.get::<String>("generated")?.as_str() {
        "s" => Generated::Stored,
        "v" => Generated::Virtual,
        _ => Generated::No,
    };
    let local: bool = row.get("attislocal")?;
    let default = match row.get::<Option<u32>>("default_oid")? {
        None => None,
        Some(oid) => Some(ColumnDefault {
            oid,
            expression: row.get::<Option<String>>("expression")?.unwrap_or_default(),
            // A partition's columns are all written; the reader of tables knows, and so corrects this.
            separate: !local && generated == Generated::No,
        }),
    };
    let collation =
        row.get::<Option<String>>("collation_namespace")?.zip(row.get::<Option<String>>("collname")?);
    let options = row.get::<Option<Vec<String>>>("attoptions")?.unwrap_or_default();
    Ok(Column {
        name: row.get("attname")?,
        attnum: row.get("attnum")?,
        type_oid,
        type_name: row.get("type_name")?,
        not_null: row.get("attnotnull")?,
        not_null_constraint: not_null_constraint(row)?,
        nullable_child: false,
        default,
        generated,
        identity: match row.get::<String>("identity")?.as_str() {
            "a" => Some(Identity::Always),
            "d" => Some(Identity::ByDefault),
            _ => None,
        },
        collation: collation.map(|(namespace, name)| qualified(&namespace, &name)),
        storage: row.get::<Option<String>>("storage")?.and_then(|s| match s.as_str() {
            "p" => Some("PLAIN"),
            "e" => Some("EXTERNAL"),
            "m" => Some("MAIN"),
            "x" => Some("EXTENDED"),
            _ => None,
        }),
        compression: match row.get::<String>("compression")?.as_str() {
            "p" => Some("pglz"),
            "l" => Some("lz4"),
            _ => None,
        },
        // NULL from 17 on, -1 before: the default.
        statistics_target: row.get::<Option<i32>>("statistics")?.filter(|target| *target >= 0),
        options: storage_options(&options, ""),
        foreign_options: ForeignOptions::parse(
            &row.get::<Option<Vec<String>>>("attfdwoptions")?.unwrap_or_default(),
        ),
        local,
        inherited: row.get("inherited")?,
        binary: *safe.entry(type_oid).or_insert_with(|| binary_safety(type_oid, types)),
    })
}

fn not_null_constraint(row: &Row) -> Result<Option<NotNull>, DumpError> {
    let name: Option<String> = row.get("not_null_name")?;
    // NULL where there is no constraint to write: none at all, or (18 and later) one that is not valid.
    let Some(local) = row.get::<Option<bool>>("not_null_local")? else { return Ok(None) };
    if name.is_none() && !local {
        return Ok(None);
    }
    let no_inherit = row.get::<Option<bool>>("not_null_no_inherit")?.unwrap_or(false);
    Ok(Some(NotNull { name, no_inherit, local }))
}
