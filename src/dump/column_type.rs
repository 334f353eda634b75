//! Reads what decides whether a column may be copied in binary: the types of all columns, and the types those are made
//! of. The decision itself is [`crate::schema::binary`]'s.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::schema::binary::TypeFacts;

/// Facts of every type that some column of a table needs, directly or not.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<HashMap<u32, TypeFacts>, DumpError> {
    // A multirange is made of its range.
    let subtype = c.since(
        14,
        "coalesce((SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid), \
           (SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid), 0)",
        "coalesce((SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid), 0)",
    );
    let sql = format!(
        "WITH RECURSIVE used (oid) AS ( \
           SELECT DISTINCT a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND {USER_NAMESPACE} \
           UNION SELECT part.oid FROM used u JOIN pg_type t ON t.oid = u.oid \
             CROSS JOIN LATERAL unnest(ARRAY[t.typelem, t.typbasetype, {subtype}]::oid[] || ARRAY(SELECT a.atttypid \
               FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)) AS part (oid) \
             WHERE part.oid <> 0) \
         SELECT t.oid, t.typname, t.typtype::text AS kind, CASE WHEN t.typoutput = 'array_out'::regproc THEN t.typelem ELSE 0::oid END AS element, \
           t.typbasetype, ({subtype})::oid AS subtype, t.typsend <> 0 AND t.typreceive <> 0 AS sends, \
           ARRAY(SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 \
             AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS attributes, \
           (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
             WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' \
             AND d.refclassid = 'pg_extension'::regclass) AS extension \
         FROM used u JOIN pg_type t ON t.oid = u.oid"
    );
    let mut types = HashMap::new();
    for row in &c.query("reading types of columns", &sql).await? {
        let kind: String = row.get("kind")?;
        types.insert(
            row.get("oid")?,
            TypeFacts {
                name: row.get("typname")?,
                kind: kind.chars().next().unwrap_or(' '),
                element: row.get("element")?,
                base: row.get("typbasetype")?,
                subtype: row.get("subtype")?,
                attributes: row.get("attributes")?,
                extension: row.get("extension")?,
                sends: row.get("sends")?,
            },
        );
    }
    Ok(types)
}
