//! Reads schemas.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::schema::{Address, Definition, Namespace, Object, class};

/// All schemas of the user, `public` among them.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading schemas",
            &format!(
                "SELECT n.oid, n.nspname, pg_get_userbyid(n.nspowner) AS owner FROM pg_namespace n \
                 WHERE {USER_NAMESPACE} ORDER BY n.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Object {
                address: Address::new(class::NAMESPACE, row.get("oid")?),
                namespace: None,
                name: row.get("nspname")?,
                parent: None,
                owner: row.get("owner")?,
                acl: None,
                comments: Vec::new(),
                definition: Definition::Namespace(Namespace {}),
            })
        })
        .collect()
}
