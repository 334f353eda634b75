//! What an interrupted migration left on the target.

use std::collections::HashSet;

use super::{JournalError, unless_dropped};
use crate::pg::Session;

/// An unfinished migration found in the target's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its name.
    pub name: String,
    /// `offline` or `online`.
    pub mode: String,
    /// Where it read from.
    pub system_identifier: String,
    /// Which database it read.
    pub database: String,
    /// The phase it was in.
    pub phase: String,
    /// What it made before the data: (kind in pg_dump's words, quoted identity).
    pub objects: HashSet<(String, String)>,
}

/// Reads the journal on `target`; `None` where there is none.
pub async fn leftover(target: &Session) -> Result<Option<Leftover>, JournalError> {
    unless_dropped(read(target).await)
}

async fn read(target: &Session) -> Result<Option<Leftover>, JournalError> {
    let there: bool = target
        .value(
            "looking for a journal",
            "SELECT pg_catalog.to_regclass('_pg_migrator.migration') IS NOT NULL \
             AND pg_catalog.to_regclass('_pg_migrator.object') IS NOT NULL AS there",
        )
        .await?
        .unwrap_or(false);
    if !there {
        return Ok(None);
    }
    let rows = target
        .query(
            "reading the journal",
            "SELECT name, mode, system_identifier, database, phase FROM _pg_migrator.migration ORDER BY started_at LIMIT 1",
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name: String = row.get("name")?;
    let mut objects = HashSet::new();
    for object in
        target.query("reading the journal", "SELECT kind, identity FROM _pg_migrator.object").await?
    {
        objects.insert((object.get("kind")?, object.get("identity")?));
    }
    Ok(Some(Leftover {
        name,
        mode: row.get("mode")?,
        system_identifier: row.get("system_identifier")?,
        database: row.get("database")?,
        phase: row.get("phase")?,
        objects,
    }))
}
