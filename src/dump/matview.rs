//! Reads materialized views.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Object;

/// All materialized views.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    Ok(Vec::new())
}
