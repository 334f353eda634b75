//! Roles, which belong to the server: `--roles` makes those that the target lacks (`dumpRoles`, `dumpRoleMembership` in
//! `src/bin/pg_dump/pg_dumpall.c`).
//!
//! Invariant: a password is written into `CREATE ROLE` and nowhere else.

use std::fmt;

use super::quote::{quote_ident, quote_literal};
use super::{Setting, bridge};

/// A role of the source.
#[derive(Clone, Default)]
pub struct Role {
    /// Its name, unquoted.
    pub name: String,
    /// `SUPERUSER`
    pub superuser: bool,
    /// `INHERIT`
    pub inherit: bool,
    /// `CREATEROLE`
    pub create_role: bool,
    /// `CREATEDB`
    pub create_database: bool,
    /// `LOGIN`
    pub login: bool,
    /// `REPLICATION`
    pub replication: bool,
    /// `BYPASSRLS`
    pub bypass_row_security: bool,
    /// `CONNECTION LIMIT`; -1: none.
    pub connection_limit: i32,
    /// `VALID UNTIL`
    pub valid_until: Option<String>,
    /// Its password as the server stores it; `None`: it has none, or it could not be read.
    pub password: Option<String>,
    /// Comment on it.
    pub comment: Option<String>,
    /// `ALTER ROLE … SET`, for all databases.
    pub settings: Vec<Setting>,
}

/// Without the password.
impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What whoever makes roles may give to them (`CreateRole` in `src/backend/commands/user.c`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Giver {
    /// Everything.
    pub superuser: bool,
    /// `CREATEDB`
    pub create_database: bool,
    /// `REPLICATION`
    pub replication: bool,
    /// `BYPASSRLS`
    pub bypass_row_security: bool,
}

/// That a role is a member of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The role that is granted, unquoted.
    pub role: String,
    /// Who is a member of it, unquoted.
    pub member: String,
    /// Who granted it, unquoted; `None`: the server's first superuser, or somebody who is no more.
    pub grantor: Option<String>,
    /// `ADMIN OPTION`
    pub admin: bool,
    /// `INHERIT OPTION` (16 and later); `None`: as the member's attribute says.
    pub inherit: Option<bool>,
    /// `SET OPTION` (16 and later)
    pub set: bool,
}

impl Role {
    /// `CREATE ROLE` and what belongs to it, without the attributes that `giver` cannot give.
    pub fn create(&self, giver: Giver) -> Vec<String> {
        let name = quote_ident(&self.name);
        let mut sql = format!("CREATE ROLE {name}");
        let words = [
            (self.superuser && giver.superuser, "SUPERUSER"),
            (!self.inherit, "NOINHERIT"),
            (self.create_role, "CREATEROLE"),
            (self.create_database && (giver.superuser || giver.create_database), "CREATEDB"),
            (self.login, "LOGIN"),
            (self.replication && (giver.superuser || giver.replication), "REPLICATION"),
            (self.bypass_row_security && (giver.superuser || giver.bypass_row_security), "BYPASSRLS"),
        ];
        for (_, word) in words.iter().filter(|(given, _)| *given) {
            sql += &format!(" {word}");
        }
        if self.connection_limit != -1 {
            sql += &format!(" CONNECTION LIMIT {}", self.connection_limit);
        }
        if let Some(password) = &self.password {
            sql += &format!(" PASSWORD {}", quote_literal(password));
        }
        if let Some(until) = &self.valid_until {
            sql += &format!(" VALID UNTIL {}", quote_literal(until));
        }
        let mut out = vec![sql];
        if let Some(comment) = &self.comment {
            out.push(format!("COMMENT ON ROLE {name} IS {}", quote_literal(comment)));
        }
        out
    }

    /// Its settings for a server of this version, a statement each, and what is said otherwise there.
    pub fn settings(&self, version: u32) -> (Vec<String>, Vec<String>) {
        let name = quote_ident(&self.name);
        let (settings, said) = bridge::settings(&self.settings, version);
        (settings.iter().map(|setting| format!("ALTER ROLE {name} {}", setting.clause())).collect(), said)
    }

    /// Attributes that it is made without, because `giver` cannot give them.
    pub fn withheld(&self, giver: Giver) -> Vec<&'static str> {
        if giver.superuser {
            return Vec::new();
        }
        let words = [
            (self.superuser, "SUPERUSER"),
            (self.create_database && !giver.create_database, "CREATEDB"),
            (self.replication && !giver.replication, "REPLICATION"),
            (self.bypass_row_security && !giver.bypass_row_security, "BYPASSRLS"),
        ];
        words.into_iter().filter(|(given, _)| *given).map(|(_, word)| word).collect()
    }
}

