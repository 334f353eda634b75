//! Reads default privileges.

use super::DumpError;
use super::acl::parse_items;
use super::catalogs::Catalogs;
use crate::schema::{Address, DefaultAcl, Definition, Object, class};

/// All default privileges of this database, of each role, for all schemas or for one.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading default privileges",
            "SELECT d.oid, pg_get_userbyid(d.defaclrole) AS role, n.nspname, d.defaclobjtype::text AS kind, \
               d.defaclacl::text[] AS items, \
               CASE WHEN d.defaclnamespace = 0 THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's'::\"char\" \
                 ELSE d.defaclobjtype END, d.defaclrole)::text[] ELSE '{}'::text[] END AS base \
             FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace ORDER BY d.oid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let role: String = row.get("role")?;
            let kind: String = row.get("kind")?;
            Ok(Object {
                address: Address::new(class::DEFAULT_ACL, row.get("oid")?),
                namespace: row.get("nspname")?,
                name: role.clone(),
                parent: None,
                owner: Some(role),
                acl: None,
                comments: Vec::new(),
                definition: Definition::DefaultAcl(DefaultAcl {
                    kind: kind.chars().next().unwrap_or('r'),
                    base: parse_items(row.get("base")?),
                    items: parse_items(row.get("items")?),
                }),
            })
        })
        .collect()
}
