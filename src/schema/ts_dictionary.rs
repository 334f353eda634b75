//! Text search dictionaries.
//!
//! The files that a dictionary names belong to the server: they must be on the target's, or making it fails.

use super::{Object, RenderOptions};

/// A text search dictionary.
#[derive(Clone, Debug, Default)]
pub struct TextSearchDictionary {
    /// Its template, qualified and quoted.
    pub template: String,
    /// Its options as the catalog has them, ready to be written.
    pub options: Option<String>,
}

impl TextSearchDictionary {
    /// `CREATE TEXT SEARCH DICTIONARY`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let options = self.options.as_ref().map(|o| format!(",\n    {o}")).unwrap_or_default();
        vec![format!("CREATE {} (\n    TEMPLATE = {}{options}\n)", self.reference(object), self.template)]
    }

    /// `DROP TEXT SEARCH DICTIONARY`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TEXT SEARCH DICTIONARY IF EXISTS {}", object.qualified_name())]
    }

    /// `TEXT SEARCH DICTIONARY s.d`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TEXT SEARCH DICTIONARY {}", object.qualified_name())
    }
}
