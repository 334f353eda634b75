//! Text search configurations.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A text search configuration.
#[derive(Clone, Debug, Default)]
pub struct TextSearchConfiguration {
    /// Its parser, qualified and quoted.
    pub parser: String,
    /// Sort of token, unquoted, and the dictionaries asked in order, qualified and quoted.
    pub mappings: Vec<(String, Vec<String>)>,
}

impl TextSearchConfiguration {
    /// `CREATE TEXT SEARCH CONFIGURATION`, and its mappings.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let reference = self.reference(object);
        let create = format!("CREATE {reference} (\n    PARSER = {}\n)", self.parser);
        let mapping = |(token, dictionaries): &(String, Vec<String>)| {
            let (token, dictionaries) = (quote_ident(token), dictionaries.join(", "));
            format!("ALTER {reference}\n    ADD MAPPING FOR {token} WITH {dictionaries}")
        };
        std::iter::once(create).chain(self.mappings.iter().map(mapping)).collect()
    }

    /// `DROP TEXT SEARCH CONFIGURATION`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TEXT SEARCH CONFIGURATION IF EXISTS {}", object.qualified_name())]
    }

    /// `TEXT SEARCH CONFIGURATION s.c`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TEXT SEARCH CONFIGURATION {}", object.qualified_name())
    }
}
