//! Finds what pg_dump carries and this version does not: each such object is named, none is dropped silently.
//!
//! All kinds of objects are carried; these are properties of objects that are not. Invariant: what initdb made and what came
//! with an extension is not named; what a filter leaves out is not either, and under a filter nothing that lives in no
//! schema takes part.

use super::DumpError;
use super::catalogs::{Catalogs, is_user_schema};
use crate::config::Filter;
use crate::schema::Unsupported;

/// Everything that is not carried.
pub(super) async fn read(c: &Catalogs<'_>, filter: &Filter) -> Result<Vec<Unsupported>, DumpError> {
    let all = tokio::try_join!(
        c.query("looking for subscriptions", SUBSCRIPTIONS),
        c.query("looking for what pg_dump leaves out as well", PG_DUMP_NEITHER),
    )?;
    let mut found = Vec::new();
    for row in all.0.iter().chain(&all.1) {
        let schema: Option<String> = row.get("schema")?;
        let taken = match &schema {
            Some(schema) => is_user_schema(schema) && filter.takes_schema(schema),
            None => filter.is_everything(),
        };
        if taken {
            let (kind, identity) = (row.get("kind")?, row.get("identity")?);
            found.push(Unsupported { kind, identity, pg_dump_neither: true });
        }
    }
    found.sort_by(|a, b| (&a.kind, &a.identity).cmp(&(&b.kind, &b.identity)));
    Ok(found)
}

/// Its connection string is for superusers alone; pg_dump leaves all of it out then.
const SUBSCRIPTIONS: &str = "SELECT 'subscription (whose connection only a superuser may read)' AS kind, \
       NULL::text AS schema, quote_ident(s.subname) AS identity \
     FROM pg_subscription s JOIN pg_database b ON b.oid = s.subdbid WHERE b.datname = current_database() \
       AND NOT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT')";

/// Indexes that are not valid, which a `CREATE INDEX CONCURRENTLY` that failed leaves behind, and what a user has added
/// to tables of an extension. The catalogs do not tell that from what the extension's script made, but the transaction
/// does, as long as the extension and its table are still of the same one (`ALTER EXTENSION UPDATE` and pg_upgrade end that).
const PG_DUMP_NEITHER: &str = "SELECT 'invalid index' AS kind, n.nspname::text AS schema, \
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS identity \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE t.relkind IN ('r', 'm') AND t.relpersistence <> 't' AND NOT (i.indisvalid AND i.indisready) \
     UNION ALL SELECT 'addition to a table of extension ' || quote_ident(e.extname) || ':', n.nspname::text, \
       pg_describe_object(x.class, x.oid, 0) \
     FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid \
       AND d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND d.xmin = e.xmin \
     JOIN pg_class t ON t.oid = d.objid AND t.relkind IN ('r', 'p', 'v', 'm') \
     JOIN pg_namespace n ON n.oid = t.relnamespace \
     JOIN (SELECT 'pg_class'::regclass::oid AS class, indexrelid AS oid, indrelid AS relation, xmin AS made FROM pg_index i \
         WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) \
       UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid, xmin FROM pg_constraint WHERE contype <> 'n' \
       UNION ALL SELECT 'pg_trigger'::regclass, oid, tgrelid, xmin FROM pg_trigger WHERE NOT tgisinternal \
       UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid, xmin FROM pg_policy \
       UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid, xmin FROM pg_statistic_ext \
       UNION ALL SELECT 'pg_rewrite'::regclass, oid, ev_class, xmin FROM pg_rewrite WHERE rulename <> '_RETURN') AS x \
       ON x.relation = t.oid AND x.made <> e.xmin";
