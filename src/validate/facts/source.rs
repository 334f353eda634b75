//! What is read from the source only: relations and what the role may do with them, collations, functions that
//! only a superuser can make. What the model of the schema holds is not read again here.

use std::collections::BTreeSet;

use super::{USER_NAMESPACE, no_member, of_server};
use crate::pg::{Session, SqlError};

/// The source's database, before any filter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Schemas of the user's.
    pub(crate) schemas: Vec<String>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) collations: Vec<CollationUse>,
    pub(crate) functions: Vec<PrivilegedFunction>,
    pub(crate) large_objects: i64,
    pub(crate) large_objects_unreadable: i64,
    /// Names of what is the server's own.
    pub(crate) functions_of_server: BTreeSet<String>,
    pub(crate) types_of_server: BTreeSet<String>,
    /// Checks that compare text by its order: schema and name of the table, the check's name.
    pub(crate) text_checks: Vec<(String, String, String)>,
    /// Who is a member of a role that is the server's own: that role, and the member.
    pub(crate) memberships: Vec<(String, String)>,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ordinary or partitioned.
    #[default]
    Table,
    Sequence,
    /// Ordinary or materialized: its query is moved, its rows are not read.
    View,
}

/// A table, view or sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) unlogged: bool,
    /// `SELECT` on it and `USAGE` on its schema.
    pub(crate) readable: bool,
    /// Policies would hide rows from the role.
    pub(crate) rows_hidden: bool,
    /// The table whose column a sequence belongs to: schema and name.
    pub(crate) owned_by: Option<(String, String)>,
}

/// A collation of the server's own that is used: by a column, an index, or in an expression of a relation or a domain.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollationUse {
    pub(crate) name: String,
    /// The C library's, which needs the machine's locale; else a part of the server.
    pub(crate) of_libc: bool,
    /// Schema and name of a table, view, composite type or domain that uses it.
    pub(crate) schema: String,
    pub(crate) used_by: String,
}

/// A function, aggregate or range type that only a superuser can create.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrivilegedFunction {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `is written in c`, `is LEAKPROOF`, …
    pub(crate) why: String,
}

/// Reads it: eight queries, pipelined.
pub(crate) async fn read(session: &Session) -> Result<Source, SqlError> {
    let (
        schemas,
        relations,
        collations,
        functions,
        (large_objects, unreadable),
        of_server,
        memberships,
        text_checks,
    ) = tokio::try_join!(
        schemas(session),
        relations(session),
        collations(session),
        functions(session),
        large_objects(session),
        of_server(session),
        memberships(session),
        text_checks(session),
    )?;
    Ok(Source {
        schemas,
        relations,
        collations,
        functions,
        large_objects,
        large_objects_unreadable: unreadable,
        functions_of_server: of_server.0,
        types_of_server: of_server.1,
        memberships,
        text_checks,
    })
}

async fn text_checks(session: &Session) -> Result<Vec<(String, String, String)>, SqlError> {
    // The operators <, <=, >, >= of text and of character(n) (`src/include/catalog/pg_operator.dat`), and no collation C (950), POSIX (951).
    let sql = format!(
        "SELECT n.nspname::text AS schema, c.relname::text AS relation, k.conname::text AS name
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype = 'c' AND k.coninhcount = 0 AND k.conbin::text ~ ':opno (664|665|666|667|1058|1059|1060|1061) [^{{}}]*:inputcollid (?!950 |951 )'
            AND {USER_NAMESPACE} ORDER BY 1, 2, 3"
    );
    let rows = session.query("reading checks of text", &sql).await?;
    rows.iter().map(|row| Ok((row.get("schema")?, row.get("relation")?, row.get("name")?))).collect()
}

