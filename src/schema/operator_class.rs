//! Operator classes.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// An operator class, with the operators and functions that are bound to it.
#[derive(Clone, Debug, Default)]
pub struct OperatorClass {
    /// Its access method, unquoted.
    pub method: String,
    /// The family it belongs to, qualified and quoted: an object of its own.
    pub family: String,
    /// The type it is for.
    pub input_type: String,
    /// Whether it is what an index on that type uses unless told otherwise.
    pub default: bool,
    /// The type an index stores, where that is another.
    pub storage: Option<String>,
    /// `OPERATOR …` and `FUNCTION …`, in order.
    pub members: Vec<String>,
}

impl OperatorClass {
    /// `CREATE OPERATOR CLASS`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let storage = self.storage.as_ref().map(|t| format!("STORAGE {t}"));
        let mut items: Vec<String> = storage.into_iter().chain(self.members.iter().cloned()).collect();
        if items.is_empty() {
            // The list may not be empty; this says what holds anyway.
            items.push(format!("STORAGE {}", self.input_type));
        }
        vec![format!(
            "CREATE OPERATOR CLASS {}\n    {}FOR TYPE {} USING {} FAMILY {} AS\n    {}",
            object.qualified_name(),
            if self.default { "DEFAULT " } else { "" },
            self.input_type,
            quote_ident(&self.method),
            self.family,
            items.join(",\n    ")
        )]
    }

    /// `DROP OPERATOR CLASS`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP OPERATOR CLASS IF EXISTS {}", self.signature(object))]
    }

    /// `OPERATOR CLASS s.c USING btree`.
    pub fn reference(&self, object: &Object) -> String {
        format!("OPERATOR CLASS {}", self.signature(object))
    }

    fn signature(&self, object: &Object) -> String {
        format!("{} USING {}", object.qualified_name(), quote_ident(&self.method))
    }
}
