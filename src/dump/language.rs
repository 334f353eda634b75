//! Reads procedural languages (`getProcLangs`, `dumpProcLang`).

use super::DumpError;
use super::catalogs::{Catalogs, object};
use crate::schema::{Definition, Language, Object, class};

/// All procedural languages that initdb did not make.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading languages",
            "SELECT l.oid, NULL::name AS nspname, l.lanname AS name, pg_get_userbyid(l.lanowner) AS owner, \
               l.lanpltrusted, l.lanplcallfoid::regproc::text AS handler, \
               NULLIF(l.laninline, 0)::regproc::text AS inline, NULLIF(l.lanvalidator, 0)::regproc::text AS validator \
             FROM pg_language l WHERE l.lanispl AND l.oid >= 16384 ORDER BY l.oid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let language = Language {
                trusted: row.get("lanpltrusted")?,
                handler: row.get("handler")?,
                inline: row.get("inline")?,
                validator: row.get("validator")?,
            };
            object(row, class::LANGUAGE, Definition::Language(language))
        })
        .collect()
}
