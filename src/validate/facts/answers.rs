//! What the target answers to what the model of the source's schema asks for: things that no catalog lists, so that they can
//! only be tried.
//!
//! Invariant: nothing is changed, and nothing is left set. A locale is tried by a setting that ends with its statement; a
//! label provider by a label for a table that no server has, which fails one way or the other; a library by a temporary function in
//! a statement that fails at its end.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Asked;
use crate::pg::{Session, SqlError};
use crate::schema::quote::{quote_ident, quote_literal};
use crate::schema::{Definition, Object, Schema, TextSearchDictionary};

/// What was asked for and is not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Locales of the C library that the target's machine lacks.
    pub(crate) locales: BTreeSet<String>,
    /// The server was built without ICU.
    pub(crate) no_icu: bool,
    /// The server's own objects whose privileges were changed on the source, as [`crate::schema::ChangedPrivileges`] has them.
    pub(crate) of_server: BTreeSet<String>,
    /// Providers of security labels that are not loaded.
    pub(crate) providers: BTreeSet<String>,
    /// What the server does not find or load for functions, as [`crate::schema::Function::loaded`] has it.
    pub(crate) libraries: BTreeSet<String>,
    /// Files of text search dictionaries; `None`: our role may not look.
    pub(crate) search_files: Option<BTreeSet<String>>,
    /// Who would own objects in a schema without the right to create any there, which only a superuser overrides.
    pub(crate) no_create: Vec<NoCreate>,
    /// Schemas that are there, get objects, and are not made anew, in which our own role may create none.
    pub(crate) closed: Vec<String>,
}

/// An owner, the schema, and who will own the schema where the migration makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NoCreate {
    pub(crate) owner: String,
    pub(crate) schema: String,
    pub(crate) schema_owner: Option<String>,
}

/// Asks: a statement for each locale, provider, function of a library and changed object of the server's, in one round trip each kind; and at
/// most six queries.
pub(crate) async fn read(target: &Session, schema: &Schema, asked: Asked<'_>) -> Result<Answers, SqlError> {
    let wanted_files = search_files(schema);
    let (locales, no_icu, of_server, providers, libraries, search_files, no_create, closed) = tokio::try_join!(
        refused(target, "trying locales", locales(schema, asked), &["22023"], |locale| {
            format!("SELECT pg_catalog.set_config('lc_monetary', {}, true)", quote_literal(locale))
        }),
        without_icu(target),
        lacking(target, schema),
        refused(target, "trying label providers", label_providers(schema, asked), &["22023"], |provider| {
            format!("SECURITY LABEL FOR {} ON TABLE pg_catalog.\"no table\" IS NULL", quote_ident(provider))
        }),
        // No such file, no such function in it, not a library of this version.
        refused(target, "trying libraries", libraries(schema), &["58P01", "42883", "XX000"], |loaded| {
            let create =
                format!("CREATE FUNCTION pg_temp.pg_migrator_tries() RETURNS void LANGUAGE {loaded}");
            let body =
                format!("BEGIN EXECUTE {}; RAISE EXCEPTION 'it is there'; END", quote_literal(&create));
            format!("DO {}", quote_literal(&body))
        }),
        missing_files(target, &wanted_files),
        without_create(target, schema, asked),
        closed(target, schema, asked),
    )?;
    Ok(Answers { locales, no_icu, of_server, providers, libraries, search_files, no_create, closed })
}

/// The server's own objects whose privileges were changed on the source and which the target does not have.
pub(crate) async fn lacking(target: &Session, schema: &Schema) -> Result<BTreeSet<String>, SqlError> {
    // Each kind says in its own words that there is no such thing.
    let states = ["42883", "42P01", "42704", "3F000"];
    refused(target, "looking for the server's own objects", changed_of_server(schema), &states, present).await
}

/// A statement that fails where the object of this phrase is not there.
fn present(phrase: &str) -> String {
    let kinds = [
        ("FUNCTION ", "regprocedure"),
        ("PROCEDURE ", "regprocedure"),
        ("TABLE ", "regclass"),
        ("SEQUENCE ", "regclass"),
        ("TYPE ", "regtype"),
    ];
    let cast = kinds.into_iter().find_map(|(word, kind)| Some((phrase.strip_prefix(word)?, kind)));
    match cast {
        Some((name, kind)) => format!("SELECT {}::pg_catalog.{kind}", quote_literal(name)),
        None => "SELECT 1".to_owned(),
    }
}

