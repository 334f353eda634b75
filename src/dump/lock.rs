//! Locks every table that takes part, before anything is read about it.
//!
//! Invariant: once this has returned, no selected table can be dropped, rewritten or altered until the
//! transaction ends (`getTables` in `pg_dump.c` does the same); readers and writers of rows are not disturbed.

use futures_util::future::try_join_all;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::config::Filter;
use crate::schema::quote::qualified;

/// Tables named in one `LOCK TABLE`: enough to make round trips rare, few enough for a readable error.
const BATCH: usize = 500;

/// Locks the tables `filter` selects, in ACCESS SHARE mode, in batches that are sent without waiting.
pub(super) async fn lock_tables(c: &Catalogs<'_>, filter: &Filter) -> Result<(), DumpError> {
    let rows = c
        .query(
            "listing the tables to lock",
            &format!(
                "SELECT n.nspname, t.relname FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace \
                 WHERE t.relkind IN ('r', 'p') AND {USER_NAMESPACE} \
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                   AND d.objid = t.oid AND d.objsubid = 0 AND d.deptype = 'e') ORDER BY t.oid"
            ),
        )
        .await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        let (schema, table): (String, String) = (row.get("nspname")?, row.get("relname")?);
        if filter.takes_table(&schema, &table) {
            names.push(qualified(&schema, &table));
        }
    }
    try_join_all(names.chunks(BATCH).map(|batch| lock_batch(c, batch))).await?;
    Ok(())
}

async fn lock_batch(c: &Catalogs<'_>, names: &[String]) -> Result<(), DumpError> {
    let sql = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", names.join(", ONLY "));
    match c.session.batch("locking tables", &sql).await {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(DumpError::Lock { tables: describe(names), remedy: remedy(error.sqlstate.as_deref()), error })
        }
    }
}

/// The tables of a batch in words; the server's message names the very one.
fn describe(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        [first, .., last] => format!("the {} tables from {first} to {last}", names.len()),
        [] => String::new(),
    }
}

/// What the operator can do about an error of `LOCK TABLE`.
fn remedy(sqlstate: Option<&str>) -> &'static str {
    match sqlstate {
        Some("53200") => {
            "raise max_locks_per_transaction on the source (it needs a restart) or migrate fewer schemas at a time"
        }
        Some("42501") => {
            "grant the source's role SELECT on the table and USAGE on its schema (or pg_read_all_data), or exclude the table"
        }
        Some("42P01" | "3F000" | "XX000") => "the table was dropped while the migration began: start again",
        _ => "start again once the cause is gone",
    }
}
