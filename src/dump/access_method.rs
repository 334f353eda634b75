//! Reads access methods (`getAccessMethods`, `dumpAccessMethod`).

use super::DumpError;
use super::catalogs::{Catalogs, object};
use crate::schema::{AccessMethod, Definition, Object, class};

/// All access methods that initdb did not make.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading access methods",
            "SELECT a.oid, NULL::name AS nspname, NULL::name AS owner, a.amname AS name, a.amtype::text AS kind, \
               a.amhandler::oid::regproc::text AS handler FROM pg_am a WHERE a.oid >= 16384 ORDER BY a.oid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let kind = if row.get::<String>("kind")? == "t" { "TABLE" } else { "INDEX" };
            let method = AccessMethod { kind, handler: row.get("handler")? };
            object(row, class::ACCESS_METHOD, Definition::AccessMethod(method))
        })
        .collect()
}
