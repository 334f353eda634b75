//! What a newer source grants and an older target does not know: roles that are the server's own, the privilege MAINTAIN.
//!
//! Such a grant is left out and said: nobody can make the role there, and to have fewer rights opens nothing. (That such a
//! role owns something, or that a policy is for it, is another matter: Validate refuses it, as any role that is missing.)

use super::acl::AclItem;
use super::bridge::Bridged;
use super::quote::quote_ident;
use super::{Definition, Schema};

/// The server's own roles, and since which `server_version_num` (`src/include/catalog/pg_authid.dat`).
const ROLES: [(&str, u32); 11] = [
    ("pg_read_server_files", 110_000),
    ("pg_write_server_files", 110_000),
    ("pg_execute_server_program", 110_000),
    ("pg_read_all_data", 140_000),
    ("pg_write_all_data", 140_000),
    ("pg_database_owner", 140_000),
    ("pg_checkpoint", 150_000),
    ("pg_use_reserved_connections", 160_000),
    ("pg_create_subscription", 160_000),
    ("pg_maintain", 170_000),
    ("pg_signal_autovacuum_worker", 180_000),
];

/// Since when there is MAINTAIN on tables (`m` in an item).
const MAINTAIN: u32 = 170_000;

/// Whether `role` is the server's own and a server of this `server_version_num` has none of that name.
pub fn is_unknown(role: &str, version: u32) -> bool {
    ROLES.iter().any(|(name, since)| *name == role && version < *since)
}

/// Leaves out what a target of this `server_version_num` does not know; says what, and of which objects.
pub(super) fn leave_out(schema: &mut Schema, target: u32) -> Vec<Bridged> {
    if schema.server_version / 10_000 <= target / 10_000 {
        return Vec::new();
    }
    let mut left: Vec<(String, Vec<String>)> = Vec::new();
    let mut say = |what: String, object: &str| match left.iter_mut().find(|(known, _)| *known == what) {
        Some((_, objects)) if objects.iter().any(|o| o == object) => {}
        Some((_, objects)) => objects.push(object.to_owned()),
        None => left.push((what, vec![object.to_owned()])),
    };
    for object in &mut schema.objects {
        let reference = object.reference();
        let owner = object.owner.clone();
        let mut lists: Vec<&mut Vec<AclItem>> = Vec::new();
        if let Definition::DefaultAcl(defaults) = &mut object.definition {
            lists.extend([&mut defaults.base, &mut defaults.items]);
        }
        for part in object.acl.iter_mut().flat_map(|acl| &mut acl.parts) {
            lists.extend([&mut part.base, &mut part.items]);
        }
        for list in lists {
            known(list, owner.as_deref(), target, |what| say(what, &reference));
        }
    }
    let database = format!("DATABASE {}", quote_ident(&schema.database.name));
    if let Some((base, items)) = &mut schema.database.acl {
        [base, items].into_iter().for_each(|list| known(list, None, target, |what| say(what, &database)));
    }
    let said = |(what, objects): (String, Vec<String>)| {
        let more = objects.len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = objects.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        Bridged {
            object: what,
            message: format!("not known to the target's version, left out of the grants on {shown}{more}"),
        }
    };
    left.into_iter().map(said).collect()
}

/// Takes from a list what the version does not know; the entry of the owner (that of `public` is such a role) goes with the owner.
fn known(items: &mut Vec<AclItem>, owner: Option<&str>, version: u32, mut say: impl FnMut(String)) {
    items.retain(|item| match &item.grantee {
        Some(role) if is_unknown(role, version) && owner != Some(role) => {
            say(format!("role {}", quote_ident(role)));
            false
        }
        _ => true,
    });
    if version < MAINTAIN {
        for item in items.iter_mut() {
            // Whoever has all of them is given all there are.
            let all = item.privileges.len() == 8;
            let before = item.privileges.len();
            item.privileges.retain(|(letter, _)| *letter != 'm');
            if item.privileges.len() < before && !all {
                say("privilege MAINTAIN".to_owned());
            }
        }
        items.retain(|item| !item.privileges.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::super::acl::{Acl, AclOn, AclPart};
    use super::super::{Address, Object, Table};
    use super::*;

    #[test]
    fn roles_and_privileges_that_came_later_are_left_out() {
        let items = |texts: &[&str]| texts.iter().filter_map(|t| AclItem::parse(t)).collect::<Vec<_>>();
        let part = AclPart {
            on: AclOn::Itself,
            base: items(&["me=arwdDxtm/me"]),
            items: items(&[
                "me=arwdDxtm/me",
                "pg_maintain=r/me",
                "pg_read_all_data=r/me",
                "a=rm/me",
                "b=m/me",
            ]),
        };
        let object = Object {
            address: Address::relation(1),
            namespace: Some("s".into()),
            name: "t".into(),
            parent: None,
            owner: Some("me".into()),
            acl: Some(Acl { parts: vec![part] }),
            comments: Vec::new(),
            definition: Definition::Table(Table::default()),
        };
        let mut schema = Schema { server_version: 180_000, objects: vec![object], ..Schema::default() };
        assert!(leave_out(&mut schema, 180_001).is_empty());
        let said = leave_out(&mut schema, 160_002);
        let said: Vec<String> = said.into_iter().map(|b| format!("{}: {}", b.object, b.message)).collect();
        assert_eq!(
            said,
            [
                "role pg_maintain: not known to the target's version, left out of the grants on TABLE s.t",
                "privilege MAINTAIN: not known to the target's version, left out of the grants on TABLE s.t"
            ]
        );
        let left = schema.objects[0].acl.as_ref().map(|acl| acl.parts[0].clone()).unwrap();
        assert_eq!(left.base, items(&["me=arwdDxt/me"]));
        assert_eq!(left.items, items(&["me=arwdDxt/me", "pg_read_all_data=r/me", "a=r/me"]));
    }
}