impl Membership {
    /// `GRANT`, for a target of this version; `granted_by`: in the grantor's name.
    pub fn grant(&self, target_version: u32, granted_by: bool) -> String {
        let (role, member) = (quote_ident(&self.role), quote_ident(&self.member));
        let mut options = Vec::new();
        if target_version >= 160_000 {
            options.extend(self.admin.then(|| "ADMIN OPTION".to_owned()));
            options.extend(self.inherit.map(|inherit| format!("INHERIT {}", word(inherit))));
            options.extend((!self.set).then(|| "SET FALSE".to_owned()));
        } else if self.admin {
            options.push("ADMIN OPTION".to_owned());
        }
        let with = if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(", ")) };
        let by = self.grantor.as_ref().filter(|_| granted_by);
        let by = by.map(|grantor| format!(" GRANTED BY {}", quote_ident(grantor))).unwrap_or_default();
        format!("GRANT {role} TO {member}{with}{by}")
    }
}

fn word(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

/// Memberships in an order in which each grantor has the right to grant when it is its turn; those that no order gives
/// that right come last, to be granted in nobody's name. The flag says which.
pub fn in_order(memberships: Vec<Membership>) -> Vec<(Membership, bool)> {
    let mut admins: std::collections::HashSet<(String, String)> = std::collections::HashSet::new();
    let (mut out, mut left) = (Vec::with_capacity(memberships.len()), memberships);
    loop {
        let before = left.len();
        let (ready, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|m| match &m.grantor {
            None => true,
            Some(grantor) => admins.contains(&(m.role.clone(), grantor.clone())),
        });
        left = rest;
        for membership in ready {
            if membership.admin {
                admins.insert((membership.role.clone(), membership.member.clone()));
            }
            out.push((membership, true));
        }
        if left.len() == before {
            out.extend(left.into_iter().map(|m| (m, false)));
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_by_who_makes_it() {
        let role = Role {
            name: "A b".into(),
            superuser: true,
            login: true,
            inherit: true,
            bypass_row_security: true,
            connection_limit: 3,
            password: Some("SCRAM-SHA-256$geheim".into()),
            settings: vec![Setting { name: "search_path".into(), value: "a, b".into() }],
            ..Role::default()
        };
        assert_eq!(
            role.create(Giver { superuser: true, ..Giver::default() }),
            [
                "CREATE ROLE \"A b\" SUPERUSER LOGIN BYPASSRLS CONNECTION LIMIT 3 PASSWORD 'SCRAM-SHA-256$geheim'"
            ]
        );
        assert!(role.create(Giver::default())[0].starts_with("CREATE ROLE \"A b\" LOGIN CONN"));
        assert_eq!(role.withheld(Giver::default()), ["SUPERUSER", "BYPASSRLS"]);
        assert_eq!(role.settings(180_000).0, ["ALTER ROLE \"A b\" SET search_path TO 'a', 'b'"]);
        assert!(!format!("{role:?}").contains("geheim"));
    }

    #[test]
    fn grantors_are_granted_to_first() {
        let grant = |role: &str, member: &str, grantor: Option<&str>, admin| Membership {
            role: role.into(),
            member: member.into(),
            grantor: grantor.map(str::to_owned),
            admin,
            inherit: Some(false),
            set: true,
        };
        let order = in_order(vec![
            grant("r", "c", Some("b"), false),
            grant("r", "b", Some("a"), true),
            grant("r", "a", None, true),
            grant("r", "x", Some("gone"), false),
        ]);
        let grants: Vec<String> = order.iter().map(|(m, by)| m.grant(160_000, *by)).collect();
        assert_eq!(
            grants,
            [
                "GRANT r TO a WITH ADMIN OPTION, INHERIT FALSE",
                "GRANT r TO b WITH ADMIN OPTION, INHERIT FALSE GRANTED BY a",
                "GRANT r TO c WITH INHERIT FALSE GRANTED BY b",
                "GRANT r TO x WITH INHERIT FALSE"
            ]
        );
        assert_eq!(order[1].0.grant(150_000, true), "GRANT r TO b WITH ADMIN OPTION GRANTED BY a");
    }
}
