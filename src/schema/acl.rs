//! Privileges: `aclitem[]` to `GRANT` and `REVOKE` (facts from `src/bin/pg_dump/dumputils.c`, `buildACLCommands`,
//! and `src/backend/utils/adt/acl.c`).
//!
//! Invariant: starting from an object whose privileges are `base`, the statements end at `items`; what both have is not
//! touched, so a privilege that only the target's version knows stays as the target made it.

use std::fmt::Write as _;

use super::quote::quote_ident;

/// Privileges of an object, its columns and its row type, with what they are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// One entry for each part that has privileges of its own.
    pub parts: Vec<AclPart>,
}

/// The privileges of one part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclPart {
    /// The part.
    pub on: AclOn,
    /// What it has when newly created.
    pub base: Vec<AclItem>,
    /// What it has on the source.
    pub items: Vec<AclItem>,
}

/// A part of an object that has privileges of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclOn {
    /// The object itself.
    Itself,
    /// A column of the relation, unquoted.
    Column(String),
    /// The relation's row type.
    RowType,
}

/// One entry of an `aclitem[]`: what one role was given by another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AclItem {
    /// The role, unquoted; `None`: PUBLIC.
    pub grantee: Option<String>,
    /// Privilege letter, and whether with grant option.
    pub privileges: Vec<(char, bool)>,
    /// Who gave it, unquoted.
    pub grantor: String,
}

impl AclItem {
    /// Reads an item's text form, `grantee=privileges/grantor` (`aclitemout`); `None` when it is not one.
    pub fn parse(text: &str) -> Option<AclItem> {
        let (grantee, rest) = take_name(text);
        let rest = rest.strip_prefix('=')?;
        let slash = rest.find('/')?;
        let mut privileges: Vec<(char, bool)> = Vec::new();
        for letter in rest[..slash].chars() {
            match letter {
                '*' => privileges.last_mut()?.1 = true,
                _ => privileges.push((letter, false)),
            }
        }
        let (grantor, rest) = take_name(&rest[slash + 1..]);
        rest.is_empty().then_some(AclItem {
            grantee: (!grantee.is_empty()).then_some(grantee),
            privileges,
            grantor,
        })
    }
}

/// Takes a role name off the front of an item, as `getid` in `acl.c` does: double quotes protect everything,
/// a doubled quote stands for itself.
fn take_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut quoted = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                name.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            '=' | '/' if !quoted => return (name, &text[at..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// What privileges can be on, with the words of `GRANT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclKind {
    /// Tables, views, materialized views.
    Table,
    /// Columns.
    Column,
    /// Sequences.
    Sequence,
    /// Functions, procedures, aggregates.
    Function,
    /// Types and domains.
    Type,
    /// Schemas.
    Schema,
    /// Large objects.
    LargeObject,
    /// Foreign-data wrappers and foreign servers.
    Foreign,
    /// Languages.
    Language,
    /// Databases.
    Database,
}

impl AclKind {
    /// The kind's privileges as the newest version has them: letter and keyword. What an older source calls all is a
    /// list then, and does not give or take what came later.
    fn words(self) -> &'static [(char, &'static str)] {
        match self {
            AclKind::Table => &[
                ('r', "SELECT"),
                ('a', "INSERT"),
                ('x', "REFERENCES"),
                ('d', "DELETE"),
                ('t', "TRIGGER"),
                ('D', "TRUNCATE"),
                ('m', "MAINTAIN"),
                ('w', "UPDATE"),
            ],
            AclKind::Column => &[('r', "SELECT"), ('a', "INSERT"), ('x', "REFERENCES"), ('w', "UPDATE")],
            AclKind::Sequence => &[('r', "SELECT"), ('U', "USAGE"), ('w', "UPDATE")],
            AclKind::Function => &[('X', "EXECUTE")],
            AclKind::Type => &[('U', "USAGE")],
            AclKind::Schema => &[('C', "CREATE"), ('U', "USAGE")],
            AclKind::LargeObject => &[('r', "SELECT"), ('w', "UPDATE")],
            AclKind::Foreign | AclKind::Language => &[('U', "USAGE")],
            AclKind::Database => &[('C', "CREATE"), ('c', "CONNECT"), ('T', "TEMPORARY")],
        }
    }
}

/// What a list of privileges is granted on.
#[derive(Clone, Copy, Debug)]
pub struct AclTarget<'a> {
    /// Its kind.
    pub kind: AclKind,
    /// What follows `ON`: `TABLE s.t`, `FUNCTION s.f(integer)`; for default privileges `TABLES`.
    pub phrase: &'a str,
    /// The column, unquoted.
    pub column: Option<&'a str>,
    /// Its owner, unquoted.
    pub owner: Option<&'a str>,
    /// What goes before each `GRANT` and `REVOKE`: empty, or `ALTER DEFAULT PRIVILEGES … `.
    pub prefix: &'a str,
}

