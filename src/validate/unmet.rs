//! What the schema asks of the target's machine and server that no catalog lists: locales and their libraries, providers of
//! security labels, files of text search dictionaries, the server's own objects whose privileges were changed.
//!
//! Invariant: only what was tried on the target and refused is an error; what could not be tried is a warning.

use super::Asked;
use super::facts::{Answers, Server};
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::schema::quote::{quote_ident, quote_literal};
use crate::schema::{Address, Collation, Definition, Object, Schema};

pub(super) fn judge(
    schema: &Schema,
    target: &Server,
    answers: &Answers,
    asked: Asked<'_>,
    out: &mut Vec<Finding>,
) {
    for object in &schema.objects {
        match &object.definition {
            Definition::Collation(collation) => {
                self::collation(schema, object, collation, target, answers, out)
            }
            Definition::TextSearchDictionary(dictionary) => {
                search_files(object, &dictionary.files(), answers, out)
            }
            _ => {}
        }
    }
    if asked.makes_database {
        database_locale(schema, answers, out);
    }
    labels(schema, answers, out);
    libraries(schema, answers, out);
    closed(target, answers, out);
    owners(answers, out);
    if !asked.restore.no_privileges {
        of_server(schema, target, answers, out);
    }
}

/// A collation that cannot be made.
fn collation(
    schema: &Schema,
    object: &Object,
    collation: &Collation,
    target: &Server,
    answers: &Answers,
    out: &mut Vec<Finding>,
) {
    let locale = collation.collate.as_deref().unwrap_or_default();
    let lacks = |locale: &&String| answers.locales.contains(*locale);
    let missing: Vec<String> = collation
        .collate
        .iter()
        .chain(&collation.ctype)
        .filter(|_| collation.provider == "libc")
        .filter(lacks)
        .map(|l| quote_literal(l))
        .collect();
    let since = match (collation.provider, locale) {
        ("builtin", "PG_UNICODE_FAST") if target.version < 180_000 => Some(18),
        ("builtin", _) if target.version < 170_000 => Some(17),
        _ => None,
    };
    let why = if !missing.is_empty() {
        let mend = "install the locale on the target's machine (Debian: locale-gen, Red Hat: glibc-langpack-…) and restart the server";
        Some((
            format!("needs locale {} of the machine, which the target's lacks", missing.join(" and ")),
            mend,
        ))
    } else if let Some(since) = since {
        let why = format!(
            "has locale {} of provider builtin, which servers have from PostgreSQL {since} on",
            quote_literal(locale)
        );
        Some((why, "use a newer target, or another collation on the source"))
    } else if collation.provider == "builtin" && locale != "C" && target.encoding != "UTF8" {
        let why = format!(
            "has locale {} of provider builtin, which needs a database in UTF8; the target's is in {}",
            quote_literal(locale),
            target.encoding
        );
        Some((why, "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'; -- as the target"))
    } else if collation.provider == "icu" && answers.no_icu {
        let why = format!("has locale {} of ICU, which the target was built without", quote_literal(locale));
        Some((why, "use a target that was built with ICU, or another collation on the source"))
    } else if collation.rules.is_some() && target.version < 160_000 {
        let why = "has rules of its own, which collations have from PostgreSQL 16 on".to_owned();
        Some((why, "use a newer target, or another collation on the source"))
    } else {
        None
    };
    let Some((why, remedy)) = why else { return };
    let name = object.reference();
    let users = users_of(schema, object.address);
    let used =
        if users.is_empty() { "nothing uses it".to_owned() } else { format!("used by {}", some_of(&users)) };
    let message = format!("{name} {why}; {used}");
    out.push(
        Finding::error("locale-missing", message)
            .on(Side::Target)
            .about(name)
            .mend(format!("{remedy}; or leave it out, with what uses it, by --allow-restore-errors")),
    );
}

