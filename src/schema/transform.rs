//! Transforms: how a type's values look inside a procedural language. They live in no schema and belong to nobody.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A transform.
#[derive(Clone, Debug, Default)]
pub struct Transform {
    /// The type.
    pub type_name: String,
    /// The language, unquoted.
    pub language: String,
    /// The function into the language, with its arguments' types.
    pub from_sql: Option<String>,
    /// The function out of it.
    pub to_sql: Option<String>,
}

impl Transform {
    /// `CREATE TRANSFORM`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let ways = [("FROM", &self.from_sql), ("TO", &self.to_sql)];
        let ways: Vec<String> = ways
            .into_iter()
            .filter_map(|(word, function)| Some(format!("{word} SQL WITH FUNCTION {}", function.as_ref()?)))
            .collect();
        vec![format!("CREATE {} ({})", self.reference(object), ways.join(", "))]
    }

    /// `DROP TRANSFORM`.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        vec![format!("DROP TRANSFORM IF EXISTS {}", self.place())]
    }

    /// `TRANSFORM FOR t LANGUAGE l`.
    pub fn reference(&self, _object: &Object) -> String {
        format!("TRANSFORM {}", self.place())
    }

    fn place(&self) -> String {
        format!("FOR {} LANGUAGE {}", self.type_name, quote_ident(&self.language))
    }
}
