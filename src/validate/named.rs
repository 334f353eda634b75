//! What the model of the source's schema asks of the target: roles and extensions by name, functions.
//!
//! The model, not the catalogs: it holds exactly what the filters take, so nothing is asked for that is not needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::schema::{CastMethod, Definition, Object, Schema};

/// Why a role is needed on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    Owner,
    Privilege,
    Policy,
    DefaultPrivilege,
    Mapping,
    Grantor,
    Database,
}

/// Every role that some object names, and why.
pub(super) fn roles(schema: &Schema) -> BTreeMap<&str, BTreeSet<Use>> {
    let mut roles: BTreeMap<&str, BTreeSet<Use>> = BTreeMap::new();
    for object in &schema.objects {
        for (role, why) in named_by(object) {
            roles.entry(role).or_default().insert(why);
        }
    }
    roles
}

fn named_by(object: &Object) -> Vec<(&str, Use)> {
    let mut named = Vec::new();
    let owner = object.owner.as_deref();
    match &object.definition {
        Definition::DefaultAcl(acl) => {
            named.extend(owner.map(|role| (role, Use::DefaultPrivilege)));
            let grantees = acl.items.iter().filter_map(|item| item.grantee.as_deref());
            named.extend(grantees.map(|role| (role, Use::DefaultPrivilege)));
            return named;
        }
        Definition::UserMapping(mapping) => {
            named.extend(mapping.role.as_deref().map(|role| (role, Use::Mapping)));
        }
        Definition::Policy(policy) => named.extend(policy.roles.iter().map(|r| (r.as_str(), Use::Policy))),
        // An extension belongs to whoever creates it.
        Definition::Extension(_) | Definition::ChangedPrivileges(_) => {}
        // The public schema of a newer target belongs to this role already, and that of an older one has its own owner.
        Definition::Namespace(_) if owner == Some("pg_database_owner") => {}
        _ => named.extend(owner.map(|role| (role, Use::Owner))),
    }
    let parts = object.acl.iter().flat_map(|acl| &acl.parts);
    for item in parts.flat_map(|part| part.items.iter().filter(|item| !part.base.contains(item))) {
        named.extend(item.grantee.as_deref().map(|role| (role, Use::Privilege)));
        if owner != Some(item.grantor.as_str()) {
            named.push((item.grantor.as_str(), Use::Privilege));
            named.push((item.grantor.as_str(), Use::Grantor));
        }
    }
    // The owner's own entry says nothing that its ownership does not.
    named.retain(|(role, why)| *why != Use::Privilege || owner != Some(*role));
    named
}

/// Every extension, with its version on the source.
pub(super) fn extensions(schema: &Schema) -> Vec<(&str, &str)> {
    let mut extensions: Vec<(&str, &str)> = schema
        .objects
        .iter()
        .filter_map(|o| match &o.definition {
            Definition::Extension(extension) => Some((o.name.as_str(), extension.version.as_str())),
            _ => None,
        })
        .collect();
    extensions.sort_unstable();
    extensions
}

/// Objects that only a superuser can create, whatever they name (`DefineType`, `DefineOpClass`, `DefineOpFamily`, `CreateCast`,
/// `CreateProceduralLanguage`, `CreateAccessMethod`, `DefineTSParser`, `DefineTSTemplate` in `src/backend/commands`).
pub(super) fn for_superusers(schema: &Schema) -> Vec<String> {
    let only = |object: &&Object| match &object.definition {
        Definition::BaseType(_)
        | Definition::OperatorClass(_)
        | Definition::OperatorFamily(_)
        | Definition::AddedMembers(_)
        | Definition::Language(_)
        | Definition::AccessMethod(_)
        | Definition::TextSearchParser(_)
        | Definition::TextSearchTemplate(_) => true,
        Definition::Cast(cast) => cast.method == CastMethod::Binary,
        _ => false,
    };
    let described = |object: &Object| match &object.definition {
        Definition::BaseType(_) => format!("{} (is a base type)", object.reference()),
        Definition::Cast(_) => format!("{} (has no function)", object.reference()),
        _ => object.reference(),
    };
    let mut found: Vec<String> = schema.objects.iter().filter(only).map(described).collect();
    found.sort();
    found
}

/// Whether a function, aggregate or range type of this name is part of the model.
pub(super) fn has(schema: &Schema, namespace: &str, name: &str) -> bool {
    schema.objects.iter().any(|o| {
        matches!(o.definition, Definition::Function(_) | Definition::Aggregate(_) | Definition::Range(_))
            && o.name == name
            && o.namespace.as_deref() == Some(namespace)
    })
}
