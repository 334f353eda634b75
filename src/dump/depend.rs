//! Reads `pg_depend`.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Address;

/// What needs what, and which addresses stand for another: `Schema.depends` and `Schema.aliases`.
pub(super) type Dependencies = (HashMap<Address, Vec<Address>>, HashMap<Address, Address>);

/// Both maps.
pub(super) async fn read(_: &Catalogs<'_>) -> Result<Dependencies, DumpError> {
    Ok(Default::default())
}
