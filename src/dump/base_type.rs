//! Reads base types and shell types; array types come with their element type (`getTypes`, `dumpBaseType`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, type_object};
use crate::pg::Row;
use crate::schema::{BaseType, Definition, Object};

/// All base types that are no array types, and all shells.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let subscript = c.since(14, "NULLIF(t.typsubscript::oid, 0)::regproc::text", "NULL::text");
    let rows = c
        .query(
            "reading base types",
            &format!(
                "SELECT t.oid, n.nspname, t.typname, pg_get_userbyid(t.typowner) AS owner, t.typisdefined, \
                   t.typlen::int4 AS length, NULLIF(t.typinput::oid, 0)::regproc::text AS input, \
                   NULLIF(t.typoutput::oid, 0)::regproc::text AS output, \
                   NULLIF(t.typreceive::oid, 0)::regproc::text AS receive, \
                   NULLIF(t.typsend::oid, 0)::regproc::text AS send, \
                   NULLIF(t.typmodin::oid, 0)::regproc::text AS typmod_in, \
                   NULLIF(t.typmodout::oid, 0)::regproc::text AS typmod_out, \
                   NULLIF(t.typanalyze::oid, 0)::regproc::text AS analyze, {subscript} AS subscript, \
                   t.typcollation <> 0 AS collatable, t.typbyval, t.typalign::text AS alignment, \
                   t.typstorage::text AS storage, t.typcategory::text AS category, t.typispreferred, \
                   quote_literal(t.typdelim::text) AS delimiter, \
                   COALESCE(pg_get_expr(t.typdefaultbin, 'pg_type'::regclass), quote_literal(t.typdefault)) AS default, \
                   CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END AS element \
                 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                 WHERE {USER_NAMESPACE} AND (NOT t.typisdefined OR t.typtype = 'b' \
                   AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid)) ORDER BY t.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let items = if row.get("typisdefined")? { Some(items(row)?) } else { None };
            type_object(row, Definition::BaseType(BaseType { items }))
        })
        .collect()
}

/// The items of the definition: those that a type gets unasked are left out.
fn items(row: &Row) -> Result<Vec<(&'static str, String)>, DumpError> {
    let length: i32 = row.get("length")?;
    let length = if length < 0 { "variable".to_owned() } else { length.to_string() };
    let mut items: Vec<(&'static str, String)> = vec![("INTERNALLENGTH", length)];
    let text = |column: &str| row.get::<Option<String>>(column);
    for (word, column) in [
        ("INPUT", "input"),
        ("OUTPUT", "output"),
        ("RECEIVE", "receive"),
        ("SEND", "send"),
        ("TYPMOD_IN", "typmod_in"),
        ("TYPMOD_OUT", "typmod_out"),
        ("ANALYZE", "analyze"),
        ("SUBSCRIPT", "subscript"),
        ("DEFAULT", "default"),
        ("ELEMENT", "element"),
    ] {
        items.extend(text(column)?.map(|value| (word, value)));
    }
    if row.get("collatable")? {
        items.push(("COLLATABLE", "true".to_owned()));
    }
    let category = text("category")?.filter(|c| c != "U");
    items.extend(category.map(|c| ("CATEGORY", crate::schema::quote::quote_literal(&c))));
    if row.get("typispreferred")? {
        items.push(("PREFERRED", "true".to_owned()));
    }
    let delimiter = text("delimiter")?.filter(|d| d != "','");
    items.extend(delimiter.map(|d| ("DELIMITER", d)));
    let alignment = match text("alignment")?.as_deref() {
        Some("c") => "char",
        Some("s") => "int2",
        Some("d") => "double",
        _ => "int4",
    };
    items.push(("ALIGNMENT", alignment.to_owned()));
    let storage = match text("storage")?.as_deref() {
        Some("e") => "external",
        Some("x") => "extended",
        Some("m") => "main",
        _ => "plain",
    };
    items.push(("STORAGE", storage.to_owned()));
    if row.get("typbyval")? {
        items.push(("PASSEDBYVALUE", String::new()));
    }
    Ok(items)
}
