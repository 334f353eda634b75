//! Reads comments that were put on members of extensions by somebody else than the extension's script.
//!
//! The catalogs do not tell the two apart, but the transaction does, as long as the extension and its member are still of the
//! same one (`ALTER EXTENSION UPDATE` and pg_upgrade end that). What is taken for changed by mistake is said twice, which harms nothing.

use std::collections::{BTreeMap, HashSet};

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::{Address, ChangedComments, Definition, Object, Schema, class};

/// A comment, what it is on, and the extension.
pub(super) struct Changed {
    of: Address,
    extension: Address,
    on: String,
    text: String,
}

/// All of them: one query.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Changed>, DumpError> {
    let sql = "SELECT d.classid, d.objid, e.oid AS extension, t.description, i.type, i.identity \
         FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' \
           AND d.xmin = e.xmin \
         JOIN pg_description t ON t.classoid = d.classid AND t.objoid = d.objid AND t.xmin <> e.xmin \
         CROSS JOIN LATERAL pg_identify_object(t.classoid, t.objoid, t.objsubid) AS i \
         ORDER BY d.classid, d.objid, t.objsubid";
    let rows = c.query("reading comments on members of extensions", sql).await?;
    let mut changed = Vec::new();
    for row in &rows {
        let identity: String = row.get("identity")?;
        let Some(words) = words(&row.get::<String>("type")?) else { continue };
        changed.push(Changed {
            of: Address::new(row.get("classid")?, row.get("objid")?),
            extension: Address::new(class::EXTENSION, row.get("extension")?),
            on: format!("{words} {identity}"),
            text: row.get("description")?,
        });
    }
    Ok(changed)
}

/// The words of `COMMENT ON` for what `pg_identify_object` calls so.
fn words(kind: &str) -> Option<String> {
    Some(match kind {
        "foreign-data wrapper" => "FOREIGN DATA WRAPPER".to_owned(),
        "table constraint" => "CONSTRAINT".to_owned(),
        kind if kind.ends_with(" column") => "COLUMN".to_owned(),
        "table"
        | "view"
        | "materialized view"
        | "foreign table"
        | "sequence"
        | "index"
        | "function"
        | "aggregate"
        | "procedure"
        | "type"
        | "operator"
        | "operator class"
        | "operator family"
        | "cast"
        | "schema"
        | "collation"
        | "conversion"
        | "text search parser"
        | "text search template"
        | "text search dictionary"
        | "text search configuration"
        | "access method"
        | "language"
        | "server"
        | "rule"
        | "trigger"
        | "policy" => kind.to_uppercase(),
        _ => return None,
    })
}

/// Adds those of the model's extensions to it.
pub(super) fn attach(schema: &mut Schema, changed: Vec<Changed>) {
    let extensions: HashSet<Address> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::Extension(_)))
        .map(|o| o.address)
        .collect();
    let mut members: BTreeMap<(Address, Address), Vec<(String, String)>> = BTreeMap::new();
    for comment in changed.into_iter().filter(|c| extensions.contains(&c.extension)) {
        members.entry((comment.of, comment.extension)).or_default().push((comment.on, comment.text));
    }
    for ((of, extension), comments) in members {
        let address = of.attached(class::DESCRIPTION);
        schema.depends.insert(address, vec![extension]);
        schema.objects.push(Object {
            address,
            namespace: None,
            name: comments.first().map(|(on, _)| on.clone()).unwrap_or_default(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::ChangedComments(ChangedComments { comments }),
        });
    }
}
