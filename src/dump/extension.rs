//! Reads extensions, and which rows of their configuration tables are the user's.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::config::Filter;
use crate::schema::{Address, Definition, Extension, ExtensionData, Object, class};

/// All extensions that initdb did not make (it makes `plpgsql`).
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading extensions",
            "SELECT e.oid, e.extname, e.extversion, n.nspname, pg_get_userbyid(e.extowner) AS owner \
             FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
             WHERE e.oid >= 16384 ORDER BY e.oid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Object {
                address: Address::new(class::EXTENSION, row.get("oid")?),
                namespace: row.get("nspname")?,
                name: row.get("extname")?,
                parent: None,
                owner: row.get("owner")?,
                acl: None,
                comments: Vec::new(),
                definition: Definition::Extension(Extension { version: row.get("extversion")? }),
            })
        })
        .collect()
}

/// The configuration tables and sequences of extensions (`pg_extension_config_dump`), whose rows belong to the
/// user: `pg_extension.extconfig` and `extcondition`, in the order in which they were registered.
pub(super) async fn read_data(c: &Catalogs<'_>, filter: &Filter) -> Result<Vec<ExtensionData>, DumpError> {
    let generated = c.since(12, "a.attgenerated = ''", "true");
    let tables = "SELECT r.oid, e.extname, n.nspname, r.relname, u.condition \
         FROM pg_extension e, unnest(e.extconfig, e.extcondition) WITH ORDINALITY u(config, condition, i), \
           pg_class r, pg_namespace n \
         WHERE r.oid = u.config AND n.oid = r.relnamespace AND r.relkind IN ('r', 'p', 'S') \
         ORDER BY e.oid, u.i";
    let columns = format!(
        "SELECT a.attrelid, array_agg(a.attname::text ORDER BY a.attnum) AS names FROM pg_attribute a \
         WHERE a.attrelid = ANY (ARRAY(SELECT unnest(e.extconfig) FROM pg_extension e)) \
           AND a.attnum > 0 AND NOT a.attisdropped AND {generated} GROUP BY a.attrelid"
    );
    // As `processExtensionTables` in `pg_dump.c`.
    let references = "SELECT k.conrelid, array_agg(DISTINCT k.confrelid) AS referenced \
         FROM pg_constraint k, (SELECT ARRAY(SELECT unnest(e.extconfig) FROM pg_extension e) AS tables) c \
         WHERE k.contype = 'f' AND k.conrelid = ANY (c.tables) AND k.confrelid = ANY (c.tables) \
           AND k.conrelid <> k.confrelid GROUP BY k.conrelid";
    let (tables, columns, references) = tokio::try_join!(
        c.query("reading configuration tables of extensions", tables),
        c.query("reading columns of extensions' configuration tables", &columns),
        c.query("reading foreign keys of extensions' configuration tables", references),
    )?;
    let mut names: HashMap<u32, Vec<String>> = HashMap::new();
    for row in &columns {
        names.insert(row.get("attrelid")?, row.get("names")?);
    }
    let mut referenced: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in &references {
        referenced.insert(row.get("conrelid")?, row.get("referenced")?);
    }
    let mut data = Vec::new();
    for row in &tables {
        let (namespace, name): (String, String) = (row.get("nspname")?, row.get("relname")?);
        if filter.takes_table(&namespace, &name) {
            let oid: u32 = row.get("oid")?;
            data.push(ExtensionData {
                address: Address::relation(oid),
                extension: row.get("extname")?,
                namespace,
                name,
                columns: names.remove(&oid).unwrap_or_default(),
                condition: row.get("condition")?,
                references: referenced
                    .remove(&oid)
                    .unwrap_or_default()
                    .into_iter()
                    .map(Address::relation)
                    .collect(),
            });
        }
    }
    Ok(data)
}
