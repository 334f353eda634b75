//! Reads which large objects there are (`getLOs` in `pg_dump.c`).

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::{Address, Definition, LargeObject, Object, class};

/// All large objects.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql =
        "SELECT oid, pg_get_userbyid(lomowner)::text AS owner FROM pg_largeobject_metadata ORDER BY oid";
    let rows = c.query("listing large objects", sql).await?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = row.get("oid")?;
        objects.push(Object {
            address: Address::new(class::LARGE_OBJECT, oid),
            namespace: None,
            name: oid.to_string(),
            parent: None,
            owner: Some(row.get("owner")?),
            acl: None,
            comments: Vec::new(),
            definition: Definition::LargeObject(LargeObject::default()),
        });
    }
    Ok(objects)
}
