//! Verify on its own: the source's model decides what is compared.
//!
//! Invariant: nothing is written on either side, and where nothing would be compared, or a database with itself, that is an error:
//! it must not be taken for equality.

use super::Error;
use crate::config::Filter;
use crate::dump;
use crate::pg::{BEGIN_READER, Server};
use crate::validate::{self, Finding};
use crate::verify::{self, TableReport};

/// Compares every table that `filter` selects on the source with the target's, `jobs` at a time, by count and hash.
/// Both databases should be quiet; rows written meanwhile show as differences.
///
/// # Errors
/// When a server cannot be reached, breaks off, or its catalogs cannot be read; when a pattern of the filter fits nothing, no table takes part,
/// or both are the same database. A table that cannot be read is no
/// error but a difference, with the reason in its report.
pub async fn run(
    source: &Server,
    target: &Server,
    filter: &Filter,
    jobs: usize,
) -> Result<Vec<TableReport>, Error> {
    let (session, other) = tokio::try_join!(source.connect(), target.connect())?;
    let report = Box::pin(validate::of_comparison(&session, &other, filter)).await;
    drop(other);
    if !report.is_good() {
        return Err(Error::Incomparable(Box::new(report)));
    }
    session.batch("beginning to read the schema", BEGIN_READER).await?;
    let mut schema = Box::pin(dump::read(&session, filter)).await?;
    // Where text is sorted alike, partitions taken together have the same rows all the same.
    schema.sorted_otherwise = true;
    let encoding: String = session
        .value("reading the source's encoding", "SELECT pg_catalog.current_setting('server_encoding') AS e")
        .await?
        .unwrap_or_default();
    // The locks keep the tables as they are while they are read.
    let reports = verify::run(source, target, &encoding, &schema, jobs).await?;
    session.batch("ending the reading of the schema", "ROLLBACK").await?;
    if reports.is_empty() {
        let finding = Finding::nothing_to_compare(&schema.database.name);
        return Err(Error::Incomparable(Box::new(finding.into())));
    }
    Ok(reports)
}
