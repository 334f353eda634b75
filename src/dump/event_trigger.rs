//! Reads event triggers (`getEventTriggers` in `pg_dump.c`).

use super::DumpError;
use super::catalogs::{Catalogs, FIRST_USER_OID, unnamespaced};
use crate::schema::{Definition, Enabled, EventTrigger, Object, class};

/// All event triggers.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT e.oid, e.evtname AS name, pg_get_userbyid(e.evtowner)::text AS owner, e.evtevent::text AS event, \
           e.evtenabled::text AS enabled, e.evtfoid::regproc::text AS function, e.evttags AS tags \
         FROM pg_event_trigger e WHERE e.oid >= {FIRST_USER_OID} ORDER BY e.oid"
    );
    let rows = c.query("reading event triggers", &sql).await?;
    rows.iter()
        .map(|row| {
            let trigger = EventTrigger {
                event: row.get("event")?,
                tags: row.get::<Option<Vec<String>>>("tags")?.unwrap_or_default(),
                function: row.get("function")?,
                enabled: Enabled::from_letter(&row.get::<String>("enabled")?),
            };
            unnamespaced(row, class::EVENT_TRIGGER, Definition::EventTrigger(trigger))
        })
        .collect()
}
