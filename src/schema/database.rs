//! The database itself: what `CREATE DATABASE` decides for ever, and what can be set afterwards (`dumpDatabase` in
//! `pg_dump.c`).
//!
//! Invariant: [`Database::properties`] is set when all else is done, because a setting, a limit or a grant among it may
//! lock out whoever comes next.

use super::acl::{AclItem, AclKind, AclTarget};
use super::quote::{quote_ident, quote_literal};
use super::{RenderOptions, Setting, bridge};

/// A database.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// Its name, unquoted.
    pub name: String,
    /// Its owner, unquoted.
    pub owner: String,
    /// Its encoding's name.
    pub encoding: String,
    /// `LC_COLLATE`
    pub collate: String,
    /// `LC_CTYPE`
    pub ctype: String,
    /// `libc`, `icu` (15 and later), `builtin` (17 and later)
    pub provider: &'static str,
    /// The provider's own locale, where it is not libc.
    pub locale: Option<String>,
    /// `ICU_RULES` (16 and later)
    pub icu_rules: Option<String>,
    /// Its tablespace, unquoted, where it is not `pg_default`.
    pub tablespace: Option<String>,
    /// `CONNECTION LIMIT`; -1: none.
    pub connection_limit: i32,
    /// `IS_TEMPLATE`
    pub is_template: bool,
    /// Comment on it.
    pub comment: Option<String>,
    /// Its privileges, where they are not what a new database has, and what that would have.
    pub acl: Option<(Vec<AclItem>, Vec<AclItem>)>,
    /// `ALTER DATABASE … SET`, and `ALTER ROLE … IN DATABASE … SET` of a role.
    pub settings: Vec<(Option<String>, Setting)>,
    /// Security labels: provider and label.
    pub labels: Vec<(String, String)>,
}

