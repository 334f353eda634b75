//! Reads transforms (`getTransforms`, `dumpTransform`).

use super::DumpError;
use super::catalogs::{Catalogs, object};
use crate::schema::{Definition, Object, Transform, class};

/// All transforms.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading transforms",
            "SELECT t.oid, NULL::name AS nspname, NULL::name AS owner, format_type(t.trftype, NULL) AS type_name, \
               l.lanname, format_type(t.trftype, NULL) || ' ' || l.lanname AS name, \
               NULLIF(t.trffromsql::oid, 0)::regprocedure::text AS from_sql, \
               NULLIF(t.trftosql::oid, 0)::regprocedure::text AS to_sql \
             FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE t.oid >= 16384 ORDER BY t.oid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let transform = Transform {
                type_name: row.get("type_name")?,
                language: row.get("lanname")?,
                from_sql: row.get("from_sql")?,
                to_sql: row.get("to_sql")?,
            };
            object(row, class::TRANSFORM, Definition::Transform(transform))
        })
        .collect()
}
