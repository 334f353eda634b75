//! Reads enum types.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Object;

/// All enum types.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    Ok(Vec::new())
}
