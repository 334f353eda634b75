//! Aggregates.

use super::{Object, RenderOptions};

/// An aggregate: plain, ordered-set or hypothetical-set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// Its arguments with modes, names and `ORDER BY`, or `*`.
    pub arguments: String,
    /// Its arguments' types alone, as `GRANT … ON FUNCTION` wants them.
    pub types: String,
    /// The definition's items in order: `SFUNC` and its value, …; a value may be empty (`FINALFUNC_EXTRA`).
    pub items: Vec<(&'static str, String)>,
}

impl Aggregate {
    /// `CREATE AGGREGATE`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let item = |(word, value): &(&str, String)| match value.as_str() {
            "" => format!("\n    {word}"),
            _ => format!("\n    {word} = {value}"),
        };
        let items: Vec<String> = self.items.iter().map(item).collect();
        vec![format!("CREATE AGGREGATE {} ({}\n)", self.signature(object), items.join(","))]
    }

    /// `DROP AGGREGATE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP AGGREGATE IF EXISTS {}", self.signature(object))]
    }

    /// `AGGREGATE s.a(integer)`.
    pub fn reference(&self, object: &Object) -> String {
        format!("AGGREGATE {}", self.signature(object))
    }

    /// `FUNCTION s.a(integer)`: there is no `GRANT ON AGGREGATE`.
    pub(super) fn acl_phrase(&self, object: &Object) -> String {
        format!("FUNCTION {}({})", object.qualified_name(), self.types)
    }

    /// `s.a(integer)`.
    pub fn signature(&self, object: &Object) -> String {
        format!("{}({})", object.qualified_name(), self.arguments)
    }
}
