//! Reads composite types that are no table's row type.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, type_object};
use crate::schema::composite::Attribute;
use crate::schema::{CompositeType, Definition, Object};

/// All free-standing composite types.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let types = format!(
        "SELECT t.oid, n.nspname, t.typname, pg_get_userbyid(t.typowner) AS owner, t.typrelid \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         JOIN pg_class r ON r.oid = t.typrelid AND r.relkind = 'c' \
         WHERE t.typtype = 'c' AND {USER_NAMESPACE} ORDER BY t.oid"
    );
    let attributes = format!(
        "SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod) AS type_name, \
           CASE WHEN a.attcollation <> at.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(l.collname) \
             END AS collation \
         FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid AND r.relkind = 'c' \
         JOIN pg_namespace n ON n.oid = r.relnamespace JOIN pg_type at ON at.oid = a.atttypid \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = l.collnamespace \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND {USER_NAMESPACE} ORDER BY a.attrelid, a.attnum"
    );
    let (types, attributes) = tokio::try_join!(
        c.query("reading composite types", &types),
        c.query("reading attributes of composite types", &attributes),
    )?;
    let mut by_relation: HashMap<u32, Vec<Attribute>> = HashMap::new();
    for row in &attributes {
        by_relation.entry(row.get("attrelid")?).or_default().push(Attribute {
            name: row.get("attname")?,
            type_name: row.get("type_name")?,
            collation: row.get("collation")?,
        });
    }
    types
        .iter()
        .map(|row| {
            let relation = row.get("typrelid")?;
            let attributes = by_relation.remove(&relation).unwrap_or_default();
            type_object(row, Definition::Composite(CompositeType { relation, attributes }))
        })
        .collect()
}
