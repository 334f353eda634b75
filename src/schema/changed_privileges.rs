//! Privileges that were changed on what nobody makes anew: the server's own objects, and members of extensions.
//!
//! Invariant: what is said is the difference to what the object had at first (`pg_init_privs`), so that whatever the
//! target's version or its extension's version gives beside that stays.

use super::acl::AclKind;
use super::{Object, RenderOptions};

/// The object whose [`Object::acl`] says what was changed; nothing is created.
#[derive(Clone, Debug)]
pub struct ChangedPrivileges {
    /// What the privileges are on.
    pub kind: AclKind,
    /// What follows `ON`: `FUNCTION pg_catalog.pg_sleep(double precision)`.
    pub phrase: String,
}

impl ChangedPrivileges {
    /// Whether the object is the server's own, which belongs to the superuser that initdb made.
    pub fn of_server(&self) -> bool {
        const ALONE: [&str; 5] = [
            "SCHEMA pg_catalog",
            "SCHEMA information_schema",
            "LANGUAGE c",
            "LANGUAGE internal",
            "LANGUAGE sql",
        ];
        let name = self.phrase.split_once(' ').map_or("", |(_, name)| name);
        ["pg_catalog.", "information_schema."].iter().any(|schema| name.starts_with(schema))
            || ALONE.contains(&self.phrase.as_str())
    }

    /// Nothing: it is there.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        Vec::new()
    }

    /// Nothing: a member of an extension goes with it, and the server's own stays.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// A phrase for reports.
    pub fn reference(&self, _object: &Object) -> String {
        format!("ACL {}", self.phrase)
    }
}
