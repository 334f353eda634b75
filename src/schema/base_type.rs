//! Base types, and shell types that never became one.

use super::{Object, RenderOptions};

/// A base type. Its input and output functions take or return it, so it is first made as a shell.
#[derive(Clone, Debug, Default)]
pub struct BaseType {
    /// The definition's items in order: `INTERNALLENGTH` and its value, …; a value may be empty (`PASSEDBYVALUE`).
    /// `None`: a shell, and no more.
    pub items: Option<Vec<(&'static str, String)>>,
}

impl BaseType {
    /// `CREATE TYPE`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let Some(items) = &self.items else { return vec![shell(object)] };
        let item = |(word, value): &(&str, String)| match value.as_str() {
            "" => format!("\n    {word}"),
            _ => format!("\n    {word} = {value}"),
        };
        let items: Vec<String> = items.iter().map(item).collect();
        vec![format!("CREATE TYPE {} ({}\n)", object.qualified_name(), items.join(","))]
    }

    /// `DROP TYPE`. The type and its functions need each other, and only `CASCADE` can take them together.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        let cascade = if self.items.is_some() { " CASCADE" } else { "" };
        vec![format!("DROP TYPE IF EXISTS {}{cascade}", object.qualified_name())]
    }

    /// `TYPE s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TYPE {}", object.qualified_name())
    }
}

/// `CREATE TYPE …;`, the shell that functions are declared with.
pub(super) fn shell(object: &Object) -> String {
    format!("CREATE TYPE {}", object.qualified_name())
}
