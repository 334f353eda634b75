//! Reads tables: `pg_class`, `pg_inherits`, valid check constraints; columns are [`super::column`]'s
//! (`getTables`, `getInherits`, `getTableAttrs`, `getPartitioningInfo` in `pg_dump.c`).

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::column;
use crate::pg::Row;
use crate::schema::foreign_option::ForeignOptions;
use crate::schema::inherit::settle_children;
use crate::schema::quote::qualified;
use crate::schema::storage_option::storage_options;
use crate::schema::{
    Address, Check, Definition, Estimate, ForeignTable, Object, PartitionOf, Relative, ReplicaIdentity,
    Table, TableKind,
};

/// All ordinary, partitioned and foreign tables.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = tables_sql(c);
    let (rows, mut columns, mut parents, mut checks) =
        tokio::try_join!(c.query("reading tables", &sql), column::read(c), read_parents(c), read_checks(c),)?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = row.get("oid")?;
        let mut object = to_object(row, parents.remove(&oid).unwrap_or_default())?;
        if let Definition::Table(table) = &mut object.definition {
            table.columns = columns.remove(&oid).unwrap_or_default();
            inline_defaults(table);
            table.checks = checks.remove(&oid).unwrap_or_default();
        }
        objects.push(object);
    }
    settle_children(&mut objects, c.at_least(18));
    Ok(objects)
}

/// A partition is made with all its columns, and so with their defaults.
fn inline_defaults(table: &mut Table) {
    if table.partition_of.is_some() {
        table.columns.iter_mut().filter_map(|c| c.default.as_mut()).for_each(|d| d.separate = false);
    }
}

fn tables_sql(c: &Catalogs<'_>) -> String {
    format!(
        "SELECT c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner)::text AS owner, c.relkind = 'p' AS partitioned, \
           c.relpersistence = 'u' AS unlogged, CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type, \
           CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS bound, \
           CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key, \
           EXISTS (SELECT FROM pg_partitioned_table p JOIN pg_opclass o ON o.oid = ANY (p.partclass) \
             WHERE p.partrelid = c.oid AND p.partstrat = 'h' AND o.opcnamespace = 'pg_catalog'::regnamespace \
               AND o.opcname IN ('enum_ops', 'array_ops', 'record_ops', 'range_ops', 'multirange_ops')) AS hash_differs, \
           EXISTS (SELECT FROM pg_partitioned_table p JOIN pg_collation l ON l.oid = ANY (p.partcollation) \
             WHERE p.partrelid = c.oid AND (p.partstrat = 'r' AND l.collname NOT IN ('C', 'POSIX', 'ucs_basic') \
               OR {nondeterministic})) AS by_locale, \
           c.reloptions, x.reloptions AS toast_options, {access_method} AS access_method, s.spcname, \
           {with_oids} AS with_oids, c.relrowsecurity, c.relforcerowsecurity, c.relreplident::text AS replident, \
           c.relpages, c.reltuples, coalesce(x.relpages, 0) AS toast_pages, fs.srvname, ft.ftoptions \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_class x ON x.oid = c.reltoastrelid AND c.reltoastrelid <> 0 \
         LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace \
         LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid LEFT JOIN pg_foreign_server fs ON fs.oid = ft.ftserver \
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {USER_NAMESPACE} ORDER BY c.oid",
        access_method = c.since(
            12,
            "(SELECT am.amname FROM pg_am am WHERE am.oid = c.relam AND am.amname <> 'heap')",
            "NULL::name"
        ),
        with_oids = c.since(12, "false", "c.relhasoids"),
        nondeterministic = c.since(12, "NOT l.collisdeterministic", "false"),
    )
}

