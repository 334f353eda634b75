//! Values of settings as `ALTER DATABASE … SET` and `ALTER ROLE … SET` write them (`makeAlterConfigCommand` in
//! `src/bin/pg_dump/dumputils.c`).
//!
//! Invariant: a value is read back as the same text; a list of names stays a list.

use super::quote::{quote_ident, quote_literal};

/// Settings whose value is a list of quoted names (`GUC_LIST_QUOTE`, `src/backend/utils/misc/guc_tables.c`).
const LISTS: [&str; 7] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
    "extension_control_path",
];

/// A setting of a database or a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, as the catalogs have it.
    pub value: String,
}

impl Setting {
    /// From the catalogs' `name=value`.
    pub fn parse(item: &str) -> Option<Self> {
        let (name, value) = item.split_once('=')?;
        Some(Setting { name: name.to_owned(), value: value.to_owned() })
    }

    /// `SET name TO value`.
    pub fn clause(&self) -> String {
        let name: Vec<String> = self.name.split('.').map(quote_ident).collect();
        let value = if LISTS.contains(&self.name.to_lowercase().as_str()) {
            let items: Vec<String> = names(&self.value).iter().map(|item| quote_literal(item)).collect();
            if items.is_empty() { "''".to_owned() } else { items.join(", ") }
        } else {
            quote_literal(&self.value)
        };
        format!("SET {} TO {value}", name.join("."))
    }
}

/// The names of a list in which each may stand in double quotes.
fn names(list: &str) -> Vec<String> {
    let (mut out, mut name, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            '"' => (quoted, any) = (!quoted, true),
            ',' if !quoted => {
                out.push(std::mem::take(&mut name));
                any = false;
            }
            c if c.is_whitespace() && !quoted => {}
            c => {
                name.push(c);
                any = true;
            }
        }
    }
    if any {
        out.push(name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_lists() {
        let clause = |item: &str| Setting::parse(item).map(|s| s.clause()).unwrap_or_default();
        assert_eq!(
            clause("search_path=\"$user\", public, \"A,\"\"b\""),
            "SET search_path TO '$user', 'public', 'A,\"b'"
        );
        assert_eq!(clause("search_path=\"\""), "SET search_path TO ''");
        assert_eq!(clause("search_path="), "SET search_path TO ''");
        assert_eq!(clause("work_mem=64MB"), "SET work_mem TO '64MB'");
        assert_eq!(clause("app.Some=a, b=c"), "SET app.\"Some\" TO 'a, b=c'");
    }
}
