//! Reads policies.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Object;

/// All policies.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    Ok(Vec::new())
}
