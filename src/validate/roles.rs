//! Roles: they belong to the server, not to the database, so they must be there before the objects that name them;
//! and functions that only a superuser can make.

use std::collections::BTreeMap;

use super::Asked;
use super::facts::source::Use;
use super::facts::{Server, Source, Target};
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::schema::quote::{qualified, quote_ident};

pub(super) fn judge(source: &Source, target: &Server, to: &Target, asked: Asked<'_>, out: &mut Vec<Finding>) {
    let mut needed: BTreeMap<&str, Vec<Use>> = BTreeMap::new();
    for role_use in &source.roles {
        let in_filter = match &role_use.schema {
            Some(schema) => asked.filter.takes_schema(schema),
            None => asked.filter.is_everything(),
        };
        let carried = match role_use.r#use {
            Use::Owner => !asked.restore.no_owner,
            Use::Privilege | Use::DefaultPrivilege => !asked.restore.no_privileges,
            Use::Policy => true,
        };
        if in_filter && carried {
            needed.entry(&role_use.role).or_default().push(role_use.r#use);
        }
    }
    let mut foreign = Vec::new();
    for (role, mut uses) in needed {
        uses.sort();
        uses.dedup();
        match to.roles.get(role) {
            None => out.push(missing(role, &uses)),
            Some(false) if !target.superuser && uses.contains(&Use::Owner) => foreign.push(quote_ident(role)),
            Some(_) => {}
        }
    }
    let own = quote_ident(&target.role);
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
    if !target.superuser {
        let functions: Vec<String> = source
            .functions
            .iter()
            .filter(|f| asked.filter.takes_schema(&f.schema))
            .map(|f| format!("{} ({})", qualified(&f.schema, &f.name), f.why))
            .collect();
        if !functions.is_empty() {
            out.push(
                Finding::error(
                    "target-needs-superuser",
                    format!("only a superuser can create {}; role {own} is none", some_of(&functions)),
                )
                .on(Side::Target)
                .about(functions[0].clone())
                .mend("connect to the target as a superuser, or leave the functions' schemas out with --exclude-schema"),
            );
        }
    }
}

fn missing(role: &str, uses: &[Use]) -> Finding {
    let words: Vec<&str> = uses
        .iter()
        .map(|u| match u {
            Use::Owner => "owns objects",
            Use::Privilege => "has privileges",
            Use::Policy => "is named in policies",
            Use::DefaultPrivilege => "has default privileges",
        })
        .collect();
    let way_out = match uses {
        [Use::Owner] => " -- or leave owners off with --no-owner",
        _ if uses.iter().all(|u| matches!(u, Use::Privilege | Use::DefaultPrivilege)) => {
            " -- or leave privileges off with --no-privileges"
        }
        _ if !uses.contains(&Use::Policy) => {
            " -- or leave owners and privileges off with --no-owner --no-privileges"
        }
        _ => "",
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
    use super::super::facts::source::{PrivilegedFunction, RoleUse};
    use super::super::testing::{asking, good_server, shown};
    use super::*;

    fn named(role: &str, r#use: Use, schema: Option<&str>) -> RoleUse {
        RoleUse { role: role.into(), r#use, schema: schema.map(str::to_owned) }
    }

    fn source() -> Source {
        Source {
            roles: vec![
                named("there", Use::Owner, Some("s")),
                named("foreign", Use::Owner, Some("s")),
                named("Gone", Use::Owner, Some("s")),
                named("Gone", Use::Owner, None),
                named("both", Use::Owner, Some("s")),
                named("both", Use::DefaultPrivilege, Some("s")),
                named("granted", Use::Privilege, Some("s")),
                named("policed", Use::Policy, Some("s")),
                named("elsewhere", Use::Owner, Some("other")),
                named("pg_new", Use::Privilege, Some("s")),
                named("nowhere", Use::DefaultPrivilege, None),
            ],
            functions: vec![PrivilegedFunction {
                schema: "s".into(),
                name: "F".into(),
                why: "is written in c".into(),
            }],
            ..Source::default()
        }
    }

    fn target() -> Target {
        let roles = BTreeMap::from([("there".to_owned(), true), ("foreign".to_owned(), false)]);
        Target { roles, ..Target::default() }
    }

    #[test]
    fn an_ordinary_role() {
        let ordinary = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        asking(
            |f, _| f.include_schemas = vec!["s".into()],
            |asked| judge(&source(), &ordinary, &target(), asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error role-missing target ["Gone"]: role "Gone" owns objects on the source and is not on the target
    CREATE ROLE "Gone"; -- or leave owners off with --no-owner
Error role-missing target ["both"]: role "both" owns objects, has default privileges on the source and is not on the target
    CREATE ROLE "both"; -- or leave owners and privileges off with --no-owner --no-privileges
Error role-missing target [granted]: role granted has privileges on the source and is not on the target
    CREATE ROLE granted; -- or leave privileges off with --no-privileges
Error role-missing target [pg_new]: role pg_new has privileges on the source and is not on the target
    use a target that has it, or a role of your own in its place on the source -- or leave privileges off with --no-privileges
Error role-missing target [policed]: role policed is named in policies on the source and is not on the target
    CREATE ROLE policed;
Error target-not-member target ["foreign"]: role mover cannot give objects to their owners, because it is not a member of "foreign"
    GRANT "foreign" TO mover; -- or leave owners off with --no-owner
Error target-needs-superuser target [s."F" (is written in c)]: only a superuser can create s."F" (is written in c); role mover is none
    connect to the target as a superuser, or leave the functions' schemas out with --exclude-schema
"#);
    }

    #[test]
    fn flags_and_superusers_need_less() {
        let mut out = Vec::new();
        asking(
            |_, r| (r.no_owner, r.no_privileges) = (true, true),
            |asked| judge(&source(), &good_server(), &target(), asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error role-missing target [policed]: role policed is named in policies on the source and is not on the target
    CREATE ROLE policed;
"#);
    }
}
