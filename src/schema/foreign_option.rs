//! Options of foreign-data objects: `OPTIONS (name 'value', …)`, as `pg_options_to_table` splits them.
//!
//! A value may be a password. Invariant: a value is only ever written into a statement; [`std::fmt::Debug`] shows
//! names alone.

use std::fmt;

use super::quote::{quote_ident, quote_literal};

/// The options of a wrapper, server, user mapping, foreign table or a column of one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ForeignOptions(Vec<(String, String)>);

impl ForeignOptions {
    /// From the catalogs' `name=value` items; a name holds no `=`.
    pub fn parse(items: &[String]) -> Self {
        let split = |item: &String| match item.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (item.clone(), String::new()),
        };
        ForeignOptions(items.iter().map(split).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `OPTIONS (…)`; `None` without options.
    pub fn clause(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let items: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("\n    {} {}", quote_ident(name), quote_literal(value)))
            .collect();
        Some(format!("OPTIONS ({}\n)", items.join(",")))
    }
}

impl fmt::Debug for ForeignOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_quoted_and_values_not_shown() {
        let options = ForeignOptions::parse(&["user=a".into(), "Pass word=it's=\\geheim".into()]);
        assert_eq!(
            options.clause().as_deref(),
            Some("OPTIONS (\n    \"user\" 'a',\n    \"Pass word\" E'it''s=\\\\geheim'\n)")
        );
        assert!(!format!("{options:?}").contains("geheim"));
        assert_eq!(ForeignOptions::default().clause(), None);
    }
}
