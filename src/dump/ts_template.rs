//! Reads text search templates (`getTSTemplates`, `dumpTSTemplate`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use super::ts_parser::functions;
use crate::schema::{Definition, Object, TextSearchTemplate, class};

/// All text search templates.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading text search templates",
            &format!(
                "SELECT t.oid, n.nspname, t.tmplname AS name, NULL::name AS owner, \
                   NULLIF(t.tmplinit::oid, 0)::regproc::text AS init, t.tmpllexize::oid::regproc::text AS lexize \
                 FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY t.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let functions = functions(row, &[("INIT", "init"), ("LEXIZE", "lexize")])?;
            let template = TextSearchTemplate { functions };
            object(row, class::TS_TEMPLATE, Definition::TextSearchTemplate(template))
        })
        .collect()
}
