//! Text search parsers. They belong to nobody.

use super::{Object, RenderOptions};

/// A text search parser.
#[derive(Clone, Debug, Default)]
pub struct TextSearchParser {
    /// Its functions: `START` and the function, …, in the manual's order.
    pub functions: Vec<(&'static str, String)>,
}

impl TextSearchParser {
    /// `CREATE TEXT SEARCH PARSER`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![format!("CREATE {} ({}\n)", self.reference(object), items(&self.functions))]
    }

    /// `DROP TEXT SEARCH PARSER`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TEXT SEARCH PARSER IF EXISTS {}", object.qualified_name())]
    }

    /// `TEXT SEARCH PARSER s.p`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TEXT SEARCH PARSER {}", object.qualified_name())
    }
}

/// `START = f, …`, one to a line.
pub(super) fn items(functions: &[(&'static str, String)]) -> String {
    let items: Vec<String> =
        functions.iter().map(|(word, function)| format!("\n    {word} = {function}")).collect();
    items.join(",")
}
