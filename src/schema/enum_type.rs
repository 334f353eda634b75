//! Enum types.

use super::quote::quote_literal;
use super::{Object, RenderOptions};

/// An enum type.
#[derive(Clone, Debug, Default)]
pub struct EnumType {
    /// Labels in their sort order.
    pub labels: Vec<String>,
}

impl EnumType {
    /// `CREATE TYPE … AS ENUM`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let labels: Vec<String> = self.labels.iter().map(|l| format!("\n    {}", quote_literal(l))).collect();
        vec![format!("CREATE TYPE {} AS ENUM ({}\n)", object.qualified_name(), labels.join(","))]
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
