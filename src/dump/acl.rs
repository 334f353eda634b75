//! Reads the privileges of every object, its columns and its row type in one query.
//!
//! Privileges that were changed on what nobody creates again (members of extensions, the server's own objects) are
//! compared with `pg_init_privs`, and the difference is an object of its own ([`ChangedPrivileges`]). `information_schema` is left alone, as
//! pg_dump does: initdb records no initial privileges for it. Schema `public` always has an entry, because what the
//! target gave it is not known.

use std::collections::{HashMap, HashSet};

use super::DumpError;
use super::catalogs::Catalogs;
use crate::pg::Row;
use crate::schema::acl::{Acl, AclItem, AclKind, AclOn, AclPart};
use crate::schema::{Address, ChangedPrivileges, Definition, Object, class};

/// The privileges of everything.
#[derive(Debug, Default)]
pub(super) struct Privileges {
    /// Of the user's objects: those that are not what a new object has.
    pub(super) of: HashMap<Address, Acl>,
    /// Of the server's and the extensions' own objects: those that were changed since they were made.
    pub(super) changed: Vec<Changed>,
}

/// An object of the server's or an extension's whose privileges were changed.
#[derive(Debug)]
pub(super) struct Changed {
    /// Where the object is.
    pub(super) of: Address,
    /// What the model holds of it.
    pub(super) object: Object,
}

/// Every privilege that is recorded. A row type's are recorded under its relation. A column whose last privilege was taken back has
/// none recorded, as one that never had any: what it had at first tells the two apart.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Privileges, DumpError> {
    let maybe_changed = "s.acl IS NOT NULL OR i.initprivs IS NOT NULL";
    let own = "s.objid >= 16384 AND e.objid IS NULL \
               OR s.classid = 'pg_largeobject'::regclass OR s.classid = 'pg_namespace'::regclass AND s.objid = x.public";
    let sql = format!(
        "WITH x AS (SELECT COALESCE((SELECT oid FROM pg_namespace WHERE nspname = 'information_schema'), 0) AS oid, \
           (SELECT oid FROM pg_namespace WHERE nspname = 'public') AS public), \
         s AS (\
           SELECT 'pg_class'::regclass::oid AS classid, r.oid AS objid, 0 AS sub, NULL::name AS attname, relowner AS owner, relacl AS acl, \
             acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner) AS base, 0::oid AS relation \
             FROM pg_class r, x WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relnamespace <> x.oid \
           UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, attname, relowner, attacl, '{{}}', 0 \
             FROM pg_attribute a, pg_class r, x \
             WHERE (attacl IS NOT NULL OR (attrelid, attnum) IN (SELECT objoid, objsubid FROM pg_init_privs \
                 WHERE classoid = 'pg_class'::regclass AND objsubid > 0)) \
               AND NOT attisdropped AND r.oid = attrelid AND relnamespace <> x.oid \
           UNION ALL SELECT 'pg_proc'::regclass, p.oid, 0, NULL, proowner, proacl, acldefault('f', proowner), 0 \
             FROM pg_proc p, x WHERE pronamespace <> x.oid \
           UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, NULL, t.typowner, t.typacl, acldefault('T', t.typowner), \
             CASE WHEN r.relkind <> 'c' THEN r.oid ELSE 0 END \
             FROM x, pg_type t LEFT JOIN pg_class r ON r.oid = t.typrelid WHERE typnamespace <> x.oid \
           UNION ALL SELECT 'pg_namespace'::regclass, n.oid, 0, NULL, nspowner, \
             CASE nspname WHEN 'public' THEN COALESCE(nspacl, acldefault('n', nspowner)) ELSE nspacl END, \
             acldefault('n', nspowner), 0 \
             FROM pg_namespace n, x WHERE n.oid <> x.oid \
           UNION ALL SELECT 'pg_language'::regclass, oid, 0, NULL, lanowner, lanacl, acldefault('l', lanowner), 0 \
             FROM pg_language \
           UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, NULL, fdwowner, fdwacl, acldefault('F', fdwowner), 0 \
             FROM pg_foreign_data_wrapper \
           UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, NULL, srvowner, srvacl, acldefault('S', srvowner), 0 \
             FROM pg_foreign_server \
           UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, NULL, lomowner, lomacl, acldefault('L', lomowner), 0 \
             FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL) \
         SELECT s.classid, s.objid, s.attname, s.relation, s.acl::text[] AS acl, s.base::text[] AS base, \
           i.initprivs::text[] AS init, ({own}) AS own, \
           pg_get_userbyid(s.owner)::text AS owner, k.type AS kind, k.schema, k.identity \
         FROM x, s LEFT JOIN pg_init_privs i ON i.classoid = s.classid AND i.objoid = s.objid AND i.objsubid = s.sub \
         LEFT JOIN pg_depend e ON e.classid = s.classid AND e.objid = s.objid AND e.objsubid = 0 AND e.deptype = 'e' \
         LEFT JOIN LATERAL (SELECT o.type, (parse_ident(o.schema))[1] AS schema, CASE WHEN s.classid = 'pg_type'::regclass \
             THEN o.schema || '.' || o.name ELSE o.identity END AS identity \
           FROM pg_identify_object(s.classid, s.objid, 0) AS o WHERE NOT ({own})) AS k ON true \
         WHERE ({maybe_changed}) AND (({own}) OR s.acl IS DISTINCT FROM COALESCE(i.initprivs, s.base)) \
         ORDER BY s.classid, s.objid, s.sub"
    );
    let rows = c.query("reading privileges", &sql).await?;
    let mut privileges = Privileges::default();
    for row in &rows {
        if row.get("own")? {
            own_part(row, &mut privileges.of)?;
        } else {
            changed_part(row, &mut privileges.changed)?;
        }
    }
    Ok(privileges)
}

