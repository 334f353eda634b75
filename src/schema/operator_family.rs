//! Operator families.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// An operator family, with its loose members: the operators and functions that belong to none of its classes.
#[derive(Clone, Debug, Default)]
pub struct OperatorFamily {
    /// Its access method, unquoted.
    pub method: String,
    /// `OPERATOR …` and `FUNCTION …`, in order.
    pub members: Vec<String>,
}

impl OperatorFamily {
    /// `CREATE OPERATOR FAMILY`, and `ALTER … ADD` for the loose members.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut out = vec![format!("CREATE OPERATOR FAMILY {}", self.signature(object))];
        if !self.members.is_empty() {
            let members = self.members.join(",\n    ");
            out.push(format!("ALTER OPERATOR FAMILY {} ADD\n    {members}", self.signature(object)));
        }
        out
    }

    /// `DROP OPERATOR FAMILY`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP OPERATOR FAMILY IF EXISTS {}", self.signature(object))]
    }

    /// `OPERATOR FAMILY s.f USING btree`.
    pub fn reference(&self, object: &Object) -> String {
        format!("OPERATOR FAMILY {}", self.signature(object))
    }

    fn signature(&self, object: &Object) -> String {
        format!("{} USING {}", object.qualified_name(), quote_ident(&self.method))
    }
}
