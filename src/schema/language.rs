//! Procedural languages that no extension brings.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A procedural language.
#[derive(Clone, Debug, Default)]
pub struct Language {
    /// Whether everybody who may use it may make functions in it.
    pub trusted: bool,
    /// The function that calls functions, qualified and quoted.
    pub handler: String,
    /// The one that runs `DO` blocks.
    pub inline: Option<String>,
    /// The one that checks new functions.
    pub validator: Option<String>,
}

impl Language {
    /// `CREATE LANGUAGE`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut out = format!(
            "CREATE {}PROCEDURAL LANGUAGE {} HANDLER {}",
            if self.trusted { "TRUSTED " } else { "" },
            quote_ident(&object.name),
            self.handler
        );
        for (word, function) in [("INLINE", &self.inline), ("VALIDATOR", &self.validator)] {
            if let Some(function) = function {
                out.push_str(&format!(" {word} {function}"));
            }
        }
        vec![out]
    }

    /// `DROP LANGUAGE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP LANGUAGE IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `LANGUAGE l`.
    pub fn reference(&self, object: &Object) -> String {
        format!("LANGUAGE {}", quote_ident(&object.name))
    }
}
