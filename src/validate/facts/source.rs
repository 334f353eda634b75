//! What is read from the source only: relations and what the role may do with them, roles that objects name,
//! extensions, collations, languages.

use super::{USER_NAMESPACE, no_member};
use crate::pg::{Session, SqlError};

/// The source's database, before any filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Schemas of the user's.
    pub(crate) schemas: Vec<String>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) roles: Vec<RoleUse>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) collations: Vec<CollationUse>,
    pub(crate) functions: Vec<PrivilegedFunction>,
    pub(crate) access_methods: Vec<AccessMethodUse>,
    pub(crate) large_objects: i64,
    pub(crate) large_objects_unreadable: i64,
}

/// A table or sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) sequence: bool,
    pub(crate) unlogged: bool,
    /// `SELECT` on it and `USAGE` on its schema.
    pub(crate) readable: bool,
    /// Policies would hide rows from the role.
    pub(crate) rows_hidden: bool,
    /// Where it is not the database's own.
    pub(crate) tablespace: Option<String>,
}

/// Why a role is needed on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Owner,
    Privilege,
    Policy,
    DefaultPrivilege,
}

/// A role that some object of a schema names; `schema` is `None` for objects that live in none.
#[derive(Clone, Debug)]
pub(crate) struct RoleUse {
    pub(crate) role: String,
    pub(crate) r#use: Use,
    pub(crate) schema: Option<String>,
}

/// An installed extension.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) schema: String,
}

/// A collation of the server's own that a column or an index uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollationUse {
    pub(crate) name: String,
    /// Schema and name of an object that uses it.
    pub(crate) schema: String,
    pub(crate) used_by: String,
}

/// A function that only a superuser can create.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrivilegedFunction {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `is written in c`, `is LEAKPROOF`
    pub(crate) why: String,
}

/// An access method that no extension brings and that a table or index uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessMethodUse {
    pub(crate) name: String,
    pub(crate) schema: String,
}

/// Reads it: nine queries, pipelined.
pub(crate) async fn read(session: &Session) -> Result<Source, SqlError> {
    let (
        schemas,
        relations,
        roles,
        extensions,
        collations,
        functions,
        access_methods,
        (large_objects, unreadable),
    ) = tokio::try_join!(
        schemas(session),
        relations(session),
        roles(session),
        extensions(session),
        collations(session),
        functions(session),
        access_methods(session),
        large_objects(session),
    )?;
    Ok(Source {
        schemas,
        relations,
        roles,
        extensions,
        collations,
        functions,
        access_methods,
        large_objects,
        large_objects_unreadable: unreadable,
    })
}

async fn schemas(session: &Session) -> Result<Vec<String>, SqlError> {
    let sql = format!(
        "SELECT n.nspname::text AS name FROM pg_catalog.pg_namespace n WHERE {USER_NAMESPACE} AND {} ORDER BY 1",
        no_member("pg_namespace", "n.oid")
    );
    session.query("reading schemas", &sql).await?.iter().map(|row| row.get("name")).collect()
}

async fn relations(session: &Session) -> Result<Vec<Relation>, SqlError> {
    // Identity and owned sequences are read too: their values are.
    let sql = format!(
        "SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'S' AS sequence,
            c.relpersistence = 'u' AS unlogged,
            pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
            c.relkind = 'r' AND pg_catalog.row_security_active(c.oid) AS rows_hidden, t.spcname::text AS tablespace
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace
         WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND {USER_NAMESPACE} AND {}
         ORDER BY 1, 2",
        no_member("pg_class", "c.oid")
    );
    let rows = session.query("reading the privileges on tables", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Relation {
                schema: row.get("schema")?,
                name: row.get("name")?,
                sequence: row.get("sequence")?,
                unlogged: row.get("unlogged")?,
                readable: row.get("readable")?,
                rows_hidden: row.get("rows_hidden")?,
                tablespace: row.get("tablespace")?,
            })
        })
        .collect()
}