/// Objects that need the one at this address, by name.
fn users_of(schema: &Schema, address: Address) -> Vec<String> {
    let users = schema.depends.iter().filter(|(_, needs)| needs.contains(&address)).map(|(user, _)| user);
    let whole = |user: &Address| *schema.aliases.get(user).unwrap_or(user);
    let named = |user: Address| {
        schema.objects.iter().find(|object| {
            // A part of a table (a default, a check) that has no name of its own here is said by its table's.
            object.address == user
                || matches!(&object.definition, Definition::Table(t) if t.checks.iter()
                    .any(|check| Address::new(crate::schema::class::CONSTRAINT, check.oid) == user))
        })
    };
    let mut names: Vec<String> = users.filter_map(|user| named(whole(user))).map(Object::reference).collect();
    names.sort();
    names.dedup();
    names
}

fn database_locale(schema: &Schema, answers: &Answers, out: &mut Vec<Finding>) {
    let database = &schema.database;
    let mut locales = vec![&database.collate, &database.ctype];
    locales.retain(|locale| answers.locales.contains(*locale));
    locales.dedup();
    let names: Vec<String> = locales.into_iter().map(|locale| quote_literal(locale)).collect();
    if !names.is_empty() {
        let message = format!(
            "the source's database has locale {}, which the target's machine lacks",
            names.join(" and ")
        );
        let remedy = "install the locale on the target's machine and restart the server, or make the target database by hand \
                      with another locale and leave --create-database off";
        out.push(Finding::error("database-provider", message).on(Side::Target).mend(remedy));
    } else if database.provider == "icu" && answers.no_icu {
        let message = "the source's database has a locale of ICU, which the target was built without";
        let remedy = "use a target that was built with ICU, or make the target database by hand with another locale and leave \
                      --create-database off";
        out.push(Finding::error("database-provider", message).on(Side::Target).mend(remedy));
    }
}

/// Files that come with every server of the versions that a target may have.
const SHIPPED: [&str; 25] = [
    "danish.stop",
    "dutch.stop",
    "english.stop",
    "finnish.stop",
    "french.stop",
    "german.stop",
    "hungarian.stop",
    "hunspell_sample.affix",
    "hunspell_sample_long.affix",
    "hunspell_sample_long.dict",
    "hunspell_sample_num.affix",
    "hunspell_sample_num.dict",
    "ispell_sample.affix",
    "ispell_sample.dict",
    "italian.stop",
    "nepali.stop",
    "norwegian.stop",
    "portuguese.stop",
    "russian.stop",
    "spanish.stop",
    "swedish.stop",
    "synonym_sample.syn",
    "thesaurus_sample.ths",
    "turkish.stop",
    "unaccent.rules",
];

fn search_files(dictionary: &Object, files: &[String], answers: &Answers, out: &mut Vec<Finding>) {
    let name = dictionary.reference();
    let lacks = |file: &&String| match &answers.search_files {
        Some(missing) => missing.contains(*file),
        None => !SHIPPED.contains(&file.as_str()),
    };
    let wanted: Vec<&String> = files.iter().filter(lacks).collect();
    if wanted.is_empty() {
        return;
    }
    let place = "put it into the folder tsearch_data under the target's `pg_config --sharedir`";
    let finding = match answers.search_files {
        Some(_) => Finding::error(
            "search-file-missing",
            format!("{name} reads {}, which the target's server does not have", some_of(&wanted)),
        )
        .mend(format!("{place}; or leave it out, with what uses it, by --allow-restore-errors")),
        None => Finding::warning(
            "search-file-missing",
            format!(
                "{name} reads {}, which no server has of itself; our role may not look whether the target's has it",
                some_of(&wanted)
            ),
        )
        .mend(format!("{place}, where it is not there")),
    };
    out.push(finding.on(Side::Target).about(name));
}

