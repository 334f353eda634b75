//! Foreign servers.

use super::foreign_option::ForeignOptions;
use super::quote::{quote_ident, quote_literal};
use super::{Object, RenderOptions};

/// A foreign server.
#[derive(Clone, Debug, Default)]
pub struct ForeignServer {
    /// Its wrapper, unquoted.
    pub wrapper: String,
    /// `TYPE`
    pub server_type: Option<String>,
    /// `VERSION`
    pub version: Option<String>,
    /// Its options.
    pub options: ForeignOptions,
}

impl ForeignServer {
    /// `CREATE SERVER`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut sql = format!("CREATE SERVER {}", quote_ident(&object.name));
        for (word, value) in [("TYPE", &self.server_type), ("VERSION", &self.version)] {
            if let Some(value) = value {
                sql += &format!(" {word} {}", quote_literal(value));
            }
        }
        sql += &format!(" FOREIGN DATA WRAPPER {}", quote_ident(&self.wrapper));
        if let Some(clause) = self.options.clause() {
            sql += &format!(" {clause}");
        }
        vec![sql]
    }

    /// `DROP SERVER`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP SERVER IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `SERVER s`.
    pub fn reference(&self, object: &Object) -> String {
        format!("SERVER {}", quote_ident(&object.name))
    }
}
