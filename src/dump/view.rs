//! Reads views: `pg_class` of kind `v`, their queries as `pg_get_viewdef` deparses them, and their columns, which a
//! placeholder needs (`dumpTableSchema`, `createDummyViewAsClause` in `pg_dump.c`).

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::schema::storage_option::storage_options;
use crate::schema::{Address, CheckOption, Definition, Object, View, ViewColumn, class};

/// All views.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner)::text AS owner, \
           pg_get_viewdef(c.oid) AS query, c.reloptions, r.oid AS rule, \
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n' {columns}) AS reads_itself \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN' \
         WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND {USER_NAMESPACE} ORDER BY c.oid",
        // Until 15 the rule names its view by OLD and NEW; only a query names columns.
        columns = c.since(16, "", "AND d.refobjsubid <> 0"),
    );
    let (rows, mut columns) = tokio::try_join!(c.query("reading views", &sql), read_columns(c))?;
    let mut objects = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = row.get("oid")?;
        let mut options = row.get::<Option<Vec<String>>>("reloptions")?.unwrap_or_default();
        let mut check_option = None;
        options.retain(|option| match option.strip_prefix("check_option=") {
            Some(value) => {
                check_option =
                    Some(if value == "local" { CheckOption::Local } else { CheckOption::Cascaded });
                false
            }
            None => true,
        });
        let view = View {
            columns: columns.remove(&oid).unwrap_or_default(),
            query: without_semicolon(row.get("query")?),
            options: storage_options(&options, ""),
            check_option,
            rule: row.get::<Option<u32>>("rule")?.map(|rule| Address::new(class::REWRITE, rule)),
            reads_itself: row.get("reads_itself")?,
            placeholder: false,
        };
        objects.push(Object {
            address: Address::relation(oid),
            namespace: Some(row.get("nspname")?),
            name: row.get("relname")?,
            parent: None,
            owner: Some(row.get("owner")?),
            acl: None,
            comments: Vec::new(),
            definition: Definition::View(view),
        });
    }
    Ok(objects)
}

async fn read_columns(c: &Catalogs<'_>) -> Result<HashMap<u32, Vec<ViewColumn>>, DumpError> {
    let sql = format!(
        "SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod) AS type_name, \
           CASE WHEN a.attcollation <> t.typcollation THEN \
             (SELECT quote_ident(m.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l \
              JOIN pg_namespace m ON m.oid = l.collnamespace WHERE l.oid = a.attcollation) END AS collation, \
           d.oid AS default_oid, pg_get_expr(d.adbin, d.adrelid) AS expression \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE c.relkind = 'v' AND a.attnum > 0 AND NOT a.attisdropped AND {USER_NAMESPACE} \
         ORDER BY a.attrelid, a.attnum"
    );
    let mut columns: HashMap<u32, Vec<ViewColumn>> = HashMap::new();
    for row in &c.query("reading the columns of views", &sql).await? {
        let default = match row.get::<Option<u32>>("default_oid")? {
            Some(oid) => Some((Address::new(class::ATTRDEF, oid), row.get("expression")?)),
            None => None,
        };
        columns.entry(row.get("attrelid")?).or_default().push(ViewColumn {
            name: row.get("attname")?,
            type_name: row.get("type_name")?,
            collation: row.get("collation")?,
            default,
        });
    }
    Ok(columns)
}

/// A deparsed statement as steps carry it.
pub(super) fn without_semicolon(mut text: String) -> String {
    text.truncate(text.trim_end().trim_end_matches(';').len());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_last_semicolon_goes() {
        assert_eq!(super::without_semicolon(" SELECT ';' AS a;\n".to_owned()), " SELECT ';' AS a");
    }
}
