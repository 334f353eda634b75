//! Finds what this version cannot carry.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Unsupported;

/// Every object of a kind that is not carried.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Vec<Unsupported>, DumpError> {
    Ok(Vec::new())
}
