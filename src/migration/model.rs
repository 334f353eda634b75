//! The source's model on its own: what `pg_migrator schema` prints.
//!
//! Invariant: nothing is changed, and nothing stays locked.

use super::Error;
use crate::config::Filter;
use crate::dump;
use crate::pg::{BEGIN_READER, Server};
use crate::schema::Schema;

/// Reads what `filter` selects on `source`, under one snapshot.
///
/// # Errors
/// [`Error::Connect`] where the source cannot be reached, [`Error::Dump`] where its catalogs cannot be read.
pub async fn read(source: &Server, filter: &Filter) -> Result<Schema, Error> {
    let session = source.connect().await?;
    session.batch("beginning to read the schema", BEGIN_READER).await?;
    let schema = Box::pin(dump::read(&session, filter)).await?;
    session.batch("ending the reading of the schema", "ROLLBACK").await?;
    Ok(schema)
}
