//! Conversions between encodings.

use super::quote::quote_literal;
use super::{Object, RenderOptions};

/// A conversion.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// The encoding it is from, by name.
    pub from: String,
    /// The encoding it is to, by name.
    pub to: String,
    /// The function that does it, qualified and quoted.
    pub function: String,
    /// Whether the server uses it for these two, as far as its schema is on the search path.
    pub default: bool,
}

impl Conversion {
    /// `CREATE CONVERSION`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![format!(
            "CREATE {}CONVERSION {} FOR {} TO {} FROM {}",
            if self.default { "DEFAULT " } else { "" },
            object.qualified_name(),
            quote_literal(&self.from),
            quote_literal(&self.to),
            self.function
        )]
    }

    /// `DROP CONVERSION`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP CONVERSION IF EXISTS {}", object.qualified_name())]
    }

    /// `CONVERSION s.c`.
    pub fn reference(&self, object: &Object) -> String {
        format!("CONVERSION {}", object.qualified_name())
    }
}