/// What of `items` the server refuses with this SQLSTATE.
async fn refused(
    target: &Session,
    what: &str,
    items: BTreeSet<String>,
    states: &[&str],
    statement: impl Fn(&str) -> String,
) -> Result<BTreeSet<String>, SqlError> {
    let statements: Vec<String> = items.iter().map(|item| statement(item)).collect();
    let mut refused = BTreeSet::new();
    for (item, result) in items.into_iter().zip(target.pipeline(what, &statements).await) {
        match result {
            Err(e) if e.is_broken() => return Err(e),
            Err(e) if e.sqlstate.as_deref().is_some_and(|state| states.contains(&state)) => {
                refused.insert(item);
            }
            // What fails for another reason says nothing of what was asked.
            _ => {}
        }
    }
    Ok(refused)
}

fn locales(schema: &Schema, asked: Asked<'_>) -> BTreeSet<String> {
    let mut locales = BTreeSet::new();
    for object in &schema.objects {
        if let Definition::Collation(collation) = &object.definition
            && collation.provider == "libc"
        {
            locales.extend(collation.collate.iter().chain(&collation.ctype).cloned());
        }
    }
    if asked.makes_database {
        locales.extend([schema.database.collate.clone(), schema.database.ctype.clone()]);
    }
    locales
}

fn label_providers(schema: &Schema, asked: Asked<'_>) -> BTreeSet<String> {
    let mut providers = BTreeSet::new();
    for object in &schema.objects {
        if let Definition::SecurityLabels(labels) = &object.definition {
            providers.extend(labels.labels.iter().map(|label| label.provider.clone()));
        }
    }
    if asked.restore.create_database {
        providers.extend(schema.database.labels.iter().map(|(provider, _)| provider.clone()));
    }
    providers
}

fn libraries(schema: &Schema) -> BTreeSet<String> {
    let functions = schema.objects.iter().filter_map(|object| match &object.definition {
        Definition::Function(function) => function.loaded.clone(),
        _ => None,
    });
    functions.collect()
}

fn changed_of_server(schema: &Schema) -> BTreeSet<String> {
    let phrase = |object: &Object| match &object.definition {
        Definition::ChangedPrivileges(changed) if changed.of_server() => Some(changed.phrase.clone()),
        _ => None,
    };
    schema.objects.iter().filter_map(phrase).collect()
}

fn search_files(schema: &Schema) -> BTreeSet<String> {
    let dictionaries = schema.objects.iter().filter_map(|object| match &object.definition {
        Definition::TextSearchDictionary(dictionary) => Some(dictionary),
        _ => None,
    });
    dictionaries.flat_map(TextSearchDictionary::files).collect()
}

/// The schemas that the migration makes, with their owners: `public` is there.
fn made_schemas(schema: &Schema) -> BTreeMap<&str, Option<String>> {
    let made = |o: &&Object| matches!(o.definition, Definition::Namespace(_)) && o.name != "public";
    schema.objects.iter().filter(made).map(|o| (o.name.as_str(), o.owner.clone())).collect()
}

/// Objects that have an owner and a schema, each by itself: what goes with its table is not given away, nor is an extension, which
/// needs no right to its schema either, or what is there already and only gets other privileges.
fn in_schemas(schema: &Schema) -> impl Iterator<Item = (&String, &String)> {
    let alone = |o: &&Object| {
        let made_there = !matches!(
            o.definition,
            Definition::DefaultAcl(_) | Definition::Extension(_) | Definition::ChangedPrivileges(_)
        );
        o.parent.is_none() && made_there
    };
    schema.objects.iter().filter(alone).filter_map(|o| Some((o.owner.as_ref()?, o.namespace.as_ref()?)))
}

/// Those of the schemas that are there in which our role may create nothing; a superuser may everywhere.
async fn closed(target: &Session, schema: &Schema, asked: Asked<'_>) -> Result<Vec<String>, SqlError> {
    let made = made_schemas(schema);
    let wanted: BTreeSet<&String> =
        in_schemas(schema).map(|(_, schema)| schema).filter(|s| !made.contains_key(s.as_str())).collect();
    if wanted.is_empty() || asked.makes_database {
        return Ok(Vec::new());
    }
    let list: Vec<String> = wanted.into_iter().map(|schema| quote_literal(schema)).collect();
    let sql = format!(
        "SELECT n.nspname::text AS name FROM pg_catalog.pg_namespace n
         WHERE n.nspname IN ({}) AND NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE') ORDER BY 1",
        list.join(", ")
    );
    let rows = target.query("reading in which schemas our role may create", &sql).await?;
    rows.iter().map(|row| row.get("name")).collect()
}