/// Records the privileges of one part of a user's object.
fn own_part(row: &Row, of: &mut HashMap<Address, Acl>) -> Result<(), DumpError> {
    let Some(items) = row.get::<Option<Vec<String>>>("acl")? else { return Ok(()) };
    let (class_oid, oid, relation): (u32, u32, u32) =
        (row.get("classid")?, row.get("objid")?, row.get("relation")?);
    let column: Option<String> = row.get("attname")?;
    let (address, on) = match (column, relation) {
        (Some(column), _) => (Address::relation(oid), AclOn::Column(column)),
        (None, 0) => (Address::new(class_oid, oid), AclOn::Itself),
        (None, relation) => (Address::relation(relation), AclOn::RowType),
    };
    let acl = of.entry(address).or_default();
    acl.parts.push(AclPart { on, base: parse_items(row.get("base")?), items: parse_items(items) });
    Ok(())
}

/// Records the privileges of a part of an object that is not made anew, if they are not what they were at first.
/// Parts of one object come one after the other.
fn changed_part(row: &Row, all: &mut Vec<Changed>) -> Result<(), DumpError> {
    let list = |column: &str| row.get::<Option<Vec<String>>>(column);
    let base = row.get::<Vec<String>>("base")?;
    let initial = list("init")?.unwrap_or_else(|| base.clone());
    let now = list("acl")?.unwrap_or(base);
    let set = |items: &Vec<String>| items.iter().cloned().collect::<HashSet<String>>();
    if set(&now) == set(&initial) {
        return Ok(());
    }
    let of = Address::new(row.get("classid")?, row.get("objid")?);
    let on = row.get::<Option<String>>("attname")?.map_or(AclOn::Itself, AclOn::Column);
    let part = AclPart { on, base: parse_items(initial), items: parse_items(now) };
    if let Some(Changed { of: last, object }) = all.last_mut()
        && *last == of
    {
        object.acl.get_or_insert_default().parts.push(part);
        return Ok(());
    }
    let Some((kind, words)) = phrase(&row.get::<Option<String>>("kind")?.unwrap_or_default()) else {
        return Ok(());
    };
    let identity: String = row.get("identity")?;
    let definition = ChangedPrivileges { kind, phrase: format!("{words} {identity}") };
    let object = Object {
        address: of.attached(class::INITIAL_PRIVILEGES),
        namespace: row.get("schema")?,
        name: identity,
        parent: None,
        owner: row.get("owner")?,
        acl: Some(Acl { parts: vec![part] }),
        comments: Vec::new(),
        definition: Definition::ChangedPrivileges(definition),
    };
    all.push(Changed { of, object });
    Ok(())
}

/// The words of `GRANT` for what `pg_identify_object` calls so.
fn phrase(kind: &str) -> Option<(AclKind, &'static str)> {
    Some(match kind {
        "table" | "view" | "materialized view" | "foreign table" => (AclKind::Table, "TABLE"),
        "sequence" => (AclKind::Sequence, "SEQUENCE"),
        "function" | "aggregate" | "window function" => (AclKind::Function, "FUNCTION"),
        "procedure" => (AclKind::Function, "PROCEDURE"),
        "type" | "domain" => (AclKind::Type, "TYPE"),
        "schema" => (AclKind::Schema, "SCHEMA"),
        "language" => (AclKind::Language, "LANGUAGE"),
        "foreign-data wrapper" => (AclKind::Foreign, "FOREIGN DATA WRAPPER"),
        "server" => (AclKind::Foreign, "FOREIGN SERVER"),
        _ => return None,
    })
}

/// Items in text form; the server writes nothing else than [`AclItem::parse`] reads.
pub(super) fn parse_items(texts: Vec<String>) -> Vec<AclItem> {
    texts.iter().filter_map(|t| AclItem::parse(t)).collect()
}
