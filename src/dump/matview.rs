//! Reads materialized views: `pg_class` of kind `m`, and what was set on their columns.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::view::without_semicolon;
use crate::schema::storage_option::storage_options;
use crate::schema::{Address, Definition, MaterializedView, MatviewColumn, Object};

/// All materialized views.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner)::text AS owner, \
           pg_get_viewdef(c.oid) AS query, c.reloptions, x.reloptions AS toast_options, \
           {access_method} AS access_method, s.spcname, c.relispopulated, c.relreplident::text AS replident \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_class x ON x.oid = c.reltoastrelid AND c.reltoastrelid <> 0 \
         LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace \
         WHERE c.relkind = 'm' AND {USER_NAMESPACE} ORDER BY c.oid",
        access_method = c.since(
            12,
            "(SELECT am.amname FROM pg_am am WHERE am.oid = c.relam AND am.amname <> 'heap')",
            "NULL::name"
        ),
    );
    let (rows, mut columns) = tokio::try_join!(c.query("reading materialized views", &sql), read_columns(c))?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = row.get("oid")?;
        let options = row.get::<Option<Vec<String>>>("reloptions")?.unwrap_or_default();
        let toast_options = row.get::<Option<Vec<String>>>("toast_options")?.unwrap_or_default();
        let mut all = storage_options(&options, "");
        all.extend(storage_options(&toast_options, "toast."));
        let matview = MaterializedView {
            query: without_semicolon(row.get("query")?),
            options: all,
            access_method: row.get("access_method")?,
            tablespace: row.get("spcname")?,
            populated: row.get("relispopulated")?,
            columns: columns.remove(&oid).unwrap_or_default(),
            replica_identity: match row.get::<String>("replident")?.as_str() {
                "f" => Some("FULL"),
                "n" => Some("NOTHING"),
                _ => None,
            },
        };
        objects.push(Object {
            address: Address::relation(oid),
            namespace: Some(row.get("nspname")?),
            name: row.get("relname")?,
            parent: None,
            owner: Some(row.get("owner")?),
            acl: None,
            comments: Vec::new(),
            definition: Definition::MaterializedView(matview),
        });
    }
    Ok(objects)
}

/// Columns with properties that are not their type's.
async fn read_columns(c: &Catalogs<'_>) -> Result<HashMap<u32, Vec<MatviewColumn>>, DumpError> {
    let sql = format!(
        "SELECT * FROM (SELECT a.attrelid, a.attnum, a.attname, a.attoptions, \
           CASE WHEN a.attstattarget >= 0 THEN a.attstattarget::int4 END AS statistics, \
           CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage, \
           {compression} AS compression \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
         WHERE c.relkind = 'm' AND a.attnum > 0 AND NOT a.attisdropped AND {USER_NAMESPACE}) AS columns \
         WHERE attoptions IS NOT NULL OR statistics IS NOT NULL OR storage IS NOT NULL OR compression <> '' \
         ORDER BY attrelid, attnum",
        compression = c.since(14, "a.attcompression::text", "''::text"),
    );
    let mut columns: HashMap<u32, Vec<MatviewColumn>> = HashMap::new();
    for row in &c.query("reading the columns of materialized views", &sql).await? {
        let storage = row.get::<Option<String>>("storage")?;
        columns.entry(row.get("attrelid")?).or_default().push(MatviewColumn {
            name: row.get("attname")?,
            statistics: row.get("statistics")?,
            storage: storage.and_then(|letter| match letter.as_str() {
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
            options: storage_options(&row.get::<Option<Vec<String>>>("attoptions")?.unwrap_or_default(), ""),
        });
    }
    Ok(columns)
}
