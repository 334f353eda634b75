//! Reads conversions between encodings (`getConversions`, `dumpConversion`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::schema::{Conversion, Definition, Object, class};

/// All conversions.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading conversions",
            &format!(
                "SELECT c.oid, n.nspname, c.conname AS name, pg_get_userbyid(c.conowner) AS owner, \
                   pg_encoding_to_char(c.conforencoding)::text AS source, pg_encoding_to_char(c.contoencoding)::text AS target, \
                   c.conproc::oid::regproc::text AS function, c.condefault \
                 FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace \
                 WHERE {USER_NAMESPACE} ORDER BY c.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let conversion = Conversion {
                from: row.get("source")?,
                to: row.get("target")?,
                function: row.get("function")?,
                default: row.get("condefault")?,
            };
            object(row, class::CONVERSION, Definition::Conversion(conversion))
        })
        .collect()
}