impl AclTarget<'_> {
    /// The statements that lead from `base` to `items`. Order of items is kept, because a grant may rest on the
    /// grant option given by an earlier one; the owner's own come first.
    pub fn statements(&self, base: &[AclItem], items: &[AclItem]) -> Vec<String> {
        let mut first = Vec::new();
        let mut second = Vec::new();
        for item in base.iter().filter(|i| !items.contains(i)) {
            let all: Vec<char> = item.privileges.iter().map(|p| p.0).collect();
            if let Some(words) = self.words(&all) {
                let from = role(item.grantee.as_deref());
                first.push(format!("{}REVOKE {words} ON {} FROM {from}", self.prefix, self.phrase));
            }
        }
        for item in items.iter().filter(|i| !base.contains(i)) {
            let grants = self.grants(item);
            let own = self.owner == Some(item.grantor.as_str());
            let to_self = own && item.grantee.as_deref() == self.owner;
            let out = if to_self { &mut first } else { &mut second };
            if own || self.owner.is_none() || grants.is_empty() {
                out.extend(grants);
            } else {
                // Only the grantor can be recorded as such; the old `GRANTED BY` must name the current user. (pg_dump sets the
                // session's authorization, for which membership in the role does not suffice.)
                out.push(format!("SET ROLE {}", quote_ident(&item.grantor)));
                out.extend(grants);
                out.push("RESET ROLE".to_owned());
            }
        }
        first.append(&mut second);
        first
    }

    fn grants(&self, item: &AclItem) -> Vec<String> {
        let to = role(item.grantee.as_deref());
        let of = |option: bool| -> Vec<char> {
            item.privileges.iter().filter(|p| p.1 == option).map(|p| p.0).collect()
        };
        let mut out = Vec::new();
        for (option, suffix) in [(false, ""), (true, " WITH GRANT OPTION")] {
            if let Some(words) = self.words(&of(option)) {
                out.push(format!("{}GRANT {words} ON {} TO {to}{suffix}", self.prefix, self.phrase));
            }
        }
        out
    }

    /// The list of privileges in words, `ALL` for all of them; `None` when none is left.
    fn words(&self, letters: &[char]) -> Option<String> {
        let known = self.kind.words();
        let chosen: Vec<&str> = known.iter().filter(|(l, _)| letters.contains(l)).map(|(_, w)| *w).collect();
        let words = match chosen.len() {
            0 => return None,
            n if n == known.len() => vec!["ALL"],
            _ => chosen,
        };
        let Some(column) = self.column else { return Some(words.join(",")) };
        let mut out = String::new();
        for word in words {
            let comma = if out.is_empty() { "" } else { "," };
            let _ = write!(out, "{comma}{word}({})", quote_ident(column));
        }
        Some(out)
    }
}

fn role(name: Option<&str>) -> String {
    name.map_or_else(|| "PUBLIC".to_owned(), quote_ident)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(texts: &[&str]) -> Vec<AclItem> {
        texts.iter().map(|t| AclItem::parse(t).unwrap()).collect()
    }

    fn table() -> AclTarget<'static> {
        AclTarget { kind: AclKind::Table, phrase: "TABLE s.t", column: None, owner: Some("own"), prefix: "" }
    }

    #[test]
    fn items_with_awkward_names() {
        let item = AclItem::parse("\"a\"\"=/ b\"=r*w/\"Ünï\"").unwrap();
        assert_eq!(item.grantee.as_deref(), Some("a\"=/ b"));
        assert_eq!(item.privileges, [('r', true), ('w', false)]);
        assert_eq!(item.grantor, "Ünï");
        assert_eq!(AclItem::parse("=X/postgres").unwrap().grantee, None);
        assert_eq!(AclItem::parse("x=/y").unwrap().privileges, []);
        for bad in ["", "x", "x=r", "=*/y"] {
            assert_eq!(AclItem::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_difference_is_said() {
        let base = items(&["own=arwdDxt/own"]);
        assert_eq!(table().statements(&base, &base), Vec::<String>::new());
        let now = items(&["own=arwdDxt/own", "=r/own", "\"B b\"=arwdDxt/own", "new=arwdDxtm/own"]);
        assert_eq!(
            table().statements(&base, &now),
            [
                "GRANT SELECT ON TABLE s.t TO PUBLIC",
                "GRANT SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE s.t TO \"B b\"",
                "GRANT ALL ON TABLE s.t TO new"
            ]
        );
    }

    #[test]
    fn revokes_come_first_and_the_owners_own_before_others() {
        let now = items(&["b=r*/own", "c=r/b", "own=r/own"]);
        assert_eq!(
            table().statements(&items(&["own=arwdDxtm/own"]), &now),
            [
                "REVOKE ALL ON TABLE s.t FROM own",
                "GRANT SELECT ON TABLE s.t TO own",
                "GRANT SELECT ON TABLE s.t TO b WITH GRANT OPTION",
                "SET ROLE b",
                "GRANT SELECT ON TABLE s.t TO c",
                "RESET ROLE",
            ]
        );
    }

    #[test]
    fn columns_name_themselves_in_every_privilege() {
        let target = AclTarget { kind: AclKind::Column, column: Some("A b"), ..table() };
        assert_eq!(
            target.statements(&[], &items(&["=rw/own", "x=arwx/own"])),
            [
                "GRANT SELECT(\"A b\"),UPDATE(\"A b\") ON TABLE s.t TO PUBLIC",
                "GRANT ALL(\"A b\") ON TABLE s.t TO x",
            ]
        );
    }
}
