//! What a user added to an operator family that nobody makes anew: one of an extension's or of the server's.
//!
//! pg_dump leaves it out. Invariant: made once the extension, the operators and the functions are there, and before any
//! index or constraint that could rest on it.

use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// The members added to one family; the object's name is the family's.
#[derive(Clone, Debug, Default)]
pub struct AddedMembers {
    /// The family's access method, unquoted.
    pub method: String,
    /// The members.
    pub members: Vec<AddedMember>,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedMember {
    /// What `ADD` says: `OPERATOR 3 s.===(integer, bigint)`.
    pub add: String,
    /// What `DROP` says: `OPERATOR 3 (integer, bigint)`.
    pub drop: String,
}

impl AddedMembers {
    /// `ALTER OPERATOR FAMILY … ADD`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        vec![self.alter(object, "ADD", |member| &member.add)]
    }

    /// `ALTER OPERATOR FAMILY … DROP`: the family stays, or goes with its extension.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![self.alter(object, "DROP", |member| &member.drop)]
    }

    fn alter(&self, object: &Object, word: &str, member: fn(&AddedMember) -> &String) -> String {
        let members: Vec<&str> = self.members.iter().map(|m| member(m).as_str()).collect();
        let (family, method) = (object.qualified_name(), quote_ident(&self.method));
        format!("ALTER OPERATOR FAMILY {family} USING {method} {word}\n    {}", members.join(",\n    "))
    }

    /// A phrase for reports.
    pub fn reference(&self, object: &Object) -> String {
        format!("MEMBERS OF OPERATOR FAMILY {} USING {}", object.qualified_name(), quote_ident(&self.method))
    }
}
