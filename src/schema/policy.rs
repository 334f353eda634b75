//! Row security policies. Whether a table's row security is on is a property of the table, switched on after its rows are in.

use super::quote::{qualified, quote_ident};
use super::{Address, Object, RenderOptions};

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The table it is on.
    pub table: Address,
    /// That table's name, unquoted; its schema is the object's.
    pub table_name: String,
    /// `AS PERMISSIVE`, as opposed to `AS RESTRICTIVE`.
    pub permissive: bool,
    /// `FOR …`; `None`: for all commands.
    pub command: Option<&'static str>,
    /// The roles it is for, unquoted; empty: `PUBLIC`.
    pub roles: Vec<String>,
    /// `USING`, as SQL.
    pub using: Option<String>,
    /// `WITH CHECK`, as SQL.
    pub check: Option<String>,
}

impl Policy {
    /// `CREATE POLICY`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut out = format!("CREATE POLICY {} ON {}", quote_ident(&object.name), self.table_of(object));
        if !self.permissive {
            out.push_str(" AS RESTRICTIVE");
        }
        if let Some(command) = self.command {
            out.push_str(" FOR ");
            out.push_str(command);
        }
        if !self.roles.is_empty() {
            let roles: Vec<String> = self.roles.iter().map(|r| quote_ident(r)).collect();
            out.push_str(&format!(" TO {}", roles.join(", ")));
        }
        if let Some(using) = &self.using {
            out.push_str(&format!(" USING ({using})"));
        }
        if let Some(check) = &self.check {
            out.push_str(&format!(" WITH CHECK ({check})"));
        }
        vec![out]
    }

    /// `DROP POLICY`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP POLICY IF EXISTS {} ON {}", quote_ident(&object.name), self.table_of(object))]
    }

    /// `POLICY p ON s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("POLICY {} ON {}", quote_ident(&object.name), self.table_of(object))
    }

    fn table_of(&self, object: &Object) -> String {
        qualified(object.namespace.as_deref().unwrap_or_default(), &self.table_name)
    }
}
