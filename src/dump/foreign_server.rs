//! Reads foreign servers (`getForeignServers` in `pg_dump.c`).

use super::DumpError;
use super::catalogs::{Catalogs, FIRST_USER_OID, unnamespaced};
use crate::schema::foreign_option::ForeignOptions;
use crate::schema::{Definition, ForeignServer, Object, class};

/// All foreign servers.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT s.oid, s.srvname AS name, pg_get_userbyid(s.srvowner)::text AS owner, w.fdwname, s.srvtype, \
           s.srvversion, s.srvoptions AS options \
         FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw \
         WHERE s.oid >= {FIRST_USER_OID} ORDER BY s.oid"
    );
    let rows = c.query("reading foreign servers", &sql).await?;
    rows.iter()
        .map(|row| {
            let options = row.get::<Option<Vec<String>>>("options")?.unwrap_or_default();
            let server = ForeignServer {
                wrapper: row.get("fdwname")?,
                server_type: row.get("srvtype")?,
                version: row.get("srvversion")?,
                options: ForeignOptions::parse(&options),
            };
            unnamespaced(row, class::FOREIGN_SERVER, Definition::ForeignServer(server))
        })
        .collect()
}