async fn memberships(session: &Session) -> Result<Vec<(String, String)>, SqlError> {
    let sql =
        "SELECT DISTINCT r.rolname::text AS role, m.rolname::text AS member FROM pg_catalog.pg_auth_members a
         JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
         WHERE r.rolname ~ '^pg_' AND m.rolname !~ '^pg_' ORDER BY 1, 2";
    let rows = session.query("reading memberships", sql).await?;
    rows.iter().map(|row| Ok((row.get("role")?, row.get("member")?))).collect()
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
        "SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
            c.relpersistence = 'u' AS unlogged,
            pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
            c.relkind = 'r' AND pg_catalog.row_security_active(c.oid) AS rows_hidden,
            tn.nspname::text AS owner_schema, t.relname::text AS owner_table
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.objid = c.oid AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
         LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
         LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relpersistence <> 't' AND {USER_NAMESPACE} AND {}
         ORDER BY 1, 2",
        no_member("pg_class", "c.oid")
    );
    let rows = session.query("reading the privileges on tables", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Relation {
                schema: row.get("schema")?,
                name: row.get("name")?,
                kind: match row.get::<String>("kind")?.as_str() {
                    "S" => Kind::Sequence,
                    "v" | "m" => Kind::View,
                    _ => Kind::Table,
                },
                unlogged: row.get("unlogged")?,
                readable: row.get("readable")?,
                rows_hidden: row.get("rows_hidden")?,
                owned_by: row.get::<Option<String>>("owner_schema")?.zip(row.get("owner_table")?),
            })
        })
        .collect()
}

async fn collations(session: &Session) -> Result<Vec<CollationUse>, SqlError> {
    let sql = format!(
        "SELECT DISTINCT l.collname::text AS name, l.collprovider = 'c' AS of_libc, u.schema, u.used_by
         FROM (SELECT r.oid, n.nspname::text AS schema, c.relname::text AS used_by
            FROM (SELECT a.attrelid AS relation, a.attcollation AS oid FROM pg_catalog.pg_attribute a
                    WHERE a.attcollation > 0 AND NOT a.attisdropped AND a.attnum > 0
                UNION ALL SELECT i.indrelid, x.oid FROM pg_catalog.pg_index i,
                    LATERAL pg_catalog.unnest(i.indcollation) AS x(oid) WHERE x.oid > 0
                UNION ALL SELECT coalesce(w.ev_class, f.adrelid, k.conrelid), d.refobjid FROM pg_catalog.pg_depend d
                    LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
                    LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
                    LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
                    WHERE d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass) r
            JOIN pg_catalog.pg_class c ON c.oid = r.relation AND c.relkind IN ('r', 'p', 'm', 'v', 'c', 'f')
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {USER_NAMESPACE}
            UNION ALL SELECT t.typcollation, n.nspname::text, t.typname::text
            FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
            WHERE t.typtype = 'd' AND t.typcollation > 0 AND {USER_NAMESPACE}) u
         JOIN pg_catalog.pg_collation l ON l.oid = u.oid
         WHERE l.collnamespace = 'pg_catalog'::pg_catalog.regnamespace AND l.collname NOT IN ('default', 'C', 'POSIX')
         ORDER BY 1, 3, 4"
    );
    let rows = session.query("reading the collations in use", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(CollationUse {
                name: row.get("name")?,
                of_libc: row.get("of_libc")?,
                schema: row.get("schema")?,
                used_by: row.get("used_by")?,
            })
        })
        .collect()
}

async fn functions(session: &Session) -> Result<Vec<PrivilegedFunction>, SqlError> {
    // `CreateFunction`, `interpret_AS_clause` and `AggregateCreate` in `src/backend` say who may do what; a range type with
    // a canonical function needs a shell type first, which is a base type to `DefineType`.
    let support = if session.version() >= 120_000 { "p.prosupport <> 0" } else { "false" };
    let aggregate = if session.version() >= 110_000 { "p.prokind = 'a'" } else { "p.proisagg" };
    let sql = format!(
        "SELECT n.nspname::text AS schema, p.proname::text AS name,
            CASE WHEN {aggregate} THEN 'keeps its state in type internal' WHEN NOT l.lanpltrusted THEN 'is written in ' || l.lanname
                WHEN p.proleakproof THEN 'is LEAKPROOF' ELSE 'has a support function' END AS why
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
         WHERE {USER_NAMESPACE} AND {proc} AND CASE WHEN {aggregate}
                THEN 'internal'::pg_catalog.regtype IN (a.aggtranstype, a.aggmtranstype)
                ELSE p.proleakproof OR NOT l.lanpltrusted OR {support} END
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'i')
         UNION SELECT n.nspname::text, t.typname::text, 'has a canonical function'
         FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid
         JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
         WHERE {USER_NAMESPACE} AND {type} AND r.rngcanonical <> 0 ORDER BY 1, 2",
        proc = no_member("pg_proc", "p.oid"),
        r#type = no_member("pg_type", "t.oid"),
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
