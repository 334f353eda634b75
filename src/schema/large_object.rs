//! Large objects: their existence; the data copy carries their contents.
//!
//! Invariant: a large object keeps its OID, because rows refer to it by that.

use super::RenderOptions;
use super::object::Object;

/// A large object. Its OID is its [`Object::address`]'s, and in decimal its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LargeObject {}

impl LargeObject {
    /// The query that makes it, empty.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![format!("SELECT pg_catalog.lo_create({})", object.address.oid)]
    }

    /// The query that drops it if it is there (`lo_unlink` alone fails if it is not).
    pub fn drop(&self, object: &Object) -> Vec<String> {
        let oid = object.address.oid;
        vec![format!(
            "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = {oid}"
        )]
    }

    /// How `COMMENT ON` and `ALTER … OWNER TO` name it.
    pub fn reference(&self, object: &Object) -> String {
        format!("LARGE OBJECT {}", object.address.oid)
    }
}
