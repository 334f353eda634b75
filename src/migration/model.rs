//! The source's model on its own: what `pg_migrator schema` prints and `verify` walks.
//!
//! Invariant: nothing is changed, and nothing stays locked.

use super::Error;
use crate::config::Filter;
use crate::dump;
use crate::pg::Server;
use crate::schema::Schema;
use crate::snapshot::Snapshot;

/// Reads what `filter` selects on `source`, under one snapshot.
///
/// # Errors
/// [`Error::Snapshot`] where the source cannot be reached, [`Error::Dump`] where its catalogs cannot be read.
pub async fn read(source: &Server, filter: &Filter) -> Result<Schema, Error> {
    let snapshot = Snapshot::export(source).await?;
    let schema = dump::read(snapshot.session(), filter).await?;
    snapshot.release().await?;
    Ok(schema)
}
