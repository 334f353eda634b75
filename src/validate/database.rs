//! The database itself: what of it is carried only on request, and what its making needs.

use super::Asked;
use super::facts::{Server, Target};
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::schema::Schema;
use crate::schema::quote::quote_ident;

pub(super) fn judge(schema: &Schema, target: &Server, to: &Target, asked: Asked<'_>, out: &mut Vec<Finding>) {
    let database = &schema.database;
    if !asked.restore.create_database {
        let properties = database.peculiarities();
        if !properties.is_empty() && asked.filter.is_everything() {
            let message = format!(
                "what is set on database {} itself is not carried without --create-database: {}",
                quote_ident(&database.name),
                some_of(&properties)
            );
            let remedy = "use --create-database, or set them on the target by hand";
            out.push(Finding::notice("database-properties", message).on(Side::Source).mend(remedy));
        }
        return;
    }
    let (_, otherwise) = database.settings_for(Some(target.version));
    for what in otherwise {
        let name = format!("DATABASE {}", quote_ident(&database.name));
        out.push(Finding::warning("bridged", format!("{name}: {what}")).on(Side::Target).about(name));
    }
    if asked.makes_database {
        if !(target.superuser || target.may_create_databases) {
            let role = quote_ident(&target.role);
            out.push(
                Finding::error("target-no-createdb", format!("role {role} may not create databases"))
                    .on(Side::Target)
                    .mend(format!("ALTER ROLE {role} CREATEDB;")),
            );
        }
        let provider = match database.provider {
            "builtin" if target.version < 170_000 => Some((17, "builtin")),
            "icu" if target.version < 150_000 => Some((15, "icu")),
            _ => None,
        };
        if let Some((since, provider)) = provider {
            let message = format!(
                "the source's database has locale provider {provider}, which databases have from PostgreSQL {since} on"
            );
            let remedy = "make the target database by hand, with a locale that the server has, and leave --create-database off";
            out.push(Finding::error("database-provider", message).on(Side::Target).mend(remedy));
        }
        let space = database.tablespace.as_ref().filter(|_| !asked.restore.no_tablespaces);
        if let Some(space) = space.filter(|space| to.tablespaces.get(*space) != Some(&true)) {
            let space = quote_ident(space);
            let message = format!(
                "the source's database is in tablespace {space}, which is not on the target or not ours to use"
            );
            out.push(
                Finding::error("tablespace-missing", message)
                    .on(Side::Target)
                    .about(space)
                    .mend("make it on the target and grant CREATE on it, or leave tablespaces off with --no-tablespaces"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asking, good_server, shown};
    use super::*;
    use crate::schema::{Database, Setting};

    #[test]
    fn with_and_without_the_flag() {
        let database = Database {
            name: "app".into(),
            provider: "builtin",
            tablespace: Some("fast".into()),
            connection_limit: 7,
            settings: vec![(Some("r".into()), Setting { name: "work_mem".into(), value: "1MB".into() })],
            ..Database::default()
        };
        let schema = Schema { database, ..Schema::default() };
        let server = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge(&schema, &server, &Target::default(), asked, &mut out));
        asking(
            |_, r| r.create_database = true,
            |asked| {
                judge(&schema, &server, &Target::default(), asked, &mut out);
                judge(
                    &schema,
                    &server,
                    &Target::default(),
                    Asked { makes_database: true, ..asked },
                    &mut out,
                );
            },
        );
        insta::assert_snapshot!(shown(&out), @r#"
Notice database-properties source: what is set on database app itself is not carried without --create-database: work_mem for role r, its connection limit
    use --create-database, or set them on the target by hand
Error target-no-createdb target: role mover may not create databases
    ALTER ROLE mover CREATEDB;
Error database-provider target: the source's database has locale provider builtin, which databases have from PostgreSQL 17 on
    make the target database by hand, with a locale that the server has, and leave --create-database off
Error tablespace-missing target [fast]: the source's database is in tablespace fast, which is not on the target or not ours to use
    make it on the target and grant CREATE on it, or leave tablespaces off with --no-tablespaces
"#);
    }
}
