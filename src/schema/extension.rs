//! Extensions.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// An extension. [`Object::namespace`] is the schema it was installed in.
#[derive(Clone, Debug, Default)]
pub struct Extension {
    /// Its version on the source; the target gets its own default version, as from pg_dump.
    pub version: String,
}

impl Extension {
    /// `CREATE EXTENSION`, without version.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let schema = object.namespace.as_deref().map(quote_ident).unwrap_or_default();
        vec![format!("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {schema}", quote_ident(&object.name))]
    }

    /// `DROP EXTENSION`, with its members and nothing else.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP EXTENSION IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `EXTENSION x`.
    pub fn reference(&self, object: &Object) -> String {
        format!("EXTENSION {}", quote_ident(&object.name))
    }
}
