//! Reads user mappings from the view that shows options only to whom they are for (`dumpUserMappings` in `pg_dump.c`).
//!
//! Invariant: a mapping whose options are hidden is read as such, not as one without options: the conditions are those
//! of the view (`pg_user_mappings` in `system_views.sql`).

use super::DumpError;
use super::catalogs::{Catalogs, unnamespaced};
use crate::schema::foreign_option::ForeignOptions;
use crate::schema::{Definition, Object, UserMapping, class};

/// All user mappings.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = "SELECT m.umid AS oid, CASE WHEN m.umuser = 0 THEN 'public' ELSE m.usename END AS name, \
           NULL::text AS owner, m.umuser = 0 AS for_all, m.srvname, m.umoptions AS options, \
           NOT (r.rolsuper \
             OR m.umuser <> 0 AND m.usename = current_user \
               AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE')) \
             OR m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE')) AS hidden \
         FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid, pg_roles r \
         WHERE r.rolname = current_user AND m.usename IS NOT NULL ORDER BY m.umid";
    let rows = c.query("reading user mappings", sql).await?;
    rows.iter()
        .map(|row| {
            let options: Option<Vec<String>> = row.get("options")?;
            let name: String = row.get("name")?;
            let mapping = UserMapping {
                server: row.get("srvname")?,
                role: (!row.get::<bool>("for_all")?).then_some(name),
                hidden: options.is_none() && row.get::<bool>("hidden")?,
                options: ForeignOptions::parse(&options.unwrap_or_default()),
            };
            unnamespaced(row, class::USER_MAPPING, Definition::UserMapping(mapping))
        })
        .collect()
}
