//! Text search templates: what dictionaries are made of. They belong to nobody.

use super::ts_parser::items;
use super::{Object, RenderOptions};

/// A text search template.
#[derive(Clone, Debug, Default)]
pub struct TextSearchTemplate {
    /// Its functions: `INIT`, where it has one, and `LEXIZE`.
    pub functions: Vec<(&'static str, String)>,
}

impl TextSearchTemplate {
    /// `CREATE TEXT SEARCH TEMPLATE`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![format!("CREATE {} ({}\n)", self.reference(object), items(&self.functions))]
    }

    /// `DROP TEXT SEARCH TEMPLATE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TEXT SEARCH TEMPLATE IF EXISTS {}", object.qualified_name())]
    }

    /// `TEXT SEARCH TEMPLATE s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TEXT SEARCH TEMPLATE {}", object.qualified_name())
    }
}
