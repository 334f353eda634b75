//! Operators.
//!
//! Commutators and negators name each other. That is no dependency: the server makes a shell of one that is not there
//! yet, which its own `CREATE OPERATOR` fills.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// An operator.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Type of the left argument; `None` for a prefix operator.
    pub left: Option<String>,
    /// Type of the right argument; `None` for a postfix operator, which 14 and later no longer have.
    pub right: Option<String>,
    /// The definition's items in order, arguments left out: `FUNCTION` and its value, …; a value may be empty (`HASHES`). None
    /// at all: a shell, which comes with the operator that names it.
    pub items: Vec<(&'static str, String)>,
    /// Which of `COMMUTATOR` and `NEGATOR` name an operator that names another one. From 17 on the server refuses that.
    pub one_sided: Vec<&'static str>,
}

impl Operator {
    /// Whether it is only named by another.
    pub fn is_shell(&self) -> bool {
        self.items.is_empty()
    }

    /// `CREATE OPERATOR`; nothing for a shell.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        if self.is_shell() {
            return Vec::new();
        }
        let arguments = [("LEFTARG", &self.left), ("RIGHTARG", &self.right)];
        let arguments =
            arguments.into_iter().filter_map(|(word, t)| Some(format!("{word} = {}", t.as_ref()?)));
        let item = |(word, value): &(&str, String)| match value.as_str() {
            "" => (*word).to_owned(),
            _ => format!("{word} = {value}"),
        };
        let taken = |word: &&(&str, String)| {
            !(self.one_sided.contains(&word.0) && options.target_version.is_some_and(|v| v >= 170_000))
        };
        let items: Vec<String> = arguments.chain(self.items.iter().filter(taken).map(item)).collect();
        vec![format!("CREATE OPERATOR {} (\n    {}\n)", name(object), items.join(",\n    "))]
    }

    /// `DROP OPERATOR`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP OPERATOR IF EXISTS {}", self.signature(object))]
    }

    /// `OPERATOR s.=== (integer, integer)`.
    pub fn reference(&self, object: &Object) -> String {
        format!("OPERATOR {}", self.signature(object))
    }

    /// `s.=== (integer, integer)`.
    fn signature(&self, object: &Object) -> String {
        let of = |t: &Option<String>| t.clone().unwrap_or_else(|| "NONE".to_owned());
        format!("{} ({}, {})", name(object), of(&self.left), of(&self.right))
    }
}

/// An operator's name is never quoted.
fn name(object: &Object) -> String {
    match &object.namespace {
        Some(namespace) => format!("{}.{}", quote_ident(namespace), object.name),
        None => object.name.clone(),
    }
}
