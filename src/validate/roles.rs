//! Roles: they belong to the server, not to the database, so they must be there before the objects that name them;
//! and what only a superuser can make.

use std::collections::BTreeSet;

use super::Asked;
use super::facts::{Server, Source, Target};
use super::finding::{Finding, some_of};
use super::named::{self, Use};
use crate::error::Side;
use crate::schema::Schema;
use crate::schema::quote::{qualified, quote_ident};

pub(super) fn judge(
    schema: &Schema,
    source: &Source,
    target: &Server,
    to: &Target,
    asked: Asked<'_>,
    out: &mut Vec<Finding>,
) {
    let carried = |r#use: &Use| match r#use {
        Use::Owner => !asked.restore.no_owner,
        Use::Privilege | Use::DefaultPrivilege | Use::Grantor => !asked.restore.no_privileges,
        Use::Policy | Use::Mapping | Use::Database => true,
    };
    let (mut foreign, mut grantors) = (Vec::new(), Vec::new());
    let mut named = named::roles(schema);
    if asked.restore.create_database {
        for role in schema.database.roles(asked.restore.no_owner, asked.restore.no_privileges) {
            named.entry(role).or_default().insert(Use::Database);
        }
    }
    let may_create = target.superuser || target.may_create_roles;
    let mut created = Vec::new();
    for (role, mut uses) in named {
        uses.retain(carried);
        match to.roles.get(role) {
            _ if uses.is_empty() => {}
            None if asked.restore.roles && may_create && !role.starts_with("pg_") => {
                created.push(quote_ident(role))
            }
            None => out.push(missing(role, &uses)),
            Some(false) if !target.superuser && uses.contains(&Use::Owner) => foreign.push(quote_ident(role)),
            Some(false) if !target.superuser && uses.contains(&Use::Grantor) => {
                grantors.push(quote_ident(role))
            }
            Some(_) => {}
        }
    }
    if asked.restore.roles {
        memberships(source, to, out);
    }
    let own = quote_ident(&target.role);
    if !created.is_empty() {
        let message = format!("roles that the target lacks will be made: {}", some_of(&created));
        out.push(Finding::notice("roles-created", message).on(Side::Target).about(created[0].clone()));
    }
    if asked.restore.roles && !may_create {
        out.push(
            Finding::error(
                "target-no-createrole",
                format!("role {own} may not create roles, as --roles asks"),
            )
            .on(Side::Target)
            .about(own.clone())
            .mend(format!("ALTER ROLE {own} CREATEROLE;")),
        );
    }
    if !foreign.is_empty() {
        let grants: Vec<String> = foreign.iter().map(|role| format!("GRANT {role} TO {own};")).collect();
        out.push(
            Finding::error(
                "target-not-member",
                format!(
                    "role {own} cannot give objects to their owners, because it is not a member of {}",
                    some_of(&foreign)
                ),
            )
            .on(Side::Target)
            .about(foreign[0].clone())
            .mend(format!("{} -- or leave owners off with --no-owner", grants.join(" "))),
        );
    }
    if !grantors.is_empty() {
        let grants: Vec<String> = grantors.iter().map(|role| format!("GRANT {role} TO {own};")).collect();
        let message = format!(
            "role {own} cannot grant what {} granted, because it is not a member of them",
            some_of(&grantors)
        );
        out.push(
            Finding::error("target-not-member", message)
                .on(Side::Target)
                .about(grantors[0].clone())
                .mend(format!("{} -- or leave privileges off with --no-privileges", grants.join(" "))),
        );
    }
    if !target.superuser {
        let functions: Vec<String> = source
            .functions
            .iter()
            .filter(|f| named::has(schema, &f.schema, &f.name))
            .map(|f| format!("{} ({})", qualified(&f.schema, &f.name), f.why))
            .chain(named::for_superusers(schema))
            .collect();
        if !functions.is_empty() {
            out.push(
                Finding::error(
                    "target-needs-superuser",
                    format!("only a superuser can create {}; role {own} is none", some_of(&functions)),
                )
                .on(Side::Target)
                .about(functions[0].clone())
                .mend("connect to the target as a superuser, or leave them out, with what needs them, by --allow-restore-errors"),
            );
        }
    }
}

