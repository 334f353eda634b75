//! Comments on what has no statement of its own: members of extensions, and constraints that come with another object (a parent's
//! constraint, a trigger).
//!
//! pg_dump leaves them out. Invariant: of extensions only what was said after the extension was made is said again, so that the
//! comments of the target's version of it stay.

use super::quote::quote_literal;
use super::{Object, RenderOptions};

/// The comments on one member and its parts, or on one constraint.
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
