//! What of the model only a superuser can make on the target, beside functions; and what the source's role may not see.

use super::facts::Server;
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::schema::quote::quote_ident;
use crate::schema::{Definition, Object, Published, Schema};

pub(super) fn judge(schema: &Schema, target: &Server, out: &mut Vec<Finding>) {
    for object in &schema.objects {
        if let Definition::UserMapping(mapping) = &object.definition
            && mapping.hidden
        {
            let name = object.reference();
            let message = format!(
                "the options of the {} are hidden from the source's role: it is made without them",
                name.replacen("USER MAPPING", "user mapping", 1).replacen("SERVER", "on server", 1)
            );
            let remedy = format!(
                "connect to the source as a superuser, or run on the target: ALTER {name} OPTIONS (ADD \"user\" '…', ADD password '…');"
            );
            let finding = Finding::warning("user-mapping-hidden", message).on(Side::Source);
            out.push(finding.about(name).mend(remedy));
        }
    }
    if target.superuser {
        return;
    }
    let objects: Vec<String> =
        schema.objects.iter().filter(|o| needs_superuser(o, target.version)).map(Object::reference).collect();
    if let Some(first) = objects.first() {
        let message = format!(
            "only a superuser can create {}; role {} is none",
            some_of(&objects),
            quote_ident(&target.role)
        );
        out.push(
            Finding::error("target-needs-superuser", message).on(Side::Target).about(first.clone()).mend(
                "connect to the target as a superuser, or leave them out, with what needs them, by --allow-restore-errors",
            ),
        );
    }
}

/// As the server checks it when the object is made.
fn needs_superuser(object: &Object, version: u32) -> bool {
    match &object.definition {
        Definition::ForeignDataWrapper(_) | Definition::EventTrigger(_) => true,
        Definition::Publication(publication) => publication.all_tables,
        Definition::PublicationMember(member) => matches!(member.what, Published::Schema(_)),
        // From 16 on there is the role `pg_create_subscription`.
        Definition::Subscription(subscription) => version < 160_000 || !subscription.password_required,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{good_server, object, shown};
    use super::*;
    use crate::schema::{EventTrigger, ForeignDataWrapper, Subscription, UserMapping, UserPublication};

    #[test]
    fn who_may_make_what() {
        let mapping = UserMapping {
            server: "S".into(),
            role: Some("r".into()),
            hidden: true,
            ..UserMapping::default()
        };
        let subscription = Subscription { password_required: true, ..Subscription::default() };
        let of = |name: &str, definition| Object { namespace: None, ..object(name, definition) };
        let schema = Schema {
            objects: vec![
                of("w", Definition::ForeignDataWrapper(ForeignDataWrapper::default())),
                of("e", Definition::EventTrigger(EventTrigger::default())),
                of(
                    "p",
                    Definition::Publication(UserPublication {
                        all_tables: true,
                        ..UserPublication::default()
                    }),
                ),
                of("q", Definition::Publication(UserPublication::default())),
                of("s", Definition::Subscription(subscription)),
                of("r", Definition::UserMapping(mapping)),
            ],
            ..Schema::default()
        };
        let mut out = Vec::new();
        judge(&schema, &Server { superuser: false, ..good_server() }, &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Warning user-mapping-hidden source [USER MAPPING FOR r SERVER "S"]: the options of the user mapping FOR r on server "S" are hidden from the source's role: it is made without them
    connect to the source as a superuser, or run on the target: ALTER USER MAPPING FOR r SERVER "S" OPTIONS (ADD "user" '…', ADD password '…');
Error target-needs-superuser target [FOREIGN DATA WRAPPER w]: only a superuser can create FOREIGN DATA WRAPPER w, EVENT TRIGGER e, PUBLICATION p, SUBSCRIPTION s; role mover is none
    connect to the target as a superuser, or leave them out, with what needs them, by --allow-restore-errors
"#);
    }
}