fn labels(schema: &Schema, answers: &Answers, out: &mut Vec<Finding>) {
    for provider in &answers.providers {
        let labelled = |object: &&Object| match &object.definition {
            Definition::SecurityLabels(labels) => labels.labels.iter().any(|l| l.provider == *provider),
            _ => false,
        };
        let mut names: Vec<String> =
            schema.objects.iter().filter(labelled).map(|object| object.reference()).collect();
        if schema.database.labels.iter().any(|(p, _)| p == provider) {
            names.push(format!("SECURITY LABEL DATABASE {}", quote_ident(&schema.database.name)));
        }
        let names: Vec<&str> = names.iter().map(|n| n.trim_start_matches("SECURITY LABEL ")).collect();
        let provider = quote_ident(provider);
        let message = format!(
            "provider {provider} of the security labels on {} is not loaded on the target",
            some_of(&names)
        );
        let remedy = format!(
            "load its module there (shared_preload_libraries, and a restart); or leave the labels out by --allow-restore-errors, or drop \
             them on the source: SECURITY LABEL FOR {provider} ON … IS NULL;"
        );
        out.push(
            Finding::error("label-provider-missing", message).on(Side::Target).about(provider).mend(remedy),
        );
    }
}

/// Functions for which the target's server finds no library, or nothing of their name in it.
fn libraries(schema: &Schema, answers: &Answers, out: &mut Vec<Finding>) {
    for object in &schema.objects {
        let Definition::Function(function) = &object.definition else { continue };
        let Some(loaded) = function.loaded.as_ref().filter(|loaded| answers.libraries.contains(*loaded))
        else {
            continue;
        };
        let name = object.reference();
        let message = format!("{name} is LANGUAGE {loaded}, which the target's server does not have");
        let remedy = "install the library on the target's machine, in a version for that server, or drop the function on the source; or leave \
                      it out, with what uses it, by --allow-restore-errors";
        out.push(Finding::error("library-missing", message).on(Side::Target).about(name).mend(remedy));
    }
}

/// Schemas that are there and in which we may make nothing.
fn closed(target: &Server, answers: &Answers, out: &mut Vec<Finding>) {
    let role = quote_ident(&target.role);
    for schema in &answers.closed {
        let schema = quote_ident(schema);
        let message =
            format!("role {role} may not create objects in schema {schema}, which is there already");
        out.push(
            Finding::error("schema-no-create", message)
                .on(Side::Target)
                .about(schema.clone())
                .mend(format!("GRANT CREATE ON SCHEMA {schema} TO {role};")),
        );
    }
}

/// Owners that objects cannot be given to, because they may not create any in the schema.
fn owners(answers: &Answers, out: &mut Vec<Finding>) {
    for no_create in &answers.no_create {
        let (owner, schema) = (quote_ident(&no_create.owner), quote_ident(&no_create.schema));
        let remedy = match &no_create.schema_owner {
            None => format!("GRANT CREATE ON SCHEMA {schema} TO {owner};"),
            // The schema is not there yet; its own grants come last, because they may take rights from owners.
            Some(made) => {
                let made = quote_ident(made);
                format!(
                    "GRANT {made} TO {owner}; -- until the migration is done: then REVOKE {made} FROM {owner};"
                )
            }
        };
        let message = format!(
            "role {owner} owns objects in schema {schema} on the source and may not create any there on the target, so that only a superuser can give them to it"
        );
        out.push(
            Finding::error("owner-no-create", message)
                .on(Side::Target)
                .about(owner)
                .mend(format!("{remedy} -- or connect as a superuser, or leave owners off with --no-owner")),
        );
    }
}