fn to_object(row: &Row, parents: Vec<Relative>) -> Result<Object, DumpError> {
    let mut table = Table {
        kind: if row.get("partitioned")? { TableKind::Partitioned } else { TableKind::Ordinary },
        unlogged: row.get("unlogged")?,
        of_type: row.get("of_type")?,
        partition_key: row.get("partition_key")?,
        hash_differs: row.get("hash_differs")?,
        by_locale: row.get("by_locale")?,
        options: storage_options(&row.get::<Option<Vec<String>>>("reloptions")?.unwrap_or_default(), ""),
        toast_options: storage_options(
            &row.get::<Option<Vec<String>>>("toast_options")?.unwrap_or_default(),
            "toast.",
        ),
        access_method: row.get("access_method")?,
        tablespace: row.get("spcname")?,
        with_oids: row.get("with_oids")?,
        row_security: row.get("relrowsecurity")?,
        force_row_security: row.get("relforcerowsecurity")?,
        replica_identity: match row.get::<String>("replident")?.as_str() {
            "f" => ReplicaIdentity::Full,
            "n" => ReplicaIdentity::Nothing,
            "i" => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        },
        estimate: estimate(row)?,
        ..Table::default()
    };
    if let Some(server) = row.get::<Option<String>>("srvname")? {
        let options = row.get::<Option<Vec<String>>>("ftoptions")?.unwrap_or_default();
        table.kind = TableKind::Foreign;
        table.foreign = Some(ForeignTable { server, options: ForeignOptions::parse(&options) });
        // They have none, which the catalogs call `NOTHING`.
        table.replica_identity = ReplicaIdentity::Default;
    }
    match row.get::<Option<String>>("bound")? {
        Some(bound) => {
            table.partition_of = parents.into_iter().next().map(|parent| PartitionOf { parent, bound });
        }
        None => table.inherits = parents,
    }
    Ok(Object {
        address: Address::relation(row.get("oid")?),
        namespace: Some(row.get("nspname")?),
        name: row.get("relname")?,
        parent: None,
        owner: Some(row.get("owner")?),
        acl: None,
        comments: Vec::new(),
        definition: Definition::Table(table),
    })
}

/// Statistics of the last VACUUM or ANALYZE; a table that has seen neither has -1 rows (0 rows and pages before 14).
fn estimate(row: &Row) -> Result<Option<Estimate>, DumpError> {
    let (pages, rows): (i32, f32) = (row.get("relpages")?, row.get("reltuples")?);
    let toast_pages: i32 = row.get("toast_pages")?;
    if rows < 0.0 || (rows == 0.0 && pages == 0) {
        return Ok(None);
    }
    let pages_of = |n: i32| u32::try_from(n).unwrap_or(0);
    Ok(Some(Estimate { pages: pages_of(pages), rows: rows as u64, toast_pages: pages_of(toast_pages) }))
}

/// Parents of each table, in order.
async fn read_parents(c: &Catalogs<'_>) -> Result<HashMap<u32, Vec<Relative>>, DumpError> {
    let sql = "SELECT i.inhrelid, i.inhparent, n.nspname, p.relname FROM pg_inherits i \
               JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace \
               WHERE p.relkind IN ('r', 'p', 'f') ORDER BY i.inhrelid, i.inhseqno";
    let mut parents: HashMap<u32, Vec<Relative>> = HashMap::new();
    for row in &c.query("reading inheritance", sql).await? {
        let (namespace, name): (String, String) = (row.get("nspname")?, row.get("relname")?);
        parents.entry(row.get("inhrelid")?).or_default().push(Relative {
            address: Address::relation(row.get("inhparent")?),
            name: qualified(&namespace, &name),
        });
    }
    Ok(parents)
}

/// Valid check constraints of each table, by name.
async fn read_checks(c: &Catalogs<'_>) -> Result<HashMap<u32, Vec<Check>>, DumpError> {
    let sql = format!(
        "SELECT k.oid, k.conrelid, k.conname, pg_get_constraintdef(k.oid) AS definition, k.connoinherit, k.conislocal \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'c' AND k.convalidated AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' \
           AND {USER_NAMESPACE} ORDER BY k.conrelid, k.conname"
    );
    let mut checks: HashMap<u32, Vec<Check>> = HashMap::new();
    for row in &c.query("reading check constraints", &sql).await? {
        checks.entry(row.get("conrelid")?).or_default().push(Check {
            oid: row.get("oid")?,
            name: row.get("conname")?,
            definition: row.get("definition")?,
            no_inherit: row.get("connoinherit")?,
            local: row.get("conislocal")?,
            separate: false,
        });
    }
    Ok(checks)
}
