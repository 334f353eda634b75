//! Default privileges.
//!
//! They are granted with all other privileges, after everything was made: nothing that the migration
//! creates may be touched by them.

use super::acl::{AclItem, AclKind, AclTarget};
use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// The privileges that objects of one kind, made by one role, get from the start. [`Object::namespace`] is the schema
/// they are limited to; [`Object::owner`] is the role.
#[derive(Clone, Debug, Default)]
pub struct DefaultAcl {
    /// `pg_default_acl.defaclobjtype`: `r` tables, `S` sequences, `f` functions, `T` types, `n` schemas, `L` large objects.
    pub kind: char,
    /// What would hold without them: the built-in defaults, or nothing for one schema's, which are added to them.
    pub base: Vec<AclItem>,
    /// What holds.
    pub items: Vec<AclItem>,
}

impl DefaultAcl {
    /// Nothing: see [`DefaultAcl::grants`].
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        Vec::new()
    }

    /// The `ALTER DEFAULT PRIVILEGES` statements.
    pub(super) fn grants(&self, object: &Object) -> Vec<String> {
        self.target(object, |t| t.statements(&self.base, &self.items))
    }

    /// Statements that lead back to the built-in defaults.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        self.target(object, |t| t.statements(&self.items, &self.base))
    }

    /// A phrase for reports; default privileges can have no comment.
    pub fn reference(&self, object: &Object) -> String {
        let role = quote_ident(object.owner.as_deref().unwrap_or_default());
        let schema = object.namespace.as_deref().map(|s| format!(" IN SCHEMA {}", quote_ident(s)));
        format!("DEFAULT PRIVILEGES FOR ROLE {role}{} ON {}", schema.unwrap_or_default(), self.words().1)
    }

    fn target<T>(&self, object: &Object, with: impl Fn(&AclTarget<'_>) -> T) -> T {
        let (kind, phrase) = self.words();
        let role = object.owner.as_deref().unwrap_or_default();
        let schema = object.namespace.as_deref().map(|s| format!("IN SCHEMA {} ", quote_ident(s)));
        let prefix =
            format!("ALTER DEFAULT PRIVILEGES FOR ROLE {} {}", quote_ident(role), schema.unwrap_or_default());
        with(&AclTarget { kind, phrase, column: None, owner: Some(role), prefix: &prefix })
    }

    fn words(&self) -> (AclKind, &'static str) {
        match self.kind {
            'S' => (AclKind::Sequence, "SEQUENCES"),
            'f' => (AclKind::Function, "FUNCTIONS"),
            'T' => (AclKind::Type, "TYPES"),
            'n' => (AclKind::Schema, "SCHEMAS"),
            'L' => (AclKind::LargeObject, "LARGE OBJECTS"),
            _ => (AclKind::Table, "TABLES"),
        }
    }
}
