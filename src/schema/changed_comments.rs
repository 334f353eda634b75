//! Comments that a user put on what nobody makes anew: members of extensions.
//!
//! pg_dump leaves them out. Invariant: only what was said after the extension was made is said again, so that the comments of
//! the target's version of it stay.

use super::quote::quote_literal;
use super::{Object, RenderOptions};

/// The comments on one member and its parts.
#[derive(Clone, Debug, Default)]
pub struct ChangedComments {
    /// What follows `COMMENT ON`, and the text.
    pub comments: Vec<(String, String)>,
}

impl ChangedComments {
    /// The statements.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        let say = |(on, text): &(String, String)| format!("COMMENT ON {on} IS {}", quote_literal(text));
        self.comments.iter().map(say).collect()
    }

    /// Nothing: they go with the extension.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// A phrase for reports.
    pub fn reference(&self, object: &Object) -> String {
        let on = self.comments.first().map_or_else(|| object.qualified_name(), |(on, _)| on.clone());
        format!("COMMENT ON {on}")
    }
}
