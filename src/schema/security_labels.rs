//! Security labels: what a label provider (a module such as `sepgsql`, loaded into the server) attached to an object and
//! its columns.

use super::quote::{quote_ident, quote_literal};
use super::{Address, Object, RenderOptions};

/// The labels of one object.
#[derive(Clone, Debug)]
pub struct SecurityLabels {
    /// The object.
    pub of: Address,
    /// How `SECURITY LABEL ON` names it.
    pub phrase: String,
    /// The labels, in the order of columns and providers.
    pub labels: Vec<SecurityLabel>,
}

/// One label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityLabel {
    /// The provider, unquoted.
    pub provider: String,
    /// The column it is on, quoted and qualified; `None`: the object itself.
    pub column: Option<String>,
    /// The label.
    pub label: String,
}

impl SecurityLabels {
    /// The statements.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        let label = |l: &SecurityLabel| {
            let place = l.column.as_ref().map_or_else(|| self.phrase.clone(), |c| format!("COLUMN {c}"));
            let provider = quote_ident(&l.provider);
            format!("SECURITY LABEL FOR {provider} ON {place} IS {}", quote_literal(&l.label))
        };
        self.labels.iter().map(label).collect()
    }

    /// Nothing: they go with the object.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// A phrase for reports.
    pub fn reference(&self, _object: &Object) -> String {
        format!("SECURITY LABEL {}", self.phrase)
    }
}
