//! Reads enum types.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, type_object};
use crate::schema::{Definition, EnumType, Object};

/// All enum types, labels in `enumsortorder`.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading enum types",
            &format!(
                "SELECT t.oid, n.nspname, t.typname, pg_get_userbyid(t.typowner) AS owner, \
                   ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid \
                     ORDER BY e.enumsortorder) AS labels \
                 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 WHERE t.typtype = 'e' AND {USER_NAMESPACE} ORDER BY t.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| type_object(row, Definition::Enum(EnumType { labels: row.get("labels")? })))
        .collect()
}