/// Memberships that `--roles` cannot give, because the role is the server's own and the target's version has it not.
fn memberships(source: &Source, to: &Target, out: &mut Vec<Finding>) {
    let there = |role: &String| to.roles.contains_key(role);
    let lost = |(role, member): &&(String, String)| !there(role) && !there(member);
    let lost: Vec<_> = source.memberships.iter().filter(lost).collect();
    for group in lost.chunk_by(|a, b| a.0 == b.0) {
        let members: Vec<String> = group.iter().map(|(_, member)| quote_ident(member)).collect();
        let role = quote_ident(&group[0].0);
        let message = format!(
            "role {role} is the server's own and the target's version does not have it: its members are made without it: {}",
            some_of(&members)
        );
        out.push(
            Finding::warning("membership-left-out", message)
                .on(Side::Target)
                .about(role)
                .mend("grant by hand what they need of it, or use a target that has it"),
        );
    }
}

fn missing(role: &str, uses: &BTreeSet<Use>) -> Finding {
    let words: Vec<&str> = uses
        .iter()
        .filter_map(|u| {
            Some(match u {
                Use::Owner => "owns objects",
                Use::Privilege => "has privileges",
                Use::Policy => "is named in policies",
                Use::DefaultPrivilege => "has default privileges",
                Use::Mapping => "has user mappings",
                Use::Database => "is named in the database's properties",
                // Who granted was granted.
                Use::Grantor => return None,
            })
        })
        .collect();
    let owner = uses.contains(&Use::Owner);
    let privileges = uses.contains(&Use::Privilege) || uses.contains(&Use::DefaultPrivilege);
    let always = [Use::Policy, Use::Mapping, Use::Database].iter().any(|u| uses.contains(u));
    let way_out = match (always, owner, privileges) {
        (false, true, true) => " -- or leave owners and privileges off with --no-owner --no-privileges",
        (false, true, false) => " -- or leave owners off with --no-owner",
        (false, false, _) => " -- or leave privileges off with --no-privileges",
        (true, ..) => "",
    };
    // The server's own roles (`pg_read_all_data`, …) come with its version; nobody can create one.
    let create = if role.starts_with("pg_") {
        format!("use a target that has it, or a role of your own in its place on the source{way_out}")
    } else {
        format!("CREATE ROLE {};{way_out}", quote_ident(role))
    };
    let role = quote_ident(role);
    Finding::error(
        "role-missing",
        format!("role {role} {} on the source and is not on the target", words.join(", ")),
    )
    .on(Side::Target)
    .about(role.clone())
    .mend(create)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::facts::source::PrivilegedFunction;
    use super::super::testing::{asking, good_server, object, shown};
    use super::*;
    use crate::schema::acl::{Acl, AclItem, AclOn, AclPart};
    use crate::schema::{
        Address, BaseType, Cast, CastMethod, Collation, DefaultAcl, Definition, Function, Language,
        Namespace, Object, OperatorClass, Policy, Table,
    };

    fn owned(owner: &str, definition: Definition) -> Object {
        Object { owner: Some(owner.into()), ..object("F", definition) }
    }

    fn item(grantee: &str, grantor: &str) -> AclItem {
        AclItem { grantee: Some(grantee.into()), privileges: vec![('r', false)], grantor: grantor.into() }
    }

    fn schema() -> Schema {
        let table = || Definition::Table(Table::default());
        let granted = Acl {
            parts: vec![AclPart {
                on: AclOn::Itself,
                base: vec![item("base", "there")],
                items: vec![
                    item("base", "there"),
                    item("granted", "there"),
                    item("pg_new", "there"),
                    item("there", "there"),
                    item("there", "passer"),
                ],
            }],
        };
        let policy = Policy {
            table: Address::relation(1),
            table_name: "t".into(),
            permissive: true,
            command: None,
            roles: vec!["policed".into()],
            using: None,
            check: None,
        };
        let defaults = DefaultAcl { kind: 'r', base: vec![], items: vec![item("both", "both")] };
        Schema {
            objects: vec![
                Object { acl: Some(granted), ..owned("there", table()) },
                owned("foreign", table()),
                owned("Gone", table()),
                owned("both", table()),
                owned("both", Definition::DefaultAcl(defaults)),
                object("p", Definition::Policy(policy)),
                owned("pg_database_owner", Definition::Namespace(Namespace {})),
                owned("there", Definition::Function(Function::default())),
            ],
            ..Schema::default()
        }
    }

    fn source() -> Source {
        let function = |name: &str| PrivilegedFunction {
            schema: "s".into(),
            name: name.into(),
            why: "is written in c".into(),
        };
        Source { functions: vec![function("F"), function("left_out")], ..Source::default() }
    }

    fn target() -> Target {
        let roles = BTreeMap::from([("there".to_owned(), true), ("foreign".to_owned(), false)]);
        Target { roles, ..Target::default() }
    }

    #[test]
    fn an_ordinary_role() {
        let ordinary = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge(&schema(), &source(), &ordinary, &target(), asked, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Error role-missing target ["Gone"]: role "Gone" owns objects on the source and is not on the target
    CREATE ROLE "Gone"; -- or leave owners off with --no-owner
Error role-missing target ["both"]: role "both" owns objects, has default privileges on the source and is not on the target
    CREATE ROLE "both"; -- or leave owners and privileges off with --no-owner --no-privileges
Error role-missing target [granted]: role granted has privileges on the source and is not on the target
    CREATE ROLE granted; -- or leave privileges off with --no-privileges
Error role-missing target [passer]: role passer has privileges on the source and is not on the target
    CREATE ROLE passer; -- or leave privileges off with --no-privileges
Error role-missing target [pg_new]: role pg_new has privileges on the source and is not on the target
    use a target that has it, or a role of your own in its place on the source -- or leave privileges off with --no-privileges
Error role-missing target [policed]: role policed is named in policies on the source and is not on the target
    CREATE ROLE policed;
Error target-not-member target ["foreign"]: role mover cannot give objects to their owners, because it is not a member of "foreign"
    GRANT "foreign" TO mover; -- or leave owners off with --no-owner
Error target-needs-superuser target [s."F" (is written in c)]: only a superuser can create s."F" (is written in c); role mover is none
    connect to the target as a superuser, or leave them out, with what needs them, by --allow-restore-errors
"#);
    }

    #[test]
    fn some_kinds_are_for_superusers() {
        let cast = |method| Cast { source: "s.a".into(), target: "text".into(), method, context: None };
        let kinds = vec![
            Definition::BaseType(BaseType::default()),
            Definition::OperatorClass(OperatorClass { method: "btree".into(), ..OperatorClass::default() }),
            Definition::Language(Language::default()),
            Definition::Cast(cast(CastMethod::Binary)),
            Definition::Cast(cast(CastMethod::InOut)),
            Definition::Collation(Collation::default()),
        ];
        let schema = Schema {
            objects: kinds.into_iter().map(|kind| object("x", kind)).collect(),
            ..Schema::default()
        };
        let ordinary = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        let source = Source::default();
        asking(|_, _| (), |asked| judge(&schema, &source, &ordinary, &target(), asked, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Error target-needs-superuser target [CAST (s.a AS text) (has no function)]: only a superuser can create CAST (s.a AS text) (has no function), LANGUAGE x, OPERATOR CLASS s.x USING btree, TYPE s.x (is a base type); role mover is none
    connect to the target as a superuser, or leave them out, with what needs them, by --allow-restore-errors
"#);
    }

    #[test]
    fn flags_and_superusers_need_less() {
        let mut out = Vec::new();
        asking(
            |_, r| (r.no_owner, r.no_privileges) = (true, true),
            |asked| judge(&schema(), &source(), &good_server(), &target(), asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error role-missing target [policed]: role policed is named in policies on the source and is not on the target
    CREATE ROLE policed;
"#);
    }
}
