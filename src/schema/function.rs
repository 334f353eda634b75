//! Functions, window functions and procedures.

use super::{Object, RenderOptions};

/// A function, window function or procedure.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Whether it is a procedure (11 and later).
    pub procedure: bool,
    /// Its arguments as they identify it: modes, names and types, no defaults.
    pub arguments: String,
    /// The whole `CREATE FUNCTION`, as `pg_get_functiondef` gives it, without `OR REPLACE`.
    pub definition: String,
    /// Whether its body was parsed when it was made (`BEGIN ATOMIC`, 14 and later): what it uses must be there.
    pub parsed_body: bool,
    /// What the server loads for it, as it stands behind `LANGUAGE`: `c AS 'library', 'symbol'`, `internal AS 'symbol'`.
    pub loaded: Option<String>,
}

impl Function {
    /// `CREATE FUNCTION` or `CREATE PROCEDURE`.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![self.definition.clone()]
    }

    /// `DROP FUNCTION` or `DROP PROCEDURE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP {} IF EXISTS {}", self.word(), self.signature(object))]
    }

    /// `FUNCTION s.f(integer)`.
    pub fn reference(&self, object: &Object) -> String {
        format!("{} {}", self.word(), self.signature(object))
    }

    /// `s.f(integer)`.
    pub fn signature(&self, object: &Object) -> String {
        format!("{}({})", object.qualified_name(), self.arguments)
    }

    fn word(&self) -> &'static str {
        if self.procedure { "PROCEDURE" } else { "FUNCTION" }
    }
}

/// What `pg_get_functiondef` gives, as a statement that refuses to replace anything.
pub fn plain_create(definition: &str) -> String {
    let text = definition.trim_end_matches('\n');
    match text.strip_prefix("CREATE OR REPLACE ") {
        Some(rest) => format!("CREATE {rest}"),
        None => text.to_owned(),
    }
}
