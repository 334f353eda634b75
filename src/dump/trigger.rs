//! Reads triggers: users' own, and clones on partitions whose state differs from their parent's (`getTriggers`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::view::without_semicolon;
use crate::schema::{Address, Definition, Enabled, Object, Trigger, class};

/// All triggers that are to be made or set.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    // Before 13 a clone knows its parent by pg_depend only; 11 and 12 have clones, 10 has none. Triggers that
    // enforce a constraint are nobody's own, whatever their state.
    let parent = c.since(
        13,
        "t.tgparentid",
        "coalesce((SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_trigger'::regclass \
           AND d.objid = t.oid AND d.refclassid = 'pg_trigger'::regclass LIMIT 1), 0::oid)",
    );
    // Before 15 clones keep their name when the trigger that they come from is renamed; made anew, they have its name.
    let root = format!(
        "(WITH RECURSIVE up AS (SELECT s.parent AS oid, 1 AS level \
           UNION ALL SELECT {parent}, level + 1 FROM up JOIN pg_trigger t ON t.oid = up.oid WHERE {parent} <> 0) \
         SELECT r.tgname FROM up JOIN pg_trigger r ON r.oid = up.oid ORDER BY level DESC LIMIT 1)"
    );
    let sql = format!(
        "SELECT s.oid, s.nspname, s.table_oid, s.relname, CASE WHEN s.parent = 0 THEN s.tgname ELSE {root} END AS tgname, s.tgenabled::text AS enabled, \
           CASE WHEN s.parent = 0 THEN pg_get_triggerdef(s.oid, false) END AS statement \
         FROM (SELECT t.oid, n.nspname, c.oid AS table_oid, c.relname, t.tgname, t.tgenabled, t.tgisinternal, \
             {parent} AS parent \
           FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
           JOIN pg_namespace n ON n.oid = c.relnamespace \
           WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND {USER_NAMESPACE} AND NOT EXISTS (SELECT FROM pg_constraint k \
             WHERE k.oid = t.tgconstraint AND k.contype <> 't')) AS s \
         LEFT JOIN pg_trigger p ON p.oid = s.parent AND s.parent <> 0 \
         WHERE (s.parent = 0 AND NOT s.tgisinternal) OR p.tgenabled <> s.tgenabled ORDER BY s.oid"
    );
    let mut objects = Vec::new();
    for row in &c.query("reading triggers", &sql).await? {
        let table = Address::relation(row.get("table_oid")?);
        objects.push(Object {
            address: Address::new(class::TRIGGER, row.get("oid")?),
            namespace: Some(row.get("nspname")?),
            name: row.get("tgname")?,
            parent: Some(table),
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Trigger(Trigger {
                table,
                table_name: row.get("relname")?,
                statement: row.get::<Option<String>>("statement")?.map(without_semicolon),
                enabled: Enabled::from_letter(row.get("enabled")?),
            }),
        });
    }
    Ok(objects)
}