/// Owners come from the catalogs themselves, because `pg_shdepend` does not record the bootstrap superuser;
/// grantees and the roles of policies come from `pg_shdepend`, where they are cheap to find.
async fn roles(session: &Session) -> Result<Vec<RoleUse>, SqlError> {
    let owners = |catalog: &str, owner: &str, namespace: &str| {
        format!(
            "SELECT o.{owner} AS role, 'o' AS use, n.nspname::text AS schema FROM pg_catalog.{catalog} o
             JOIN pg_catalog.pg_namespace n ON n.oid = o.{namespace} WHERE {USER_NAMESPACE} AND {}",
            no_member(catalog, "o.oid")
        )
    };
    let sql = format!(
        "SELECT DISTINCT r.rolname::text AS role, u.use::text AS use, u.schema AS schema FROM (
            {class} UNION ALL {proc} UNION ALL {type} UNION ALL {namespace}
            UNION ALL SELECT l.lomowner, 'o', NULL FROM pg_catalog.pg_largeobject_metadata l
            UNION ALL SELECT d.defaclrole, 'd', n.nspname::text FROM pg_catalog.pg_default_acl d
                LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
            UNION ALL SELECT s.refobjid, CASE WHEN s.classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass THEN 'd'
                    ELSE s.deptype::text END,
                (SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.oid = coalesce(
                    CASE s.classid
                    WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN (SELECT x.relnamespace FROM pg_catalog.pg_class x WHERE x.oid = s.objid)
                    WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN (SELECT x.pronamespace FROM pg_catalog.pg_proc x WHERE x.oid = s.objid)
                    WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN (SELECT x.typnamespace FROM pg_catalog.pg_type x WHERE x.oid = s.objid)
                    WHEN 'pg_catalog.pg_default_acl'::pg_catalog.regclass THEN (SELECT x.defaclnamespace FROM pg_catalog.pg_default_acl x WHERE x.oid = s.objid)
                    WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN (SELECT x.relnamespace FROM pg_catalog.pg_policy p
                        JOIN pg_catalog.pg_class x ON x.oid = p.polrelid WHERE p.oid = s.objid)
                    WHEN 'pg_catalog.pg_namespace'::pg_catalog.regclass THEN s.objid END, 0))
            FROM pg_catalog.pg_shdepend s
            WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
                AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.deptype IN ('a', 'r')
                AND s.classid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass,
                    'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass,
                    'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_namespace'::pg_catalog.regclass,
                    'pg_catalog.pg_largeobject'::pg_catalog.regclass)
         ) u JOIN pg_catalog.pg_roles r ON r.oid = u.role ORDER BY 1, 2, 3",
        class = owners("pg_class", "relowner", "relnamespace"),
        proc = owners("pg_proc", "proowner", "pronamespace"),
        r#type = owners("pg_type", "typowner", "typnamespace"),
        namespace = format!(
            // The public schema's owner is left as the target has it, where it is the one it was made with.
            "SELECT n.nspowner, 'o', n.nspname::text FROM pg_catalog.pg_namespace n WHERE {USER_NAMESPACE} AND {}
                AND NOT (n.nspname = 'public' AND pg_catalog.pg_get_userbyid(n.nspowner) IN ('pg_database_owner',
                    pg_catalog.pg_get_userbyid(10)))",
            no_member("pg_namespace", "n.oid")
        ),
    );
    let rows = session.query("reading the roles that objects name", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(RoleUse {
                role: row.get("role")?,
                r#use: match row.get::<String>("use")?.as_str() {
                    "o" => Use::Owner,
                    "r" => Use::Policy,
                    "d" => Use::DefaultPrivilege,
                    _ => Use::Privilege,
                },
                schema: row.get("schema")?,
            })
        })
        .collect()
}

