//! What is read from the target only: what is there already, and what can be made there.

use std::collections::{BTreeMap, BTreeSet};

use super::{USER_NAMESPACE, no_member, of_server};
use crate::pg::{Session, SqlError};

/// The target's database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// Objects of the user's, members of extensions left out.
    pub(crate) objects: Vec<Existing>,
    pub(crate) large_objects: i64,
    /// Every role, and whether ours may give it objects.
    pub(crate) roles: BTreeMap<String, bool>,
    pub(crate) extensions: BTreeMap<String, Available>,
    /// Names in `pg_catalog` usable in this database's encoding.
    pub(crate) collations: Vec<String>,
    pub(crate) event_triggers: Vec<String>,
    /// Names of what is the server's own.
    pub(crate) functions_of_server: BTreeSet<String>,
    pub(crate) types_of_server: BTreeSet<String>,
    /// Every tablespace, and whether ours may make things in it.
    pub(crate) tablespaces: BTreeMap<String, bool>,
    /// What lives in no schema and can be in the way: catalog and name.
    pub(crate) outside: BTreeSet<(u32, String)>,
}

/// An object that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Existing {
    /// `schema`, `table`, `view`, `function`, `type`, …
    pub(crate) kind: String,
    pub(crate) schema: String,
    /// Empty for the schema itself.
    pub(crate) name: String,
}

/// An extension that can be, or is, installed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Available {
    pub(crate) installed: Option<String>,
    /// The version that `CREATE EXTENSION` makes.
    pub(crate) default_version: Option<String>,
    /// Only a superuser can create it: it needs one, and is not trusted.
    pub(crate) needs_superuser: bool,
}

/// Reads it: eight queries, pipelined.
pub(crate) async fn read(session: &Session) -> Result<Target, SqlError> {
    let names = |what: &'static str, sql: &'static str| async move {
        let rows = session.query(what, sql).await?;
        rows.iter().map(|row| row.get("name")).collect::<Result<Vec<String>, SqlError>>()
    };
    let (objects, large_objects, roles, extensions, collations, event_triggers, outside, tablespaces, of_server) = tokio::try_join!(
        objects(session),
        large_objects(session),
        roles(session),
        extensions(session),
        names(
            "reading collations",
            "SELECT DISTINCT l.collname::text AS name FROM pg_catalog.pg_collation l
             WHERE l.collnamespace = 'pg_catalog'::pg_catalog.regnamespace AND l.collencoding IN (-1,
                (SELECT d.encoding FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))"
        ),
        names(
            "reading event triggers",
            "SELECT e.evtname::text AS name FROM pg_catalog.pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 1"
        ),
        outside(session),
        tablespaces(session),
        of_server(session),
    )?;
    let (functions_of_server, types_of_server) = of_server;
    Ok(Target {
        objects,
        large_objects,
        roles,
        extensions,
        collations,
        event_triggers,
        functions_of_server,
        types_of_server,
        outside,
        tablespaces,
    })
}

async fn objects(session: &Session) -> Result<Vec<Existing>, SqlError> {
    let sql = format!(
        "SELECT * FROM (
            SELECT 'schema' AS kind, n.nspname::text AS schema, '' AS name FROM pg_catalog.pg_namespace n
            WHERE {USER_NAMESPACE} AND n.nspname <> 'public' AND {namespace}
            UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END, n.nspname::text, c.relname::text
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND {USER_NAMESPACE} AND {class}
            UNION ALL SELECT 'function', n.nspname::text, p.proname::text
            FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
            WHERE {USER_NAMESPACE} AND {proc}
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                    AND d.objid = p.oid AND d.deptype = 'i')
            UNION ALL SELECT 'type', n.nspname::text, t.typname::text
            FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
            WHERE (t.typtype IN ('e', 'd', 'r') OR NOT t.typisdefined OR t.typtype = 'b' AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)) AND {USER_NAMESPACE} AND {type}
            {others}
         ) o ORDER BY kind <> 'schema', schema, kind, name",
        namespace = no_member("pg_namespace", "n.oid"),
        class = no_member("pg_class", "c.oid"),
        proc = no_member("pg_proc", "p.oid"),
        r#type = no_member("pg_type", "t.oid"),
        others = others(),
    );
    let rows = session.query("reading what is on the target already", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Existing { kind: row.get("kind")?, schema: row.get("schema")?, name: row.get("name")? })
        })
        .collect()
}

