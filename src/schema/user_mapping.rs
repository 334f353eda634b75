//! User mappings: who somebody is on a foreign server, and with which password.
//!
//! Invariant: the options are written into `CREATE USER MAPPING` and nowhere else.

use super::foreign_option::ForeignOptions;
use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// A user mapping; [`Object::name`] is the role's name, or `public`.
#[derive(Clone, Debug, Default)]
pub struct UserMapping {
    /// The server, unquoted.
    pub server: String,
    /// The role, unquoted; `None`: every role that has no mapping of its own.
    pub role: Option<String>,
    /// Its options.
    pub options: ForeignOptions,
    /// The connected role may not see whether there are options: the mapping is made without.
    pub hidden: bool,
}

impl UserMapping {
    /// `CREATE USER MAPPING`.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut sql = format!("CREATE USER MAPPING FOR {}", self.place());
        if let Some(clause) = self.options.clause() {
            sql += &format!(" {clause}");
        }
        vec![sql]
    }

    /// `DROP USER MAPPING`.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        vec![format!("DROP USER MAPPING IF EXISTS FOR {}", self.place())]
    }

    /// `USER MAPPING FOR r SERVER s`; it can have no comment.
    pub fn reference(&self, _object: &Object) -> String {
        format!("USER MAPPING FOR {}", self.place())
    }

    fn place(&self) -> String {
        let role = self.role.as_deref().map_or_else(|| "PUBLIC".to_owned(), quote_ident);
        format!("{role} SERVER {}", quote_ident(&self.server))
    }
}
