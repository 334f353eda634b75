//! Collations.
//!
//! The version that a collation had is not carried: it is that of the library on the server, and the target's own is
//! what its indexes are built with (`dumpCollation` in `pg_dump.c`).

use super::quote::quote_literal;
use super::{Object, RenderOptions};

/// A collation.
#[derive(Clone, Debug, Default)]
pub struct Collation {
    /// The library behind it: `libc`, `icu`, `builtin`.
    pub provider: &'static str,
    /// Whether strings that differ in bytes are never equal (12 and later can have others).
    pub deterministic: bool,
    /// `LC_COLLATE`, or the locale of a provider that knows only one.
    pub collate: Option<String>,
    /// `LC_CTYPE`, where it is not the same.
    pub ctype: Option<String>,
    /// ICU rules beside the locale's own (16 and later).
    pub rules: Option<String>,
}

impl Collation {
    /// `CREATE COLLATION`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut items = vec![format!("provider = {}", self.provider)];
        if !self.deterministic {
            items.push("deterministic = false".to_owned());
        }
        match (&self.collate, &self.ctype) {
            (Some(collate), Some(ctype)) => {
                items.push(format!("lc_collate = {}", quote_literal(collate)));
                items.push(format!("lc_ctype = {}", quote_literal(ctype)));
            }
            (Some(locale), None) => items.push(format!("locale = {}", quote_literal(locale))),
            _ => {}
        }
        items.extend(self.rules.as_ref().map(|rules| format!("rules = {}", quote_literal(rules))));
        vec![format!("CREATE COLLATION {} ({})", object.qualified_name(), items.join(", "))]
    }

    /// `DROP COLLATION`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP COLLATION IF EXISTS {}", object.qualified_name())]
    }

    /// `COLLATION s.c`.
    pub fn reference(&self, object: &Object) -> String {
        format!("COLLATION {}", object.qualified_name())
    }
}