/// Owners of objects by schema, with the schema's owner where it is made by the migration.
fn owners(schema: &Schema) -> BTreeSet<NoCreate> {
    let namespaces = made_schemas(schema);
    let owned = in_schemas(schema).map(|(owner, schema)| {
        let (owner, schema) = (owner.clone(), schema.clone());
        let schema_owner = namespaces.get(schema.as_str()).cloned().flatten();
        NoCreate { owner, schema, schema_owner }
    });
    owned.filter(|o| o.schema_owner.as_ref() != Some(&o.owner)).collect()
}

/// Those of the owners who lack `CREATE`; nothing is asked where we are a superuser or owners are left off.
async fn without_create(
    target: &Session,
    schema: &Schema,
    asked: Asked<'_>,
) -> Result<Vec<NoCreate>, SqlError> {
    let owners = owners(schema);
    if owners.is_empty() || asked.restore.no_owner || asked.makes_database {
        return Ok(Vec::new());
    }
    let list: Vec<String> = owners
        .iter()
        .map(|o| {
            let made = o.schema_owner.as_ref().map_or("NULL".to_owned(), |owner| quote_literal(owner));
            format!("({}, {}, {made})", quote_literal(&o.owner), quote_literal(&o.schema))
        })
        .collect();
    // What we make is ours; it need not be given to us.
    let sql = format!(
        "SELECT w.owner, w.schema, w.schema_owner
         FROM (VALUES {}, (NULL::text, NULL::text, NULL::text)) AS w (owner, schema, schema_owner)
         JOIN pg_catalog.pg_roles r ON r.rolname = w.owner
         JOIN pg_catalog.pg_roles us ON us.rolname = current_user AND NOT us.rolsuper AND us.oid <> r.oid
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
         LEFT JOIN pg_catalog.pg_roles o ON o.rolname = w.schema_owner
         WHERE CASE WHEN w.schema_owner IS NOT NULL THEN NOT pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE')
            ELSE NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE') END
         ORDER BY 2, 1",
        list.join(", ")
    );
    let rows = target.query("reading who may create in which schema", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(NoCreate {
                owner: row.get("owner")?,
                schema: row.get("schema")?,
                schema_owner: row.get("schema_owner")?,
            })
        })
        .collect()
}

async fn without_icu(target: &Session) -> Result<bool, SqlError> {
    // initdb knows all locales that ICU has; `unicode` is there without it.
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i' AND collname <> 'unicode') AS without";
    let rows = target.query("looking for ICU", sql).await?;
    rows.first().map_or(Ok(false), |row| row.get("without"))
}

/// Which of these files the server does not have; `None`: the role may not look.
async fn missing_files(
    target: &Session,
    files: &BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, SqlError> {
    if files.is_empty() {
        return Ok(Some(BTreeSet::new()));
    }
    let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_config()', 'EXECUTE')
            AND pg_catalog.has_function_privilege('pg_catalog.pg_stat_file(text, boolean)', 'EXECUTE')
            AND pg_catalog.pg_has_role('pg_read_server_files', 'USAGE') AS may";
    let rows = target.query("reading the right to look for files", may).await?;
    if !rows.first().map_or(Ok(false), |row| row.get::<bool>("may"))? {
        return Ok(None);
    }
    let list: Vec<String> = files.iter().map(|file| format!("({})", quote_literal(file))).collect();
    let sql = format!(
        "SELECT f.name FROM (VALUES {}) AS f (name), pg_catalog.pg_config() c WHERE c.name = 'SHAREDIR'
            AND (pg_catalog.pg_stat_file(c.setting || '/tsearch_data/' || f.name, true)).size IS NULL",
        list.join(", ")
    );
    let rows = target.query("looking for files of dictionaries", &sql).await?;
    rows.iter().map(|row| row.get("name")).collect::<Result<_, _>>().map(Some)
}
