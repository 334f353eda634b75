//! Composite types.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A composite type of its own, not a table's row type.
#[derive(Clone, Debug, Default)]
pub struct CompositeType {
    /// Its relation in `pg_class`.
    pub relation: u32,
    /// Its attributes in order, dropped ones left out.
    pub attributes: Vec<Attribute>,
}

/// An attribute of a composite type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, unquoted.
    pub name: String,
    /// Its type with modifier.
    pub type_name: String,
    /// Its collation, qualified and quoted, where it is not its type's.
    pub collation: Option<String>,
}

impl CompositeType {
    /// `CREATE TYPE … AS (…)`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let attributes: Vec<String> = self.attributes.iter().map(Attribute::definition).collect();
        vec![format!("CREATE TYPE {} AS ({}\n)", object.qualified_name(), attributes.join(","))]
    }

    /// `DROP TYPE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TYPE IF EXISTS {}", object.qualified_name())]
    }

    /// `TYPE s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("TYPE {}", object.qualified_name())
    }
}

impl Attribute {
    fn definition(&self) -> String {
        let collation = self.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
        format!("\n\t{} {}{collation}", quote_ident(&self.name), self.type_name)
    }
}
