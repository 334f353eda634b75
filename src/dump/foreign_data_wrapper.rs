//! Reads foreign-data wrappers (`getForeignDataWrappers` in `pg_dump.c`).

use super::DumpError;
use super::catalogs::{Catalogs, FIRST_USER_OID, unnamespaced};
use crate::schema::foreign_option::ForeignOptions;
use crate::schema::{Definition, ForeignDataWrapper, Object, class};

/// All foreign-data wrappers.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT w.oid, w.fdwname AS name, pg_get_userbyid(w.fdwowner)::text AS owner, w.fdwoptions AS options, \
           NULLIF(w.fdwhandler, 0)::regproc::text AS handler, NULLIF(w.fdwvalidator, 0)::regproc::text AS validator \
         FROM pg_foreign_data_wrapper w WHERE w.oid >= {FIRST_USER_OID} ORDER BY w.oid"
    );
    let rows = c.query("reading foreign-data wrappers", &sql).await?;
    rows.iter()
        .map(|row| {
            let options = row.get::<Option<Vec<String>>>("options")?.unwrap_or_default();
            let wrapper = ForeignDataWrapper {
                handler: row.get("handler")?,
                validator: row.get("validator")?,
                options: ForeignOptions::parse(&options),
            };
            unnamespaced(row, class::FOREIGN_DATA_WRAPPER, Definition::ForeignDataWrapper(wrapper))
        })
        .collect()
}
