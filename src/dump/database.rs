//! Reads the database's own properties (`dumpDatabase`, `dumpDatabaseConfig` in `pg_dump.c`).

use super::DumpError;
use super::acl::parse_items;
use super::catalogs::Catalogs;
use crate::schema::{Database, Setting};

/// The database of the session: three queries.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Database, DumpError> {
    let (provider, locale) = if c.at_least(17) {
        ("d.datlocprovider::text", "d.datlocale")
    } else {
        (c.since(15, "d.datlocprovider::text", "'c'::text"), c.since(15, "d.daticulocale", "NULL::text"))
    };
    let database = format!(
        "SELECT d.datname, pg_get_userbyid(d.datdba)::text AS owner, pg_encoding_to_char(d.encoding)::text AS encoding, \
           d.datcollate::text AS collate, d.datctype::text AS ctype, {provider} AS provider, {locale}::text AS locale, \
           {rules}::text AS icu_rules, NULLIF(s.spcname, 'pg_default') AS spcname, d.datconnlimit, d.datistemplate, \
           shobj_description(d.oid, 'pg_database') AS comment, d.datacl::text[] AS items, \
           acldefault('d', d.datdba)::text[] AS base \
         FROM pg_database d LEFT JOIN pg_tablespace s ON s.oid = d.dattablespace WHERE d.datname = current_database()",
        rules = c.since(16, "d.daticurules", "NULL::text"),
    );
    let settings = "SELECT r.rolname, t.item FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase \
         LEFT JOIN pg_roles r ON r.oid = s.setrole, LATERAL unnest(s.setconfig) WITH ORDINALITY AS t (item, n) \
         WHERE d.datname = current_database() AND (s.setrole = 0 OR r.oid IS NOT NULL) \
         ORDER BY r.rolname NULLS FIRST, t.n";
    let labels = "SELECT l.provider, l.label FROM pg_shseclabel l JOIN pg_database d ON d.oid = l.objoid \
         WHERE l.classoid = 'pg_database'::regclass AND d.datname = current_database() ORDER BY l.provider";
    let (rows, settings, labels) = tokio::try_join!(
        c.query("reading the database's properties", &database),
        c.query("reading the database's settings", settings),
        c.query("reading the database's security labels", labels),
    )?;
    let Some(row) = rows.first() else { return Ok(Database::default()) };
    let mut database = Database {
        name: row.get("datname")?,
        owner: row.get("owner")?,
        encoding: row.get("encoding")?,
        collate: row.get("collate")?,
        ctype: row.get("ctype")?,
        provider: match row.get::<String>("provider")?.as_str() {
            "i" => "icu",
            "b" => "builtin",
            _ => "libc",
        },
        locale: row.get("locale")?,
        icu_rules: row.get("icu_rules")?,
        tablespace: row.get("spcname")?,
        connection_limit: row.get("datconnlimit")?,
        is_template: row.get("datistemplate")?,
        comment: row.get("comment")?,
        ..Database::default()
    };
    if let Some(items) = row.get::<Option<Vec<String>>>("items")? {
        let (base, items) = (parse_items(row.get("base")?), parse_items(items));
        let same = base.len() == items.len() && base.iter().all(|item| items.contains(item));
        database.acl = (!same).then_some((base, items));
    }
    for row in &settings {
        if let Some(setting) = Setting::parse(&row.get::<String>("item")?) {
            database.settings.push((row.get("rolname")?, setting));
        }
    }
    for row in &labels {
        database.labels.push((row.get("provider")?, row.get("label")?));
    }
    Ok(database)
}
