//! Foreign-data wrappers.

use super::foreign_option::ForeignOptions;
use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A foreign-data wrapper.
#[derive(Clone, Debug, Default)]
pub struct ForeignDataWrapper {
    /// Its handler function, quoted and qualified.
    pub handler: Option<String>,
    /// Its validator function, quoted and qualified.
    pub validator: Option<String>,
    /// Its options.
    pub options: ForeignOptions,
}

impl ForeignDataWrapper {
    /// `CREATE FOREIGN DATA WRAPPER`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut sql = format!("CREATE FOREIGN DATA WRAPPER {}", quote_ident(&object.name));
        for (word, function) in [("HANDLER", &self.handler), ("VALIDATOR", &self.validator)] {
            if let Some(function) = function {
                sql += &format!(" {word} {function}");
            }
        }
        if let Some(clause) = self.options.clause() {
            sql += &format!(" {clause}");
        }
        vec![sql]
    }

    /// `DROP FOREIGN DATA WRAPPER`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP FOREIGN DATA WRAPPER IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `FOREIGN DATA WRAPPER w`.
    pub fn reference(&self, object: &Object) -> String {
        format!("FOREIGN DATA WRAPPER {}", quote_ident(&object.name))
    }
}
