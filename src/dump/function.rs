//! Reads functions and procedures.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Object;

/// All functions and procedures.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    Ok(Vec::new())
}