async fn extensions(session: &Session) -> Result<Vec<Extension>, SqlError> {
    let sql = "SELECT e.extname::text AS name, e.extversion::text AS version, n.nspname::text AS schema
         FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";
    let rows = session.query("reading extensions", sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Extension { name: row.get("name")?, version: row.get("version")?, schema: row.get("schema")? })
        })
        .collect()
}

async fn collations(session: &Session) -> Result<Vec<CollationUse>, SqlError> {
    let sql = format!(
        "SELECT DISTINCT ON (1, 2) l.collname::text AS name, n.nspname::text AS schema, c.relname::text AS used_by
         FROM (SELECT a.attrelid AS relation, a.attcollation AS oid FROM pg_catalog.pg_attribute a
                WHERE a.attcollation > 0 AND NOT a.attisdropped AND a.attnum > 0
            UNION ALL SELECT i.indrelid, x.oid FROM pg_catalog.pg_index i,
                LATERAL pg_catalog.unnest(i.indcollation) AS x(oid) WHERE x.oid > 0) u
         JOIN pg_catalog.pg_collation l ON l.oid = u.oid
         JOIN pg_catalog.pg_class c ON c.oid = u.relation
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE l.collnamespace = 'pg_catalog'::pg_catalog.regnamespace AND l.collname NOT IN ('default', 'C', 'POSIX')
            AND c.relkind IN ('r', 'p', 'm', 'v', 'c') AND {USER_NAMESPACE} ORDER BY 1, 2, 3"
    );
    let rows = session.query("reading the collations in use", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(CollationUse {
                name: row.get("name")?,
                schema: row.get("schema")?,
                used_by: row.get("used_by")?,
            })
        })
        .collect()
}

async fn functions(session: &Session) -> Result<Vec<PrivilegedFunction>, SqlError> {
    let sql = format!(
        "SELECT n.nspname::text AS schema, p.proname::text AS name,
            CASE WHEN l.lanpltrusted THEN 'is LEAKPROOF' ELSE 'is written in ' || l.lanname END AS why
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE {USER_NAMESPACE} AND (p.proleakproof OR NOT l.lanpltrusted) AND {aggregate}
            AND {} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'i')
         ORDER BY 1, 2",
        no_member("pg_proc", "p.oid"),
        // An aggregate is an internal function to the catalogs, and anyone's to create.
        aggregate = if session.version() >= 110_000 { "p.prokind <> 'a'" } else { "NOT p.proisagg" },
    );
    let rows = session.query("reading functions", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(PrivilegedFunction {
                schema: row.get("schema")?,
                name: row.get("name")?,
                why: row.get("why")?,
            })
        })
        .collect()
}

async fn access_methods(session: &Session) -> Result<Vec<AccessMethodUse>, SqlError> {
    let sql = format!(
        "SELECT DISTINCT a.amname::text AS name, n.nspname::text AS schema FROM pg_catalog.pg_am a
         JOIN pg_catalog.pg_class c ON c.relam = a.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE a.oid >= 16384 AND {USER_NAMESPACE} AND {} ORDER BY 1, 2",
        no_member("pg_am", "a.oid")
    );
    let rows = session.query("reading access methods", &sql).await?;
    rows.iter()
        .map(|row| Ok(AccessMethodUse { name: row.get("name")?, schema: row.get("schema")? }))
        .collect()
}

async fn large_objects(session: &Session) -> Result<(i64, i64), SqlError> {
    // There is no `has_largeobject_privilege` before 18.
    let sql = "SELECT pg_catalog.count(*) AS total, pg_catalog.count(*) FILTER (WHERE NOT (r.rolsuper
                OR pg_catalog.pg_has_role(l.lomowner, 'USAGE')
                OR EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
                    AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))))) AS unreadable
         FROM pg_catalog.pg_largeobject_metadata l, pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let rows = session.query("reading the privileges on large objects", sql).await?;
    match rows.first() {
        Some(row) => Ok((row.get("total")?, row.get("unreadable")?)),
        None => Ok((0, 0)),
    }
}
