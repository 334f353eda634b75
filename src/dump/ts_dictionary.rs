//! Reads text search dictionaries (`getTSDictionaries`, `dumpTSDictionary`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::schema::{Definition, Object, TextSearchDictionary, class};

/// All text search dictionaries.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading text search dictionaries",
            &format!(
                "SELECT d.oid, n.nspname, d.dictname AS name, pg_get_userbyid(d.dictowner) AS owner, \
                   quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname) AS template, d.dictinitoption AS options \
                 FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace \
                 JOIN pg_ts_template t ON t.oid = d.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY d.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let dictionary =
                TextSearchDictionary { template: row.get("template")?, options: row.get("options")? };
            object(row, class::TS_DICT, Definition::TextSearchDictionary(dictionary))
        })
        .collect()
}
