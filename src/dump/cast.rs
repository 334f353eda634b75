//! Reads casts (`getCasts`, `dumpCast`).

use super::DumpError;
use super::catalogs::{Catalogs, object};
use crate::pg::Row;
use crate::schema::{Cast, CastMethod, Definition, Object, class};

/// All casts that initdb did not make, but for those of a range type to its multirange type, which come with the type.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading casts",
            "SELECT c.oid, NULL::name AS nspname, NULL::name AS owner, \
               format_type(c.castsource, NULL) AS source, format_type(c.casttarget, NULL) AS target, \
               format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL) AS name, \
               c.castmethod::text AS method, c.castcontext::text AS context, \
               CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END AS function \
             FROM pg_cast c WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d \
               WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'i') ORDER BY c.oid",
        )
        .await?;
    rows.iter().map(|row| object(row, class::CAST, Definition::Cast(cast(row)?))).collect()
}

fn cast(row: &Row) -> Result<Cast, DumpError> {
    let function: Option<String> = row.get("function")?;
    Ok(Cast {
        source: row.get("source")?,
        target: row.get("target")?,
        method: match (row.get::<String>("method")?.as_str(), function) {
            ("f", Some(function)) => CastMethod::Function(function),
            ("i", _) => CastMethod::InOut,
            _ => CastMethod::Binary,
        },
        context: match row.get::<String>("context")?.as_str() {
            "i" => Some("IMPLICIT"),
            "a" => Some("ASSIGNMENT"),
            _ => None,
        },
    })
}
