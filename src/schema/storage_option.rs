//! Storage options (`pg_class.reloptions`, `pg_attribute.attoptions`) as they stand inside `WITH (…)` and `SET (…)`.
//!
//! Invariant: every value is read back as the same text, whatever it holds.

use super::quote::{quote_ident, quote_literal};

/// `name=value` entries of the catalogs, quoted; `prefix` (`toast.` or nothing) goes before each name.
pub fn storage_options(raw: &[String], prefix: &str) -> Vec<String> {
    let quoted = |entry: &String| {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        let name = quote_ident(name);
        // A value that could be an identifier needs no quotes; pg_dump writes none either.
        let value = if quote_ident(value) == value { value.to_owned() } else { quote_literal(value) };
        format!("{prefix}{name}={value}")
    };
    raw.iter().map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_unless_they_are_words() {
        let raw = ["fillfactor=70".to_owned(), "buffering=off".to_owned(), "n_distinct=-0.5".to_owned()];
        assert_eq!(storage_options(&raw, ""), ["fillfactor='70'", "buffering=off", "n_distinct='-0.5'"]);
        assert_eq!(
            storage_options(&["autovacuum_enabled=false".to_owned()], "toast."),
            ["toast.autovacuum_enabled='false'"]
        );
        assert_eq!(storage_options(&["x=a'b=c".to_owned()], ""), ["x='a''b=c'"]);
    }
}
