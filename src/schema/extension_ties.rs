//! `ALTER … DEPENDS ON EXTENSION`: an object that goes when an extension goes.

use super::quote::quote_ident;
use super::{Address, Object, RenderOptions};

/// The extensions that one object is tied to.
#[derive(Clone, Debug)]
pub struct ExtensionTies {
    /// The object.
    pub of: Address,
    /// How `ALTER` names it: `FUNCTION s.f(integer)`, `TRIGGER t ON s.t`, `INDEX s.i`.
    pub phrase: String,
    /// The relation that is locked by the statement.
    pub locks: Option<Address>,
    /// The extensions, unquoted.
    pub extensions: Vec<String>,
}

impl ExtensionTies {
    /// The statements.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        let tie = |e: &String| format!("ALTER {} DEPENDS ON EXTENSION {}", self.phrase, quote_ident(e));
        self.extensions.iter().map(tie).collect()
    }

    /// Nothing: they go with the object.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// A phrase for reports.
    pub fn reference(&self, _object: &Object) -> String {
        format!("DEPENDENCY ON EXTENSION OF {}", self.phrase)
    }
}
