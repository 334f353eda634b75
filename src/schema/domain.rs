//! Domains.

use super::quote::{quote_ident, quote_literal};
use super::{Address, Object, RenderOptions, class};

/// A domain.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// The type it is made of, with its modifier.
    pub base_type: String,
    /// Its collation, qualified and quoted, where it is not the base type's.
    pub collation: Option<String>,
    /// Its default, as an expression, where it has one of its own.
    pub default: Option<String>,
    /// It has none although its base type has one, which it would take.
    pub no_default: bool,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Name of its NOT NULL constraint, unquoted, where it is not the one that the server would choose (17 and later).
    pub not_null_name: Option<String>,
    /// Comment on that constraint.
    pub not_null_comment: Option<(String, String)>,
    /// Its check constraints, by name.
    pub checks: Vec<DomainCheck>,
}

/// A check constraint of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainCheck {
    /// OID in `pg_constraint`.
    pub oid: u32,
    /// Its name, unquoted.
    pub name: String,
    /// `CHECK (…)`, with `NOT VALID` where it is not.
    pub definition: String,
    /// Whether it is added by a statement of its own after the data: it was never validated, or it needs
    /// something that needs the domain.
    pub separate: bool,
    /// Comment on it.
    pub comment: Option<String>,
}

impl Domain {
    /// `CREATE DOMAIN`, with the checks that are not separate, and comments on them.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let name = object.qualified_name();
        let mut sql = format!("CREATE DOMAIN {name} AS {}", self.base_type);
        if let Some(collation) = &self.collation {
            sql += &format!(" COLLATE {collation}");
        }
        if let Some(constraint) = &self.not_null_name {
            sql += &format!(" CONSTRAINT {}", quote_ident(constraint));
        }
        if self.not_null {
            sql += " NOT NULL";
        }
        if let Some(default) = &self.default {
            sql += &format!(" DEFAULT {default}");
        }
        for check in self.checks.iter().filter(|c| !c.separate) {
            sql += &format!("\n\tCONSTRAINT {} {}", quote_ident(&check.name), check.definition);
        }
        let mut out = vec![sql];
        if self.no_default {
            out.push(format!("ALTER DOMAIN {name} DROP DEFAULT"));
        }
        if let Some((constraint, text)) = &self.not_null_comment {
            out.push(comment_on(&name, constraint, text));
        }
        out.extend(
            self.checks
                .iter()
                .filter(|c| !c.separate)
                .filter_map(|c| c.comment.as_ref().map(|text| comment_on(&name, &c.name, text))),
        );
        out
    }

    /// `ALTER DOMAIN … ADD CONSTRAINT` for a separate check, and its comment.
    pub fn separate_check(&self, object: &Object, check: &DomainCheck) -> Vec<String> {
        let name = object.qualified_name();
        let add =
            format!("ALTER DOMAIN {name} ADD CONSTRAINT {} {}", quote_ident(&check.name), check.definition);
        let comment = check.comment.as_ref().map(|text| comment_on(&name, &check.name, text));
        std::iter::once(add).chain(comment).collect()
    }

    /// Addresses of the checks written with the domain.
    pub fn inline_addresses(&self) -> impl Iterator<Item = Address> {
        self.checks.iter().filter(|c| !c.separate).map(|c| Address::new(class::CONSTRAINT, c.oid))
    }

    /// `DROP DOMAIN`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP DOMAIN IF EXISTS {}", object.qualified_name())]
    }

    /// `DOMAIN s.d`.
    pub fn reference(&self, object: &Object) -> String {
        format!("DOMAIN {}", object.qualified_name())
    }
}

fn comment_on(domain: &str, constraint: &str, text: &str) -> String {
    format!("COMMENT ON CONSTRAINT {} ON DOMAIN {domain} IS {}", quote_ident(constraint), quote_literal(text))
}
