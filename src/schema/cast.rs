//! Casts. They live in no schema and belong to nobody.

use super::{Object, RenderOptions};

/// A cast.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// The type it is from.
    pub source: String,
    /// The type it is to.
    pub target: String,
    /// How it is done.
    pub method: CastMethod,
    /// Where it is done unasked: `IMPLICIT`, `ASSIGNMENT`; `None`: nowhere.
    pub context: Option<&'static str>,
}

/// How a cast is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CastMethod {
    /// The two types are stored alike (`WITHOUT FUNCTION`).
    #[default]
    Binary,
    /// Through their text (`WITH INOUT`).
    InOut,
    /// By this function, with its arguments' types.
    Function(String),
}

impl Cast {
    /// `CREATE CAST`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let method = match &self.method {
            CastMethod::Binary => "WITHOUT FUNCTION".to_owned(),
            CastMethod::InOut => "WITH INOUT".to_owned(),
            CastMethod::Function(function) => format!("WITH FUNCTION {function}"),
        };
        let context = self.context.map(|c| format!(" AS {c}")).unwrap_or_default();
        vec![format!("CREATE {} {method}{context}", self.reference(object))]
    }

    /// `DROP CAST`.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        vec![format!("DROP CAST IF EXISTS ({} AS {})", self.source, self.target)]
    }

    /// `CAST (a AS b)`.
    pub fn reference(&self, _object: &Object) -> String {
        format!("CAST ({} AS {})", self.source, self.target)
    }
}