/// Privileges changed on the server's own objects: of those that the target lacks, and of all where we are no superuser.
fn of_server(schema: &Schema, target: &Server, answers: &Answers, out: &mut Vec<Finding>) {
    let mut left = Vec::new();
    for object in &schema.objects {
        let Definition::ChangedPrivileges(changed) = &object.definition else { continue };
        if !changed.of_server() {
            continue;
        }
        let phrase = changed.phrase.clone();
        if answers.of_server.contains(&phrase) {
            let message = format!(
                "{phrase} is the server's own and has privileges that were changed on the source; the target's version does not have it"
            );
            out.push(
                Finding::warning("server-object-gone", message)
                    .on(Side::Target)
                    .about(phrase)
                    .mend("grant what took its place there (see the release notes), where it is needed; these privileges are left out"),
            );
        } else if !target.superuser {
            left.push(phrase);
        }
    }
    if let Some(first) = left.first() {
        let message = format!(
            "privileges on the server's own objects were changed on the source, and only a superuser may do so on the target, where they stay as they are: {}",
            some_of(&left)
        );
        let remedy =
            "connect to the target as a superuser; or have one run what `pg_migrator schema` prints of them";
        out.push(
            Finding::warning("server-privileges-left", message)
                .on(Side::Target)
                .about(first.clone())
                .mend(remedy),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::super::facts::answers::NoCreate;
    use super::super::testing::{asking, good_server, object, shown};
    use super::*;
    use crate::schema::acl::AclKind;
    use crate::schema::{
        ChangedPrivileges, Database, Function, SecurityLabel, SecurityLabels, Table, TextSearchDictionary,
        View, class,
    };

    fn schema() -> Schema {
        let collation = |provider, locale: &str| {
            Definition::Collation(Collation {
                provider,
                deterministic: true,
                collate: Some(locale.into()),
                ..Collation::default()
            })
        };
        let at = |class, oid, object: Object| Object { address: Address::new(class, oid), ..object };
        let label = SecurityLabel { provider: "Sel inux".into(), column: None, label: "x".into() };
        let labels =
            SecurityLabels { of: Address::relation(10), phrase: "TABLE s.t".into(), labels: vec![label] };
        let changed = |phrase: &str| {
            Definition::ChangedPrivileges(ChangedPrivileges {
                kind: AclKind::Function,
                phrase: phrase.into(),
            })
        };
        let dictionary = TextSearchDictionary {
            template: "pg_catalog.simple".into(),
            options: Some("stopwords = 'own'".into()),
        };
        Schema {
            objects: vec![
                at(class::COLLATION, 1, object("libc", collation("libc", "tlh"))),
                at(class::COLLATION, 2, object("there", collation("libc", "de_DE"))),
                at(class::COLLATION, 3, object("icu", collation("icu", "de"))),
                at(class::COLLATION, 4, object("builtin", collation("builtin", "C"))),
                at(class::RELATION, 10, object("t", Definition::Table(Table::default()))),
                at(class::RELATION, 11, object("v", Definition::View(View::default()))),
                object("l", Definition::SecurityLabels(labels)),
                object("d", Definition::TextSearchDictionary(dictionary)),
                object("f", changed("FUNCTION pg_catalog.gone()")),
                object("g", changed("FUNCTION pg_catalog.there()")),
                object("h", changed("FUNCTION ext.member()")),
                object(
                    "There",
                    Definition::Function(Function {
                        loaded: Some("internal AS 'x'".into()),
                        ..Function::default()
                    }),
                ),
                object(
                    "i",
                    Definition::Function(Function {
                        loaded: Some("c AS 'gone', 'x'".into()),
                        ..Function::default()
                    }),
                ),
            ],
            depends: HashMap::from([
                (Address::relation(10), vec![Address::new(class::COLLATION, 1)]),
                (Address::new(class::REWRITE, 12), vec![Address::new(class::COLLATION, 1)]),
            ]),
            aliases: HashMap::from([(Address::new(class::REWRITE, 12), Address::relation(11))]),
            database: Database { collate: "tlh".into(), ctype: "tlh".into(), ..Database::default() },
            ..Schema::default()
        }
    }

    #[test]
    fn what_was_asked_for_and_is_not_there() {
        let set = |item: &str| BTreeSet::from([item.to_owned()]);
        let answers = Answers {
            locales: set("tlh"),
            no_icu: true,
            of_server: set("FUNCTION pg_catalog.gone()"),
            providers: set("Sel inux"),
            libraries: set("c AS 'gone', 'x'"),
            search_files: Some(set("own.stop")),
            closed: vec!["public".into(), "S s".into()],
            no_create: vec![
                NoCreate { owner: "A".into(), schema: "public".into(), schema_owner: None },
                NoCreate { owner: "b".into(), schema: "s".into(), schema_owner: Some("o".into()) },
            ],
        };
        let ordinary = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        asking(
            |_, _| (),
            |asked| judge(&schema(), &ordinary, &answers, Asked { makes_database: true, ..asked }, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error locale-missing target [COLLATION s.libc]: COLLATION s.libc needs locale 'tlh' of the machine, which the target's lacks; used by TABLE s.t, VIEW s.v
    install the locale on the target's machine (Debian: locale-gen, Red Hat: glibc-langpack-…) and restart the server; or leave it out, with what uses it, by --allow-restore-errors
Error locale-missing target [COLLATION s.icu]: COLLATION s.icu has locale 'de' of ICU, which the target was built without; nothing uses it
    use a target that was built with ICU, or another collation on the source; or leave it out, with what uses it, by --allow-restore-errors
Error locale-missing target [COLLATION s.builtin]: COLLATION s.builtin has locale 'C' of provider builtin, which servers have from PostgreSQL 17 on; nothing uses it
    use a newer target, or another collation on the source; or leave it out, with what uses it, by --allow-restore-errors
Error search-file-missing target [TEXT SEARCH DICTIONARY s.d]: TEXT SEARCH DICTIONARY s.d reads own.stop, which the target's server does not have
    put it into the folder tsearch_data under the target's `pg_config --sharedir`; or leave it out, with what uses it, by --allow-restore-errors
Error database-provider target: the source's database has locale 'tlh', which the target's machine lacks
    install the locale on the target's machine and restart the server, or make the target database by hand with another locale and leave --create-database off
Error label-provider-missing target ["Sel inux"]: provider "Sel inux" of the security labels on TABLE s.t is not loaded on the target
    load its module there (shared_preload_libraries, and a restart); or leave the labels out by --allow-restore-errors, or drop them on the source: SECURITY LABEL FOR "Sel inux" ON … IS NULL;
Error library-missing target [FUNCTION s.i()]: FUNCTION s.i() is LANGUAGE c AS 'gone', 'x', which the target's server does not have
    install the library on the target's machine, in a version for that server, or drop the function on the source; or leave it out, with what uses it, by --allow-restore-errors
Error schema-no-create target [public]: role mover may not create objects in schema public, which is there already
    GRANT CREATE ON SCHEMA public TO mover;
Error schema-no-create target ["S s"]: role mover may not create objects in schema "S s", which is there already
    GRANT CREATE ON SCHEMA "S s" TO mover;
Error owner-no-create target ["A"]: role "A" owns objects in schema public on the source and may not create any there on the target, so that only a superuser can give them to it
    GRANT CREATE ON SCHEMA public TO "A"; -- or connect as a superuser, or leave owners off with --no-owner
Error owner-no-create target [b]: role b owns objects in schema s on the source and may not create any there on the target, so that only a superuser can give them to it
    GRANT o TO b; -- until the migration is done: then REVOKE o FROM b; -- or connect as a superuser, or leave owners off with --no-owner
Warning server-object-gone target [FUNCTION pg_catalog.gone()]: FUNCTION pg_catalog.gone() is the server's own and has privileges that were changed on the source; the target's version does not have it
    grant what took its place there (see the release notes), where it is needed; these privileges are left out
Warning server-privileges-left target [FUNCTION pg_catalog.there()]: privileges on the server's own objects were changed on the source, and only a superuser may do so on the target, where they stay as they are: FUNCTION pg_catalog.there()
    connect to the target as a superuser; or have one run what `pg_migrator schema` prints of them
"#);
    }

    #[test]
    fn what_is_there_or_could_not_be_looked_for() {
        let mut out = Vec::new();
        let answers = Answers::default();
        let newer = Server { version: 180_000, ..good_server() };
        asking(|_, _| (), |asked| judge(&schema(), &newer, &answers, asked, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Warning search-file-missing target [TEXT SEARCH DICTIONARY s.d]: TEXT SEARCH DICTIONARY s.d reads own.stop, which no server has of itself; our role may not look whether the target's has it
    put it into the folder tsearch_data under the target's `pg_config --sharedir`, where it is not there
"#);
    }
}
