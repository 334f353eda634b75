//! Which objects came with an extension: they come again with `CREATE EXTENSION`, and are not dumped themselves.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::{Address, class};

/// Every member of every extension → the extension (`pg_depend`, deptype `e`).
pub(super) async fn read(c: &Catalogs<'_>) -> Result<HashMap<Address, Address>, DumpError> {
    let rows = c
        .query(
            "reading the members of extensions",
            "SELECT classid, objid, refobjid FROM pg_depend \
             WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass",
        )
        .await?;
    let mut members = HashMap::with_capacity(rows.len());
    for row in &rows {
        members.insert(
            Address::new(row.get("classid")?, row.get("objid")?),
            Address::new(class::EXTENSION, row.get("refobjid")?),
        );
    }
    Ok(members)
}