impl Database {
    /// `CREATE DATABASE` under this name.
    pub fn create(&self, name: &str, no_tablespaces: bool, target_version: u32) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} WITH TEMPLATE = template0 ENCODING = {}",
            quote_ident(name),
            quote_literal(&self.encoding)
        );
        let mut with = |word: &str, value: &str| sql += &format!(" {word} = {}", quote_literal(value));
        if self.collate == self.ctype && target_version >= 130_000 {
            with("LOCALE", &self.collate);
        } else {
            with("LC_COLLATE", &self.collate);
            with("LC_CTYPE", &self.ctype);
        }
        if target_version >= 150_000 {
            with("LOCALE_PROVIDER", self.provider);
            if let Some(locale) = &self.locale {
                with(if self.provider == "builtin" { "BUILTIN_LOCALE" } else { "ICU_LOCALE" }, locale);
            }
            if let Some(rules) = &self.icu_rules {
                with("ICU_RULES", rules);
            }
        }
        if let Some(tablespace) = self.tablespace.as_ref().filter(|_| !no_tablespaces) {
            sql += &format!(" TABLESPACE = {}", quote_ident(tablespace));
        }
        sql
    }

    /// Everything that is set once it is there, under this name.
    pub fn properties(&self, name: &str, options: &RenderOptions) -> Vec<String> {
        let name = quote_ident(name);
        let mut out = Vec::new();
        if let Some(comment) = &self.comment {
            out.push(format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment)));
        }
        for (provider, label) in &self.labels {
            let (provider, label) = (quote_ident(provider), quote_literal(label));
            out.push(format!("SECURITY LABEL FOR {provider} ON DATABASE {name} IS {label}"));
        }
        for (role, setting) in self.settings_for(options.target_version).0 {
            out.push(match role {
                None => format!("ALTER DATABASE {name} {}", setting.clause()),
                Some(role) => {
                    format!("ALTER ROLE {} IN DATABASE {name} {}", quote_ident(&role), setting.clause())
                }
            });
        }
        if self.is_template {
            out.push(format!("ALTER DATABASE {name} IS_TEMPLATE = true"));
        }
        if self.connection_limit != -1 {
            out.push(format!("ALTER DATABASE {name} CONNECTION LIMIT = {}", self.connection_limit));
        }
        if !options.no_owner && options.current_user.as_ref() != Some(&self.owner) {
            out.push(format!("ALTER DATABASE {name} OWNER TO {}", quote_ident(&self.owner)));
        }
        if let Some((base, items)) = self.acl.as_ref().filter(|_| !options.no_privileges) {
            let phrase = format!("DATABASE {name}");
            let owner = Some(self.owner.as_str());
            let target =
                AclTarget { kind: AclKind::Database, phrase: &phrase, column: None, owner, prefix: "" };
            out.extend(target.statements(base, items));
        }
        out
    }

    /// Its settings as a server of this version takes them, and what is said otherwise there.
    pub fn settings_for(&self, version: Option<u32>) -> (Vec<(Option<String>, Setting)>, Vec<String>) {
        let (mut settings, mut said) = (Vec::with_capacity(self.settings.len()), Vec::new());
        for (role, setting) in &self.settings {
            let (kept, changed) = bridge::settings([setting], version.unwrap_or_default());
            settings.extend(kept.into_iter().map(|setting| (role.clone(), setting)));
            let of = role.as_ref().map_or(String::new(), |r| format!("for role {}: ", quote_ident(r)));
            said.extend(changed.into_iter().map(|what| format!("{of}{what}")));
        }
        (settings, said)
    }

    /// What it has that a plain new database has not, in words; what belongs to its owner and its making left out.
    pub fn peculiarities(&self) -> Vec<String> {
        let mut out: Vec<String> = self
            .settings
            .iter()
            .map(|(role, setting)| {
                let role = role.as_ref().map(|r| format!(" for role {}", quote_ident(r))).unwrap_or_default();
                format!("{}{role}", setting.name)
            })
            .collect();
        out.extend(self.comment.as_ref().map(|_| "its comment".to_owned()));
        out.extend(self.acl.as_ref().map(|_| "its grants".to_owned()));
        out.extend((self.connection_limit != -1).then(|| "its connection limit".to_owned()));
        out
    }

    /// Roles that its properties name: its owner, who has settings, who has grants.
    pub fn roles(&self, no_owner: bool, no_privileges: bool) -> Vec<&str> {
        let items = self.acl.iter().flat_map(|(_, items)| items).filter(|_| !no_privileges);
        let with_settings = self.settings.iter().filter_map(|(role, _)| role.as_deref());
        let owner = (!no_owner).then_some(self.owner.as_str());
        owner.into_iter().chain(with_settings).chain(items.filter_map(|i| i.grantee.as_deref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_by_version() {
        let database = Database {
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            provider: "icu",
            locale: Some("de".into()),
            tablespace: Some("S".into()),
            connection_limit: 5,
            owner: "me".into(),
            settings: vec![(Some("r R".into()), Setting { name: "work_mem".into(), value: "1MB".into() })],
            ..Database::default()
        };
        assert_eq!(
            database.create("a b", false, 180_000),
            "CREATE DATABASE \"a b\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C' LOCALE_PROVIDER = 'icu' \
             ICU_LOCALE = 'de' TABLESPACE = \"S\""
        );
        assert!(!database.create("a", true, 140_000).contains("PROVIDER"));
        let old = |name: &str| (None, Setting { name: name.into(), value: "on".into() });
        let settings = vec![old("force_parallel_mode"), old("default_with_oids"), old("jit")];
        let (kept, said) = Database { settings, ..Database::default() }.settings_for(Some(180_000));
        assert_eq!(kept, [old("debug_parallel_query"), old("jit")]);
        assert_eq!(said.len(), 2);
        assert_eq!(
            database.properties(
                "a",
                &RenderOptions { current_user: Some("me".into()), ..RenderOptions::default() }
            ),
            [
                "ALTER ROLE \"r R\" IN DATABASE a SET work_mem TO '1MB'",
                "ALTER DATABASE a CONNECTION LIMIT = 5"
            ]
        );
    }
}
