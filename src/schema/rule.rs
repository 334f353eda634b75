//! Rewrite rules; a view's `_RETURN` rule is the view's own query and none of these.

use super::quote::{qualified, quote_ident};
use super::trigger::Enabled;
use super::{Address, Object, RenderOptions};

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The relation it is on.
    pub table: Address,
    /// That relation's name, unquoted; its schema is the object's.
    pub table_name: String,
    /// The statement as `pg_get_ruledef` writes it, without the semicolon.
    pub statement: String,
    /// When it fires.
    pub enabled: Enabled,
}

impl Rule {
    /// The rule, and its state where it is not the usual one.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut out = vec![self.statement.clone()];
        if self.enabled != Enabled::Origin {
            out.push(format!(
                "ALTER TABLE {} {} RULE {}",
                self.table_of(object),
                self.enabled.words(),
                quote_ident(&object.name)
            ));
        }
        out
    }

    /// `DROP RULE`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP RULE IF EXISTS {} ON {}", quote_ident(&object.name), self.table_of(object))]
    }

    /// `RULE r ON s.t`.
    pub fn reference(&self, object: &Object) -> String {
        format!("RULE {} ON {}", quote_ident(&object.name), self.table_of(object))
    }

    fn table_of(&self, object: &Object) -> String {
        qualified(object.namespace.as_deref().unwrap_or_default(), &self.table_name)
    }
}
