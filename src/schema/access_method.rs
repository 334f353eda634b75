//! Access methods of tables and indexes that no extension brings. They live in no schema and belong to nobody.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// An access method.
#[derive(Clone, Debug, Default)]
pub struct AccessMethod {
    /// What it is for: `INDEX`, `TABLE` (12 and later).
    pub kind: &'static str,
    /// Its handler function, qualified and quoted.
    pub handler: String,
}

impl AccessMethod {
    /// `CREATE ACCESS METHOD`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let name = quote_ident(&object.name);
        vec![format!("CREATE ACCESS METHOD {name} TYPE {} HANDLER {}", self.kind, self.handler)]
    }

    /// `DROP ACCESS METHOD`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP ACCESS METHOD IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `ACCESS METHOD m`.
    pub fn reference(&self, object: &Object) -> String {
        format!("ACCESS METHOD {}", quote_ident(&object.name))
    }
}
