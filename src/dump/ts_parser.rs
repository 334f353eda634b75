//! Reads text search parsers (`getTSParsers`, `dumpTSParser`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::pg::Row;
use crate::schema::{Definition, Object, TextSearchParser, class};

/// All text search parsers.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading text search parsers",
            &format!(
                "SELECT p.oid, n.nspname, p.prsname AS name, NULL::name AS owner, \
                   p.prsstart::oid::regproc::text AS start, p.prstoken::oid::regproc::text AS token, \
                   p.prsend::oid::regproc::text AS finish, NULLIF(p.prsheadline::oid, 0)::regproc::text AS headline, \
                   p.prslextype::oid::regproc::text AS types \
                 FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY p.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let words = [
                ("START", "start"),
                ("GETTOKEN", "token"),
                ("END", "finish"),
                ("HEADLINE", "headline"),
                ("LEXTYPES", "types"),
            ];
            let parser = TextSearchParser { functions: functions(row, &words)? };
            object(row, class::TS_PARSER, Definition::TextSearchParser(parser))
        })
        .collect()
}

/// The functions that there are: (word of the definition, column of the row).
pub(super) fn functions(
    row: &Row,
    words: &[(&'static str, &str)],
) -> Result<Vec<(&'static str, String)>, DumpError> {
    let mut functions = Vec::new();
    for (word, column) in words {
        functions.extend(row.get::<Option<String>>(column)?.map(|function| (*word, function)));
    }
    Ok(functions)
}
