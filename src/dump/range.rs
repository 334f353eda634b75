//! Reads range types; their multirange types and constructors come with them.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, type_object};
use crate::schema::{Definition, Object, RangeType};

/// All range types.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let multirange = c.since(14, "format_type(r.rngmultitypid, NULL)", "NULL::text");
    let rows = c
        .query(
            "reading range types",
            &format!(
                "SELECT t.oid, n.nspname, t.typname, pg_get_userbyid(t.typowner) AS owner, \
                   format_type(r.rngsubtype, NULL) AS subtype, {multirange} AS multirange, \
                   CASE WHEN NOT o.opcdefault THEN quote_ident(opn.nspname) || '.' || quote_ident(o.opcname) \
                     END AS opclass, \
                   CASE WHEN r.rngcollation <> st.typcollation \
                     THEN quote_ident(cn.nspname) || '.' || quote_ident(l.collname) END AS collation, \
                   NULLIF(r.rngcanonical::oid, 0)::regproc::text AS canonical, \
                   NULLIF(r.rngsubdiff::oid, 0)::regproc::text AS subtype_diff \
                 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 JOIN pg_range r ON r.rngtypid = t.oid JOIN pg_type st ON st.oid = r.rngsubtype \
                 JOIN pg_opclass o ON o.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = o.opcnamespace \
                 LEFT JOIN pg_collation l ON l.oid = r.rngcollation \
                 LEFT JOIN pg_namespace cn ON cn.oid = l.collnamespace \
                 WHERE t.typtype = 'r' AND {USER_NAMESPACE} ORDER BY t.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let range = RangeType {
                subtype: row.get("subtype")?,
                multirange: row.get("multirange")?,
                opclass: row.get("opclass")?,
                collation: row.get("collation")?,
                canonical: row.get("canonical")?,
                subtype_diff: row.get("subtype_diff")?,
            };
            type_object(row, Definition::Range(range))
        })
        .collect()
}