/// The kinds that are read alike: what, catalog, its columns' prefix for name and schema.
fn others() -> String {
    let kinds = [
        ("operator", "pg_operator", "opr"),
        ("operator class", "pg_opclass", "opc"),
        ("operator family", "pg_opfamily", "opf"),
        ("collation", "pg_collation", "coll"),
        ("conversion", "pg_conversion", "con"),
        ("text search parser", "pg_ts_parser", "prs"),
        ("text search template", "pg_ts_template", "tmpl"),
        ("text search dictionary", "pg_ts_dict", "dict"),
        ("text search configuration", "pg_ts_config", "cfg"),
        ("statistics", "pg_statistic_ext", "stx"),
    ];
    let query = |(kind, catalog, prefix): (&str, &str, &str)| {
        format!(
            "UNION ALL SELECT '{kind}', n.nspname::text, o.{prefix}name::text FROM pg_catalog.{catalog} o
             JOIN pg_catalog.pg_namespace n ON n.oid = o.{prefix}namespace WHERE {USER_NAMESPACE} AND {}",
            no_member(catalog, "o.oid")
        )
    };
    kinds.map(query).join("\n")
}

async fn tablespaces(session: &Session) -> Result<BTreeMap<String, bool>, SqlError> {
    let sql = "SELECT t.spcname::text AS name, pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') AS may
         FROM pg_catalog.pg_tablespace t";
    let rows = session.query("reading tablespaces", sql).await?;
    rows.iter().map(|row| Ok((row.get("name")?, row.get("may")?))).collect()
}

async fn outside(session: &Session) -> Result<BTreeSet<(u32, String)>, SqlError> {
    let sql = "SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass::oid AS class, w.fdwname::text AS name
            FROM pg_catalog.pg_foreign_data_wrapper w
         UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, s.srvname FROM pg_catalog.pg_foreign_server s
         UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, l.lanname FROM pg_catalog.pg_language l
         UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, a.amname FROM pg_catalog.pg_am a
         UNION ALL SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass, pg_catalog.format_type(c.castsource, NULL) || ' AS '
            || pg_catalog.format_type(c.casttarget, NULL) FROM pg_catalog.pg_cast c
         UNION ALL SELECT 'pg_catalog.pg_transform'::pg_catalog.regclass, pg_catalog.format_type(t.trftype, NULL) || ' ' || l.lanname
            FROM pg_catalog.pg_transform t JOIN pg_catalog.pg_language l ON l.oid = t.trflang
         UNION ALL SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, e.evtname FROM pg_catalog.pg_event_trigger e
         UNION ALL SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, p.pubname FROM pg_catalog.pg_publication p
         UNION ALL SELECT 'pg_catalog.pg_subscription'::pg_catalog.regclass, s.subname FROM pg_catalog.pg_subscription s
            JOIN pg_catalog.pg_database d ON d.oid = s.subdbid AND d.datname = pg_catalog.current_database()";
    let rows = session.query("reading what lives in no schema", sql).await?;
    rows.iter().map(|row| Ok((row.get("class")?, row.get("name")?))).collect()
}

async fn large_objects(session: &Session) -> Result<i64, SqlError> {
    let sql = "SELECT pg_catalog.count(*) AS total FROM pg_catalog.pg_largeobject_metadata";
    Ok(session.value("counting large objects", sql).await?.unwrap_or(0))
}

async fn roles(session: &Session) -> Result<BTreeMap<String, bool>, SqlError> {
    // To give an object away one must be able to SET ROLE to the new owner; until 15, membership is enough for that.
    let right = if session.version() >= 160_000 { "SET" } else { "MEMBER" };
    let sql = format!(
        "SELECT r.rolname::text AS role, pg_catalog.pg_has_role(r.oid, '{right}') AS may FROM pg_catalog.pg_roles r"
    );
    let rows = session.query("reading roles", &sql).await?;
    rows.iter().map(|row| Ok((row.get("role")?, row.get("may")?))).collect()
}

async fn extensions(session: &Session) -> Result<BTreeMap<String, Available>, SqlError> {
    let trusted = if session.version() >= 130_000 { "v.trusted" } else { "false" };
    let sql = format!(
        "SELECT a.name::text AS name, a.installed_version::text AS installed, a.default_version::text AS default_version,
            coalesce(v.superuser AND NOT {trusted}, true) AS needs_superuser
         FROM pg_catalog.pg_available_extensions a
         LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version"
    );
    let rows = session.query("reading the extensions that can be installed", &sql).await?;
    rows.iter()
        .map(|row| {
            let available = Available {
                installed: row.get("installed")?,
                default_version: row.get("default_version")?,
                needs_superuser: row.get("needs_superuser")?,
            };
            Ok((row.get("name")?, available))
        })
        .collect()
}
