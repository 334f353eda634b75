//! Reads collations (`getCollations`, `dumpCollation`).
//!
//! Where the locale of a provider other than libc stands: in `collcollate` before 15, in `colliculocale` on 15 and 16, in
//! `colllocale` from 17 on.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::pg::Row;
use crate::schema::{Collation, Definition, Object, class};

/// All collations.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let locale = c.since(17, "c.colllocale", c.since(15, "c.colliculocale", "c.collcollate"));
    let rows = c
        .query(
            "reading collations",
            &format!(
                "SELECT c.oid, n.nspname, c.collname AS name, pg_get_userbyid(c.collowner) AS owner, \
                   c.collprovider::text AS provider, {deterministic} AS deterministic, {locale}::text AS locale, \
                   c.collcollate::text AS lc_collate, c.collctype::text AS lc_ctype, {rules} AS rules \
                 FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY c.oid",
                deterministic = c.since(12, "c.collisdeterministic", "true"),
                rules = c.since(16, "c.collicurules", "NULL::text"),
            ),
        )
        .await?;
    rows.iter().map(|row| object(row, class::COLLATION, Definition::Collation(collation(row)?))).collect()
}

fn collation(row: &Row) -> Result<Collation, DumpError> {
    let provider = match row.get::<String>("provider")?.as_str() {
        "i" => "icu",
        "b" => "builtin",
        "d" => "default",
        _ => "libc",
    };
    let (collate, ctype) = if provider == "libc" {
        let (collate, ctype) = (row.get::<Option<String>>("lc_collate")?, row.get("lc_ctype")?);
        let same = collate == ctype;
        (collate, ctype.filter(|_| !same))
    } else {
        (row.get("locale")?, None)
    };
    Ok(Collation {
        provider,
        deterministic: row.get("deterministic")?,
        collate,
        ctype,
        rules: row.get("rules")?,
    })
}
