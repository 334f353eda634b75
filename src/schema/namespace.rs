//! Schemas.
//!
//! `public` is special: initdb makes it in every database, its standing privileges and owner changed in
//! PostgreSQL 15, and an operator may have dropped it. Its statements lead to the same end from each of these.

use super::acl::{AclItem, AclTarget};
use super::quote::quote_ident;
use super::{Object, RenderOptions};

/// The comment that initdb puts on schema `public`.
const STANDARD_COMMENT: &str = "standard public schema";

/// A schema; it has nothing beyond what every object has.
#[derive(Clone, Debug, Default)]
pub struct Namespace {}

impl Namespace {
    /// The statements that make it.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let unless = if is_public(object) { "IF NOT EXISTS " } else { "" };
        vec![format!("CREATE SCHEMA {unless}{}", quote_ident(&object.name))]
    }

    /// The statements that drop it; `public` stays, because an empty database has it.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        if is_public(object) {
            return Vec::new();
        }
        vec![format!("DROP SCHEMA IF EXISTS {}", quote_ident(&object.name))]
    }

    /// What takes from `public` the comment and the grants to roles that it has collected; its owner, and what PUBLIC may do, the
    /// statements that make it set in any case.
    pub(super) fn reset_public(object: &Object) -> Vec<String> {
        let mut out = Vec::new();
        if object.comments.first().map(|c| c.text.as_str()) != Some(STANDARD_COMMENT) {
            out.push(format!("COMMENT ON SCHEMA public IS '{STANDARD_COMMENT}'"));
        }
        let items = object.acl.iter().flat_map(|acl| &acl.parts).flat_map(|part| &part.items);
        let mut roles: Vec<&str> = items.filter_map(|item| item.grantee.as_deref()).collect();
        roles.sort_unstable();
        roles.dedup();
        for role in roles.into_iter().filter(|r| Some(*r) != object.owner.as_deref()) {
            out.push(format!("REVOKE ALL ON SCHEMA public FROM {} CASCADE", quote_ident(role)));
        }
        out
    }

    /// `SCHEMA s`.
    pub fn reference(&self, object: &Object) -> String {
        format!("SCHEMA {}", quote_ident(&object.name))
    }

    /// `ALTER SCHEMA … OWNER TO`: for `public` in any case, where it changes nothing if the owner is right.
    pub(super) fn owner(&self, object: &Object, options: &RenderOptions) -> Option<String> {
        let owner = object.owner.as_deref()?;
        // The role came with 14; before, the bootstrap superuser owned `public`, and stays.
        let unknown = owner == "pg_database_owner" && options.target_version.is_some_and(|v| v < 140_000);
        let implied = !is_public(object) && options.current_user.as_deref() == Some(owner);
        (!unknown && !implied)
            .then(|| format!("ALTER {} OWNER TO {}", self.reference(object), quote_ident(owner)))
    }

    /// Text of the comment to set: for `public` not the one that is there anyway, and none where that was removed.
    pub(super) fn public_comment(text: Option<&str>) -> Option<String> {
        match text {
            Some(STANDARD_COMMENT) => None,
            text => Some(text.unwrap_or_default().to_owned()),
        }
    }

    /// Grants and revokes on `public`: `base` is what an old or a new server may have put there, so PUBLIC is
    /// first stripped of everything.
    pub(super) fn public_acl(target: &AclTarget<'_>, items: &[AclItem]) -> Vec<String> {
        let mut out = vec![format!("REVOKE ALL ON {} FROM PUBLIC", target.phrase)];
        let owner = target.owner.unwrap_or_default();
        let base = [AclItem {
            grantee: Some(owner.to_owned()),
            privileges: vec![('U', false), ('C', false)],
            grantor: owner.to_owned(),
        }];
        out.extend(target.statements(&base, items));
        out
    }
}

/// Whether it is the schema that initdb makes.
pub(super) fn is_public(object: &Object) -> bool {
    object.name == "public"
}
